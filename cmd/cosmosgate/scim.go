package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func newSCIM() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "scim",
		Short: "Connections to identity providers: tokens and health",
		Long: `Looks after the connections over which identity providers push people and groups, in the running gate. Connections
are named in the configuration file; docs/operations.md tells how to connect Entra ID, Okta and others.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newSCIMStatus(), newSCIMToken())
	return cmd
}

// lifetime is a flag for durations that may be days.
type lifetime time.Duration

var errLifetime = errors.New(`use a number with a unit, such as 90m, 12h or 180d`)

// Set reads 90m, 12h or 180d.
func (l *lifetime) Set(s string) error {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		const most = 36500
		n, err := strconv.Atoi(days)
		if err != nil || n < 0 || n > most {
			return errLifetime
		}
		*l = lifetime(n) * lifetime(24*time.Hour)
		return nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return errLifetime
	}
	*l = lifetime(d)
	return nil
}

// String prints whole days as days.
func (l *lifetime) String() string {
	const day = lifetime(24 * time.Hour)
	if *l > 0 && *l%day == 0 {
		return fmt.Sprintf("%dd", *l/day)
	}
	return time.Duration(*l).String()
}

// Type names the flag's values in the help.
func (*lifetime) Type() string { return "lifetime" }
