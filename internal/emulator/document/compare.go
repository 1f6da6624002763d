package document

import (
	"bytes"
	"cmp"
	"strings"
)

// Equal reports whether two values are the same, objects whatever the order of their members.
func Equal(a, b Value) bool {
	if a.kind != b.kind {
		return false
	}
	switch a.kind {
	case Undefined, Null:
		return true
	case Bool, Number:
		return a.number == b.number
	case String:
		return a.text == b.text
	case Array:
		return equalElements(a.nested.elements, b.nested.elements)
	case Object:
		return equalMembers(a, b)
	default:
		return false
	}
}

func equalElements(a, b []Value) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

func equalMembers(a, b Value) bool {
	if len(a.nested.members) != len(b.nested.members) {
		return false
	}
	for i, member := range a.nested.members {
		other := b.nested.members[i]
		if other.Name != member.Name {
			other.Value = b.Get(member.Name)
		}
		if !Equal(member.Value, other.Value) {
			return false
		}
	}
	return true
}

// Compare orders two values of any types as ORDER BY does: undefined, null, false, true, numbers,
// strings, arrays, objects. It returns -1, 0 or 1.
func Compare(a, b Value) int {
	if a.kind != b.kind {
		return cmp.Compare(a.kind, b.kind)
	}
	switch a.kind {
	case Undefined, Null:
		return 0
	case Bool, Number:
		return cmp.Compare(a.number, b.number)
	case String:
		return strings.Compare(a.text, b.text)
	case Array:
		return compareElements(a.nested.elements, b.nested.elements)
	case Object:
		return bytes.Compare(a.canonical(nil), b.canonical(nil))
	default:
		return 0
	}
}

func compareElements(a, b []Value) int {
	for i := range min(len(a), len(b)) {
		if order := Compare(a[i], b[i]); order != 0 {
			return order
		}
	}
	return cmp.Compare(len(a), len(b))
}
