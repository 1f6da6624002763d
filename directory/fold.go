package directory

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Fold returns the form in which names are compared: NFC, then Unicode simple
// case folding. It returns its argument if that is folded already.
func Fold(s string) string {
	ascii, lower := true, true
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			ascii = false
			break
		}
		if 'A' <= s[i] && s[i] <= 'Z' {
			lower = false
		}
	}
	if ascii && lower {
		return s
	}
	if ascii {
		return strings.ToLower(s)
	}
	return norm.NFC.String(strings.Map(foldRune, norm.NFC.String(s)))
}

// foldBytes is [Fold] for bytes, which it returns if they are folded.
func foldBytes(b []byte) []byte {
	for _, c := range b {
		if c >= utf8.RuneSelf || 'A' <= c && c <= 'Z' {
			return []byte(Fold(string(b)))
		}
	}
	return b
}

// foldRune maps a rune to one representative of its simple-folding orbit: the
// lower-case letter for ASCII, otherwise the smallest of the orbit that isn't
// an ASCII capital.
func foldRune(r rune) rune {
	least := r
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		if next < least {
			least = next
		}
	}
	if 'A' <= least && least <= 'Z' {
		return least + ('a' - 'A')
	}
	return least
}
