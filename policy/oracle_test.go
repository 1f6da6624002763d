package policy_test

import (
	"slices"
	"strings"

	"github.com/cosmosgate/cosmosgate/policy"
)

// verdict is the part of a decision that the oracle predicts.
type verdict struct {
	Allow          bool
	Role, Identity string
	Obligations    modelObligations
	Injected       []string
	Policies       []string
	Reason         policy.Reason
	Missing        []string
}

func verdictOf(d policy.Decision) verdict {
	o := modelObligations{MaxItems: d.Obligations.MaxItems, Low: d.Obligations.Priority == policy.PriorityLow}
	for _, path := range d.Obligations.Redact {
		o.Redact = append(o.Redact, path.String())
	}
	return verdict{d.Allow, d.Role, d.Identity, o, d.Obligations.PartitionKey, d.Policies, d.Reason, d.Missing.Names()}
}

const (
	writes  = "items/create items/replace items/upsert items/delete"
	scripts = writes + " items/read executeQuery readChangeFeed"
)

// decide decides every leg, and lets through what all of them allow.
func (w world) decide(q policy.Request) verdict {
	if len(q.Actors) == 0 && q.Token == nil {
		return w.leg(q)
	}
	if len(q.Actors) > 0 && q.Principal.Kind != policy.KindPerson {
		return verdict{Reason: policy.ReasonAgent, Missing: q.Actions.Names()}
	}
	one := q
	one.Actors, one.Token = nil, nil
	if len(q.Actors) > 0 {
		one.Context.IsAgent, one.Context.OnBehalfOf = false, ""
	}
	all := w.leg(one)
	for _, actor := range q.Actors {
		if !all.Allow {
			return all
		}
		acting := one
		acting.Principal, acting.Person = actor, &q.Principal
		acting = all.confined(acting)
		all = w.both(all, w.leg(acting))
	}
	if all.Allow && q.Token != nil {
		if missing := w.beyond(q.Token, all.confined(one)); len(missing) > 0 {
			return verdict{Reason: policy.ReasonScope, Missing: missing}
		}
	}
	return all
}

// confined is a request with the key that was set.
func (v verdict) confined(q policy.Request) policy.Request {
	if v.Injected != nil {
		q.PartitionKeys, q.Injectable = [][]string{v.Injected}, false
	}
	return q
}

// both is what two legs allow.
func (w world) both(a, b verdict) verdict {
	if !b.Allow {
		return b
	}
	if w.narrower(b.Identity, a.Identity) {
		a.Role, a.Identity = b.Role, b.Identity
	}
	a.Obligations = a.Obligations.with(b.Obligations)
	a.Policies = append(slices.Clone(a.Policies), b.Policies...)
	slices.Sort(a.Policies)
	a.Policies = slices.Compact(a.Policies)
	return a
}

// narrower is whether one identity may do less than another.
func (w world) narrower(a, b string) bool {
	weigh := func(identity string) []int { return w.weight(&modelRole{Identity: identity})[1:] }
	if c := slices.Compare(weigh(a), weigh(b)); c != 0 {
		return c < 0
	}
	return a < b
}

// beyond is what a token does not allow of a request.
func (w world) beyond(t *policy.Token, q policy.Request) []string {
	var byScope, byDetail []string
	for _, scope := range t.Scopes {
		switch scope {
		case "cosmos.read":
			byScope = union(byScope, strings.Fields("readMetadata items/read executeQuery readChangeFeed"))
		case "cosmos.write":
			byScope = union(byScope, strings.Fields("readMetadata "+writes))
		case "cosmos.execute":
			byScope = union(byScope, strings.Fields("readMetadata executeStoredProcedure"))
		}
	}
	for _, d := range t.Details {
		if !slices.ContainsFunc(d.Resources, func(r string) bool { return reaches(r, q.Resource) }) {
			continue
		}
		byDetail = union(byDetail, []string{"readMetadata"})
		within := len(d.PartitionKeys) == 0 || q.NoData
		if !within && !q.Ranged && len(q.PartitionKeys) > 0 {
			within = !slices.ContainsFunc(q.PartitionKeys, func(key []string) bool {
				return !slices.ContainsFunc(d.PartitionKeys, func(want []string) bool { return begins([][]string{key}, want) })
			})
		}
		if within {
			byDetail = union(byDetail, expand(d.Actions))
		}
	}
	var missing []string
	for _, a := range requirements(q) {
		scoped := slices.Contains(byScope, a) || len(t.Scopes) == 0 && len(t.Details) > 0
		detailed := slices.Contains(byDetail, a) || len(t.Details) == 0
		if !scoped || !detailed {
			missing = append(missing, a)
		}
	}
	return missing
}

