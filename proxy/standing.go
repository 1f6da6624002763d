package proxy

import (
	"errors"
	"time"

	"github.com/cosmosgate/cosmosgate/cosmos"
	"github.com/cosmosgate/cosmosgate/identity"
)

// Standing reports whether a caller who was admitted would be still: it is asked
// again before an answer that took long is given, and while one is sent slowly.
type Standing func(*identity.Principal) bool

// standingEvery is how long an answer to it holds, counted first from the start of
// the request.
const standingEvery = 250 * time.Millisecond

var errNoStanding = errors.New("access was taken away while the answer was on its way")

// stands reports whether a caller may have what is about to be sent. What a write
// did is done, and its caller is told.
func (p *Proxy) stands(c *call) bool {
	if p.cfg.Standing == nil || c.op.Actions&writes != 0 {
		return true
	}
	now := p.now()
	if c.stood.IsZero() {
		c.stood = c.start
	}
	if now.Sub(c.stood) < standingEvery {
		return true
	}
	c.stood = now
	return p.cfg.Standing(&c.principal)
}

// withhold refuses an answer to a caller whose access ended while it was made.
func (p *Proxy) withhold(c *call, from *answer) {
	discard(from.Response)
	p.refuse(c, cosmos.InvalidCredential(identity.SubstatusRevoked, errNoStanding.Error()))
}
