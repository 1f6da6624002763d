package audit

import "time"

// SchemaVersion is the value of the member "v" of every record. It changes only when a member is removed or changes its meaning;
// members may be added without notice.
const SchemaVersion = 1

// Decision says what the gate decided about a request.
type Decision string

// The decisions. The empty Decision is written as "error".
const (
	// Allow means that policy allowed the request.
	Allow Decision = "allow"
	// Deny means that the caller is at fault: no or a bad credential, a malformed request, or no grant for it.
	Deny Decision = "deny"
	// Error means that the gate could not decide or could not act on its decision, through no fault of the caller.
	Error Decision = "error"
)

// Outcome says how the exchange ended, whatever had been decided.
type Outcome string

// The outcomes. The empty Outcome is written as "abandoned".
const (
	// Complete means that the whole response reached the caller's connection.
	Complete Outcome = "complete"
	// Answered means that the gate answered by itself, without asking upstream.
	Answered Outcome = "answered"
	// Refused means that the gate answered with an error of its own and forwarded nothing.
	Refused Outcome = "refused"
	// UpstreamFailure means that upstream could not be reached, or failed before a response began.
	UpstreamFailure Outcome = "upstream_failure"
	// UpstreamTimeout means that upstream did not answer within the bound.
	UpstreamTimeout Outcome = "upstream_timeout"
	// ClientAbort means that the caller went away before the response was complete.
	ClientAbort Outcome = "client_abort"
	// RequestBroken means that the caller's body ended early, could not be read, was too long or came too slowly, after forwarding it had begun:
	// upstream saw a request that never ended, and the gate answered with an error of its own.
	RequestBroken Outcome = "request_broken"
	// Partial means that the response began and upstream broke it off: the caller holds a part of it.
	Partial Outcome = "partial"
	// Internal means that the gate itself failed while it served the request.
	Internal Outcome = "internal_error"
	// Unknown means that the directory's shared log did not answer: what was asked for may have been done. A later record that Settles this
	// one tells, if the gate learns it.
	Unknown Outcome = "unknown"
	// Abandoned means that a reservation was never committed: something was about to be forwarded and nobody said what became of it.
	Abandoned Outcome = "abandoned"
)

// Event says what a record is about, where that is no request on the data plane.
type Event string

// Provisioning is what an identity provider changed over SCIM: the principal is its connection.
const Provisioning Event = "provisioning"

// Admin is an act of administration through the control socket: the principal is an operator, the operation names the act.
const Admin Event = "admin"

// Revocation is a message of a revocation feed: the principal is the feed, the target what it withdrew.
const Revocation Event = "revocation"

// Tokens is an act of the token service: a token issued, revoked or inspected, or refused.
const Tokens Event = "token"

// Record is what is written down about one request. The names and meanings of the JSON members are a contract (docs/audit.md).
// Empty strings, empty lists and zero numbers are left out, except for the members that the document calls "always there".
// Text longer than 1 KiB and lists longer than 32 entries are cut, and "truncated" says so.
type Record struct {
	Event      Event     // what kind of act this is; empty for a request on the data plane
	Time       time.Time // when the request arrived; written in UTC with microseconds
	DecisionID string    // unique to this record
	Settles    string    // the record of an unknown outcome that this one tells the end of
	ActivityID string    // x-ms-activity-id, shared with the caller's and the service's diagnostics

	Principal  Principal // whose rights were used
	Actors     []Actor   // who acted on the principal's behalf, outermost first; none if it acted itself
	Credential Credential
	Client     string // OAuth client that the credential was issued to (azp, client_id)
	Source     string // network address of the caller, without a port
	UserAgent  string

	Method        string   // HTTP method
	Operation     string   // operation type, as docs/cosmos-coverage.md names it
	Actions       []string // data actions that the operation needs
	Account       string
	Database      string
	Container     string
	PartitionKeys [][]string // canonical JSON text of each component of each key; written only as a hash
	Item          string     // id of the item; written only as a hash
	Target        string     // what an administrative act was done on
	Token         Token      // what the token service issued, revoked or inspected

	Decision   Decision
	Reason     string // machine-readable reason, one of a fixed set per package that refuses
	Detail     string // for the operator; never sent to the caller
	Role       string // role that decided
	Identity   string // upstream identity of that role
	PolicyHash string // hash of the policy set that was in force
	Policies   []string
	Legs       []Leg // what was decided about each party to a delegation; none if there is one party only

	Status         int // status that the caller got, 499 if it had gone before one was sent
	Substatus      int
	UpstreamStatus int     // 0 if nothing was forwarded or no response came
	RequestCharge  float64 // request units, as upstream reported them
	Redactions     int     // values that were taken out of the response
	BytesIn        int64   // body bytes read from the caller
	BytesOut       int64   // body bytes written to the caller
	Outcome        Outcome

	Duration         time.Duration // from arrival to the end of the response; written in whole µs
	GateDuration     time.Duration // the part that the gate spent by itself
	UpstreamDuration time.Duration // the part spent waiting for and reading from upstream
}

// Principal says whose rights a request used. Every member is empty if nobody was authenticated.
type Principal struct {
	Kind        string // person, application or agent
	Issuer      string
	Subject     string
	Record      string // id of the directory's record of a person
	UserName    string // of that record, at the time of the request
	Application string // declared name of an application
}

// Actor is one link of a delegation: somebody who acts for the principal.
type Actor struct {
	Issuer  string
	Subject string
	Name    string // declared name of an agent
}

// Token describes a token of the gate's own service. It never holds anything that could be used.
type Token struct {
	Grant        string // grant type that was asked for
	ClientMethod string // how the client proved itself
	TokenID      string // jti
	KeyID        string // kid
	Audience     string
	Scope        string
	Bound        string // thumbprint of the key or certificate that it is bound to
	Expires      time.Time
}

// Leg is what was decided about one party to a delegation.
type Leg struct {
	Kind     string // user, application, agent, or scope for what the token was narrowed to
	Name     string // directory id of a person, declared name of others; empty for a scope
	Effect   Decision
	Reason   string
	Role     string
	Policies []string
}

// Credential says how the caller proved itself. It never holds anything that could be used again.
type Credential struct {
	Method  string // oidc, workload, vkey, sts …
	TokenID string // jti of the token, or the public part of a key
}
