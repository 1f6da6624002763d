package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/certs"
	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/directory/journal"
	"github.com/cosmosgate/cosmosgate/identity"
	"github.com/cosmosgate/cosmosgate/identity/feeds"
	"github.com/cosmosgate/cosmosgate/identity/seal"
	"github.com/cosmosgate/cosmosgate/identity/sts"
	"github.com/cosmosgate/cosmosgate/internal/config"
	"github.com/cosmosgate/cosmosgate/internal/server"
	"github.com/cosmosgate/cosmosgate/proxy"
	"github.com/cosmosgate/cosmosgate/scim"
)

// gate is every part of a running gate. newGate builds it from a configuration; Run runs it.
type gate struct {
	cfg   config.Config
	log   *slog.Logger
	level *slog.LevelVar
	open  opener

	certs     *certs.Store
	policy    *policyFolder
	directory *directory.Directory
	journal   *journal.Journal // nil if the directory is this gate's alone
	sealer    seal.Sealer      // nil if the configuration has no key-encryption keys
	revoked   *identity.Revocations
	keys      *identity.Keys // nil if virtual keys are not accepted
	signing   *sts.Keys      // nil if there is no token service
	sts       *sts.Service   // nil if there is none
	identity  *identity.Authenticator
	audit     *audit.Log
	proxy     *proxy.Proxy
	scim      *scim.Server
	feeds     *feeds.Intake // nil if no provider may revoke
	tokens    *connectionTokens

	unrecorded prometheus.Counter // changes by identity providers

	provisioners *identity.Provisioners // identity providers at the SCIM token endpoint
	health       *server.Health
	metrics      *prometheus.Registry
	rereads      *prometheus.CounterVec // of the configuration file, while the gate runs

	data, push, admin, control *server.Server
	socket                     net.Listener // of control
}

// opener opens a listener's address.
type opener func(address string) (net.Listener, error)

func openTCP(address string) (net.Listener, error) {
	return (&net.ListenConfig{}).Listen(context.Background(), "tcp", address) //nolint:wrapcheck // names the address itself
}

// newGate builds all parts, in the order in which they need one another, and opens what they keep open.
// Nothing runs and nothing is answered before Run. On a fault the stores are closed again; the process that could not start
// ends, and takes the listeners with it.
func newGate(cfg config.Config, log *slog.Logger, level *slog.LevelVar, open opener) (_ *gate, err error) {
	g := &gate{cfg: cfg, log: log, level: level, open: open, metrics: prometheus.NewRegistry()}
	g.rereads = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "cosmosgate_config_reloads_total", Help: "Times the configuration file was read again for its log level, by result: success or failure.",
	}, []string{"result"})
	g.rereads.WithLabelValues("failure") // counts from 0, so that the first failure is a rise
	defer func() {
		if err != nil {
			g.close()
		}
	}()
	if g.certs, err = certs.New(certs.Config{Poll: time.Second, Clock: time.Now, Logger: log}); err != nil {
		return nil, fmt.Errorf("preparing certificates: %w", err)
	}
	if g.policy, err = newPolicyFolder(&cfg, log); err != nil {
		return nil, err
	}
	if err := g.openDirectory(); err != nil {
		return nil, fmt.Errorf("opening directory: %w", err)
	}
	if err := errors.Join(g.newSealer(), g.newKeys(), g.newSigningKeys()); err != nil {
		return nil, err
	}
	if g.identity, err = g.newAuthenticator(); err != nil {
		return nil, err
	}
	if g.audit, err = g.openAudit(); err != nil {
		return nil, err
	}
	if g.proxy, err = g.newProxy(); err != nil {
		return nil, err
	}
	if err := errors.Join(g.newServers(), g.newControl()); err != nil {
		return nil, err
	}
	return g, g.register()
}

func (g *gate) openAudit() (*audit.Log, error) {
	a := &g.cfg.Audit
	c := audit.Config{Path: a.Path, MaxBytes: a.MaxBytes, Keep: a.Keep, SyncEvery: a.SyncEvery, Clock: time.Now, Logger: g.log}
	if a.HashKey.Set() {
		key, err := a.HashKey.Resolve()
		if err != nil {
			return nil, fmt.Errorf("audit.hash_key: %w", err)
		}
		c.HashKey = []byte(key)
	}
	l, err := audit.Open(c)
	if err != nil {
		return nil, fmt.Errorf("opening audit log: %w", err)
	}
	return l, nil
}

