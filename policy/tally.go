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
	if outcome, detail := j.fits(s.key, action); outcome != keyFits {
		t.blocked = append(t.blocked, blocked{action, outcome, detail})
		return
	}
	t.granted |= action
	j.granting = append(j.granting, s)
}

// choose returns the effective role: the one asked for if it allows everything,
// else the first by rank that does. Nil if none does.
func (j *judgement) choose() *tally {
	var best *tally
	for i := range j.tallies {
		t := &j.tallies[i]
		if t.granted != j.required {
			continue
		}
		if t.role.name == j.request.Role {
			return t
		}
		if best == nil || t.role.rank < best.role.rank {
			best = t
		}
	}
	return best
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
