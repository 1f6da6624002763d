package scim

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/cosmosgate/cosmosgate/directory"
)

// maxJSONDepth bounds nesting; a SCIM resource needs five levels.
const maxJSONDepth = 32

// smallObject is the number of keys up to which duplicates are sought by
// comparing pairs.
const smallObject = 16

// parseJSON reads one JSON value into maps, slices, strings, booleans,
// json.Number and nil. It is stricter than encoding/json where a second reader
// could understand something else: duplicate keys, also differing by case,
// invalid UTF-8 and trailing text are refused. It takes linear time.
func parseJSON(body []byte) (any, error) {
	if !utf8.Valid(body) {
		return nil, refusal(KindInvalidSyntax, "body is not UTF-8")
	}
	p := jsonParser{text: string(body)}
	value, err := p.value(0)
	if err != nil {
		return nil, err
	}
	if p.space(); p.at < len(p.text) {
		return nil, p.fail("text after the value")
	}
	return value, nil
}

// parseObject reads a JSON object.
func parseObject(body []byte) (map[string]any, error) {
	value, err := parseJSON(body)
	if err != nil {
		return nil, err
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, refusal(KindInvalidSyntax, "body is not a JSON object")
	}
	return object, nil
}

type jsonParser struct {
	text string
	at   int
}

func (p *jsonParser) fail(what string) error {
	return refusal(KindInvalidSyntax, "invalid JSON at byte %d: %s", p.at, what)
}

func (p *jsonParser) space() {
	for p.at < len(p.text) {
		switch p.text[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

// peek returns the next byte after white space, zero at the end.
func (p *jsonParser) peek() byte {
	if p.space(); p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}

func (p *jsonParser) value(depth int) (any, error) {
	if depth > maxJSONDepth {
		return nil, p.fail("nested too deep")
	}
	switch c := p.peek(); {
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.array(depth)
	case c == '"':
		s, err := p.string() // boxed once, by its own type
		return s, err
	case c == 't':
		return true, p.word("true")
	case c == 'f':
		return false, p.word("false")
	case c == 'n':
		return nil, p.word("null")
	case c == '-' || '0' <= c && c <= '9':
		n, err := p.number()
		return n, err
	default:
		return nil, p.fail("no value")
	}
}

func (p *jsonParser) word(word string) error {
	if !strings.HasPrefix(p.text[p.at:], word) {
		return p.fail("no value")
	}
	p.at += len(word)
	return nil
}

func (p *jsonParser) number() (json.Number, error) {
	start := p.at
	for p.at < len(p.text) && strings.IndexByte("+-.eE0123456789", p.text[p.at]) >= 0 {
		p.at++
	}
	number := p.text[start:p.at]
	if !json.Valid([]byte(number)) {
		p.at = start
		return "", p.fail("not a number")
	}
	return json.Number(number), nil
}

func (p *jsonParser) string() (string, error) {
	start := p.at
	escaped := false
	for p.at++; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; {
		case c == '"':
			p.at++
			if !escaped {
				return p.text[start+1 : p.at-1], nil
			}
			var s string
			if err := json.Unmarshal([]byte(p.text[start:p.at]), &s); err != nil || halfPair(p.text[start:p.at]) {
				return "", p.fail("invalid escape")
			}
			return s, nil
		case c == '\\':
			escaped = true
			p.at++
		case c < ' ':
			return "", p.fail("control character in a string")
		}
	}
	return "", p.fail("string without end")
}

// halfPair reports whether a JSON string escapes one half of a surrogate pair
// without the other. encoding/json makes U+FFFD of each, so that two names that
// differ would become one.
func halfPair(text string) bool {
	high := false // the escape right before was the first half
	for i := 0; i < len(text); i++ {
		unit := uint64(0)
		if text[i] == '\\' {
			if i++; i+5 <= len(text) && text[i] == 'u' {
				unit, _ = strconv.ParseUint(text[i+1:i+5], 16, 16) // json.Unmarshal has checked it
				i += 4
			}
		}
		if low := utf16.IsSurrogate(rune(unit)) && unit >= 0xdc00; low != high {
			return true
		}
		high = utf16.IsSurrogate(rune(unit)) && unit < 0xdc00
	}
	return high
}

func (p *jsonParser) array(depth int) (any, error) {
	p.at++
	values := []any{}
	if p.peek() == ']' {
		p.at++
		return values, nil
	}
	for {
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		values = append(values, v)
		switch p.peek() {
		case ',':
			p.at++
		case ']':
			p.at++
			return values, nil
		default:
			return nil, p.fail("no comma or bracket in an array")
		}
	}
}

func (p *jsonParser) object(depth int) (any, error) {
	p.at++
	object := map[string]any{}
	if p.peek() == '}' {
		p.at++
		return object, nil
	}
	var keys keySet
	for {
		if p.peek() != '"' {
			return nil, p.fail("no key")
		}
		key, err := p.string()
		if err != nil {
			return nil, err
		}
		if !keys.add(key) {
			return nil, p.fail("duplicate key")
		}
		if p.peek() != ':' {
			return nil, p.fail("no colon after a key")
		}
		p.at++
		if object[key], err = p.value(depth + 1); err != nil {
			return nil, err
		}
		switch p.peek() {
		case ',':
			p.at++
		case '}':
			p.at++
			return object, nil
		default:
			return nil, p.fail("no comma or brace in an object")
		}
	}
}

// keySet refuses keys that equal an earlier one in any case.
type keySet struct {
	few   [smallObject]string
	count int
	many  map[string]struct{}
}

func (k *keySet) add(key string) bool {
	if k.many == nil {
		for _, other := range k.few[:k.count] {
			if strings.EqualFold(other, key) {
				return false
			}
		}
		if k.count < smallObject {
			k.few[k.count] = key
			k.count++
			return true
		}
		k.many = make(map[string]struct{}, 2*smallObject)
		for _, other := range k.few {
			k.many[directory.Fold(other)] = struct{}{}
		}
	}
	folded := directory.Fold(key)
	_, found := k.many[folded]
	k.many[folded] = struct{}{}
	return !found
}
