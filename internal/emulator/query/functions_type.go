package query

import (
	"math"
	"strconv"
	"strings"

	"github.com/cosmosgate/cosmosgate/internal/emulator/document"
)

// test makes a function that says something about one value of any type.
func test(holds func(document.Value) bool) function {
	return function{1, 1, func(_ *run, v []document.Value) document.Value {
		return document.BoolValue(holds(v[0]))
	}}
}

func ofKind(kind document.Kind) function {
	return test(func(v document.Value) bool { return v.Kind() == kind })
}

func typeFunctions() map[string]function {
	return map[string]function{
		"IS_ARRAY":   ofKind(document.Array),
		"IS_BOOL":    ofKind(document.Bool),
		"IS_NULL":    ofKind(document.Null),
		"IS_NUMBER":  ofKind(document.Number),
		"IS_OBJECT":  ofKind(document.Object),
		"IS_STRING":  ofKind(document.String),
		"IS_DEFINED": test(document.Value.Defined),
		"IS_PRIMITIVE": test(func(v document.Value) bool {
			return v.Defined() && v.Kind() <= document.String
		}),
		"IS_FINITE_NUMBER": ofKind(document.Number),
		"IS_INTEGER": test(func(v document.Value) bool {
			number, ok := v.Number()
			return ok && number == math.Trunc(number)
		}),
	}
}

func conversionFunctions() map[string]function {
	return map[string]function{
		"STRINGTOARRAY":   parsed(func(v document.Value) bool { return v.Kind() == document.Array }),
		"STRINGTOBOOLEAN": parsed(func(v document.Value) bool { return v.Kind() == document.Bool }),
		"STRINGTONULL":    parsed(func(v document.Value) bool { return v.Kind() == document.Null }),
		"STRINGTONUMBER":  parsed(func(v document.Value) bool { return v.Kind() == document.Number }),
		"STRINGTOOBJECT":  parsed(func(v document.Value) bool { return v.Kind() == document.Object }),
		"TOSTRING":        {1, 1, toString},
		"IIF": {3, 3, func(_ *run, v []document.Value) document.Value {
			if v[0].True() {
				return v[1]
			}
			return v[2]
		}},
		"DOCUMENTID": {1, 1, func(_ *run, v []document.Value) document.Value { return v[0].Get("_rid") }},
	}
}

// parsed makes a function that reads a string as JSON of one type; blanks around it don't matter.
func parsed(wanted func(document.Value) bool) function {
	return onText(func(text string) document.Value {
		value, err := document.Parse([]byte(strings.TrimSpace(text)))
		if err != nil || !wanted(value) {
			return document.Value{}
		}
		return value
	})
}

func toString(r *run, v []document.Value) document.Value {
	if _, ok := v[0].Text(); ok || !v[0].Defined() {
		return v[0]
	}
	if number, ok := v[0].Number(); ok {
		return document.StringValue(strconv.FormatFloat(number, 'f', -1, 64))
	}
	text := v[0].String()
	if !r.spend(len(text)) {
		return document.Value{}
	}
	return document.StringValue(text)
}
