package scim_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// FuzzFilter asks for a list with any filter: an answer or a SCIM error, never
// anything else.
func FuzzFilter(f *testing.F) {
	for _, seed := range []string{
		`userName eq "a"`, `emails[type eq "work" and value co "x"].value eq "y"`, `not (active pr) or id ne null`,
		`urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department sw "\u00e9"`, `((((`, `title eq "`,
		`meta.created gt "2020-01-01T00:00:00Z" and groups pr`, `active eq tRue`, `a`, `emails[`, `members eq "x"`,
	} {
		f.Add(seed)
	}
	g := newGate(f)
	g.want(f, http.StatusCreated, http.MethodPost, "/Users",
		`{"userName":"a","title":"x","emails":[{"type":"work","value":"x@y.example"}]}`)
	f.Fuzz(func(t *testing.T, filter string) {
		for _, path := range []string{"/Users", "/Groups"} {
			w := g.do(http.MethodGet, path+"?filter="+url.QueryEscape(filter), "")
			switch w.Code {
			case http.StatusOK, http.StatusBadRequest, http.StatusForbidden:
			default:
				t.Errorf("%q: %d %s", filter, w.Code, w.Body)
			}
		}
	})
}

// FuzzPatch sends any PATCH body: it is done, or refused without effect, and
// the record stays readable.
func FuzzPatch(f *testing.F) {
	for _, seed := range []string{
		patchBody(`{"op":"Replace","path":"active","value":"False"}`),
		patchBody(`{"op":"replace","value":{"name.givenName":"A","emails[type eq \"work\"].value":"x"}}`),
		patchBody(`{"op":"add","path":"emails","value":[{"value":"a","primary":true}]}`, `{"op":"remove","path":"emails[value eq \"a\"]"}`),
		patchBody(`{"op":"replace","path":"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User","value":{"manager":"x"}}`),
		patchBody(`{"op":"replace","path":"name","value":{"familyName":null}}`), `{}`, `{"Operations":[null]}`,
		patchBody(`{"op":"add","path":"roles[primary eq \"True\"].value","value":["x"]}`),
		patchBody(`{"op":"remove","path":"members","value":{}}`), patchBody(`{"op":"add","path":"emails.value","value":null}`),
	} {
		f.Add(seed)
	}
	g := newGate(f)
	user, group := g.user(f, "a"), g.group(f, "g")
	f.Fuzz(func(t *testing.T, body string) {
		for _, path := range []string{"/Users/" + user, "/Groups/" + group} {
			before := g.do(http.MethodGet, path, "").Body.String()
			w := g.do(http.MethodPatch, path, body)
			after := g.do(http.MethodGet, path, "")
			if after.Code != http.StatusOK || !json.Valid(after.Body.Bytes()) {
				t.Fatalf("%s: unreadable after it: %d", body, after.Code)
			}
			switch {
			case w.Code < http.StatusMultipleChoices:
			case w.Code >= http.StatusInternalServerError:
				t.Errorf("%s: %d %s", body, w.Code, w.Body)
			case after.Body.String() != before:
				t.Errorf("%s: refused with %d but changed something", body, w.Code)
			}
		}
	})
}

// FuzzBody posts any body. What is accepted must be JSON to encoding/json too,
// and must be found again under its own name.
func FuzzBody(f *testing.F) {
	for _, seed := range []string{
		`{"userName":"a"}`, `{"userName":"\ud800"}`, `{"userName":"a","name":{"givenName":[]}}`, `{"userName":"a",}`,
		`{"userName":"\u0041\"","active":"true","x509Certificates":[{"value":"AA=="}]}`, "\xef\xbb\xbf{}", `{"userName":1e9}`,
	} {
		f.Add(seed)
	}
	g := newGate(f)
	f.Fuzz(func(t *testing.T, body string) {
		w := g.do(http.MethodPost, "/Users", body)
		switch {
		case w.Code == http.StatusCreated:
			if !json.Valid([]byte(body)) {
				t.Errorf("%q isn't JSON but was accepted", body)
			}
			var made struct{ ID, UserName string }
			if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil {
				t.Fatal(err)
			}
			quoted, err := json.Marshal(made.UserName)
			if err != nil {
				t.Fatal(err)
			}
			found := g.do(http.MethodGet, "/Users?filter="+url.QueryEscape("userName eq "+string(quoted)), "")
			if len(made.UserName) < 4096 && !strings.Contains(found.Body.String(), made.ID) {
				t.Errorf("%q isn't found again: %s", made.UserName, found.Body)
			}
			g.want(t, http.StatusNoContent, http.MethodDelete, "/Users/"+made.ID, "")
		case w.Code >= http.StatusInternalServerError || w.Code < http.StatusBadRequest:
			t.Errorf("%q: %d %s", body, w.Code, w.Body)
		}
	})
}

// FuzzBulk sends any body to where a body says what is to be done, or sought: it
// is answered in the words of SCIM, and records stay readable.
func FuzzBulk(f *testing.F) {
	for _, seed := range []string{
		bulkBody(`{"method":"POST","path":"/Users","bulkId":"a","data":{"userName":"a"}}`, `{"method":"DELETE","path":"/Users/bulkId:a"}`),
		bulkBody(`{"method":"POST","path":"/Groups","bulkId":"g","data":{"displayName":"g","members":[{"value":"bulkId:g"}]}}`),
		bulkBody(`{"method":"PATCH","path":"/Users/bulkId:","data":{"Operations":[{"op":"remove","path":"title"}]}}`),
		`{"failOnErrors":1,"Operations":[{"method":"PUT","path":"//","data":[]},{"method":"DELETE"}]}`, `{"Operations":[{}]}`, `{"failOnErrors":1e9,"Operations":[1]}`,
		`{"filter":"userName eq \"a\"","count":"1","cursor":"","attributes":["id"]}`, `{"startIndex":-1,"sortBy":"meta","sortOrder":"descending"}`, `{"attributes":[null]}`,
	} {
		f.Add(seed)
	}
	g := newGate(f)
	user := g.user(f, "kept")
	f.Fuzz(func(t *testing.T, body string) {
		for _, path := range []string{"/Bulk", "/.search", "/Users/.search"} {
			w := g.do(http.MethodPost, path, body)
			switch w.Code {
			case http.StatusOK, http.StatusBadRequest, http.StatusForbidden, http.StatusRequestEntityTooLarge:
			default:
				t.Errorf("%s %q: %d %s", path, body, w.Code, w.Body)
			}
			if !json.Valid(w.Body.Bytes()) {
				t.Errorf("%s %q: no JSON: %s", path, body, w.Body)
			}
		}
		if w := g.do(http.MethodGet, "/Users/"+user, ""); w.Code != http.StatusOK && w.Code != http.StatusNotFound {
			t.Errorf("unreadable after %q: %d", body, w.Code)
		}
	})
}
