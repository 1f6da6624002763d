package scim

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// maxFailures is how many refusals that differ are remembered.
	maxFailures = 20
	// riskWindow is how many outcomes quarantine risk is judged by.
	riskWindow = 100
	// otherKind counts refusals for which the RFC names no scimType.
	otherKind = "other"
)

// contact remembers when and how a provider came by.
type contact struct {
	mu          sync.Mutex
	last, write time.Time
	client      string
	requests    int
	seenAs      detected
	obeyed      recent
	parked      int // changes with members that do not exist
	lastParked  time.Time
	failures    []Failure
	refused     map[string]int
	limited     int
	strangers   int
	stranger    time.Time
	outcomes    []bool // the last ones, true for a refusal
	next        int    // where in outcomes the next one goes
	run         int    // refusals without a success between
}

// seen notes a request with a valid token.
func (c *contact) seen(now time.Time, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests++
	c.last, c.client = now, strings.ToValidUTF8(clip(r.UserAgent()), "?")
}

// recognised notes what a request with a valid token gave away.
func (c *contact) recognised(d detected) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.dialect == "" {
		return
	}
	if d.form == "" && d.dialect == c.seenAs.dialect {
		d.form = c.seenAs.form
	}
	c.seenAs = d
}

func (c *contact) wrote(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.write = now
}

// inForce notes how long a change took from its arrival.
func (c *contact) inForce(took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.obeyed.note(took)
}

// times returns the last contact and the last write.
func (c *contact) times() (last, write time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last, c.write
}

// unknown notes a request whose token opens nothing.
func (c *contact) unknown(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.strangers++
	c.stranger = now
}

// succeeded notes a request that did what it was for.
func (c *contact) succeeded() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.note(false)
}

// failed notes a refusal. A 404 is an answer like others: providers look for
// what may be gone, and delete twice.
func (c *contact) failed(f Failure, unknownMember bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.Status == http.StatusTooManyRequests {
		c.limited++
	} else {
		if c.refused == nil {
			c.refused = map[string]int{}
		}
		kind := string(f.Kind)
		if kind == "" {
			kind = otherKind
		}
		c.refused[kind]++
	}
	if unknownMember {
		c.parked, c.lastParked = c.parked+1, f.Time
	}
	c.note(f.Status != http.StatusNotFound)
	c.remember(f)
}

// remember puts a refusal behind the others. One that is like an earlier one
// takes its place: a provider that repeats itself, as those do that are told to
// wait, must not push other refusals out of sight.
func (c *contact) remember(f Failure) {
	f.Times = 1
	alike := func(o Failure) bool {
		return o.Method == f.Method && o.Path == f.Path && o.Status == f.Status && o.Detail == f.Detail && o.Shape == f.Shape
	}
	if i := slices.IndexFunc(c.failures, alike); i >= 0 {
		f.Times += c.failures[i].Times
		c.failures = slices.Delete(c.failures, i, i+1)
	}
	if len(c.failures) >= maxFailures {
		c.failures = slices.Delete(c.failures, 0, 1)
	}
	c.failures = append(c.failures, f)
}

func (c *contact) note(refused bool) {
	if len(c.outcomes) < riskWindow {
		c.outcomes = append(c.outcomes, refused)
	} else {
		c.outcomes[c.next] = refused
		c.next = (c.next + 1) % riskWindow
	}
	c.run++
	if !refused {
		c.run = 0
	}
}

// risk judges how near a provider is to giving up, which Entra ID calls
// quarantine: it stops when most of what it sends is refused.
func (c *contact) risk() Risk {
	const (
		few            = 20
		someOf, mostOf = 0.3, 0.6
		someRun        = 10
		longRun        = 40
	)
	r := Risk{Level: riskNone, Of: len(c.outcomes), Run: c.run}
	for _, refused := range c.outcomes {
		if refused {
			r.Refused++
		}
	}
	ratio := 0.0
	if r.Of >= few {
		ratio = float64(r.Refused) / float64(r.Of)
	}
	switch {
	case ratio >= mostOf || r.Run >= longRun:
		r.Level = riskHigh
	case ratio >= someOf || r.Run >= someRun:
		r.Level = riskElevated
	}
	return r
}

// fill copies what is remembered into a status.
func (c *contact) fill(s *Status) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.LastContact, s.LastWrite, s.Client = c.last, c.write, c.client
	s.Detected, s.DetectedForm = c.seenAs.dialect, c.seenAs.form
	s.Failures = append(s.Failures, c.failures...)
	s.Refused = maps.Clone(c.refused)
	s.RateLimited, s.WrongTokens, s.LastWrongToken = c.limited, c.strangers, c.stranger
	s.Requests, s.Obeyed = c.requests, LatencyOf(c.obeyed.last)
	s.Parked, s.LastParked = c.parked, c.lastParked
	s.Risk = c.risk()
}
