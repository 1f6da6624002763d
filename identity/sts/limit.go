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

// client counts one request of a client that has proven itself, and returns how long it has to wait if that is one too many.
func (l *limits) client(name string) time.Duration { return l.count(l.clients, name) }

// failed counts one failure of an address, and returns how long it has to wait if that is one too many.
func (l *limits) failed(source string) time.Duration { return l.count(l.sources, source) }

func (l *limits) count(known *lru.Cache[string, *rate.Limiter], name string) time.Duration {
	if l.of(known, name).AllowN(l.clock(), 1) {
		return 0
	}

	return time.Duration(float64(time.Second) / float64(l.rate))
}

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
