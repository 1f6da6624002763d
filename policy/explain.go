package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go"
)

// Explanation says how a decision came about: every role and guardrail that
// was considered, and where each of them failed.
type Explanation struct {
	Decision Decision
	// Considered are all rules of bound roles and all guardrails: those that
	// match first, then those that miss by least.
	Considered []Considered
}

// Considered is one rule of a role as bound by one binding, or one guardrail.
type Considered struct {
	// Policy is the document, such as `RoleBinding/support-reads-orders`.
	Policy string
	// Leg is whose leg of a delegated request this is about, such as
	// `agent triage-bot`; empty if there is one party only.
	Leg string
	// Role is the role bound, or empty for a guardrail.
	Role string
	// Position is where the rule or guardrail is written.
	Position Position
	// Matched is whether it applies to any action of the request. A guardrail
	// that matches denies or obliges, a rule that matches allows.
	Matched bool
	// Failed says, in the words of the policy file, what did not fit.
	Failed []string
}

// Explain answers like [Engine.Decide], and says why. It looks at everything
// in the policy and tells all of it: it is for operators, never for callers.
func (e *Engine) Explain(q Request) Explanation {
	set := e.Set()
	explanation := Explanation{Decision: set.decide(&q)}
	if set == nil || explanation.Decision.Reason == ReasonMalformed {
		return explanation
	}
	x := explainer{set: set}
	q.Person = nil
	if !q.delegated() {
		x.leg(q, "")
	} else {
		chain(q, func(leg Request) Decision {
			x.leg(leg, leg.Principal.Kind.String()+" "+leg.Principal.ID)
			return set.decideLeg(leg, (*index).find)
		})
	}
	slices.SortStableFunc(x.considered, func(a, b Considered) int {
		return cmp.Compare(len(a.Failed), len(b.Failed))
	})
	explanation.Considered = x.considered
	return explanation
}

// explainer goes through the documents as written, not as compiled: what it
// says can be found in the policy file.
type explainer struct {
	set        *Set
	request    *Request
	name       string // of the leg
	considered []Considered
}

// leg explains the part of one party. Bindings are for people and applications,
// grants for agents.
func (x *explainer) leg(q Request, name string) {
	x.set.describe(&q)
	x.request, x.name = &q, name
	if q.Principal.Kind == KindAgent {
		for _, g := range x.set.docs.grants {
			x.grant(g)
		}
	} else {
		for _, b := range x.set.docs.bindings {
			x.binding(b)
		}
	}
	for _, g := range x.set.docs.guardrails {
		x.guardrail(g)
	}
}

// role returns the role of that name; nil if there is none.
func (s *Set) role(name string) *role {
	i := slices.IndexFunc(s.docs.roles, func(r *role) bool { return r.name == name })
	if i < 0 {
		return nil
	}
	return s.docs.roles[i]
}

func (x *explainer) binding(b *binding) {
	failed := x.subjects(b.subjects)
	if b.when != nil {
		required, _ := x.request.Actions.contained()
		failed = append(failed, x.actions(required, b.actions)...)
		failed = append(failed, x.condition(b.when)...)
	}
	x.rules(b.origin(), x.set.role(b.role), append(failed, x.period(b.starts, b.expires)...))
}

func (x *explainer) grant(g *agentGrant) {
	failed := x.subjects(g.subjects)
	failed = append(failed, x.people(g.people)...)
	x.rules(g.origin(), g.as, append(failed, x.period(g.starts, g.expires)...))
}

// people says why an agent may not act for whom it does.
func (x *explainer) people(list []subject) []string {
	person := x.request.Person
	switch {
	case len(list) == 0 && person == nil:
		return nil
	case len(list) == 0:
		return []string{"onBehalfOf is none: the agent may act for itself only"}
	case person == nil:
		return []string{"onBehalfOf names people: the agent may not act for itself"}
	}
	names := make([]string, 0, len(list))
	for _, s := range list {
		if s.means(*person) {
			return nil
		}
		names = append(names, s.String())
	}
	return []string{fmt.Sprintf("onBehalfOf: user %s is none of: %s", person.ID, strings.Join(names, ", "))}
}