func requirements(q policy.Request) []string {
	required := q.Actions.Names()
	if slices.Contains(required, "executeStoredProcedure") {
		required = union(required, strings.Fields(writes))
	}
	return required
}

// leg decides about one party.
func (w world) leg(q policy.Request) verdict {
	if q.Principal.Kind == policy.KindAgent {
		if q.Principal.ID != "bot" && q.Principal.ID != "aide" {
			return verdict{Reason: policy.ReasonAgent, Missing: q.Actions.Names()}
		}
		q.Context.IsAgent, q.Context.OnBehalfOf = true, ""
		if q.Person != nil {
			q.Context.OnBehalfOf = q.Person.ID
		}
		q.Principal.Attributes = map[string]string{"department": "emea"}
		w = w.asGranted()
	}
	required := requirements(q)
	guarded := slices.Clone(q.Actions.Names())
	if slices.Contains(guarded, "executeStoredProcedure") {
		guarded = union(guarded, strings.Fields(scripts))
	}
	if w.fails(q, guarded) {
		return verdict{Reason: policy.ReasonEvaluation, Missing: q.Actions.Names()}
	}
	if v := w.forbids(q, guarded); v.Reason != policy.ReasonNoPolicy {
		return v
	}
	best, key, near := w.pick(q, required)
	switch {
	case best != nil:
		return w.merge(q, best, key, guarded)
	case near.Reason != policy.ReasonNoPolicy:
		return near
	}
	var missing []string
	for _, a := range required {
		if !slices.ContainsFunc(w.Roles, func(r modelRole) bool { return w.offers(q, r, a) }) {
			missing = append(missing, a)
		}
	}
	if len(missing) == len(required) && q.Principal.Kind == policy.KindAgent {
		return verdict{Reason: policy.ReasonAgent, Missing: required}
	}
	if len(missing) == 0 {
		missing = required
	}
	return verdict{Reason: policy.ReasonNoRole, Missing: missing}
}

// asGranted is the world of agents: grants are bindings, each of a role of its
// own with the grant's obligations.
func (w world) asGranted() world {
	granted := world{All: w.Roles, Guardrails: w.Guardrails}
	for _, g := range w.Grants {
		r := w.role(g.Role)
		r.Key, r.modelObligations = r.Name+" by "+g.Name, r.with(g.modelObligations)
		granted.Roles = append(granted.Roles, r)
		b := modelBinding{Name: g.Name, Role: r.Key, grant: &g}
		for _, agent := range g.Agents {
			b.Subjects = append(b.Subjects, modelSubject{Kind: "agent", Text: agent})
		}
		granted.Bindings = append(granted.Bindings, b)
	}
	return granted
}

// offered are the rules of a role without what it cannot allow because it
// redacts.
func (r modelRole) offered() []modelRule {
	var rules []modelRule
	for _, rule := range r.Rules {
		rule.Actions = expand(rule.Actions)
		if len(r.Redact) > 0 {
			rule.Actions = slices.DeleteFunc(rule.Actions, func(a string) bool { return strings.Contains(unredactable, a) })
		}
		rule.Actions = append(rule.Actions, "readMetadata")
		rules = append(rules, rule)
	}
	return rules
}

