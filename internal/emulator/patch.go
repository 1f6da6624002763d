package emulator

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/cosmosgate/cosmosgate/cosmos/sql"
	"github.com/cosmosgate/cosmosgate/internal/emulator/document"
	"github.com/cosmosgate/cosmosgate/internal/emulator/query"
)

// maxPatch is the service's bound on the operations of one patch.
const maxPatch = 10

// patchPlan is a patch that has been read and checked.
type patchPlan struct {
	steps     []patchStep
	condition *query.Plan
}

type patchStep struct {
	operation string
	path      []string
	from      []string
	value     document.Value
}

// patchPlan reads {"operations": […], "condition": "…"} or the array of operations alone.
func (e *Emulator) patchPlan(body document.Value) (patchPlan, error) {
	var plan patchPlan
	operations, bare := body.Elements()
	if !bare {
		var ok bool
		if operations, ok = body.Get("operations").Elements(); !ok {
			return plan, badRequest("The patch request body must have an array of operations.")
		}
	}
	if len(operations) == 0 || len(operations) > maxPatch {
		return plan, badRequest("The number of patch operations must be between 1 and %d.", maxPatch)
	}
	for _, one := range operations {
		step, err := parseStep(one)
		if err != nil {
			return plan, err
		}
		plan.steps = append(plan.steps, step)
	}
	condition, ok := body.Get("condition").Text()
	if !ok || condition == "" {
		return plan, nil
	}
	tree, err := sql.Parse("SELECT VALUE true " + condition)
	if err != nil {
		return plan, asNative(err)
	}
	if tree.Where == nil || len(tree.From) != 1 {
		return plan, badRequest("The patch condition must have the form 'FROM c WHERE …'.")
	}
	plan.condition, err = e.language.Compile(tree, nil)
	return plan, asNative(err)
}

func parseStep(one document.Value) (patchStep, error) {
	operation, _ := one.Get("op").Text()
	path, _ := one.Get("path").Text()
	step := patchStep{operation: strings.ToLower(operation), value: one.Get("value")}
	if step.operation == "increment" {
		step.operation = "incr"
	}
	var ok bool
	if step.path, ok = patchPath(path); !ok {
		return step, badRequest("The patch path '%s' is invalid.", path)
	}
	switch step.operation {
	case "add", "set", "replace":
		if !step.value.Defined() {
			return step, badRequest("The patch operation '%s' needs a value.", operation)
		}
	case "incr":
		if _, ok := step.value.Number(); !ok {
			return step, badRequest("The patch operation 'incr' needs a number.")
		}
	case "remove":
	case "move":
		from, _ := one.Get("from").Text()
		if step.from, ok = patchPath(from); !ok {
			return step, badRequest("The patch path '%s' is invalid.", from)
		}
	default:
		return step, badRequest("The patch operation '%s' is not supported.", operation)
	}
	return step, nil
}