// rules goes through the rules of a role that is bound or granted, after what
// failed about that already.
func (x *explainer) rules(policy string, role *role, before []string) {
	required, _ := x.request.Actions.contained()
	for _, rule := range role.rules {
		failed := slices.Clone(before)
		offered := role.offers(rule)
		if lost := required & (rule.actions &^ offered); lost != 0 {
			failed = append(failed, "the role redacts, so that it does not allow "+lost.String())
		} else {
			failed = append(failed, x.actions(required, offered|ReadMetadata)...)
		}
		failed = append(failed, x.resource(rule.scopes, scope.reaches)...)
		failed = append(failed, x.condition(rule.when)...)
		failed = append(failed, x.key(rule.key, offered)...)
		x.add(policy, role.name, rule.pos, failed)
	}
}

func (x *explainer) guardrail(g *guardrail) {
	if !g.deny && x.request.Resource.Container == "" {
		return // obligations are about what is in containers
	}
	_, guarded := x.request.Actions.contained()
	failed := x.subjects(g.subjects)
	failed = append(failed, x.actions(guarded, g.actions)...)
	failed = append(failed, x.resource(g.scopes, scope.swallows)...)
	failed = append(failed, x.condition(g.when)...)
	x.add(g.origin(), "", g.pos, failed)
}

func (x *explainer) add(policy, role string, at Position, failed []string) {
	x.considered = append(x.considered, Considered{
		Policy: policy, Leg: x.name, Role: role, Position: at, Matched: len(failed) == 0, Failed: failed,
	})
}

func (x *explainer) subjects(list []subject) []string {
	if len(list) == 0 {
		return nil
	}
	names := make([]string, 0, len(list))
	for _, s := range list {
		if s.means(x.request.Principal) {
			return nil
		}
		names = append(names, s.String())
	}
	return []string{fmt.Sprintf("%s %s is none of: %s", x.request.Principal.Kind, x.request.Principal.ID, strings.Join(names, ", "))}
}

func (x *explainer) period(starts, expires time.Time) []string {
	now := x.request.Context.Time
	switch {
	case !starts.IsZero() && now.Before(starts):
		return []string{"starts " + starts.Format(time.RFC3339)}
	case !expires.IsZero() && !now.Before(expires):
		return []string{"expired " + expires.Format(time.RFC3339)}
	default:
		return nil
	}
}

func (x *explainer) actions(asked, has Actions) []string {
	if asked&has != 0 {
		return nil
	}
	return []string{"dataActions do not include " + asked.String()}
}

func (x *explainer) resource(scopes []scope, fits func(scope, Resource) bool) []string {
	names := make([]string, 0, len(scopes))
	for _, s := range scopes {
		if fits(s, x.request.Resource) {
			return nil
		}
		names = append(names, s.String())
	}
	return []string{fmt.Sprintf("resources do not include %s: %s", x.request.Resource, strings.Join(names, ", "))}
}

// condition evaluates a condition by itself.
func (x *explainer) condition(c *condition) []string {
	if c == nil {
		return nil
	}
	who := x.set.subjects.of(&x.request.Principal)
	e := entities{
		who: &x.request.Principal, whoUID: principalUID(&x.request.Principal), groups: x.set.subjects.groups(who),
		what: x.request.Resource, whatUID: resourceUID(x.request.Resource), described: true,
	}
	if x.request.Person != nil {
		e.describe(x.request.Person, x.set.subjects)
	}
	decision, diagnostic := cedar.Authorize(cedar.PolicyMap{"when": c.alone}, &e, cedar.Request{
		Principal: e.whoUID, Resource: e.whatUID, Context: contextRecord(x.request),
	})
	switch {
	case len(diagnostic.Errors) > 0:
		return []string{fmt.Sprintf("when cannot be evaluated (%s): %s", diagnostic.Errors[0].Message, c.text)}
	case decision == cedar.Deny:
		return []string{"when does not hold: " + c.text}
	default:
		return nil
	}
}

func (x *explainer) key(k *keyGrant, actions Actions) []string {
	if k == nil || x.request.NoData || x.request.Actions&(actions&^ReadMetadata) == 0 {
		return nil
	}
	if outcome, missing := k.check(x.request); outcome != keyFits && outcome != keyInjected {
		return []string{k.explain(outcome, missing)}
	}
	return nil
}
