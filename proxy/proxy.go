package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Proxy is the data path: an [http.Handler] for the main listener. Give it to a
// server as it is, without a mux in between: a mux would redirect paths that have
// a meaning here.
type Proxy struct {
	authenticator Authenticator
	authorizer    Authorizer
	policyHash    func() string
	reserveSlot   Recorder
	logger        *slog.Logger
	now           func() time.Time
	newID         func() string
	limits        Limits

	cfg      Config
	accounts []*account
	hosts    map[string]*account
	buffers  sync.Pool // of *[]byte, see lend
	inFlight atomic.Int64
	budgets  budgets
	shares   shares
	metrics  *metrics
	lastDate atomic.Pointer[second]
	actions  [1 << actionBits]atomic.Pointer[[]string] // names of each set of actions seen
}

// ErrNotReady is wrapped by what [Proxy.Ready] returns.
var ErrNotReady = errors.New("proxy not ready")

// New checks cfg, reporting every fault at once, and returns a proxy that answers
// 503 until [Proxy.Run] has read what it needs. It contacts nothing.
func New(cfg Config) (*Proxy, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg.Limits = cfg.Limits.withDefaults()
	p := &Proxy{
		authenticator: cfg.Authenticator, authorizer: cfg.Authorizer,
		policyHash: cfg.PolicyHash, reserveSlot: cfg.Reserve,
		logger: cfg.Logger, now: cfg.Now, newID: cfg.NewID,
		limits: cfg.Limits, cfg: cfg,
		shares: shares{all: share{cfg.Limits.MaxInFlight, cfg.Limits.MaxBufferedBytes}},
	}
	p.metrics = newMetrics(func() float64 { return float64(p.inFlight.Load()) })
	for i := range cfg.Accounts {
		built, err := newAccount(&cfg.Accounts[i], &cfg, p.metrics)
		if err != nil {
			return nil, err
		}
		p.accounts = append(p.accounts, built)
		p.metrics.watch(built)
	}
	var err error
	if p.hosts, err = selectByHost(cfg.Accounts, p.accounts); err != nil {
		return nil, err
	}
	return p, nil
}

// Run keeps upstream tokens and account documents fresh until ctx ends, and
// returns nil then.
func (p *Proxy) Run(ctx context.Context) error {
	var group sync.WaitGroup
	for _, a := range p.accounts {
		group.Go(func() { a.run(ctx, &p.cfg) })
	}
	group.Wait()
	return nil
}

// Ready returns nil once the document of at least one account has been read, and
// from then on: what is already known is served through any outage of upstream.
// Before that, the error names the accounts.
func (p *Proxy) Ready() error {
	var missing []string
	for _, a := range p.accounts {
		if a.document.Load() != nil {
			return nil
		}
		missing = append(missing, a.name)
	}
	return fmt.Errorf("%w: no account document of %s yet", ErrNotReady, strings.Join(missing, ", "))
}

// Collectors returns the proxy's metrics.
func (p *Proxy) Collectors() []prometheus.Collector { return p.metrics.collectors() }

// ServeHTTP serves one request of a Cosmos SDK. It panics with
// [http.ErrAbortHandler] when a response can't be finished: there is no other way
// to tell the caller that what it has is not the whole.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := p.accept(w, r)
	defer p.record(c)
	defer p.finish(c)
	if c.guide = p.guideName(r); c.guide != "" {
		p.guide(c)
		return
	}
	if err := p.admit(c); err != nil {
		p.refuse(c, err)
		return
	}
	p.forward(c)
}
