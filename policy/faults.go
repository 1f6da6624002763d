package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Position is a place in a policy file. Line and Column count from 1.
type Position struct {
	File         string
	Line, Column int
}

// String returns the position as `file:line:col`.
func (p Position) String() string {
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

func (p Position) compare(q Position) int {
	return cmp.Or(strings.Compare(p.File, q.File), cmp.Compare(p.Line, q.Line), cmp.Compare(p.Column, q.Column))
}

// Fault is one thing that is wrong, or for a warning probably wrong, with a
// policy text.
type Fault struct {
	Position Position
	// What says what is wrong and, where there is one, the way out.
	What string
}

// Error returns the fault as `file:line:col: what`.
func (f Fault) Error() string { return f.Position.String() + ": " + f.What }

// Faults is every fault of a policy, in the order of the text.
type Faults []Fault

// Error returns the faults, one a line.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].Error()
	}
	return strings.Join(lines, "\n")
}

func (f Faults) sorted() Faults {
	slices.SortStableFunc(f, func(a, b Fault) int { return a.Position.compare(b.Position) })
	return slices.Compact(f)
}
