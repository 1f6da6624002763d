package policy

import (
	"cmp"
	"slices"
	"strings"
)

// tally is how far one role goes towards the request.
type tally struct {
	role    *role
	granted Actions
	blocked []blocked
	// offers are what would be granted if the gate set a partition key, and
	// injected is the key that it sets.
	offers   []offer
	injected []string
}

// offer is an action that a role allows under a partition key that the gate can
// set.
type offer struct {
	*statement

	action Actions
	key    []string
}

// blocked is an action that a role allows under another partition key only.
type blocked struct {
	action  Actions
	outcome keyOutcome
	detail  string
}

// book adds one permitted action to the tally of its role.
func (j *judgement) book(s *statement, action Actions) {
	i := slices.IndexFunc(j.tallies, func(t tally) bool { return t.role == s.role })
	if i < 0 {
		i = len(j.tallies)
		j.tallies = append(j.tallies, tally{role: s.role})
	}
	t := &j.tallies[i]
	switch outcome, detail := j.request.fits(s.key, action); outcome {
	case keyFits:
		t.granted |= action
		j.granting = append(j.granting, s)
	case keyInjected:
		key, _ := s.key.resolve(j.request.owner())
		t.offers = append(t.offers, offer{s, action, key})
	default:
		t.blocked = append(t.blocked, blocked{action, outcome, detail})
	}
}

// settle sets a partition key if that, and only one, makes the role allow all
// that is required.
func (t *tally) settle(required Actions) {
	lacking := required &^ t.granted
	if lacking == 0 || len(t.offers) == 0 {
		return
	}
	several := false
	for i := range t.offers {
		key := t.offers[i].key
		switch {
		case lacking&^t.offered(key) != 0 || sameKey(key, t.injected):
		case t.injected != nil:
			several = true
		default:
			t.injected = key
		}
	}
	outcome := keyAbsent
	if several {
		outcome, t.injected = keyAmbiguous, nil
	}
	if t.injected != nil {
		t.granted |= lacking
		return
	}
	for _, o := range t.offers {
		t.blocked = append(t.blocked, blocked{o.action, outcome, o.statement.key.explain(outcome, "")})
	}
}

// offered returns what the role would allow under a key.
func (t *tally) offered(key []string) Actions {
	var actions Actions
	for _, o := range t.offers {
		if sameKey(o.key, key) {
			actions |= o.action
		}
	}
	return actions
}

func sameKey(a, b []string) bool { return len(a) == len(b) && hasPrefix(a, b) }

// choose returns the effective role: the one asked for if it allows everything,
// else the first by rank that does. Nil if none does.
func (j *judgement) choose() *tally {
	var best *tally
	for i := range j.tallies {
		t := &j.tallies[i]
		t.settle(j.required)
		if t.granted != j.required {
			continue
		}
		if best == nil || j.prefers(t.role, best.role) {
			best = t
		}
	}
	return best
}

// prefers reports whether a request is better done under a than under b. Agents
// may be granted one role several times.
func (j *judgement) prefers(a, b *role) bool {
	if asked := a.name == j.request.Role; asked != (b.name == j.request.Role) {
		return asked
	}
	return a.rank < b.rank
}

// unmatched explains why no role allows the request.
func (j *judgement) unmatched() Decision {
	var reachable Actions
	var near Decision
	var nearest obstacle
	for i := range j.tallies {
		t := &j.tallies[i]
		within := t.within()
		reachable |= within
		if within != j.required {
			continue
		}
		o := t.obstacle()
		if near.Reason != ReasonNoPolicy && o.compare(nearest) >= 0 {
			continue
		}
		nearest = o
		near = Decision{Reason: o.reason(), Missing: j.required &^ t.granted, Detail: "role " + t.role.name + " " + o.detail}
	}
	if near.Reason != ReasonNoPolicy {
		return near
	}
	if j.request.Principal.Kind == KindAgent && reachable == 0 {
		return Decision{Reason: ReasonAgent, Missing: j.required, Detail: j.ungranted()}
	}
	if missing := j.required &^ reachable; missing != 0 {
		return Decision{Reason: ReasonNoRole, Missing: missing, Detail: "no role allows " + missing.String() + " on " + j.request.Resource.String()}
	}
	return Decision{Reason: ReasonNoRole, Missing: j.required, Detail: "no single role allows all of " + j.required.String()}
}

// ungranted says what an agent lacks.
func (j *judgement) ungranted() string {
	q := j.request
	whom := " for itself"
	if q.Person != nil {
		whom = " for user " + q.Person.ID
	}
	return "no AgentGrant lets agent " + q.Principal.ID + " do " + j.required.String() + " on " + q.Resource.String() + whom
}

// within returns the actions that the role allows under some partition key.
func (t *tally) within() Actions {
	actions := t.granted
	for _, b := range t.blocked {
		actions |= b.action
	}
	return actions
}

// obstacle is what keeps a role, that otherwise would, from allowing a request.
type obstacle struct {
	outcome keyOutcome
	rank    int
	detail  string
}

// obstacle returns the first reason why an action is blocked. What the caller
// can change comes before what only the directory can.
func (t *tally) obstacle() obstacle {
	first := obstacle{outcome: keyAttributeMissing + 1}
	for _, b := range t.blocked {
		o := obstacle{outcome: b.outcome, rank: t.role.rank, detail: b.detail}
		if t.granted&b.action == 0 && o.compare(first) < 0 {
			first = o
		}
	}
	return first
}

func (o obstacle) compare(p obstacle) int {
	return cmp.Or(cmp.Compare(o.outcome, p.outcome), cmp.Compare(o.rank, p.rank), strings.Compare(o.detail, p.detail))
}

func (o obstacle) reason() Reason {
	if o.outcome == keyAttributeMissing {
		return ReasonMissingAttribute
	}
	return ReasonPartitionKey
}
