package scim

import (
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/cosmosgate/cosmosgate/directory"
)

const (
	// maxValues bounds the elements of one multi-valued attribute.
	maxValues = 1000
	// maxWork bounds the comparisons of one PATCH: the directory's one writer
	// makes them, and everybody's changes wait for it.
	maxWork = 2_000_000
)

// editor applies attribute operations to a document.
type editor struct {
	normalizer

	kind *resourceType
	// work counts comparisons.
	work *int
	// edited is what the last edit of a user made of its document.
	edited *map[string]any
	// spent pays for them, nil in the writer.
	spent *spending
}

// spend refuses a PATCH that compares too much.
func (e editor) spend(comparisons int) error {
	if *e.work += comparisons; *e.work > maxWork {
		return &Error{Status: http.StatusRequestEntityTooLarge, Detail: "the operations take too long together: send fewer of them"}
	}
	return e.spent.compare(comparisons)
}

// apply changes document as op says.
func (e editor) apply(document map[string]any, op operation) error {
	if op.target.schema != nil {
		return e.applySchema(document, op)
	}
	container := document
	if schema := op.target.path.extension; schema != nil {
		inner, _ := document[schema.ID].(map[string]any)
		container = maps.Clone(inner)
		if container == nil {
			container = map[string]any{}
		}
		defer func() {
			if len(container) == 0 {
				delete(document, schema.ID)
			} else {
				document[schema.ID] = container
			}
		}()
	}
	a := op.target.path.attribute
	if a.Returned == returnedNever {
		return e.vendor(a.Name)
	}
	switch {
	case op.target.element != nil:
		return e.applyElements(container, a, op)
	case op.target.path.sub != nil && a.MultiValued:
		return e.applyEverywhere(container, a, op)
	case op.target.path.sub != nil:
		return e.applySub(container, a, op)
	default:
		return e.applyAttribute(container, a, op)
	}
}

// applySchema treats the keys of an extension's object as its attributes.
func (e editor) applySchema(document map[string]any, op operation) error {
	schema := op.target.schema
	if op.verb == verbRemove || op.value == nil {
		delete(document, schema.ID)
		return nil
	}
	object, ok := op.value.(map[string]any)
	if !ok {
		return refusal(KindInvalidValue, "%s needs an object", schema.ID)
	}
	for _, key := range sortedKeys(object) {
		path, ok := e.kind.resolve(schema.ID + ":" + key)
		if !ok && key == "schemas" { // some clients label the inner object
			continue
		}
		if !ok {
			return refusal(KindInvalidSyntax, "unknown attribute %q of %s", clip(key), schema.ID)
		}
		one := operation{verb: op.verb, target: target{path: path}, value: object[key], given: true}
		if err := one.allowed(); err != nil {
			return err
		}
		if err := e.apply(document, one); err != nil {
			return err
		}
	}
	return nil
}

// applyAttribute handles a path that ends at an attribute.
func (e editor) applyAttribute(container map[string]any, a *Attribute, op operation) error {
	if a.MultiValued {
		if err := bounded(a, op.value); err != nil {
			return err
		}
	}
	if op.verb == verbRemove {
		return e.remove(container, a, op)
	}
	value, err := e.value(a, e.unwrap(a, op.value))
	if err != nil {
		return err
	}
	switch {
	case a.MultiValued && op.verb == verbAdd:
		list, _ := value.([]any)
		return e.appendValues(container, a, list)
	case a.Type == TypeComplex && !a.MultiValued && value != nil:
		return e.merge(container, a, op.value)
	case !present(value):
		return clearValue(container, a)
	default:
		container[a.Name] = value
		return bounded(a, value)
	}
}

// unwrap accepts the form [{"value": x}] that Entra's old client sends for a
// single simple value.
func (e editor) unwrap(a *Attribute, value any) any {
	list, ok := value.([]any)
	if !ok || e.strict || a.MultiValued || len(list) != 1 {
		return value
	}
	if object, ok := list[0].(map[string]any); ok && a.Type != TypeComplex {
		return object["value"]
	}
	return list[0]
}

// remove takes away an attribute, or of a multi-valued one only the elements
// that the operation's value names.
func (e editor) remove(container map[string]any, a *Attribute, op operation) error {
	if !op.given || !a.MultiValued {
		return clearValue(container, a)
	}
	if op.value == nil {
		return refusal(KindInvalidValue, "removing values of %s needs a list of them, or no value at all", a.Name)
	}
	value, err := e.value(a, op.value)
	if err != nil {
		return err
	}
	unwanted, _ := value.([]any)
	current, _ := container[a.Name].([]any)
	if err := e.spend(len(current) * len(unwanted)); err != nil {
		return err
	}
	unwanted = foldedAll(a, unwanted)
	kept := make([]any, 0, len(current))
	for i, v := range foldedAll(a, current) {
		if !slices.ContainsFunc(unwanted, func(u any) bool { return names(u, v) }) {
			kept = append(kept, current[i])
		}
	}
	store(container, a, kept)
	return nil
}

