package policy

import "slices"

// Leg is one part of a decision about a delegated request: what the person may
// do, what an agent may do for the person, or what the token was narrowed to.
type Leg struct {
	// Kind is `user`, `application`, `agent` or `scope`, and Name who that is;
	// empty for a scope.
	Kind, Name string
	// Allow, Role, Policies and Reason are what was decided about this leg.
	Allow    bool
	Role     string
	Policies []string
	Reason   Reason
}

// legScope is the kind of the leg of a token.
const legScope = "scope"

// delegated reports whether a request has more than one leg.
func (q *Request) delegated() bool { return len(q.Actors) > 0 || q.Token != nil }

// chain decides every leg of a request by one policy and lets through only what
// all of them allow. The person's leg does not know of the agents, so that what
// is granted to an agent never widens the person; every agent needs a grant of
// its own.
func chain(q Request, decide func(Request) Decision) Decision {
	if d := refuseChain(&q); d.Reason != ReasonAllowed {
		return d
	}
	leg := q
	leg.Actors, leg.Token = nil, nil
	if q.Role == "" {
		leg.Role = q.Token.role()
	}
	if len(q.Actors) > 0 {
		leg.Context.IsAgent, leg.Context.OnBehalfOf = false, ""
	}
	m := merger{legs: make([]Leg, 0, len(q.Actors)+2)} //nolint:mnd // the person's and the scope's
	m.add(&leg, decide(leg))
	for _, actor := range q.Actors {
		acting := leg
		acting.Principal, acting.Person = actor, &q.Principal
		m.confine(&acting)
		m.add(&acting, decide(acting))
	}
	if q.Token != nil {
		m.confine(&leg)
		m.join(Leg{Kind: legScope}, q.Token.decide(&leg))
	}
	return m.merged()
}

// refuseChain denies delegations that no policy can allow. A decision with
// ReasonAllowed means: go on.
func refuseChain(q *Request) Decision {
	switch {
	case slices.ContainsFunc(q.Actors, func(p Principal) bool { return p.Kind != KindAgent || p.ID == "" }):
		return Decision{Reason: ReasonMalformed, Missing: q.Actions, Detail: "an actor is no agent"}
	case len(q.Actors) > 0 && q.Principal.Kind != KindPerson:
		return Decision{Reason: ReasonAgent, Missing: q.Actions, Detail: "agents act for people only, not for an " + q.Principal.Kind.String()}
	default:
		return Decision{Reason: ReasonAllowed}
	}
}

// merger puts the decisions about the legs together. What denies comes first.
type merger struct {
	legs    []Leg
	all     Decision
	denied  Decision
	begun   bool
	refused bool
}

func (m *merger) add(q *Request, d Decision) {
	m.join(Leg{Kind: q.Principal.Kind.String(), Name: q.Principal.ID}, d)
}

func (m *merger) join(leg Leg, d Decision) {
	leg.Allow, leg.Role, leg.Policies, leg.Reason = d.Allow, d.Role, d.Policies, d.Reason
	m.legs = append(m.legs, leg)
	switch {
	case !d.Allow && !m.refused:
		m.denied, m.refused = d, true
	case m.refused || leg.Kind == legScope:
	case !m.begun:
		m.all, m.begun = d, true
		m.all.Policies = slices.Clone(d.Policies)
	default:
		m.narrow(&d)
	}
}

// narrow adds a leg that allows: the narrower of both identities is used, under
// the obligations of both.
func (m *merger) narrow(d *Decision) {
	all := &m.all
	if d.Width < all.Width {
		all.Role, all.Identity, all.Width = d.Role, d.Identity, d.Width
	}
	stale := all.Obligations.Staleness.fresher(d.Obligations.Staleness)
	all.Obligations = all.Obligations.strictest(&d.Obligations)
	all.Obligations.Staleness = stale
	all.Policies = append(all.Policies, d.Policies...)
}

// confine gives the request of the next leg the partition key that an earlier
// one sets.
func (m *merger) confine(q *Request) {
	if key := m.all.Obligations.PartitionKey; key != nil {
		q.PartitionKeys, q.Injectable = [][]string{key}, false
	}
}

func (m *merger) merged() Decision {
	d := m.all
	if m.refused {
		d = m.denied
	} else {
		d.Policies = sortedOnce(d.Policies)
	}
	d.Legs = m.legs
	return d
}
