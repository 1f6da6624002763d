package query

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/cosmosgate/cosmosgate/internal/emulator/document"
)

// ErrTooMuch means a query was stopped because it used up its bound on work or memory.
var ErrTooMuch = errors.New("the query exceeds the bound on work")

// maxSteps bounds the work of one run: rows, operations and bytes of text made all count. What is
// kept counts keptCost a value, so that memory is bounded as well, to some 100 MB at the very most.
const (
	maxSteps = 30_000_000
	keptCost = 20
)

// pause is how many steps pass between looks at the context.
const pause = 1 << 12

// run is the state of one execution.
type run struct {
	ctx    context.Context //nolint:containedctx // lives exactly as long as one call
	now    time.Time
	clock  func() time.Time
	steps  int
	looked int
	err    error
	// patterns are the regular expressions compiled so far.
	patterns map[string]*regexp.Regexp
}

// spend counts work and reports whether there is any left.
func (r *run) spend(steps int) bool {
	if r == nil {
		return true
	}
	r.steps += steps
	if r.err == nil && r.steps > maxSteps {
		r.err = ErrTooMuch
	}
	if r.err == nil && r.steps-r.looked >= pause {
		r.looked = r.steps
		r.err = r.ctx.Err()
	}
	return r.err == nil
}

// keep counts values that are held on to.
func (r *run) keep(values int) bool { return r.spend(keptCost * values) }

// concat joins strings, or gives undefined when one of them is none.
func (r *run) concat(values []document.Value) document.Value {
	size := 0
	for _, value := range values {
		text, ok := value.Text()
		if !ok {
			return document.Value{}
		}
		size += len(text)
	}
	if !r.spend(size) {
		return document.Value{}
	}
	var joined strings.Builder
	joined.Grow(size)
	for _, value := range values {
		text, _ := value.Text()
		joined.WriteString(text)
	}
	return document.StringValue(joined.String())
}

// each runs the block for the row so far and yields its results in order.
func (b *block) each(r *row, yield func(document.Value) bool) {
	yield = b.windowed(yield)
	if b.distinct {
		yield = unseen(r, yield)
	}
	switch {
	case b.limit == 0:
	case b.grouped:
		b.groups(r, yield)
	case len(b.orders) > 0:
		b.sorted(r, yield)
	default:
		b.rows(r, func() bool {
			value := b.output(r)
			return !value.Defined() || yield(value)
		})
	}
}

func unseen(r *row, yield func(document.Value) bool) func(document.Value) bool {
	seen := map[string]bool{}
	return func(value document.Value) bool {
		key := value.Key()
		if !r.run.spend(keptCost + len(key)) {
			return false
		}
		if seen[key] {
			return true
		}
		seen[key] = true
		return yield(value)
	}
}

// windowed drops what OFFSET and LIMIT or TOP leave out.
func (b *block) windowed(yield func(document.Value) bool) func(document.Value) bool {
	if b.offset == 0 && b.limit < 0 {
		return yield
	}
	passed := 0
	return func(value document.Value) bool {
		passed++
		if passed <= b.offset {
			return true
		}
		if b.limit >= 0 && passed > b.offset+b.limit {
			return false
		}
		return yield(value) && (b.limit < 0 || passed < b.offset+b.limit)
	}
}

// rows calls found for every combination of the sources that passes WHERE.
func (b *block) rows(r *row, found func() bool) {
	b.nested(r, 0, found)
}

func (b *block) nested(r *row, depth int, found func() bool) bool {
	if !r.run.spend(1) {
		return false
	}
	if depth == len(b.sources) {
		if b.where != nil && !b.where(r).True() {
			return true
		}
		return found()
	}
	proceed := true
	current := b.sources[depth]
	current.produce(r, func(value document.Value) bool {
		r.slots[current.slot] = value
		proceed = b.nested(r, depth+1, found)
		return proceed
	})
	return proceed
}

// sorted gathers every result with its sort keys and yields them in order.
func (b *block) sorted(r *row, yield func(document.Value) bool) {
	type keyed struct {
		keys  []document.Value
		value document.Value
	}
	var results []keyed
	b.rows(r, func() bool {
		value := b.output(r)
		if !value.Defined() {
			return true
		}
		keys := make([]document.Value, len(b.orders))
		for i, by := range b.orders {
			keys[i] = by.key(r)
		}
		if len(keys) == 1 && !keys[0].Defined() && !b.undefined {
			return true
		}
		results = append(results, keyed{keys, value})
		return r.run.keep(1 + len(keys))
	})
	slices.SortStableFunc(results, func(x, y keyed) int {
		for i, by := range b.orders {
			if order := document.Compare(x.keys[i], y.keys[i]); order != 0 {
				if by.descending {
					return -order
				}
				return order
			}
		}
		return 0
	})
	for _, result := range results {
		if !yield(result.value) {
			return
		}
	}
}

// group is the rows that share the keys of GROUP BY.
type group struct {
	// slots are those of the group's first row, from which the keys can be computed again.
	slots        []document.Value
	accumulators []accumulator
}

func (b *block) newGroup(r *row) *group {
	g := &group{slots: slices.Clone(r.slots), accumulators: make([]accumulator, len(b.aggregates))}
	for i, one := range b.aggregates {
		g.accumulators[i] = one.start()
	}
	return g
}

// groups gathers the rows into groups and yields one result for each. Without GROUP BY there is
// exactly one group, even of no rows.
func (b *block) groups(r *row, yield func(document.Value) bool) {
	found := map[string]*group{}
	var ordered []*group
	if len(b.keys) == 0 {
		found[""] = b.newGroup(r)
		ordered = append(ordered, found[""])
	}
	b.rows(r, func() bool {
		key := b.groupKey(r)
		current, ok := found[key]
		if !ok {
			current = b.newGroup(r)
			found[key] = current
			ordered = append(ordered, current)
			r.run.keep(len(r.slots) + len(b.aggregates))
		}
		for i, one := range b.aggregates {
			current.accumulators[i].add(one.arg(r))
		}
		return r.run.spend(len(key) + b.cost)
	})
	outer := r.slots
	defer func() { r.slots = outer }()
	for _, current := range ordered {
		r.slots = current.slots
		for i, one := range b.aggregates {
			r.slots[one.slot] = current.accumulators[i].result()
		}
		if value := b.output(r); value.Defined() && !yield(value) {
			return
		}
	}
}

func (b *block) groupKey(r *row) string {
	if len(b.keys) == 0 {
		return ""
	}
	values := make([]document.Value, len(b.keys))
	for i, key := range b.keys {
		values[i] = key(r)
	}
	return document.ArrayValue(values).Key()
}
