package policy

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

func (r *reader) binding(n *yaml.Node) {
	m, _ := r.mapping(n, kindRoleBinding, "kind", keyName, keyRole, keySubjects, keyStarts, keyExpires)
	out := &binding{header: m.header(kindRoleBinding)}
	if n, ok := m.need(keyRole, kindRoleBinding); ok {
		out.role, _ = r.scalar(n, keyRole)
		out.rolePos = r.at(n)
	}
	if _, ok := m.need(keySubjects, kindRoleBinding); ok {
		out.subjects = m.subjects(keySubjects, keyGroup, keyUser, keyApplication)
	}
	out.starts, out.expires = m.period("binding")
	r.docs.bindings = append(r.docs.bindings, out)
}

// period reads when a binding or grant begins and ends.
func (m mapping) period(what string) (starts, expires time.Time) {
	starts, expires = m.time(keyStarts), m.time(keyExpires)
	if !expires.IsZero() && !starts.Before(expires) {
		m.fault(m.fields[keyExpires], "the %s expires before it starts", what)
	}
	return starts, expires
}

// time reads a field as a date, which means midnight UTC, or as an RFC 3339
// time; the zero time if it is absent.
func (m mapping) time(key string) time.Time {
	n, ok := m.fields[key]
	if !ok {
		return time.Time{}
	}
	if n.Kind == yaml.ScalarNode && (n.Tag == "!!timestamp" || n.Tag == "!!str") {
		for _, layout := range []string{time.DateOnly, time.RFC3339} {
			if t, err := time.Parse(layout, n.Value); err == nil && t.Year() > 1 {
				return t.UTC().Truncate(time.Second)
			}
		}
	}
	m.fault(n, "%s must be a date such as 2027-03-31 or a time such as 2027-03-31T18:00:00Z, not %s", key, shape(n))
	return time.Time{}
}

// subjects reads a list of subjects of the given kinds.
func (m mapping) subjects(key string, kinds ...string) []subject {
	var out []subject
	for _, item := range m.items(key) {
		if s, ok := m.subject(item, kinds); ok {
			out = append(out, s)
		}
	}
	return out
}

func (r *reader) subject(n *yaml.Node, kinds []string) (subject, bool) {
	m, ok := r.mapping(n, "a subject", keyGroup, keyUser, keyApplication, keyAgent, "byName", keyConnection)
	if !ok {
		return subject{}, false
	}
	var kind string
	for _, candidate := range []string{keyGroup, keyUser, keyApplication, keyAgent} {
		if m.fields[candidate] == nil {
			continue
		}
		if kind != "" {
			r.fault(n, "a subject is either %s or %s (write two)", kind, candidate)
			return subject{}, false
		}
		kind = candidate
	}
	if !slices.Contains(kinds, kind) {
		r.fault(n, "a subject here needs %s%s", strings.Join(kinds, " or "), agentHint(kind))
		return subject{}, false
	}
	text, ok := r.scalar(m.fields[kind], kind)
	if !ok {
		return subject{}, false
	}
	ref, ok := m.reference(kind, text)
	return subject{reference: ref, pos: r.at(m.fields[kind])}, ok
}

func agentHint(kind string) string {
	if kind == keyAgent {
		return " (an agent gets its role from an AgentGrant)"
	}
	return ""
}

func (m mapping) reference(kind, text string) (reference, bool) {
	byName, connection := m.boolean("byName"), m.text(keyConnection)
	if kind != keyGroup && (byName || connection != "") {
		m.fault(m.node, "byName and connection go with group only")
		return reference{}, false
	}
	switch kind {
	case keyUser:
		return reference{kind: userReference, text: text}, true
	case keyApplication:
		return reference{kind: applicationReference, text: text}, true
	case keyAgent:
		return reference{kind: agentReference, text: text}, true
	}
	ref := groupReference(text)
	switch {
	case byName:
		ref = reference{kind: groupNameReference, text: text}
		m.warn(m.fields[keyGroup], "group %s is named by display name, which anybody who may rename groups can take (use its id)", strconv.Quote(text))
	case ref.kind == groupIDReference && connection != "":
		m.fault(m.fields[keyConnection], "a group id belongs to one connection already (remove connection)")
		return reference{}, false
	}
	ref.connection = connection
	if connection != "" && !validName(connection) {
		m.fault(m.fields[keyConnection], "%q is not the name of a connection", connection)
		return reference{}, false
	}
	if connection != "" {
		m.docs.connections = append(m.docs.connections, placedName{connection, m.at(m.fields[keyConnection])})
	}
	if ref.kind == groupExternalReference && connection == "" {
		m.docs.unconfined = append(m.docs.unconfined, placedName{text, m.at(m.fields[keyGroup])})
	}
	return ref, true
}
