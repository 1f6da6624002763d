package policy

import (
	"fmt"
	"slices"
)

// Statements returns what the policy compiles to: Cedar, and what the gate must
// know besides. Two sets with the same statements decide alike.
func (s *Set) Statements() []string {
	if s == nil {
		return nil
	}
	var all []string
	for _, st := range s.statements {
		text := st.origin + "\n" + string(st.policy.MarshalCedar())
		if st.key != nil {
			text += "\nkey " + st.key.text
		}
		if st.role != nil {
			text += fmt.Sprint("\n", st.role.name, st.role.identity, st.role.obligations, st.role.rank)
		} else {
			text += fmt.Sprint("\n", st.guardrail.obligations, st.guardrail.reason)
		}
		all = append(all, text)
	}
	slices.Sort(all)
	return all
}
