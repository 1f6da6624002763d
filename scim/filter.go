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
	const lower = 'a' - 'A'
	switch [2]byte{word[0] | lower, word[1] | lower} {
	case [2]byte{'e', 'q'}:
		return opEqual, true
	case [2]byte{'n', 'e'}:
		return opNotEqual, true
	case [2]byte{'c', 'o'}:
		return opContains, true
	case [2]byte{'s', 'w'}:
		return opStartsWith, true
	case [2]byte{'e', 'w'}:
		return opEndsWith, true
	case [2]byte{'p', 'r'}:
		return opPresent, true
	case [2]byte{'g', 't'}:
		return opGreater, true
	case [2]byte{'g', 'e'}:
		return opGreaterEqual, true
	case [2]byte{'l', 't'}:
		return opLess, true
	case [2]byte{'l', 'e'}:
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
	value       literal
}

// terms counts the parts of an expression.
func (f *filter) terms() int {
	if f == nil {
		return 0
	}
	return 1 + f.left.terms() + f.right.terms()
}

// literal is the value that a filter compares with. The zero literal is null.
type literal struct {
	kind literalKind
	// text is as it was written, without quotes.
	text    string
	flag    bool
	instant *time.Time
}

type literalKind uint8

const (
	literalNull literalKind = iota
	literalText
	literalNumber
	literalFlag
	literalInstant
)

// asText returns a text, false for any other literal.
func (l literal) asText() (string, bool) { return l.text, l.kind == literalText }

