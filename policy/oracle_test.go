package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cosmosgate/cosmosgate/policy"
)

// The oracle decides from a model of what the YAML says, by trying everything.
// It shares no code with the package: names are strings, action sets are
// slices, and there is neither Cedar nor an index.

type world struct {
	Roles      []modelRole
	Bindings   []modelBinding
	Guardrails []modelGuardrail
}

type modelRole struct {
	Name, Identity string
	Rules          []modelRule
	MaxItems       int
}

type modelRule struct {
	Actions   []string
	Resources []string
	Key       []string // YAML scalars; nil: none
	Inject    bool
	When      string
}

type modelBinding struct {
	Name, Role      string
	Subjects        []modelSubject
	Starts, Expires time.Time
}

type modelSubject struct {
	Kind, Text, Connection string
	ByName                 bool
}

type modelGuardrail struct {
	Name     string
	Deny     bool
	Subjects []modelSubject
	Rule     modelRule
	MaxItems int
}

// yaml writes the world as a policy file.
func (w world) yaml() string {
	var b strings.Builder
	b.WriteString("kind: Application\nname: app\nmatch: {issuer: corp, claims: {azp: x}}\nattributes: {department: emea}\n")
	for _, r := range w.Roles {
		fmt.Fprintf(&b, "---\nkind: Role\nname: %s\nidentity: %s\nrules:\n", r.Name, r.Identity)
		for _, rule := range r.Rules {
			b.WriteString("- ")
			b.WriteString(strings.ReplaceAll(strings.TrimSuffix(rule.yaml(), "\n"), "\n", "\n  ") + "\n")
		}
		if r.MaxItems > 0 {
			fmt.Fprintf(&b, "obligations: {maxItems: %d}\n", r.MaxItems)
		}
	}
	for _, m := range w.Bindings {
		fmt.Fprintf(&b, "---\nkind: RoleBinding\nname: %s\nrole: %s\nsubjects: %s\n", m.Name, m.Role, yamlSubjects(m.Subjects))
		if !m.Starts.IsZero() {
			fmt.Fprintf(&b, "starts: %s\n", m.Starts.Format(time.RFC3339))
		}
		if !m.Expires.IsZero() {
			fmt.Fprintf(&b, "expires: %s\n", m.Expires.Format(time.RFC3339))
		}
	}
	for _, g := range w.Guardrails {
		fmt.Fprintf(&b, "---\nkind: Guardrail\nname: %s\n%s", g.Name, g.Rule.yaml())
		if len(g.Subjects) > 0 {
			fmt.Fprintf(&b, "subjects: %s\n", yamlSubjects(g.Subjects))
		}
		if g.Deny {
			b.WriteString("effect: deny\nreason: because\n")
			continue
		}
		fmt.Fprintf(&b, "effect: obligations\nobligations: {maxItems: %d}\n", g.MaxItems)
	}
	return b.String()
}

func (r modelRule) yaml() string {
	var b strings.Builder
	fmt.Fprintf(&b, "dataActions: [%s]\nresources: [%s]\n", quoted(r.Actions), quoted(r.Resources))
	if r.Key != nil {
		mode := ""
		if r.Inject {
			mode = ", mode: inject"
		}
		fmt.Fprintf(&b, "partitionKey: {equals: [%s]%s}\n", strings.Join(r.Key, ", "), mode)
	}
	if r.When != "" {
		fmt.Fprintf(&b, "when: '%s'\n", r.When)
	}
	return b.String()
}

func quoted(list []string) string {
	return `"` + strings.Join(list, `", "`) + `"`
}

func yamlSubjects(list []modelSubject) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = fmt.Sprintf("{%s: %q", s.Kind, s.Text)
		if s.Connection != "" {
			out[i] += ", connection: " + s.Connection
		}
		if s.ByName {
			out[i] += ", byName: true"
		}
		out[i] += "}"
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// verdict is the part of a decision that the oracle predicts.
type verdict struct {
	Allow          bool
	Role, Identity string
	MaxItems       int
	Policies       []string
	Reason         policy.Reason
	Missing        []string
}

func verdictOf(d policy.Decision) verdict {
	return verdict{d.Allow, d.Role, d.Identity, d.Obligations.MaxItems, d.Policies, d.Reason, d.Missing.Names()}
}

const (
	writes  = "items/create items/replace items/upsert items/delete"
	scripts = writes + " items/read executeQuery readChangeFeed"
)

