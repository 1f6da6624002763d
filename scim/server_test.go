package scim_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/scim"
)

func TestEverySpellingOfRemovingMembersLeavesExactlyTheOthers(t *testing.T) {
	t.Parallel()
	value := func(ids []string, format, separator string) string {
		parts := make([]string, 0, len(ids))
		for _, id := range ids {
			parts = append(parts, fmt.Sprintf(format, id))
		}
		return strings.Join(parts, separator)
	}
	spellings := map[string]func(ids []string) string{
		"a value array": func(ids []string) string {
			return patchBody(`{"op":"remove","path":"members","value":[` + value(ids, `{"value":%q}`, ",") + `]}`)
		},
		"Entra's value array": func(ids []string) string {
			return patchBody(`{"op":"Remove","path":"members","value":[` + value(ids, `{"$ref":null,"value":%q}`, ",") + `]}`)
		},
		"a value array of bare ids": func(ids []string) string {
			return patchBody(`{"op":"remove","path":"members","value":[` + value(ids, `%q`, ",") + `]}`)
		},
		"one filter each": func(ids []string) string {
			return patchBody(value(ids, `{"op":"remove","path":"members[value eq \"%s\"]"}`, ","))
		},
		"one filter for all": func(ids []string) string {
			return patchBody(`{"op":"remove","path":"members[` + value(ids, `value eq \"%s\"`, " or ") + `]"}`)
		},
		"one operation each": func(ids []string) string {
			return patchBody(value(ids, `{"op":"REMOVE","path":"Members","value":[{"value":%q}]}`, ","))
		},
		"the bare URN of the attribute": func(ids []string) string {
			return patchBody(`{"op":"remove","path":"urn:ietf:params:scim:schemas:core:2.0:Group:members","value":[` +
				value(ids, `{"value":%q}`, ",") + `]}`)
		},
		"a filter that names the type too": func(ids []string) string {
			return patchBody(value(ids, `{"op":"remove","path":"members[type eq \"User\" and value eq \"%s\"]"}`, ","))
		},
	}
	for name, spell := range spellings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t)
			var all []string
			for i := range 12 {
				all = append(all, g.user(t, fmt.Sprintf("u%d", i)))
			}
			for round := range 8 {
				group := g.group(t, fmt.Sprintf("g%d", round), all...)
				gone := slices.Clone(all)
				rand.Shuffle(len(gone), func(i, j int) { gone[i], gone[j] = gone[j], gone[i] })
				gone = gone[:1+round]
				want := slices.DeleteFunc(slices.Clone(all), func(id string) bool { return slices.Contains(gone, id) })
				g.want(t, http.StatusNoContent, http.MethodPatch, "/Groups/"+group, spell(gone))
				if diff := cmp.Diff(want, g.members(t, group)); diff != "" {
					t.Fatalf("removed %d (-want +got)\n%s", len(gone), diff)
				}
			}
		})
	}
}

