package policy

import (
	"maps"
	"slices"

	"go.yaml.in/yaml/v3"
)

func (r *reader) guardrail(n *yaml.Node) {
	const what = kindGuardrail
	m, _ := r.mapping(n, what, "kind", keyName, "effect", keyDataActions, keyResources, keySubjects, keyWhen,
		keyPartitionKey, keyObligations, keyReason)
	out := &guardrail{
		header:      m.header(what),
		actions:     m.actions(what),
		scopes:      m.scopes(what),
		when:        m.condition(),
		key:         m.partitionKey(),
		obligations: m.obligations(),
		reason:      m.text(keyReason),
	}
	if m.fields[keySubjects] != nil {
		out.subjects = m.subjects(keySubjects, keyGroup, keyUser, keyApplication)
	}
	m.effect(out)
	r.docs.guardrails = append(r.docs.guardrails, out)
}

// effect reads whether a guardrail denies or obliges, and that it says what
// this needs and nothing that this would ignore.
func (m mapping) effect(g *guardrail) {
	n, ok := m.need("effect", kindGuardrail)
	if !ok {
		return
	}
	effect, _ := m.scalar(n, "effect")
	switch effect {
	case effectDeny:
		g.deny = true
		m.need(keyReason, "a guardrail that denies")
		for _, key := range []string{keyObligations, keyPartitionKey} {
			if unused := m.fields[key]; unused != nil {
				m.fault(unused, "a guardrail that denies has no %s (use effect: obligations)", key)
			}
		}
	case effectObligation:
		if m.fields[keyObligations] == nil && m.fields[keyPartitionKey] == nil {
			m.fault(n, "a guardrail with effect obligations needs obligations or partitionKey")
		}
	case "":
	default:
		m.fault(n, "unknown effect %q (use deny or obligations)", effect)
	}
}

func (r *reader) application(n *yaml.Node) {
	m, _ := r.mapping(n, kindApplication, "kind", keyName, "match", "attributes")
	out := &application{header: m.header(kindApplication)}
	out.Name = out.name
	if n, ok := m.need("match", kindApplication); ok {
		if match, ok := r.mapping(n, "match", "issuer", "claims"); ok {
			match.need("issuer", "match")
			out.Issuer = match.text("issuer")
			if claims, ok := match.need("claims", "match"); ok {
				out.Claims = r.texts(claims, "claims")
				if len(claims.Content) == 0 {
					r.fault(claims, "claims is empty: every token of the issuer would match")
				}
			}
		}
	}
	if n, ok := m.fields["attributes"]; ok {
		out.Attributes = r.texts(n, "attributes")
	}
	r.docs.applications = append(r.docs.applications, out)
}

// texts reads a mapping of names to texts.
func (r *reader) texts(n *yaml.Node, what string) map[string]string {
	m, _ := r.mapping(n, what)
	out := make(map[string]string, len(m.fields))
	for _, key := range slices.Sorted(maps.Keys(m.fields)) {
		if text, ok := r.scalar(m.fields[key], key); ok {
			out[key] = text
		}
	}
	return out
}

func (r *reader) agentGrant(n *yaml.Node) {
	m, _ := r.mapping(n, kindAgentGrant, "kind", keyName, keySubjects, keyRole, "onBehalfOf", keyObligations)
	out := &agentGrant{header: m.header(kindAgentGrant)}
	m.obligations()
	if n, ok := m.need(keyRole, kindAgentGrant); ok {
		out.role, _ = r.scalar(n, keyRole)
		out.rolePos = r.at(n)
	}
	if _, ok := m.need(keySubjects, kindAgentGrant); ok {
		out.subjects = m.subjects(keySubjects, keyAgent)
	}
	if n, ok := m.need("onBehalfOf", kindAgentGrant); ok {
		r.onBehalfOf(n)
	}
	r.warn(n, "agents are not let through yet: the AgentGrant has no effect")
	r.docs.agents = append(r.docs.agents, out)
}

// onBehalfOf checks for whom an agent may act: `none` (for itself), or people
// in groups.
func (r *reader) onBehalfOf(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.Value == "none" {
		return
	}
	m, ok := r.mapping(n, "onBehalfOf", "groups", "users")
	if !ok {
		return
	}
	if len(m.fields) == 0 {
		r.fault(n, "onBehalfOf needs groups, users or the word none")
	}
	for _, key := range []string{"groups", "users"} {
		for _, item := range m.items(key) {
			r.scalar(item, key)
		}
	}
}
