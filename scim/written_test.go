package scim_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/scim"
)

func TestWhatAProviderChangesIsRecordedAndNothingElse(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var written []scim.Written
	g := newGate(t, func(c *scim.Config) {
		c.Record = func(w scim.Written) {
			mu.Lock()
			defer mu.Unlock()
			written = append(written, w)
		}
	})
	ann, bob := g.user(t, "ann"), g.user(t, "bob")
	team := g.group(t, "team", ann)
	names := strings.NewReplacer(ann, "ANN", bob, "BOB", team, "TEAM")
	// last returns the records since the last call, with names for ids.
	last := func() []string {
		mu.Lock()
		defer mu.Unlock()
		var lines []string
		for _, w := range written {
			if w.Time.IsZero() || w.Connection != corp {
				t.Errorf("incomplete record %+v", w)
			}
			lines = append(lines, names.Replace(strings.Join(w.Actions, ",")+" | "+w.Target+" | "+w.Detail))
		}
		written = nil
		return lines
	}
	want := func(what string, lines ...string) {
		t.Helper()
		if diff := cmp.Diff(lines, last()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	want("making", "user.create | user ANN | active true", "user.create | user BOB | active true", "group.create,members.add | group TEAM | added ANN")
	g.want(t, http.StatusNoContent, http.MethodPatch, "/Groups/"+team, patchBody(
		`{"op":"add","path":"members","value":[{"value":"`+bob+`"}]}`, `{"op":"remove","path":"members[value eq \"`+ann+`\"]"}`))
	want("members", "members.add,members.remove | group TEAM | added BOB; removed ANN")
	g.want(t, http.StatusNoContent, http.MethodPatch, "/Groups/"+team, patchBody(`{"op":"add","path":"members","value":[{"value":"`+bob+`"}]}`))
	want("nothing new")
	g.want(t, http.StatusOK, http.MethodPatch, "/Users/"+ann, patchBody(
		`{"op":"replace","path":"active","value":false}`, `{"op":"add","path":"externalId","value":"hunter2"}`, `{"op":"add","path":"title","value":"hunter2"}`))
	want("an edit", "user.edit | user ANN | active false, externalId: linked, title")
	g.want(t, http.StatusOK, http.MethodPatch, "/Users/"+ann, patchBody(`{"op":"replace","path":"externalId","value":"other"}`))
	g.want(t, http.StatusOK, http.MethodPatch, "/Users/"+ann, patchBody(`{"op":"replace","path":"nickName","value":"hunter2"}`))
	want("links", "user.edit | user ANN | externalId: the link is another", "user.edit | user ANN | nothing that policy reads")
	g.want(t, http.StatusBadRequest, http.MethodPatch, "/Users/"+ann, patchBody(`{"op":"replace","path":"nosuch","value":1}`))
	g.want(t, http.StatusOK, http.MethodGet, "/Users/"+ann, "")
	want("refusals and reads")
	g.want(t, http.StatusOK, http.MethodPost, "/Bulk", `{"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],"Operations":[`+
		`{"method":"DELETE","path":"/Users/`+ann+`"},{"method":"DELETE","path":"/Groups/`+team+`"}]}`)
	want("bulk", "user.delete | user ANN | ", "group.delete | group TEAM | ")
	if s := g.Status()[0]; s.LastWrite.IsZero() {
		t.Error("no last write")
	}
}

func TestWhoHangsUpChangesNothingUnrecorded(t *testing.T) {
	t.Parallel()
	recorded := 0
	g := newGate(t, func(c *scim.Config) { c.Record = func(scim.Written) { recorded++ } })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	const requests = 50
	for i := range requests {
		body := strings.NewReader(fmt.Sprintf(`{"userName":"u%d"}`, i))
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, "https://elsewhere.example/scim/v2/corp/Users", body)
		r.Header.Set("Authorization", "Bearer "+token)
		g.ServeHTTP(httptest.NewRecorder(), r)
	}
	if made := g.directory.Counts(corp).Users; made != recorded {
		t.Errorf("%d people made, %d recorded", made, recorded)
	}
}
