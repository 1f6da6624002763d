package policy

import (
	"slices"
	"strconv"
	"time"

	"github.com/cedar-policy/cedar-go"
)

// Access is one way in which a principal may act on a container: one rule,
// through one binding.
type Access struct {
	// Actions are what may be done, by requests that need one action each.
	Actions Actions
	// Role and Identity are under what it would be done if no other role were
	// preferred.
	Role, Identity string
	// Policy is the document that gives the role, such as
	// `RoleBinding/support-reads-orders`.
	Policy string
	// PartitionKey is what the keys of requests must begin with, as canonical
	// JSON; none means that requests are not confined.
	PartitionKey []string
	// For is whom an agent may do this for, such as `group staff`, and never more
	// than they may do themselves; none for people, applications and agents
	// that act for themselves.
	For []string
	// When are conditions on the request that must hold too, as written: they
	// depend on its time, network or sign-in.
	When []string
	// Unless are guardrails that deny depending on the request, as
	// `Guardrail/name: condition`.
	Unless []string
	// Expires is when the binding ends; the zero time means never.
	Expires time.Time
}

// Survey answers who can access what. It reads the same statements as
// decisions do; what depends on a request (its partition key, time of day,
// network) is not decided but told.
type Survey struct {
	set     *Set
	at      time.Time
	actions Actions
	people  []Principal
	class   []int         // of each principal: which subjects of the policy it is
	who     [][]subjectID // by class
}

// NewSurvey prepares questions about principals and actions at a time.
// ReadMetadata goes with every other action; it is told only if it is asked
// for.
func NewSurvey(set *Set, people []Principal, actions Actions, at time.Time) *Survey {
	v := &Survey{set: set, at: at, actions: actions, people: people}
	if set == nil {
		return v
	}
	v.class = make([]int, len(people))
	known := map[string]int{}
	for i := range people {
		who := set.subjects.of(&people[i])
		slices.Sort(who)
		who = slices.Compact(who)
		var key []byte
		for _, id := range who {
			key = strconv.AppendInt(append(key, ' '), int64(id), 10)
		}
		class, ok := known[string(key)]
		if !ok {
			class = len(v.who)
			known[string(key)] = class
			v.who = append(v.who, who)
		}
		v.class[i] = class
	}
	return v
}

// candidates are the statements that may concern one class of principals on
// one container.
type candidates struct {
	permits, forbids, obliging []*statement
}

// Container returns a function that tells how the principal with the given
// number may access the container. A `*` in the resource stands for every name
// that the policy does not mention.
func (v *Survey) Container(r Resource) func(principal int) []Access {
	if v.set == nil {
		return func(int) []Access { return nil }
	}
	byClass := make([]*candidates, len(v.who))
	return func(i int) []Access {
		class := v.class[i]
		if byClass[class] == nil {
			byClass[class] = v.candidates(r, v.who[class])
		}
		c := byClass[class]
		p := &v.people[i]
		if p.Kind == KindAgent {
			declared := v.set.agents[p.ID]
			if declared == nil {
				return nil
			}
			p = &Principal{ID: p.ID, Kind: KindAgent, Attributes: declared.Attributes}
		}
		if len(c.permits) == 0 {
			return nil
		}
		x := survey{Survey: v, candidates: c, who: p, resource: r}
		return x.ways()
	}
}

func (v *Survey) candidates(r Resource, who []subjectID) *candidates {
	c := &candidates{}
	seen := map[*statement]bool{}
	for _, f := range slices.Concat(v.set.deciding.find(r, AllActions, who), v.set.obliging.find(r, AllActions, who)) {
		s := f.statement
		ended := !s.expires.IsZero() && !v.at.Before(s.expires)
		if seen[s] || ended || v.at.Before(s.starts) {
			continue
		}
		seen[s] = true
		switch {
		case s.guardrail == nil:
			c.permits = append(c.permits, s)
		case s.guardrail.deny:
			c.forbids = append(c.forbids, s)
		default:
			c.obliging = append(c.obliging, s)
		}
	}
	return c
}

// survey is about one principal and one container.
type survey struct {
	*Survey
	*candidates

	who      *Principal
	resource Resource

	forbidden Actions
	alone     Actions // what is denied to an agent that acts for itself
	open      []openGuard
	confining []confinement
	redacting []openGuard // with no text if they hold whatever the request
}

