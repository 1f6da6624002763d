package query

import (
	"slices"

	"github.com/cosmosgate/cosmosgate/internal/emulator/document"
)

func arrayFunctions() map[string]function {
	return map[string]function{
		"ARRAY_CONCAT":       {2, anyNumber, arrayConcat},
		"ARRAY_CONTAINS":     {2, 3, arrayContains},
		"ARRAY_CONTAINS_ALL": {2, anyNumber, arrayContainsEach(true)},
		"ARRAY_CONTAINS_ANY": {2, anyNumber, arrayContainsEach(false)},
		"ARRAY_LENGTH": {1, 1, func(_ *run, v []document.Value) document.Value {
			elements, ok := v[0].Elements()
			if !ok {
				return document.Value{}
			}
			return document.NumberValue(float64(len(elements)))
		}},
		"ARRAY_SLICE":   {2, 3, arraySlice},
		"CHOOSE":        {2, anyNumber, choose},
		"OBJECTTOARRAY": {1, 3, objectToArray},
	}
}

func arrayConcat(r *run, v []document.Value) document.Value {
	joined := []document.Value{}
	for _, value := range v {
		elements, ok := value.Elements()
		if !ok || !r.keep(len(elements)) {
			return document.Value{}
		}
		joined = append(joined, elements...)
	}
	return document.ArrayValue(joined)
}

// arrayContains looks for a value; with true as third argument an object matches one that has at
// least its members.
func arrayContains(r *run, v []document.Value) document.Value {
	elements, ok := v[0].Elements()
	partial, isFlag := flag(v, 2)
	if !ok || !isFlag || !v[1].Defined() || !r.spend(len(elements)) {
		return document.Value{}
	}
	return document.BoolValue(slices.ContainsFunc(elements, func(element document.Value) bool {
		return document.Equal(element, v[1]) || partial && within(v[1], element)
	}))
}

// within reports whether every member of part is in whole, at any depth.
func within(part, whole document.Value) bool {
	members, ok := part.Members()
	if !ok || whole.Kind() != document.Object {
		return document.Equal(part, whole)
	}
	for _, member := range members {
		if !within(member.Value, whole.Get(member.Name)) {
			return false
		}
	}
	return true
}

func arrayContainsEach(all bool) func(*run, []document.Value) document.Value {
	return func(r *run, v []document.Value) document.Value {
		elements, ok := v[0].Elements()
		if !ok || !r.spend(len(elements)*len(v)) {
			return document.Value{}
		}
		for _, wanted := range v[1:] {
			found := slices.ContainsFunc(elements, func(element document.Value) bool { return document.Equal(element, wanted) })
			if found != all {
				return document.BoolValue(found)
			}
		}
		return document.BoolValue(all)
	}
}

func arraySlice(r *run, v []document.Value) document.Value {
	elements, ok := v[0].Elements()
	start, isStart := whole(v[1])
	if !ok || !isStart || !r.keep(len(elements)) {
		return document.Value{}
	}
	if start < 0 {
		start = max(start+len(elements), 0)
	}
	start = min(start, len(elements))
	length := len(elements) - start
	if len(v) > 2 {
		wanted, isLength := whole(v[2])
		if !isLength {
			return document.Value{}
		}
		length = min(max(wanted, 0), length)
	}
	return document.ArrayValue(slices.Clone(elements[start : start+length]))
}

// choose returns the argument at a position that counts from one.
func choose(_ *run, v []document.Value) document.Value {
	at, ok := whole(v[0])
	if !ok || at < 1 || at >= len(v) {
		return document.Value{}
	}
	return v[at]
}

// objectToArray makes an array of {k, v} objects, or with other names for the two.
func objectToArray(r *run, v []document.Value) document.Value {
	members, ok := v[0].Members()
	names, areNames := texts(v[1:], len(v)-1)
	if !ok || !areNames || !r.keep(len(members)) {
		return document.Value{}
	}
	key, value := "k", "v"
	if len(names) > 0 {
		key = names[0]
	}
	if len(names) > 1 {
		value = names[1]
	}
	elements := make([]document.Value, len(members))
	for i, member := range members {
		elements[i] = document.ObjectValue([]document.Member{
			{Name: key, Value: document.StringValue(member.Name)}, {Name: value, Value: member.Value},
		})
	}
	return document.ArrayValue(elements)
}

func setFunctions() map[string]function {
	return map[string]function{
		"SETINTERSECT": {2, 2, sets(func(inFirst, inSecond bool) bool { return inFirst && inSecond })},
		"SETUNION":     {2, 2, sets(func(inFirst, inSecond bool) bool { return inFirst || inSecond })},
		"ARRAY_SUM":    overArray(func() accumulator { return &sum{} }),
		"ARRAY_AVG":    overArray(func() accumulator { return &sum{average: true} }),
		"ARRAY_MIN":    overArray(func() accumulator { return &extreme{wanted: -1} }),
		"ARRAY_MAX":    overArray(func() accumulator { return &extreme{wanted: 1} }),
	}
}

// sets makes a function of two arrays that keeps one of each value by where it is found.
func sets(keep func(inFirst, inSecond bool) bool) func(*run, []document.Value) document.Value {
	return func(r *run, v []document.Value) document.Value {
		first, isArray := v[0].Elements()
		second, areArrays := v[1].Elements()
		if !isArray || !areArrays || !r.keep(len(first)+len(second)) {
			return document.Value{}
		}
		inFirst, inSecond := keysOf(first), keysOf(second)
		kept, seen := []document.Value{}, map[string]bool{}
		for _, element := range slices.Concat(first, second) {
			key := element.Key()
			if !seen[key] && keep(inFirst[key], inSecond[key]) {
				kept = append(kept, element)
			}
			seen[key] = true
		}
		return document.ArrayValue(kept)
	}
}

func keysOf(elements []document.Value) map[string]bool {
	keys := make(map[string]bool, len(elements))
	for _, element := range elements {
		keys[element.Key()] = true
	}
	return keys
}

// overArray makes a function of one array out of an aggregate.
func overArray(start func() accumulator) function {
	return function{1, 1, func(r *run, v []document.Value) document.Value {
		elements, ok := v[0].Elements()
		if !ok || !r.spend(len(elements)) {
			return document.Value{}
		}
		gathered := start()
		for _, element := range elements {
			gathered.add(element)
		}
		return gathered.result()
	}}
}
