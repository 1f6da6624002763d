package policy

import "time"

// The documents as operators wrote them, decoded and checked one by one. What
// they say about each other is checked in check.go.

type documents struct {
	roles        []*role
	bindings     []*binding
	applications []*application
	agents       []*agentGrant
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

	// rank orders the roles by preference, 0 first: see check.go.
	rank int
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

// agentGrant is checked like every other document and then set aside: until
// delegated tokens exist, no agent is let through.
type agentGrant struct {
	header

	role     string
	rolePos  Position
	subjects []subject
}

type guardrail struct {
	header

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
	maxItems int
}
