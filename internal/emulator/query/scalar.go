package query

import (
	"github.com/cosmosgate/cosmosgate/cosmos/sql"
	"github.com/cosmosgate/cosmosgate/internal/emulator/document"
)

func constant(value document.Value) expression {
	return func(*row) document.Value { return value }
}

// scalar compiles an expression.
func (c *compiler) scalar(e sql.Expr) (expression, error) {
	switch e := e.(type) {
	case *sql.Literal:
		return constant(literal(e)), nil
	case *sql.Parameter:
		value, ok := c.parameters[e.Name]
		if !ok {
			return nil, fault(CodeParameter, e.Span, "The parameter '%s' is not specified.", e.Name)
		}
		return constant(value), nil
	case *sql.Name:
		slot, ok := c.lookup(e.Name)
		if !ok {
			return nil, fault(CodeName, e.Span, "Identifier '%s' could not be resolved.", e.Name)
		}
		return func(r *row) document.Value { return r.slots[slot] }, nil
	case *sql.Member:
		x, err := c.scalar(e.X)
		name := e.Name
		return func(r *row) document.Value { return x(r).Get(name) }, err
	case *sql.Call:
		return c.call(e)
	case *sql.Subquery:
		return c.subquery(e)
	case *sql.Object:
		return c.object(e)
	default:
		return c.operator(e)
	}
}

func literal(e *sql.Literal) document.Value {
	switch e.Kind {
	case sql.LiteralUndefined:
		return document.Value{}
	case sql.LiteralNull:
		return document.NullValue()
	case sql.LiteralBool:
		return document.BoolValue(e.Bool)
	case sql.LiteralNumber:
		return document.NumberValue(e.Number)
	case sql.LiteralString:
		return document.StringValue(e.String)
	default:
		return document.Value{}
	}
}

func (c *compiler) all(list []sql.Expr) ([]expression, error) {
	compiled := make([]expression, len(list))
	for i, one := range list {
		var err error
		if compiled[i], err = c.scalar(one); err != nil {
			return nil, err
		}
	}
	return compiled, nil
}

// operator compiles the expressions that are made of operands only.
func (c *compiler) operator(e sql.Expr) (expression, error) {
	switch e := e.(type) {
	case *sql.Index:
		return c.apply(index, e.X, e.Key)
	case *sql.Unary:
		operation := unary(e.Operator)
		return c.apply(func(v []document.Value) document.Value { return operation(v[0]) }, e.X)
	case *sql.Binary:
		return c.binary(e)
	case *sql.Logical:
		return c.logical(e)
	case *sql.Conditional:
		return c.conditional(e)
	case *sql.Between:
		return c.apply(between(e.Not), e.X, e.Low, e.High)
	case *sql.In:
		return c.in(e)
	case *sql.Like:
		return c.like(e)
	case *sql.Array:
		return c.apply(collect, e.Elements...)
	default:
		return nil, fault(sql.CodeSyntax, e.Position(), "Syntax error, unsupported expression.")
	}
}

// apply compiles operands and computes a value of all of theirs.
func (c *compiler) apply(compute func([]document.Value) document.Value, operands ...sql.Expr) (expression, error) {
	compiled, err := c.all(operands)
	if err != nil {
		return nil, err
	}
	return func(r *row) document.Value {
		values := make([]document.Value, len(compiled))
		for i, one := range compiled {
			values[i] = one(r)
		}
		if !r.run.spend(len(values)) {
			return document.Value{}
		}
		return compute(values)
	}, nil
}

// collect makes an array of the values that are defined.
func collect(values []document.Value) document.Value {
	elements := make([]document.Value, 0, len(values))
	for _, value := range values {
		if value.Defined() {
			elements = append(elements, value)
		}
	}
	return document.ArrayValue(elements)
}

func index(v []document.Value) document.Value {
	if name, ok := v[1].Text(); ok {
		return v[0].Get(name)
	}
	if number, ok := v[1].Number(); ok && number == float64(int(number)) {
		return v[0].At(int(number))
	}
	return document.Value{}
}

func (c *compiler) object(e *sql.Object) (expression, error) {
	values := make([]expression, len(e.Fields))
	seen := map[string]bool{}
	for i, field := range e.Fields {
		if seen[field.Name] {
			return nil, fault(CodeClause, field.Span, "The property '%s' is specified more than once in the object.", field.Name)
		}
		seen[field.Name] = true
		var err error
		if values[i], err = c.scalar(field.Value); err != nil {
			return nil, err
		}
	}
	return func(r *row) document.Value {
		members := make([]document.Member, 0, len(values))
		for i, value := range values {
			if v := value(r); v.Defined() {
				members = append(members, document.Member{Name: e.Fields[i].Name, Value: v})
			}
		}
		return document.ObjectValue(members)
	}, nil
}