// json returns the literal as a value of a document.
func (l literal) json() any {
	switch l.kind {
	case literalText, literalInstant:
		return l.text
	case literalNumber:
		return json.Number(l.text)
	case literalFlag:
		return l.flag
	case literalNull:
	}
	return nil
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

// parseFilter reads a filter over resources of a kind. A single comparison,
// which is what providers ask most, is read without allocating.
func parseFilter(kind *resourceType, text string) (f filter, err error) {
	p := filterParser{kind: kind, text: text}
	if len(p.text) > maxFilterBytes {
		return f, refusal(KindInvalidFilter, "filter is longer than %d bytes", maxFilterBytes)
	}
	if err := p.or(0, &f); err != nil {
		return f, err
	}
	if p.space(); p.at < len(p.text) {
		return f, p.fail("text after the expression")
	}
	return f, nil
}

func (p *filterParser) fail(what string) error {
	return refusal(KindInvalidFilter, "filter at byte %d: %s", p.at, what)
}

// count refuses an expression of too many parts.
func (p *filterParser) count() error {
	if p.nodes++; p.nodes > maxFilterNodes {
		return p.fail("too many terms")
	}
	return nil
}

// join makes f one expression of itself and another.
func (p *filterParser) join(f *filter, op operator, other filter) error {
	left := *f
	*f = filter{op: op, left: &left, right: &other}
	return p.count()
}

// wrap makes f the operand of an operator.
func (p *filterParser) wrap(f *filter, op operator, path attrPath) error {
	inner := *f
	*f = filter{op: op, path: path, left: &inner}
	return p.count()
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

func (p *filterParser) or(depth int, f *filter) error {
	err := p.and(depth, f)
	for err == nil && p.keyword("or") {
		var right filter
		if err = p.and(depth, &right); err == nil {
			err = p.join(f, opOr, right)
		}
	}
	return err
}

func (p *filterParser) and(depth int, f *filter) error {
	err := p.unary(depth, f)
	for err == nil && p.keyword("and") {
		var right filter
		if err = p.unary(depth, &right); err == nil {
			err = p.join(f, opAnd, right)
		}
	}
	return err
}

func (p *filterParser) unary(depth int, f *filter) error {
	if depth >= maxFilterDepth {
		return p.fail("nested too deep")
	}
	if p.accept('(') {
		return p.group(depth, f)
	}
	start := p.at
	if p.keyword("not") {
		if p.accept('(') {
			if err := p.group(depth, f); err != nil {
				return err
			}
			return p.wrap(f, opNot, attrPath{})
		}
		p.at = start
	}
	return p.term(depth, f)
}

// group reads the rest of a parenthesised expression.
func (p *filterParser) group(depth int, f *filter) error {
	if err := p.or(depth+1, f); err != nil {
		return err
	}
	if !p.accept(')') {
		return p.fail("no closing parenthesis")
	}
	return nil
}

// term reads a comparison, a presence test or a value filter.
func (p *filterParser) term(depth int, f *filter) error {
	path, err := p.path()
	if err != nil {
		return err
	}
	if p.at < len(p.text) && p.text[p.at] == '[' {
		p.at++
		return p.elementTerm(path, depth, f)
	}
	return p.compare(path, f)
}

// elementTerm reads the rest of attribute[filter], and the comparison of a
// sub-attribute that may follow.
func (p *filterParser) elementTerm(path attrPath, depth int, f *filter) error {
	if p.element != nil || path.sub != nil || path.attribute.Type != TypeComplex {
		return p.fail("a value filter needs a complex attribute")
	}
	p.element = path.attribute
	defer func() { p.element = nil }()
	if err := p.or(depth+1, f); err != nil {
		return err
	}
	if !p.accept(']') {
		return p.fail("no closing bracket")
	}
	if p.at < len(p.text) && p.text[p.at] == '.' {
		p.at++
		sub, err := p.path()
		if err != nil {
			return err
		}
		var compared filter
		if err := p.compare(sub, &compared); err != nil {
			return err
		}
		if err := p.join(f, opAnd, compared); err != nil {
			return err
		}
	}
	return p.wrap(f, opElement, path)
}

// compare reads an operator and its value.
func (p *filterParser) compare(path attrPath, f *filter) error {
	p.space()
	start := p.at
	for p.at < len(p.text) && nameByte(p.text[p.at]) {
		p.at++
	}
	op, ok := comparison(p.text[start:p.at])
	if !ok {
		p.at = start
		return p.fail("no operator")
	}
	if path.attribute.Returned == returnedNever {
		return &Error{Status: statusForbidden, Kind: KindSensitive, Detail: path.attribute.Name + " can't be filtered"}
	}
	f.op, f.path = op, path
	if op == opPresent {
		return p.count()
	}
	if err := p.literal(&f.value); err != nil {
		return err
	}
	leaf := path.leaf()
	if leaf == nil {
		return p.fail(path.attribute.Name + " can't be compared")
	}
	if err := p.check(leaf, op, &f.value); err != nil {
		return err
	}
	return p.count()
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
	return attrPath{}, p.fail(`undefined attribute "` + clip(name) + `"`)
}

// literal reads a JSON string, number or word.
func (p *filterParser) literal(l *literal) error {
	p.space()
	if p.at >= len(p.text) {
		return p.fail("no value")
	}
	j := jsonParser{text: p.text, at: p.at}
	var err error
	switch p.text[p.at] {
	case '{', '[':
		return p.fail("not a comparable value")
	case 'T', 'F', 'N':
		return p.fail("an unquoted word is no value")
	case '"':
		l.kind = literalText
		l.text, err = j.string()
	case 't':
		l.kind, l.flag = literalFlag, true
		err = j.word("true")
	case 'f':
		l.kind = literalFlag
		err = j.word("false")
	case 'n':
		err = j.word("null")
	default:
		l.kind = literalNumber
		var number json.Number
		number, err = j.number()
		l.text = number.String()
	}
	if err != nil {
		return p.fail("not a value; strings need quotes")
	}
	p.at = j.at
	if p.at < len(p.text) && nameByte(p.text[p.at]) {
		return p.fail("text after a value")
	}
	return nil
}

// check makes a value one of the attribute's type, if the operator can compare
// such.
func (p *filterParser) check(leaf *Attribute, op operator, l *literal) error {
	exact, partial := op.exact(), op.partial()
	valid := false
	switch leaf.Type {
	case TypeBoolean:
		valid = l.kind == literalFlag
		if l.kind == literalText {
			l.flag, valid = asBoolean(l.text)
			l.kind = literalFlag
		}
		valid = valid && exact
	case TypeInteger, TypeDecimal:
		valid = l.kind == literalNumber && !partial
	case TypeDateTime:
		if l.kind == literalText {
			return p.checkTime(leaf, l, partial)
		}
	case TypeString, TypeReference, TypeBinary:
		valid = l.kind == literalText
	case TypeComplex: // has no value to compare with, except null
	}
	if !valid && (l.kind != literalNull || !exact) {
		return p.fail(leaf.Name + " can't be compared like this")
	}
	return nil
}

// checkTime reads a time; a part of one is compared as text.
func (p *filterParser) checkTime(leaf *Attribute, l *literal, partial bool) error {
	if partial {
		return nil
	}
	t, err := time.Parse(time.RFC3339Nano, l.text)
	if err != nil {
		return p.fail(leaf.Name + " is no time")
	}
	l.kind, l.instant = literalInstant, &t
	return nil
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
