package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
)

// normaliser removes from results what two runs cannot share.
type normaliser struct {
	names *strings.Replacer
}

const (
	identifierPattern = `[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}`
	hostPattern       = `(?:https://)?(?:localhost|127\.0\.0\.1):\d+/?`
	timePattern       = `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*Z?`
	longText          = 1000
)

// newNormaliser knows the names that belong to one run only.
func newNormaliser(containers map[string]place, run string) normaliser {
	var pairs []string
	for logical, p := range containers {
		if p.own {
			pairs = append(pairs, p.Container, "<"+logical+">")
		}
	}
	return normaliser{strings.NewReplacer(append(pairs, run, "<run>")...)}
}

// value returns the result without system values: entity tags are kept as a
// mark that there was one; resource ids, links and times are dropped.
func (n normaliser) value(value any) any {
	switch v := value.(type) {
	case map[string]any:
		kept := make(map[string]any, len(v))
		for name, one := range v {
			switch name {
			case "_rid", "_self", "_ts", "_attachments", "_lsn", "stack", "attemptedAt":
			case "_etag":
				kept[name] = "<etag>"
			default:
				kept[name] = n.value(one)
			}
		}
		return kept
	case []any:
		kept := make([]any, 0, len(v))
		for _, one := range v {
			kept = append(kept, n.value(one))
		}
		return kept
	case string:
		return n.text(v)
	default:
		return v
	}
}

func (n normaliser) text(text string) string {
	if len(text) > longText && strings.Trim(text, "x") == "" {
		return fmt.Sprintf("<%d letters>", len(text))
	}
	text = n.names.Replace(text)
	for pattern, replacement := range map[string]string{
		identifierPattern: "<id>", hostPattern: "<endpoint>", timePattern: "<time>",
	} {
		text = regexp.MustCompile(pattern).ReplaceAllString(text, replacement)
	}
	return text
}

// mismatch says where the result lacks what the expectation asks, or nothing.
// An expectation names only what matters: what it leaves out may be anything.
// Special values: "$absent", {"$contains": text}, {"$in": [values]}.
func mismatch(at string, expected, found any) string {
	if expected == "$absent" {
		return says(found == nil, at, "is there, which it must not be")
	}
	switch e := expected.(type) {
	case map[string]any:
		return mismatchObject(at, e, found)
	case []any:
		list, ok := found.([]any)
		if !ok || len(list) != len(e) {
			return fmt.Sprintf("%s: want %s, got %s", at, compact(expected), compact(found))
		}
		for i := range e {
			if problem := mismatch(fmt.Sprintf("%s[%d]", at, i), e[i], list[i]); problem != "" {
				return problem
			}
		}
		return ""
	default:
		return says(cmp.Equal(expected, found), at, fmt.Sprintf("want %s, got %s", compact(expected), compact(found)))
	}
}

func mismatchObject(at string, expected map[string]any, found any) string {
	if part, ok := expected["$contains"].(string); ok {
		text, _ := found.(string)
		return says(strings.Contains(text, part), at, fmt.Sprintf("want a text with %q, got %s", part, compact(found)))
	}
	if some, ok := expected["$in"].([]any); ok {
		return says(slices.Contains(some, found), at, fmt.Sprintf("want one of %s, got %s", compact(some), compact(found)))
	}
	object, ok := found.(map[string]any)
	if !ok {
		return fmt.Sprintf("%s: want %s, got %s", at, compact(expected), compact(found))
	}
	for name, one := range expected {
		if problem := mismatch(at+"."+name, one, object[name]); problem != "" {
			return problem + detail(object)
		}
	}
	return ""
}

// detail adds an error's own words to a mismatch.
func detail(object map[string]any) string {
	if message, ok := object["message"].(string); ok {
		return fmt.Sprintf(" (%v %v: %s)", object["status"], object["code"], message)
	}
	return ""
}

func says(fine bool, at, problem string) string {
	if fine {
		return ""
	}
	return at + ": " + problem
}

func compact(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	const enough = 300
	if len(text) > enough {
		return string(text[:enough]) + "…"
	}
	return string(text)
}
