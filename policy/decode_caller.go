package policy

import (
	"encoding/json"
	"maps"
	"slices"

	"go.yaml.in/yaml/v3"
)

func (r *reader) application(n *yaml.Node) {
	m, _ := r.mapping(n, kindApplication, "kind", keyName, keyMatch, keyVirtualKeys, keyAttributes)
	out := &application{header: m.header(kindApplication)}
	out.Name = out.name
	out.VirtualKeys = m.boolean(keyVirtualKeys)
	if m.fields[keyMatch] == nil && !out.VirtualKeys && n.Kind == yaml.MappingNode {
		r.fault(n, "an Application needs %q, or %q for one that signs with keys of the gate", keyMatch, keyVirtualKeys+": true")
	}
	out.Issuer, out.Claims = m.match()
	out.Attributes = m.attributes()
	r.docs.applications = append(r.docs.applications, out)
}

func (r *reader) agent(n *yaml.Node) {
	m, _ := r.mapping(n, kindAgent, "kind", keyName, keyMatch, keyJWKS, keyAttributes)
	out := &agent{header: m.header(kindAgent)}
	out.Name = out.name
	if m.fields[keyMatch] == nil && m.fields[keyJWKS] == nil && n.Kind == yaml.MappingNode {
		r.fault(n, "an Agent needs %q, or %q for one that proves itself by a key", keyMatch, keyJWKS)
	}
	out.Issuer, out.Claims = m.match()
	out.JWKS = m.jwks()
	out.Attributes = m.attributes()
	r.docs.agents = append(r.docs.agents, out)
}

// match reads how the tokens of a caller are recognised.
func (m mapping) match() (issuer string, claims map[string]string) {
	n, ok := m.fields[keyMatch]
	if !ok {
		return "", nil
	}
	match, ok := m.mapping(n, keyMatch, "issuer", "claims")
	if !ok {
		return "", nil
	}
	match.need("issuer", keyMatch)
	issuer = match.text("issuer")
	if n, ok := match.need("claims", keyMatch); ok {
		claims = m.texts(n, "claims")
		if len(n.Content) == 0 {
			m.fault(n, "claims is empty: every token of the issuer would match")
		}
	}
	return issuer, claims
}

func (m mapping) attributes() map[string]string {
	n, ok := m.fields[keyAttributes]
	if !ok {
		return nil
	}
	return m.texts(n, keyAttributes)
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

const (
	keyJWKS = "jwks"
	// maxKeys is how many public keys an agent may have.
	maxKeys = 16
)

// secretMembers are the members of a JWK (RFC 7517, RFC 7518 section 6) that
// are for its owner only.
var secretMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

// jwks reads a JWK Set of public keys, in YAML or in JSON, and returns it as
// JSON. Whether the keys are keys is for who verifies with them.
func (m mapping) jwks() []byte {
	n, ok := m.fields[keyJWKS]
	if !ok {
		return nil
	}
	set, ok := m.mapping(n, keyJWKS, "keys")
	if !ok {
		return nil
	}
	set.need("keys", keyJWKS)
	items := set.items("keys")
	if len(items) > maxKeys {
		m.fault(n, "an agent has at most %d keys", maxKeys)
		return nil
	}
	keys := make([]map[string]any, 0, len(items))
	for _, item := range items {
		if key, ok := m.publicKey(item); ok {
			keys = append(keys, key)
		}
	}
	text, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		m.fault(n, "jwks: %v", err)
	}
	return text
}

// publicKey reads one JWK; its members are texts or, as key_ops, lists of them.
func (r *reader) publicKey(n *yaml.Node) (map[string]any, bool) {
	const what = "a key"
	key, ok := r.mapping(n, what)
	if !ok {
		return nil, false
	}
	for _, member := range []string{"kty", "kid"} {
		if _, has := key.need(member, what); !has {
			ok = false
		}
	}
	members := make(map[string]any, len(key.fields))
	for _, name := range slices.Sorted(maps.Keys(key.fields)) {
		value := key.fields[name]
		if slices.Contains(secretMembers, name) {
			r.fault(value, "a private or shared key: %q must not be in a policy (write the public key)", name)
			return nil, false
		}
		if value.Kind == yaml.SequenceNode {
			list := []string{}
			for _, item := range value.Content {
				text, read := r.scalar(item, name)
				list, ok = append(list, text), ok && read
			}
			members[name] = list
			continue
		}
		text, read := r.scalar(value, name)
		members[name], ok = text, ok && read
	}
	return members, ok
}

func (r *reader) agentGrant(n *yaml.Node) {
	m, _ := r.mapping(n, kindAgentGrant, "kind", keyName, keySubjects, keyRole, keyOnBehalfOf, keyObligations, keyStarts, keyExpires)
	out := &agentGrant{header: m.header(kindAgentGrant), obligations: m.obligations()}
	if n, ok := m.need(keyRole, kindAgentGrant); ok {
		out.role, _ = r.scalar(n, keyRole)
		out.rolePos = r.at(n)
	}
	if _, ok := m.need(keySubjects, kindAgentGrant); ok {
		out.subjects = m.subjects(keySubjects, keyAgent)
	}
	if n, ok := m.need(keyOnBehalfOf, kindAgentGrant); ok {
		out.people = r.onBehalfOf(n)
	}
	out.starts, out.expires = m.period("grant")
	r.docs.grants = append(r.docs.grants, out)
}

// onBehalfOf reads for whom an agent may act: `none` (for itself), or people by
// group and by id.
func (r *reader) onBehalfOf(n *yaml.Node) []subject {
	if n.Kind == yaml.ScalarNode && n.Value == "none" {
		return nil
	}
	m, ok := r.mapping(n, keyOnBehalfOf, "groups", "users")
	if !ok {
		return nil
	}
	if len(m.fields) == 0 {
		r.fault(n, "onBehalfOf needs groups, users or the word none")
	}
	var people []subject
	for _, item := range m.items("groups") {
		if item.Kind == yaml.MappingNode {
			if s, ok := r.subject(item, []string{keyGroup}); ok {
				people = append(people, s)
			}
			continue
		}
		if text, ok := r.scalar(item, "groups"); ok {
			group := mapping{reader: r, node: item, fields: map[string]*yaml.Node{keyGroup: item}}
			ref, _ := group.reference(keyGroup, text)
			people = append(people, subject{reference: ref, pos: r.at(item)})
		}
	}
	for _, item := range m.items("users") {
		if text, ok := r.scalar(item, "users"); ok {
			people = append(people, subject{reference: reference{kind: userReference, text: text}, pos: r.at(item)})
		}
	}
	return people
}
