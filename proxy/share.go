package proxy

import (
	"sync"

	"github.com/cosmosgate/cosmosgate/cosmos"
	"github.com/cosmosgate/cosmosgate/identity"
)

// timesFree is how many times what is left free one caller may have.
const timesFree = 3

// shares bound what one caller takes of what all have. Whoever sends or reads slowly on many connections, or just calls too often,
// may have three times what is left free: alone three quarters, beside another such three sevenths, among n of them 3/(3n+1). Some is
// left for who comes next, and who has more than that share by then gets nothing until enough of it has ended. These are the dynamic
// thresholds of A. K. Choudhury and E. L. Hahne (IEEE/ACM Transactions on Networking 6(2), 1998).
type shares struct {
	all share

	mu    sync.Mutex
	taken share
	known map[sharer]share
}

// sharer is who has a share: a person, also for whom agents act, or an application or agent. The zero sharer is everybody who is
// answered without being let in.
type sharer struct {
	kind identity.Kind
	name string
}

// share is what one caller has under way, or all of them.
type share struct {
	requests int
	bytes    int64
}

func (s share) plus(more share) share { return share{s.requests + more.requests, s.bytes + more.bytes} }

func (s share) minus(less share) share {
	return share{s.requests - less.requests, s.bytes - less.bytes}
}

// take adds to a caller's share, unless that makes it too large. So many requests are under way in nobody's share, of which some may be no
// requests of the proxy's: they never take the place of a first one.
func (s *shares) take(who sharer, more share, waiting int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	has, taken := s.known[who], s.taken.plus(more)
	free := s.all.minus(taken)
	if free.requests > 0 {
		free.requests = max(free.requests-waiting, 0)
	}
	if !fits(has.requests, more.requests, free.requests) || !fits(has.bytes, more.bytes, free.bytes) {
		return false
	}
	if s.known == nil {
		s.known = make(map[sharer]share)
	}
	s.known[who], s.taken = has.plus(more), taken
	return true
}

// fits says whether a caller may have more, which leaves so much free. A first request, and the first that is held, is never too
// much for one.
func fits[T int | int64](has, more, free T) bool {
	return more == 0 || free >= 0 && (has == 0 || has+more <= timesFree*free)
}

// give returns what a call took.
func (s *shares) give(who sharer, less share) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken = s.taken.minus(less)
	left := s.known[who].minus(less)
	if left == (share{}) {
		delete(s.known, who)
		return
	}
	s.known[who] = left
}

// enter counts a call under its caller, as far as that is known.
func (p *Proxy) enter(c *call) error {
	who := sharer{c.principal.Kind, string(c.principal.Record)}
	if who.name == "" {
		who.name = c.principal.Application
	}
	waiting := 0
	if p.cfg.Waiting != nil {
		waiting = p.cfg.Waiting()
	}
	if !p.shares.take(who, share{requests: 1}, waiting) {
		busy := cosmos.Busy(busyRetryAfter)
		busy.Reason = "the caller has too many requests under way"
		return busy
	}
	c.sharer, c.entered = who, true
	return nil
}

// hold counts bytes that are held in memory for a call; false if that is too much for its caller, or for all.
func (p *Proxy) hold(c *call, bytes int64) bool {
	if !p.shares.take(c.sharer, share{bytes: bytes}, 0) {
		return false
	}
	c.body.budgeted += bytes
	return true
}

// leave gives back what a call has taken.
func (p *Proxy) leave(c *call) {
	p.inFlight.Add(-1)
	if c.entered {
		p.shares.give(c.sharer, share{1, c.body.budgeted})
	}
}
