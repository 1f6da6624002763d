package proxy

import (
	"sync"
	"time"

	"github.com/cosmosgate/cosmosgate/identity"
)

// maxSpenders is how many callers of limited roles are known at once.
const maxSpenders = 65_536

// spender is who has a budget: a caller, with the agent that acts for it, under a role on an account.
type spender struct {
	account, role, caller, agent string
	kind                         identity.Kind
}

// budgets bound the request units that callers use in a second. What a request costs is known only when it is over:
// its usual cost is taken in advance and set right afterwards, so that requests at one time do not each see a full
// budget. A budget that is overdrawn refuses until time has paid for it. Budgets are this gate's own.
type budgets struct {
	mu    sync.Mutex
	known map[spender]*budget
}

// budget is what one caller has left, in request units.
type budget struct {
	left  float64
	limit float64 // a second, and at once
	usual float64 // cost of a request
	at    time.Time
}

// lease is what a request took in advance.
type lease struct {
	*budget

	taken float64
}

// take takes the usual cost of a request; nil and the time to come back if nothing is left.
func (b *budgets) take(who spender, limit float64, now time.Time) (*lease, time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	one := b.known[who]
	if one == nil {
		if one = b.open(who, limit, now); one == nil {
			return nil, time.Second
		}
	}
	one.limit = limit
	one.fill(now)
	if one.left <= 0 {
		return nil, max(time.Duration(-one.left/limit*float64(time.Second)), time.Millisecond)
	}
	one.left -= one.usual
	return &lease{one, one.usual}, 0
}

// untold is the cost of a request that went upstream and of which nobody said what it cost.
const untold = -1

// settle puts what a request really cost in place of what was taken for it. One that never went upstream cost nothing,
// and says nothing about what is usual. One whose answer was not awaited did cost something: what is usual, and no less than
// a share of a second's budget, or else whoever leaves early would use up what they like.
func (b *budgets) settle(l *lease, charge float64, forwarded bool, now time.Time) {
	const (
		weight = 8  // of what was usual against the last
		share  = 10 // of a second's budget
	)
	b.mu.Lock()
	defer b.mu.Unlock()
	l.fill(now)
	switch {
	case !forwarded:
		l.left += l.taken
	case charge < 0:
		l.left += l.taken - max(l.taken, l.limit/share)
	default:
		l.left += l.taken - charge
		l.usual += (charge - l.usual) / weight
	}
}

// fill adds what time has brought.
func (b *budget) fill(now time.Time) {
	if passed := now.Sub(b.at).Seconds(); passed > 0 {
		b.left = min(b.limit, b.left+passed*b.limit)
		b.at = now
	}
}

// open begins a budget. Full ones are forgotten when there are too many: they are as if they had never been. Nil if
// even then there are too many, because forgetting a debt would let it grow.
func (b *budgets) open(who spender, limit float64, now time.Time) *budget {
	if len(b.known) >= maxSpenders {
		for other, one := range b.known {
			if one.fill(now); one.left >= one.limit {
				delete(b.known, other)
			}
		}
		if len(b.known) >= maxSpenders {
			return nil
		}
	}
	if b.known == nil {
		b.known = make(map[spender]*budget)
	}
	opened := &budget{left: limit, limit: limit, usual: 1, at: now}
	b.known[who] = opened
	return opened
}
