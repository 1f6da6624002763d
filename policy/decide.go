package policy

import (
	"iter"
	"math/bits"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
)

// decide answers one request without remembering the answer.
func (s *Set) decide(q *Request) Decision { return s.decideBy(*q, (*index).find) }

// decideBy answers one request by the statements that find returns.
func (s *Set) decideBy(q Request, find finder) Decision {
	q.Person = nil
	leg := func(q Request) Decision { return s.decideLeg(q, find) }
	if q.delegated() {
		return chain(q, leg)
	}
	return leg(q)
}

func (s *Set) decideLeg(q Request, find finder) Decision {
	s.describe(&q)
	if d := refuseEarly(s, &q); d.Reason != ReasonAllowed {
		return d
	}
	d, _ := s.judge(&q, find)
	return d
}

// describe fills in what conditions read of an agent: for whom it acts, and the
// attributes that this very policy declares.
func (s *Set) describe(q *Request) {
	if q.Principal.Kind != KindAgent {
		return
	}
	q.Context.IsAgent, q.Context.OnBehalfOf = true, ""
	if q.Person != nil {
		q.Context.OnBehalfOf = q.Person.ID
	}
	q.Principal.Attributes = nil
	if s != nil {
		if a := s.agents[q.Principal.ID]; a != nil {
			q.Principal.Attributes = a.Attributes
		}
	}
}

// refuseEarly denies what needs no policy to be denied. A decision with
// ReasonAllowed means: go on.
func refuseEarly(s *Set, q *Request) Decision {
	if s == nil {
		return Decision{Reason: ReasonNoPolicy, Missing: q.Actions, Detail: "no policy is loaded"}
	}
	if what := malformed(q); what != "" {
		return Decision{Reason: ReasonMalformed, Missing: q.Actions, Detail: what}
	}
	if q.Principal.Kind == KindAgent && s.agents[q.Principal.ID] == nil {
		return Decision{Reason: ReasonAgent, Missing: q.Actions, Detail: "agent " + q.Principal.ID + " is not declared"}
	}
	return Decision{Reason: ReasonAllowed}
}

// malformed says what a request lacks, or "".
func malformed(q *Request) string {
	r := q.Resource
	switch {
	case q.Principal.Kind < KindPerson || q.Principal.Kind > KindAgent:
		return "the principal has no kind"
	case q.Principal.ID == "":
		return "the principal has no id"
	case q.Actions == 0:
		return "the request names no action"
	case q.Actions&^AllActions != 0:
		return "the request names an unknown action"
	case q.Context.Time.IsZero():
		return "the request has no time"
	case r.Account == "":
		return "the request names no account"
	case r.Database == "" && r.Container != "":
		return "the request names a container without a database"
	case strings.Contains(r.Account, "/") || strings.Contains(r.Database, "/") || strings.Contains(r.Container, "/"):
		return "the request names a resource with a slash"
	case r.Container == "" && q.Actions != ReadMetadata:
		return "the request names no container"
	default:
		return ""
	}
}

// finder returns the statements of an index that may concern a request.
type finder func(*index, Resource, Actions, []subjectID) []filed

// judgement collects what Cedar says about the actions of one request.
type judgement struct {
	set      *Set
	request  *Request
	required Actions // what a role must allow
	guarded  Actions // what no guardrail may deny

	cedar    cedar.Request
	entities entities
	validity validity

	failure   string
	forbidden Actions
	denials   []*statement
	tallies   []tally
	granting  []*statement // what the tallies were granted by
}

// judge decides a well-formed request by the statements that find returns, and
// says how long the decision holds.
func (s *Set) judge(q *Request, find finder) (Decision, validity) {
	j := judgement{set: s, request: q}
	j.required, j.guarded = q.Actions.contained()
	who := s.subjects.of(&q.Principal)
	deciding := find(s.deciding, q.Resource, j.guarded, who)
	obliging := find(s.obliging, q.Resource, j.guarded, who)
	j.prepare(who, deciding, obliging)
	j.tallies = make([]tally, 0, len(deciding))
	j.granting = make([]*statement, 0, len(deciding))
	for rest := j.guarded; rest != 0; rest &= rest - 1 {
		j.weigh(deciding, rest&-rest)
	}
	if j.failure != "" || j.forbidden != 0 {
		return j.denied(), j.validity
	}
	chosen := j.choose()
	if chosen == nil {
		return j.unmatched(), j.validity
	}
	return j.oblige(chosen, obliging), j.validity
}

