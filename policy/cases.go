package policy

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// TestResult is the outcome of one case of a PolicyTest document.
type TestResult struct {
	// Test is the name of the document, Case the number of the case from 1.
	Test string
	Case int
	// Position is where the case is written.
	Position Position
	// Passed is whether the decision was the expected one; if not, Failure says
	// what differed.
	Passed  bool
	Failure string
}

// Test runs the PolicyTest documents of the set against the set itself, in the
// order of the text. Cases that give no time are decided at now.
func (s *Set) Test(now time.Time) []TestResult {
	if s == nil {
		return nil
	}
	var results []TestResult
	for _, t := range s.docs.tests {
		for i, c := range t.cases {
			q := c.request
			if q.Context.Time.IsZero() {
				q.Context.Time = now
			}
			differences := c.expect.differences(s.decide(&q))
			results = append(results, TestResult{
				Test: t.name, Case: i + 1, Position: c.pos,
				Passed: len(differences) == 0, Failure: strings.Join(differences, "; "),
			})
		}
	}
	return results
}

// differences says how a decision is not the expected one.
func (e expectation) differences(d Decision) []string {
	var out []string
	if e.allow != d.Allow {
		got := fmt.Sprintf("denied because %s: %s", d.Reason, d.Detail)
		if d.Allow {
			got = "allowed by role " + d.Role
		}
		return []string{fmt.Sprintf("want %s, got %s", verdict(e.allow), got)}
	}
	differ := func(what, want, got string) {
		if want != "" && want != got {
			out = append(out, fmt.Sprintf("want %s %s, got %s", what, want, got))
		}
	}
	differ(keyRole, e.role, d.Role)
	differ(keyIdentity, e.identity, d.Identity)
	if e.because != ReasonNoPolicy && e.because != d.Reason {
		out = append(out, fmt.Sprintf("want because %s, got %s: %s", e.because, d.Reason, d.Detail))
	}
	if e.policy != "" && !namesPolicy(d.Policies, e.policy) {
		out = append(out, fmt.Sprintf("want policy %s, got %s", e.policy, strings.Join(d.Policies, ", ")))
	}
	for i, got := range d.Obligations.words() {
		if want := e.obligations.words()[i]; want.value != "" && want.value != got.value {
			out = append(out, fmt.Sprintf("want %s %s, got %s", want.key, want.value, cmp.Or(got.value, "none")))
		}
	}
	return out
}

func verdict(allow bool) string {
	if allow {
		return "allow"
	}
	return effectDeny
}

// namesPolicy reports whether one of the documents, written `Kind/name`, has
// the name, with or without its kind.
func namesPolicy(documents []string, name string) bool {
	for _, d := range documents {
		_, short, _ := strings.Cut(d, "/")
		if d == name || short == name {
			return true
		}
	}
	return false
}