func (g *gate) newAuthenticator() (*identity.Authenticator, error) {
	bundle, err := g.bundle("issuers", g.cfg.Trust.Issuers)
	if err != nil {
		return nil, err
	}
	if g.revoked, err = identity.NewRevocations(identity.RevocationConfig{Entries: g.directory, Clock: time.Now}); err != nil {
		return nil, fmt.Errorf("preparing revocations: %w", err)
	}
	const patience = 10 * time.Second
	client := &http.Client{Transport: bundle.Transport(), Timeout: patience}
	c := identityConfig(&g.cfg, client, g.log)
	c.Transmitters = transmitters(&g.cfg, client)
	if err := g.ownAuthorities(c.Issuers, patience); err != nil {
		return nil, err
	}
	c.Directory, c.Applications, c.Revocations, c.Keys = g.directory, g.policy.declaredApplications, g.revoked, g.keys
	c.Agents, c.Own = g.policy.declaredAgents, g.ownIssuer()
	if c.Proofs, err = newProofs(&g.cfg); err != nil {
		return nil, err
	}
	a, err := identity.New(c)
	if err != nil {
		return nil, fmt.Errorf("preparing authentication: %w", err)
	}
	return a, nil
}

// identityConfig is what the configuration says about issuers.
func identityConfig(cfg *config.Config, client *http.Client, log *slog.Logger) identity.Config {
	c := identity.Config{Clock: time.Now, Logger: log, MaxWaiting: mostWaiting(&cfg.Limits)}
	for i := range cfg.Issuers {
		x := &cfg.Issuers[i]
		c.InsecureLoopbackIssuers = c.InsecureLoopbackIssuers || x.InsecureLoopback
		c.Issuers = append(c.Issuers, identity.Issuer{
			Name: x.Name, URL: x.URL, Audiences: x.Audiences, TokenType: identity.TokenType(x.TokenType),
			Connection: x.Connection, Claim: x.Claim, FrontEndClients: x.FrontEndClients,
			Algorithms: x.Algorithms, MaxLifetime: x.MaxLifetime, KeysURL: x.KeysURL, KeysFile: x.KeysFile, HTTPClient: client,
			Delegation: x.Delegation, Scopes: x.Scopes,
			Exchange: identity.Exchange{IDTokenClients: x.Exchange.IDTokenClients, Grants: x.Exchange.Grants, Claim: x.Exchange.Claim},
		})
	}
	return c
}

// mostWaiting is how many callers may wait for issuers before it is known who they are, and as many for virtual keys: so that they
// cannot take more than half of what the gate takes on.
func mostWaiting(limits *config.Limits) int {
	const part = 4
	return max(limits.MaxInFlight/part, 1)
}

// ownAuthorities gives each issuer that has a bundle of its own a client that trusts that bundle alone.
func (g *gate) ownAuthorities(issuers []identity.Issuer, patience time.Duration) error {
	for i := range issuers {
		file := g.cfg.Issuers[i].CertificateAuthority
		if file == "" {
			continue
		}
		bundle, err := g.bundle("issuers."+issuers[i].Name, file)
		if err != nil {
			return err
		}
		issuers[i].HTTPClient = &http.Client{Transport: bundle.Transport(), Timeout: patience}
	}
	return nil
}

func (g *gate) bundle(name, file string) (*certs.Bundle, error) {
	var files []string
	if file != "" {
		files = append(files, file)
	}
	b, err := g.certs.Bundle(name, files...)
	if err != nil {
		return nil, fmt.Errorf("loading trust.%s: %w", name, err)
	}
	return b, nil
}

// newServers opens the three listeners and puts the handlers behind them.
func (g *gate) newServers() error {
	g.health = server.NewHealth(
		server.Check{Name: "audit", Probe: g.audit.Healthy},
		server.Check{Name: "directory", Probe: g.directory.Healthy},
		server.Check{Name: "directory_current", Probe: g.directoryCurrent, Advisory: true},
		server.Check{Name: "issuers", Probe: g.identity.Ready},
		server.Check{Name: "accounts", Probe: g.proxy.Ready},
		server.Check{Name: "policy", Probe: g.policy.fault, Advisory: true},
		server.Check{Name: "token_service", Probe: g.signingHealthy, Advisory: true},
	)
	admin, err := server.Admin(server.AdminConfig{Gatherer: g.metrics, Health: g.health, Level: g.level})
	if err != nil {
		return fmt.Errorf("preparing admin listener: %w", err)
	}
	if g.admin, err = g.listen("admin", &g.cfg.Listen.Admin, admin, nil); err != nil {
		return err
	}
	if g.data, err = g.listen("data", &g.cfg.Listen.Data, g.proxy, g.unreadable); err != nil {
		return err
	}
	push, err := g.newSCIMServer()
	if err := errors.Join(err, g.newTokenService()); err != nil {
		return err
	}
	g.push, err = g.listen("scim", &g.cfg.Listen.SCIM, g.services(push), nil)
	return err
}

// unreadable answers what the data listener cannot read, in the form that SDKs take, and records it.
func (g *gate) unreadable(w http.ResponseWriter, u server.Unreadable) {
	g.proxy.RefuseUnreadable(w, proxy.Unreadable(u))
}