const unredactable = "items/upsert executeStoredProcedure manageConflicts"

// fails is whether a condition that concerns the request cannot be evaluated.
func (w world) fails(q policy.Request, actions []string) bool {
	for _, b := range w.Bindings {
		for _, rule := range w.role(b.Role).offered() {
			if b.holds(q) && rule.concerns(q, actions, reaches) && evaluate(rule.When, q) == failure {
				return true
			}
		}
	}
	for _, g := range w.Guardrails {
		if g.Deny && g.binds(q) && g.Rule.concerns(q, actions, swallows) && evaluate(g.Rule.When, q) == failure {
			return true
		}
	}
	return false
}

func (w world) forbids(q policy.Request, actions []string) verdict {
	var v verdict
	for _, g := range w.Guardrails {
		if !g.Deny || !g.binds(q) || !g.Rule.concerns(q, actions, swallows) || evaluate(g.Rule.When, q) != yes {
			continue
		}
		v.Reason = policy.ReasonGuardrail
		v.Policies = append(v.Policies, "Guardrail/"+g.Name)
		v.Missing = union(v.Missing, common(expand(g.Rule.Actions), actions))
	}
	slices.Sort(v.Policies)
	return v
}

// pick returns the best role that allows everything and the key that must be set
// for that, or how the nearest would.
func (w world) pick(q policy.Request, required []string) (*modelRole, []string, verdict) {
	var best, nearRole *modelRole
	var bestKey []string
	var near verdict
	for i := range w.Roles {
		r := &w.Roles[i]
		var lacking []string
		offered, fixable := true, false
		for _, a := range required {
			if w.allows(q, *r, a) {
				continue
			}
			lacking = append(lacking, a)
			offered = offered && w.offers(q, *r, a)
			fixable = fixable || w.fixable(q, *r, a)
		}
		keys := w.settable(q, *r, lacking)
		if len(lacking) == 0 || len(keys) == 1 {
			if best == nil || (r.Name == q.Role) != (best.Name == q.Role) && r.Name == q.Role ||
				(r.Name == q.Role) == (best.Name == q.Role) && w.better(r, best) {
				best, bestKey = r, nil
				if len(lacking) > 0 {
					bestKey = keys[0]
				}
			}
			continue
		}
		if !offered {
			continue
		}
		reason := policy.ReasonMissingAttribute
		if fixable {
			reason = policy.ReasonPartitionKey
		}
		class := func(reason policy.Reason, r modelRole) int {
			if reason == policy.ReasonMissingAttribute {
				return 9
			}
			return w.keyClass(q, r, required)
		}
		if nearRole == nil || class(reason, *r) < class(near.Reason, *nearRole) ||
			(class(reason, *r) == class(near.Reason, *nearRole) && w.better(r, nearRole)) {
			near, nearRole = verdict{Reason: reason, Missing: lacking}, r
		}
	}
	return best, bestKey, near
}

// sets is whether the gate may set the key of a rule.
func (r modelRule) sets(q policy.Request) bool {
	return r.Inject && q.Injectable && len(q.PartitionKeys) == 0 && !q.Ranged && !q.NoData
}

// settable are the keys of which each, if it were set, would make a role allow
// all that it lacks.
func (w world) settable(q policy.Request, r modelRole, lacking []string) [][]string {
	if len(lacking) == 0 {
		return nil
	}
	candidates := map[string][]string{}
	for _, a := range lacking {
		w.eachRule(q, r, a, func(rule modelRule) {
			if key, ok := fill(rule.Key, q); ok && rule.sets(q) {
				candidates[strings.Join(key, " ")] = key
			}
		})
	}
	var keys [][]string
	for _, key := range candidates {
		enough := true
		for _, a := range lacking {
			found := false
			w.eachRule(q, r, a, func(rule modelRule) {
				own, ok := fill(rule.Key, q)
				found = found || ok && rule.sets(q) && slices.Equal(own, key)
			})
			enough = enough && found
		}
		if enough {
			keys = append(keys, key)
		}
	}
	return keys
}

