package scim_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The groups of a user are written in one way if all of them is asked for, and
// in another for parts: a provider must not be able to tell.
func TestGroupsOfAUserAreTheSameWhicheverWayTheyAreAskedFor(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	ann := g.user(t, "ann")
	inner, outer := g.group(t, `in\"ner <é\\>`), g.group(t, "outer")
	for group, member := range map[string]string{inner: ann, outer: inner} {
		if w := g.do(http.MethodPatch, "/Groups/"+group, patchBody(`{"op":"add","path":"members","value":[{"value":"`+member+`"}]}`)); w.Code != http.StatusNoContent {
			t.Fatal(w.Code, w.Body)
		}
	}
	groups := func(query string) (list []map[string]string) {
		t.Helper()
		w := g.do(http.MethodGet, "/Users/"+ann+query, "")
		var user struct {
			Groups json.RawMessage `json:"groups"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &user); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(user.Groups, &list); err != nil {
			t.Fatalf("%s: %v", w.Body, err)
		}
		return list
	}
	whole := groups("")
	if len(whole) != 2 {
		t.Fatalf("%v", whole)
	}
	for _, x := range whole {
		want := map[string]string{"value": inner, "type": "direct", "display": `in"ner <é\>`}
		if x["value"] == outer {
			want = map[string]string{"value": outer, "type": "indirect", "display": "outer"}
		}
		if want["$ref"] = x["$ref"]; !strings.HasSuffix(x["$ref"], "/Groups/"+x["value"]) {
			t.Errorf("$ref %s", x["$ref"])
		}
		if diff := cmp.Diff(want, x); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
	for _, query := range []string{"?attributes=groups", "?attributes=groups.value,groups.type,groups.display,groups.$ref", "?excludedAttributes=name.givenName"} {
		if diff := cmp.Diff(whole, groups(query)); diff != "" {
			t.Errorf("%s: (-whole +got)\n%s", query, diff)
		}
	}
}