func TestRemovingNoMembersRemovesNone(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	ann := g.user(t, "ann")
	group := g.group(t, "g", ann)
	g.want(t, http.StatusNoContent, http.MethodPatch, "/Groups/"+group, patchBody(`{"op":"remove","path":"members","value":[]}`))
	g.want(t, http.StatusBadRequest, http.MethodPatch, "/Groups/"+group, patchBody(`{"op":"remove","path":"members","value":null}`))
	g.want(t, http.StatusBadRequest, http.MethodPatch, "/Groups/"+group, patchBody(`{"op":"remove","path":"member"}`))
	if diff := cmp.Diff([]string{ann}, g.members(t, group)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	g.want(t, http.StatusNoContent, http.MethodPatch, "/Groups/"+group, patchBody(`{"op":"remove","path":"members"}`))
	if diff := cmp.Diff([]string{}, g.members(t, group)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestConcurrentPatchesLoseNothing(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	const people = 48
	var all []string
	for i := range people {
		all = append(all, g.user(t, fmt.Sprintf("u%02d", i)))
	}
	group := g.group(t, "g", all[:people/2]...)
	target := g.user(t, "target")
	fields := []string{"nickName", "title", "locale", "timezone", "displayName", "userType"}
	var wait sync.WaitGroup
	for i, id := range all {
		wait.Go(func() {
			verb := "add"
			if i < people/2 {
				verb = "remove"
			}
			w := g.do(http.MethodPatch, "/Groups/"+group, patchBody(`{"op":"`+verb+`","path":"members","value":[{"value":"`+id+`"}]}`))
			if w.Code != http.StatusNoContent {
				t.Errorf("%s: %d %s", verb, w.Code, w.Body)
			}
		})
	}
	for _, field := range fields {
		wait.Go(func() {
			w := g.do(http.MethodPatch, "/Users/"+target, patchBody(`{"op":"add","path":"`+field+`","value":"set"}`))
			if w.Code != http.StatusOK {
				t.Errorf("%s: %d %s", field, w.Code, w.Body)
			}
		})
	}
	wait.Wait()
	if diff := cmp.Diff(all[people/2:], g.members(t, group)); diff != "" {
		t.Errorf("members (-want +got)\n%s", diff)
	}
	user := g.want(t, http.StatusOK, http.MethodGet, "/Users/"+target, "")
	for _, field := range fields {
		if user[field] != "set" {
			t.Errorf("%s was lost", field)
		}
	}
}

func TestAPushIsObeyedByTheNextLookup(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	user := g.want(t, http.StatusCreated, http.MethodPost, "/Users", `{"userName":"ann","externalId":"oid-1",
		"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"emea"},"title":"DBA"}`)
	id, _ := user["id"].(string)
	group := g.group(t, "readers", id)
	key := directory.LinkKey{Connection: corp, ExternalID: "oid-1"}
	view, ok := g.directory.Lookup(key)
	if !ok || !view.Active || len(view.Groups) != 1 || string(view.Groups[0].ID) != group {
		t.Fatalf("after the push: %v %+v", ok, view)
	}
	if view.Attributes["department"] != "emea" || view.Attributes["title"] != "DBA" ||
		view.Attributes["urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department"] != "emea" {
		t.Errorf("attributes are %v", view.Attributes)
	}
	g.want(t, http.StatusOK, http.MethodPatch, "/Users/"+id, patchBody(`{"op":"Replace","path":"active","value":"False"}`))
	if view, ok := g.directory.Lookup(key); !ok || view.Active {
		t.Errorf("after the deactivation: %v %+v", ok, view)
	}
	g.want(t, http.StatusOK, http.MethodPatch, "/Users/"+id, patchBody(`{"op":"Replace","path":"active","value":true}`))
	if view, _ := g.directory.Lookup(key); len(view.Groups) != 1 {
		t.Error("reactivation lost the memberships")
	}
	g.want(t, http.StatusNoContent, http.MethodDelete, "/Users/"+id, "")
	if _, ok := g.directory.Lookup(key); ok {
		t.Error("after the deletion the link still works")
	}
}

func TestACredentialOpensItsOwnConnectionOnly(t *testing.T) {
	t.Parallel()
	g := newGate(t, func(c *scim.Config) {
		c.Connections = append(c.Connections, scim.Connection{Name: "other"})
	})
	rows := map[string]struct {
		path, authorization string
		want                int
	}{
		"its own":                    {"/corp/Users", "Bearer " + token, http.StatusOK},
		"any case of the scheme":     {"/corp/Users", "bearer " + token, http.StatusOK},
		"another connection":         {"/other/Users", "Bearer " + token, http.StatusUnauthorized},
		"no token":                   {"/corp/Users", "", http.StatusUnauthorized},
		"a wrong token":              {"/corp/Users", "Bearer x", http.StatusUnauthorized},
		"basic":                      {"/corp/Users", "Basic eDp5", http.StatusUnauthorized},
		"an unknown connection":      {"/nobody/Users", "Bearer " + token, http.StatusNotFound},
		"discovery without token":    {"/corp/Schemas", "", http.StatusOK},
		"a path outside the service": {"/../corp/Users", "Bearer " + token, http.StatusNotFound},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodGet, "/scim/v2"+row.path, nil)
			if row.authorization != "" {
				r.Header.Set("Authorization", row.authorization)
			}
			w := httptest.NewRecorder()
			g.ServeHTTP(w, r)
			if w.Code != row.want {
				t.Errorf("status %d, want %d: %s", w.Code, row.want, w.Body)
			}
			if w.Code == http.StatusUnauthorized && w.Header().Get("WWW-Authenticate") == "" {
				t.Error("401 without WWW-Authenticate")
			}
		})
	}
}

