package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/spf13/cobra"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/internal/config"
)

func newServe() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the gate",
		Long: `Runs the gate with a configuration file until it is interrupted (SIGINT, SIGTERM), then lets requests in flight
finish. SIGHUP reads certificates, policy and the log level again; so does a change of their files.`,
		Example: "  cosmosgate check --config /etc/cosmosgate/cosmosgate.yaml\n  cosmosgate serve --config /etc/cosmosgate/cosmosgate.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), path, cmd.ErrOrStderr())
		},
	}
	configFlag(cmd, &path)
	return cmd
}

func configFlag(cmd *cobra.Command, path *string) {
	def := os.Getenv("COSMOSGATE_CONFIG")
	if def == "" {
		def = "cosmosgate.yaml"
	}
	cmd.Flags().StringVarP(path, "config", "c", def, "configuration file; COSMOSGATE_CONFIG sets the default")
}

// startHint says what to do about a gate that did not come up, though its configuration is well-formed.
func startHint(err error, path string) string {
	const sharing = `docs/operations.md, "How do several gates share one directory?"`
	if answer, ok := errors.AsType[*azcore.ResponseError](err); ok { // of the shared directory's account: no other is asked before the start
		if answer.StatusCode == http.StatusNotFound {
			return "make the container, or correct its name in " + path + ": " + sharing
		}
		return "let the identity of directory.cosmos read and write there: " + sharing
	}
	switch {
	case errors.Is(err, directory.ErrInUse):
		return "stop the other gate, or give this one a directory.path of its own in " + path
	case errors.Is(err, syscall.EADDRINUSE):
		return "something else listens there: stop it, or change listen in " + path
	case errors.Is(err, fs.ErrPermission):
		return "give the user that runs the gate the right to it, or correct the path in " + path
	case errors.Is(err, fs.ErrNotExist):
		return "make it, or correct the path in " + path
	case unreached(err):
		return "see whether it can be reached from here, and start the gate again: it lets nobody in without the newest state"
	default:
		return "correct " + path + ", or what it names; docs/operations.md has what to do by question"
	}
}

func unreached(err error) bool {
	_, is := errors.AsType[net.Error](err)
	return is
}

func serve(ctx context.Context, path string, stderr io.Writer) error {
	seen := fingerprint(path) // before reading, so that an edit in between is not missed
	cfg, err := config.Load(path)
	if err != nil {
		return badConfig(err, configHint(err))
	}
	level := new(slog.LevelVar)
	log := newLogger(stderr, &cfg.Log, level)
	g, err := newGate(cfg, log, level, openTCP)
	if err != nil {
		return badConfig(err, startHint(err, path))
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	watching, stop := start(ctx, func() {}, func(ctx context.Context) error {
		reloadOn(ctx, hangups, g, path, seen)
		return nil
	})
	if err := errors.Join(g.Run(ctx), end(watching, stop)); err != nil {
		return failed(err, "")
	}
	return nil
}

// reloadOn obeys SIGHUP, and follows the log level in the configuration file.
func reloadOn(ctx context.Context, hangups <-chan os.Signal, g *gate, path string, seen [sha256.Size]byte) {
	const poll = 2 * time.Second
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			g.reload()
		case <-tick.C:
			now := fingerprint(path)
			if now == seen {
				continue
			}
			seen = now
		}
		g.reread(path)
	}
}

// reread takes the log level from the configuration file again; everything else in it needs a restart.
func (g *gate) reread(path string) {
	cfg, err := config.Load(path)
	if err != nil {
		g.rereads.WithLabelValues("failure").Inc()
		g.log.Error("configuration not reloaded: the old log level stays", "error", err)
		return
	}
	g.rereads.WithLabelValues("success").Inc()
	setLevel(g.level, cfg.Log.Level)
}

// newLogger returns the operations log in the configured form.
func newLogger(w io.Writer, c *config.Log, level *slog.LevelVar) *slog.Logger {
	setLevel(level, c.Level)
	options := &slog.HandlerOptions{Level: level}
	if c.Format == "text" {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

// setLevel sets one of the names that the configuration admits; any other leaves the level alone.
func setLevel(level *slog.LevelVar, name string) {
	var l slog.Level
	if l.UnmarshalText([]byte(name)) == nil {
		level.Set(l)
	}
}
