package scim

import (
	"encoding/json"
	"strings"
	"time"
)

// normalizer turns what a provider sent into canonical documents: the schema's
// names and types, nothing unassigned, nothing that the server owns.
type normalizer struct {
	strict bool
	// firstPrimary lets the first of several primary values win instead of
	// refusing them (PingOne sends two).
	firstPrimary bool
}

// document normalises a whole resource. Attributes of the server are ignored,
// unknown ones refused.
func (n normalizer) document(kind *resourceType, input map[string]any) (map[string]any, error) {
	if err := n.schemas(kind, input); err != nil {
		return nil, err
	}
	document := map[string]any{}
	for key, value := range input {
		if err := n.member(kind, document, key, value); err != nil {
			return nil, err
		}
	}
	return document, nil
}

// member normalises one key of a resource into document.
func (n normalizer) member(kind *resourceType, document map[string]any, key string, value any) error {
	if vendorURN(key) && (n.strict || strings.EqualFold(key, urnMicrosoftGroup)) {
		return n.vendor(key)
	}
	if strings.EqualFold(key, "schemas") || find(commonAttributes, key) != nil && !strings.EqualFold(key, "externalId") {
		return nil
	}
	if extension := kind.extension(key); extension != nil {
		return n.extension(document, extension, value)
	}
	a := find(kind.core.Attributes, key)
	if a == nil {
		a = find(commonAttributes, key)
	}
	if a == nil {
		return refusal(KindInvalidSyntax, "unknown attribute %q", clip(key))
	}
	if a.Returned == returnedNever {
		return n.vendor(key)
	}
	return n.assign(document, a, value)
}

// vendor drops what a tolerant server need not understand.
func (n normalizer) vendor(key string) error {
	if n.strict {
		return refusal(KindInvalidSyntax, "%q is not accepted", clip(key))
	}
	return nil
}

// extension normalises the object under an extension's URN.
func (n normalizer) extension(document map[string]any, schema *Schema, value any) error {
	if value == nil {
		return nil
	}
	object, ok := value.(map[string]any)
	if !ok {
		return refusal(KindInvalidValue, "%s needs an object", schema.ID)
	}
	// Two spellings of one URN are one extension, so what is there is kept.
	target, _ := document[schema.ID].(map[string]any)
	if target == nil {
		target = map[string]any{}
	}
	for key, v := range object {
		a := find(schema.Attributes, key)
		if a == nil && key == "schemas" { // some clients label the inner object
			continue
		}
		if a == nil {
			return refusal(KindInvalidSyntax, "unknown attribute %q of %s", clip(key), schema.ID)
		}
		if err := n.assign(target, a, v); err != nil {
			return err
		}
	}
	if len(target) > 0 {
		document[schema.ID] = target
	}
	return nil
}

// assign normalises a value and stores it, unless it means unassigned or the
// attribute is the server's own.
func (n normalizer) assign(target map[string]any, a *Attribute, value any) error {
	if a.Mutability == readOnly {
		return nil
	}
	v, err := n.value(a, value)
	if err != nil {
		return err
	}
	if !present(v) {
		return nil
	}
	if _, taken := target[a.Name]; taken {
		return refusal(KindInvalidSyntax, "attribute %q is given twice", a.Name)
	}
	target[a.Name] = v
	return nil
}

// value normalises the value of an attribute; nil means unassigned.
func (n normalizer) value(a *Attribute, value any) (any, error) {
	if value == nil {
		return nil, nil //nolint:nilnil // null means unassigned
	}
	if !a.MultiValued {
		return n.single(a, value)
	}
	list, ok := value.([]any)
	if !ok {
		if n.strict {
			return nil, refusal(KindInvalidValue, "%s needs an array", a.Name)
		}
		list = []any{value}
	}
	values := make([]any, 0, len(list))
	for _, element := range list {
		v, err := n.single(a, element)
		if err != nil {
			return nil, err
		}
		if present(v) {
			values = append(values, v)
		}
	}
	return values, n.onePrimary(a, values)
}