// patchPath splits a JSON pointer (RFC 6901). The properties that the service writes are out of
// reach.
func patchPath(path string) ([]string, bool) {
	if !strings.HasPrefix(path, "/") || path == "/" {
		return nil, false
	}
	steps := strings.Split(path[1:], "/")
	for i, step := range steps {
		steps[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
	}
	return steps, steps[0] != "id" && !slices.Contains(systemProperties(), steps[0])
}

// patch applies a plan to an item, all of it or nothing.
func (w *writer) patch(ctx context.Context, target string, key partitionKey, plan patchPlan, when conditions) (*item, error) {
	current, exists := w.into.find(key, target, w.now)
	if !exists {
		return nil, notFound()
	}
	if err := when.check(current); err != nil {
		return nil, err
	}
	if plan.condition != nil {
		holds := false
		_, err := plan.condition.Run(ctx, slices.Values([]document.Value{current.value}), func(document.Value) bool {
			holds = true
			return false
		})
		if err != nil {
			return nil, asNative(err)
		}
		if !holds {
			return nil, preconditionFailed()
		}
	}
	value := current.value
	for _, step := range plan.steps {
		var err error
		if value, err = step.apply(value); err != nil {
			return nil, err
		}
	}
	id, key, err := w.identify(value, key, true)
	if err != nil {
		return nil, err
	}
	return w.keep(value, id, key, current)
}

func (s patchStep) apply(value document.Value) (document.Value, error) {
	switch s.operation {
	case "remove":
		return alter(value, s.path, func(old document.Value) (document.Value, error) {
			if !old.Defined() {
				return old, s.missing()
			}
			return document.Value{}, nil
		}, false)
	case "replace":
		return alter(value, s.path, func(old document.Value) (document.Value, error) {
			if !old.Defined() {
				return old, s.missing()
			}
			return s.value, nil
		}, false)
	case "incr":
		return alter(value, s.path, s.increment, false)
	case "move":
		return s.move(value)
	default:
		return alter(value, s.path, func(document.Value) (document.Value, error) { return s.value, nil }, s.operation == "add")
	}
}

func (s patchStep) missing() error {
	return badRequest("For the %s operation, the path '/%s' does not exist.", s.operation, strings.Join(s.path, "/"))
}

func (s patchStep) increment(old document.Value) (document.Value, error) {
	by, _ := s.value.Number()
	number, ok := old.Number()
	if !ok && old.Defined() {
		return old, badRequest("The patch operation 'incr' needs a number at its path.")
	}
	return document.NumberValue(number + by), nil
}

func (s patchStep) move(value document.Value) (document.Value, error) {
	if len(s.path) > len(s.from) && slices.Equal(s.path[:len(s.from)], s.from) {
		return value, badRequest("An item's part cannot be moved into itself.")
	}
	var moved document.Value
	taken, err := alter(value, s.from, func(old document.Value) (document.Value, error) {
		if !old.Defined() {
			return old, badRequest("For the move operation, the source path does not exist.")
		}
		moved = old
		return document.Value{}, nil
	}, false)
	if err != nil {
		return value, err
	}
	return alter(taken, s.path, func(document.Value) (document.Value, error) { return moved, nil }, true)
}

// alter returns a copy of value in which what is at the path has become what to says; undefined
// removes it. In an array, insert makes room for the new element instead of replacing one.
func alter(value document.Value, path []string, to func(document.Value) (document.Value, error), insert bool) (document.Value, error) {
	if elements, ok := value.Elements(); ok {
		return alterElement(elements, path, to, insert)
	}
	if value.Kind() != document.Object {
		return value, badRequest("The patch path '%s' does not lead through objects and arrays.", strings.Join(path, "/"))
	}
	old := value.Get(path[0])
	if len(path) == 1 {
		changed, err := to(old)
		return value.With(path[0], changed), err
	}
	if !old.Defined() {
		return value, badRequest("The patch path '%s' does not exist.", strings.Join(path, "/"))
	}
	changed, err := alter(old, path[1:], to, insert)
	return value.With(path[0], changed), err
}

func alterElement(elements []document.Value, path []string, to func(document.Value) (document.Value, error), insert bool) (document.Value, error) {
	at := len(elements)
	if path[0] != "-" {
		var err error
		at, err = strconv.Atoi(path[0])
		if err != nil || at < 0 || at > len(elements) {
			return document.Value{}, badRequest("The array index '%s' of a patch path is out of bounds.", path[0])
		}
	}
	var old document.Value
	if at < len(elements) {
		old = elements[at]
	}
	var changed document.Value
	var err error
	if len(path) == 1 {
		changed, err = to(old)
	} else {
		changed, err = alter(old, path[1:], to, insert)
	}
	if err != nil {
		return document.Value{}, err
	}
	copied := slices.Clone(elements)
	switch {
	case !changed.Defined():
		copied = slices.Delete(copied, at, at+1)
	case at == len(elements) || insert && len(path) == 1:
		copied = slices.Insert(copied, at, changed)
	default:
		copied[at] = changed
	}
	return document.ArrayValue(copied), nil
}
