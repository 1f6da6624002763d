package sql

// scalar reads a whole expression: the conditional and coalescing operators, which bind loosest.
func (p *parser) scalar() (Expr, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	start := p.current.span.Start
	left, err := p.coalesce()
	if err != nil {
		return nil, err
	}
	conditional, err := p.takeSymbol("?")
	if err != nil || !conditional {
		return left, err
	}
	then, err := p.scalar()
	if err != nil {
		return nil, err
	}
	if err := p.expectSymbol(":"); err != nil {
		return nil, err
	}
	otherwise, err := p.scalar()
	if err != nil {
		return nil, err
	}
	return &Conditional{p.since(start), left, then, otherwise}, nil
}

func (p *parser) scalarList() ([]Expr, error) {
	var list []Expr
	for {
		one, err := p.scalar()
		if err != nil {
			return nil, err
		}
		list = append(list, one)
		more, err := p.takeSymbol(",")
		if err != nil || !more {
			return list, err
		}
	}
}

func (p *parser) coalesce() (Expr, error) {
	start := p.current.span.Start
	left, err := p.logical("OR", func() (Expr, error) { return p.logical("AND", p.predicate) })
	if err != nil || !p.symbol("??") {
		return left, err
	}
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	if err := p.advance(); err != nil {
		return nil, err
	}
	right, err := p.coalesce()
	if err != nil {
		return nil, err
	}
	return &Binary{p.since(start), "??", left, right}, nil
}

// logical reads a chain of AND or OR into one flat node, so that long chains stay shallow.
func (p *parser) logical(operator string, term func() (Expr, error)) (Expr, error) {
	start := p.current.span.Start
	first, err := term()
	if err != nil || !p.keyword(operator) {
		return first, err
	}
	terms := []Expr{first}
	for p.keyword(operator) {
		if err := p.advance(); err != nil {
			return nil, err
		}
		next, err := term()
		if err != nil {
			return nil, err
		}
		terms = append(terms, next)
	}
	return &Logical{p.since(start), operator, terms}, nil
}

// predicate reads an operand with an optional [NOT] IN, LIKE or BETWEEN after it.
func (p *parser) predicate() (Expr, error) {
	start := p.current.span.Start
	x, err := p.binary(loosest)
	if err != nil {
		return nil, err
	}
	not, err := p.take("NOT")
	if err != nil {
		return nil, err
	}
	switch {
	case p.keyword("IN"):
		return p.in(start, x, not)
	case p.keyword("LIKE"):
		return p.like(start, x, not)
	case p.keyword("BETWEEN"):
		return p.between(start, x, not)
	case not:
		return nil, p.unexpected()
	default:
		return x, nil
	}
}

func (p *parser) in(start int, x Expr, not bool) (Expr, error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	if err := p.expectSymbol("("); err != nil {
		return nil, err
	}
	list, err := p.scalarList()
	if err != nil {
		return nil, err
	}
	if err := p.expectSymbol(")"); err != nil {
		return nil, err
	}
	return &In{p.since(start), not, x, list}, nil
}

func (p *parser) like(start int, x Expr, not bool) (Expr, error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	pattern, err := p.binary(loosest)
	if err != nil {
		return nil, err
	}
	escape := ""
	escaped, err := p.take("ESCAPE")
	if err != nil {
		return nil, err
	}
	if escaped {
		if p.current.kind != tokenString || len([]rune(p.current.text)) != 1 {
			return nil, p.unexpected()
		}
		escape = p.current.text
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
	return &Like{p.since(start), not, x, pattern, escape}, nil
}

func (p *parser) between(start int, x Expr, not bool) (Expr, error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	low, err := p.binary(loosest)
	if err != nil {
		return nil, err
	}
	if err := p.expect("AND"); err != nil {
		return nil, err
	}
	high, err := p.binary(loosest)
	if err != nil {
		return nil, err
	}
	return &Between{p.since(start), not, x, low, high}, nil
}

// loosest and tightest bound the ranks of binary operators, in the order of the published grammar
// (sql.g4 of the .NET SDK): || binds looser than comparison.
const (
	loosest = iota + 1
	bitwiseOr
	bitwiseXor
	bitwiseAnd
	equality
	relational
	shift
	additive
	multiplicative
	tightest
)

func rank(symbol string) int {
	switch symbol {
	case "||":
		return loosest
	case "|":
		return bitwiseOr
	case "^":
		return bitwiseXor
	case "&":
		return bitwiseAnd
	case "=", "!=", "<>":
		return equality
	case "<", ">", "<=", ">=":
		return relational
	case "<<", ">>", ">>>":
		return shift
	case "+", "-":
		return additive
	case "*", "/", "%":
		return multiplicative
	default:
		return 0
	}
}

// binary reads operators of at least the given rank, all of them left-associative.
func (p *parser) binary(lowest int) (Expr, error) {
	if lowest == tightest {
		return p.unary()
	}
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	start := p.current.span.Start
	left, err := p.unary()
	if err != nil {
		return nil, err
	}
	entered := p.depth
	defer func() { p.depth = entered }()
	for p.current.kind == tokenSymbol && rank(p.current.text) >= lowest {
		// Each turn makes the tree one deeper on its left, so it counts as a level.
		if err := p.enter(); err != nil {
			return nil, err
		}
		operator := p.current.text
		if err := p.advance(); err != nil {
			return nil, err
		}
		right, err := p.binary(rank(operator) + 1)
		if err != nil {
			return nil, err
		}
		if operator == "<>" {
			operator = "!="
		}
		left = &Binary{p.since(start), operator, left, right}
	}
	return left, nil
}

func (p *parser) unary() (Expr, error) {
	if !p.keyword("NOT") && !p.symbol("-") && !p.symbol("+") && !p.symbol("~") {
		return p.postfix()
	}
	operator := p.current.text
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	start := p.current.span.Start
	if err := p.advance(); err != nil {
		return nil, err
	}
	x, err := p.unary()
	if err != nil {
		return nil, err
	}
	return &Unary{p.since(start), operator, x}, nil
}
