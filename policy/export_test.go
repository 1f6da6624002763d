package policy

import (
	"fmt"

	"github.com/cedar-policy/cedar-go"
)

// DecideByScan decides without the index and without remembering: Cedar sees
// every statement of the policy.
func (s *Set) DecideByScan(q Request) Decision {
	scan := func(x *index, _ Resource, _ Actions, _ []subjectID) []filed {
		var all []filed
		for _, b := range x.buckets {
			all = append(all, b.everybody...)
			for _, list := range b.bySubject {
				all = append(all, list...)
			}
		}
		return all
	}
	return s.decideBy(q, scan)
}

// StopsWhenAskedTo is whether the policies handed to Cedar can be left early.
func StopsWhenAskedTo() bool {
	one := filed{statement: &statement{actions: ReadItem}}
	n := 0
	for range (acting{[]filed{one, one}, ReadItem}).All() {
		n++
		break
	}
	return n == 1
}

// ValidateStatements checks every compiled Cedar policy against the schema,
// written as text and read back.
func (s *Set) ValidateStatements() error {
	v, err := newValidator()
	if err != nil {
		return err
	}
	for _, st := range s.statements {
		var read cedar.Policy // as Cedar text, because the validator does not know all values
		if err := read.UnmarshalCedar(st.policy.MarshalCedar()); err != nil {
			return err
		}
		if err := v.check(&read); err != nil {
			return fmt.Errorf("%w: %s", err, st.policy.MarshalCedar())
		}
	}
	return nil
}