// keyClass orders what a request can do about its partition key: 0 choose one
// of several, 1 name one, 2 name another, 3 name no range.
func (w world) keyClass(q policy.Request, r modelRole, required []string) int {
	class := 9
	var lacking []string
	for _, a := range required {
		if !w.allows(q, r, a) {
			lacking = append(lacking, a)
		}
	}
	several := len(w.settable(q, r, lacking)) > 1
	for _, a := range lacking {
		w.eachRule(q, r, a, func(rule modelRule) {
			want, ok := fill(rule.Key, q)
			switch {
			case !ok:
			case q.Ranged:
				class = min(class, 3)
			case rule.sets(q) && several:
				class = 0
			case len(q.PartitionKeys) == 0:
				class = min(class, 1)
			case !begins(q.PartitionKeys, want):
				class = min(class, 2)
			}
		})
	}
	return class
}

// eachRule calls f with every bound rule of the role that offers the action.
func (w world) eachRule(q policy.Request, r modelRole, action string, f func(modelRule)) {
	for _, b := range w.Bindings {
		if b.Role != r.key() || !b.holds(q) {
			continue
		}
		for _, rule := range r.offered() {
			if rule.concerns(q, []string{action}, reaches) && evaluate(rule.When, q) == yes {
				f(rule)
			}
		}
	}
}

// offers is whether the role allows the action under some partition key.
func (w world) offers(q policy.Request, r modelRole, action string) bool {
	found := false
	w.eachRule(q, r, action, func(modelRule) { found = true })
	return found
}

// allows is whether the role allows the action as the request is.
func (w world) allows(q policy.Request, r modelRole, action string) bool {
	found := false
	w.eachRule(q, r, action, func(rule modelRule) {
		found = found || keyed(rule.Key, q, action)
	})
	return found
}

// fixable is whether the request could be allowed with another key.
func (w world) fixable(q policy.Request, r modelRole, action string) bool {
	found := false
	w.eachRule(q, r, action, func(rule modelRule) {
		_, ok := fill(rule.Key, q)
		found = found || ok
	})
	return found
}

// uses is whether a binding is part of why the role allows the request.
func (w world) uses(q policy.Request, r *modelRole, b modelBinding, key []string) bool {
	only := world{Roles: w.Roles, All: w.All, Bindings: []modelBinding{b}}
	used := false
	for _, a := range requirements(q) {
		used = used || only.allows(q, *r, a)
		only.eachRule(q, *r, a, func(rule modelRule) {
			own, ok := fill(rule.Key, q)
			used = used || ok && key != nil && rule.sets(q) && a != "readMetadata" && slices.Equal(own, key)
		})
	}
	return used
}

// merge adds what guardrails oblige to.
func (w world) merge(q policy.Request, r *modelRole, key, actions []string) verdict {
	v := verdict{
		Allow: true, Role: r.Name, Identity: r.Identity, Obligations: r.modelObligations, Reason: policy.ReasonAllowed, Injected: key,
	}
	v.Obligations = v.Obligations.with(modelObligations{})
	for _, b := range w.Bindings {
		if w.uses(q, r, b, key) {
			v.Policies = append(v.Policies, b.origin())
		}
	}
	var matched []modelGuardrail
	for _, g := range w.Guardrails {
		if g.Deny || q.Resource.Container == "" || !g.binds(q) || !g.Rule.concerns(q, actions, reaches) {
			continue
		}
		switch evaluate(g.Rule.When, q) {
		case failure:
			return verdict{Reason: policy.ReasonEvaluation, Missing: q.Actions.Names()}
		case no:
			continue
		}
		v.Policies = append(v.Policies, "Guardrail/"+g.Name)
		v.Obligations = v.Obligations.with(g.modelObligations)
		matched = append(matched, g)
	}
	slices.Sort(v.Policies)
	v.Policies = slices.Compact(v.Policies)
	return w.guard(q, v, matched, actions)
}

