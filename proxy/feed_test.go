package proxy_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/identity"
	"github.com/cosmosgate/cosmosgate/policy"
	"github.com/cosmosgate/cosmosgate/proxy"
)

const databases = `{"_rid":"","Databases":[{"id":"shop","_rid":"AAAAAA=="},{"id":"hr","_rid":"AQAAAA=="},{"id":"web","_rid":"AgAAAA=="}],"_count":3}`

const containers = `{"_rid":"AAAAAA==","DocumentCollections":[{"id":"orders"},{"id":"salaries"}],"_count":2}`

// onlyShop reaches shop/orders and nothing else.
func onlyShop(r policy.Request) policy.Decision {
	reaches := r.Resource.Database == "" || r.Resource.Database == "shop" &&
		(r.Resource.Container == "" || r.Resource.Container == "orders")
	if !reaches {
		return policy.Decision{Reason: policy.ReasonNoRole, Missing: r.Actions}
	}
	return allow(r)
}

func TestListsHoldOnlyWhatTheCallerReaches(t *testing.T) {
	t.Parallel()
	query := []string{"Content-Type", "application/query+json", "X-Ms-Documentdb-Query", "True"}
	for _, row := range []struct {
		name, method, path, body string
		headers                  []string
		feed                     string
		want                     []string
	}{
		{"listing databases", http.MethodGet, "/dbs", "", nil, databases, []string{"shop"}},
		{"querying databases", http.MethodPost, "/dbs", `{"query":"select * from root r where r.id != @x","parameters":[{"name":"@x","value":"x"}]}`, query, databases, []string{"shop"}},
		{"listing containers", http.MethodGet, "/dbs/shop/colls", "", nil, containers, []string{"orders"}},
		{"querying containers", http.MethodPost, "/dbs/shop/colls", `{"query":"SELECT * FROM c ORDER BY c.id"}`, query, containers, []string{"orders"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t, setup{decide: onlyShop, handler: func(w http.ResponseWriter, r *http.Request) {
				if got := r.Header.Get("Accept-Encoding"); got != "identity" {
					t.Errorf("upstream may compress: %q", got)
				}
				item(w, row.feed)
			}})
			r := request(t, row.method, row.path, row.body, row.headers...)
			r.Header.Set("Accept-Encoding", "gzip")

			got := g.do(r)

			if got.Status != http.StatusOK {
				t.Fatalf("status %d: %s", got.Status, got.Body)
			}
			var feed struct {
				Databases, DocumentCollections []struct{ ID string }
				Count                          int `json:"_count"`
			}
			if err := json.Unmarshal([]byte(got.Body), &feed); err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, entry := range append(feed.Databases, feed.DocumentCollections...) {
				names = append(names, entry.ID)
			}
			if diff := cmp.Diff(row.want, names); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(len(row.want), feed.Count); diff != "" {
				t.Errorf("count (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(verdict{audit.Allow, audit.Complete, 200, 200}, ended(g.ledger.next(t))); diff != "" {
				t.Errorf("record (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFeedQueryThatCouldRenameAnEntryIsRefused(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ name, body string }{
		{"an alias", `{"query":"SELECT 'shop' AS id, c.id AS real FROM c"}`},
		{"a value", `{"query":"SELECT VALUE c.id FROM c"}`},
		{"an aggregate", `{"query":"SELECT COUNT(1) FROM c"}`},
		{"a subquery for a source", `{"query":"SELECT * FROM (SELECT 'shop' AS id, c.id AS real FROM c)"}`},
		{"an array for a source", `{"query":"SELECT * FROM x IN c.list"}`},
		{"a join", `{"query":"SELECT * FROM c JOIN x IN c.list"}`},
		// What is missing from so many entries tells of those that are hidden.
		{"the first one", `{"query":"SELECT TOP 1 * FROM c ORDER BY c.id"}`},
		{"one of them", `{"query":"SELECT * FROM c ORDER BY c.id OFFSET 1 LIMIT 1"}`},
		{"distinct ones", `{"query":"SELECT DISTINCT * FROM c"}`},
		{"no query", `{}`},
		{"no JSON", `SELECT * FROM c`},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t, setup{decide: onlyShop})
			checkNative(t, g.do(request(t, http.MethodPost, "/dbs", row.body,
				"Content-Type", "application/query+json", "X-Ms-Documentdb-Isquery", "True")), http.StatusBadRequest)
			if n := len(g.service.seen()); n != 0 {
				t.Errorf("upstream received %d requests", n)
			}
		})
	}
}

// What a continuation of upstream, the length of a page or a count would tell is not told.
// A list that upstream never ends is given up, and before its time is up.
func TestAListWithoutEndIsGivenUp(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{decide: onlyShop, handler: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Ms-Continuation", "more")
		item(w, `{"_rid":"","Databases":[],"_count":0}`)
	}})
	if got := g.do(request(t, http.MethodGet, "/dbs", "")); got.Status != http.StatusServiceUnavailable {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	if n := len(g.service.seen()); n != 257 {
		t.Errorf("upstream was asked %d times", n)
	}
	if r := g.ledger.next(t); r.Outcome != audit.UpstreamFailure || r.RequestCharge != 257*1.25 {
		t.Errorf("recorded as %s, %v request units", r.Outcome, r.RequestCharge)
	}
}