func TestRecordsOfAnotherConnectionDoNotExist(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	results, err := g.directory.Apply(t.Context(), "other",
		directory.CreateUser{User: directory.User{UserName: "theirs"}})
	if err != nil {
		t.Fatal(err)
	}
	path := "/Users/" + string(results[0].ID)
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		g.want(t, http.StatusNotFound, method, path, "")
	}
	g.want(t, http.StatusNotFound, http.MethodPatch, path, patchBody(`{"op":"replace","path":"active","value":false}`))
	g.want(t, http.StatusNotFound, http.MethodPut, path, `{"userName":"mine"}`)
	group := g.group(t, "g")
	g.want(t, http.StatusBadRequest, http.MethodPatch, "/Groups/"+group,
		patchBody(`{"op":"add","path":"members","value":[{"value":"`+string(results[0].ID)+`"}]}`))
}

func TestTooManyRequestsAreToldWhenToComeBack(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	g := newGate(t, func(c *scim.Config) {
		c.Connections[0].Rate, c.Connections[0].Burst = 25, 3
		c.Clock = func() time.Time { return now }
	})
	for range 3 {
		g.want(t, http.StatusOK, http.MethodGet, "/Users", "")
	}
	w := g.do(http.MethodGet, "/Users", "")
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
		t.Errorf("status %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
}

func TestHostileInputIsRefusedAndChangesNothing(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	ann := g.user(t, "ann")
	group := g.group(t, "g", ann)
	before := g.want(t, http.StatusOK, http.MethodGet, "/Users/"+ann, "")
	many := strings.Repeat(`{"op":"add","path":"nickName","value":"x"},`, 100_000)
	rows := map[string]struct {
		method, path, body string
		want               int
	}{
		"10k parentheses":                {http.MethodPost, "/Users/.search", `{"filter":"` + strings.Repeat("(", 10_000) + `"}`, 400},
		"deep parentheses":               {http.MethodPost, "/Users/.search", `{"filter":"` + strings.Repeat("(", 4000) + `"}`, 400},
		"many terms":                     {http.MethodPost, "/Users/.search", `{"filter":"` + strings.Repeat("active pr or ", 500) + `active pr"}`, 400},
		"64 MB":                          {http.MethodPost, "/Users", `{"userName":"` + strings.Repeat("x", 64<<20) + `"}`, 413},
		"100k operations":                {http.MethodPatch, "/Users/" + ann, patchBody(strings.TrimSuffix(many, ",")), 413},
		"100k operations in little room": {http.MethodPatch, "/Users/" + ann, patchBody(strings.TrimSuffix(strings.Repeat(`{"op":"remove","path":"title"},`, 100_000), ",")), 413},
		"100k operations on members":     {http.MethodPatch, "/Groups/" + group, patchBody(strings.TrimSuffix(strings.Repeat(`{"op":"remove","path":"members"},`, 100_000), ",")), 413},
		"100k keys":                      {http.MethodPost, "/Users", `{"userName":"x"` + keys(100_000) + `}`, 400},
		"a numeric externalId":           {http.MethodPost, "/Users", `{"userName":"x","externalId":1}`, 400},
		"a numeric userName":             {http.MethodPost, "/Users", `{"userName":1}`, 400},
		"a huge name in a filter":        {http.MethodPost, "/Users/.search", `{"filter":"` + strings.Repeat("n", 1<<20) + ` pr"}`, 400},
		"deep JSON":                      {http.MethodPost, "/Users", `{"userName":` + strings.Repeat("[", 100_000) + "1", 400},
		"duplicate keys":                 {http.MethodPost, "/Users", `{"userName":"x","userName":"y"}`, 400},
		"duplicate nested":               {http.MethodPost, "/Users", `{"userName":"x","name":{"givenName":"a","GIVENNAME":"b"}}`, 400},
		"invalid UTF-8":                  {http.MethodPost, "/Users", "{\"userName\":\"x\xff\"}", 400},
		"half a surrogate pair":          {http.MethodPost, "/Users", `{"userName":"x","externalId":"\ud800"}`, 400},
		"the other half":                 {http.MethodPost, "/Users", `{"userName":"x\ude00","externalId":"y"}`, 400},
		"two first halves":               {http.MethodPost, "/Users", `{"userName":"\uD83D\uD83D\uDE00"}`, 400},
		"half a pair in a filter":        {http.MethodGet, `/Users?filter=externalId%20eq%20%22%5Cud800%22`, ``, 400},
		"text after":                     {http.MethodPost, "/Users", `{"userName":"x"} {}`, 400},
		"an array":                       {http.MethodPost, "/Users", `[]`, 400},
		"nothing":                        {http.MethodPost, "/Users", ``, 400},
		"a numeric id":                   {http.MethodPatch, "/Groups/" + group, patchBody(`{"op":"add","path":"members","value":[{"value":1}]}`), 400},
		"a huge name":                    {http.MethodPost, "/Users", `{"userName":"x","` + strings.Repeat("n", 1<<20) + `":1}`, 400},
		"a huge path":                    {http.MethodPatch, "/Users/" + ann, patchBody(`{"op":"add","path":"` + strings.Repeat("n", 1<<20) + `","value":1}`), 400},
		"too many values":                {http.MethodPatch, "/Users/" + ann, patchBody(`{"op":"replace","path":"roles","value":[` + strings.TrimSuffix(strings.Repeat(`{"value":"r"},`, 1001), ",") + `]}`), 413},
		"half of it is wrong":            {http.MethodPatch, "/Users/" + ann, patchBody(`{"op":"replace","path":"title","value":"x"}`, `{"op":"replace","path":"active","value":"maybe"}`), 400},
		"an unknown verb":                {http.MethodPatch, "/Users/" + ann, patchBody(`{"op":"move","path":"title","value":"x"}`), 400},
		"a misspelt key":                 {http.MethodPatch, "/Users/" + ann, patchBody(`{"op":"replace","paht":"title","value":"x"}`), 400},
		"operations no array":            {http.MethodPatch, "/Users/" + ann, `{"Operations":{}}`, 400},
		"form data":                      {http.MethodPost, "/Users", `userName=x`, 400},
		"a parameter twice":              {http.MethodGet, "/Users?count=1&count=2", ``, 400},
		"a path of slashes":              {http.MethodGet, "/Users//x", ``, 404},
		"rubbish as a cursor":            {http.MethodGet, "/Users?cursor=%00", ``, 400},
		"an unterminated text":           {http.MethodGet, `/Users?filter=userName%20eq%20%22x`, ``, 400},
	}
	for name, row := range rows {
		w := g.do(row.method, row.path, row.body)
		if w.Code != row.want || !strings.Contains(w.Body.String(), "urn:ietf:params:scim:api:messages:2.0:Error") {
			t.Errorf("%s: status %d, want %d: %.200s", name, w.Code, row.want, w.Body)
		}
		if w.Body.Len() > 1024 {
			t.Errorf("%s: an error of %d bytes", name, w.Body.Len())
		}
	}
	w := g.do(http.MethodPost, "/Users", `userName=x`, "Content-Type", "application/x-www-form-urlencoded")
	if w.Code != http.StatusUnsupportedMediaType {
		t.Errorf("form data: %d", w.Code)
	}
	if diff := cmp.Diff(before, g.want(t, http.StatusOK, http.MethodGet, "/Users/"+ann, "")); diff != "" {
		t.Errorf("something changed (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(directory.Counts{Users: 1, Active: 1, Groups: 1}, g.directory.Counts(corp)); diff != "" {
		t.Errorf("something was made (-want +got)\n%s", diff)
	}
}

func TestABaseURLThatIsMisspeltIsInTheLogAndNoFloodOfThem(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	g := newGate(t, func(c *scim.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	for range 100 {
		w := httptest.NewRecorder()
		g.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "https://gate.example/scim/v2/cropp/Users/ann@corp.example", nil))
		if w.Code != http.StatusNotFound {
			t.Fatalf("status %d", w.Code)
		}
	}
	g.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "https://gate.example/robots.txt", nil))
	lines := strings.Count(log.String(), "path=/scim/v2/cropp/Users/{id}")
	if lines == 0 || lines > 10 || strings.Contains(log.String(), "ann@") || strings.Contains(log.String(), "robots") {
		t.Errorf("%d lines:\n%s", lines, &log)
	}
}

