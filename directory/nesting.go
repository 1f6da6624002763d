package directory

import (
	"fmt"
	"iter"
	"slices"
)

// maxAbove is how many groups may be above one. Every group keeps all of them and
// gives them to everybody below, so that a chain of many takes room by the square
// of its length, and time of every look-up.
const maxAbove = 500

// maxWalked bounds the groups that the changes of one call look at, each time:
// everybody else's changes wait meanwhile.
const maxWalked = 5_000_000

// nest refuses an edge from a group to others, which the batch has, that puts too
// many groups above one of those below. It returns how many there are below. The
// batch was settled before if it had no other edge between groups.
func (p *planner) nest(parent uint32, children []uint32, settled bool) (below int, err error) {
	above := 1 + p.over(parent)
	for ordinal := range p.under(children) {
		below++
		if settled && above+len(p.group(ordinal).ancestors) <= maxAbove {
			continue
		}
		over := p.over(ordinal)
		if p.walked += over; over > maxAbove {
			return below, fmt.Errorf("%w: more than %d above one", ErrNesting, maxAbove)
		}
	}
	if p.walked > maxWalked {
		return below, fmt.Errorf("%w: too many groups are below those that it puts into others", ErrLimit)
	}
	return below, nil
}

// over counts the groups above one, as the batch leaves it, up to one more than
// there may be.
func (b *batch) over(ordinal uint32) int {
	seen := map[uint32]struct{}{}
	next := []uint32{ordinal}
	for len(next) > 0 && len(seen) <= maxAbove {
		g := b.group(next[len(next)-1])
		next = next[:len(next)-1]
		if g == nil {
			continue
		}
		for _, parent := range g.parents {
			if _, known := seen[parent]; !known && b.group(parent) != nil {
				seen[parent] = struct{}{}
				next = append(next, parent)
			}
		}
	}
	return len(seen)
}

// under yields the given groups and every group below them, as the batch leaves
// them, each once, until too many were walked through.
func (p *planner) under(roots []uint32) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		seen := map[uint32]struct{}{}
		next := slices.Clone(roots)
		for len(next) > 0 && p.walked <= maxWalked {
			ordinal := next[len(next)-1]
			next = next[:len(next)-1]
			if _, known := seen[ordinal]; known || p.group(ordinal) == nil {
				continue
			}
			seen[ordinal] = struct{}{}
			if !yield(ordinal) {
				return
			}
			had := len(next)
			next = p.appendChildren(next, ordinal)
			p.walked += 1 + len(next) - had
		}
	}
}

// appendChildren appends the groups in a group.
func (b *batch) appendChildren(to []uint32, ordinal uint32) []uint32 {
	pending := b.edges[ordinal]
	if place := b.state.groupPlace(ordinal); place != nil {
		for _, child := range place.children {
			if present, changed := pending[child]; present || !changed {
				to = append(to, child)
			}
		}
	}
	for member, present := range pending {
		if present {
			to = append(to, member) // users are passed over
		}
	}
	return to
}
