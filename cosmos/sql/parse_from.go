package sql

func (p *parser) fromClause(query *Query) error {
	present, err := p.take("FROM")
	if err != nil || !present {
		return err
	}
	for {
		source, err := p.source()
		if err != nil {
			return err
		}
		query.From = append(query.From, source)
		more, err := p.take("JOIN")
		if err != nil || !more {
			return err
		}
	}
}

// source reads one input set: `collection [[AS] alias]` or `alias IN collection`.
func (p *parser) source() (Source, error) {
	if err := p.enter(); err != nil {
		return Source{}, err
	}
	defer p.leave()
	start := p.current.span.Start
	source := Source{}
	if p.symbol("(") {
		subquery, err := p.parenthesizedQuery()
		if err != nil {
			return Source{}, err
		}
		source.Subquery = subquery
		return p.aliased(source, start)
	}
	name, err := p.identifier()
	if err != nil {
		return Source{}, err
	}
	source.Iterate, err = p.take("IN")
	if err != nil {
		return Source{}, err
	}
	if !source.Iterate {
		if err := p.path(&source, name); err != nil {
			return Source{}, err
		}
		return p.aliased(source, start)
	}
	source.Alias = name
	if err := p.iterated(&source); err != nil {
		return Source{}, err
	}
	source.Span = p.since(start)
	return source, nil
}

// iterated reads the collection after IN.
func (p *parser) iterated(source *Source) error {
	if p.symbol("(") {
		subquery, err := p.parenthesizedQuery()
		source.Subquery = subquery
		return err
	}
	root, err := p.identifier()
	if err != nil {
		return err
	}
	return p.path(source, root)
}

// path reads the steps after the first name.
func (p *parser) path(source *Source, root string) error {
	source.Root = root
	for len(source.Path) <= MaxDepth {
		start := p.current.span.Start
		step := Step{}
		switch {
		case p.symbol("."):
			if err := p.advance(); err != nil {
				return err
			}
			name, err := p.memberName()
			if err != nil {
				return err
			}
			step.Name = name
		case p.symbol("["):
			if err := p.bracketStep(&step); err != nil {
				return err
			}
		default:
			return nil
		}
		step.Span = p.since(start)
		source.Path = append(source.Path, step)
	}
	return &Error{Code: CodeLimit, Message: "The path in the FROM clause is too long.", Span: p.current.span}
}

func (p *parser) bracketStep(step *Step) error {
	if err := p.advance(); err != nil {
		return err
	}
	const highest = 1 << 30
	switch {
	case p.current.kind == tokenString:
		step.Name = p.current.text
	case p.current.kind == tokenNumber && p.current.number < highest && p.current.number == float64(int(p.current.number)):
		step.Index, step.Indexed = int(p.current.number), true
	default:
		return p.unexpected()
	}
	if err := p.advance(); err != nil {
		return err
	}
	return p.expectSymbol("]")
}

// aliased reads the optional alias; without one a path is known by its last name.
func (p *parser) aliased(source Source, start int) (Source, error) {
	named, err := p.take("AS")
	if err != nil {
		return Source{}, err
	}
	switch {
	case named || p.current.kind == tokenIdentifier:
		if source.Alias, err = p.identifier(); err != nil {
			return Source{}, err
		}
	case source.Subquery != nil:
	case len(source.Path) == 0:
		source.Alias = source.Root
	default:
		source.Alias = source.Path[len(source.Path)-1].Name
	}
	source.Span = p.since(start)
	return source, nil
}

func (p *parser) parenthesizedQuery() (*Query, error) {
	if err := p.expectSymbol("("); err != nil {
		return nil, err
	}
	query, err := p.query()
	if err != nil {
		return nil, err
	}
	return query, p.expectSymbol(")")
}
