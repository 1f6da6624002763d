package identity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	lru "github.com/hashicorp/golang-lru/v2"
)

const (
	// minRefresh and maxRefresh bound what an issuer's max-age can do to the background refresh; without one it is defaultRefresh.
	minRefresh     = 5 * time.Minute
	maxRefresh     = 15 * time.Minute
	defaultRefresh = 10 * time.Minute
	// firstRetry doubles up to lastRetry while an issuer fails.
	firstRetry = time.Second
	lastRetry  = time.Minute
	// demandInterval is the least time between two refreshes that unknown kids cause.
	demandInterval = 30 * time.Second
	// demandWait bounds how long a caller waits for a refresh; the refresh itself goes on.
	demandWait = 5 * time.Second
	// maxStale is how long the last good keys serve through an outage.
	maxStale = 24 * time.Hour
	// unknownTTL is how long a kid that the issuer doesn't have causes no refresh, for up to unknownKIDs of them.
	unknownTTL  = 2 * time.Minute
	unknownKIDs = 1024
)

// keys is one published state of a key set.
type keys struct {
	byID    keysByID
	fetched time.Time
}

// keySet holds one issuer's keys. A single loop fetches; callers read an immutable snapshot, and at most wake the loop.
//
// It differs from the library's remote key set where that helps an attacker: a bad signature never causes a fetch, bogus kids
// cause one per demandInterval at most, withdrawn keys are dropped, and bodies and key counts are bounded.
type keySet struct {
	source  func(context.Context) (keysByID, time.Duration, error)
	clock   func() time.Time
	logger  *slog.Logger
	metrics issuerMetrics

	current    atomic.Pointer[keys]
	generation atomic.Uint64
	unknown    *lru.Cache[string, time.Time]
	wake       chan struct{}
	waiting    *places

	mu         sync.Mutex
	flight     chan struct{} // closed when the refresh under way, or asked for, has ended
	lastDemand time.Time
	lastErr    error
}

func newKeySet(f *fetcher, logger *slog.Logger, metrics issuerMetrics, waiting *places) (*keySet, error) {
	unknown, err := lru.New[string, time.Time](unknownKIDs)
	if err != nil {
		return nil, fmt.Errorf("making the memory of unknown kids: %w", err)
	}

	return &keySet{
		source:  f.fetch,
		clock:   f.clock,
		logger:  logger,
		metrics: metrics,
		unknown: unknown,
		wake:    make(chan struct{}, 1),
		waiting: waiting,
		lastErr: errNotFetched,
	}, nil
}

var (
	errNotFetched = errors.New("keys have not been fetched yet")
	errStale      = errors.New("keys are older than 24 hours")
	errWait       = errors.New("waiting for keys took too long")
	errWaiting    = errors.New("too many wait for keys")
	errNotOpened  = errors.New("the secrets of virtual keys could not be opened in time")
)

// find returns the keys that may verify a token with this kid and alg. It fetches nothing itself, and waits no longer than demandWait.
func (k *keySet) find(ctx context.Context, kid, alg string) ([]jose.JSONWebKey, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, demandWait, errWait)
	defer cancel()

	set, err := k.usable(ctx)
	if err != nil {
		return nil, err
	}

	candidates, found := set.byID[kid]
	if !found {
		candidates, err = k.demand(ctx, kid)
		if err != nil {
			return nil, err
		}
	}

	fitting := make([]jose.JSONWebKey, 0, len(candidates))

	for _, key := range candidates {
		if fits(key, alg) {
			fitting = append(fitting, key)
		}
	}

	if len(fitting) == 0 {
		return nil, refuse(SubstatusSignature, "key under this kid is for another algorithm")
	}

	return fitting, nil
}

// usable returns the current keys, waiting for the first fetch if it is under way.
func (k *keySet) usable(ctx context.Context) (*keys, error) {
	set := k.current.Load()
	if set == nil {
		if err := k.wait(ctx, k.underWay()); err != nil {
			return nil, err
		}

		set = k.current.Load()
	}

	if set == nil {
		return nil, unavailable(k.failure())
	}

	if k.clock().Sub(set.fetched) > maxStale {
		return nil, unavailable(errStale)
	}

	return set, nil
}

// ready reports why no token of the issuer can be checked now, nil if it can.
func (k *keySet) ready() error {
	set := k.current.Load()

	switch {
	case set == nil:
		return k.failure()
	case k.clock().Sub(set.fetched) > maxStale:
		return errStale
	default:
		return nil
	}
}

