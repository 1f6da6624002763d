package policy

// Reason says why a decision came out as it did. The zero Reason goes with the
// zero Decision, which denies.
type Reason uint8

// The reasons. Only ReasonAllowed goes with a decision that allows.
const (
	// ReasonNoPolicy: no policy is loaded.
	ReasonNoPolicy Reason = iota
	// ReasonAllowed: a role allows every action and no guardrail objects.
	ReasonAllowed
	// ReasonNoRole: no role that the principal holds allows the actions on the
	// resource.
	ReasonNoRole
	// ReasonPartitionKey: a role allows the actions, but only under a partition
	// key that the request does not carry.
	ReasonPartitionKey
	// ReasonMissingAttribute: a role allows the actions, but its partition key
	// names an attribute that the principal does not have.
	ReasonMissingAttribute
	// ReasonGuardrail: a guardrail denies.
	ReasonGuardrail
	// ReasonEvaluation: a condition could not be evaluated.
	ReasonEvaluation
	// ReasonMalformed: the request lacks something that every decision needs,
	// such as principal, actions, account or time. It is a fault of the caller
	// of Decide.
	ReasonMalformed
	// ReasonAgent: an agent asks, and no AgentGrant lets it do this for this
	// person, or for itself.
	ReasonAgent
	// ReasonScope: the token was narrowed to less, by its scopes or
	// authorization details.
	ReasonScope
	// ReasonRedaction: properties are redacted there, and the actions would
	// show them or write over them.
	ReasonRedaction

	reasonCount Reason = iota
)

// reasonNames holds the names that `because:` in a PolicyTest uses, by Reason.
var reasonNames = [reasonCount]string{
	"noPolicy", "allowed", "noRole", "partitionKey", "missingAttribute", "guardrail", "evaluation", "malformed", "agent", "scope", "redaction",
}

// String returns the reason as `because:` in a PolicyTest writes it.
func (r Reason) String() string {
	if int(r) >= len(reasonNames) {
		return "unknown"
	}
	return reasonNames[r]
}

// Decision is the answer to a [Request]. The zero value denies. It is shared
// between requests and must not be changed.
type Decision struct {
	// Allow is whether the request may be forwarded.
	Allow bool
	// Role is the role under which it is forwarded, and Identity the upstream
	// identity of that role. Both are empty if the request is denied.
	Role, Identity string
	// Width orders identities by how much their roles may do, 0 for the
	// narrowest.
	Width int
	// Obligations must be met if the request is allowed.
	Obligations Obligations
	// Policies names the documents that decided, such as
	// `RoleBinding/support-reads-orders` or `Guardrail/no-agent-writes`.
	Policies []string
	// Reason is why.
	Reason Reason
	// Missing are the actions that the caller lacks, if the request is denied.
	Missing Actions
	// Detail explains a denial to operators: for the record and for explain,
	// never for the caller.
	Detail string
	// Legs says what was decided about each party to a delegation, first the
	// person, then the agents, then the token; nil if there is one party only.
	Legs []Leg
}
