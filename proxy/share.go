package proxy

import (
	"sync"

	"github.com/cosmosgate/cosmosgate/cosmos"
	"github.com/cosmosgate/cosmosgate/identity"
)

// shares bound what one caller takes of what all have: whoever sends or reads slowly on many connections, or just calls
// too often, leaves a quarter to the others.
type shares struct {
	mu    sync.Mutex
	known map[sharer]share
}

// sharer is who has a share: a person, also for whom agents act, or an application or agent.
type sharer struct {
	kind identity.Kind
	name string
}

// share is what one caller has under way.
type share struct {
	requests int
	bytes    int64
}

// mostOf is how much of something one caller may have.
func mostOf[T int | int64](all T) T {
	const others = 4
	return all - all/others
}

// take adds to a caller's share, unless that makes it too large. A first request, and the first that one holds, is never too much.
func (s *shares) take(who sharer, more, most share) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	has := s.known[who]
	if more.requests > 0 && has.requests >= most.requests || has.bytes > 0 && has.bytes+more.bytes > most.bytes {
		return false
	}
	if s.known == nil {
		s.known = make(map[sharer]share)
	}
	s.known[who] = share{has.requests + more.requests, has.bytes + more.bytes}
	return true
}

// give returns what a call took.
func (s *shares) give(who sharer, less share) {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := share{s.known[who].requests - less.requests, s.known[who].bytes - less.bytes}
	if left == (share{}) {
		delete(s.known, who)
		return
	}
	s.known[who] = left
}

// enter counts a call whose caller is known.
func (p *Proxy) enter(c *call) error {
	who := sharer{c.principal.Kind, string(c.principal.Record)}
	if who.name == "" {
		who.name = c.principal.Application
	}
	if !p.shares.take(who, share{requests: 1}, share{mostOf(p.limits.MaxInFlight), mostOf(p.limits.MaxBufferedBytes)}) {
		busy := cosmos.Busy(busyRetryAfter)
		busy.Reason = "the caller has too many requests under way"
		return busy
	}
	c.sharer, c.entered = who, true
	return nil
}

// hold counts bytes that are held in memory for a call; false if that is too much for its caller, or for all.
func (p *Proxy) hold(c *call, bytes int64) bool {
	if !p.shares.take(c.sharer, share{bytes: bytes}, share{bytes: mostOf(p.limits.MaxBufferedBytes)}) {
		return false
	}
	c.body.budgeted += bytes
	return p.buffered.Add(bytes) <= p.limits.MaxBufferedBytes
}

// leave gives back what a call has taken.
func (p *Proxy) leave(c *call) {
	p.inFlight.Add(-1)
	p.buffered.Add(-c.body.budgeted)
	if c.entered {
		p.shares.give(c.sharer, share{1, c.body.budgeted})
	}
}
