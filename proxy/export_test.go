package proxy

import "time"

// MaxSpenders is how many budgets are kept.
const MaxSpenders = maxSpenders

// Untold is the cost of a request of which nobody said what it cost.
const Untold = untold

// Budgets gives tests the budgets without requests around them.
type Budgets struct{ all budgets }

// Lease is what a request took.
type Lease struct{ taken *lease }

// Take takes a request's usual cost from a caller's budget; nil if there is none.
func (b *Budgets) Take(caller string, limit float64, now time.Time) *Lease {
	l, _ := b.all.take(spender{caller: caller}, limit, now)
	if l == nil {
		return nil
	}
	return &Lease{l}
}

// Settle says what the request cost.
func (b *Budgets) Settle(l *Lease, charge float64, forwarded bool, now time.Time) {
	b.all.settle(l.taken, charge, forwarded, now)
}

// Len is how many budgets are kept.
func (b *Budgets) Len() int { return len(b.all.known) }
