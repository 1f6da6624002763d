package policy

import (
	"net/netip"
	"strings"

	"go.yaml.in/yaml/v3"
)

func (r *reader) policyTest(n *yaml.Node) {
	m, _ := r.mapping(n, kindPolicyTest, "kind", keyName, "cases")
	out := &testDocument{header: m.header(kindPolicyTest)}
	if _, ok := m.need("cases", kindPolicyTest); ok {
		for _, item := range m.items("cases") {
			out.cases = append(out.cases, r.testCase(item))
		}
	}
	r.docs.tests = append(r.docs.tests, out)
}

func (r *reader) testCase(n *yaml.Node) *testCase {
	const what = "a case"
	out := &testCase{pos: r.at(n)}
	m, ok := r.mapping(n, what,
		keyUser, keyApplication, keyAgent, keyAgents, keyScopes, keyDetails,
		"action", "actions", "resource", keyPartitionKey, "partitionKeys", "ranged", "noData",
		"asRole", "from", "at", "isAgent", "onBehalfOf", "authenticationStrength",
		"expect", keyRole, keyIdentity, "because", "policy", fieldInjected, keyStaleness,
		keyRedact, keyMaxItems, keyMaxRU, keyMaxBody, keyPriority, keyBucket)
	if !ok && n.Kind != yaml.MappingNode {
		return out
	}
	out.request = Request{
		Principal:     m.principal(),
		Actions:       m.caseActions(),
		Resource:      m.caseResource(),
		PartitionKeys: m.caseKeys(),
		Ranged:        m.boolean("ranged"),
		NoData:        m.boolean("noData"),
		Role:          m.text("asRole"),
		Context: Context{
			SourceIP:               m.sourceIP(),
			Time:                   m.time("at"),
			IsAgent:                m.boolean("isAgent"),
			OnBehalfOf:             m.text("onBehalfOf"),
			AuthenticationStrength: m.text("authenticationStrength"),
		},
	}
	out.request.Injectable = out.request.SetsNoKey()
	out.request.Actors, out.request.Token = m.actors(), m.token()
	out.expect = m.expectation()
	return out
}

// principal reads whose rights a case is about: a user, an application, or an
// agent that acts for itself. Beside a user, agents act for it.
func (m mapping) principal() Principal {
	user, application, agent := m.fields[keyUser], m.fields[keyApplication], m.fields[keyAgent]
	switch {
	case user != nil && application == nil:
		return m.person(user)
	case application != nil && user == nil && agent == nil:
		return m.caller(KindApplication, application)
	case agent != nil && application == nil:
		return m.caller(KindAgent, agent)
	default:
		m.fault(m.node, "a case needs one of user, application and agent")
		return Principal{}
	}
}

// actors reads the agents that act for the user of a case.
func (m mapping) actors() []Principal {
	one, several := m.fields[keyAgent], m.fields[keyAgents]
	switch {
	case one != nil && several != nil:
		m.fault(several, "a case has either agent or agents")
		return nil
	case m.fields[keyUser] == nil:
		if several != nil {
			m.fault(several, "agents act for a user (add user, or write agent for one that acts for itself)")
		}
		return nil
	case one != nil:
		return []Principal{m.caller(KindAgent, one)}
	}
	var actors []Principal
	for _, item := range m.items(keyAgents) {
		actors = append(actors, m.caller(KindAgent, item))
	}
	return actors
}

// caller reads an application or agent: its name, and its attributes from the
// declaration, which check fills in.
func (r *reader) caller(kind Kind, n *yaml.Node) Principal {
	name, _ := r.scalar(n, kind.String())
	return Principal{ID: name, Kind: kind}
}

// person reads a user: id, groups, and every other key as an attribute.
func (r *reader) person(n *yaml.Node) Principal {
	p := Principal{Kind: KindPerson, Attributes: map[string]string{}}
	m, _ := r.mapping(n, keyUser)
	m.need("id", "a user")
	p.ID = m.text("id")
	for _, item := range m.items("groups") {
		p.Groups = append(p.Groups, r.group(item))
	}
	for name, value := range m.fields {
		if name == "id" || name == "groups" {
			continue
		}
		if text, ok := r.scalar(value, name); ok {
			p.Attributes[name] = text
		}
	}
	return p
}

// group reads one group of a user: an id or external id, or a mapping that says
// which is which.
func (r *reader) group(n *yaml.Node) Group {
	if n.Kind != yaml.MappingNode {
		text, _ := r.scalar(n, "a group")
		if ref := groupReference(text); ref.kind == groupIDReference {
			return Group{ID: ref.text}
		}
		return Group{ExternalID: text}
	}
	m, _ := r.mapping(n, "a group", "id", "externalId", keyName, keyConnection)
	return Group{ID: m.text("id"), ExternalID: m.text("externalId"), Name: m.text(keyName), Connection: m.text(keyConnection)}
}

