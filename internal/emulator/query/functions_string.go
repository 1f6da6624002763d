package query

import (
	"strings"
	"unicode/utf8"

	"github.com/cosmosgate/cosmosgate/internal/emulator/document"
)

const anyNumber = -1

// flag reads an optional trailing boolean argument; anything but a boolean is not ok.
func flag(values []document.Value, at int) (set, ok bool) {
	if len(values) <= at {
		return false, true
	}
	return values[at].Bool()
}

// texts reads leading string arguments.
func texts(values []document.Value, n int) ([]string, bool) {
	list := make([]string, n)
	for i := range n {
		text, ok := values[i].Text()
		if !ok {
			return nil, false
		}
		list[i] = text
	}
	return list, true
}

// onText makes a function of one string.
func onText(compute func(string) document.Value) function {
	return function{1, 1, func(r *run, v []document.Value) document.Value {
		text, ok := v[0].Text()
		if !ok || !r.spend(len(text)) {
			return document.Value{}
		}
		return compute(text)
	}}
}

// search makes a test of two strings with an optional "ignore case" argument.
func search(holds func(text, part string) bool) function {
	return function{2, 3, func(r *run, v []document.Value) document.Value {
		pair, ok := texts(v, 2)
		fold, isFlag := flag(v, 2)
		if !ok || !isFlag || !r.spend(len(pair[0])) {
			return document.Value{}
		}
		if fold {
			return document.BoolValue(holds(strings.ToLower(pair[0]), strings.ToLower(pair[1])))
		}
		return document.BoolValue(holds(pair[0], pair[1]))
	}}
}

func stringFunctions() map[string]function {
	return map[string]function{
		"CONCAT":       {2, anyNumber, (*run).concat},
		"CONTAINS":     search(strings.Contains),
		"STARTSWITH":   search(strings.HasPrefix),
		"ENDSWITH":     search(strings.HasSuffix),
		"STRINGEQUALS": search(func(a, b string) bool { return a == b }),
		"LENGTH": onText(func(s string) document.Value {
			return document.NumberValue(float64(utf8.RuneCountInString(s)))
		}),
		"LOWER": onText(func(s string) document.Value { return document.StringValue(strings.ToLower(s)) }),
		"UPPER": onText(func(s string) document.Value { return document.StringValue(strings.ToUpper(s)) }),
		"REVERSE": onText(func(s string) document.Value {
			runes := []rune(s)
			for i, j := 0, len(runes)-1; i < j; i, j = i+1, j-1 {
				runes[i], runes[j] = runes[j], runes[i]
			}
			return document.StringValue(string(runes))
		}),
		"TRIM":      trim(strings.Trim),
		"LTRIM":     trim(strings.TrimLeft),
		"RTRIM":     trim(strings.TrimRight),
		"LEFT":      {2, 2, edge(func(n, size int) (from, to int) { return 0, min(n, size) })},
		"RIGHT":     {2, 2, edge(func(n, size int) (from, to int) { return size - min(n, size), size })},
		"SUBSTRING": {3, 3, substring},
		"INDEX_OF":  {2, 3, indexOf},
		"REPLACE":   {3, 3, replace},
		"REPLICATE": {2, 2, replicate},
	}
}

const blanks = " \t\r\n\v\f"

func trim(cut func(text, set string) string) function {
	return function{1, 2, func(r *run, v []document.Value) document.Value {
		list, ok := texts(v, len(v))
		if !ok || !r.spend(len(list[0])) {
			return document.Value{}
		}
		set := blanks
		if len(list) > 1 {
			set = list[1]
		}
		return document.StringValue(cut(list[0], set))
	}}
}

// whole reads an integer argument within the range of an int.
func whole(value document.Value) (int, bool) {
	const bound = 1 << 53
	number, ok := value.Number()
	if !ok || number != number || number > bound || number < -bound {
		return 0, false
	}
	return int(number), true
}

// edge makes LEFT and RIGHT: a cut of the string's characters by a count.
func edge(cut func(n, size int) (from, to int)) func(*run, []document.Value) document.Value {
	return func(r *run, v []document.Value) document.Value {
		text, ok := v[0].Text()
		n, isNumber := whole(v[1])
		if !ok || !isNumber || !r.spend(len(text)) {
			return document.Value{}
		}
		runes := []rune(text)
		from, to := cut(max(n, 0), len(runes))
		return document.StringValue(string(runes[from:to]))
	}
}

func substring(r *run, v []document.Value) document.Value {
	text, ok := v[0].Text()
	start, isStart := whole(v[1])
	length, isLength := whole(v[2])
	if !ok || !isStart || !isLength || !r.spend(len(text)) {
		return document.Value{}
	}
	runes := []rune(text)
	start = min(max(start, 0), len(runes))
	length = min(max(length, 0), len(runes)-start)
	return document.StringValue(string(runes[start : start+length]))
}

func indexOf(r *run, v []document.Value) document.Value {
	pair, ok := texts(v, 2)
	if !ok || !r.spend(len(pair[0])) {
		return document.Value{}
	}
	start := 0
	if len(v) > 2 {
		if start, ok = whole(v[2]); !ok {
			return document.Value{}
		}
	}
	runes := []rune(pair[0])
	if start < 0 || start > len(runes) {
		return document.NumberValue(-1)
	}
	rest := string(runes[start:])
	at := strings.Index(rest, pair[1])
	if at < 0 {
		return document.NumberValue(-1)
	}
	return document.NumberValue(float64(start + utf8.RuneCountInString(rest[:at])))
}

func replace(r *run, v []document.Value) document.Value {
	list, ok := texts(v, 3)
	if !ok {
		return document.Value{}
	}
	if list[1] == "" {
		return v[0]
	}
	if !r.spend(len(list[0]) + strings.Count(list[0], list[1])*len(list[2])) {
		return document.Value{}
	}
	return document.StringValue(strings.ReplaceAll(list[0], list[1], list[2]))
}

// longestReplica is the service's bound on REPLICATE's result, in characters.
const longestReplica = 10_000

func replicate(r *run, v []document.Value) document.Value {
	text, ok := v[0].Text()
	n, isNumber := whole(v[1])
	if !ok || !isNumber || n < 0 || len(text) > 0 && n > longestReplica/len(text) {
		return document.Value{}
	}
	if !r.spend(n * len(text)) {
		return document.Value{}
	}
	if text == "" {
		n = 0
	}
	return document.StringValue(strings.Repeat(text, n))
}
