package sql

import (
	"strconv"
	"strings"
	"unicode/utf16"
)

// Rewrite writes a query text anew, token by token: without comments, with single blanks for whatever stands between
// tokens, and with every string in one form, so that whoever reads it next finds the same tokens. Every error is an [*Error].
func Rewrite(text string) (string, error) {
	var out strings.Builder
	l := lexer{text: text}
	ended := 0
	for {
		t, err := l.next()
		if err != nil {
			return "", err
		}
		if t.kind == tokenEnd {
			return out.String(), nil
		}
		if t.span.Start > ended && out.Len() > 0 {
			out.WriteByte(' ')
		}
		ended = t.span.End
		if t.kind == tokenString {
			writeString(&out, t.text)
		} else {
			out.WriteString(text[t.span.Start:t.span.End]) // a keyword as well: it may be a name, which has a case
		}
	}
}

// writeString writes a string in double quotes and ASCII.
func writeString(out *strings.Builder, value string) {
	out.WriteByte('"')
	for _, char := range value {
		switch {
		case char == '"' || char == '\\':
			out.WriteByte('\\')
			out.WriteRune(char)
		case char >= ' ' && char < 0x7f:
			out.WriteRune(char)
		case char > 0xffff:
			high, low := utf16.EncodeRune(char)
			writeHex(out, high)
			writeHex(out, low)
		default:
			writeHex(out, char)
		}
	}
	out.WriteByte('"')
}

func writeHex(out *strings.Builder, char rune) {
	const five = 0x10000 // makes strconv write all four digits
	out.WriteString(`\u` + strconv.FormatInt(int64(char)|five, 16)[1:])
}
