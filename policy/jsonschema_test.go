package policy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
	"golang.org/x/tools/txtar"

	"github.com/cosmosgate/cosmosgate/policy"
)

// schema checks values as far as JSON Schema's words are used in ours; a word
// that it does not know is an error.
type schema struct{ root map[string]any }

func newSchema(t *testing.T) schema {
	t.Helper()
	var root map[string]any
	if err := json.Unmarshal(policy.JSONSchema(), &root); err != nil {
		t.Fatal(err)
	}
	return schema{root}
}

// faults says what in the value does not fit.
func (s schema) faults(rule, value any, at string) []string {
	if allowed, ok := rule.(bool); ok {
		if allowed {
			return nil
		}
		return []string{at + " is not allowed"}
	}
	words := rule.(map[string]any)
	var out []string
	for word, argument := range words {
		out = append(out, s.word(words, word, argument, value, at)...)
	}
	slices.Sort(out)
	return out
}

func (s schema) fits(rule, value any) bool { return len(s.faults(rule, value, "")) == 0 }

func (s schema) word(words map[string]any, word string, argument, value any, at string) []string {
	object, isObject := value.(map[string]any)
	list, isList := value.([]any)
	text, isText := value.(string)
	number, isNumber := value.(float64)
	fault := func(bad bool) []string {
		if bad {
			return []string{fmt.Sprintf("%s: %s %v", at, word, argument)}
		}
		return nil
	}
	var out []string
	switch word {
	case "$schema", "$id", "title", "description", "definitions", "then", "else":
	case "$ref":
		name := strings.TrimPrefix(argument.(string), "#/definitions/")
		return s.faults(s.root["definitions"].(map[string]any)[name], value, at)
	case "type":
		types, several := argument.([]any)
		if !several {
			types = []any{argument}
		}
		return fault(!slices.ContainsFunc(types, func(one any) bool { return isType(one.(string), value) }))
	case "const":
		return fault(!reflect.DeepEqual(argument, value))
	case "enum":
		return fault(!slices.ContainsFunc(argument.([]any), func(one any) bool { return reflect.DeepEqual(one, value) }))
	case "pattern":
		return fault(isText && !regexp.MustCompile(argument.(string)).MatchString(text))
	case "minLength":
		return fault(isText && float64(utf8.RuneCountInString(text)) < argument.(float64))
	case "maximum":
		return fault(isNumber && number > argument.(float64))
	case "minimum":
		return fault(isNumber && number < argument.(float64))
	case "minItems":
		return fault(isList && float64(len(list)) < argument.(float64))
	case "maxItems":
		return fault(isList && float64(len(list)) > argument.(float64))
	case "minProperties":
		return fault(isObject && float64(len(object)) < argument.(float64))
	case "required":
		for _, name := range argument.([]any) {
			if _, has := object[name.(string)]; isObject && !has {
				out = append(out, at+" needs "+name.(string))
			}
		}
	case "properties":
		for name, rule := range argument.(map[string]any) {
			if member, has := object[name]; has {
				out = append(out, s.faults(rule, member, at+"."+name)...)
			}
		}
	case "additionalProperties":
		known, _ := words["properties"].(map[string]any)
		for name, member := range object {
			if _, has := known[name]; !has {
				out = append(out, s.faults(argument, member, at+"."+name)...)
			}
		}
	case "items":
		for i, item := range list {
			out = append(out, s.faults(argument, item, fmt.Sprintf("%s[%d]", at, i))...)
		}
	case "allOf":
		for _, rule := range argument.([]any) {
			out = append(out, s.faults(rule, value, at)...)
		}
	case "anyOf":
		return fault(!slices.ContainsFunc(argument.([]any), func(rule any) bool { return s.fits(rule, value) }))
	case "oneOf":
		matching := 0
		for _, rule := range argument.([]any) {
			if s.fits(rule, value) {
				matching++
			}
		}
		return fault(matching != 1)
	case "not":
		return fault(s.fits(argument, value))
	case "if":
		branch := "else"
		if s.fits(argument, value) {
			branch = "then"
		}
		if rule, ok := words[branch]; ok {
			return s.faults(rule, value, at)
		}
	default:
		return []string{"unknown word " + word}
	}
	return out
}

func isType(name string, value any) bool {
	number, isNumber := value.(float64)
	switch name {
	case "object":
		_, ok := value.(map[string]any)
		return ok
	case "array":
		_, ok := value.([]any)
		return ok
	case "string":
		_, ok := value.(string)
		return ok
	case "boolean":
		_, ok := value.(bool)
		return ok
	case "number":
		return isNumber
	case "integer":
		return isNumber && number == float64(int64(number))
	default:
		return name == "null" && value == nil
	}
}

// check returns what is wrong with the documents of a text.
func (s schema) check(text []byte) ([]string, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var out []string
	for {
		var n yaml.Node
		err := decoder.Decode(&n)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if v := plain(n.Content[0]); v != nil {
			out = append(out, s.faults(s.root, v, "document")...)
		}
	}
}

// plain is a YAML value as editors hand it to a schema.
func plain(n *yaml.Node) any {
	switch n.Kind {
	case yaml.MappingNode:
		object := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			object[n.Content[i].Value] = plain(n.Content[i+1])
		}
		return object
	case yaml.SequenceNode:
		list := []any{}
		for _, item := range n.Content {
			list = append(list, plain(item))
		}
		return list
	case yaml.AliasNode:
		return "alias"
	}
	var number float64
	switch {
	case n.Tag == "!!null":
		return nil
	case n.Tag == "!!bool":
		return strings.EqualFold(n.Value, "true")
	case (n.Tag == "!!int" || n.Tag == "!!float") && n.Decode(&number) == nil:
		return number
	default:
		return n.Value
	}
}

func TestWhateverLoadsFitsTheJSONSchema(t *testing.T) {
	t.Parallel()
	s := newSchema(t)
	loaded := 0
	for name, text := range policyTexts(t) {
		_, err := policy.Parse(name, text, policy.Options{})
		if err != nil && !strings.Contains(name, "starter ") {
			continue
		}
		loaded++
		if faults, err := s.check(text); err != nil || len(faults) > 0 {
			t.Errorf("%s: %v %v", name, err, faults)
		}
	}
	if loaded < 15 {
		t.Errorf("only %d policies loaded", loaded)
	}
}

// TestBrokenDocumentsDoNotFitTheJSONSchema counts on the fixtures of faults: a
// fault that a schema can see, it must see.
func TestBrokenDocumentsDoNotFitTheJSONSchema(t *testing.T) {
	t.Parallel()
	s := newSchema(t)
	archive, err := txtar.ParseFile(filepath.Join("testdata", "jsonschema.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(archive.Files); i += 2 {
		broken, want := archive.Files[i], strings.TrimSpace(string(archive.Files[i+1].Data))
		faults, err := s.check(broken.Data)
		if got := strings.Join(faults, "\n"); err != nil || !strings.HasPrefix(got, want) {
			t.Errorf("%s: %v\nwant %s\ngot  %s", broken.Name, err, want, got)
		}
		if _, err := policy.Parse(broken.Name, broken.Data, policy.Options{}); err == nil {
			t.Errorf("%s: loads", broken.Name)
		}
	}
}
