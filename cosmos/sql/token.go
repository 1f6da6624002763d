package sql

import "strings"

type tokenKind int

const (
	tokenEnd tokenKind = iota
	tokenIdentifier
	tokenKeyword
	tokenParameter
	tokenString
	tokenNumber
	tokenSymbol
)

// token is one lexical element. For keywords text is upper case; for strings it is the unescaped
// value; otherwise it is what was written.
type token struct {
	kind   tokenKind
	text   string
	number float64
	span   Span
}

// literalKeyword reports whether word is one of the four literals, which the grammar has in lower
// case only.
func literalKeyword(word string) bool {
	switch word {
	case "true", "false", "null", "undefined":
		return true
	default:
		return false
	}
}

// keyword returns the upper-case keyword that word spells in any case. Keywords the grammar also
// allows as names (ALL, FIRST, LAST, RANK, TOP, VALUE, …) are decided by the parser.
func keyword(word string) (string, bool) {
	upper := strings.ToUpper(word)
	switch upper {
	case "AND", "ARRAY", "AS", "ASC", "BETWEEN", "BY", "DESC", "DISTINCT", "ESCAPE", "EXISTS", "FROM",
		"GROUP", "IN", "JOIN", "LIKE", "LIMIT", "NOT", "OFFSET", "OR", "ORDER", "SELECT", "TOP", "VALUE", "WHERE":
		return upper, true
	default:
		return "", false
	}
}