// logical is three-valued: anything but true and false counts as undefined, and undefined decides
// nothing that another term can decide.
func (c *compiler) logical(e *sql.Logical) (expression, error) {
	terms, err := c.all(e.Terms)
	if err != nil {
		return nil, err
	}
	deciding := e.Operator == "OR"
	return func(r *row) document.Value {
		unknown := false
		for _, term := range terms {
			value, ok := term(r).Bool()
			if ok && value == deciding {
				return document.BoolValue(deciding)
			}
			unknown = unknown || !ok
		}
		if unknown {
			return document.Value{}
		}
		return document.BoolValue(!deciding)
	}, nil
}

func (c *compiler) conditional(e *sql.Conditional) (expression, error) {
	parts, err := c.all([]sql.Expr{e.Test, e.Then, e.Else})
	if err != nil {
		return nil, err
	}
	return func(r *row) document.Value {
		if parts[0](r).True() {
			return parts[1](r)
		}
		return parts[2](r)
	}, nil
}

func (c *compiler) in(e *sql.In) (expression, error) {
	return c.apply(func(v []document.Value) document.Value {
		if !v[0].Defined() {
			return document.Value{}
		}
		for _, candidate := range v[1:] {
			if document.Equal(v[0], candidate) {
				return document.BoolValue(!e.Not)
			}
		}
		return document.BoolValue(e.Not)
	}, append([]sql.Expr{e.X}, e.List...)...)
}

func (c *compiler) binary(e *sql.Binary) (expression, error) {
	if e.Operator == "??" {
		parts, err := c.all([]sql.Expr{e.X, e.Y})
		return func(r *row) document.Value {
			if value := parts[0](r); value.Defined() {
				return value
			}
			return parts[1](r)
		}, err
	}
	if e.Operator == "||" {
		parts, err := c.all([]sql.Expr{e.X, e.Y})
		return func(r *row) document.Value { return r.run.concat([]document.Value{parts[0](r), parts[1](r)}) }, err
	}
	operation := arithmetic(e.Operator)
	if operation == nil {
		operation = comparison(e.Operator)
	}
	x, err := c.scalar(e.X)
	if err != nil {
		return nil, err
	}
	y, err := c.scalar(e.Y)
	return func(r *row) document.Value { return operation(x(r), y(r)) }, err
}

func (c *compiler) like(e *sql.Like) (expression, error) {
	escape := rune(-1)
	for _, r := range e.Escape {
		escape = r
	}
	parts, err := c.all([]sql.Expr{e.X, e.Pattern})
	return func(r *row) document.Value {
		text, isText := parts[0](r).Text()
		pattern, isPattern := parts[1](r).Text()
		if !isText || !isPattern || !r.run.spend(len(text)+len(pattern)) {
			return document.Value{}
		}
		matches, ok := r.run.like(text, pattern, escape)
		if !ok {
			return document.Value{}
		}
		return document.BoolValue(matches != e.Not)
	}, err
}

// call compiles an aggregate where one may stand, or a built-in function.
func (c *compiler) call(e *sql.Call) (expression, error) {
	if isAggregate(e.Name) && !e.UDF {
		return c.aggregate(e)
	}
	found, err := c.language.lookup(e)
	if err != nil {
		return nil, err
	}
	args, err := c.all(e.Args)
	if err != nil {
		return nil, err
	}
	return func(r *row) document.Value {
		values := make([]document.Value, len(args))
		for i, arg := range args {
			values[i] = arg(r)
		}
		if !r.run.spend(1 + len(values)) {
			return document.Value{}
		}
		return found.call(r.run, values)
	}, nil
}

// subquery compiles a query used as a value.
func (c *compiler) subquery(e *sql.Subquery) (expression, error) {
	inner, err := c.block(e.Query)
	if err != nil {
		return nil, err
	}
	return func(r *row) document.Value {
		var rows []document.Value
		inner.each(r, func(value document.Value) bool {
			rows = append(rows, value)
			return e.Kind != sql.SubqueryExists && e.Kind != sql.SubqueryFirst && r.run.keep(1)
		})
		return fold(e.Kind, rows)
	}, nil
}

func fold(kind sql.SubqueryKind, rows []document.Value) document.Value {
	switch kind {
	case sql.SubqueryExists:
		return document.BoolValue(len(rows) > 0)
	case sql.SubqueryArray:
		return document.ArrayValue(rows)
	case sql.SubqueryAll:
		for _, value := range rows {
			if !value.True() {
				return document.BoolValue(false)
			}
		}
		return document.BoolValue(true)
	case sql.SubqueryScalar:
		if len(rows) == 1 {
			return rows[0]
		}
	case sql.SubqueryFirst:
		if len(rows) > 0 {
			return rows[0]
		}
	case sql.SubqueryLast:
		if len(rows) > 0 {
			return rows[len(rows)-1]
		}
	}
	return document.Value{}
}
