package policy

import (
	"encoding/json"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The kinds of document.
const (
	kindRole         = "Role"
	kindRoleBinding  = "RoleBinding"
	kindApplication  = "Application"
	kindAgent        = "Agent"
	kindAgentGrant   = "AgentGrant"
	kindGuardrail    = "Guardrail"
	kindPolicyTest   = "PolicyTest"
	keyName          = "name"
	keyRole          = "role"
	keyIdentity      = "identity"
	keyGroup         = "group"
	keyUser          = "user"
	keyAgent         = "agent"
	keyApplication   = "application"
	keyConnection    = "connection"
	keyDataActions   = "dataActions"
	keyResources     = "resources"
	keyPartitionKey  = "partitionKey"
	keyObligations   = "obligations"
	keySubjects      = "subjects"
	keyReason        = "reason"
	keyWhen          = "when"
	keyMaxItems      = "maxItems"
	keyMatch         = "match"
	keyVirtualKeys   = "virtualKeys"
	keyAttributes    = "attributes"
	keyOnBehalfOf    = "onBehalfOf"
	keyStarts        = "starts"
	keyExpires       = "expires"
	effectDeny       = "deny"
	effectObligation = "obligations"
)

// document reads one YAML document by its kind.
func (r *reader) document(n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		r.fault(n, "a document must be a mapping with kind and name, not %s", shape(n))
		return
	}
	kinds := map[string]func(*yaml.Node){
		kindRole:        r.role,
		kindRoleBinding: r.binding,
		kindApplication: r.application,
		kindAgent:       r.agent,
		kindAgentGrant:  r.agentGrant,
		kindGuardrail:   r.guardrail,
		kindPolicyTest:  r.policyTest,
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value != "kind" {
			continue
		}
		kind, ok := r.scalar(n.Content[i+1], "kind")
		if !ok {
			return
		}
		read, known := kinds[kind]
		if !known {
			names := []string{kindRole, kindRoleBinding, kindApplication, kindAgent, kindAgentGrant, kindGuardrail, kindPolicyTest}
			r.fault(n.Content[i+1], "unknown kind %q (%s)", kind, suggest(kind, names))
			return
		}
		read(n)
		return
	}
	r.fault(n, "a document needs %q", "kind")
}

// header reads what every document has.
func (m mapping) header(kind string) header {
	h := header{pos: m.at(m.node)}
	n, ok := m.need(keyName, kind)
	if !ok {
		return h
	}
	h.pos = m.at(n)
	name, ok := m.scalar(n, keyName)
	if ok && !validName(name) {
		m.fault(n, "the name %q must be letters, digits, '.', '_' or '-', at most 128, and begin with a letter or digit", name)
		return h
	}
	h.name = name
	return h
}

func validName(s string) bool {
	const longest = 128
	if s == "" || len(s) > longest || strings.IndexByte("._-", s[0]) >= 0 {
		return false
	}
	return !strings.ContainsFunc(s, func(c rune) bool {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		return !letter && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-'
	})
}

func (r *reader) role(n *yaml.Node) {
	m, _ := r.mapping(n, kindRole, "kind", keyName, keyIdentity, "rules", keyObligations, keyStaleness)
	out := &role{header: m.header(kindRole), obligations: m.obligations()}
	out.obligations.Staleness = m.staleness()
	if n, ok := m.need(keyIdentity, kindRole); ok {
		out.identity, _ = r.scalar(n, keyIdentity)
		out.identityPos = r.at(n)
	}
	if _, ok := m.need("rules", kindRole); ok {
		for _, item := range m.items("rules") {
			out.rules = append(out.rules, r.rule(item))
		}
	}
	r.docs.roles = append(r.docs.roles, out)
}

func (r *reader) rule(n *yaml.Node) *rule {
	const what = "a rule"
	m, _ := r.mapping(n, what, keyDataActions, keyResources, keyPartitionKey, keyWhen)
	return &rule{
		pos:     r.at(n),
		actions: m.actions(what),
		scopes:  m.scopes(what),
		key:     m.partitionKey(),
		when:    m.condition(),
	}
}

