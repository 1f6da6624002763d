package sts

import (
	"fmt"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// maxLimited bounds how many clients, and how many addresses, are counted at once. Who is forgotten begins anew with a full bucket.
const maxLimited = 8192

// limits bound what each client may ask for, and what each address may try without being one.
type limits struct {
	rate    rate.Limit
	burst   int
	clock   func() time.Time
	clients *lru.Cache[string, *rate.Limiter]
	sources *lru.Cache[string, *rate.Limiter]
}

func newLimits(each float64, burst int, clock func() time.Time) (*limits, error) {
	clients, err := lru.New[string, *rate.Limiter](maxLimited)
	if err != nil {
		return nil, fmt.Errorf("sts: %w", err)
	}

	sources, err := lru.New[string, *rate.Limiter](maxLimited)
	if err != nil {
		return nil, fmt.Errorf("sts: %w", err)
	}

	return &limits{rate: rate.Limit(each), burst: burst, clock: clock, clients: clients, sources: sources}, nil
}

// client counts one request of a client that has proven itself; how long it has to wait otherwise.
func (l *limits) client(name string) time.Duration {
	limiter := l.of(l.clients, name)
	now := l.clock()

	if limiter.AllowN(now, 1) {
		return 0
	}

	return l.wait()
}

// stranger says how long an address has to wait before it may try again to prove something; what succeeds costs nothing.
func (l *limits) stranger(source string) time.Duration {
	limiter, known := l.sources.Get(source)
	if !known || limiter.TokensAt(l.clock()) >= 1 {
		return 0
	}

	return l.wait()
}

// failed counts one failure of an address.
func (l *limits) failed(source string) { l.of(l.sources, source).AllowN(l.clock(), 1) }

func (l *limits) wait() time.Duration { return time.Duration(float64(time.Second) / float64(l.rate)) }

func (l *limits) of(known *lru.Cache[string, *rate.Limiter], name string) *rate.Limiter {
	if limiter, found := known.Get(name); found {
		return limiter
	}

	limiter := rate.NewLimiter(l.rate, l.burst)
	if earlier, found, _ := known.PeekOrAdd(name, limiter); found {
		return earlier
	}

	return limiter
}
