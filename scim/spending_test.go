package scim_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/scim"
)

// stopped is a clock that stands still until it is told to go on, by step with each look.
type stopped struct{ step, passed atomic.Int64 }

func (s *stopped) now() time.Time {
	return time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC).Add(time.Duration(s.passed.Add(s.step.Load())))
}

// paced is a gate whose connection has a rate, and the clock that it goes by.
func paced(tb testing.TB, burst int) (*gate, *stopped) {
	tb.Helper()
	clock := &stopped{}
	return newGate(tb, func(c *scim.Config) {
		c.Connections[0].Rate, c.Connections[0].Burst, c.Clock = 25, burst, clock.now
	}), clock
}

func bulkBody(operations ...string) string {
	return `{"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],"Operations":[` + strings.Join(operations, ",") + `]}`
}

// statuses counts the operations of a Bulk answer by status.
func statuses(answer map[string]any) map[string]int {
	counts := map[string]int{}
	list, _ := answer["Operations"].([]any)
	for _, o := range list {
		object, _ := o.(map[string]any)
		status, _ := object["status"].(string)
		counts[status]++
	}
	return counts
}

func people(tb testing.TB, g *gate, n int) []directory.ID {
	tb.Helper()
	changes := make([]directory.Change, 0, n)
	for i := range n {
		changes = append(changes, directory.CreateUser{User: directory.User{UserName: fmt.Sprintf("u%d", i), Active: true}})
	}
	results, err := g.directory.Apply(tb.Context(), corp, changes...)
	if err != nil {
		tb.Fatal(err)
	}
	ids := make([]directory.ID, 0, n)
	for _, r := range results {
		ids = append(ids, r.ID)
	}
	return ids
}

