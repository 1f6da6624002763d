package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/internal/config"
	"github.com/cosmosgate/cosmosgate/internal/control"
	"github.com/cosmosgate/cosmosgate/internal/server"
)

// newControl opens the control socket and puts the acts behind it. Each family of commands has its file, with the command and
// what the gate does about it; the family's function is named here.
func (g *gate) newControl() error {
	mux, err := control.NewMux(control.Config{Reserve: g.reserveAct, Now: time.Now, NewID: newID})
	if err != nil {
		return fmt.Errorf("preparing the control socket: %w", err)
	}
	g.lockActs(mux)
	g.scimActs(mux)
	g.keyActs(mux)
	g.stsActs(mux)
	g.revocationActs(mux)
	g.tokenActs(mux)
	g.directoryActs(mux)

	socket, err := control.Listen(g.cfg.ControlSocket())
	if err != nil {
		return fmt.Errorf("listen.control: %w", err)
	}
	const connections = 32
	g.control, err = server.New(server.Config{
		Name: "control", Listener: socket, Handler: mux, Logger: g.log, MaxConnections: connections, DrainTimeout: g.cfg.Limits.Drain,
	})
	if err != nil {
		return fmt.Errorf("preparing the control socket: %w", errors.Join(err, socket.Close()))
	}
	g.socket = socket
	return nil
}

// reserveAct makes room in the audit log for an act of administration.
func (g *gate) reserveAct() (func(control.Act), error) {
	r, err := g.audit.Reserve()
	if err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	return func(a control.Act) { r.Commit(actRecord(&a)) }, nil
}

// actRecord is an act as docs/audit.md describes it.
func actRecord(a *control.Act) audit.Record {
	r := audit.Record{
		Event: audit.Admin, Time: a.Time, DecisionID: a.ID, Principal: audit.Principal{Kind: "operator"},
		Operation: a.Name, Target: a.Target, Decision: audit.Allow, Status: http.StatusOK, BytesIn: a.In, BytesOut: a.Out,
		Outcome: audit.Answered, Duration: a.Duration, GateDuration: a.Duration,
	}
	if a.Peer.Known {
		r.Principal.Subject, r.Principal.UserName = "uid:"+strconv.Itoa(a.Peer.UID), a.Peer.User()
	}
	if r.Settles = a.Settles; r.Settles != "" {
		r.Reason = reasonTookEffect
	}
	if e := a.Err; e != nil {
		r.Decision, r.Outcome, r.Status, r.Reason, r.Detail = audit.Deny, audit.Refused, e.Status, e.Reason, e.Message
		switch {
		case e.Reason == reasonUnknownOutcome:
			r.Decision, r.Outcome = audit.Error, audit.Unknown
		case e.Reason == reasonNoEffect:
			r.Decision = audit.Error
		case e.Status >= http.StatusInternalServerError:
			r.Decision, r.Outcome = audit.Error, audit.Internal
		}
	}
	return r
}

// operator is what every command that talks to a running gate is told.
type operator struct{ config, socket, output string }

// flags adds --config and --socket, and -o with the forms that the command knows.
func (o *operator) flags(cmd *cobra.Command, known ...string) {
	configFlag(cmd, &o.config)
	cmd.Flags().StringVar(&o.socket, "socket", "", "control socket of the gate (default: the one that the configuration file names)")
	if len(known) > 0 {
		outputFlag(cmd, &o.output, known...)
	}
}

func (o *operator) client() (*control.Client, error) {
	path := o.socket
	if path == "" {
		var err error
		if path, err = config.FindControlSocket(o.config); err != nil {
			return nil, badConfig(err, "name the gate's configuration with --config FILE, or its control socket with --socket PATH")
		}
	}
	return control.NewClient(path), nil
}

// ask has the running gate do an act that takes and gives JSON.
func ask[Out any](ctx context.Context, o *operator, act string, in any) (Out, error) {
	client, err := o.client()
	if err != nil {
		var none Out
		return none, err
	}
	out, err := control.Do[Out](ctx, client, act, in)
	return out, refused(err)
}

// listing completes a command that shows everything of one kind that the running gate has.
func listing[E any](cmd *cobra.Command, act string, show func(*cobra.Command, *operator, []E) error) *cobra.Command {
	var o operator
	cmd.Args = cobra.NoArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		all, err := ask[[]E](cmd.Context(), &o, act, struct{}{})
		if err != nil {
			return err
		}
		return show(cmd, &o, all)
	}
	o.flags(cmd, outputTable, outputJSON)
	return cmd
}

// askStream has the running gate do an act that reads in, which may be nil, and writes to out.
func askStream(ctx context.Context, o *operator, act string, params url.Values, in io.Reader, out io.Writer) error {
	client, err := o.client()
	if err != nil {
		return err
	}
	return refused(client.Stream(ctx, act, params, in, out))
}

// refused gives an error of the gate the form in which commands show it.
func refused(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*control.Error](err); ok {
		return failed(e, e.Hint)
	}
	if errors.Is(err, context.Canceled) {
		return failed(err, "the gate finishes what it has begun: its audit record tells whether this was done")
	}
	return failed(err, "")
}
