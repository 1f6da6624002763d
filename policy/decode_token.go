package policy

import "go.yaml.in/yaml/v3"

const (
	keyAgents  = "agents"
	keyScopes  = "scopes"
	keyDetails = "authorizationDetails"
	// fieldInjected is the key that a test expects to be set.
	fieldInjected = "injected"
)

// token reads what the token of a case was narrowed to; nil if a case says
// nothing of it.
func (m mapping) token() *Token {
	if m.fields[keyScopes] == nil && m.fields[keyDetails] == nil {
		return nil
	}
	t := &Token{}
	for _, item := range m.items(keyScopes) {
		if scope, ok := m.scalar(item, "a scope"); ok {
			t.Scopes = append(t.Scopes, scope)
		}
	}
	for _, item := range m.items(keyDetails) {
		t.Details = append(t.Details, m.detail(item))
	}
	return t
}

// detail reads one authorization detail. Actions and resources must be such as
// exist: in a test, others are mistakes.
func (r *reader) detail(n *yaml.Node) Detail {
	m, _ := r.mapping(n, "an authorization detail", "actions", "resources", "partitionKeys")
	var d Detail
	for _, item := range m.items("actions") {
		if m.action(item) != 0 {
			d.Actions = append(d.Actions, item.Value)
		}
	}
	for _, item := range m.items("resources") {
		text, ok := m.scalar(item, "a resource")
		if !ok {
			continue
		}
		if _, err := parseScope(text); err != nil {
			m.fault(item, "%v", err)
			continue
		}
		d.Resources = append(d.Resources, text)
	}
	m.need("actions", "an authorization detail")
	m.need("resources", "an authorization detail")
	d.PartitionKeys = m.caseKeys()
	return d
}