func (g *gate) listen(name string, l *config.Listener, h http.Handler, refuse server.Refuse) (*server.Server, error) {
	c := server.Config{
		Name: name, Handler: h, Logger: g.log, MaxConnections: l.MaxConnections, DrainTimeout: g.cfg.Limits.Drain,
		Refuse: refuse,
	}
	if l.TLS.Certificate != "" {
		pair, err := g.certs.KeyPair(name, l.TLS.Certificate, l.TLS.Key)
		if err != nil {
			return nil, fmt.Errorf("loading certificate of listen.%s: %w", name, err)
		}
		c.TLS = certs.ServerConfig(pair, nil)
		if l.ClientCertificates {
			c.TLS.ClientAuth = tls.RequestClientCert
		}
	}
	listener, err := g.open(l.Address)
	if err != nil {
		return nil, fmt.Errorf("opening listen.%s: %w", name, err)
	}
	c.Listener = listener
	s, err := server.New(c)
	if err != nil {
		return nil, fmt.Errorf("preparing listen.%s: %w", name, errors.Join(err, listener.Close()))
	}
	return s, nil
}

func (g *gate) register() error {
	all := []prometheus.Collector{collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})}
	all = append(all, g.rereads)
	all = append(all, g.policy.collectors()...)
	all = append(all, g.certs.Collectors()...)
	all = append(all, g.directory.Collectors()...)
	if g.journal != nil {
		all = append(all, g.journal.Collectors()...)
	}
	all = append(all, g.revoked.Collectors()...)
	if g.keys != nil {
		all = append(all, g.keys.Collectors()...)
	}
	if g.feeds != nil {
		all = append(all, g.feeds.Collectors()...)
	}
	all = append(all, g.identity.Collectors()...)
	all = append(all, g.audit.Collectors()...)
	all = append(all, g.proxy.Collectors()...)
	if g.sts != nil {
		all = append(all, g.sts.Collectors()...)
	}
	if g.scim != nil {
		all = append(all, g.scim.Collectors()...)
		all = append(all, g.tokens, g.unrecorded)
		all = append(all, g.tokens.oauth.Collectors()...)
	}
	for _, s := range []*server.Server{g.data, g.push, g.admin, g.control} {
		all = append(all, s.Collectors()...)
	}
	for _, c := range all {
		if err := g.metrics.Register(c); err != nil {
			return fmt.Errorf("registering metrics: %w", err)
		}
	}
	return nil
}

// close gives back what newGate opened, if Run never ran.
func (g *gate) close() {
	if g.socket != nil {
		_ = g.socket.Close() // nobody was answered
	}
	if g.audit != nil {
		_ = g.audit.Close() // nothing was recorded
	}
	if g.directory != nil {
		_ = g.directory.Close() // nothing was written
	}
}

// Run serves until ctx ends or a part fails, then stops in the order in which the parts depend on one another: readiness,
// the listeners, what runs in the background, and the audit log last, so that it holds the record of the last request.
func (g *gate) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	detached := context.WithoutCancel(ctx)

	audit, stopAudit := start(detached, stop, g.audit.Run)
	background, stopBackground := start(detached, stop,
		g.certs.Run, g.directory.Run, g.keepJournal, g.identity.Run, g.proxy.Run, g.policy.Run,
		g.watchSCIM, g.watchKeys, g.watchSigning, g.admin.Run, g.control.Run)
	listeners, stopListeners := start(detached, stop, g.data.Run, g.push.Run)
	g.health.Started()
	g.log.Info("gate started", "data", g.data.Addr().String(), "scim", g.push.Addr().String(), "admin", g.admin.Addr().String())

	<-ctx.Done()
	g.health.Drain()
	g.log.Info("gate draining", "bound", g.cfg.Limits.Drain)
	err := errors.Join(end(listeners, stopListeners), end(background, stopBackground), end(audit, stopAudit), g.directory.Close())
	g.log.Info("gate stopped", "error", err)
	return err
}

// start runs the parts of one stage until its stop function is called; the first part to end by itself calls ended.
func start(parent context.Context, ended func(), parts ...func(context.Context) error) (*errgroup.Group, context.CancelFunc) {
	ctx, stop := context.WithCancel(parent)
	var stage errgroup.Group
	for _, run := range parts {
		stage.Go(func() error {
			defer ended()
			return run(ctx)
		})
	}
	return &stage, stop
}

// end stops a stage and waits for its parts.
func end(stage *errgroup.Group, stop context.CancelFunc) error {
	stop()
	return stage.Wait() //nolint:wrapcheck // each part's error says whose it is
}

// reload reads everything again that may change while the gate runs.
func (g *gate) reload() {
	if err := g.certs.Reload(); err != nil {
		g.log.Error("certificates not reloaded: the old ones stay in use", "error", err)
	}
	g.policy.ask()
}
