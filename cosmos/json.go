package cosmos

import (
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds the nesting of inspected JSON; the service itself stops at 128.
const maxDepth = 128

// jsonScanner reads one JSON text strictly (RFC 8259): no trailing data, no invalid UTF-8, no lone surrogates. It builds
// nothing: a value is validated and left where it lies.
type jsonScanner struct {
	data []byte
	pos  int
}

// newJSONScanner refuses text that is not UTF-8, so that the methods need not look at bytes above 0x7f.
func newJSONScanner(data []byte) (*jsonScanner, *Error) {
	if !utf8.Valid(data) {
		return nil, Malformed("the JSON text is not valid UTF-8")
	}

	return &jsonScanner{data: data}, nil
}

// peek returns the next byte that is not white space, or 0 at the end.
func (s *jsonScanner) peek() byte {
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; c {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return c
		}
	}

	return 0
}

// take consumes the byte want, after white space.
func (s *jsonScanner) take(want byte) bool {
	if s.peek() != want {
		return false
	}

	s.pos++

	return true
}

// end refuses anything but white space after the value.
func (s *jsonScanner) end() *Error {
	if s.peek() != 0 || s.pos < len(s.data) {
		return Malformed("the JSON text is followed by more data")
	}

	return nil
}

// members calls member for each name of the object at hand, with the scanner standing at its value; member must consume
// the value. Whether a name may occur, and how often, is for member to decide.
func (s *jsonScanner) members(member func(name string) *Error) *Error {
	if !s.take('{') {
		return Malformed("a JSON object was expected")
	}

	if s.take('}') {
		return nil
	}

	for {
		name, err := s.text()
		if err != nil {
			return err
		}

		if !s.take(':') {
			return errSyntax()
		}

		if err := member(name); err != nil {
			return err
		}

		if s.take('}') {
			return nil
		}

		if !s.take(',') {
			return errSyntax()
		}
	}
}

// elements calls element for each element of the array at hand; element must consume it.
func (s *jsonScanner) elements(element func() *Error) *Error {
	if !s.take('[') {
		return Malformed("a JSON array was expected")
	}

	if s.take(']') {
		return nil
	}

	for {
		if err := element(); err != nil {
			return err
		}

		if s.take(']') {
			return nil
		}

		if !s.take(',') {
			return errSyntax()
		}
	}
}

// raw validates the value at hand and returns its bytes.
func (s *jsonScanner) raw() ([]byte, *Error) {
	s.peek()

	start := s.pos
	if err := s.skip(maxDepth); err != nil {
		return nil, err
	}

	return s.data[start:s.pos], nil
}

func (s *jsonScanner) skip(depth int) *Error {
	if depth == 0 {
		return Malformed("the JSON text is nested too deeply")
	}

	switch c := s.peek(); {
	case c == '{':
		return s.members(func(string) *Error { return s.skip(depth - 1) })
	case c == '[':
		return s.elements(func() *Error { return s.skip(depth - 1) })
	case c == '"':
		_, _, err := s.quoted()

		return err
	case c == '-' || isDigit(c):
		_, err := s.number()

		return err
	default:
		return s.literal(c)
	}
}

func (s *jsonScanner) literal(first byte) *Error {
	word := ""

	switch first {
	case 't':
		word = "true"
	case 'f':
		word = "false"
	case 'n':
		word = "null"
	}

	if word == "" || len(s.data)-s.pos < len(word) || string(s.data[s.pos:s.pos+len(word)]) != word {
		return errSyntax()
	}

	s.pos += len(word)

	return nil
}

// number returns the text of a number in the grammar of RFC 8259.
func (s *jsonScanner) number() (string, *Error) {
	start := s.pos
	if s.pos < len(s.data) && s.data[s.pos] == '-' {
		s.pos++
	}

	intStart := s.pos
	if s.digits() == 0 || s.data[intStart] == '0' && s.pos > intStart+1 {
		return "", errSyntax()
	}

	if s.at('.') {
		s.pos++

		if s.digits() == 0 {
			return "", errSyntax()
		}
	}

	if s.at('e') || s.at('E') {
		s.pos++

		if s.at('+') || s.at('-') {
			s.pos++
		}

		if s.digits() == 0 {
			return "", errSyntax()
		}
	}

	return string(s.data[start:s.pos]), nil
}

func (s *jsonScanner) at(c byte) bool { return s.pos < len(s.data) && s.data[s.pos] == c }

func (s *jsonScanner) digits() int {
	start := s.pos
	for s.pos < len(s.data) && isDigit(s.data[s.pos]) {
		s.pos++
	}

	return s.pos - start
}

// quoted consumes a string and returns the bytes between its quotes, and whether they hold escapes.
func (s *jsonScanner) quoted() ([]byte, bool, *Error) {
	if !s.take('"') {
		return nil, false, Malformed("a JSON string was expected")
	}

	escaped := false

	for start := s.pos; s.pos < len(s.data); {
		switch c := s.data[s.pos]; {
		case c == '"':
			s.pos++

			return s.data[start : s.pos-1], escaped, nil
		case c < ' ':
			return nil, false, Malformed("a JSON string holds a control character")
		case c != '\\':
			s.pos++
		default:
			escaped = true

			_, size, err := unescape(s.data[s.pos:])
			if err != nil {
				return nil, false, err
			}

			s.pos += size
		}
	}

	return nil, false, errSyntax()
}

