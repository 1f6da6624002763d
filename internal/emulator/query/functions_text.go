package query

import (
	"regexp"
	"strings"

	"github.com/cosmosgate/cosmosgate/internal/emulator/document"
)

func textFunctions() map[string]function {
	return map[string]function{
		"REGEXMATCH":          {2, 3, regexMatch},
		"STRINGJOIN":          {2, 2, stringJoin},
		"STRINGSPLIT":         {2, 2, stringSplit},
		"SUBSTRINGAFTER":      {2, 2, around(strings.Index, false)},
		"SUBSTRINGBEFORE":     {2, 2, around(strings.Index, true)},
		"LASTSUBSTRINGAFTER":  {2, 2, around(strings.LastIndex, false)},
		"LASTSUBSTRINGBEFORE": {2, 2, around(strings.LastIndex, true)},
	}
}

// around makes the functions that cut a string at another; where it isn't found they give "".
func around(find func(text, part string) int, before bool) func(*run, []document.Value) document.Value {
	return func(r *run, v []document.Value) document.Value {
		pair, ok := texts(v, 2)
		if !ok || !r.spend(len(pair[0])) {
			return document.Value{}
		}
		at := find(pair[0], pair[1])
		switch {
		case at < 0:
			return document.StringValue("")
		case before:
			return document.StringValue(pair[0][:at])
		default:
			return document.StringValue(pair[0][at+len(pair[1]):])
		}
	}
}

func stringJoin(r *run, v []document.Value) document.Value {
	elements, ok := v[0].Elements()
	separator, isText := v[1].Text()
	if !ok || !isText {
		return document.Value{}
	}
	if !r.keep(len(elements)) {
		return document.Value{}
	}
	parts := make([]document.Value, 0, 2*len(elements))
	for i, element := range elements {
		if i > 0 {
			parts = append(parts, document.StringValue(separator))
		}
		parts = append(parts, element)
	}
	return r.concat(parts)
}

func stringSplit(r *run, v []document.Value) document.Value {
	pair, ok := texts(v, 2)
	if !ok || !r.spend(len(pair[0])) {
		return document.Value{}
	}
	if pair[1] == "" {
		return document.ArrayValue([]document.Value{v[0]})
	}
	if !r.keep(strings.Count(pair[0], pair[1])) {
		return document.Value{}
	}
	parts := strings.Split(pair[0], pair[1])
	elements := make([]document.Value, len(parts))
	for i, part := range parts {
		elements[i] = document.StringValue(part)
	}
	return document.ArrayValue(elements)
}

// longestPattern bounds regular expressions and LIKE patterns.
const longestPattern = 4096

// keptPatterns is how many compiled patterns a run remembers.
const keptPatterns = 64

// pattern compiles an expression, once for all rows.
func (r *run) pattern(expression string) (*regexp.Regexp, bool) {
	if known, ok := r.patterns[expression]; ok {
		return known, true
	}
	const compiling = 1000
	if !r.spend(compiling + len(expression)) {
		return nil, false
	}
	compiled, err := regexp.Compile(expression)
	if err != nil {
		return nil, false
	}
	if r.patterns == nil || len(r.patterns) >= keptPatterns {
		r.patterns = map[string]*regexp.Regexp{}
	}
	r.patterns[expression] = compiled
	return compiled, true
}

// regexMatch runs a pattern with the modifiers m, s, i and x. Patterns are RE2, whose running time
// is linear; back references and look-around, which the service knows, are not in it.
func regexMatch(r *run, v []document.Value) document.Value {
	list, ok := texts(v, len(v))
	if !ok || len(list[1]) > longestPattern || !r.spend(len(list[0])+len(list[1])) {
		return document.Value{}
	}
	pattern, modifiers := list[1], ""
	if len(list) > 2 {
		for _, c := range list[2] {
			switch c {
			case 'm', 's', 'i':
				modifiers += string(c)
			case 'x':
				pattern = strings.NewReplacer(" ", "", "\t", "", "\n", "", "\r", "").Replace(pattern)
			default:
				return document.Value{}
			}
		}
	}
	if modifiers != "" {
		pattern = "(?" + modifiers + ")" + pattern
	}
	compiled, ok := r.pattern(pattern)
	if !ok {
		return document.Value{}
	}
	return document.BoolValue(compiled.MatchString(list[0]))
}

// like matches a LIKE pattern: % any text, _ any character, [abc], [a-z] and [^…] one of a set,
// and after the escape character a character itself. It is not ok when the pattern is too long.
func (r *run) like(text, pattern string, escape rune) (matches, ok bool) {
	if len(pattern) > longestPattern {
		return false, false
	}
	var expression strings.Builder
	expression.WriteString(`(?s)\A`)
	runes := []rune(pattern)
	for i := 0; i < len(runes); i++ {
		c := runes[i]
		switch {
		case c == escape && i+1 < len(runes):
			i++
			expression.WriteString(regexp.QuoteMeta(string(runes[i])))
		case c == '%':
			expression.WriteString(".*")
		case c == '_':
			expression.WriteByte('.')
		case c == '[':
			set, next := likeSet(runes, i)
			expression.WriteString(set)
			i = next
		default:
			expression.WriteString(regexp.QuoteMeta(string(c)))
		}
	}
	expression.WriteString(`\z`)
	compiled, ok := r.pattern(expression.String())
	if !ok {
		return false, true
	}
	return compiled.MatchString(text), true
}

// likeSet translates a set that starts at runes[at]; an unclosed one is a plain bracket.
func likeSet(runes []rune, at int) (expression string, end int) {
	for i := at + 1; i < len(runes); i++ {
		if runes[i] != ']' || i == at+1 {
			continue
		}
		inner := runes[at+1 : i]
		negated := ""
		if inner[0] == '^' && len(inner) > 1 {
			negated, inner = "^", inner[1:]
		}
		set := strings.NewReplacer(`\`, `\\`, `[`, `\[`, `]`, `\]`, `^`, `\^`, `&`, `\&`, `~`, `\~`).Replace(string(inner))
		return "[" + negated + set + "]", i
	}
	return `\[`, at
}
