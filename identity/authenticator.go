package identity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cosmosgate/cosmosgate/directory"
)

// Directory is what is asked on every call.
type Directory interface {
	// Lookup returns the record linked to k.
	Lookup(k directory.LinkKey) (directory.UserView, bool)
	// Locked returns the lock in force on s, if there is one.
	Locked(s directory.Subject) (*directory.Lock, bool)
}

// Config is everything an [Authenticator] needs.
type Config struct {
	// Issuers are trusted; at least one.
	Issuers []Issuer
	// Directory answers for people and locks. Required.
	Directory Directory
	// Applications returns the declared applications. It must return the same slice until the declarations change, and never
	// write to one it has returned: cached verdicts live as long as the slice does. Nil means none.
	Applications func() []Application
	// Revocations are consulted on every call. Nil means that there are none.
	Revocations *Revocations
	// Agents returns the declared agents, under the same terms as Applications. Nil means none.
	Agents func() []Agent
	// Own is the gate's own token service; nil if it has none.
	Own *OwnIssuer
	// Proofs check who presents a token that is bound to a key. Nil means that such tokens are refused.
	Proofs *ProofVerifier
	// Transmitters may sign what [Authenticator.Message] checks.
	Transmitters []Transmitter
	// Keys are the account keys that the gate accepts. Nil means none.
	Keys *Keys
	// MaxWaiting is how many callers may wait for the keys of issuers at once, of all issuers together; zero means 256.
	MaxWaiting int
	// CacheSize is the number of verified tokens kept; zero means 10,000.
	CacheSize int
	// InsecureLoopbackIssuers accepts issuers on loopback, also over plain HTTP. For development only.
	InsecureLoopbackIssuers bool
	// Clock tells the time. Required.
	Clock func() time.Time
	// Logger receives key set events. Required.
	Logger *slog.Logger
}

var (
	errNoIssuers   = errors.New("identity: issuers: at least one is required")
	errNoDirectory = errors.New("identity: directory is required")
	errNoClock     = errors.New("identity: clock is required")
	errNoLogger    = errors.New("identity: logger is required")
	errCacheSize   = errors.New("identity: cache size must not be negative")
	errTwice       = errors.New("is declared twice")
	errShared      = errors.New("a connection belongs to one issuer, or to the Entra v1 and v2 issuers of one tenant with one claim")
)

// Authenticator proves who is calling. It is safe for concurrent use.
type Authenticator struct {
	directory    Directory
	applications func() []Application
	revocations  *Revocations
	agents       func() []Agent
	proofs       *ProofVerifier
	keys         *Keys
	clock        func() time.Time
	cache        *cache
	metrics      *metrics
	waiting      *places // for keys of issuers
	issuers      []*issuer
	transmitters map[string]*issuer // by iss
	messengers   []*issuer          // transmitters with keys of their own
	byURL        map[string]*issuer
}

// New checks cfg, reporting every fault at once, and returns an Authenticator that refuses until [Authenticator.Run] has keys.
func New(cfg Config) (*Authenticator, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}

	remembered, err := newCache(cfg.CacheSize)
	if err != nil {
		return nil, err
	}

	a := &Authenticator{
		directory:    cfg.Directory,
		applications: cfg.Applications,
		revocations:  cfg.Revocations,
		agents:       cfg.Agents,
		proofs:       cfg.Proofs,
		keys:         cfg.Keys,
		clock:        cfg.Clock,
		cache:        remembered,
		metrics:      newMetrics(),
		waiting:      newPlaces(cfg.MaxWaiting),
		transmitters: make(map[string]*issuer, len(cfg.Transmitters)),
		byURL:        make(map[string]*issuer, len(cfg.Issuers)),
	}

	if a.applications == nil {
		a.applications = func() []Application { return nil }
	}

	if a.agents == nil {
		a.agents = func() []Agent { return nil }
	}

	if cfg.Own != nil {
		own := cfg.Own.complete()
		own.peers = a.byURL
		a.byURL[own.URL] = own
	}

	for _, declared := range cfg.Issuers {
		is := declared.complete()
		is.peers = a.byURL
		source := newFetcher(is.URL, fetchConfig{
			client: is.HTTPClient, loopback: cfg.InsecureLoopbackIssuers, clock: cfg.Clock, keysURL: is.KeysURL, keysFile: is.KeysFile,
			use: is.keyUse(),
		})

		is.keys, err = newKeySet(source, cfg.Logger.With(slog.String("issuer", is.Name)), a.metrics.issuer(is.Name), a.waiting)
		if err != nil {
			return nil, err
		}

		a.issuers = append(a.issuers, is)
		a.byURL[is.URL] = is
	}

	if err := a.addTransmitters(cfg); err != nil {
		return nil, err
	}

	return a, nil
}

