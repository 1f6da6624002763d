package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/cosmosgate/cosmosgate/certs"
	"github.com/cosmosgate/cosmosgate/internal/config"
	"github.com/cosmosgate/cosmosgate/internal/devidp"
	"github.com/cosmosgate/cosmosgate/internal/emulator"
	"github.com/cosmosgate/cosmosgate/internal/server"
)

// devOptions are the flags of `cosmosgate dev`.
type devOptions struct {
	host, state, readyFile string
	port                   int
	verbose, onlyEmulator  bool
	private                bool // not the one that commands find without being told

	// What test suites need and nobody else: not shown in the help.
	region, consistency string
	tokenLifetime       time.Duration
	sessionLifetime     time.Duration
	// hostID begins the client ids of the managed identities: eight hexadecimal digits. azidentity remembers the tokens of an id for as
	// long as a process lives, so that two worlds in one process need different ones.
	hostID string
}

// managedHost begins the client ids of the managed identities.
func (o *devOptions) managedHost() string { return cmp.Or(o.hostID, devHost) }

func newDev() *cobra.Command {
	var o devOptions
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a complete gate on this machine, with people, data and a policy to edit",
		Long: `Runs everything in one process on loopback: the gate, a development identity provider, a Cosmos DB stand-in with
data in it, and a directory filled over SCIM. The policy is written to a folder; edit it and the gate obeys at once.

With --only-emulator there is no gate: just the Cosmos DB stand-in, its account key, and managed identities that sign in to
it as they would with Entra ID.

Nothing here is a secret and nobody is asked for a password: it refuses to bind anything but loopback.`,
		Example: "  cosmosgate dev\n  cosmosgate dev --state ./dev-state      # keep people, data and policy between runs\n" +
			"  cosmosgate dev --only-emulator\n  cosmosgate dev token ann",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDev(cmd.Context(), o, cmd.ErrOrStderr(), func(r *ready) error { return announceWorld(cmd.OutOrStdout(), r) })
		},
	}
	const firstPort = 8443
	cmd.Flags().BoolVar(&o.onlyEmulator, "only-emulator", false, "run the Cosmos DB stand-in without a gate, with managed identities to sign in with")
	cmd.Flags().StringVar(&o.host, "host", "127.0.0.1", "loopback address to bind")
	cmd.Flags().IntVar(&o.port, "port", firstPort, "first of six consecutive ports; 0 takes free ones")
	cmd.Flags().StringVar(&o.state, "state", "", "folder that keeps everything between runs (default: a temporary one)")
	cmd.Flags().StringVar(&o.readyFile, "ready-file", "", "also write endpoints, people and secrets to this file, as JSON, once the gate is ready")
	cmd.Flags().BoolVarP(&o.verbose, "verbose", "v", false, "show the operations log")
	cmd.Flags().StringVar(&o.region, "region", devRegion, "name of the account's region")
	cmd.Flags().StringVar(&o.consistency, "consistency", "", "default consistency that the stand-in publishes")
	cmd.Flags().DurationVar(&o.tokenLifetime, "token-lifetime", 0, "life of the tokens of people and applications")
	cmd.Flags().DurationVar(&o.sessionLifetime, "session-lifetime", 0, "life of the sessions that people sign in to")
	for _, name := range []string{"region", "consistency", "token-lifetime", "session-lifetime"} {
		cmd.Flags().Lookup(name).Hidden = true
	}
	cmd.AddCommand(newDevToken())
	return cmd
}

var errNotLoopback = errors.New("is not a loopback address")

