package document

import (
	"errors"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxDepth is how deep objects and arrays may nest, the service's limit for items.
const MaxDepth = 128

// Faults of JSON text.
var (
	ErrSyntax = errors.New("invalid JSON")
	ErrDepth  = errors.New("JSON is nested too deeply")
)

// Parse reads one JSON value and refuses anything after it, invalid UTF-8 and nesting deeper than
// MaxDepth. Of two members of one name the last counts.
func Parse(text []byte) (Value, error) {
	p := parser{text: text}
	if !utf8.Valid(text) {
		return Value{}, fmt.Errorf("%w: not UTF-8", ErrSyntax)
	}
	value, err := p.value(0)
	if err != nil {
		return Value{}, err
	}
	p.skip()
	if p.at != len(text) {
		return Value{}, p.fault()
	}
	return value, nil
}

type parser struct {
	text []byte
	at   int
}

func (p *parser) fault() error { return fmt.Errorf("%w at offset %d", ErrSyntax, p.at) }

func (p *parser) skip() {
	for p.at < len(p.text) {
		switch p.text[p.at] {
		case ' ', '\t', '\r', '\n':
			p.at++
		default:
			return
		}
	}
}

// next skips blanks and returns the next byte without consuming it, 0 at the end.
func (p *parser) next() byte {
	p.skip()
	if p.at >= len(p.text) {
		return 0
	}
	return p.text[p.at]
}

func (p *parser) value(depth int) (Value, error) {
	if depth > MaxDepth {
		return Value{}, ErrDepth
	}
	switch c := p.next(); {
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.array(depth)
	case c == '"':
		text, err := p.quoted()
		return StringValue(text), err
	case c == 't':
		return BoolValue(true), p.word("true")
	case c == 'f':
		return BoolValue(false), p.word("false")
	case c == 'n':
		return NullValue(), p.word("null")
	case c == '-' || '0' <= c && c <= '9':
		return p.number()
	default:
		return Value{}, p.fault()
	}
}

func (p *parser) word(word string) error {
	end := p.at + len(word)
	if end > len(p.text) || string(p.text[p.at:end]) != word {
		return p.fault()
	}
	p.at = end
	return nil
}

func (p *parser) digits() bool {
	start := p.at
	for p.at < len(p.text) && '0' <= p.text[p.at] && p.text[p.at] <= '9' {
		p.at++
	}
	return p.at > start
}

// one consumes the next byte if it is either of two, and reports whether it was.
func (p *parser) one(a, b byte) bool {
	if p.at >= len(p.text) || p.text[p.at] != a && p.text[p.at] != b {
		return false
	}
	p.at++
	return true
}

func (p *parser) number() (Value, error) {
	start := p.at
	if p.text[p.at] == '-' {
		p.at++
	}
	first := p.at
	if !p.digits() || p.text[first] == '0' && p.at > first+1 {
		return Value{}, p.fault()
	}
	if p.one('.', '.') && !p.digits() {
		return Value{}, p.fault()
	}
	if p.one('e', 'E') {
		p.one('+', '-')
		if !p.digits() {
			return Value{}, p.fault()
		}
	}
	number, err := strconv.ParseFloat(string(p.text[start:p.at]), 64)
	if err != nil {
		return Value{}, p.fault()
	}
	return Value{kind: Number, number: number}, nil
}

func (p *parser) array(depth int) (Value, error) {
	p.at++
	elements := []Value{}
	if p.next() == ']' {
		p.at++
		return ArrayValue(elements), nil
	}
	for {
		element, err := p.value(depth + 1)
		if err != nil {
			return Value{}, err
		}
		elements = append(elements, element)
		switch p.next() {
		case ',':
			p.at++
		case ']':
			p.at++
			return ArrayValue(elements), nil
		default:
			return Value{}, p.fault()
		}
	}
}

// indexed is how many members an object has before finding doubled names needs a map.
const indexed = 16

func (p *parser) object(depth int) (Value, error) {
	p.at++
	members := []Member{}
	var places map[string]int
	if p.next() == '}' {
		p.at++
		return ObjectValue(members), nil
	}
	for {
		if p.next() != '"' {
			return Value{}, p.fault()
		}
		name, err := p.quoted()
		if err != nil {
			return Value{}, err
		}
		if p.next() != ':' {
			return Value{}, p.fault()
		}
		p.at++
		value, err := p.value(depth + 1)
		if err != nil {
			return Value{}, err
		}
		members, places = put(members, places, Member{name, value})
		switch p.next() {
		case ',':
			p.at++
		case '}':
			p.at++
			return ObjectValue(members), nil
		default:
			return Value{}, p.fault()
		}
	}
}

// put adds a member or gives an earlier one of its name the new value.
func put(members []Member, places map[string]int, member Member) ([]Member, map[string]int) {
	if len(members) == indexed && places == nil {
		places = make(map[string]int, 2*indexed)
		for i := range members {
			places[members[i].Name] = i
		}
	}
	if places != nil {
		if i, ok := places[member.Name]; ok {
			members[i].Value = member.Value
			return members, places
		}
		places[member.Name] = len(members)
		return append(members, member), places
	}
	for i := range members {
		if members[i].Name == member.Name {
			members[i].Value = member.Value
			return members, nil
		}
	}
	return append(members, member), nil
}

func (p *parser) quoted() (string, error) {
	p.at++
	start := p.at
	for p.at < len(p.text) {
		switch c := p.text[p.at]; {
		case c == '"':
			text := string(p.text[start:p.at])
			p.at++
			return text, nil
		case c == '\\':
			return p.escaped(start)
		case c < ' ':
			return "", p.fault()
		default:
			p.at++
		}
	}
	return "", p.fault()
}

// escaped finishes a string that has a backslash in it.
func (p *parser) escaped(start int) (string, error) {
	text := append([]byte(nil), p.text[start:p.at]...)
	for p.at < len(p.text) {
		c := p.text[p.at]
		p.at++
		switch {
		case c == '"':
			return string(text), nil
		case c < ' ':
			p.at--
			return "", p.fault()
		case c != '\\':
			text = append(text, c)
		default:
			r, err := p.escape()
			if err != nil {
				return "", err
			}
			text = utf8.AppendRune(text, r)
		}
	}
	return "", p.fault()
}

func (p *parser) escape() (rune, error) {
	if p.at >= len(p.text) {
		return 0, p.fault()
	}
	c := p.text[p.at]
	p.at++
	switch c {
	case '"', '\\', '/':
		return rune(c), nil
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'u':
		return p.unicode()
	default:
		return 0, p.fault()
	}
}

func (p *parser) unicode() (rune, error) {
	high, err := p.hex()
	if err != nil || !utf16.IsSurrogate(high) {
		return high, err
	}
	if p.at+1 >= len(p.text) || p.text[p.at] != '\\' || p.text[p.at+1] != 'u' {
		return utf8.RuneError, nil
	}
	p.at += 2
	low, err := p.hex()
	return utf16.DecodeRune(high, low), err
}

func (p *parser) hex() (rune, error) {
	const digits = 4
	if p.at+digits > len(p.text) {
		return 0, p.fault()
	}
	value, err := strconv.ParseUint(string(p.text[p.at:p.at+digits]), 16, 16)
	if err != nil {
		return 0, p.fault()
	}
	p.at += digits
	return rune(value), nil
}
