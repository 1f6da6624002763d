package sql

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// lexer cuts query text into tokens, one at a time, so that a fault early in a long text is found
// early.
type lexer struct {
	text string
	at   int
}

// next returns the next token; at the end of the text a tokenEnd, again and again.
func (l *lexer) next() (token, error) {
	l.skipBlank()
	start := l.at
	if start >= len(l.text) {
		return token{kind: tokenEnd, span: Span{start, start}}, nil
	}
	c := l.text[start]
	switch {
	case isNameStart(c):
		return l.name(), nil
	case c == '@':
		return l.parameter()
	case c == '"' || c == '\'':
		return l.quoted(c)
	case isDigit(c) || c == '.' && start+1 < len(l.text) && isDigit(l.text[start+1]):
		return l.number()
	default:
		return l.symbol()
	}
}

// skipBlank passes over white space and "--" comments.
func (l *lexer) skipBlank() {
	for l.at < len(l.text) {
		switch c := l.text[l.at]; {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			l.at++
		case c == '-' && strings.HasPrefix(l.text[l.at:], "--"):
			end := strings.IndexByte(l.text[l.at:], '\n')
			if end < 0 {
				l.at = len(l.text)
				return
			}
			l.at += end
		default:
			return
		}
	}
}

func (l *lexer) name() token {
	start := l.at
	for l.at < len(l.text) && (isNameStart(l.text[l.at]) || isDigit(l.text[l.at])) {
		l.at++
	}
	word := l.text[start:l.at]
	span := Span{start, l.at}
	if literalKeyword(word) {
		return token{kind: tokenKeyword, text: strings.ToUpper(word), span: span}
	}
	if upper, ok := keyword(word); ok {
		return token{kind: tokenKeyword, text: upper, span: span}
	}
	return token{kind: tokenIdentifier, text: word, span: span}
}

func (l *lexer) parameter() (token, error) {
	start := l.at
	l.at++
	for l.at < len(l.text) && (isNameStart(l.text[l.at]) || isDigit(l.text[l.at])) {
		l.at++
	}
	if l.at == start+1 {
		return token{}, l.invalid(start)
	}
	return token{kind: tokenParameter, text: l.text[start:l.at], span: Span{start, l.at}}, nil
}

func (l *lexer) number() (token, error) {
	start := l.at
	l.digits()
	if l.at < len(l.text) && l.text[l.at] == '.' {
		l.at++
		l.digits()
	}
	if l.at < len(l.text) && (l.text[l.at] == 'e' || l.text[l.at] == 'E') {
		mark := l.at
		l.at++
		if l.at < len(l.text) && (l.text[l.at] == '+' || l.text[l.at] == '-') {
			l.at++
		}
		if l.at >= len(l.text) || !isDigit(l.text[l.at]) {
			return token{}, l.invalid(mark)
		}
		l.digits()
	}
	if l.at < len(l.text) && isNameStart(l.text[l.at]) {
		return token{}, l.invalid(start)
	}
	value, err := strconv.ParseFloat(l.text[start:l.at], 64)
	if err != nil {
		return token{}, l.invalid(start)
	}
	return token{kind: tokenNumber, text: l.text[start:l.at], number: value, span: Span{start, l.at}}, nil
}

func (l *lexer) digits() {
	for l.at < len(l.text) && isDigit(l.text[l.at]) {
		l.at++
	}
}

// quoted reads a string literal in either kind of quotes.
func (l *lexer) quoted(quote byte) (token, error) {
	start := l.at
	l.at++
	var value strings.Builder
	for l.at < len(l.text) {
		c := l.text[l.at]
		switch {
		case c == quote:
			l.at++
			return token{kind: tokenString, text: value.String(), span: Span{start, l.at}}, nil
		case c == '\\':
			if !l.escape(&value) {
				return token{}, l.invalid(start)
			}
		case c < ' ':
			return token{}, l.invalid(start)
		default:
			_, size := utf8.DecodeRuneInString(l.text[l.at:])
			value.WriteString(l.text[l.at : l.at+size])
			l.at += size
		}
	}
	return token{}, l.invalid(start)
}

// escape reads one backslash sequence into value and reports whether it is one.
func (l *lexer) escape(value *strings.Builder) bool {
	l.at++
	if l.at >= len(l.text) {
		return false
	}
	c := l.text[l.at]
	l.at++
	switch c {
	case '"', '\'', '\\', '/':
		value.WriteByte(c)
	case 'b':
		value.WriteByte('\b')
	case 'f':
		value.WriteByte('\f')
	case 'n':
		value.WriteByte('\n')
	case 'r':
		value.WriteByte('\r')
	case 't':
		value.WriteByte('\t')
	case 'u':
		return l.unicode(value)
	default:
		return false
	}
	return true
}

// unicode reads the digits of \uXXXX, joining surrogate pairs.
func (l *lexer) unicode(value *strings.Builder) bool {
	high, ok := l.hex()
	if !ok {
		return false
	}
	if !utf16.IsSurrogate(high) {
		value.WriteRune(high)
		return true
	}
	if !strings.HasPrefix(l.text[l.at:], `\u`) {
		value.WriteRune(utf8.RuneError)
		return true
	}
	l.at += len(`\u`)
	low, ok := l.hex()
	value.WriteRune(utf16.DecodeRune(high, low))
	return ok
}

func (l *lexer) hex() (rune, bool) {
	const digits = 4
	if l.at+digits > len(l.text) {
		return 0, false
	}
	value, err := strconv.ParseUint(l.text[l.at:l.at+digits], 16, 16)
	if err != nil {
		return 0, false
	}
	l.at += digits
	return rune(value), true
}

// symbol reads an operator or a bracket, the longest that fits.
func (l *lexer) symbol() (token, error) {
	start := l.at
	rest := l.text[start:]
	for _, pair := range []string{"<=", ">=", "!=", "<>", "||", "??", "<<", ">>"} {
		if strings.HasPrefix(rest, pair) {
			l.at += len(pair)
			if pair == ">>" && strings.HasPrefix(rest, ">>>") {
				l.at++
			}
			return token{kind: tokenSymbol, text: l.text[start:l.at], span: Span{start, l.at}}, nil
		}
	}
	if !strings.ContainsRune("()[]{},.:;?*/%+-<>=&^|~", rune(rest[0])) {
		return token{}, l.invalid(start)
	}
	l.at++
	return token{kind: tokenSymbol, text: rest[:1], span: Span{start, l.at}}, nil
}

func (l *lexer) invalid(start int) error {
	end := max(l.at, start+1)
	return &Error{
		Code:    CodeToken,
		Message: "Syntax error, invalid token '" + excerpt(l.text[start:min(end, len(l.text))]) + "'.",
		Span:    Span{start, min(end, len(l.text))},
	}
}

// excerpt keeps messages short whatever the query holds.
func excerpt(text string) string {
	const longest = 40
	if len(text) > longest {
		text = text[:longest]
	}
	return strings.ToValidUTF8(text, "?")
}

func isNameStart(c byte) bool {
	return c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