// runDev runs the development world until ctx ends; announce is called once everything answers.
func runDev(ctx context.Context, o devOptions, stderr io.Writer, announce func(*ready) error) error {
	if ip := net.ParseIP(o.host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("%s %w: dev trusts everybody who can reach it", o.host, errNotLoopback)
	}
	if o.state == "" {
		dir, err := os.MkdirTemp("", "cosmosgate-dev-")
		if err != nil {
			return failed(fmt.Errorf("making a state folder: %w", err), "give one with --state")
		}
		defer os.RemoveAll(dir) //nolint:errcheck // a leftover in the temporary folder harms nobody
		o.state = dir
	}
	var err error
	if o.state, err = filepath.Abs(o.state); err != nil {
		return failed(fmt.Errorf("finding the state folder: %w", err), "")
	}
	world, err := newDevWorld(o, stderr)
	if err != nil {
		return failed(err, "")
	}
	if err := world.run(ctx, announce); err != nil {
		return failed(err, "")
	}
	return nil
}

// devWorld is the gate with everything that surrounds it.
type devWorld struct {
	options  devOptions
	log      *slog.Logger
	ports    map[string]net.Listener
	provider *devidp.Provider
	cosmos   *emulator.Emulator
	gate     *gate
	around   []*server.Server // what is not the gate: provider, managed identity endpoint, stand-in
	ready    ready

	identityHeader string // what a managed identity's token is asked for with
}

// The listeners of a development world, in the order of their ports.
const (
	portData     = "data"
	portSCIM     = "scim"
	portAdmin    = "admin"
	portProvider = "provider"
	portIdentity = "identity"
	portCosmos   = "cosmos"
)

func newDevWorld(o devOptions, stderr io.Writer) (_ *devWorld, err error) {
	if o.region == "" {
		o.region = devRegion
	}
	w := &devWorld{options: o, log: slog.New(slog.DiscardHandler), ports: map[string]net.Listener{}}
	level := new(slog.LevelVar)
	if o.verbose {
		w.log = newLogger(stderr, &config.Log{Level: "info", Format: "text"}, level)
	}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	const oursOnly = 0o700
	if err := os.MkdirAll(o.state, oursOnly); err != nil {
		return nil, fmt.Errorf("making the state folder: %w", err)
	}
	authority, err := certs.DevelopmentAuthority(filepath.Join(o.state, "tls"), nil, time.Now)
	if err != nil {
		return nil, fmt.Errorf("making the development authority: %w", err)
	}
	if err := w.open(); err != nil {
		return nil, err
	}
	checkoutSecret, err := secretFile(filepath.Join(o.state, "checkout-secret"))
	if err != nil {
		return nil, err
	}
	if err := w.surround(authority, checkoutSecret); err != nil {
		return nil, err
	}
	if o.onlyEmulator {
		w.describeStandIn(authority)
		return w, nil
	}
	scimToken, err := secretFile(filepath.Join(o.state, "scim-token"))
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		sealingKeyFile(filepath.Join(o.state, "sealing-keys")),
		writePolicy(filepath.Join(o.state, "policy"), agentKeyFile(o.state)),
	)
	if err != nil {
		return nil, err
	}
	w.describe(authority, checkoutSecret, scimToken)
	cfg, err := w.writeConfig(authority)
	if err != nil {
		return nil, err
	}
	w.gate, err = newGate(cfg, w.log, level, func(address string) (net.Listener, error) { return w.listener(address) })
	if err != nil {
		return nil, err
	}
	return w, nil
}

// open takes all ports at once, so that their addresses can be written into the configuration.
func (w *devWorld) open() error {
	names := []string{portData, portSCIM, portAdmin, portProvider, portIdentity, portCosmos}
	if w.options.onlyEmulator {
		names = []string{portCosmos, portProvider, portIdentity}
	}
	for n, name := range names {
		port := 0
		if w.options.port != 0 {
			port = w.options.port + n
		}
		l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", net.JoinHostPort(w.options.host, strconv.Itoa(port)))
		if err != nil {
			return fmt.Errorf("opening a port: %w (choose others with --port)", err)
		}
		w.ports[name] = l
	}
	return nil
}

var errNoListener = errors.New("no listener was opened")

func (w *devWorld) listener(address string) (net.Listener, error) {
	for _, l := range w.ports {
		if l.Addr().String() == address {
			return l, nil
		}
	}
	return nil, fmt.Errorf("%w for %s", errNoListener, address)
}