// openGuard is a guardrail of which the request decides whether it holds.
type openGuard struct {
	actions Actions
	text    string
}

// confinement is a partition key that a guardrail demands; missing if the
// principal lacks an attribute for it.
type confinement struct {
	actions Actions
	key     []string
	missing bool
}

// truth of a condition, as far as principal and resource decide it.
type truth uint8

const (
	holds truth = iota
	fails
	errs
	depends
)

// weighs evaluates a condition, unless it reads the context of the request.
func (x *survey) weighs(c *condition) truth {
	switch {
	case c == nil:
		return holds
	case c.readsContext:
		return depends
	}
	e := entities{
		who: x.who, whoUID: principalUID(x.who), groups: x.set.subjects.groups(x.set.subjects.of(x.who)),
		what: x.resource, whatUID: resourceUID(x.resource), described: true,
	}
	decision, diagnostic := cedar.Authorize(cedar.PolicyMap{"when": c.alone}, &e, cedar.Request{
		Principal: e.whoUID, Resource: e.whatUID, Context: contextRecord(&Request{Context: Context{Time: x.at}}),
	})
	switch {
	case len(diagnostic.Errors) > 0:
		return errs
	case decision == cedar.Allow:
		return holds
	default:
		return fails
	}
}

// guards finds out what the guardrails say. An error denies what it concerns.
func (x *survey) guards() {
	for _, s := range x.forbids {
		switch x.weighs(s.when) {
		case holds, errs:
			x.forbidden |= s.actions
		case depends:
			x.open = append(x.open, openGuard{s.actions, s.origin + ": " + s.when.text})
		case fails:
		}
	}
	for _, s := range x.obliging {
		how := x.weighs(s.when)
		if how == errs {
			x.forbidden |= s.actions
		}
		if len(s.guardrail.obligations.Redact) > 0 && (how == holds || how == depends) {
			redacts := openGuard{actions: s.actions}
			if how == depends {
				redacts.text = s.origin + " redacts: " + s.when.text
			}
			x.redacting = append(x.redacting, redacts)
		}
		if s.key == nil || how == errs || how == fails {
			continue
		}
		if how == depends {
			x.open = append(x.open, openGuard{s.actions, s.origin + " confines: " + s.when.text})
			continue
		}
		key, ok := s.key.resolve(x.who)
		x.confining = append(x.confining, confinement{s.actions, key, !ok})
	}
}

// resolve returns the granted key for a principal; false if it lacks an
// attribute.
func (k *keyGrant) resolve(who *Principal) ([]string, bool) {
	key := make([]string, len(k.parts))
	for i, part := range k.parts {
		value, missing := part.resolve(who)
		if missing != "" {
			return nil, false
		}
		key[i] = value
	}
	return key, true
}

// permit is a statement that may allow something to the principal.
type permit struct {
	*statement

	key    []string
	keyed  bool // false: the principal lacks an attribute of the key
	people []string
	though []string
}

// fail denies what a permit concerns whose condition cannot be evaluated. That
// of a grant is evaluated only for whom the agent may act for.
func (x *survey) fail(s *statement) {
	switch {
	case s.grant == nil:
		x.forbidden |= s.actions
	case len(s.grant.people) == 0:
		x.alone |= s.actions
	}
}

func (x *survey) ways() []Access {
	x.guards()
	permits := make([]permit, 0, len(x.permits))
	for _, s := range x.permits {
		one := permit{statement: s, keyed: true}
		switch x.weighs(s.when) {
		case fails:
			continue
		case errs:
			x.fail(s)
			continue
		case depends:
			one.though = []string{s.when.text}
		case holds:
		}
		if s.grant != nil {
			for _, person := range s.grant.people {
				one.people = append(one.people, person.String())
			}
		}
		switch {
		case s.key == nil:
		case len(one.people) > 0 && len(s.key.attributes()) > 0:
			one.though = append(slices.Clone(one.though), "the partition key begins with "+s.key.text)
		default:
			one.key, one.keyed = s.key.resolve(x.who)
		}
		permits = append(permits, one)
	}
	if x.forbidden&scriptActions != 0 {
		x.forbidden |= ExecuteStoredProcedure
	}
	if x.alone&scriptActions != 0 {
		x.alone |= ExecuteStoredProcedure
	}
	var ways []Access
	for i := range permits {
		ways = x.permitted(ways, permits, &permits[i])
	}
	return ways
}