func (w world) decide(q policy.Request) verdict {
	required := q.Actions.Names()
	guarded := slices.Clone(required)
	if slices.Contains(required, "executeStoredProcedure") {
		required = union(required, strings.Fields(writes))
		guarded = union(guarded, strings.Fields(scripts))
	}
	if w.fails(q, guarded) {
		return verdict{Reason: policy.ReasonEvaluation, Missing: q.Actions.Names()}
	}
	if v := w.forbids(q, guarded); v.Reason != policy.ReasonNoPolicy {
		return v
	}
	best, near := w.pick(q, required)
	switch {
	case best != nil:
		return w.merge(q, best, guarded)
	case near.Reason != policy.ReasonNoPolicy:
		return near
	}
	var missing []string
	for _, a := range required {
		if !slices.ContainsFunc(w.Roles, func(r modelRole) bool { return w.offers(q, r, a) }) {
			missing = append(missing, a)
		}
	}
	if len(missing) == 0 {
		missing = required
	}
	return verdict{Reason: policy.ReasonNoRole, Missing: missing}
}

// fails is whether a condition that concerns the request cannot be evaluated.
func (w world) fails(q policy.Request, actions []string) bool {
	for _, b := range w.Bindings {
		for _, rule := range w.role(b.Role).Rules {
			rule.Actions = append([]string{"readMetadata"}, rule.Actions...)
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

// pick returns the best role that allows everything, or how the nearest would.
func (w world) pick(q policy.Request, required []string) (*modelRole, verdict) {
	var best *modelRole
	var near verdict
	var nearRole *modelRole
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
		if len(lacking) == 0 {
			if best == nil || (best.Name != q.Role && (r.Name == q.Role || w.better(r, best))) {
				best = r
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
	return best, near
}

// keyClass orders what a request can do about its partition key: 1 name one, 2
// name another, 3 name no range.
func (w world) keyClass(q policy.Request, r modelRole, required []string) int {
	class := 9
	for _, a := range required {
		if w.allows(q, r, a) {
			continue
		}
		w.eachRule(q, r, a, func(rule modelRule) {
			want, ok := fill(rule.Key, q)
			switch {
			case !ok:
			case q.Ranged:
				class = min(class, 3)
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
		if b.Role != r.Name || !b.holds(q) {
			continue
		}
		for _, rule := range r.Rules {
			rule.Actions = append([]string{"readMetadata"}, rule.Actions...)
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

// merge adds what guardrails oblige to.
func (w world) merge(q policy.Request, r *modelRole, actions []string) verdict {
	v := verdict{Allow: true, Role: r.Name, Identity: r.Identity, MaxItems: r.MaxItems, Reason: policy.ReasonAllowed}
	required := q.Actions.Names()
	if slices.Contains(required, "executeStoredProcedure") {
		required = union(required, strings.Fields(writes))
	}
	for _, b := range w.Bindings {
		used := false
		for _, a := range required {
			only := world{Roles: w.Roles, Bindings: []modelBinding{b}}
			used = used || only.allows(q, *r, a)
		}
		if used {
			v.Policies = append(v.Policies, "RoleBinding/"+b.Name)
		}
	}
	blocked := verdict{}
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
		if v.MaxItems == 0 || g.MaxItems < v.MaxItems {
			v.MaxItems = g.MaxItems
		}
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
	slices.Sort(v.Policies)
	if blocked.Reason != policy.ReasonNoPolicy {
		blocked.Policies = v.Policies
		return blocked
	}
	return v
}

func (w world) role(name string) modelRole {
	i := slices.IndexFunc(w.Roles, func(r modelRole) bool { return r.Name == name })
	return w.Roles[i]
}

// better is whether a is preferred to b: fewest obligations, narrowest
// identity, name.
func (w world) better(a, b *modelRole) bool {
	x, y := w.weight(a), w.weight(b)
	if c := slices.Compare(x, y); c != 0 {
		return c < 0
	}
	return a.Name < b.Name
}

func (w world) weight(r *modelRole) []int {
	obligations := 0
	if r.MaxItems > 0 {
		obligations = 1
	}
	actions := []string{"readMetadata"}
	var resources []string
	widest := 0
	for _, other := range w.Roles {
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
	return []int{obligations, len(actions), widest, len(resources)}
}

func (b modelBinding) holds(q policy.Request) bool {
	now := q.Context.Time
	return anyMeans(b.Subjects, q.Principal) &&
		(b.Starts.IsZero() || !now.Before(b.Starts)) && (b.Expires.IsZero() || now.Before(b.Expires))
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
	var out []string
	for _, part := range key {
		switch part {
		case `"${user.department}"`:
			if q.Principal.Attributes["department"] == "" {
				return nil, false
			}
			part = `"` + q.Principal.Attributes["department"] + `"`
		case `"of-${user.id}"`:
			part = `"of-` + q.Principal.ID + `"`
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