func (m mapping) caseActions() Actions {
	one, several := m.fields["action"], m.items("actions")
	if (one == nil) == (m.fields["actions"] == nil) {
		m.fault(m.node, "a case needs either action or actions")
		return 0
	}
	if one != nil {
		several = []*yaml.Node{one}
	}
	var set Actions
	for _, item := range several {
		set |= m.action(item)
	}
	return set
}

// caseResource reads a container, database or account, without wildcards.
func (m mapping) caseResource() Resource {
	n, ok := m.need("resource", "a case")
	if !ok {
		return Resource{}
	}
	text, ok := m.scalar(n, "resource")
	if !ok {
		return Resource{}
	}
	const most = 3
	parts := strings.Split(text, "/")
	if len(parts) > most {
		m.fault(n, "%v", errThreeSegments)
		return Resource{}
	}
	for _, p := range parts {
		if err := checkSegment(p); err != nil {
			m.fault(n, "resource %q: %v", text, err)
			return Resource{}
		}
	}
	parts = append(parts, "", "")
	return Resource{Account: parts[0], Database: parts[1], Container: parts[2]}
}

// caseKeys reads the partition keys of the request: one, or a list of them as
// bulk requests carry.
func (m mapping) caseKeys() [][]string {
	one, several := m.fields[keyPartitionKey], m.items("partitionKeys")
	if one != nil && m.fields["partitionKeys"] != nil {
		m.fault(one, "a case has either partitionKey or partitionKeys")
		return nil
	}
	if one != nil {
		several = []*yaml.Node{one}
	}
	return m.keysIn(several)
}

func (r *reader) keysIn(items []*yaml.Node) [][]string {
	var keys [][]string
	for _, item := range items {
		if item.Kind != yaml.SequenceNode || len(item.Content) == 0 || len(item.Content) > maxKeyParts {
			r.fault(item, "a partition key must be a list of 1 to %d parts, not %s", maxKeyParts, shape(item))
			continue
		}
		var key []string
		for _, part := range item.Content {
			component, _ := r.component(part)
			key = append(key, component)
		}
		keys = append(keys, key)
	}
	return keys
}

func (m mapping) sourceIP() netip.Addr {
	text := m.text("from")
	if text == "" {
		return netip.Addr{}
	}
	address, err := netip.ParseAddr(text)
	if err != nil {
		m.fault(m.fields["from"], "from must be an IP address, not %q", text)
	}
	return address
}

// expectation reads what a case says about the decision.
func (m mapping) expectation() expectation {
	e := expectation{
		role:        m.text(keyRole),
		identity:    m.text(keyIdentity),
		policy:      m.text("policy"),
		obligations: m.readObligations(),
	}
	e.obligations.Staleness = m.staleness()
	if n := m.fields[fieldInjected]; n != nil {
		if keys := m.keysIn([]*yaml.Node{n}); len(keys) == 1 {
			e.obligations.PartitionKey = keys[0]
		}
	}
	if e.role != "" {
		m.docs.expected = append(m.docs.expected, placedName{e.role, m.at(m.fields[keyRole])})
	}
	n, ok := m.need("expect", "a case")
	if !ok {
		return e
	}
	switch expect, _ := m.scalar(n, "expect"); expect {
	case "allow":
		e.allow = true
		m.pointless("allowed", "because")
	case effectDeny:
		e.because = m.because()
		m.pointless("denied", append(obligationKeys(), keyRole, keyIdentity, fieldInjected, keyStaleness)...)
	case "":
	default:
		m.fault(n, "expect must be allow or deny, not %q", expect)
	}
	return e
}

// pointless refuses expectations that such a decision cannot meet.
func (m mapping) pointless(outcome string, keys ...string) {
	for _, key := range keys {
		if n := m.fields[key]; n != nil {
			m.fault(n, "a request that is %s has no %s", outcome, key)
		}
	}
}

func (m mapping) because() Reason {
	text := m.text("because")
	if text == "" {
		return ReasonNoPolicy
	}
	for reason := ReasonAllowed + 1; reason < reasonCount; reason++ {
		if text == reason.String() {
			return reason
		}
	}
	m.fault(m.fields["because"], "unknown reason %q (%s)", text, suggest(text, reasonNames[ReasonAllowed+1:]))
	return ReasonNoPolicy
}
