package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

var errUnhealthy = errors.New("not ready")

func newHealthcheck() *cobra.Command {
	var admin, probe string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask a running gate whether it is ready",
		Long: `Asks the admin listener of a running gate and exits 0 if it answers yes. It is what a container's health check runs,
so that the image needs no other program.`,
		Example: "  cosmosgate healthcheck --admin http://127.0.0.1:9090 --probe readyz",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			body, err := askHealth(ctx, strings.TrimRight(admin, "/")+"/"+probe)
			if err != nil {
				if errors.Is(err, errUnhealthy) {
					return failed(err, "see the gate's log, or "+admin+"/readyz for each check")
				}
				return failed(err, "name the gate's listen.admin with --admin URL, if it is another, and see whether the gate runs")
			}
			_, err = io.WriteString(cmd.OutOrStdout(), body)
			return wrapOutput(err)
		},
	}
	cmd.Flags().StringVar(&admin, "admin", "http://127.0.0.1:9090", "base URL of the admin listener")
	cmd.Flags().StringVar(&probe, "probe", "readyz", "healthz, readyz or startupz")
	cmd.Flags().DurationVar(&timeout, "timeout", 3*time.Second, "how long to wait for the answer")
	return cmd
}

func askHealth(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", fmt.Errorf("asking %s: %w", url, err)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return "", fmt.Errorf("asking the gate: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // the answer was read
	const largestAnswer = 64 << 10
	body, err := io.ReadAll(io.LimitReader(resp.Body, largestAnswer))
	if err != nil {
		return "", fmt.Errorf("reading the answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%w: %s: %s", errUnhealthy, resp.Status, strings.TrimSpace(string(body)))
	}
	return string(body), nil
}
