package query

import (
	"strings"

	"github.com/cosmosgate/cosmosgate/cosmos/sql"
	"github.com/cosmosgate/cosmosgate/internal/emulator/document"
)

// aggregate is one aggregate call: its argument, where its result goes, and how to gather it.
type aggregate struct {
	slot  int
	arg   expression
	start func() accumulator
}

// accumulator gathers one aggregate over the rows of one group.
type accumulator interface {
	add(value document.Value)
	result() document.Value
}

func isAggregate(name string) bool { return gather(name) != nil }

// Aggregates returns the upper-case names of the aggregate functions.
func Aggregates() []string {
	return []string{"AVG", "COUNT", "COUNTIF", "MAKELIST", "MAKESET", "MAX", "MIN", "SUM"}
}

func gather(name string) func() accumulator {
	switch strings.ToUpper(name) {
	case "COUNT":
		return func() accumulator { return &count{holds: document.Value.Defined} }
	case "COUNTIF":
		return func() accumulator { return &count{holds: document.Value.True} }
	case "SUM":
		return func() accumulator { return &sum{} }
	case "AVG":
		return func() accumulator { return &sum{average: true} }
	case "MIN":
		return func() accumulator { return &extreme{wanted: -1} }
	case "MAX":
		return func() accumulator { return &extreme{wanted: 1} }
	case "MAKELIST":
		return func() accumulator { return &list{} }
	case "MAKESET":
		return func() accumulator { return &list{seen: map[string]bool{}} }
	default:
		return nil
	}
}

// aggregate compiles an aggregate call of the SELECT clause.
func (c *compiler) aggregate(e *sql.Call) (expression, error) {
	if c.collecting == nil {
		return nil, fault(CodeAggregate, e.Span, "Aggregate function '%s' is not allowed here.", strings.ToUpper(e.Name))
	}
	if len(e.Args) != 1 {
		return nil, fault(CodeArguments, e.Span, "The %s function requires 1 argument(s).", strings.ToUpper(e.Name))
	}
	into := c.collecting
	c.collecting = nil
	arg, err := c.scalar(e.Args[0])
	c.collecting = into
	if err != nil {
		return nil, err
	}
	slot := c.slot()
	*into = append(*into, aggregate{slot: slot, arg: arg, start: gather(e.Name)})
	return func(r *row) document.Value { return r.slots[slot] }, nil
}

type count struct {
	holds func(document.Value) bool
	n     int
}

func (a *count) add(value document.Value) {
	if a.holds(value) {
		a.n++
	}
}

func (a *count) result() document.Value { return document.NumberValue(float64(a.n)) }

// sum skips undefined values and is undefined once it met anything else that is no number.
type sum struct {
	average bool
	total   float64
	n       int
	spoiled bool
}

func (a *sum) add(value document.Value) {
	number, ok := value.Number()
	if ok {
		a.total += number
		a.n++
	}
	a.spoiled = a.spoiled || !ok && value.Defined()
}

func (a *sum) result() document.Value {
	switch {
	case a.spoiled:
		return document.Value{}
	case !a.average:
		return document.NumberValue(a.total)
	case a.n == 0:
		return document.Value{}
	default:
		return document.NumberValue(a.total / float64(a.n))
	}
}

// extreme keeps the least or greatest primitive; an array or object makes it undefined.
type extreme struct {
	wanted  int
	best    document.Value
	spoiled bool
}

func (a *extreme) add(value document.Value) {
	switch {
	case !value.Defined():
	case value.Kind() > document.String:
		a.spoiled = true
	case !a.best.Defined() || document.Compare(value, a.best) == a.wanted:
		a.best = value
	}
}

func (a *extreme) result() document.Value {
	if a.spoiled {
		return document.Value{}
	}
	return a.best
}

// list gathers defined values, once each when seen is not nil.
type list struct {
	seen     map[string]bool
	elements []document.Value
}

func (a *list) add(value document.Value) {
	if !value.Defined() {
		return
	}
	if a.seen != nil {
		key := value.Key()
		if a.seen[key] {
			return
		}
		a.seen[key] = true
	}
	a.elements = append(a.elements, value)
}

func (a *list) result() document.Value { return document.ArrayValue(a.elements) }