// permitted adds what one permit allows, one Access for every different
// confinement.
func (x *survey) permitted(ways []Access, all []permit, p *permit) []Access {
	first := len(ways)
	forbidden := x.forbidden
	if len(p.people) == 0 {
		forbidden |= x.alone
	}
	for rest := p.actions & x.actions &^ forbidden; rest != 0; rest &= rest - 1 {
		action := rest & -rest
		way, ok := x.confine(p, action)
		if ok && action == ExecuteStoredProcedure {
			way, ok = withWrites(way, all, p)
		}
		if !ok {
			continue
		}
		i := slices.IndexFunc(ways[first:], func(w Access) bool { return w.alike(&way) })
		if i >= 0 {
			ways[first+i].Actions |= action
			continue
		}
		ways = append(ways, way)
	}
	return ways
}

// confine returns the way in which a permit allows one action.
func (x *survey) confine(p *permit, action Actions) (Access, bool) {
	way := Access{
		Actions: action, Role: p.role.name, Identity: p.role.identity, Policy: p.origin,
		When: p.though, For: p.people, Expires: p.expires,
	}
	_, guarded := action.contained()
	for _, g := range x.open {
		if g.actions&guarded != 0 && !slices.Contains(way.Unless, g.text) {
			way.Unless = append(way.Unless, g.text)
		}
	}
	for _, g := range x.redacting {
		switch {
		case g.actions&guarded == 0 || guarded&unredactable == 0:
		case g.text == "":
			return way, false
		default:
			way.Unless = append(way.Unless, g.text)
		}
	}
	if action == ReadMetadata {
		return way, true
	}
	if !p.keyed {
		return way, false
	}
	way.PartitionKey = p.key
	for _, c := range x.confining {
		if c.actions&guarded&^ReadMetadata == 0 {
			continue
		}
		key, ok := narrower(way.PartitionKey, c.key)
		if !ok || c.missing {
			return way, false
		}
		way.PartitionKey = key
	}
	return way, true
}

// narrower returns the longer of two prefixes; false if no key has both.
func narrower(a, b []string) ([]string, bool) {
	if len(a) < len(b) {
		a, b = b, a
	}
	return a, hasPrefix(a, b)
}

// withWrites adds what a stored procedure needs besides its own action: that
// the same role allows every write, perhaps by other rules and bindings.
func withWrites(way Access, all []permit, own *permit) (Access, bool) {
	missing := writeActions &^ own.actions
	for i := range all {
		p := &all[i]
		if missing == 0 {
			break
		}
		key, fits := narrower(way.PartitionKey, p.key)
		if p.role != own.role || p.grant != own.grant || p.actions&missing == 0 || !p.keyed || !fits {
			continue
		}
		way.PartitionKey = key
		for _, condition := range p.though {
			if !slices.Contains(way.When, condition) {
				way.When = append(slices.Clone(way.When), condition)
			}
		}
		missing &^= p.actions
	}
	return way, missing == 0
}

// alike reports whether two ways differ in their actions only.
func (a *Access) alike(b *Access) bool {
	return a.Role == b.Role && a.Policy == b.Policy && a.Expires.Equal(b.Expires) &&
		slices.Equal(a.PartitionKey, b.PartitionKey) && slices.Equal(a.For, b.For) && slices.Equal(a.When, b.When) && slices.Equal(a.Unless, b.Unless)
}

// covers reports whether whatever b allows of an action, a allows too.
func (a *Access) covers(b *Access) bool {
	for _, condition := range a.When {
		if !slices.Contains(b.When, condition) {
			return false
		}
	}
	for _, guard := range a.Unless {
		if !slices.Contains(b.Unless, guard) {
			return false
		}
	}
	if !slices.Equal(a.For, b.For) {
		return false
	}
	lasting := a.Expires.IsZero() || !b.Expires.IsZero() && !a.Expires.Before(b.Expires)
	return lasting && hasPrefix(b.PartitionKey, a.PartitionKey)
}

// Without returns what of ways no way of others covers, by action.
func Without(ways, others []Access) []Access {
	var left []Access
	for _, way := range ways {
		for i := range others {
			if others[i].covers(&way) {
				way.Actions &^= others[i].Actions
			}
		}
		if way.Actions != 0 {
			left = append(left, way)
		}
	}
	return left
}