// names reports whether every sub-attribute of wanted is the same in v.
func names(wanted, v any) bool {
	w, ok := wanted.(map[string]any)
	if !ok {
		return reflect.DeepEqual(wanted, v)
	}
	object, _ := v.(map[string]any)
	for key, value := range w {
		if !reflect.DeepEqual(object[key], value) {
			return false
		}
	}
	return len(w) > 0
}

// foldedAll returns the values as they compare: in one case, unless it matters.
func foldedAll(a *Attribute, values []any) []any {
	all := make([]any, 0, len(values))
	for _, v := range values {
		object, ok := v.(map[string]any)
		if !ok {
			all = append(all, folded(a, v))
			continue
		}
		next := make(map[string]any, len(object))
		for key, value := range object {
			next[key] = folded(find(a.SubAttributes, key), value)
		}
		all = append(all, next)
	}
	return all
}

func folded(a *Attribute, v any) any {
	if s, ok := v.(string); ok && a != nil && !a.CaseExact {
		return directory.Fold(s)
	}
	return v
}

// merge sets the sub-attributes that value names and keeps the others; null
// clears one.
func (e editor) merge(container map[string]any, a *Attribute, value any) error {
	if list, ok := value.([]any); ok && len(list) == 1 {
		value = list[0]
	}
	normalized, err := e.object(a, value)
	if err != nil {
		return err
	}
	next, _ := container[a.Name].(map[string]any)
	if next = maps.Clone(next); next == nil {
		next = map[string]any{}
	}
	if object, ok := value.(map[string]any); ok {
		for key := range object {
			if sub := find(a.SubAttributes, key); sub != nil && sub.Mutability != readOnly {
				delete(next, sub.Name)
			}
		}
	}
	set, _ := normalized.(map[string]any)
	maps.Copy(next, set)
	if len(next) == 0 || len(set) == 0 && onlyValue(a, value) {
		return clearValue(container, a)
	}
	container[a.Name] = next
	return nil
}

// onlyValue reports whether value is the bare spelling of a complex value,
// which stands for all of it.
func onlyValue(a *Attribute, value any) bool {
	_, bare := value.(string)
	return bare && find(a.SubAttributes, "value") != nil
}

// applySub handles a sub-attribute of a single complex attribute.
func (e editor) applySub(container map[string]any, a *Attribute, op operation) error {
	next, _ := container[a.Name].(map[string]any)
	if next = maps.Clone(next); next == nil {
		next = map[string]any{}
	}
	if err := e.setSub(next, op); err != nil {
		return err
	}
	if len(next) == 0 {
		return clearValue(container, a)
	}
	container[a.Name] = next
	return nil
}

// setSub writes the operation's value into one complex value.
func (e editor) setSub(object map[string]any, op operation) error {
	sub := op.target.path.sub
	if op.verb == verbRemove {
		delete(object, sub.Name)
		return nil
	}
	value, err := e.value(sub, e.unwrap(sub, op.value))
	if err != nil {
		return err
	}
	if present(value) {
		object[sub.Name] = value
	} else {
		delete(object, sub.Name)
	}
	return nil
}

// applyEverywhere handles a sub-attribute of every element.
func (e editor) applyEverywhere(container map[string]any, a *Attribute, op operation) error {
	current, _ := container[a.Name].([]any)
	if len(current) == 0 && op.verb != verbRemove {
		current = []any{map[string]any{}}
	}
	return e.changeElements(container, a, current, op, func(any) bool { return true })
}

// applyElements handles a value filter.
func (e editor) applyElements(container map[string]any, a *Attribute, op operation) error {
	current, _ := container[a.Name].([]any)
	if err := e.spend(len(current) * op.target.element.terms()); err != nil {
		return err
	}
	if !slices.ContainsFunc(current, op.target.element.matchesElement) {
		if op.verb == verbRemove {
			return nil
		}
		seed, ok := seedElement(a, op.target.element)
		if !ok {
			return refusal(KindNoTarget, "no element of %s matches", a.Name)
		}
		current = append(slices.Clone(current), seed)
	}
	return e.changeElements(container, a, current, op, op.target.element.matchesElement)
}

