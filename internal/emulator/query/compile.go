package query

import (
	"slices"
	"strconv"

	"github.com/cosmosgate/cosmosgate/cosmos/sql"
	"github.com/cosmosgate/cosmosgate/internal/emulator/document"
)

// row is the state while one row is looked at: a slot for every alias and aggregate of the query
// and its subqueries.
type row struct {
	slots []document.Value
	run   *run
}

// expression computes a scalar from a row.
type expression func(*row) document.Value

// source yields the values of one input set for the row so far, until yield returns false.
type source struct {
	slot    int
	produce func(*row, func(document.Value) bool)
}

// block is one compiled query or subquery.
type block struct {
	sources    []source
	where      expression
	output     expression
	grouped    bool
	keys       []expression
	aggregates []aggregate
	// cost is what one more row of a group costs.
	cost   int
	orders []order
	// undefined: values without the one property of orders are kept.
	undefined bool
	distinct  bool
	offset    int
	limit     int // -1 is none
}

type order struct {
	key        expression
	descending bool
}

// binding says in which slot a name's value is.
type binding struct {
	name string
	slot int
}

// compiler turns one query text's tree into blocks.
type compiler struct {
	language   *Language
	parameters map[string]document.Value
	bound      []binding
	slots      int
	// container is the slot of the document itself.
	container int
	// collecting is where aggregates go while a SELECT clause that allows them is compiled.
	collecting *[]aggregate
	depth      int
}

func (c *compiler) slot() int {
	c.slots++
	return c.slots - 1
}

func (c *compiler) lookup(name string) (int, bool) {
	for _, one := range slices.Backward(c.bound) {
		if one.name == name {
			return one.slot, true
		}
	}
	return 0, false
}

// block compiles a query; what its FROM binds is forgotten afterwards.
func (c *compiler) block(query *sql.Query) (*block, error) {
	outerNames, outerAggregates := len(c.bound), c.collecting
	c.depth++
	defer func() {
		c.bound, c.collecting = c.bound[:outerNames], outerAggregates
		c.depth--
	}()
	c.collecting = nil
	b := &block{limit: -1, distinct: query.Distinct}
	for i, from := range query.From {
		compiled, err := c.source(from, i == 0 && c.depth == 1)
		if err != nil {
			return nil, err
		}
		b.sources = append(b.sources, compiled)
	}
	if err := c.filters(b, query); err != nil {
		return nil, err
	}
	if err := c.output(b, query); err != nil {
		return nil, err
	}
	if err := c.ordering(b, query); err != nil {
		return nil, err
	}
	return b, c.window(b, query)
}

func (c *compiler) filters(b *block, query *sql.Query) error {
	var err error
	if query.Where != nil {
		if b.where, err = c.scalar(query.Where); err != nil {
			return err
		}
	}
	for _, key := range query.GroupBy {
		compiled, err := c.scalar(key)
		if err != nil {
			return err
		}
		b.keys = append(b.keys, compiled)
	}
	return nil
}

// source compiles one input set and binds its alias.
func (c *compiler) source(from sql.Source, first bool) (source, error) {
	values, err := c.collection(from, first)
	if err != nil {
		return source{}, err
	}
	if from.Iterate {
		values = elementsOf(values)
	}
	compiled := source{slot: c.slot(), produce: values}
	if from.Alias != "" {
		for _, other := range c.bound {
			if other.name == from.Alias && !first && c.depth == 1 {
				return source{}, fault(CodeName, from.Span, "The input alias '%s' is specified more than once.", from.Alias)
			}
		}
		c.bound = append(c.bound, binding{from.Alias, compiled.slot})
	}
	return compiled, nil
}

// collection compiles what a source ranges over: a path below the container or a bound name, or a
// subquery.
func (c *compiler) collection(from sql.Source, first bool) (func(*row, func(document.Value) bool), error) {
	if from.Subquery != nil {
		inner, err := c.block(from.Subquery)
		if err != nil {
			return nil, err
		}
		return func(r *row, yield func(document.Value) bool) { inner.each(r, yield) }, nil
	}
	slot, ok := c.lookup(from.Root)
	if first {
		// The first name of the outermost FROM is the container, whatever it is called.
		slot, ok = c.container, true
	}
	if !ok {
		return nil, fault(CodeName, from.Span, "Identifier '%s' could not be resolved.", from.Root)
	}
	path := from.Path
	return func(r *row, yield func(document.Value) bool) {
		value := r.slots[slot]
		for _, step := range path {
			if step.Indexed {
				value = value.At(step.Index)
			} else {
				value = value.Get(step.Name)
			}
		}
		if value.Defined() {
			yield(value)
		}
	}, nil
}

func elementsOf(values func(*row, func(document.Value) bool)) func(*row, func(document.Value) bool) {
	return func(r *row, yield func(document.Value) bool) {
		values(r, func(value document.Value) bool {
			elements, _ := value.Elements()
			for _, element := range elements {
				if !yield(element) {
					return false
				}
			}
			return true
		})
	}
}

// output compiles the SELECT clause.
func (c *compiler) output(b *block, query *sql.Query) error {
	b.aggregates = []aggregate{}
	c.collecting = &b.aggregates
	defer func() { c.collecting = nil }()
	var err error
	switch {
	case query.Star:
		err = c.star(b, query)
	case query.Value != nil:
		b.output, err = c.scalar(query.Value)
	default:
		b.output, err = c.items(query.Items)
	}
	if err != nil {
		return err
	}
	b.grouped = len(query.GroupBy) > 0 || len(b.aggregates) > 0
	for _, one := range b.aggregates {
		b.cost++
		if _, keeps := one.start().(*list); keeps {
			b.cost += keptCost
		}
	}
	if b.grouped {
		return covered(query)
	}
	return nil
}

