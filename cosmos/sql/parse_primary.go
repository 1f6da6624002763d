package sql

import "strings"

// postfix reads an operand and the members and indexes taken of it.
func (p *parser) postfix() (Expr, error) {
	start := p.current.span.Start
	x, err := p.primary()
	if err != nil {
		return nil, err
	}
	entered := p.depth
	defer func() { p.depth = entered }()
	for p.symbol(".") || p.symbol("[") {
		if err := p.enter(); err != nil {
			return nil, err
		}
		dot := p.symbol(".")
		if err := p.advance(); err != nil {
			return nil, err
		}
		if dot {
			name, err := p.memberName()
			if err != nil {
				return nil, err
			}
			x = &Member{p.since(start), x, name}
			continue
		}
		key, err := p.scalar()
		if err != nil {
			return nil, err
		}
		if err := p.expectSymbol("]"); err != nil {
			return nil, err
		}
		x = &Index{p.since(start), x, key}
	}
	return x, nil
}

func (p *parser) primary() (Expr, error) {
	current := p.current
	p.nodes++
	switch current.kind {
	case tokenNumber:
		return &Literal{Span: current.span, Kind: LiteralNumber, Number: current.number}, p.advance()
	case tokenString:
		return &Literal{Span: current.span, Kind: LiteralString, String: current.text}, p.advance()
	case tokenParameter:
		return &Parameter{current.span, current.text}, p.advance()
	case tokenIdentifier:
		return p.named()
	case tokenKeyword:
		return p.keywordPrimary()
	case tokenSymbol:
		return p.bracketed()
	case tokenEnd:
		return nil, p.unexpected()
	default:
		return nil, p.unexpected()
	}
}

// keywordPrimary reads the literals and the subqueries that start with a reserved word.
func (p *parser) keywordPrimary() (Expr, error) {
	current := p.current
	switch current.text {
	case "TRUE", "FALSE":
		return &Literal{Span: current.span, Kind: LiteralBool, Bool: current.text == "TRUE"}, p.advance()
	case "NULL":
		return &Literal{Span: current.span, Kind: LiteralNull}, p.advance()
	case "UNDEFINED":
		return &Literal{Span: current.span, Kind: LiteralUndefined}, p.advance()
	case "EXISTS":
		return p.subquery(SubqueryExists)
	case "ARRAY":
		return p.subquery(SubqueryArray)
	default:
		return nil, p.unexpected()
	}
}

// subquery reads the word that names the kind and the query in parentheses after it.
func (p *parser) subquery(kind SubqueryKind) (Expr, error) {
	start := p.current.span.Start
	if kind != SubqueryScalar {
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
	query, err := p.parenthesizedQuery()
	if err != nil {
		return nil, err
	}
	return &Subquery{p.since(start), kind, query}, nil
}

// named reads what starts with an identifier: a name, a function call or one of the subquery
// words that are not reserved.
func (p *parser) named() (Expr, error) {
	start := p.current.span.Start
	name, err := p.identifier()
	if err != nil {
		return nil, err
	}
	udf := false
	if name == "udf" && p.symbol(".") {
		if err := p.advance(); err != nil {
			return nil, err
		}
		if name, err = p.memberName(); err != nil {
			return nil, err
		}
		if !p.symbol("(") {
			return nil, p.unexpected()
		}
		udf = true
	}
	if !p.symbol("(") {
		return &Name{p.since(start), name}, nil
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	if kind, ok := subqueryWord(name); ok && !udf && p.keyword("SELECT") {
		query, err := p.query()
		if err != nil {
			return nil, err
		}
		if err := p.expectSymbol(")"); err != nil {
			return nil, err
		}
		return &Subquery{p.since(start), kind, query}, nil
	}
	args, err := p.elements(")")
	if err != nil {
		return nil, err
	}
	return &Call{p.since(start), name, udf, args}, nil
}

func subqueryWord(name string) (SubqueryKind, bool) {
	switch strings.ToUpper(name) {
	case "ALL":
		return SubqueryAll, true
	case "FIRST":
		return SubqueryFirst, true
	case "LAST":
		return SubqueryLast, true
	default:
		return SubqueryScalar, false
	}
}

// bracketed reads a parenthesized expression or subquery, an array or an object.
func (p *parser) bracketed() (Expr, error) {
	start := p.current.span.Start
	open := p.current.text
	if open != "(" && open != "[" && open != "{" {
		return nil, p.unexpected()
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	switch {
	case open == "(" && p.keyword("SELECT"):
		query, err := p.query()
		if err != nil {
			return nil, err
		}
		if err := p.expectSymbol(")"); err != nil {
			return nil, err
		}
		return &Subquery{p.since(start), SubqueryScalar, query}, nil
	case open == "(":
		inner, err := p.scalar()
		if err != nil {
			return nil, err
		}
		return inner, p.expectSymbol(")")
	case open == "[":
		elements, err := p.elements("]")
		if err != nil {
			return nil, err
		}
		return &Array{p.since(start), elements}, nil
	default:
		return p.object(start)
	}
}

// elements reads a possibly empty list up to and including the closing symbol.
func (p *parser) elements(closing string) ([]Expr, error) {
	empty, err := p.takeSymbol(closing)
	if err != nil || empty {
		return nil, err
	}
	list, err := p.scalarList()
	if err != nil {
		return nil, err
	}
	return list, p.expectSymbol(closing)
}

func (p *parser) object(start int) (Expr, error) {
	object := &Object{}
	empty, err := p.takeSymbol("}")
	if err != nil {
		return nil, err
	}
	for more := !empty; more; {
		field := Field{Name: p.current.text}
		at := p.current.span.Start
		if p.current.kind != tokenString && p.current.kind != tokenIdentifier {
			return nil, p.unexpected()
		}
		if err := p.advance(); err != nil {
			return nil, err
		}
		if err := p.expectSymbol(":"); err != nil {
			return nil, err
		}
		if field.Value, err = p.scalar(); err != nil {
			return nil, err
		}
		field.Span = p.since(at)
		object.Fields = append(object.Fields, field)
		if more, err = p.takeSymbol(","); err != nil {
			return nil, err
		}
	}
	if !empty {
		if err := p.expectSymbol("}"); err != nil {
			return nil, err
		}
	}
	object.Span = p.since(start)
	return object, nil
}
