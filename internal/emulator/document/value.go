// Package document holds JSON values as Cosmos DB sees them: numbers are doubles, members keep
// their order, and "undefined" is a value of its own. It also has the order in which the service
// sorts values of different types.
package document

// Kind is the type of a Value, in the order in which the service sorts types.
type Kind uint8

// Kinds of values.
const (
	Undefined Kind = iota
	Null
	Bool
	Number
	String
	Array
	Object
)

// Value is one immutable JSON value or undefined, which is the zero Value. Copying is cheap; the
// slices it returns must not be changed.
type Value struct {
	kind   Kind
	number float64 // Number; Bool as 0 or 1
	text   string
	nested *nested
}

type nested struct {
	elements []Value
	members  []Member
}

// Member is one name and value of an object.
type Member struct {
	Name  string
	Value Value
}

// NullValue returns null.
func NullValue() Value { return Value{kind: Null} }

// BoolValue returns true or false.
func BoolValue(b bool) Value {
	if b {
		return Value{kind: Bool, number: 1}
	}
	return Value{kind: Bool}
}

// NumberValue returns a number; NaN and infinities, which JSON cannot say, become undefined.
func NumberValue(f float64) Value {
	if f != f || f > maxNumber || f < -maxNumber {
		return Value{}
	}
	return Value{kind: Number, number: f}
}

const maxNumber = 1.7976931348623157e308

// StringValue returns a string.
func StringValue(s string) Value { return Value{kind: String, text: s} }

// ArrayValue returns an array that keeps the slice.
func ArrayValue(elements []Value) Value {
	return Value{kind: Array, nested: &nested{elements: elements}}
}

// ObjectValue returns an object that keeps the slice. Members whose value is undefined must not be
// in it, nor two of one name.
func ObjectValue(members []Member) Value {
	return Value{kind: Object, nested: &nested{members: members}}
}

// Kind returns the value's type.
func (v Value) Kind() Kind { return v.kind }

// Defined reports whether v is anything but undefined.
func (v Value) Defined() bool { return v.kind != Undefined }

// Bool returns the boolean and whether v is one.
func (v Value) Bool() (value, ok bool) { return v.number != 0, v.kind == Bool }

// True reports whether v is the boolean true.
func (v Value) True() bool { return v.kind == Bool && v.number != 0 }

// Number returns the number and whether v is one.
func (v Value) Number() (float64, bool) { return v.number, v.kind == Number }

// Text returns the string and whether v is one.
func (v Value) Text() (string, bool) { return v.text, v.kind == String }

// Elements returns the elements and whether v is an array.
func (v Value) Elements() ([]Value, bool) {
	if v.kind != Array {
		return nil, false
	}
	return v.nested.elements, true
}

// Members returns the members in their order and whether v is an object.
func (v Value) Members() ([]Member, bool) {
	if v.kind != Object {
		return nil, false
	}
	return v.nested.members, true
}

// Get returns the member of that name, or undefined.
func (v Value) Get(name string) Value {
	if v.kind != Object {
		return Value{}
	}
	for i := range v.nested.members {
		if v.nested.members[i].Name == name {
			return v.nested.members[i].Value
		}
	}
	return Value{}
}

// At returns the element at index i, or undefined.
func (v Value) At(i int) Value {
	if v.kind != Array || i < 0 || i >= len(v.nested.elements) {
		return Value{}
	}
	return v.nested.elements[i]
}

// With returns a copy of the object in which the member has the value; setting undefined removes
// it. A new member comes last. On anything but an object it returns v.
func (v Value) With(name string, value Value) Value {
	members, ok := v.Members()
	if !ok || !value.Defined() && !v.Get(name).Defined() {
		return v
	}
	changed := make([]Member, 0, len(members)+1)
	found := false
	for _, member := range members {
		if member.Name != name {
			changed = append(changed, member)
			continue
		}
		found = true
		if value.Defined() {
			changed = append(changed, Member{name, value})
		}
	}
	if !found && value.Defined() {
		changed = append(changed, Member{name, value})
	}
	return ObjectValue(changed)
}