// contained returns what a role must allow for the actions, and what no
// guardrail may deny. A stored procedure is code that can read and write
// whatever it likes in its partition.
func (a Actions) contained() (required, guarded Actions) {
	if a.Has(ExecuteStoredProcedure) {
		return a | writeActions, a | scriptActions
	}
	return a, a
}

// prepare builds the parts of the Cedar request that the statements read.
func (j *judgement) prepare(who []subjectID, found ...[]filed) {
	q := j.request
	j.entities = entities{
		who: &q.Principal, whoUID: principalUID(&q.Principal),
		what: q.Resource, whatUID: resourceUID(q.Resource),
		groups: j.set.subjects.groups(who, found...),
	}
	j.cedar = cedar.Request{Principal: j.entities.whoUID, Resource: j.entities.whatUID}
	readsContext := false
	for _, part := range found {
		for _, f := range part {
			readsContext = readsContext || f.readsContext()
			j.entities.described = j.entities.described || f.when != nil
			j.validity.narrow(f.statement, q.Context.Time)
		}
	}
	if readsContext {
		j.cedar.Context = contextRecord(q)
	}
	if q.Person != nil && readsContext {
		j.entities.describe(q.Person, j.set.subjects)
	}
}

// acting is the part of the statements that concerns one action, for Cedar.
type acting struct {
	statements []filed
	action     Actions
}

// All implements [cedar.PolicyIterator].
func (a acting) All() iter.Seq2[cedar.PolicyID, *cedar.Policy] {
	return func(yield func(cedar.PolicyID, *cedar.Policy) bool) {
		for _, f := range a.statements {
			if f.actions&a.action != 0 && !yield(f.id, f.policy) {
				return
			}
		}
	}
}

// ask lets Cedar decide one action.
func (j *judgement) ask(found []filed, action Actions) (cedar.Decision, cedar.Diagnostic) {
	name := actionNames[bits.TrailingZeros16(uint16(action))]
	j.cedar.Action = cedar.NewEntityUID(actionType, cedar.String(name))
	decision, diagnostic := cedar.Authorize(acting{found, action}, &j.entities, j.cedar)
	for _, e := range diagnostic.Errors {
		if j.failure == "" {
			j.failure = j.set.statements[e.PolicyID].origin + ": " + e.Message
		}
	}
	return decision, diagnostic
}

// weigh asks about one action and books the answer.
func (j *judgement) weigh(found []filed, action Actions) {
	decision, diagnostic := j.ask(found, action)
	for _, reason := range diagnostic.Reasons {
		s := j.set.statements[reason.PolicyID]
		if decision == cedar.Deny {
			j.forbidden |= action
			j.denials = append(j.denials, s)
			continue
		}
		if j.required.Has(action) {
			j.book(s, action)
		}
	}
}

// fits checks a partition key, where the action needs one.
func (q *Request) fits(key *keyGrant, action Actions) (keyOutcome, string) {
	if key == nil || action == ReadMetadata || q.NoData {
		return keyFits, ""
	}
	outcome, missing := key.check(q)
	return outcome, key.explain(outcome, missing)
}

// denied returns the denial that no role can outweigh.
func (j *judgement) denied() Decision {
	if j.failure != "" {
		return Decision{Reason: ReasonEvaluation, Missing: j.request.Actions, Detail: j.failure}
	}
	d := Decision{Reason: ReasonGuardrail, Missing: j.forbidden}
	details := make([]string, 0, len(j.denials))
	for _, s := range j.denials {
		d.Policies = append(d.Policies, s.origin)
		details = append(details, s.guardrail.name+": "+s.guardrail.reason)
	}
	d.Policies = sortedOnce(d.Policies)
	d.Detail = strings.Join(sortedOnce(details), "; ")
	return d
}

func sortedOnce(s []string) []string {
	slices.Sort(s)
	return slices.Compact(s)
}