// demand returns the keys under a kid that the current set lacks, after at most one refresh.
func (k *keySet) demand(ctx context.Context, kid string) ([]jose.JSONWebKey, error) {
	until, remembered := k.unknown.Get(kid)
	if remembered && k.clock().Before(until) {
		return nil, refuseForNow(SubstatusSignature, "kid is unknown to the issuer")
	}

	// A refresh that is already under way may have begun before the kid was published, so it doesn't replace our own.
	asked := false

	for _, refresh := range []func() chan struct{}{k.underWay, k.request} {
		flight := refresh()
		asked = flight != nil

		if err := k.wait(ctx, flight); err != nil {
			return nil, err
		}

		if found := k.current.Load().byID[kid]; found != nil {
			return found, nil
		}
	}

	// While the issuer can't be asked, an unknown kid may be a new one: that is our trouble, not the caller's.
	if err := k.failure(); err != nil {
		return nil, unavailable(err)
	}

	// Asked too recently for another kid, the issuer has not said anything about this one.
	if asked {
		k.unknown.Add(kid, k.clock().Add(unknownTTL))
	}

	return nil, refuseForNow(SubstatusSignature, "kid is unknown to the issuer")
}

// underWay returns the channel of the refresh under way, nil if there is none.
func (k *keySet) underWay() chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()

	return k.flight
}

// request asks the loop for a refresh and returns its channel, or nil if the last one asked for was too recent.
func (k *keySet) request() chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()

	if k.flight != nil {
		return k.flight
	}

	now := k.clock()
	if !k.lastDemand.IsZero() && now.Sub(k.lastDemand) < demandInterval {
		return nil
	}

	k.lastDemand = now
	k.flight = make(chan struct{})

	select {
	case k.wake <- struct{}{}:
	default: // the loop has not taken the last one yet
	}

	return k.flight
}

// wait waits for a flight; nil is over already.
func (k *keySet) wait(ctx context.Context, flight chan struct{}) error {
	if flight == nil {
		return nil
	}

	if !k.waiting.take() {
		return unavailable(errWaiting)
	}

	defer k.waiting.leave()

	select {
	case <-flight:
		return nil
	case <-ctx.Done():
		return unavailable(context.Cause(ctx))
	}
}

// failure returns why the last refresh failed; nil if it didn't.
func (k *keySet) failure() error {
	k.mu.Lock()
	defer k.mu.Unlock()

	return k.lastErr
}

// run refreshes until ctx ends.
func (k *keySet) run(ctx context.Context) {
	retry := firstRetry

	for ctx.Err() == nil {
		interval, err := k.refresh(ctx)
		if err != nil {
			interval = retry
			retry = min(2*retry, lastRetry) //nolint:mnd // Doubling.
		} else {
			retry = firstRetry
		}

		timer := time.NewTimer(interval)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-k.wake:
		}

		timer.Stop()
	}
}

// refresh fetches once, publishes, and releases whoever waits.
func (k *keySet) refresh(ctx context.Context) (time.Duration, error) {
	flight := k.begin()

	fetched, maxAge, err := k.source(ctx)
	if err == nil {
		k.publish(ctx, fetched)
	}

	k.end(flight, err)
	k.metrics.refreshed(err)

	if err != nil {
		k.logger.WarnContext(ctx, "refreshing the issuer's keys failed", slog.Any("error", err))

		return 0, err
	}

	if maxAge == 0 {
		maxAge = defaultRefresh
	}

	return min(max(maxAge, minRefresh), maxRefresh), nil
}

// begin returns the flight of a refresh that starts now.
func (k *keySet) begin() chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()

	if k.flight == nil {
		k.flight = make(chan struct{})
	}

	select {
	case <-k.wake: // this refresh answers it
	default:
	}

	return k.flight
}

// end closes the flight.
func (k *keySet) end(flight chan struct{}, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()

	k.lastErr = err
	k.flight = nil

	close(flight)
}

// publish replaces the keys. If one that served is gone, the generation moves, and it moves last: a verdict that carries the new
// generation was made with the new keys.
func (k *keySet) publish(ctx context.Context, fetched keysByID) {
	old := k.current.Load()
	k.current.Store(&keys{byID: fetched, fetched: k.clock()})

	if old != nil && !fetched.keeps(old.byID) {
		k.generation.Add(1)
		k.logger.InfoContext(ctx, "the issuer withdrew keys", slog.Int("keys", len(fetched)))
	}
}