// guard holds what is allowed to the keys of guardrails, and to what can be
// redacted.
func (w world) guard(q policy.Request, v verdict, matched []modelGuardrail, actions []string) verdict {
	var setting []string
	agree := true
	for _, g := range matched {
		own, ok := fill(g.Rule.Key, q)
		acting := slices.DeleteFunc(common(expand(g.Rule.Actions), actions), func(a string) bool { return a == "readMetadata" })
		if !ok || g.Rule.Key == nil || !g.Rule.sets(q) || len(acting) == 0 {
			continue
		}
		setting = union(setting, acting)
		longer, shorter := v.Injected, own
		if len(longer) < len(shorter) {
			longer, shorter = shorter, longer
		}
		agree = agree && begins([][]string{longer}, shorter)
		v.Injected = longer
	}
	if !agree {
		return verdict{Reason: policy.ReasonPartitionKey, Policies: v.Policies, Missing: setting}
	}
	if exposed := common(actions, strings.Fields(unredactable)); len(exposed) > 0 && len(v.Obligations.Redact) > 0 {
		return verdict{Reason: policy.ReasonRedaction, Policies: v.Policies, Missing: exposed}
	}
	q = v.confined(q)
	blocked := verdict{}
	for _, g := range matched {
		for _, a := range common(expand(g.Rule.Actions), actions) {
			if keyed(g.Rule.Key, q, a) {
				continue
			}
			blocked.Missing = union(blocked.Missing, []string{a})
			if _, ok := fill(g.Rule.Key, q); ok {
				blocked.Reason = policy.ReasonPartitionKey
			} else if blocked.Reason == policy.ReasonNoPolicy {
				blocked.Reason = policy.ReasonMissingAttribute
			}
		}
	}
	if blocked.Reason != policy.ReasonNoPolicy {
		blocked.Policies = v.Policies
		return blocked
	}
	return v
}

func (w world) role(name string) modelRole {
	i := slices.IndexFunc(w.Roles, func(r modelRole) bool { return r.key() == name })
	return w.Roles[i]
}

// better is whether a is preferred to b: fewest obligations, narrowest
// identity, name.
func (w world) better(a, b *modelRole) bool {
	x, y := w.weight(a), w.weight(b)
	if c := slices.Compare(x, y); c != 0 {
		return c < 0
	}
	return a.key() < b.key()
}

func (w world) weight(r *modelRole) []int {
	all := w.All
	if all == nil {
		all = w.Roles
	}
	actions := []string{"readMetadata"}
	var resources []string
	widest := 0
	for _, other := range all {
		if other.Identity != r.Identity {
			continue
		}
		for _, rule := range other.Rules {
			actions = union(actions, expand(rule.Actions))
			resources = union(resources, rule.Resources)
			for _, res := range rule.Resources {
				width := 0
				for i, part := range strings.Split(res, "/") {
					if part == "*" {
						width += []int{4, 2, 1}[i]
					}
				}
				widest = max(widest, width)
			}
		}
	}
	return []int{r.count(), len(actions), widest, len(resources)}
}

func (b modelBinding) holds(q policy.Request) bool {
	now := q.Context.Time
	return anyMeans(b.Subjects, q.Principal) && b.grant.lets(q.Person) &&
		(b.Starts.IsZero() || !now.Before(b.Starts)) && (b.Expires.IsZero() || now.Before(b.Expires))
}

// lets is whether an agent may act for somebody; who is no agent needs no grant.
func (g *modelGrant) lets(person *policy.Principal) bool {
	switch {
	case g == nil:
		return true
	case len(g.People) == 0 || person == nil:
		return len(g.People) == 0 && person == nil
	default:
		return anyMeans(g.People, *person)
	}
}

func (g modelGuardrail) binds(q policy.Request) bool {
	return len(g.Subjects) == 0 || anyMeans(g.Subjects, q.Principal)
}

