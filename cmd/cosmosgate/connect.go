package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/spf13/cobra"

	"github.com/cosmosgate/cosmosgate/credential"
	"github.com/cosmosgate/cosmosgate/internal/config"
	"github.com/cosmosgate/cosmosgate/internal/connect"
)

// connection is what a tool is given.
type connection struct {
	Endpoint         string `json:"endpoint"`
	Key              string `json:"key"`
	ConnectionString string `json:"connection_string"`
	Certificate      string `json:"certificate,omitempty"`
}

func newConnect() *cobra.Command {
	var e engineer
	var account, address, output string
	var useTLS, verbose bool
	var idle time.Duration
	cmd := &cobra.Command{
		Use:   "connect",
		Short: "Let tools that cannot sign in work as you, through a listener on this machine",
		Long: `Opens a listener on this machine and prints its connection string. Tools that know only account keys use it as they would
a real one; what they ask goes to the gate with your token, and is decided and recorded as yours.

The key in the connection string is made for this run. Nobody else on this machine can use the listener without it, no web
page can use it at all, and it binds nothing but loopback or a Unix socket of your own. It ends with your login, when
nothing was asked for a while, or with Ctrl-C.`,
		Example: `  cosmosgate connect                                # plain HTTP on a free loopback port
  cosmosgate connect --tls --listen 127.0.0.1:8081  # TLS with a certificate of this run
  cosmosgate connect --listen ./gate.sock           # a Unix socket that only you can open`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := e.signedIn(cmd.Context())
			if err != nil {
				return err
			}
			cfg, err := e.connectConfig(cmd.Context(), c, account)
			if err != nil {
				return err
			}
			cfg.Idle, cfg.Logger = idle, slog.New(slog.DiscardHandler)
			if verbose {
				cfg.Logger = newLogger(cmd.ErrOrStderr(), &config.Log{Level: "debug", Format: "text"}, new(slog.LevelVar))
			}
			var certificate string
			if useTLS {
				if certificate, err = e.localCertificate(cfg); err != nil {
					return failed(err, "")
				}
			}
			return endOfConnection(serveTools(cmd, cfg, address, func(s *connect.Server) error {
				made := &connection{s.Endpoint(), s.Key(), s.ConnectionString(), certificate}
				return announceConnection(cmd.OutOrStdout(), cmd.ErrOrStderr(), output, made)
			}), idle)
		},
	}
	e.flags(cmd)
	const afternoon = 4 * time.Hour
	cmd.Flags().StringVar(&account, "account", "", "account of the gate, if it has several")
	cmd.Flags().StringVar(&address, "listen", "127.0.0.1:0", "loopback address, port 0 for a free one; or the path of a Unix socket, beginning with / or a dot")
	cmd.Flags().BoolVar(&useTLS, "tls", false, "speak TLS with a certificate made for this run")
	cmd.Flags().DurationVar(&idle, "idle", afternoon, "end when nothing was asked for this long; 0 for never")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "say what is refused, and why")
	outputFlag(cmd, &output, "text", outputJSON)
	return cmd
}

// serveTools opens the listener, announces it and serves until it ends.
func serveTools(cmd *cobra.Command, cfg *connect.Config, address string, announce func(*connect.Server) error) error {
	var err error
	if cfg.Listener, err = connect.Listen(cmd.Context(), address); err != nil {
		return usage(err)
	}
	s, err := connect.New(*cfg)
	if err != nil {
		return errors.Join(err, cfg.Listener.Close())
	}
	if err := announce(s); err != nil {
		return errors.Join(err, cfg.Listener.Close())
	}
	return s.Run(cmd.Context()) //nolint:wrapcheck // endOfConnection says what ended
}

// usage is a fault of the command line that was found late.
func usage(err error) error {
	return &failure{code: exitUsage, err: err, hint: "run cosmosgate connect --help"}
}

// connectConfig is what the listener needs to know of gate and login.
func (e *engineer) connectConfig(ctx context.Context, c *credential.Credential, account string) (*connect.Config, error) {
	token := func(ctx context.Context) (string, error) {
		t, err := c.GetToken(ctx, policy.TokenRequestOptions{})
		return t.Token, err //nolint:wrapcheck // says what it is about
	}
	if _, err := token(ctx); err != nil {
		return nil, withHint(err)
	}
	endpoint := c.Endpoint()
	if account != "" {
		g, err := c.Guide(ctx)
		if err != nil {
			return nil, withHint(err)
		}
		if endpoint = endpointOf(g, account); endpoint == "" {
			return nil, fmt.Errorf("%w: %q (it has %s)", errUnknownAccount, account, accountNames(g))
		}
	}
	gate, err := url.Parse(endpoint)
	if err != nil {
		return nil, failed(fmt.Errorf("reading the account's endpoint: %w", err), "")
	}
	transport, err := credential.Transport([]byte(e.known.Authorities))
	if err != nil {
		return nil, failed(err, "")
	}
	transport.DisableCompression = true // what the tool did not ask for must not change
	transport.MaxIdleConnsPerHost = 64
	return &connect.Config{
		Gate: gate, Transport: transport, Token: token, SignedIn: signedInStill(c), NewID: newID, Clock: time.Now,
	}, nil
}

// signedInStill tells an ended login from a gate that cannot be asked for a moment.
func signedInStill(c *credential.Credential) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := c.SignedIn(ctx); errors.Is(err, credential.ErrSignInRequired) {
			return err //nolint:wrapcheck // says what it is about
		}
		return nil
	}
}

// localCertificate makes the certificate of this run and puts it where tools can be told to trust it: beside the profile.
func (e *engineer) localCertificate(cfg *connect.Config) (string, error) {
	certificate, pem, err := connect.LocalCertificate(time.Now())
	if err != nil {
		return "", err //nolint:wrapcheck // says what it was making
	}
	cfg.Certificate = certificate
	path := filepath.Join(filepath.Dir(e.config), "connect.pem")
	const readable = 0o644 // it is no secret
	if err := os.WriteFile(path, pem, readable); err != nil {
		return "", fmt.Errorf("keeping the certificate: %w", err)
	}
	return path, nil
}

func announceConnection(stdout, stderr io.Writer, output string, c *connection) error {
	out, hints := &printer{w: stdout}, &printer{w: stderr}
	if output == outputJSON {
		if err := printJSON(stdout, c); err != nil {
			return err
		}
	} else {
		out.line("%s", c.ConnectionString)
	}
	hints.line("listening at %s until you press Ctrl-C or your login ends", c.Endpoint)
	if c.Certificate != "" {
		hints.line("hint: make the tool trust %s", c.Certificate)
	}
	hints.line("hint: tools need gateway mode; the key is good for this run only, and is you as long as it lasts")
	return errors.Join(out.done(), hints.done())
}

// endOfConnection says why the listener ended.
func endOfConnection(err error, idle time.Duration) error {
	switch {
	case err == nil, errors.Is(err, http.ErrServerClosed):
		return nil
	case errors.Is(err, connect.ErrIdle):
		return failed(fmt.Errorf("ended: %w (%s)", err, idle), "run it again; --idle 0 never ends")
	default:
		if known, ok := errors.AsType[*failure](err); ok {
			return known
		}
		return withHint(fmt.Errorf("ended: %w", err))
	}
}
