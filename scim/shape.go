package scim

import (
	"encoding/json"
	"fmt"
	"strings"
)

const (
	// maxShape bounds the text of a shape.
	maxShape = 600
	// maxShapeList and maxShapeDepth bound what of a body is looked at.
	maxShapeList  = 5
	maxShapeDepth = 5
)

// shapeOf describes a request without what it says about people: names of
// attributes, verbs and paths of operations and URNs stay, every value becomes
// the name of its type, ids become {id}.
func shapeOf(r request) string {
	var b strings.Builder
	if r.query.filter != "" {
		b.WriteString("filter: " + redactText(r.query.filter) + " ")
	}
	if r.body != nil {
		writeShape(&b, "", r.body, maxShapeDepth)
	}
	s := strings.TrimSpace(b.String())
	if len(s) > maxShape {
		s = strings.ToValidUTF8(s[:maxShape], "") + "…"
	}
	return s
}

// writeShape appends the shape of a value; key is the name it stands under.
func writeShape(b *strings.Builder, key string, value any, depth int) {
	if b.Len() > maxShape {
		return
	}
	switch v := value.(type) {
	case map[string]any:
		if depth == 0 {
			b.WriteString("{…}")
			return
		}
		b.WriteByte('{')
		for i, name := range sortedKeys(v) {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(clip(strings.ToValidUTF8(name, "?")) + ": ")
			writeShape(b, strings.ToLower(name), v[name], depth-1)
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for i, element := range v {
			if i == maxShapeList {
				fmt.Fprintf(b, ", … %d in all", len(v))
				break
			}
			if i > 0 {
				b.WriteString(", ")
			}
			writeShape(b, key, element, depth)
		}
		b.WriteByte(']')
	default:
		b.WriteString(shapeOfScalar(key, v))
	}
}

// shapeOfScalar keeps the words of the protocol and hides all others.
func shapeOfScalar(key string, value any) string {
	switch v := value.(type) {
	case string:
		switch key {
		case "op", "schemas", "method":
			return fmt.Sprintf("%q", clip(v))
		case "path", "filter":
			return redactText(v)
		default:
			if v == "" {
				return `""`
			}
			return "string"
		}
	case json.Number:
		return "number"
	case bool:
		return "boolean"
	default:
		return "null"
	}
}

// redactText hides the quoted literals of a filter or a path, and ids in it.
func redactText(s string) string {
	var b strings.Builder
	for rest := s; rest != ""; {
		before, after, found := strings.Cut(rest, `"`)
		b.WriteString(redactPath(before))
		if !found {
			break
		}
		b.WriteString(`"…"`)
		rest = after[endOfLiteral(after):]
	}
	return clip(strings.ToValidUTF8(b.String(), "?"))
}

// endOfLiteral returns where a JSON string ends whose opening quote is gone.
func endOfLiteral(s string) int {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(s)
}

// redactPath replaces what follows the name of a collection: it is an id, or
// meant as one.
func redactPath(path string) string {
	for _, collection := range []string{"/Users/", "/Groups/"} {
		i := indexFold(path, collection)
		if i < 0 {
			continue
		}
		head, tail := path[:i+len(collection)], path[i+len(collection):]
		if strings.EqualFold(tail, ".search") {
			return path
		}
		_, below, deeper := strings.Cut(tail, "/")
		path = head + "{id}"
		if deeper {
			path += "/" + below
		}
		return path
	}
	return path
}

func indexFold(s, part string) int {
	return strings.Index(strings.ToLower(s), strings.ToLower(part))
}