func TestListsAreCutIntoPagesByTheGate(t *testing.T) {
	t.Parallel()
	const hidden = "hidden-rid"
	parts := map[string]string{
		"":           `{"_rid":"","Databases":[{"id":"hr"},{"id":"shop","n":1}],"_count":2}`,
		hidden + "1": `{"_rid":"","Databases":[{"id":"hr2"}],"_count":1}`,
		hidden + "2": `{"_rid":"","Databases":[{"id":"shop","n":2},{"id":"shop","n":3}],"_count":2}`,
	}
	next := map[string]string{"": hidden + "1", hidden + "1": hidden + "2"}
	g := newGate(t, setup{decide: onlyShop, handler: func(w http.ResponseWriter, r *http.Request) {
		at := r.Header.Get("X-Ms-Continuation")
		if size := r.Header.Get("X-Ms-Max-Item-Count"); size != "-1" || parts[at] == "" {
			t.Errorf("upstream was asked for %q items from %q", size, at)
		}
		w.Header().Set("X-Ms-Item-Count", "2")
		w.Header().Set("X-Ms-Resource-Usage", "databases=5")
		w.Header().Set("X-Ms-Documentdb-Query-Metrics", "retrievedDocumentCount=5")
		if next[at] != "" {
			w.Header().Set("X-Ms-Continuation", next[at])
		}
		item(w, parts[at])
	}})
	type page struct {
		Body, Charge, Next string
	}
	var pages []page
	for at := ""; len(pages) == 0 || at != ""; {
		r := request(t, http.MethodGet, "/dbs", "", "X-Ms-Max-Item-Count", "2")
		if at != "" {
			r.Header.Set("X-Ms-Continuation", at)
		}
		got := g.do(r)
		if got.Status != http.StatusOK {
			t.Fatalf("%d %s", got.Status, got.Body)
		}
		for name := range got.Header {
			if strings.Contains(got.Header.Get(name), hidden) || strings.Contains(got.Header.Get(name), "=5") || name == "X-Ms-Item-Count" {
				t.Errorf("%s: %s", name, got.Header.Get(name))
			}
		}
		at = got.Header.Get("X-Ms-Continuation")
		pages = append(pages, page{got.Body, got.Header.Get("X-Ms-Request-Charge"), at})
		if r := g.ledger.next(t); r.RequestCharge != 3.75 {
			t.Errorf("the record says %v request units", r.RequestCharge)
		}
	}
	want := []page{
		{`{"_rid":"","Databases":[{"id":"shop","n":1},{"id":"shop","n":2}],"_count":2}`, "3.75", "cosmosgate-list:2"},
		{`{"_rid":"","Databases":[{"id":"shop","n":3}],"_count":1}`, "3.75", ""},
	}
	if diff := cmp.Diff(want, pages); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestAListIsOfOneCallerUnderOnePolicy: what was in reach when its part of the list came may not be any more when the last has come.
func TestAListIsOfOneCallerUnderOnePolicy(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		groups, policy bool // that change between two parts
		want           int
	}{"nothing changes": {false, false, 200}, "the caller's groups": {true, false, 503}, "the policy": {false, true, 503}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var second atomic.Bool
			g := newGate(t, setup{
				decide: allow,
				handler: func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get("X-Ms-Continuation") == "" {
						w.Header().Set("X-Ms-Continuation", "2")
						item(w, `{"_rid":"","Databases":[{"id":"hr"}],"_count":1}`)
						return
					}
					second.Store(true)
					item(w, `{"_rid":"","Databases":[{"id":"shop"}],"_count":1}`)
				},
				edit: func(c *proxy.Config) {
					c.Now = hurrying(time.Second)
					c.Standing = func(p *identity.Principal) (identity.Principal, error) {
						now := *p
						if row.groups && second.Load() {
							now.User.Generation = [2]uint64{2, 2}
						}
						return now, nil
					}
					c.PolicyHash = func() string {
						if row.policy && second.Load() {
							return "sha256:1"
						}
						return "sha256:0"
					}
				},
			})
			if got := g.do(request(t, http.MethodGet, "/dbs", "")); got.Status != row.want {
				t.Errorf("%d %s", got.Status, got.Body)
			}
		})
	}
}