func (m mapping) actions(what string) Actions {
	m.need(keyDataActions, what)
	var set Actions
	for _, item := range m.items(keyDataActions) {
		set |= m.action(item)
	}
	return set
}

func (r *reader) action(n *yaml.Node) Actions {
	name, ok := r.scalar(n, "a data action")
	if !ok {
		return 0
	}
	action, err := ParseActions(name)
	if err != nil {
		r.fault(n, "%v", err)
	}
	return action
}

func (m mapping) scopes(what string) []scope {
	m.need(keyResources, what)
	var scopes []scope
	for _, item := range m.items(keyResources) {
		text, ok := m.scalar(item, "a resource")
		if !ok {
			continue
		}
		s, err := parseScope(text)
		if err != nil {
			m.fault(item, "%v", err)
			continue
		}
		m.docs.scopes = append(m.docs.scopes, placedScope{s, m.at(item)})
		scopes = append(scopes, s)
	}
	return scopes
}

func (m mapping) condition() *condition {
	n, ok := m.fields[keyWhen]
	if !ok {
		return nil
	}
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" {
		m.fault(n, "when must be a Cedar expression, not %s", shape(n))
		return nil
	}
	c, err := m.conditions.parse(n.Value)
	if err != nil {
		m.fault(n, "when: %v", err)
		return nil
	}
	return c
}

func (m mapping) partitionKey() *keyGrant {
	n, ok := m.fields[keyPartitionKey]
	if !ok {
		return nil
	}
	const what = "partitionKey"
	k, ok := m.mapping(n, what, "equals", "mode")
	if !ok {
		return nil
	}
	grant := &keyGrant{}
	switch mode := k.text("mode"); mode {
	case "", "require":
	case "inject":
		grant.inject = true
	default:
		m.fault(k.fields["mode"], "unknown partitionKey mode %q (use require or inject)", mode)
	}
	list, _ := k.need("equals", what)
	items := k.items("equals")
	if len(items) > maxKeyParts {
		m.fault(list, "a partition key has at most %d parts", maxKeyParts)
		return nil
	}
	texts := make([]string, 0, len(items))
	for _, item := range items {
		part, ok := m.keyPart(item)
		if !ok {
			continue
		}
		grant.parts = append(grant.parts, part)
		texts = append(texts, part.text(item.Value))
	}
	if len(items) == 0 || len(grant.parts) != len(items) {
		return nil
	}
	grant.text = "[" + strings.Join(texts, ", ") + "]"
	for _, name := range grant.attributes() {
		m.docs.attributes = append(m.docs.attributes, placedName{name, m.at(list)})
	}
	return grant
}

// text is how explanations write the component.
func (p keyPart) text(written string) string {
	if p.template == nil {
		return p.fixed
	}
	return written
}

// keyPart reads one component of a granted key.
func (r *reader) keyPart(n *yaml.Node) (keyPart, bool) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
		part, err := parseKeyText(n.Value)
		if err != nil {
			r.fault(n, "partitionKey: %v", err)
		}
		return part, err == nil
	}
	fixed, ok := r.component(n)
	return keyPart{fixed: fixed}, ok
}

// component reads a scalar as one component of a partition key, in canonical
// JSON.
func (r *reader) component(n *yaml.Node) (string, bool) {
	if n.Kind == yaml.ScalarNode {
		switch n.Tag {
		case "!!str":
			return canonicalText(n.Value), true
		case "!!bool":
			return strings.ToLower(n.Value), true
		case "!!null":
			return "null", true
		case "!!int", "!!float":
			if text, ok := canonicalNumber(n.Value); ok {
				return text, true
			}
		}
	}
	r.fault(n, "a partition key part must be text, a number, true, false or null, not %s (quote text)", shape(n))
	return "", false
}

// canonicalNumber returns a JSON number as the cosmos package writes it.
func canonicalNumber(text string) (string, bool) {
	var number float64
	if err := json.Unmarshal([]byte(text), &number); err != nil {
		return "", false
	}
	canonical, err := json.Marshal(number)
	return string(canonical), err == nil
}
