package cosmos_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/cosmos"
)

func TestRedactTakesOutWhatThePathsName(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		form       cosmos.Body
		paths      []string
		body, want string
		removed    int
	}{
		"a property":                          {cosmos.BodyItem, []string{"/card"}, `{"id":"1","card":"4711"}`, `{"id":"1"}`, 1},
		"the first of several":                {cosmos.BodyItem, []string{"/card"}, ` { "card" : [1,{"a":2}] , "id" : "1" , "n" : 1.50 } `, `{"id":"1","n":1.50}`, 1},
		"the only one":                        {cosmos.BodyItem, []string{"/card"}, `{"card":{}}`, `{}`, 1},
		"a name in capitals is another":       {cosmos.BodyItem, []string{"/card"}, `{"Card":1,"CARD":2}`, `{"Card":1,"CARD":2}`, 0},
		"a name with escapes":                 {cosmos.BodyItem, []string{"/card"}, `{"c\u0061rd":1,"\u0063\u0061\u0072\u0064":2,"x":3}`, `{"x":3}`, 2},
		"a name that is given twice":          {cosmos.BodyItem, []string{"/card"}, `{"card":1,"id":"1","card":2}`, `{"id":"1"}`, 2},
		"a name in another's place":           {cosmos.BodyItem, []string{"/card"}, `{"a":{"card":1},"card":2}`, `{"a":{"card":1}}`, 1},
		"below a property":                    {cosmos.BodyItem, []string{"/customer/email"}, `{"customer":{"email":"a@b","name":"A"},"email":"x"}`, `{"customer":{"name":"A"},"email":"x"}`, 1},
		"through an array":                    {cosmos.BodyItem, []string{"/lines/price"}, `{"lines":[{"price":1,"n":1},[{"price":2}],3]}`, `{"lines":[{"n":1},[{}],3]}`, 2},
		"what is on the way is no object":     {cosmos.BodyItem, []string{"/customer/email"}, `{"customer":"a@b"}`, `{"customer":"a@b"}`, 0},
		"several paths through one name":      {cosmos.BodyItem, []string{"/a/b", "/a/c/d", "/e"}, `{"a":{"b":1,"c":{"d":2,"x":3}},"e":4}`, `{"a":{"c":{"x":3}}}`, 3},
		"a name with a slash":                 {cosmos.BodyItem, []string{"/a~1b"}, `{"a/b":1,"a":{"b":2}}`, `{"a":{"b":2}}`, 1},
		"a name that JSON escapes":            {cosmos.BodyItem, []string{"/\"\\é"}, `{"\"\\\u00e9":1,"é\n":"\ud83d\ude00"}`, `{"é\n":"\ud83d\ude00"}`, 1},
		"every document of a feed":            {cosmos.BodyFeed, []string{"/card"}, `{"_rid":"r","Documents":[{"card":1},{"id":"2"}],"_count":2}`, `{"_rid":"r","Documents":[{},{"id":"2"}],"_count":2}`, 1},
		"what is beside the documents":        {cosmos.BodyFeed, []string{"/card"}, `{"_rid":"r","Leak":{"card":1},"Documents":[],"more":[1],"_count":0}`, `{"_rid":"r","Documents":[],"_count":0}`, 0},
		"documents twice":                     {cosmos.BodyFeed, []string{"/card"}, `{"Documents":[{"card":1}],"Documents":[{"card":2}]}`, `{"Documents":[{}],"Documents":[{}]}`, 2},
		"a wrapped change":                    {cosmos.BodyChanges, []string{"/card"}, `{"Documents":[{"current":{"card":1,"id":"1"},"previous":{"card":2},"metadata":{"lsn":7,"partitionKey":{"card":"4711"}},"card":3}]}`, `{"Documents":[{"current":{"id":"1"},"previous":{},"metadata":{"lsn":7}}]}`, 4},
		"a plain change":                      {cosmos.BodyChanges, []string{"/card"}, `{"Documents":[{"id":"1","card":1,"current":7,"metadata":null}]}`, `{"Documents":[{"id":"1","current":7,"metadata":null}]}`, 1},
		"below metadata of a plain change":    {cosmos.BodyChanges, []string{"/metadata/card"}, `{"Documents":[{"id":"1","metadata":{"card":1,"x":2}}]}`, `{"Documents":[{"id":"1","metadata":{"x":2}}]}`, 1},
		"below current of a plain change":     {cosmos.BodyChanges, []string{"/current/card", "/previous/a/b"}, `{"Documents":[{"id":"1","current":{"card":1,"x":2},"previous":{"a":{"b":1}}}]}`, `{"Documents":[{"id":"1","current":{"x":2},"previous":{"a":{}}}]}`, 2},
		"below current of a wrapped change":   {cosmos.BodyChanges, []string{"/current/card"}, `{"Documents":[{"current":{"id":"1","current":{"card":1}},"metadata":{"lsn":7}}]}`, `{"Documents":[{"current":{"id":"1","current":{}},"metadata":{"lsn":7}}]}`, 1},
		"text of a result that is not known":  {cosmos.BodyBatch, []string{"/card"}, `[{"statusCode":409,"subStatusCode":0,"requestCharge":1,"eTag":"e","retryAfterMilliseconds":1,"message":"card 4711"}]`, `[{"statusCode":409,"subStatusCode":0,"requestCharge":1,"eTag":"e","retryAfterMilliseconds":1}]`, 0},
		"every result of a batch":             {cosmos.BodyBatch, []string{"/card"}, `[{"statusCode":200,"requestCharge":1,"resourceBody":{"card":1,"id":"1"},"more":{"card":1}},{"statusCode":204,"resourceBody":null}]`, `[{"statusCode":200,"requestCharge":1,"resourceBody":{"id":"1"}},{"statusCode":204,"resourceBody":null}]`, 1},
		"an empty batch":                      {cosmos.BodyBatch, []string{"/card"}, `[]`, `[]`, 0},
		"the deepest that the service stores": {cosmos.BodyItem, []string{"/card"}, strings.Repeat(`{"a":`, 127) + `1` + strings.Repeat(`}`, 127), strings.Repeat(`{"a":`, 127) + `1` + strings.Repeat(`}`, 127), 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, removed, err := cosmos.Redact([]byte(row.body), row.form, pointers(row.paths))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(row.want, string(got)); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
			if removed != row.removed {
				t.Errorf("removed %d, want %d", removed, row.removed)
			}
		})
	}
}

