package sql

import "unicode/utf8"

// Bounds of what is read. The service's own limit for a query's text is 512 KB.
const (
	MaxText  = 512 << 10
	MaxDepth = 400
	MaxNodes = 100_000
)

// Parse reads one query. Every error is an *Error. The tree it returns is at most MaxDepth deep
// and has at most MaxNodes nodes.
func Parse(text string) (*Query, error) {
	if len(text) > MaxText {
		return nil, &Error{Code: CodeLimit, Message: "The SQL query text exceeded the maximum limit of 512 KB.", Span: Span{0, len(text)}}
	}
	if !utf8.ValidString(text) {
		return nil, &Error{Code: CodeToken, Message: "Syntax error, the query text is not valid UTF-8.", Span: Span{0, len(text)}}
	}
	p := &parser{lexer: lexer{text: text}}
	if err := p.advance(); err != nil {
		return nil, err
	}
	query, err := p.query()
	if err != nil {
		return nil, err
	}
	if p.symbol(";") {
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
	if p.current.kind != tokenEnd {
		return nil, p.unexpected()
	}
	return query, nil
}

// parser reads by recursive descent with one token of look-ahead.
type parser struct {
	lexer   lexer
	current token
	// ended is where the last consumed token ended.
	ended int
	depth int
	nodes int
}

func (p *parser) advance() error {
	p.ended = p.current.span.End
	next, err := p.lexer.next()
	if err != nil {
		return err
	}
	p.current = next
	return nil
}

// enter counts one more level; every recursive rule calls it and defers leave.
func (p *parser) enter() error {
	p.depth++
	p.nodes++
	if p.depth > MaxDepth || p.nodes > MaxNodes {
		return &Error{Code: CodeLimit, Message: "The SQL query is nested too deeply or is too large.", Span: p.current.span}
	}
	return nil
}

func (p *parser) leave() { p.depth-- }

func (p *parser) keyword(word string) bool {
	return p.current.kind == tokenKeyword && p.current.text == word
}

func (p *parser) symbol(text string) bool {
	return p.current.kind == tokenSymbol && p.current.text == text
}

// take consumes the keyword if it is next and reports whether it was.
func (p *parser) take(word string) (bool, error) {
	if !p.keyword(word) {
		return false, nil
	}
	return true, p.advance()
}

// takeSymbol consumes the symbol if it is next and reports whether it was.
func (p *parser) takeSymbol(text string) (bool, error) {
	if !p.symbol(text) {
		return false, nil
	}
	return true, p.advance()
}

func (p *parser) expect(word string) error {
	if !p.keyword(word) {
		return p.unexpected()
	}
	return p.advance()
}

func (p *parser) expectSymbol(text string) error {
	if !p.symbol(text) {
		return p.unexpected()
	}
	return p.advance()
}

func (p *parser) unexpected() error {
	message := "Syntax error, incorrect syntax near end of the query."
	if p.current.kind != tokenEnd {
		span := p.current.span
		message = "Syntax error, incorrect syntax near '" + excerpt(p.lexer.text[span.Start:span.End]) + "'."
	}
	return &Error{Code: CodeSyntax, Message: message, Span: p.current.span}
}

func (p *parser) since(start int) Span { return Span{start, p.ended} }

// identifier consumes a name. VALUE, TOP and the like are names where the grammar can't mean the
// keyword.
func (p *parser) identifier() (string, error) {
	if p.current.kind != tokenIdentifier {
		return "", p.unexpected()
	}
	name := p.current.text
	return name, p.advance()
}

// memberName consumes the name after a dot, where every word is a name.
func (p *parser) memberName() (string, error) {
	if p.current.kind != tokenIdentifier && p.current.kind != tokenKeyword {
		return "", p.unexpected()
	}
	name := p.lexer.text[p.current.span.Start:p.current.span.End]
	return name, p.advance()
}

func (p *parser) query() (*Query, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	start := p.current.span.Start
	query := &Query{}
	for _, clause := range []func(*Query) error{
		p.selectClause, p.fromClause, p.whereClause, p.groupByClause, p.orderByClause, p.offsetLimitClause,
	} {
		if err := clause(query); err != nil {
			return nil, err
		}
	}
	query.Span = p.since(start)
	return query, nil
}

func (p *parser) selectClause(query *Query) error {
	if err := p.expect("SELECT"); err != nil {
		return err
	}
	var err error
	if query.Distinct, err = p.take("DISTINCT"); err != nil {
		return err
	}
	top, err := p.take("TOP")
	if err != nil {
		return err
	}
	if top {
		if query.Top, err = p.count(); err != nil {
			return err
		}
	}
	if query.Star, err = p.takeSymbol("*"); err != nil || query.Star {
		return err
	}
	value, err := p.take("VALUE")
	if err != nil {
		return err
	}
	if value {
		query.Value, err = p.scalar()
		return err
	}
	return p.selectList(query)
}

func (p *parser) selectList(query *Query) error {
	for {
		start := p.current.span.Start
		item := Item{}
		var err error
		if item.Expr, err = p.scalar(); err != nil {
			return err
		}
		named, err := p.take("AS")
		if err != nil {
			return err
		}
		if named || p.current.kind == tokenIdentifier {
			if item.Alias, err = p.aliasName(named); err != nil {
				return err
			}
		}
		item.Span = p.since(start)
		query.Items = append(query.Items, item)
		more, err := p.takeSymbol(",")
		if err != nil || !more {
			return err
		}
	}
}

// aliasName reads an output name. After AS the service takes the words VALUE and TOP as well.
func (p *parser) aliasName(afterAs bool) (string, error) {
	if afterAs && (p.keyword("VALUE") || p.keyword("TOP")) {
		return p.memberName()
	}
	return p.identifier()
}

// count reads the operand of TOP, OFFSET and LIMIT: a number or a parameter.
func (p *parser) count() (Expr, error) {
	if p.current.kind != tokenNumber && p.current.kind != tokenParameter {
		return nil, p.unexpected()
	}
	return p.primary()
}

func (p *parser) whereClause(query *Query) error {
	present, err := p.take("WHERE")
	if err != nil || !present {
		return err
	}
	query.Where, err = p.scalar()
	return err
}

func (p *parser) groupByClause(query *Query) error {
	present, err := p.take("GROUP")
	if err != nil || !present {
		return err
	}
	if err := p.expect("BY"); err != nil {
		return err
	}
	query.GroupBy, err = p.scalarList()
	return err
}

func (p *parser) orderByClause(query *Query) error {
	present, err := p.take("ORDER")
	if err != nil || !present {
		return err
	}
	if err := p.expect("BY"); err != nil {
		return err
	}
	for {
		start := p.current.span.Start
		order := Order{}
		if order.Expr, err = p.scalar(); err != nil {
			return err
		}
		if order.Descending, err = p.take("DESC"); err != nil {
			return err
		}
		if !order.Descending {
			if _, err = p.take("ASC"); err != nil {
				return err
			}
		}
		order.Span = p.since(start)
		query.OrderBy = append(query.OrderBy, order)
		more, err := p.takeSymbol(",")
		if err != nil || !more {
			return err
		}
	}
}

func (p *parser) offsetLimitClause(query *Query) error {
	present, err := p.take("OFFSET")
	if err != nil || !present {
		return err
	}
	if query.Offset, err = p.count(); err != nil {
		return err
	}
	if err := p.expect("LIMIT"); err != nil {
		return err
	}
	query.Limit, err = p.count()
	return err
}