func anyMeans(list []modelSubject, p policy.Principal) bool {
	return slices.ContainsFunc(list, func(s modelSubject) bool { return s.means(p) })
}

func (s modelSubject) means(p policy.Principal) bool {
	switch s.Kind {
	case "user":
		return p.Kind == policy.KindPerson && p.ID == s.Text
	case "application":
		return p.Kind == policy.KindApplication && p.ID == s.Text
	case "agent":
		return p.Kind == policy.KindAgent && p.ID == s.Text
	}
	return p.Kind == policy.KindPerson && slices.ContainsFunc(p.Groups, func(g policy.Group) bool {
		if s.Connection != "" && s.Connection != g.Connection {
			return false
		}
		switch {
		case s.ByName:
			return g.Name == s.Text
		case strings.HasPrefix(s.Text, "0192f0c1-"): // the only UUIDs of these worlds
			return g.ID == s.Text
		default:
			return g.ExternalID == s.Text
		}
	})
}

// concerns is whether the rule is about the resource and one of the actions.
func (r modelRule) concerns(q policy.Request, actions []string, fits func(resource string, r policy.Resource) bool) bool {
	return len(common(expand(r.Actions), actions)) > 0 &&
		slices.ContainsFunc(r.Resources, func(res string) bool { return fits(res, q.Resource) })
}

// reaches is whether something in the pattern is at or below the resource.
func reaches(pattern string, r policy.Resource) bool {
	parts := strings.Split(pattern, "/")
	for i, name := range []string{r.Account, r.Database, r.Container} {
		if name != "" && parts[i] != "*" && parts[i] != name {
			return false
		}
	}
	return true
}

// swallows is whether everything at or below the resource is in the pattern.
func swallows(pattern string, r policy.Resource) bool {
	parts := strings.Split(pattern, "/")
	for i, name := range []string{r.Account, r.Database, r.Container} {
		if name == "" && parts[i] != "*" {
			return false
		}
	}
	return reaches(pattern, r)
}

// keyed is whether the request fits the key, for an action that needs one.
func keyed(key []string, q policy.Request, action string) bool {
	if key == nil || action == "readMetadata" || q.NoData {
		return true
	}
	want, ok := fill(key, q)
	return ok && !q.Ranged && len(q.PartitionKeys) > 0 && begins(q.PartitionKeys, want)
}

// fill returns the key for the principal; false if an attribute is missing.
func fill(key []string, q policy.Request) ([]string, bool) {
	who := q.Principal
	if q.Person != nil {
		who = *q.Person
	}
	var out []string
	for _, part := range key {
		switch part {
		case `"${user.department}"`:
			if who.Attributes["department"] == "" {
				return nil, false
			}
			part = `"` + who.Attributes["department"] + `"`
		case `"of-${user.id}"`:
			part = `"of-` + who.ID + `"`
		}
		out = append(out, part)
	}
	return out, true
}

func begins(keys [][]string, want []string) bool {
	for _, key := range keys {
		if len(key) < len(want) || !slices.Equal(key[:len(want)], want) {
			return false
		}
	}
	return true
}

func expand(actions []string) []string {
	var out []string
	for _, a := range actions {
		switch a {
		case "items/*":
			out = union(out, strings.Fields("items/read "+writes))
		case "*":
			out = union(out, strings.Fields("readMetadata executeStoredProcedure manageConflicts "+scripts))
		default:
			out = union(out, []string{a})
		}
	}
	return out
}

// union and common return their result in bit order, like Actions.Names.
func union(a, b []string) []string { return inOrder(append(slices.Clone(a), b...)) }

func common(a, b []string) []string {
	var out []string
	for _, x := range a {
		if slices.Contains(b, x) {
			out = append(out, x)
		}
	}
	return inOrder(out)
}

func inOrder(list []string) []string {
	order := policy.AllActions.Names()
	slices.SortFunc(list, func(a, b string) int {
		if d := slices.Index(order, a) - slices.Index(order, b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return slices.Compact(list)
}
