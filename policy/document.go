package policy

import "time"

// The documents as operators wrote them, decoded and checked one by one. What
// they say about each other is checked in check.go.

type documents struct {
	roles        []*role
	bindings     []*binding
	applications []*application
	agents       []*agent
	grants       []*agentGrant
	guardrails   []*guardrail
	tests        []*testDocument

	// What the documents refer to outside themselves.
	scopes      []placedScope
	attributes  []placedName // in ${user.…}
	connections []placedName
	unconfined  []placedName // groups by external id of any connection
	expected    []placedName // roles that tests expect
}

type placedScope struct {
	scope

	pos Position
}

type placedName struct {
	name string
	pos  Position
}

// header is what every document begins with.
type header struct {
	name string
	pos  Position
}

type role struct {
	header

	identity    string
	identityPos Position
	rules       []*rule
	obligations Obligations

	// rank orders the roles by preference, 0 first, and width their identities by how much these may do, 0 for the
	// narrowest: see check.go.
	rank, width int
}

// rule is one entry of a role: it allows actions on the containers that any of
// scopes covers, if the condition holds and the partition key fits.
type rule struct {
	pos     Position
	actions Actions
	scopes  []scope
	key     *keyGrant
	when    *condition
}

type binding struct {
	header

	role            string
	rolePos         Position
	subjects        []subject
	starts, expires time.Time

	// kind, when and actions are those of a permit in a .cedar file; actions is
	// 0 for a RoleBinding, which narrows none.
	kind    string
	when    *condition
	actions Actions
}

// subject is one entry of `subjects:`.
type subject struct {
	reference

	pos Position
}

type application struct {
	header

	Application
}

type agent struct {
	header

	Agent
}

// agentGrant gives a role to agents, for as far as they act for the people that
// it names.
type agentGrant struct {
	header

	role            string
	rolePos         Position
	subjects        []subject
	people          []subject // none means: for itself, and for nobody else
	obligations     Obligations
	starts, expires time.Time

	// as is the role with the obligations of the grant added.
	as *role
}

type guardrail struct {
	header

	// kind is that of a forbid in a .cedar file, or empty.
	kind string
	// deny is whether it refuses; otherwise it adds obligations and key.
	deny        bool
	actions     Actions
	scopes      []scope
	subjects    []subject // none means everybody
	when        *condition
	key         *keyGrant
	obligations Obligations
	reason      string
}

type testDocument struct {
	header

	cases []*testCase
}

type testCase struct {
	pos     Position
	request Request
	expect  expectation
}

// expectation is what a case says about the decision; empty fields say nothing.
type expectation struct {
	allow    bool
	role     string
	identity string
	policy   string
	because  Reason

	// obligations that are not zero must be those of the decision.
	obligations Obligations
}