func (c *compiler) star(b *block, query *sql.Query) error {
	if len(query.From) != 1 {
		return fault(CodeClause, query.Span, "'SELECT *' is only valid with a single input set.")
	}
	if len(query.GroupBy) > 0 {
		return fault(CodeAggregate, query.Span, "'SELECT *' is not allowed in a query with a GROUP BY clause.")
	}
	slot := b.sources[0].slot
	b.output = func(r *row) document.Value { return r.slots[slot] }
	return nil
}

// items compiles a SELECT list into an object; unnamed expressions get the names the service gives.
func (c *compiler) items(items []sql.Item) (expression, error) {
	names := make([]string, len(items))
	values := make([]expression, len(items))
	taken := map[string]bool{}
	unnamed := 0
	for i, item := range items {
		compiled, err := c.scalar(item.Expr)
		if err != nil {
			return nil, err
		}
		values[i] = compiled
		names[i] = item.Alias
		if names[i] == "" {
			names[i] = derivedName(item.Expr)
		}
		if names[i] == "" {
			unnamed++
			names[i] = "$" + strconv.Itoa(unnamed)
		}
		if taken[names[i]] {
			return nil, fault(CodeClause, item.Span, "The property '%s' is specified more than once in the SELECT list.", names[i])
		}
		taken[names[i]] = true
	}
	return func(r *row) document.Value {
		members := make([]document.Member, 0, len(values))
		for i, value := range values {
			if v := value(r); v.Defined() {
				members = append(members, document.Member{Name: names[i], Value: v})
			}
		}
		return document.ObjectValue(members)
	}, nil
}

func derivedName(e sql.Expr) string {
	switch e := e.(type) {
	case *sql.Name:
		return e.Name
	case *sql.Member:
		return e.Name
	case *sql.Index:
		if key, ok := e.Key.(*sql.Literal); ok && key.Kind == sql.LiteralString {
			return key.String
		}
	}
	return ""
}

// covered refuses a grouped SELECT that names something neither grouped by nor aggregated.
func covered(query *sql.Query) error {
	keys := map[string]bool{}
	for _, key := range query.GroupBy {
		keys[sql.Canonical(key)] = true
	}
	own := map[string]bool{}
	for _, from := range query.From {
		own[from.Alias] = true
	}
	var offender sql.Node
	visit := func(node sql.Node) bool {
		if e, ok := node.(sql.Expr); ok && keys[sql.Canonical(e)] {
			return false
		}
		switch node := node.(type) {
		case *sql.Call:
			return !isAggregate(node.Name)
		case *sql.Name:
			if own[node.Name] && offender == nil {
				offender = node
			}
		}
		return offender == nil
	}
	for _, e := range selected(query) {
		sql.Walk(e, visit)
	}
	if offender != nil {
		return fault(CodeAggregate, offender.Position(), "Property reference is invalid in the select list because it is not contained in either an aggregate function or the GROUP BY clause.")
	}
	return nil
}

func selected(query *sql.Query) []sql.Expr {
	if query.Value != nil {
		return []sql.Expr{query.Value}
	}
	list := make([]sql.Expr, len(query.Items))
	for i, item := range query.Items {
		list[i] = item.Expr
	}
	return list
}

func (c *compiler) ordering(b *block, query *sql.Query) error {
	if len(query.OrderBy) > 0 && b.grouped {
		return fault(CodeClause, query.OrderBy[0].Span, "'ORDER BY' is not supported in a query with a GROUP BY clause or aggregates.")
	}
	for _, by := range query.OrderBy {
		if root, members, ok := sql.Path(by.Expr); !ok || root == "" || len(members) == 0 && query.Value == nil {
			return fault(CodeOrderBy, by.Span, "Unsupported ORDER BY clause. ORDER BY item expression could not be mapped to a document path.")
		}
		key, err := c.scalar(by.Expr)
		if err != nil {
			return err
		}
		b.orders = append(b.orders, order{key, by.Descending})
	}
	return nil
}

// window compiles TOP, OFFSET and LIMIT.
func (c *compiler) window(b *block, query *sql.Query) error {
	if query.Top != nil && query.Offset != nil {
		return fault(CodeClause, query.Top.Position(), "'TOP' is not allowed in a query with an OFFSET LIMIT clause.")
	}
	var err error
	if query.Top != nil {
		b.limit, err = c.count("TOP", query.Top)
		return err
	}
	if query.Offset != nil {
		if b.offset, err = c.count("OFFSET", query.Offset); err != nil {
			return err
		}
		b.limit, err = c.count("LIMIT", query.Limit)
	}
	return err
}

func (c *compiler) count(clause string, e sql.Expr) (int, error) {
	compiled, err := c.scalar(e)
	if err != nil {
		return 0, err
	}
	const highest = 1 << 31
	number, ok := compiled(&row{}).Number()
	if !ok || number < 0 || number >= highest || number != float64(int(number)) {
		return 0, fault(CodeClause, e.Position(), "The value of the %s clause must be a non-negative integer.", clause)
	}
	return int(number), nil
}
