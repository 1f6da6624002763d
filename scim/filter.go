package scim

import (
	"encoding/json"
	"strings"
	"time"
)

// Limits of a filter: any input within them is parsed in well under a
// millisecond, anything beyond is refused.
const (
	maxFilterBytes = 8 << 10
	maxFilterDepth = 32
	maxFilterNodes = 200
)

// operator is a node of a filter.
type operator uint8

const (
	opAnd operator = iota + 1
	opOr
	opNot
	opPresent
	opEqual
	opNotEqual
	opContains
	opStartsWith
	opEndsWith
	opGreater
	opGreaterEqual
	opLess
	opLessEqual
	opElement // attribute[filter]
)

// exact reports whether op is about equality.
func (o operator) exact() bool { return o == opEqual || o == opNotEqual }

// partial reports whether op looks at a part of a text.
func (o operator) partial() bool { return o == opContains || o == opStartsWith || o == opEndsWith }

// comparison reads one of the RFC's words in any case.
func comparison(word string) (operator, bool) {
	if len(word) != 2 {
		return 0, false
	}
	switch strings.ToLower(word) {
	case "eq":
		return opEqual, true
	case "ne":
		return opNotEqual, true
	case "co":
		return opContains, true
	case "sw":
		return opStartsWith, true
	case "ew":
		return opEndsWith, true
	case "pr":
		return opPresent, true
	case "gt":
		return opGreater, true
	case "ge":
		return opGreaterEqual, true
	case "lt":
		return opLess, true
	case "le":
		return opLessEqual, true
	default:
		return 0, false
	}
}

// filter is a parsed and typed filter expression.
type filter struct {
	op          operator
	left, right *filter // and, or; not and element use left
	path        attrPath
	value       any // string, bool, json.Number, time.Time or nil
}

// filterParser is a recursive-descent parser of RFC 7644 §3.4.2.2 that
// resolves names and checks types as it goes.
type filterParser struct {
	kind *resourceType
	// element is the multi-valued attribute whose sub-attributes are named
	// inside brackets, nil outside.
	element *Attribute
	text    string
	at      int
	nodes   int
}

// parseFilter reads a filter over resources of a kind.
func parseFilter(kind *resourceType, text string) (*filter, error) {
	p := &filterParser{kind: kind, text: text}
	if len(p.text) > maxFilterBytes {
		return nil, refusal(KindInvalidFilter, "filter is longer than %d bytes", maxFilterBytes)
	}
	f, err := p.or(0)
	if err != nil {
		return nil, err
	}
	if p.space(); p.at < len(p.text) {
		return nil, p.fail("text after the expression")
	}
	return f, nil
}

func (p *filterParser) fail(what string) error {
	return refusal(KindInvalidFilter, "filter at byte %d: %s", p.at, what)
}

func (p *filterParser) node(f filter) (*filter, error) {
	if p.nodes++; p.nodes > maxFilterNodes {
		return nil, p.fail("too many terms")
	}
	return &f, nil
}

func (p *filterParser) space() {
	for p.at < len(p.text) && (p.text[p.at] == ' ' || p.text[p.at] == '\t') {
		p.at++
	}
}

