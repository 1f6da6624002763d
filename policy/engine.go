package policy

import (
	"maps"
	"net/netip"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// remembered is how many decisions an engine keeps.
const remembered = 16_384

// Engine decides requests by the set it currently holds. It is safe for
// concurrent use. The zero Engine denies everything.
type Engine struct {
	current atomic.Pointer[snapshot]
}

// snapshot is a set together with the decisions made by it, so that no decision
// outlives its policy.
type snapshot struct {
	set       *Set
	decisions *lru.Cache[question, answer]
}

// NewEngine returns an engine that decides by set. With a nil set it denies
// everything until [Engine.Swap].
func NewEngine(set *Set) *Engine {
	e := &Engine{}
	e.Swap(set)
	return e
}

// Swap replaces the set; requests that are being decided finish under the old
// one.
func (e *Engine) Swap(set *Set) {
	decisions, _ := lru.New[question, answer](remembered) // fails for sizes below 1 only
	e.current.Store(&snapshot{set: set, decisions: decisions})
}

// Set returns the set that currently decides; nil if there is none.
func (e *Engine) Set() *Set {
	if s := e.current.Load(); s != nil {
		return s.set
	}
	return nil
}

// Decide answers one request. It never blocks and has no effect but to remember
// the answer.
func (e *Engine) Decide(q Request) Decision {
	s := e.current.Load()
	if s == nil {
		s = &snapshot{}
	}
	q.Person = nil
	if q.delegated() {
		return chain(q, s.leg)
	}
	return s.leg(q)
}

// leg decides a request of one party.
func (s *snapshot) leg(q Request) Decision {
	s.set.describe(&q)
	if d := refuseEarly(s.set, &q); d.Reason != ReasonAllowed {
		return d
	}
	key, ok := s.set.question(&q)
	if !ok {
		d, _ := s.judge(q)
		return d
	}
	if known, found := s.decisions.Get(key); found && known.answers(&q) {
		return known.decision
	}
	d, v := s.judge(q)
	if !v.never {
		s.decisions.Add(key, answer{decision: d, validity: v, attributes: q.Principal.Attributes})
	}
	return d
}

// judge decides afresh. It takes the request by value, so that a request whose
// answer is remembered need not be allocated.
func (s *snapshot) judge(q Request) (Decision, validity) {
	return s.set.judge(&q, (*index).find)
}

// question is everything about a request that a decision can depend on, except
// time and what Generation stands for.
type question struct {
	id         string
	kind       Kind
	ranged     bool
	noData     bool
	injectable bool
	isAgent    bool
	keyParts   int // 0: no key; else one more than its parts
	actions    Actions
	generation [2]uint64
	resource   Resource
	key        [maxKeyParts]string
	role       string
	onBehalfOf string
	strength   string
	sourceIP   netip.Addr
}

// answer is a decision and how long it holds.
type answer struct {
	decision   Decision
	validity   validity
	attributes map[string]string
}

// question returns the key under which the decision is remembered; false if it
// must not be.
func (s *Set) question(q *Request) (question, bool) {
	p := &q.Principal
	if len(q.PartitionKeys) > 1 || !q.known() {
		return question{}, false
	}
	key := question{
		id: p.ID, kind: p.Kind, generation: q.owner().Generation,
		actions: q.Actions, resource: q.Resource, role: q.Role,
		ranged: q.Ranged, noData: q.NoData, injectable: q.Injectable,
		isAgent: q.Context.IsAgent, onBehalfOf: q.Context.OnBehalfOf, strength: q.Context.AuthenticationStrength,
	}
	if s.readsNetwork {
		key.sourceIP = q.Context.SourceIP
	}
	if len(q.PartitionKeys) == 1 {
		if len(q.PartitionKeys[0]) > maxKeyParts {
			return question{}, false
		}
		key.keyParts = 1 + len(q.PartitionKeys[0])
		copy(key.key[:], q.PartitionKeys[0])
	}
	return key, true
}

// known reports whether it can be told when the parties to a request change. A
// person has a generation, an application has attributes that can be compared,
// and an agent is what the policy declares.
func (q *Request) known() bool {
	return q.owner().Kind != KindPerson || q.owner().Generation != [2]uint64{}
}

// answers reports whether the remembered answer still holds.
func (a *answer) answers(q *Request) bool {
	return a.validity.holds(q.Context.Time) &&
		(q.Principal.Kind != KindApplication || maps.Equal(a.attributes, q.Principal.Attributes))
}

// validity is how long a decision may be remembered: from the last moment at
// which a binding that concerns it began or ended until the next. Never, if a
// condition reads the clock.
type validity struct {
	from, until time.Time
	never       bool
}

func (v *validity) narrow(s *statement, now time.Time) {
	v.never = v.never || (s.when != nil && s.when.readsTime)
	for _, boundary := range [...]time.Time{s.starts, s.expires} {
		switch {
		case boundary.IsZero():
		case boundary.After(now):
			if v.until.IsZero() || boundary.Before(v.until) {
				v.until = boundary
			}
		case boundary.After(v.from):
			v.from = boundary
		}
	}
}

// holds reports whether a remembered decision may be used at the given time.
func (v *validity) holds(at time.Time) bool {
	return !at.Before(v.from) && (v.until.IsZero() || at.Before(v.until))
}