func (cfg Config) validate() error {
	var faults []error

	for _, required := range []struct {
		missing bool
		fault   error
	}{
		{len(cfg.Issuers) == 0, errNoIssuers},
		{cfg.Directory == nil, errNoDirectory},
		{cfg.Clock == nil, errNoClock},
		{cfg.Logger == nil, errNoLogger},
		{cfg.CacheSize < 0, errCacheSize},
	} {
		if required.missing {
			faults = append(faults, required.fault)
		}
	}

	if cfg.Own != nil {
		if err := cfg.Own.validate(cfg.Issuers); err != nil {
			faults = append(faults, err)
		}
	}

	for _, t := range cfg.Transmitters {
		if err := t.validate(cfg.InsecureLoopbackIssuers); err != nil {
			faults = append(faults, fmt.Errorf("identity: transmitter %q: %w", t.Name, err))
		}
	}

	for i, is := range cfg.Issuers {
		if err := is.validate(cfg.InsecureLoopbackIssuers); err != nil {
			faults = append(faults, fmt.Errorf("identity: issuer %q: %w", is.Name, err))
		}

		for _, earlier := range cfg.Issuers[:i] {
			if err := is.compatible(earlier); err != nil {
				faults = append(faults, fmt.Errorf("identity: issuer %q: %w", is.Name, err))
			}
		}
	}

	return errors.Join(faults...)
}

// Run keeps the issuers' keys fresh until ctx ends. It returns nil then.
func (a *Authenticator) Run(ctx context.Context) error {
	var loops sync.WaitGroup

	for _, is := range slices.Concat(a.issuers, a.messengers) {
		loops.Go(func() { is.keys.run(ctx) })
	}

	loops.Wait()

	return nil
}

// Authenticate returns the principal behind c or an *[Error]. It waits for the network only while a first or a demanded refresh
// of the issuer's keys is under way, and no longer than 5 seconds.
func (a *Authenticator) Authenticate(ctx context.Context, c Credential) (p Principal, err error) {
	switch c.Scheme {
	case SchemeToken:
	case SchemeMasterKey:
		return a.authenticateKey(ctx, &c.Signed)
	default:
		return Principal{}, refuse(SubstatusMissing, "no credential")
	}

	if len(c.Token) > maxTokenBytes {
		return Principal{}, refuse(SubstatusMalformed, "token is larger than 16 KB")
	}

	proven, err := a.verdict(ctx, c.Token)
	if err != nil {
		return Principal{}, err
	}

	// The result is filled where it lies: a Principal is large, and copied for every request.
	if err := a.enter(proven, &p); err != nil {
		return Principal{}, err
	}

	if p.Confirm == (Confirmation{}) {
		return p, nil
	}

	if err := a.confirm(ctx, proven, c); err != nil {
		return Principal{}, err
	}

	return p, nil
}

// confirm wants the proof of possession that a bound token demands: on every call, since each needs its own.
func (a *Authenticator) confirm(ctx context.Context, proven *verdict, c Credential) error {
	if a.proofs == nil {
		return refuse(SubstatusScope, "bound to a key (cnf), and proofs are not accepted")
	}

	return a.proofs.Confirm(ctx, proven.principal.Confirm, c.Token, &c.Proof)
}

// verdict returns what the token proves, from memory or by checking it.
func (a *Authenticator) verdict(ctx context.Context, raw string) (*verdict, error) {
	now := a.clock()
	declared := a.declared()
	d := digestOf(raw)

	if known := a.cache.verdict(d, now, declared); known != nil {
		a.metrics.hits.Inc()

		return known, nil
	}

	if err := a.cache.refusal(d, now); err != nil {
		a.metrics.negatives.Inc()

		return nil, err
	}

	a.metrics.misses.Inc()

	proven, err := a.verify(ctx, raw, declared)
	if err != nil {
		a.cache.refuse(d, err, now)

		return nil, err
	}

	a.cache.accept(d, proven, now)

	return proven, nil
}

// declared returns what clients are recognised by at this moment.
func (a *Authenticator) declared() declarations {
	return declarations{applications: a.applications(), agents: a.agents()}
}

// verify checks a token: shape, issuer, signature, then what the signature covers.
func (a *Authenticator) verify(ctx context.Context, raw string, declared declarations) (*verdict, error) {
	p, err := a.prove(ctx, raw)
	if err != nil {
		return nil, err
	}

	proven, err := p.issuer.judge(p.token, a.clock(), declared)
	if err != nil {
		return nil, err
	}

	proven.generation = p.generation

	return proven, nil
}