func TestAContinuationThatIsNotOfTheListIsRefused(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"AQAAAA==", "cosmosgate-list:", "cosmosgate-list:-1", "cosmosgate-list:x", "cosmosgate-list:99999999999999999999"} {
		g := newGate(t, setup{decide: onlyShop})
		checkNative(t, g.do(request(t, http.MethodGet, "/dbs", "", "X-Ms-Continuation", at)), http.StatusBadRequest)
		if n := len(g.service.seen()); n != 0 {
			t.Errorf("upstream received %d requests", n)
		}
	}
}

func TestAListThatFailsHalfwayIsAnError(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		status, want int
	}{"throttled": {429, 429}, "refused": {403, 403}, "of no end": {200, 503}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t, setup{decide: onlyShop, handler: func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Ms-Continuation", "on")
				if r.Header.Get("X-Ms-Continuation") != "" && row.status != 200 {
					w.Header().Set("Content-Type", jsonMedia)
					w.Header().Set("X-Ms-Retry-After-Ms", "5")
					w.WriteHeader(row.status)
					_, _ = io.WriteString(w, `{"code":"x","message":"m"}`)
					return
				}
				item(w, databases)
			}})
			checkNative(t, g.do(request(t, http.MethodGet, "/dbs", "")), row.want)
		})
	}
}

// The parts that came before have been paid for, whatever becomes of the list.
func TestAListThatFailsHalfwayCostWhatItsPartsCost(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		second http.HandlerFunc
		want   float64
	}{
		"throttled": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", jsonMedia)
			w.Header().Set("X-Ms-Retry-After-Ms", "5")
			w.Header().Set("X-Ms-Request-Charge", "0.5")
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = io.WriteString(w, `{"code":"x","message":"m"}`)
		}, 1.75},
		"refused by the identity": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }, 1.25},
		"no list":                 {func(w http.ResponseWriter, _ *http.Request) { item(w, `{"Offers":[]}`) }, 2.5},
		"broken off":              {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 1.25},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t, setup{decide: onlyShop, handler: func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("X-Ms-Continuation") != "" {
					row.second(w, r)
					return
				}
				w.Header().Set("X-Ms-Continuation", "on")
				item(w, databases)
			}})
			if got := g.do(request(t, http.MethodGet, "/dbs", "")); got.Status < http.StatusBadRequest {
				t.Errorf("%d %s", got.Status, got.Body)
			}
			if got := g.ledger.next(t).RequestCharge; got != row.want {
				t.Errorf("recorded %v request units, want %v", got, row.want)
			}
		})
	}
}

// Success of another form is not passed on as it is, and that nothing changed would tell of what is hidden.
func TestAListInAnotherFormIsNotPassedOn(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusCreated, http.StatusNonAuthoritativeInfo, http.StatusPartialContent, http.StatusMultiStatus} {
		for _, on := range []string{"", "on"} {
			g := newGate(t, setup{decide: onlyShop, handler: func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("X-Ms-Continuation") != on {
					w.Header().Set("X-Ms-Continuation", on)
					item(w, databases)
					return
				}
				w.Header().Set("Content-Type", jsonMedia)
				w.WriteHeader(status)
				_, _ = io.WriteString(w, databases)
			}})
			got := g.do(request(t, http.MethodGet, "/dbs", ""))
			checkNative(t, got, http.StatusServiceUnavailable)
			if strings.Contains(got.Body, "hr") {
				t.Errorf("%d after %q: %s", status, on, got.Body)
			}
		}
	}
	g := newGate(t, setup{decide: onlyShop, handler: func(w http.ResponseWriter, r *http.Request) {
		if sent := r.Header.Get("If-None-Match"); sent != "" {
			t.Errorf("upstream was asked whether all is as in %s", sent)
		}
		w.Header().Set("Etag", `"of-all"`)
		item(w, databases)
	}})
	got := g.do(request(t, http.MethodGet, "/dbs", "", "If-None-Match", `"of-all"`))
	if got.Status != http.StatusOK || got.Header.Get("Etag") != "" {
		t.Errorf("%d, ETag %s", got.Status, got.Header.Get("Etag"))
	}
}

