package scim

import (
	"runtime"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// maxUnderWay is how many requests of one connection are worked on at once,
	// and allUnderWay of how many connections' together. Others wait.
	maxUnderWay   = 64
	allUnderWay   = 256
	leastUnderWay = 8
	// allRoom is the memory in bytes for large bodies and answers of all
	// connections, of which one has half.
	allRoom = 512 << 20
	ownRoom = allRoom / 2
	// patience is how long a request waits for a place before it is told to come
	// back.
	patience = 5 * time.Second
)

// commons are what the connections of a server have together.
type commons struct {
	room *room
	// turns are those of dear requests: half of the processors at most.
	turns chan struct{}
}

func newCommons() commons {
	return commons{
		room:  &room{left: allRoom},
		turns: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
	}
}

// account is what one connection's requests may take: how often, how many at
// once, of the memory and of the processors.
type account struct {
	clock     func() time.Time
	known     *rate.Limiter // requests with a valid token
	strangers *rate.Limiter // all others
	places    chan struct{} // requests under way
	dear      chan struct{} // the one that may spend what has not come in yet
	turns     chan struct{}
	room      *room
	mostShown int // members, or memberships, in one answer
	mostBytes int // of documents in one answer
}

// newAccount returns the account of one of several connections. Places are
// shared out beforehand, so that nobody can take another's.
func (c commons) newAccount(connection *Connection, of int, clock func() time.Time) *account {
	return &account{
		clock:     clock,
		known:     rate.NewLimiter(rate.Limit(connection.Rate), connection.Burst),
		strangers: rate.NewLimiter(rate.Limit(connection.Rate), connection.Burst),
		places:    make(chan struct{}, max(leastUnderWay, min(maxUnderWay, allUnderWay/of))),
		dear:      make(chan struct{}, 1),
		turns:     c.turns,
		room:      &room{left: ownRoom, of: c.room},
		mostShown: maxShown, mostBytes: maxAnswer,
	}
}

// tooMany refuses an answer that would hold too many members.
func (a *account) tooMany(of string) *Error {
	return refusal(KindTooMany, "more than %d %s in one answer: ask with excludedAttributes=%s, or for fewer resources", a.mostShown, of, of)
}

// indebted reports whether more was spent than had come in.
func (a *account) indebted() bool { return a.known.TokensAt(a.clock()) < 0 }

// wait is how long it takes until there is a token.
func (a *account) wait() time.Duration { return untilToken(a.known, a.clock()) }

// take takes tokens, also those that have not come in yet, up to the longest
// debt.
func (a *account) take(tokens int) {
	now := a.clock()
	credit := a.known.TokensAt(now) + longestDebt.Seconds()*float64(a.known.Limit())
	for tokens = min(tokens, int(max(credit, 0))); tokens > 0; {
		some := min(tokens, a.known.Burst())
		if some == 0 || !a.known.ReserveN(now, some).OK() {
			return
		}
		tokens -= some
	}
}

// delay takes one token from a limiter and returns how long the caller must wait
// instead.
func delay(l *rate.Limiter, now time.Time) time.Duration {
	if l.AllowN(now, 1) {
		return 0
	}
	return max(untilToken(l, now), time.Millisecond)
}

// untilToken is how long it takes until a limiter has a token.
func untilToken(l *rate.Limiter, now time.Time) time.Duration {
	missing := 1 - l.TokensAt(now)
	if missing <= 0 {
		return 0
	}
	return time.Duration(missing / float64(l.Limit()) * float64(time.Second))
}

// room is memory that may still be taken, of a larger room if that is set.
type room struct {
	of *room

	mu   sync.Mutex
	left int64
}

// take reports whether there was as much, and takes it.
func (r *room) take(bytes int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left < bytes || r.of != nil && !r.of.take(bytes) {
		return false
	}
	r.left -= bytes
	return true
}

func (r *room) give(bytes int64) {
	if r.of != nil {
		r.of.give(bytes)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left += bytes
}
