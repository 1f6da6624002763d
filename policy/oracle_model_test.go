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
	Grants     []modelGrant
	// All are the roles by which identities are weighed, if not Roles.
	All []modelRole
}

type modelRole struct {
	modelObligations

	Name, Identity string
	Rules          []modelRule

	Key string // of a role as it is granted to agents
}

func (r modelRole) key() string {
	if r.Key != "" {
		return r.Key
	}
	return r.Name
}

// modelObligations are some of each kind: the lowest, the greatest, all of them.
type modelObligations struct {
	MaxItems int
	Low      bool
	Redact   []string
}

func (o modelObligations) count() int {
	n := 0
	for _, has := range []bool{o.MaxItems > 0, o.Low, len(o.Redact) > 0} {
		if has {
			n++
		}
	}
	return n
}

func (o modelObligations) with(p modelObligations) modelObligations {
	if o.MaxItems == 0 || p.MaxItems > 0 && p.MaxItems < o.MaxItems {
		o.MaxItems = p.MaxItems
	}
	o.Low = o.Low || p.Low
	o.Redact = slices.Clone(o.Redact)
	for _, path := range p.Redact {
		if !slices.Contains(o.Redact, path) {
			o.Redact = append(o.Redact, path)
		}
	}
	slices.Sort(o.Redact)
	return o
}

func (o modelObligations) obligationsYAML() string {
	var parts []string
	if o.MaxItems > 0 {
		parts = append(parts, fmt.Sprintf("maxItems: %d", o.MaxItems))
	}
	if o.Low {
		parts = append(parts, "priority: low")
	}
	if len(o.Redact) > 0 {
		parts = append(parts, "redact: ["+strings.Join(o.Redact, ", ")+"]")
	}
	if len(parts) == 0 {
		return ""
	}
	return "obligations: {" + strings.Join(parts, ", ") + "}\n"
}

// modelGrant lets an agent act for people, or for itself if there are none.
type modelGrant struct {
	modelObligations

	Name, Role string
	Agents     []string
	People     []modelSubject
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
	Cedar           bool // written as a permit
	grant           *modelGrant
}

func (b modelBinding) origin() string {
	if b.grant != nil {
		return "AgentGrant/" + b.Name
	}
	if b.Cedar {
		return "Cedar/" + b.Name
	}
	return "RoleBinding/" + b.Name
}

type modelSubject struct {
	Kind, Text, Connection string
	ByName                 bool
}

type modelGuardrail struct {
	modelObligations

	Name     string
	Deny     bool
	Subjects []modelSubject
	Rule     modelRule
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
		b.WriteString(r.obligationsYAML())
	}
	for _, name := range []string{"bot", "aide"} {
		fmt.Fprintf(&b, "---\n{kind: Agent, name: %s, match: {issuer: corp, claims: {azp: %s}}, attributes: {department: emea}}\n", name, name)
	}
	for _, g := range w.Grants {
		fmt.Fprintf(&b, "---\nkind: AgentGrant\nname: %s\nrole: %s\nsubjects: [{agent: %s}]\n%s", g.Name, g.Role,
			strings.Join(g.Agents, "}, {agent: "), g.obligationsYAML())
		b.WriteString("onBehalfOf: " + g.onBehalfOf() + "\n")
	}
	for _, m := range w.Bindings {
		if m.Cedar {
			continue
		}
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
		b.WriteString("effect: obligations\n" + g.obligationsYAML())
	}
	return b.String()
}

func (g *modelGrant) onBehalfOf() string {
	var groups, users []string
	for _, s := range g.People {
		if s.Kind == "user" {
			users = append(users, s.Text)
		} else {
			groups = append(groups, strings.Trim(yamlSubjects([]modelSubject{s}), "[]"))
		}
	}
	var parts []string
	if len(groups) > 0 {
		parts = append(parts, "groups: ["+strings.Join(groups, ", ")+"]")
	}
	if len(users) > 0 {
		parts = append(parts, "users: ["+strings.Join(users, ", ")+"]")
	}
	if len(parts) == 0 {
		return "none"
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// cedar writes the bindings that are permits. They imply what bindings imply.
func (w world) cedar() string {
	var b strings.Builder
	for _, m := range w.Bindings {
		if m.Cedar {
			s := m.Subjects[0]
			relation, kind := "==", "User"
			switch s.Kind {
			case "application":
				kind = "Application"
			case "group":
				relation, kind = "in", "Group"
			}
			fmt.Fprintf(&b, "@id(%q) @role(%q)\npermit(principal %s %s::%q, action, resource);\n", m.Name, m.Role, relation, kind, s.Text)
		}
	}
	return b.String()
}

// sources are both files.
func (w world) sources() []policy.Source {
	return []policy.Source{{Name: "world.yaml", Text: []byte(w.yaml())}, {Name: "world.cedar", Text: []byte(w.cedar())}}
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