// signed is a token whose signature is right, and nothing more.
type signed struct {
	*token

	issuer     *issuer
	generation uint64
}

// prove checks shape, issuer and signature.
func (a *Authenticator) prove(ctx context.Context, raw string) (*signed, error) {
	if len(raw) > maxTokenBytes {
		return nil, refuse(SubstatusMalformed, "token is larger than 16 KB")
	}

	t, err := parseToken(raw)
	if err != nil {
		return nil, err
	}

	// Before anything else, because the caller must learn it even if the issuer of Cosmos tokens is none of ours.
	if forCosmos(t.claims.list("aud")) {
		return nil, &Error{Substatus: SubstatusAudience, Hint: cosmosHint, Reason: "audience is Azure Cosmos DB itself"}
	}

	// The unproven iss only selects who checks the signature.
	is, found := a.byURL[t.claims.authority()]
	if !found {
		return nil, refuse(SubstatusSignature, "issuer is not trusted")
	}

	// Read before the keys are: see keySet.publish.
	generation := is.generation()

	if err := is.prove(ctx, t); err != nil {
		return nil, err
	}

	return &signed{token: t, issuer: is, generation: generation}, nil
}

// admit is enter for those who are not in a hurry.
func (a *Authenticator) admit(proven *verdict) (Principal, error) {
	var p Principal
	if err := a.enter(proven, &p); err != nil {
		return Principal{}, err
	}

	return p, nil
}

// enter reads what may have changed since the token was checked, on every call, and fills p.
func (a *Authenticator) enter(proven *verdict, p *Principal) error {
	if a.revocations != nil {
		if reason, revoked := a.revocations.covers(proven.traces); revoked {
			return shutOut(proven.principal, reason)
		}
	}

	for _, actor := range proven.principal.Actors {
		subject := directory.Subject{Kind: directory.SubjectAgent, Name: actor.Agent}
		if lock, locked := a.directory.Locked(subject); locked {
			return shutOut(proven.principal, "agent "+actor.Agent+" is locked: "+lock.Message)
		}
	}

	*p = proven.principal

	switch p.Kind {
	case KindPerson:
		return a.enterPerson(proven, p)
	case KindApplication:
		return a.enterClient(p, directory.SubjectApplication)
	case KindAgent:
		return a.enterClient(p, directory.SubjectAgent)
	default:
		return refuse(SubstatusScope, "nobody")
	}
}

func (a *Authenticator) enterPerson(proven *verdict, p *Principal) error {
	user, found := a.directory.Lookup(proven.link)
	p.Record, p.User = user.ID, user

	switch {
	case !found:
		return shutOut(*p, ReasonNoRecord)
	case proven.record != "" && proven.record != user.ID:
		return shutOut(*p, "the directory record is not the one that the token was issued for")
	case !user.Active:
		return shutOut(*p, "directory record is inactive")
	case user.Lock != nil:
		return shutOut(*p, "locked: "+user.Lock.Message)
	}

	return nil
}

func (a *Authenticator) enterClient(p *Principal, kind directory.SubjectKind) error {
	subject := directory.Subject{Kind: kind, Name: p.Application}
	if lock, locked := a.directory.Locked(subject); locked {
		return shutOut(*p, "locked: "+lock.Message)
	}

	return nil
}

// shutOut refuses somebody whose credential is genuine.
func shutOut(who Principal, reason string) *Error {
	return &Error{Substatus: SubstatusRevoked, Reason: reason, Refused: &who}
}

// Waiting is how many callers wait for keys, of whom nobody knows yet who they are.
func (a *Authenticator) Waiting() int {
	waiting := a.waiting.used()
	if a.keys != nil {
		waiting += a.keys.waiting.used()
	}

	return waiting
}

// Ready returns nil once the tokens of at least one issuer can be checked, else what keeps each from it. An issuer in an outage
// whose last good keys still serve counts; one issuer's trouble never takes the gate from the others (watch the metrics for it).
func (a *Authenticator) Ready() error {
	var faults []error

	for _, is := range a.issuers {
		err := is.keys.ready()
		if err == nil {
			return nil
		}

		faults = append(faults, fmt.Errorf("issuer %s: %w", is.Name, err))
	}

	return errors.Join(faults...)
}

// Collectors returns the metrics to register.
func (a *Authenticator) Collectors() []prometheus.Collector {
	return []prometheus.Collector{a.metrics.lookups, a.metrics.refreshes, newKeyCollector(slices.Concat(a.issuers, a.messengers))}
}
