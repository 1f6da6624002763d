package scim

import (
	"cmp"
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/cosmosgate/cosmosgate/directory"
)

// source yields the values of a resource that a filter looks at.
type source interface {
	// values returns the attribute's value or values, nil if unassigned.
	values(path attrPath) any
	// contains reports whether a member with an id exists; ok is false if the
	// resource has no members.
	contains(member string) (found, ok bool)
}

// matches evaluates the filter.
func (f *filter) matches(s source) bool {
	switch f.op {
	case opAnd:
		return f.left.matches(s) && f.right.matches(s)
	case opOr:
		return f.left.matches(s) || f.right.matches(s)
	case opNot:
		return !f.left.matches(s)
	case opElement:
		if id, ok := memberProbe(f); ok {
			if found, has := s.contains(id); has {
				return found
			}
		}
		return anyElement(s.values(f.path), f.left.matchesElement)
	default:
		if id, ok := memberProbe(f); ok {
			if found, has := s.contains(id); has {
				return found
			}
		}
		return f.compareAll(s.values(f.path), f.path)
	}
}

// memberProbe recognises the spellings of "has this member".
func memberProbe(f *filter) (string, bool) {
	if f.path.attribute == nil || f.path.attribute.Name != "members" {
		return "", false
	}
	inner := f
	if f.op == opElement {
		if inner = f.left; inner.path.attribute == nil || inner.path.attribute.Name != "value" {
			return "", false
		}
	} else if f.path.sub != nil && f.path.sub.Name != "value" {
		return "", false
	}
	id, ok := inner.value.asText()
	return id, ok && inner.op == opEqual
}

// matchesElement evaluates a filter inside brackets on one element.
func (f *filter) matchesElement(element any) bool {
	switch f.op {
	case opAnd:
		return f.left.matchesElement(element) && f.right.matchesElement(element)
	case opOr:
		return f.left.matchesElement(element) || f.right.matchesElement(element)
	case opNot:
		return !f.left.matchesElement(element)
	default:
		object, _ := element.(map[string]any)
		return f.compareAll(object[f.path.attribute.Name], f.path)
	}
}

// compareAll compares one value or each of several. "ne" holds if none is equal.
func (f *filter) compareAll(value any, path attrPath) bool {
	leaf := path.leaf()
	test := func(v any) bool { return compareOne(f.op, leaf, leafValue(v, path), f.value) }
	switch f.op {
	case opPresent:
		return anyElement(value, func(v any) bool { return present(leafOr(v, path)) })
	case opNotEqual:
		equal := *f
		equal.op = opEqual
		return !equal.compareAll(value, path)
	case opEqual:
		if f.value.kind == literalNull {
			return !anyElement(value, func(v any) bool { return present(leafOr(v, path)) })
		}
		return anyElement(value, test)
	default:
		return anyElement(value, test)
	}
}

// leafValue returns what is compared of an element: the sub-attribute named or
// implied.
func leafValue(v any, path attrPath) any {
	object, ok := v.(map[string]any)
	if !ok {
		return v
	}
	if leaf := path.leaf(); leaf != nil {
		return object[leaf.Name]
	}
	return nil
}

// leafOr is leafValue for presence, for which a bare complex attribute is itself.
func leafOr(v any, path attrPath) any {
	if path.sub == nil {
		return v
	}
	return leafValue(v, path)
}

func present(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case string:
		return v != ""
	case []any:
		return len(v) > 0
	case map[string]any:
		return len(v) > 0
	default:
		return true
	}
}

// anyElement applies a test to a value or to the elements of an array.
func anyElement(value any, test func(any) bool) bool {
	list, ok := value.([]any)
	if !ok {
		return value != nil && test(value)
	}
	return slices.ContainsFunc(list, test)
}

// compareOne compares one stored value with the filter's.
func compareOne(op operator, leaf *Attribute, stored any, wanted literal) bool {
	if leaf == nil || stored == nil {
		return false
	}
	switch wanted.kind {
	case literalFlag:
		b, ok := stored.(bool)
		return ok && b == wanted.flag
	case literalNumber:
		s, ok := stored.(json.Number)
		return ok && ordered(op, compareNumbers(s, json.Number(wanted.text)))
	case literalInstant:
		s, _ := stored.(string)
		t, err := time.Parse(time.RFC3339Nano, s)
		return err == nil && ordered(op, t.Compare(*wanted.instant))
	case literalText:
		s, ok := stored.(string)
		if !ok {
			return false
		}
		w := wanted.text
		if !leaf.CaseExact {
			s, w = directory.Fold(s), directory.Fold(w)
		}
		return compareText(op, s, w)
	default:
		return false
	}
}

func compareText(op operator, stored, wanted string) bool {
	switch op {
	case opContains:
		return strings.Contains(stored, wanted)
	case opStartsWith:
		return strings.HasPrefix(stored, wanted)
	case opEndsWith:
		return strings.HasSuffix(stored, wanted)
	default:
		return ordered(op, cmp.Compare(stored, wanted))
	}
}

// ordered translates a three-way comparison.
func ordered(op operator, order int) bool {
	switch op {
	case opEqual:
		return order == 0
	case opGreater:
		return order > 0
	case opGreaterEqual:
		return order >= 0
	case opLess:
		return order < 0
	case opLessEqual:
		return order <= 0
	default:
		return false
	}
}

// maxNumber bounds the digits that are compared exactly.
const maxNumber = 64

func compareNumbers(a, b json.Number) int {
	if len(a) <= maxNumber && len(b) <= maxNumber && !strings.ContainsAny(string(a+b), "eE") {
		x, okX := new(big.Rat).SetString(string(a))
		y, okY := new(big.Rat).SetString(string(b))
		if okX && okY {
			return x.Cmp(y)
		}
	}
	x, _ := a.Float64()
	y, _ := b.Float64()
	return cmp.Compare(x, y)
}