// changeElements applies op to the elements that match.
func (e editor) changeElements(
	container map[string]any, a *Attribute, current []any, op operation, matches func(any) bool,
) error {
	if err := e.spend(len(current)); err != nil {
		return err
	}
	next := make([]any, 0, len(current))
	touched := make([]bool, 0, len(current))
	for _, v := range current {
		changed := matches(v)
		if changed {
			object, _ := v.(map[string]any)
			var err error
			if v, err = e.changeElement(a, maps.Clone(object), op); err != nil {
				return err
			}
		}
		if object, ok := v.(map[string]any); ok && meaningful(object) {
			next, touched = append(next, v), append(touched, changed)
		}
	}
	if err := demote(a, next, touched); err != nil {
		return err
	}
	store(container, a, next)
	return bounded(a, next)
}

// changeElement returns one element as op leaves it, nil if it goes.
func (e editor) changeElement(a *Attribute, object map[string]any, op operation) (any, error) {
	if op.target.path.sub != nil {
		return object, e.setSub(object, op)
	}
	if op.verb == verbRemove {
		return nil, nil //nolint:nilnil // the element goes
	}
	normalized, err := e.single(a, e.unwrapElement(op.value))
	if err != nil {
		return nil, err
	}
	set, _ := normalized.(map[string]any)
	if op.verb == verbReplace {
		return set, nil
	}
	maps.Copy(object, set)
	return object, nil
}

// unwrapElement accepts an array of one where an element is meant.
func (e editor) unwrapElement(value any) any {
	if list, ok := value.([]any); ok && len(list) == 1 && !e.strict {
		return list[0]
	}
	return value
}

// seedElement builds the element that an unmatched filter describes, if it is
// a conjunction of eq on type and primary and the type is canonical.
func seedElement(a *Attribute, f *filter) (map[string]any, bool) {
	switch f.op {
	case opAnd:
		left, okLeft := seedElement(a, f.left)
		right, okRight := seedElement(a, f.right)
		if !okLeft || !okRight {
			return nil, false
		}
		maps.Copy(left, right)
		return left, true
	case opEqual:
		name := f.path.attribute.Name
		value, isText := f.value.asText()
		if name == "primary" || name == "type" && isText && canonicalType(a, value) {
			return map[string]any{name: f.value.json()}, true
		}
		return nil, false
	default:
		return nil, false
	}
}

// meaningful reports whether an element says more than its label.
func meaningful(object map[string]any) bool {
	for key := range object {
		if key != "type" && key != "primary" {
			return true
		}
	}
	return false
}

// demote makes a newly primary element the only one.
func demote(a *Attribute, values []any, touched []bool) error {
	chosen := -1
	for i, v := range values {
		if touched[i] && isPrimary(v) {
			if chosen >= 0 {
				return refusal(KindInvalidValue, "%s has two primary values", a.Name)
			}
			chosen = i
		}
	}
	for i, v := range values {
		if chosen < 0 || i == chosen || !isPrimary(v) {
			continue
		}
		object, _ := v.(map[string]any)
		object = maps.Clone(object)
		object["primary"] = false
		values[i] = object
	}
	return nil
}

func isPrimary(v any) bool {
	object, ok := v.(map[string]any)
	return ok && object["primary"] == true
}

// appendValues adds the elements that aren't there.
func (e editor) appendValues(container map[string]any, a *Attribute, added []any) error {
	current, _ := container[a.Name].([]any)
	if err := e.spend(len(added) * min(len(current)+len(added), maxValues)); err != nil {
		return err
	}
	next := slices.Clone(current)
	touched := make([]bool, len(next), len(next)+len(added))
	for _, v := range added {
		if len(next) > maxValues {
			break
		}
		if !slices.ContainsFunc(next, func(old any) bool { return reflect.DeepEqual(old, v) }) {
			next, touched = append(next, v), append(touched, true)
		}
	}
	if err := demote(a, next, touched); err != nil {
		return err
	}
	store(container, a, next)
	return bounded(a, next)
}

// clearValue unassigns an attribute unless the schema requires it.
func clearValue(container map[string]any, a *Attribute) error {
	if a.Required {
		return refusal(KindMutability, "%s can't be removed", a.Name)
	}
	delete(container, a.Name)
	return nil
}

func store(container map[string]any, a *Attribute, values []any) {
	if len(values) == 0 {
		delete(container, a.Name)
	} else {
		container[a.Name] = values
	}
}

// bounded refuses more elements than the directory keeps.
func bounded(a *Attribute, value any) error {
	if list, ok := value.([]any); ok && len(list) > maxValues {
		return &Error{
			Status: http.StatusRequestEntityTooLarge, Detail: strings.ToLower(a.Name) + " has too many values",
		}
	}
	return nil
}

func sortedKeys(object map[string]any) []string { return slices.Sorted(maps.Keys(object)) }