func TestBodiesThatCannotBeReadAreNotPassedOn(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		form cosmos.Body
		body string
	}{
		"binary JSON":               {cosmos.BodyItem, "\x80\x01card"},
		"no JSON":                   {cosmos.BodyItem, "card"},
		"two texts":                 {cosmos.BodyItem, `{} {"card":1}`},
		"no UTF-8":                  {cosmos.BodyItem, "{\"a\":\"\xff\"}"},
		"cut short":                 {cosmos.BodyFeed, `{"Documents":[{"card":1}`},
		"a list for an item":        {cosmos.BodyItem, `[{"card":1}]`},
		"text for an item":          {cosmos.BodyItem, `"4711"`},
		"values for documents":      {cosmos.BodyFeed, `{"Documents":["4711"]}`},
		"an object for documents":   {cosmos.BodyFeed, `{"Documents":{"card":1}}`},
		"an object for a count":     {cosmos.BodyFeed, `{"_count":{"card":1}}`},
		"a list for a feed":         {cosmos.BodyFeed, `[{"card":1}]`},
		"values for changes":        {cosmos.BodyChanges, `{"Documents":["4711"]}`},
		"text for a resource body":  {cosmos.BodyBatch, `[{"resourceBody":"{\"card\":1}"}]`},
		"an object for a batch":     {cosmos.BodyBatch, `{"card":1}`},
		"a result that is a number": {cosmos.BodyBatch, `[7]`},
		"a body of no form":         {cosmos.BodyNone, `{}`},
		"a body of an unknown form": {99, `{}`},
		"half a surrogate":          {cosmos.BodyItem, `{"a":"\ud83d"}`},
		"too deep":                  {cosmos.BodyItem, strings.Repeat(`{"a":`, 200) + `1` + strings.Repeat(`}`, 200)},
		"too deep under a path":     {cosmos.BodyItem, `{"card":` + strings.Repeat(`[`, 200) + strings.Repeat(`]`, 200) + `}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, _, err := cosmos.Redact([]byte(row.body), row.form, [][]string{{"card", "x"}})
			if err == nil {
				t.Errorf("passed on %s", got)
			}
		})
	}
}

// FuzzRedact compares with what encoding/json makes of the body.
func FuzzRedact(f *testing.F) {
	f.Add([]byte(`{"card":1,"a":[{"b":2,"c":"\ud83d\ude00"}],"customer":{"email":"x"}}`))
	f.Add([]byte(`{"c\u0061rd":{"a":[]},"card":2,"a":{"b":[{"b":1}]}}`))
	f.Add([]byte(`{"card":1` + strings.Repeat("0", 400) + `,"a":1` + strings.Repeat("0", 400) + `}`)) // no float64 holds them
	paths := [][]string{{"card"}, {"a", "b"}}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, _, err := cosmos.Redact(body, cosmos.BodyItem, paths)
		if err != nil {
			return
		}
		var before, after any
		if err := decodeExactly(body, &before); err != nil {
			t.Fatalf("accepted %q: %v", body, err)
		}
		if err := decodeExactly(got, &after); err != nil {
			t.Fatalf("wrote %q: %v", got, err)
		}
		if diff := cmp.Diff(without(before, paths), after); diff != "" {
			t.Errorf("%q became %q (-want +got):\n%s", body, got, diff)
		}
	})
}

// decodeExactly decodes JSON with its numbers as they are written, however large.
func decodeExactly(body []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	return decoder.Decode(into)
}

// without is the oracle of Redact.
func without(value any, paths [][]string) any {
	switch v := value.(type) {
	case []any:
		for i := range v {
			v[i] = without(v[i], paths)
		}
	case map[string]any:
		for name := range v {
			var below [][]string
			for _, p := range paths {
				if len(p) > 0 && p[0] == name {
					below = append(below, p[1:])
				}
			}
			if slices.ContainsFunc(below, func(p []string) bool { return len(p) == 0 }) {
				delete(v, name)
				continue
			}
			v[name] = without(v[name], below)
		}
	}
	return value
}

// pointers reads JSON Pointers.
func pointers(texts []string) [][]string {
	var out [][]string
	for _, text := range texts {
		names := strings.Split(strings.TrimPrefix(text, "/"), "/")
		for i := range names {
			names[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(names[i])
		}
		out = append(out, names)
	}
	return out
}