func TestABulkRequestCostsWhatItsOperationsWouldCostAlone(t *testing.T) {
	t.Parallel()
	g, clock := paced(t, 30)
	var operations []string
	for i := range 129 {
		operations = append(operations, fmt.Sprintf(`{"method":"POST","path":"/Users","bulkId":"b%d","data":{"userName":"u%d"}}`, i, i))
	}
	answer := g.want(t, http.StatusOK, http.MethodPost, "/Bulk", bulkBody(operations...))
	if diff := cmp.Diff(map[string]int{"201": 129}, statuses(answer)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	// 30 were there and 129 are spent: 100 have to come in until there is one.
	refused := g.do(http.MethodGet, "/Users?count=0", "")
	if got := refused.Header().Get("Retry-After"); refused.Code != http.StatusTooManyRequests || got != "4" {
		t.Errorf("status %d, Retry-After %q", refused.Code, got)
	}
	clock.passed.Add(int64(4 * time.Second))
	g.want(t, http.StatusOK, http.MethodGet, "/Users?count=0", "")
}

func TestWhatIsDearToAnswerCostsMore(t *testing.T) {
	t.Parallel()
	g, _ := paced(t, 8)
	people(t, g, 1500)
	g.want(t, http.StatusOK, http.MethodGet, "/Users?filter=userName%20eq%20%22u7%22", "")
	g.want(t, http.StatusOK, http.MethodGet, "/Users?filter=title%20co%20%22x%22", "") // 1,500 documents: 3 more
	g.want(t, http.StatusOK, http.MethodGet, "/Users?filter=title%20co%20%22x%22", "")
	g.want(t, http.StatusTooManyRequests, http.MethodGet, "/Users?filter=userName%20eq%20%22u7%22", "")
}

func TestABulkRequestHasItsTime(t *testing.T) {
	t.Parallel()
	g, clock := paced(t, 1000)
	var operations []string
	for i := range 1000 {
		operations = append(operations, fmt.Sprintf(`{"method":"DELETE","path":"/Users/%d"}`, i))
	}
	clock.step.Store(int64(60 * time.Millisecond))
	answer := g.want(t, http.StatusOK, http.MethodPost, "/Bulk", bulkBody(operations...))
	got := statuses(answer)
	if got["404"] < 100 || got["429"] < 100 || got["404"]+got["429"] != 1000 {
		t.Errorf("statuses %v", got)
	}
}

func TestABulkRequestComparesNoMoreThanFewRequests(t *testing.T) {
	t.Parallel()
	g, _ := paced(t, 1000)
	mails := make([]string, 0, 1000)
	for i := range cap(mails) {
		mails = append(mails, fmt.Sprintf(`{"value":"mail%d@corp.example"}`, i))
	}
	id := g.user(t, "ann")
	g.want(t, http.StatusOK, http.MethodPatch, "/Users/"+id, patchBody(`{"op":"add","path":"emails","value":[`+strings.Join(mails, ",")+`]}`))
	many := strings.TrimSuffix(strings.Repeat(`value co \"zzz\" or `, 90), " or ")
	dear := `{"method":"PATCH","path":"/Users/` + id + `","data":` +
		patchBody(strings.TrimSuffix(strings.Repeat(`{"op":"remove","path":"emails[`+many+`]"},`, 12), ",")) + `}`
	var operations []string
	for range 25 {
		operations = append(operations, dear)
	}
	got := statuses(g.want(t, http.StatusOK, http.MethodPost, "/Bulk", bulkBody(operations...)))
	if got["429"] == 0 || got["429"] == len(operations) {
		t.Errorf("statuses %v, want some that were not begun", got)
	}
}

func TestReferencesAreFollowedInWhateverOrderTheyCome(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	const groups = 200
	var operations []string
	for i := range groups {
		members := ""
		if i < groups-1 {
			members = fmt.Sprintf(`,"members":[{"value":"bulkId:g%d"}]`, i+1)
		}
		operations = append(operations, fmt.Sprintf(`{"method":"POST","path":"/Groups","bulkId":"g%d","data":{"displayName":"g%d"%s}}`, i, i, members))
	}
	operations = append(operations, `{"method":"POST","path":"/Groups","bulkId":"self","data":{"displayName":"self","members":[{"value":"bulkId:self"}]}}`)
	answer := g.want(t, http.StatusOK, http.MethodPost, "/Bulk", bulkBody(operations...))
	if diff := cmp.Diff(map[string]int{"201": groups, "409": 1}, statuses(answer)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestAnAnswerHoldsSoManyMembers(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	g.ShowAtMost(corp, 40)
	members := people(t, g, 10)
	var id directory.ID
	for i := range 5 {
		results, err := g.directory.Apply(t.Context(), corp,
			directory.CreateGroup{Group: directory.GroupRecord{DisplayName: fmt.Sprintf("g%d", i)}}, directory.AddMembers{Members: members})
		if err != nil {
			t.Fatal(err)
		}
		id = results[0].ID
	}
	refused := g.want(t, http.StatusBadRequest, http.MethodGet, "/Groups", "")
	if refused["scimType"] != "tooMany" {
		t.Errorf("scimType %v", refused["scimType"])
	}
	g.want(t, http.StatusOK, http.MethodGet, "/Groups?excludedAttributes=members", "")
	g.want(t, http.StatusOK, http.MethodGet, "/Groups?count=4", "")
	g.want(t, http.StatusOK, http.MethodGet, "/Groups/"+string(id), "")
}

func TestRowsBeforeAPageArePaid(t *testing.T) {
	t.Parallel()
	const rows = 21_000
	g, _ := paced(t, 4)
	people(t, g, rows)
	g.want(t, http.StatusOK, http.MethodGet, "/Users?count=1", "")
	g.want(t, http.StatusOK, http.MethodGet, fmt.Sprintf("/Users?count=1&startIndex=%d", rows), "") // one more
	g.want(t, http.StatusOK, http.MethodGet, "/Users?count=0", "")
	g.want(t, http.StatusTooManyRequests, http.MethodGet, "/Users?count=0", "")
}

// TestWhatWasDoneWaitsForNoTurn has a change that makes the directory compute the groups above many, while another request of the connection
// works: neither the answer nor the record may wait for that.
func TestWhatWasDoneWaitsForNoTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		recorded := 0
		g := newGate(t, func(c *scim.Config) { c.Record = func(scim.Written) { recorded++ } })
		var changes []directory.Change
		for i := range 1100 {
			changes = append(changes, directory.CreateGroup{Group: directory.GroupRecord{DisplayName: fmt.Sprintf("g%d", i)}})
		}
		results, err := g.directory.Apply(t.Context(), corp, changes...)
		if err != nil {
			t.Fatal(err)
		}
		var below []directory.ID
		for _, r := range results {
			below = append(below, r.ID)
		}
		middle, top := g.group(t, "middle"), g.group(t, "top")
		if _, err := g.directory.Apply(t.Context(), corp, directory.AddMembers{Group: directory.ID(middle), Members: below}); err != nil {
			t.Fatal(err)
		}
		defer g.HoldDear(corp)()
		recorded = 0
		began := time.Now()
		g.want(t, http.StatusNoContent, http.MethodPatch, "/Groups/"+top, patchBody(`{"op":"add","path":"members","value":[{"value":"`+middle+`"}]}`))
		if took := time.Since(began); took != 0 || recorded != 1 {
			t.Errorf("answered after %s, with %d records", took, recorded)
		}
	})
}

// TestOperationsOfARequestThatEndedAreNoMistakes has a client that hangs up before the first operation of a Bulk request is begun.
func TestOperationsOfARequestThatEndedAreNoMistakes(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	ctx, hangUp := context.WithCancel(t.Context())
	hangUp()
	body := bulkBody(`{"method":"POST","path":"/Users","bulkId":"a","data":{"userName":"ann"}}`, `{"method":"DELETE","path":"/Users/x"}`)
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/scim/v2/corp/Bulk", strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+token)
	g.ServeHTTP(httptest.NewRecorder(), r)
	for _, f := range g.Status()[0].Failures {
		if f.Status != http.StatusServiceUnavailable {
			t.Errorf("%s is told as %d %s: %s", f.Method, f.Status, f.Kind, f.Detail)
		}
	}
	if n := g.directory.Counts(corp).Users; n != 0 {
		t.Errorf("%d people were made", n)
	}
}
