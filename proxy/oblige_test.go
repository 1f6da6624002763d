package proxy_test

import (
	"context"
	"net/http"
	"strconv"
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

// obliged allows everything under obligations.
func obliged(o policy.Obligations) decide {
	return func(r policy.Request) policy.Decision {
		d := allow(r)
		d.Obligations = o
		return d
	}
}

func TestAPartitionKeyIsSetOnQueriesAndFeedsThatNameNone(t *testing.T) {
	t.Parallel()
	const docs = "/dbs/shop/colls/orders/docs"
	query := []string{"Content-Type", "application/query+json", "X-Ms-Documentdb-Isquery", "True"}
	with := func(more ...string) []string { return append(append([]string{}, query...), more...) }
	for name, row := range map[string]struct {
		method, body string
		headers      []string
		asked        bool
	}{
		"a query":                      {http.MethodPost, `{"query":"SELECT * FROM c"}`, query, true},
		"a cross-partition query":      {http.MethodPost, `{"query":"SELECT * FROM c"}`, with("X-Ms-Documentdb-Query-Enablecrosspartition", "True"), true},
		"a feed":                       {http.MethodGet, ``, nil, true},
		"a change feed":                {http.MethodGet, ``, []string{"A-Im", "Incremental Feed"}, true},
		"a change feed of versions":    {http.MethodGet, ``, []string{"A-Im", "Full-Fidelity Feed"}, true},
		"a query with a key":           {http.MethodPost, `{"query":"SELECT * FROM c"}`, with("X-Ms-Documentdb-Partitionkey", `["x"]`), false},
		"a query with the key of none": {http.MethodPost, `{"query":"SELECT * FROM c"}`, with("X-Ms-Documentdb-Partitionkey", `[]`), false},
		"a query with no value":        {http.MethodPost, `{"query":"SELECT * FROM c"}`, with("X-Ms-Documentdb-Partitionkey", `[{}]`), false},
		"a query of a range":           {http.MethodPost, `{"query":"SELECT * FROM c"}`, with("X-Ms-Documentdb-Partitionkeyrangeid", `0`), false},
		"a query of effective keys": {
			http.MethodPost, `{"query":"SELECT * FROM c"}`,
			with("X-Ms-Read-Key-Type", "EffectivePartitionKeyRange", "X-Ms-Start-Epk", "00", "X-Ms-End-Epk", "FF"), false,
		},
		"a create": {http.MethodPost, `{"id":"1"}`, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var injectable atomic.Bool
			g := newGate(t, setup{decide: func(r policy.Request) policy.Decision {
				injectable.Store(r.Injectable)
				d := allow(r)
				if r.Injectable {
					d.Obligations.PartitionKey = []string{`"é"`, "7"}
				}
				return d
			}})
			got := g.do(request(t, row.method, docs, row.body, row.headers...))
			if injectable.Load() != row.asked {
				t.Errorf("asked whether a key may be set: %v (%d %s)", injectable.Load(), got.Status, got.Body)
			}
			if !row.asked {
				return
			}
			if sent := g.service.seen()[0].Header["X-Ms-Documentdb-Partitionkey"]; cmp.Diff([]string{`["\u00e9",7]`}, sent) != "" {
				t.Errorf("sent %q", sent)
			}
			if diff := cmp.Diff([][]string{{`"é"`, "7"}}, g.ledger.next(t).PartitionKeys); diff != "" {
				t.Errorf("recorded (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAKeyThatCannotBeSetIsTheGatesFault(t *testing.T) {
	t.Parallel()
	for name, key := range map[string][]string{"beside the caller's": {"1"}, "that confines to nothing": {"{}"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t, setup{decide: obliged(policy.Obligations{PartitionKey: key})})
			checkNative(t, g.get(), http.StatusServiceUnavailable)
			if n := len(g.service.seen()); n != 0 {
				t.Errorf("upstream received %d requests", n)
			}
		})
	}
}

func TestPriorityAndBucketAreTheRolesNotTheCallers(t *testing.T) {
	t.Parallel()
	read := func(g *gate) http.Header {
		g.do(request(t, http.MethodGet, "/dbs/shop/colls/orders/docs/1", "", "X-Ms-Documentdb-Partitionkey", `["emea"]`,
			"X-Ms-Cosmos-Priority-Level", "High", "X-Ms-Cosmos-Throughput-Bucket", "1", "X-Ms-Max-Item-Count", "-1"))
		return g.service.seen()[0].Header
	}
	sent := read(newGate(t, setup{decide: obliged(policy.Obligations{Priority: policy.PriorityLow, ThroughputBucket: 4, MaxItems: 10})}))
	if diff := cmp.Diff([]string{"Low", "4", "10"},
		[]string{sent.Get("X-Ms-Cosmos-Priority-Level"), sent.Get("X-Ms-Cosmos-Throughput-Bucket"), sent.Get("X-Ms-Max-Item-Count")}); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
	sent = read(newGate(t, setup{}))
	if sent.Get("X-Ms-Cosmos-Priority-Level") != "" || sent.Get("X-Ms-Cosmos-Throughput-Bucket") != "" {
		t.Errorf("the caller's own were sent: %v", sent)
	}
}

func TestBodiesAreHeldToTheRolesSize(t *testing.T) {
	t.Parallel()
	const docs = "/dbs/shop/colls/orders/docs"
	key := []string{"X-Ms-Documentdb-Partitionkey", `["emea"]`}
	for name, row := range map[string]struct {
		body    string
		chunked bool
		headers []string
		want    int
	}{
		"as large as allowed":     {`{"id":"12345678"}`, false, key, http.StatusOK},
		"one byte more":           {`{"id":"123456789"}`, false, key, http.StatusRequestEntityTooLarge},
		"of unknown length":       {`{"id":"` + strings.Repeat("x", 200_000) + `"}`, true, key, http.StatusRequestEntityTooLarge},
		"small of unknown length": {`{"id":"1"}`, true, key, http.StatusOK},
		"a batch": {`[{"operationType":"Create","resourceBody":{}}]`, true, append([]string{
			"X-Ms-Cosmos-Is-Batch-Request", "True", "X-Ms-Cosmos-Batch-Atomic", "True", "X-Ms-Cosmos-Batch-Ordered", "True",
		}, key...), http.StatusRequestEntityTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t, setup{decide: obliged(policy.Obligations{MaxBodyBytes: 17})})
			r := request(t, http.MethodPost, docs, row.body, row.headers...)
			if row.chunked {
				r.ContentLength = -1
			}
			if got := g.do(r); got.Status != row.want {
				t.Errorf("status %d, want %d: %s", got.Status, row.want, got.Body)
			}
		})
	}
}

// TestRequestUnitsAreHeldToTheRolesRate runs on a clock of its own.
func TestRequestUnitsAreHeldToTheRolesRate(t *testing.T) {
	t.Parallel()
	var ticks atomic.Int64
	started := time.Now()
	charge := "5"
	g := newGate(t, setup{
		decide: obliged(policy.Obligations{MaxRUPerSecond: 10}),
		edit: func(c *proxy.Config) {
			c.Now = func() time.Time { return started.Add(time.Duration(ticks.Load())) }
		},
		handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Ms-Request-Charge", charge)
			w.Header().Set("Content-Type", jsonMedia)
			_, _ = w.Write([]byte(`{}`))
		},
	})
	step := func(after time.Duration, want int) reply {
		t.Helper()
		ticks.Add(int64(after))
		got := g.get()
		r := g.ledger.next(t)
		if got.Status != want {
			t.Fatalf("status %d, want %d: %s", got.Status, want, got.Body)
		}
		if want == http.StatusTooManyRequests {
			checkNative(t, got, want)
			if diff := cmp.Diff([]any{audit.Deny, audit.Refused, "maxRUPerSecond", 3200}, []any{r.Decision, r.Outcome, r.Reason, r.Substatus}); diff != "" {
				t.Errorf("record (-want +got):\n%s", diff)
			}
		}
		return got
	}
	step(0, http.StatusOK) // 10 - 5
	step(0, http.StatusOK) // 5 - 5
	got := step(0, http.StatusTooManyRequests)
	if wait := got.Header.Get("X-Ms-Retry-After-Ms"); wait != "1" {
		t.Errorf("come back after %s ms, want 1: nothing is owed", wait)
	}
	charge = "25"
	step(100*time.Millisecond, http.StatusOK) // 1 - 25
	got = step(0, http.StatusTooManyRequests)
	if wait, err := strconv.Atoi(got.Header.Get("X-Ms-Retry-After-Ms")); err != nil || wait < 2390 || wait > 2410 {
		t.Errorf("come back after %d ms, want 2400: 24 RU are owed at 10 a second", wait)
	}
	step(2300*time.Millisecond, http.StatusTooManyRequests)
	charge = "NaN"
	step(200*time.Millisecond, http.StatusOK)
	charge = "-100"
	step(time.Minute, http.StatusOK)
	charge = "5"
	step(time.Minute, http.StatusOK) // a full budget is no more than a second's
	step(0, http.StatusOK)
	step(0, http.StatusTooManyRequests)
}

