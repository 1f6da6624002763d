package policy

// Explanation says how a decision came about: every role and guardrail that
// was considered, and where each of them failed.
type Explanation struct {
	Decision Decision
	// Considered are the roles and guardrails that concern the request, those
	// that decided first, then those that missed by least.
	Considered []Considered
}

// Considered is one rule of a role as bound by one binding, or one guardrail.
type Considered struct {
	// Policy is the document, such as `RoleBinding/support-reads-orders`.
	Policy string
	// Role is the role bound, or empty for a guardrail.
	Role string
	// Position is where the rule or guardrail is written.
	Position Position
	// Matched is whether it applies to the request.
	Matched bool
	// Failed says, in the words of the policy file, what did not fit.
	Failed []string
}

// Explain answers like [Engine.Decide], and says why. It is for operators and
// is too slow and too frank for callers.
func (e *Engine) Explain(q Request) Explanation {
	return Explanation{Decision: e.Decide(q)}
}