// url is where a caller on this machine finds a listener.
func (w *devWorld) url(scheme, port string) string {
	_, p, err := net.SplitHostPort(w.ports[port].Addr().String())
	if err != nil {
		return "" // an address of net's own making always splits
	}
	return scheme + "://" + net.JoinHostPort("localhost", p)
}

// surround builds what the gate meets in production: an identity provider, a host with managed identities, Cosmos DB.
func (w *devWorld) surround(authority *certs.Authority, checkoutSecret string) error {
	identityHeader, err := newSecret()
	if err != nil {
		return err
	}
	w.identityHeader = identityHeader
	w.provider, err = devProvider(devidp.Config{
		Issuer: w.url("https", portProvider) + "/dev", Clock: time.Now, Logger: w.log,
		TokenLifetime: w.options.tokenLifetime, SessionLifetime: w.options.sessionLifetime,
	}, w.options.managedHost(), checkoutSecret, identityHeader)
	if err != nil {
		return err
	}
	endpoint, err := url.Parse(w.provider.IdentityEndpoint())
	if err != nil {
		return fmt.Errorf("placing the managed identity endpoint: %w", err)
	}
	if err := pretendHost(w.url("http", portIdentity)+endpoint.Path, identityHeader); err != nil {
		return err
	}
	w.cosmos, err = devCosmos(emulator.Config{
		Locations: []emulator.Location{{Name: w.options.region, Endpoint: w.url("https", portCosmos) + "/"}}, Consistency: w.options.consistency,
		Clock: time.Now, Random: rand.Reader,
	}, w.provider)
	if err != nil {
		return err
	}
	store, err := certs.New(certs.Config{Clock: time.Now, Logger: w.log})
	if err != nil {
		return fmt.Errorf("loading the development certificate: %w", err)
	}
	pair, err := store.KeyPair("dev", authority.CertFile, authority.KeyFile)
	if err != nil {
		return fmt.Errorf("loading the development certificate: %w", err)
	}
	for _, s := range []struct {
		name    string
		handler http.Handler
		clear   bool
	}{
		{portProvider, w.provider, false}, {portIdentity, w.provider, true}, {portCosmos, devControl(w.cosmos, emulator.WellKnownKey), false},
	} {
		c := server.Config{Name: s.name, Listener: w.ports[s.name], Handler: s.handler, Logger: w.log}
		if !s.clear {
			c.TLS = certs.ServerConfig(pair, nil)
		}
		running, err := server.New(c)
		if err != nil {
			return fmt.Errorf("preparing %s: %w", s.name, err)
		}
		w.around = append(w.around, running)
	}
	return nil
}

// pretendHost sets what App Service sets on a host with managed identities; the gate's own code cannot tell the difference.
func pretendHost(endpoint, header string) error {
	return errors.Join(os.Setenv("IDENTITY_ENDPOINT", endpoint), os.Setenv("IDENTITY_HEADER", header))
}

func (w *devWorld) describe(authority *certs.Authority, checkoutSecret, scimToken string) {
	binary, err := os.Executable()
	if err != nil {
		binary = "cosmosgate"
	}
	w.ready = ready{
		Gate: readyGate{Endpoint: w.url("https", portData) + "/", Admin: w.url("http", portAdmin) + "/"},
		CA:   authority.CAFile, Account: devAccount,
		SCIM:   readySCIM{URL: w.url("https", portSCIM) + "/scim/v2/" + devConnection, Token: scimToken},
		Issuer: w.provider.Issuer(), Audience: devAudience, ClientID: devCLI,
		Agent:        &readyAgent{Name: devAgent, KeyFile: agentKeyFile(w.options.state), May: devAgentMay},
		TokenService: w.url("https", portSCIM),
		Applications: []readyClient{{Name: devApplication, ClientID: devApplication, Secret: checkoutSecret, May: devApplicationMay}},
		Emulator:     readyEmulator{Endpoint: w.url("https", portCosmos) + "/", Key: emulator.WellKnownKey},
		Config:       filepath.Join(w.options.state, "cosmosgate.yaml"),
		Policy:       filepath.Join(w.options.state, "policy"), Audit: filepath.Join(w.options.state, "audit.jsonl"),
		TokenCommand: []string{binary, "dev", "token", "--state", w.options.state}, PID: os.Getpid(),
	}
	for _, p := range devPeople() {
		w.ready.People = append(w.ready.People, readyPerson{Name: p.name, ExternalID: p.id, Department: p.department, Group: p.group, May: p.may})
	}
}