func TestCallersHaveBudgetsOfTheirOwn(t *testing.T) {
	t.Parallel()
	who := make(chan identity.Principal, 1)
	g := newGate(t, setup{
		decide: obliged(policy.Obligations{MaxRUPerSecond: 1}),
		authenticate: func(_ context.Context, _ identity.Credential) (identity.Principal, error) {
			return <-who, nil
		},
	})
	for name, p := range map[string]identity.Principal{
		"a person":                 {Kind: identity.KindPerson, Record: "ann"},
		"another":                  {Kind: identity.KindPerson, Record: "bob"},
		"an agent for the person":  {Kind: identity.KindPerson, Record: "ann", Actors: []identity.Actor{{Agent: "bot"}}},
		"an application":           {Kind: identity.KindApplication, Application: "ann"},
		"an agent of the one name": {Kind: identity.KindAgent, Application: "ann"},
	} {
		who <- p
		if got := g.get(); got.Status != http.StatusOK {
			t.Errorf("%s: status %d", name, got.Status)
		}
		who <- p
		if got := g.get(); got.Status != http.StatusTooManyRequests {
			t.Errorf("%s, again: status %d", name, got.Status)
		}
	}
}

func TestWhoLeavesBeforeTheAnswerPaysForTheRequest(t *testing.T) {
	t.Parallel()
	started := time.Now()
	const abandoned = 10
	var served atomic.Int64
	arrived := make(chan struct{}, abandoned)
	g := newGate(t, setup{
		decide: obliged(policy.Obligations{MaxRUPerSecond: 10}),
		edit:   func(c *proxy.Config) { c.Now = func() time.Time { return started } },
		handler: func(w http.ResponseWriter, r *http.Request) {
			if served.Add(1) > abandoned {
				item(w, `{"id":"1"}`)
				return
			}
			arrived <- struct{}{}
			<-r.Context().Done()
		},
	})
	for range abandoned {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-arrived
			cancel()
		}()
		if got := g.do(request(t, http.MethodGet, "/dbs/shop/colls/orders/docs/1", "").WithContext(ctx)); got.Err == nil {
			t.Fatalf("the caller left and got an answer: %d", got.Status)
		}
		if got := g.ledger.next(t).Outcome; got != audit.ClientAbort {
			t.Fatalf("outcome %s", got)
		}
	}
	if got := g.get(); got.Status != http.StatusTooManyRequests {
		t.Errorf("status %d, want 429: ten requests were made whose cost nobody awaited", got.Status)
	}
}
