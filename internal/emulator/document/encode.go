package document

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Append appends v as compact JSON. Undefined is written as nothing.
func (v Value) Append(dst []byte) []byte {
	switch v.kind {
	case Undefined:
		return dst
	case Null:
		return append(dst, "null"...)
	case Bool:
		return strconv.AppendBool(dst, v.number != 0)
	case Number:
		return appendNumber(dst, v.number)
	case String:
		return appendString(dst, v.text)
	case Array:
		dst = append(dst, '[')
		for i, element := range v.nested.elements {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = element.Append(dst)
		}
		return append(dst, ']')
	case Object:
		return appendMembers(dst, v.nested.members, Value.Append)
	default:
		return dst
	}
}

// String returns v as compact JSON; undefined is "".
func (v Value) String() string { return string(v.Append(nil)) }

// Key returns a string that is the same for Equal values and for no others.
func (v Value) Key() string { return string(v.canonical(nil)) }

// canonical appends v as JSON whose members are sorted by name.
func (v Value) canonical(dst []byte) []byte {
	switch v.kind {
	case Object:
		members := slices.Clone(v.nested.members)
		slices.SortFunc(members, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
		return appendMembers(dst, members, Value.canonical)
	case Array:
		dst = append(dst, '[')
		for i, element := range v.nested.elements {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = element.canonical(dst)
		}
		return append(dst, ']')
	case Undefined, Null, Bool, Number, String:
		return v.Append(dst)
	default:
		return dst
	}
}

func appendMembers(dst []byte, members []Member, one func(Value, []byte) []byte) []byte {
	dst = append(dst, '{')
	for i, member := range members {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, member.Name)
		dst = append(dst, ':')
		dst = one(member.Value, dst)
	}
	return append(dst, '}')
}

// appendNumber writes a double as encoding/json does, so that keys compare with the gate's.
func appendNumber(dst []byte, f float64) []byte {
	const smallest, largest = 1e-6, 1e21
	magnitude := math.Abs(f)
	if f == 0 {
		return append(dst, '0')
	}
	if magnitude >= smallest && magnitude < largest {
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	}
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	// e-09 is written e-9.
	if n := len(dst); n >= 4 && dst[n-4] == 'e' && dst[n-3] == '-' && dst[n-2] == '0' {
		dst[n-2] = dst[n-1]
		dst = dst[:n-1]
	}
	return dst
}

func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xF])
		case c >= utf8.RuneSelf:
			r, size := utf8.DecodeRuneInString(s[i:])
			dst = utf8.AppendRune(dst, r)
			i += size
			continue
		default:
			dst = append(dst, c)
		}
		i++
	}
	return append(dst, '"')
}