func TestFeedQueryIsSentAsItWasRead(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{handler: func(w http.ResponseWriter, _ *http.Request) { item(w, databases) }})
	g.do(request(t, http.MethodPost, "/dbs", `{"query":"SELECT * FROM c","Query":"SELECT 'shop' AS id FROM c","query":"SELECT * FROM d"}`,
		"Content-Type", "application/query+json", "X-Ms-Documentdb-Isquery", "True"))
	seen := g.service.seen()
	if len(seen) != 1 {
		return // refused, which is as good.
	}
	var sent map[string]json.RawMessage
	if err := json.Unmarshal([]byte(seen[0].Body), &sent); err != nil || len(sent) != 1 {
		t.Errorf("upstream received %s", seen[0].Body)
	}
	g.do(request(t, http.MethodPost, "/dbs", `{"query":"SELECT * FROM c  WHERE c.id = 'a\\u0062'"}`,
		"Content-Type", "application/query+json", "X-Ms-Documentdb-Isquery", "True"))
	seen = g.service.seen()
	if got, want := seen[len(seen)-1].Body, `{"query":"SELECT * FROM c WHERE c.id = \"ab\""}`; got != want {
		t.Errorf("upstream received %s, want %s", got, want)
	}
}

func TestFeedThatCannotBeReadIsNotPassedOn(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ name, body string }{
		{"no JSON", `<feed/>`}, {"another shape", `{"Offers":[]}`}, {"cut short", `{"Databases":[`},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t, setup{handler: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", jsonMedia)
				_, _ = io.WriteString(w, row.body)
			}})
			checkEnd(t, g, g.do(request(t, http.MethodGet, "/dbs", "")), verdict{audit.Allow, audit.UpstreamFailure, 503, 200})
		})
	}
}

func TestMaxItemsBoundsEveryPage(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ name, sent, want string }{
		{"a smaller page stays", "10", "10"},
		{"a larger page is cut down", "1000", "100"},
		{"no wish becomes the limit", "", "100"},
		{"upstream's choice becomes the limit", "-1", "100"},
		{"nonsense becomes the limit", "many", "100"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t, setup{decide: func(r policy.Request) policy.Decision {
				d := allow(r)
				d.Obligations.MaxItems = 100
				return d
			}})
			r := request(t, http.MethodPost, createPath, `{"query":"SELECT * FROM c"}`,
				"Content-Type", "application/query+json", "X-Ms-Documentdb-Isquery", "True")
			if row.sent != "" {
				r.Header.Set("X-Ms-Max-Item-Count", row.sent)
			}
			if got := g.do(r); got.Status != http.StatusOK {
				t.Fatalf("status %d: %s", got.Status, got.Body)
			}
			if diff := cmp.Diff(row.want, g.service.seen()[0].Header.Get("X-Ms-Max-Item-Count")); diff != "" {
				t.Errorf("page size (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPatchWithoutReadRightsReturnsNoContent(t *testing.T) {
	t.Parallel()
	patch := `{"operations":[{"op":"add","path":"/a","value":1}]}`
	for _, row := range []struct {
		name     string
		readable bool
		want     string
	}{{"who may read gets the document", true, ""}, {"who may only replace does not", false, "return=minimal"}} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t, setup{decide: func(r policy.Request) policy.Decision {
				if r.Actions&policy.ReadItem != 0 && !row.readable {
					return policy.Decision{Reason: policy.ReasonNoRole, Missing: policy.ReadItem}
				}
				return allow(r)
			}})
			got := g.do(request(t, http.MethodPatch, "/dbs/shop/colls/orders/docs/1", patch,
				"Content-Type", "application/json_patch+json", "X-Ms-Documentdb-Partitionkey", `["emea"]`))
			if got.Status != http.StatusOK {
				t.Fatalf("status %d: %s", got.Status, got.Body)
			}
			seen := g.service.seen()[0]
			if diff := cmp.Diff([]string{row.want, patch}, []string{seen.Header.Get("Prefer"), seen.Body}); diff != "" {
				t.Errorf("upstream request (-want +got):\n%s", diff)
			}
		})
	}
}