// keys are members of an object, all different.
func keys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"k%d":1`, i)
	}
	return b.String()
}

func TestAWrongMethodIsToldTheRightOnes(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	for path, want := range map[string]string{
		"/Users": "GET, POST", "/Users/x": "GET, PUT, PATCH, DELETE", "/Schemas": "GET", "/.search": "POST", "/Bulk": "POST",
	} {
		w := g.do(http.MethodOptions, path, "")
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != want {
			t.Errorf("%s: status %d, Allow %q", path, w.Code, w.Header().Get("Allow"))
		}
	}
}

func TestOwnAttributesAreKeptAndShownToPolicy(t *testing.T) {
	t.Parallel()
	const urn = "urn:corp:params:scim:schemas:2.0:Access"
	g := newGate(t, func(c *scim.Config) {
		c.Connections[0].Extensions = []scim.Schema{{ID: urn, Attributes: []*scim.Attribute{
			{Name: "clearance"}, {Name: "level", Type: scim.TypeInteger},
		}}}
	})
	user := g.want(t, http.StatusCreated, http.MethodPost, "/Users",
		`{"userName":"ann","externalId":"x","`+urn+`":{"clearance":"high","level":3}}`)
	id, _ := user["id"].(string)
	g.want(t, http.StatusOK, http.MethodPatch, "/Users/"+id, patchBody(`{"op":"replace","path":"`+urn+`:level","value":4}`))
	view, _ := g.directory.Lookup(directory.LinkKey{Connection: corp, ExternalID: "x"})
	want := map[string]string{urn + ":clearance": "high", urn + ":level": "4"}
	if diff := cmp.Diff(want, view.Attributes); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	list := g.want(t, http.StatusOK, http.MethodPost, "/Users/.search", `{"filter":"`+urn+`:level gt 3"}`)
	if list["totalResults"] != float64(1) {
		t.Errorf("filter found %v", list["totalResults"])
	}
	g.want(t, http.StatusOK, http.MethodGet, "/Schemas/"+urn, "")
}

func TestOwnAttributesAreAttributesLikeOthers(t *testing.T) {
	t.Parallel()
	const urn = "urn:corp:params:scim:schemas:2.0:Access"
	g := newGate(t, func(c *scim.Config) {
		c.Connections[0].Extensions = []scim.Schema{{ID: urn, Name: "Access", Attributes: []*scim.Attribute{
			{Name: "clearance", Policy: "clearance"}, {Name: "level", Type: scim.TypeInteger}, {Name: "onCall", Type: scim.TypeBoolean, Policy: "onCall"},
			{Name: "until", Type: scim.TypeDateTime}, {Name: "badge", CaseExact: true}, {Name: "sites", MultiValued: true},
		}}}
	})
	id := g.user(t, "ann")
	found := func(filter string) any {
		t.Helper()
		return g.want(t, http.StatusOK, http.MethodPost, "/Users/.search", `{"filter":"`+strings.ReplaceAll(filter, `"`, `\"`)+`"}`)["totalResults"]
	}
	for _, row := range []struct{ operation, filter string }{
		{`{"op":"add","path":"` + urn + `:clearance","value":"high"}`, urn + `:clearance eq "HIGH"`},
		{`{"op":"replace","value":{"` + urn + `:level":3,"externalId":"x"}}`, urn + `:level ge 3 and ` + urn + `:level lt 3.5`},
		{`{"op":"Add","path":"` + strings.ToUpper(urn) + `:ONCALL","value":"True"}`, urn + `:onCall eq true`},
		{`{"op":"replace","path":"` + urn + `","value":{"until":"2030-01-01T00:00:00Z"}}`, urn + `:until ge "2029-12-31T23:00:00-01:00" and ` + urn + `:until lt "2031-01-01T00:00:00Z"`},
		{`{"op":"replace","value":{"` + urn + `":{"badge":"aB"}}}`, urn + `:badge eq "aB" and not (` + urn + `:badge eq "ab")`},
		{`{"op":"add","path":"` + urn + `:sites","value":["fra","par"]}`, urn + `:sites eq "par"`},
		{`{"op":"remove","path":"` + urn + `:sites","value":["FRA"]}`, `not (` + urn + `:sites eq "fra") and ` + urn + `:sites pr`},
	} {
		g.want(t, http.StatusOK, http.MethodPatch, "/Users/"+id, patchBody(row.operation))
		if n := found(row.filter); n != float64(1) {
			t.Errorf("after %s, %s finds %v", row.operation, row.filter, n)
		}
	}
	want := map[string]any{"clearance": "high", "level": float64(3), "onCall": true, "until": "2030-01-01T00:00:00Z", "badge": "aB", "sites": []any{"par"}}
	user := g.want(t, http.StatusOK, http.MethodGet, "/Users/"+id+"?attributes="+urn, "")
	if diff := cmp.Diff(want, user[urn]); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if user := g.want(t, http.StatusOK, http.MethodGet, "/Users/"+id+"?excludedAttributes="+urn+":level", ""); user[urn].(map[string]any)["level"] != nil {
		t.Error("an excluded attribute is there")
	}
	view, _ := g.directory.Lookup(directory.LinkKey{Connection: corp, ExternalID: "x"})
	if view.Attributes["clearance"] != "high" || view.Attributes["onCall"] != "true" || view.Attributes[urn+":level"] != "3" {
		t.Errorf("policy reads %v", view.Attributes)
	}
	for operation, kind := range map[string]string{
		`{"op":"add","path":"` + urn + `:level","value":"3"}`:      "invalidValue",
		`{"op":"add","path":"` + urn + `:level","value":3.5}`:      "invalidValue",
		`{"op":"add","path":"` + urn + `:until","value":"soon"}`:   "invalidValue",
		`{"op":"add","path":"` + urn + `:onCall","value":"maybe"}`: "invalidValue",
		`{"op":"add","path":"` + urn + `:nothing","value":"x"}`:    "invalidPath",
		`{"op":"add","value":{"` + urn + `":{"nothing":"x"}}}`:     "invalidSyntax",
	} {
		if refused := g.want(t, http.StatusBadRequest, http.MethodPatch, "/Users/"+id, patchBody(operation)); refused["scimType"] != kind {
			t.Errorf("%s: scimType %v", operation, refused["scimType"])
		}
	}
	kind := g.want(t, http.StatusOK, http.MethodGet, "/ResourceTypes/User", "")
	if !strings.Contains(fmt.Sprint(kind["schemaExtensions"]), urn) {
		t.Errorf("extensions are %v", kind["schemaExtensions"])
	}
	g.want(t, http.StatusOK, http.MethodPatch, "/Users/"+id, patchBody(`{"op":"remove","path":"`+urn+`"}`))
	if view, _ := g.directory.Lookup(directory.LinkKey{Connection: corp, ExternalID: "x"}); len(view.Attributes) != 0 {
		t.Errorf("policy reads %v of what was removed", view.Attributes)
	}
}

func TestAWrongConfigurationIsRefusedWhole(t *testing.T) {
	t.Parallel()
	_, err := scim.New(scim.Config{Connections: []scim.Connection{{Name: "Bad Name", Dialect: "x", Rate: 1}}})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, part := range []string{"required", "PublicURL", "name", "dialect", "rate"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q isn't told in %q", part, err)
		}
	}
}

func TestMetricsCountRequestsErrorsAndRecords(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	g.user(t, "a")
	g.want(t, http.StatusConflict, http.MethodPost, "/Users", `{"userName":"A"}`)
	registry := prometheus.NewPedanticRegistry()
	for _, c := range g.Collectors() {
		if err := registry.Register(c); err != nil {
			t.Fatal(err)
		}
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			got[f.GetName()] += m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	for name, want := range map[string]float64{
		"cosmosgate_scim_requests_total": 2, "cosmosgate_scim_errors_total": 1,
		"cosmosgate_directory_users": 1, "cosmosgate_directory_healthy": 1,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
}

func TestAnExternalIDIsNeverAnID(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	ann := g.user(t, "ann")
	mallory, _ := g.want(t, http.StatusCreated, http.MethodPost, "/Users", `{"userName":"mallory","id":"`+ann+`","externalId":"`+ann+`"}`)["id"].(string)
	if mallory == ann {
		t.Fatal("a client chose an id")
	}
	if got := g.want(t, http.StatusOK, http.MethodGet, "/Users/"+ann, "")["userName"]; got != "ann" {
		t.Errorf("ann's id leads to %v", got)
	}
	group := g.group(t, "staff", ann)
	if diff := cmp.Diff([]string{ann}, g.members(t, group)); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
	for _, id := range []string{"1", "0", "-1", mallory + "x"} {
		g.want(t, http.StatusBadRequest, http.MethodPatch, "/Groups/"+group, patchBody(`{"op":"add","path":"members","value":[{"value":"`+id+`"}]}`))
		g.want(t, http.StatusNotFound, http.MethodGet, "/Users/"+id, "")
	}
	view, _ := g.directory.Lookup(directory.LinkKey{Connection: corp, ExternalID: ann})
	if view.UserName != "mallory" || len(view.Groups) != 0 {
		t.Errorf("the external id names %s in %v", view.UserName, view.Groups)
	}
}
