package policy

import "go.yaml.in/yaml/v3"

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
		out.subjects = m.subjects(keySubjects, keyGroup, keyUser, keyApplication, keyAgent)
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