// onePrimary refuses two primary values, or keeps the first.
func (n normalizer) onePrimary(a *Attribute, values []any) error {
	seen := false
	for _, v := range values {
		object, ok := v.(map[string]any)
		if !ok || object["primary"] != true {
			continue
		}
		if seen && !n.firstPrimary {
			return refusal(KindInvalidValue, "%s has two primary values", a.Name)
		}
		if seen {
			object["primary"] = false
		}
		seen = true
	}
	return nil
}

// single normalises one value or one element.
func (n normalizer) single(a *Attribute, value any) (any, error) {
	if value == nil {
		return nil, nil //nolint:nilnil // null means unassigned
	}
	valid := false
	switch a.Type {
	case TypeString, TypeReference, TypeBinary:
		_, valid = value.(string)
	case TypeBoolean:
		return n.boolean(a, value)
	case TypeInteger, TypeDecimal:
		number, ok := value.(json.Number)
		valid = ok && (a.Type == TypeDecimal || !strings.ContainsAny(string(number), ".eE"))
	case TypeDateTime:
		s, ok := value.(string)
		valid = ok && validTime(s)
	case TypeComplex:
		return n.object(a, value)
	}
	if !valid {
		return nil, refusal(KindInvalidValue, "%s needs a value of type %s", a.Name, a.Type)
	}
	return value, nil
}

// boolean accepts a boolean and, unless strict, its spelling as a string.
func (n normalizer) boolean(a *Attribute, value any) (any, error) {
	b, ok := asBoolean(value)
	if _, text := value.(string); text && n.strict {
		ok = false
	}
	if value == "" {
		return nil, nil //nolint:nilnil // "" means unassigned
	}
	if !ok {
		return nil, refusal(KindInvalidValue, "%s needs true or false", a.Name)
	}
	return b, nil
}

func validTime(s string) bool {
	if s == "" {
		return true
	}
	_, err := time.Parse(time.RFC3339Nano, s)
	return err == nil
}

// object normalises a complex value. A bare string is its "value".
func (n normalizer) object(a *Attribute, value any) (any, error) {
	if s, ok := value.(string); ok && !n.strict && find(a.SubAttributes, "value") != nil {
		value = map[string]any{"value": s}
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, refusal(KindInvalidValue, "%s needs an object", a.Name)
	}
	target := make(map[string]any, len(object))
	for key, v := range object {
		sub := find(a.SubAttributes, key)
		if sub == nil {
			return nil, refusal(KindInvalidSyntax, "unknown attribute %q of %s", clip(key), a.Name)
		}
		if err := n.assign(target, sub, v); err != nil {
			return nil, err
		}
	}
	return target, nil
}

// schemas checks the list of URNs: strings, and the resource's own among them
// where the profile demands it.
func (n normalizer) schemas(kind *resourceType, input map[string]any) error {
	raw, found := lookup(input, "schemas")
	if !found && !n.strict {
		return nil
	}
	list, ok := raw.([]any)
	if !ok {
		return refusal(KindInvalidSyntax, "schemas needs an array of URNs")
	}
	own := false
	for _, v := range list {
		urn, ok := v.(string)
		if !ok {
			return refusal(KindInvalidSyntax, "schemas needs an array of URNs")
		}
		switch known := kind.canonicalURN(urn); {
		case n.strict && vendorURN(urn):
			return n.vendor(urn)
		case strings.EqualFold(known, kind.core.ID):
			own = true
		case kind.extension(urn) != nil, vendorURN(urn):
		default:
			return refusal(KindInvalidSyntax, "unknown schema %q", clip(urn))
		}
	}
	if !own && (n.strict || len(list) == 0) {
		return refusal(KindInvalidSyntax, "schemas lacks %s", kind.core.ID)
	}
	return nil
}

// lookup returns the value of a key in any case.
func lookup(object map[string]any, key string) (any, bool) {
	if v, ok := object[key]; ok {
		return v, true
	}
	for k, v := range object {
		if strings.EqualFold(k, key) {
			return v, true
		}
	}
	return nil, false
}

// maxEcho bounds how much of a request an error repeats.
const maxEcho = 64

func clip(s string) string {
	if len(s) <= maxEcho {
		return s
	}
	return strings.ToValidUTF8(s[:maxEcho], "") + "…"
}
