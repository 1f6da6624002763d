package sql

// Walk calls visit for every node below and including node, parents first, in the order of the
// text. When visit returns false the node's children are left out.
func Walk(node Node, visit func(Node) bool) {
	if !visit(node) {
		return
	}
	if query, ok := node.(*Query); ok {
		walkQuery(query, visit)
		return
	}
	if scalar, ok := node.(Expr); ok {
		for _, operand := range operands(scalar) {
			Walk(operand, visit)
		}
		if subquery, ok := node.(*Subquery); ok {
			Walk(subquery.Query, visit)
		}
	}
}

func walkQuery(query *Query, visit func(Node) bool) {
	walkAll(visit, query.Top, query.Value)
	for _, item := range query.Items {
		Walk(item.Expr, visit)
	}
	for _, source := range query.From {
		if source.Subquery != nil {
			Walk(source.Subquery, visit)
		}
	}
	walkAll(visit, query.Where)
	walkAll(visit, query.GroupBy...)
	for _, order := range query.OrderBy {
		Walk(order.Expr, visit)
	}
	walkAll(visit, query.Offset, query.Limit)
}

func walkAll(visit func(Node) bool, expressions ...Expr) {
	for _, one := range expressions {
		if one != nil {
			Walk(one, visit)
		}
	}
}

// operands returns the expressions directly below e. The query of a subquery is not among them.
func operands(e Expr) []Expr {
	switch e := e.(type) {
	case *Member:
		return []Expr{e.X}
	case *Index:
		return []Expr{e.X, e.Key}
	case *Unary:
		return []Expr{e.X}
	case *Binary:
		return []Expr{e.X, e.Y}
	case *Logical:
		return e.Terms
	case *Conditional:
		return []Expr{e.Test, e.Then, e.Else}
	case *Between:
		return []Expr{e.X, e.Low, e.High}
	case *In:
		return append([]Expr{e.X}, e.List...)
	case *Like:
		return []Expr{e.X, e.Pattern}
	case *Call:
		return e.Args
	case *Array:
		return e.Elements
	case *Object:
		values := make([]Expr, len(e.Fields))
		for i, field := range e.Fields {
			values[i] = field.Value
		}
		return values
	default:
		return nil
	}
}

// Path reads e as a chain of constant members below a name, such as c.address["city"]: the name
// and the members. An array index stands in it as its decimal digits.
func Path(e Expr) (root string, members []string, ok bool) {
	switch e := e.(type) {
	case *Name:
		return e.Name, nil, true
	case *Member:
		root, members, ok = Path(e.X)
		return root, append(members, e.Name), ok
	case *Index:
		key, literal := e.Key.(*Literal)
		if !literal {
			return "", nil, false
		}
		root, members, ok = Path(e.X)
		switch key.Kind {
		case LiteralString:
			return root, append(members, key.String), ok
		case LiteralNumber:
			return root, append(members, formatNumber(key.Number)), ok
		case LiteralUndefined, LiteralNull, LiteralBool:
			return "", nil, false
		default:
			return "", nil, false
		}
	default:
		return "", nil, false
	}
}