// run runs everything until ctx ends or a part fails.
func (w *devWorld) run(ctx context.Context, announce func(*ready) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	around := make([]func(context.Context) error, 0, len(w.around))
	for _, s := range w.around {
		around = append(around, s.Run)
	}
	surroundings, stopSurroundings := start(context.WithoutCancel(ctx), stop, around...)
	if w.gate == nil {
		err := w.prepareStandIn(announce)
		if err == nil {
			<-ctx.Done()
		}
		return errors.Join(err, w.keep(), end(surroundings, stopSurroundings))
	}
	gate, stopGate := start(ctx, stop, w.gate.Run)
	err := w.prepare(ctx, announce)
	if err == nil {
		<-ctx.Done()
	}
	return errors.Join(err, end(gate, stopGate), w.keep(), end(surroundings, stopSurroundings))
}

// prepare fills the world, waits until the gate is ready, and says so.
func (w *devWorld) prepare(ctx context.Context, announce func(*ready) error) error {
	if err := w.restore(); err != nil {
		return err
	}
	client, err := trustingClient(w.ready.CA)
	if err != nil {
		return err
	}
	ids, err := seedDirectory(ctx, client, &w.ready.SCIM)
	if err != nil {
		return err
	}
	for n := range w.ready.People {
		w.ready.People[n].ID = ids[w.ready.People[n].ExternalID]
	}
	for _, g := range devGroups() {
		w.ready.Groups = append(w.ready.Groups, readyGroup{Name: g.name, ID: ids[g.id], ExternalID: g.id})
	}
	if err := awaitReady(ctx, w.ready.Gate.Admin); err != nil {
		return err
	}
	if err := errors.Join(writeSnippets(&w.ready, snippetFolder(&w.ready)), w.writeReady()); err != nil {
		return err
	}
	return announce(&w.ready)
}

// writeReady tells programs that everything answers, and where.
func (w *devWorld) writeReady() error {
	faults := []error{w.ready.write(filepath.Join(w.options.state, "ready.json"))}
	if !w.options.private {
		current, err := currentReady()
		if err != nil {
			return err
		}
		faults = append(faults, w.ready.write(current))
	}
	if w.options.readyFile != "" {
		faults = append(faults, w.ready.write(w.options.readyFile))
	}
	return errors.Join(faults...)
}

// close gives the ports back if the world never ran.
func (w *devWorld) close() {
	for _, l := range w.ports {
		_ = l.Close() // nothing was accepted on it
	}
}

// newSecret returns 256 random bits as text.
func newSecret() (string, error) {
	const bytes = 32
	b := make([]byte, bytes)
	if _, err := rand.Read(b); err != nil {
		return "", fmt.Errorf("making a secret: %w", err)
	}
	return hex.EncodeToString(b), nil
}

// secretFile returns the secret kept in a file, made on first use.
func secretFile(path string) (string, error) {
	if s, err := (config.Secret{File: path}).Resolve(); err == nil {
		return s, nil
	}
	s, err := newSecret()
	if err != nil {
		return "", err
	}
	const ours = 0o600
	if err := os.WriteFile(path, []byte(s+"\n"), ours); err != nil {
		return "", fmt.Errorf("keeping a secret: %w", err)
	}
	return s, nil
}