// text consumes a string and returns its value.
func (s *jsonScanner) text() (string, *Error) {
	raw, escaped, err := s.quoted()
	if err != nil {
		return "", err
	}

	if !escaped {
		return string(raw), nil
	}

	value := make([]byte, 0, len(raw))

	for i := 0; i < len(raw); {
		if raw[i] != '\\' {
			value = append(value, raw[i])
			i++

			continue
		}

		char, size, err := unescape(raw[i:])
		if err != nil {
			return "", err
		}

		value = utf8.AppendRune(value, char)
		i += size
	}

	return string(value), nil
}

// unescape reads the escape sequence at the start of b and returns its character and its length. Surrogates must come in
// pairs: readers differ in what they make of a lone one.
func unescape(b []byte) (rune, int, *Error) {
	const short, unicode, pair = 2, 6, 12

	if len(b) < short {
		return 0, 0, errSyntax()
	}

	switch b[1] {
	case '"', '\\', '/':
		return rune(b[1]), short, nil
	case 'b':
		return '\b', short, nil
	case 'f':
		return '\f', short, nil
	case 'n':
		return '\n', short, nil
	case 'r':
		return '\r', short, nil
	case 't':
		return '\t', short, nil
	case 'u':
	default:
		return 0, 0, errSyntax()
	}

	high, ok := hex4(b)
	if !ok {
		return 0, 0, errSyntax()
	}

	if !utf16.IsSurrogate(high) {
		return high, unicode, nil
	}

	if low, ok := hex4(b[unicode:]); ok {
		if char := utf16.DecodeRune(high, low); char != utf8.RuneError {
			return char, pair, nil
		}
	}

	return 0, 0, Malformed("a JSON string holds half of a surrogate pair")
}

// hex4 reads \uXXXX.
func hex4(b []byte) (rune, bool) {
	const size = 6
	if len(b) < size || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}

	var value rune

	for _, c := range b[2:size] {
		digit, ok := hexDigit(c)
		if !ok {
			return 0, false
		}

		value = value<<4 | rune(digit)
	}

	return value, true
}

func hexDigit(c byte) (byte, bool) {
	const ten = 10

	switch {
	case isDigit(c):
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + ten, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + ten, true
	default:
		return 0, false
	}
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func errSyntax() *Error { return Malformed("the JSON text is not well-formed") }

// appendJSONString appends s, which must be valid UTF-8, as encoding/json writes it without HTML escaping.
func appendJSONString(dst []byte, s string) []byte {
	dst = append(dst, '"')

	for _, char := range s {
		dst = appendJSONChar(dst, char, false)
	}

	return append(dst, '"')
}

// appendJSONChar appends a character of a string. With ascii set, the result is fit for a header: everything outside 0x20-0x7e is escaped.
func appendJSONChar(dst []byte, char rune, ascii bool) []byte {
	const lineSeparator, paragraphSeparator = '\u2028', '\u2029'

	switch {
	case char == '"' || char == '\\':
		return utf8.AppendRune(append(dst, '\\'), char)
	case char == '\b':
		return append(dst, '\\', 'b')
	case char == '\f':
		return append(dst, '\\', 'f')
	case char == '\n':
		return append(dst, '\\', 'n')
	case char == '\r':
		return append(dst, '\\', 'r')
	case char == '\t':
		return append(dst, '\\', 't')
	case char < ' ', char == lineSeparator, char == paragraphSeparator:
		return appendHex4(dst, char)
	case !ascii || char < 0x7f:
		return utf8.AppendRune(dst, char)
	case char > 0xffff:
		high, low := utf16.EncodeRune(char)

		return appendHex4(appendHex4(dst, high), low)
	default:
		return appendHex4(dst, char)
	}
}

func appendHex4(dst []byte, char rune) []byte {
	const digits = "0123456789abcdef"

	return append(dst, '\\', 'u', digits[char>>12&0xf], digits[char>>8&0xf], digits[char>>4&0xf], digits[char&0xf])
}

// appendJSONNumber appends f as encoding/json writes a float64: ES6 notation. Minus zero becomes zero.
func appendJSONNumber(dst []byte, f float64) []byte {
	const (
		smallestPlain = 1e-6
		largestPlain  = 1e21
		bits          = 64
	)

	if f == 0 {
		return append(dst, '0')
	}

	size := f
	if size < 0 {
		size = -size
	}

	if smallestPlain <= size && size < largestPlain {
		return strconv.AppendFloat(dst, f, 'f', -1, bits)
	}

	dst = strconv.AppendFloat(dst, f, 'e', -1, bits)
	// strconv writes at least two digits of exponent; ES6 drops the leading zero: 1e-07 is 1e-7.
	if n := len(dst); n >= 4 && dst[n-4] == 'e' && dst[n-3] == '-' && dst[n-2] == '0' {
		dst[n-2] = dst[n-1]
		dst = dst[:n-1]
	}

	return dst
}