// accept consumes a byte after white space.
func (p *filterParser) accept(c byte) bool {
	if p.space(); p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

// keyword consumes a word in any case if it stands alone.
func (p *filterParser) keyword(word string) bool {
	p.space()
	end := p.at + len(word)
	if end > len(p.text) || !strings.EqualFold(p.text[p.at:end], word) {
		return false
	}
	if end < len(p.text) && nameByte(p.text[end]) {
		return false
	}
	p.at = end
	return true
}

func (p *filterParser) or(depth int) (*filter, error) {
	left, err := p.and(depth)
	for err == nil && p.keyword("or") {
		var right *filter
		if right, err = p.and(depth); err == nil {
			left, err = p.node(filter{op: opOr, left: left, right: right})
		}
	}
	return left, err
}

func (p *filterParser) and(depth int) (*filter, error) {
	left, err := p.unary(depth)
	for err == nil && p.keyword("and") {
		var right *filter
		if right, err = p.unary(depth); err == nil {
			left, err = p.node(filter{op: opAnd, left: left, right: right})
		}
	}
	return left, err
}

func (p *filterParser) unary(depth int) (*filter, error) {
	if depth >= maxFilterDepth {
		return nil, p.fail("nested too deep")
	}
	if p.accept('(') {
		return p.group(depth)
	}
	start := p.at
	if p.keyword("not") {
		if p.accept('(') {
			f, err := p.group(depth)
			if err != nil {
				return nil, err
			}
			return p.node(filter{op: opNot, left: f})
		}
		p.at = start
	}
	return p.term(depth)
}

// group reads the rest of a parenthesised expression.
func (p *filterParser) group(depth int) (*filter, error) {
	f, err := p.or(depth + 1)
	if err != nil {
		return nil, err
	}
	if !p.accept(')') {
		return nil, p.fail("no closing parenthesis")
	}
	return f, nil
}

// term reads a comparison, a presence test or a value filter.
func (p *filterParser) term(depth int) (*filter, error) {
	path, err := p.path()
	if err != nil {
		return nil, err
	}
	if p.at < len(p.text) && p.text[p.at] == '[' {
		p.at++
		return p.elementTerm(path, depth)
	}
	return p.compare(path)
}

// elementTerm reads the rest of attribute[filter], and the comparison of a
// sub-attribute that may follow.
func (p *filterParser) elementTerm(path attrPath, depth int) (*filter, error) {
	if p.element != nil || path.sub != nil || path.attribute.Type != TypeComplex {
		return nil, p.fail("a value filter needs a complex attribute")
	}
	p.element = path.attribute
	defer func() { p.element = nil }()
	inner, err := p.or(depth + 1)
	if err != nil {
		return nil, err
	}
	if !p.accept(']') {
		return nil, p.fail("no closing bracket")
	}
	if p.at < len(p.text) && p.text[p.at] == '.' {
		p.at++
		sub, err := p.path()
		if err != nil {
			return nil, err
		}
		compared, err := p.compare(sub)
		if err != nil {
			return nil, err
		}
		if inner, err = p.node(filter{op: opAnd, left: inner, right: compared}); err != nil {
			return nil, err
		}
	}
	return p.node(filter{op: opElement, path: path, left: inner})
}

// compare reads an operator and its value.
func (p *filterParser) compare(path attrPath) (*filter, error) {
	p.space()
	start := p.at
	for p.at < len(p.text) && nameByte(p.text[p.at]) {
		p.at++
	}
	op, ok := comparison(p.text[start:p.at])
	if !ok {
		p.at = start
		return nil, p.fail("no operator")
	}
	if path.attribute.Returned == returnedNever {
		return nil, &Error{Status: statusForbidden, Kind: KindSensitive, Detail: path.attribute.Name + " can't be filtered"}
	}
	if op == opPresent {
		return p.node(filter{op: op, path: path})
	}
	value, err := p.literal()
	if err != nil {
		return nil, err
	}
	leaf := path.leaf()
	if leaf == nil {
		return nil, p.fail(path.attribute.Name + " can't be compared")
	}
	if value, err = p.typed(leaf, op, value); err != nil {
		return nil, err
	}
	return p.node(filter{op: op, path: path, value: value})
}

// path reads and resolves an attribute path.
func (p *filterParser) path() (attrPath, error) {
	p.space()
	start := p.at
	for p.at < len(p.text) && nameByte(p.text[p.at]) {
		p.at++
	}
	name := p.text[start:p.at]
	if name == "" {
		return attrPath{}, p.fail("no attribute")
	}
	if p.element != nil {
		if sub := find(p.element.SubAttributes, name); sub != nil {
			return attrPath{attribute: sub}, nil
		}
	} else if path, ok := p.kind.resolve(name); ok {
		return path, nil
	}
	p.at = start
	return attrPath{}, p.fail("undefined attribute")
}

// literal reads a JSON string, number or word.
func (p *filterParser) literal() (any, error) {
	p.space()
	if p.at >= len(p.text) {
		return nil, p.fail("no value")
	}
	j := jsonParser{text: p.text, at: p.at}
	var value any
	var err error
	switch p.text[p.at] {
	case '{', '[':
		return nil, p.fail("not a comparable value")
	case 'T', 'F', 'N':
		return nil, p.fail("an unquoted word is no value")
	default:
		value, err = j.value(maxJSONDepth)
	}
	if err != nil {
		return nil, p.fail("not a value; strings need quotes")
	}
	p.at = j.at
	if p.at < len(p.text) && nameByte(p.text[p.at]) {
		return nil, p.fail("text after a value")
	}
	return value, nil
}

// typed checks a value against the attribute's type and the operator.
func (p *filterParser) typed(leaf *Attribute, op operator, value any) (any, error) {
	exact, partial := op.exact(), op.partial()
	valid := false
	switch leaf.Type {
	case TypeBoolean:
		if value != nil {
			value, valid = asBoolean(value)
			valid = valid && exact
		}
	case TypeInteger, TypeDecimal:
		_, valid = value.(json.Number)
		valid = valid && !partial
	case TypeDateTime:
		if s, ok := value.(string); ok {
			return p.instant(leaf, s, partial)
		}
	case TypeString, TypeReference, TypeBinary:
		_, valid = value.(string)
	case TypeComplex: // has no value to compare with, except null
	}
	if !valid && (value != nil || !exact) {
		return nil, p.fail(leaf.Name + " can't be compared like this")
	}
	return value, nil
}

// instant reads a time; a part of one is compared as text.
func (p *filterParser) instant(leaf *Attribute, text string, partial bool) (any, error) {
	if partial {
		return text, nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return nil, p.fail(leaf.Name + " is no time")
	}
	return t, nil
}

// nameByte reports whether c may be part of an attribute path or a word.
func nameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '_' || c == '-' || c == '.' || c == ':' || c == '$'
}

// asBoolean accepts a boolean and its spelling as a string.
func asBoolean(value any) (bool, bool) {
	switch v := value.(type) {
	case bool:
		return v, true
	case string:
		if strings.EqualFold(v, "true") {
			return true, true
		}
		return false, strings.EqualFold(v, "false")
	default:
		return false, false
	}
}
