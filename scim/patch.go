package scim

import (
	"net/http"
	"strings"
)

// verb is a PATCH operation's kind.
type verb uint8

const (
	verbAdd verb = iota + 1
	verbReplace
	verbRemove
)

// maxOperations bounds the operations of one PATCH.
const maxOperations = 10_000

// operation is one resolved PATCH operation (RFC 7644 §3.5.2).
type operation struct {
	verb   verb
	target target
	value  any
	// given is false if the request has no value at all.
	given bool
}

// target is where an operation applies.
type target struct {
	// schema is set alone if the path is an extension's URN.
	schema *Schema
	path   attrPath
	// element is the value filter between brackets, nil for none.
	element *filter
}

// parsePatch reads a PATCH body and resolves every path, so that what remains
// for the writer can't fail on syntax.
func parsePatch(kind *resourceType, body map[string]any, n normalizer) ([]operation, error) {
	if err := messageSchema(body, urnPatch, n.strict); err != nil {
		return nil, err
	}
	raw, _ := lookup(body, "Operations")
	list, ok := raw.([]any)
	if !ok || len(list) == 0 {
		return nil, refusal(KindInvalidSyntax, "Operations needs an array of operations")
	}
	if len(list) > maxOperations {
		return nil, &Error{Status: http.StatusRequestEntityTooLarge, Detail: "too many operations"}
	}
	operations := make([]operation, 0, len(list))
	for _, element := range list {
		object, ok := element.(map[string]any)
		if !ok {
			return nil, refusal(KindInvalidSyntax, "an operation needs an object")
		}
		more, err := parseOperation(kind, object, n)
		if err != nil {
			return nil, err
		}
		operations = append(operations, more...)
	}
	return operations, nil
}

// messageSchema checks that a message says what it is: if it says so, or must.
func messageSchema(body map[string]any, want string, strict bool) error {
	raw, found := lookup(body, "schemas")
	if !found && !strict {
		return nil
	}
	list, _ := raw.([]any)
	for _, urn := range list {
		if s, ok := urn.(string); ok && strings.EqualFold(s, want) {
			return nil
		}
	}
	return refusal(KindInvalidSyntax, "schemas lacks %s", want)
}

// parseOperation reads one operation; a path-less one yields one per key of
// its value.
func parseOperation(kind *resourceType, object map[string]any, n normalizer) ([]operation, error) {
	for key := range object {
		switch strings.ToLower(key) {
		case "op", "path", "value", "name": // Entra's old client adds a name
		default:
			return nil, refusal(KindInvalidSyntax, "unknown operation key %q", clip(key))
		}
	}
	var op operation
	raw, _ := lookup(object, "op")
	word, _ := raw.(string)
	switch strings.ToLower(word) {
	case "add":
		op.verb = verbAdd
	case "replace":
		op.verb = verbReplace
	case "remove":
		op.verb = verbRemove
	default:
		return nil, refusal(KindInvalidSyntax, "op must be add, replace or remove")
	}
	op.value, op.given = lookup(object, "value")
	path, found := lookup(object, "path")
	if !found || path == nil || path == "" {
		return parsePathless(kind, op, n)
	}
	s, ok := path.(string)
	if !ok {
		return nil, refusal(KindInvalidPath, "path needs a string")
	}
	if op.verb != verbRemove && !op.given {
		return nil, refusal(KindInvalidValue, "%s needs a value", strings.ToLower(word))
	}
	var err error
	if op.target, err = parsePath(kind, s); err != nil {
		return nil, err
	}
	if n.strict && vendorPath(s) {
		return nil, n.vendor(s)
	}
	return []operation{op}, op.allowed()
}

// parsePathless treats the keys of a value as paths: plain, dotted, or with a URN.
func parsePathless(kind *resourceType, op operation, n normalizer) ([]operation, error) {
	if op.verb == verbRemove {
		return nil, refusal(KindNoTarget, "remove needs a path")
	}
	if n.strict {
		return nil, refusal(KindInvalidSyntax, "an operation needs a path")
	}
	object, ok := op.value.(map[string]any)
	if !ok {
		return nil, refusal(KindInvalidValue, "an operation without path needs an object")
	}
	operations := make([]operation, 0, len(object))
	for _, key := range sortedKeys(object) {
		switch strings.ToLower(key) {
		case "id", "schemas", "meta", "password", strings.ToLower(urnMicrosoftGroup):
			continue
		}
		t, err := parsePath(kind, key)
		if err != nil {
			return nil, err
		}
		one := operation{verb: op.verb, target: t, value: object[key], given: true}
		if err := one.allowed(); err != nil {
			return nil, err
		}
		operations = append(operations, one)
	}
	return operations, nil
}

// vendorPath reports whether a path begins with a provider's own URN.
func vendorPath(path string) bool {
	return len(path) >= len(vendorPrefix) && strings.EqualFold(path[:len(vendorPrefix)], vendorPrefix)
}

// vendorPrefix begins the URNs of SCIM 1 that some providers still send.
const vendorPrefix = "urn:scim:schemas:"

// allowed refuses what no client may write.
func (op operation) allowed() error {
	a := op.target.path.attribute
	if a == nil {
		return nil
	}
	if a.Mutability == readOnly || op.target.path.sub != nil && op.target.path.sub.Mutability == readOnly {
		return refusal(KindMutability, "%s is read-only", op.target.path)
	}
	return nil
}

// parsePath reads a PATCH path: an attribute, a sub-attribute, a value filter
// with or without sub-attribute, or an extension's URN.
func parsePath(kind *resourceType, text string) (target, error) {
	if len(text) > maxFilterBytes {
		return target{}, refusal(KindInvalidPath, "path is too long")
	}
	if schema := kind.extension(text); schema != nil {
		return target{schema: schema}, nil
	}
	name, rest, filtered := strings.Cut(text, "[")
	path, ok := kind.resolve(name)
	if !ok {
		return target{}, refusal(KindInvalidPath, "unknown attribute %q", clip(name))
	}
	if !filtered {
		return target{path: path}, nil
	}
	if path.sub != nil || path.attribute.Type != TypeComplex || !path.attribute.MultiValued {
		return target{}, refusal(KindInvalidPath, "%s has no elements to filter", path)
	}
	p := &filterParser{kind: kind, element: path.attribute, text: rest}
	element := &filter{}
	if err := p.or(0, element); err != nil {
		return target{}, refusal(KindInvalidFilter, "in the path: %s", err.Error())
	}
	if !p.accept(']') {
		return target{}, refusal(KindInvalidPath, "no closing bracket")
	}
	t := target{path: path, element: element}
	if p.at == len(rest) {
		return t, nil
	}
	subName, dotted := strings.CutPrefix(rest[p.at:], ".")
	if t.path.sub = find(path.attribute.SubAttributes, subName); !dotted || t.path.sub == nil {
		return target{}, refusal(KindInvalidPath, "unknown sub-attribute of %s", path)
	}
	return t, nil
}
