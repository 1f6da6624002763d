package proxy

import (
	"fmt"
	"time"

	"github.com/cosmosgate/cosmosgate/cosmos"
	"github.com/cosmosgate/cosmosgate/policy"
)

// Freshness says how far behind the directory may be that callers are looked up
// in. The zero value is that of a directory that is never behind.
type Freshness struct {
	// Age returns how long before now the directory was last known to be current.
	Age func(now time.Time) time.Duration
	// StaleAfter is the age from which on only roles with best_effort are served,
	// ServeAtMost the age from which on nobody is.
	StaleAfter, ServeAtMost time.Duration
}

// staleRetryAfter is what callers are told while the directory is behind.
const staleRetryAfter = time.Second

// age is how far the directory may be behind, asked before anybody is looked up in
// it: what it learns later does not make that answer any newer.
func (f *Freshness) age(now time.Time) time.Duration {
	if f.Age == nil {
		return 0
	}
	return f.Age(now)
}

// fresh refuses what was allowed on a directory that may have missed a
// revocation, unless the deciding role puts up with that for a while. It follows
// the decision, so that a denial stays a denial.
func (p *Proxy) fresh(c *call) error {
	f := &p.cfg.Freshness
	age := c.age
	if c.op.Disposition != cosmos.Forward || age <= f.StaleAfter {
		return nil
	}
	if !f.refuses(age, c.decision.Obligations.Staleness) {
		p.metrics.stale.WithLabelValues("served").Inc()
		c.detail = fmt.Sprintf("served by best effort: the directory was last known to be current %s before", age.Round(time.Millisecond))
		return nil
	}
	p.metrics.stale.WithLabelValues("refused").Inc()
	c.reason = reasonStale
	return stale(age)
}

// reasonStale is what the record says of who is refused because the directory may have missed something.
const reasonStale = "directory_stale"

// refuses says whether a directory of an age is too old for a role.
func (f *Freshness) refuses(age time.Duration, staleness policy.Staleness) bool {
	return age > f.StaleAfter && (staleness != policy.StalenessBestEffort || age > f.ServeAtMost)
}

func stale(age time.Duration) *cosmos.Error {
	return changed(fmt.Sprintf("the directory was last known to be current %s before", age.Round(time.Millisecond)))
}
