package proxy_test

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/cosmos"
	"github.com/cosmosgate/cosmosgate/internal/emulator"
	"github.com/cosmosgate/cosmosgate/internal/emulator/hybridrow"
	"github.com/cosmosgate/cosmosgate/policy"
	"github.com/cosmosgate/cosmosgate/proxy"
)

// TestGateAndStandInAgree runs the gate against the stand-in, which reads the wire with
// code of its own: signatures, RID addressing, feeds and documents.
func TestGateAndStandInAgree(t *testing.T) {
	t.Parallel()
	asked := make(chan policy.Resource, 16)
	g, p := gateOnStandIn(t, func(r policy.Request) policy.Decision {
		asked <- r.Resource
		return onlyShop(r)
	})
	call := func(method, path, body string, headers ...string) map[string]any {
		t.Helper()
		got, _ := serve(t, p, request(t, method, path, body, headers...))
		if got.Status >= http.StatusBadRequest {
			t.Fatalf("%s %s: %d %s", method, path, got.Status, got.Body)
		}
		var document map[string]any
		if err := json.Unmarshal([]byte(got.Body), &document); err != nil {
			t.Fatalf("%s %s: %v: %s", method, path, err, got.Body)
		}
		return document
	}
	key := []string{"X-Ms-Documentdb-Partitionkey", `["emea"]`}
	call(http.MethodPost, createPath, `{"id":"a b/ü","department":"emea"}`, key...)
	if got := call(http.MethodGet, createPath+"/a%20b%2F%C3%BC", "", key...); got["id"] != "a b/ü" {
		t.Errorf("read back %v", got)
	}
	if got := call(http.MethodGet, "/dbs", ""); got["_count"] != 1.0 {
		t.Errorf("databases: %v", got)
	}
	container := call(http.MethodGet, "/dbs/shop/colls/orders", "")
	self, ok := container["_self"].(string)
	if !ok {
		t.Fatalf("container without a link: %v", container)
	}
	for len(asked) > 0 {
		<-asked
	}
	if got := call(http.MethodGet, "/"+strings.Trim(self, "/")+"/pkranges", ""); got["PartitionKeyRanges"] == nil {
		t.Errorf("key ranges by RID: %v", got)
	}
	if diff := cmp.Diff(policy.Resource{Account: "prod", Database: "shop", Container: "orders"}, <-asked); diff != "" {
		t.Errorf("resource of a RID (-want +got):\n%s", diff)
	}
	if n := len(g.Requests()); n == 0 {
		t.Error("the stand-in received nothing")
	}
}

func gateOnStandIn(t testing.TB, d decide, edits ...func(*proxy.Config)) (*emulator.Emulator, *proxy.Proxy) {
	t.Helper()
	standIn, err := emulator.New(emulator.Config{
		Account: "stand-in", MasterKey: accountKey, Clock: time.Now, Random: rand.Reader,
		Locations: []emulator.Location{{Name: "Here", Endpoint: "https://stand-in.test/"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, database := range []string{"shop", "hr"} {
		if err := standIn.CreateDatabase(database); err != nil {
			t.Fatal(err)
		}
	}
	if err := standIn.CreateContainer("shop", emulator.ContainerDefinition{ID: "orders", PartitionKey: []string{"/department"}}); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(standIn)
	t.Cleanup(server.Close)
	upstream, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return standIn, benchProxy(t, append(edits, func(cfg *proxy.Config) {
		cfg.Authorizer = d
		cfg.Accounts[0].Upstream, cfg.Accounts[0].Transport = upstream, &http.Transport{DisableCompression: true}
		cfg.Accounts[0].InsecureMasterKey = accountKey
	})...)
}

// TestDotNetBatchesAreDecidedOperationByOperation sends what the .NET SDK sends.
func TestDotNetBatchesAreDecidedOperationByOperation(t *testing.T) {
	t.Parallel()
	asked := make(chan policy.Request, 16)
	_, p := gateOnStandIn(t, func(r policy.Request) policy.Decision {
		asked <- r
		return onlyShop(r)
	})
	encode := func(operations ...hybridrow.Row) string {
		body, err := hybridrow.AppendStream(nil, hybridrow.BatchOperation(), operations)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	headers := []string{
		"X-Ms-Documentdb-Partitionkey", `["emea"]`, "X-Ms-Cosmos-Is-Batch-Request", "True", "X-Ms-Cosmos-Batch-Atomic", "True", "X-Ms-Cosmos-Batch-Ordered", "True",
	}
	got, _ := serve(t, p, request(t, http.MethodPost, createPath, encode(
		hybridrow.Row{"operationType": int32(0), "resourceType": int32(2), "resourceBody": []byte(`{"id":"1","department":"emea"}`)},
		hybridrow.Row{"operationType": int32(4), "resourceType": int32(2), "id": "1"},
	), headers...))
	rows, err := hybridrow.ReadStream([]byte(got.Body), hybridrow.BatchResult())
	if err != nil || got.Status != http.StatusOK || len(rows) != 2 || rows[0]["statusCode"] != int32(201) || rows[1]["statusCode"] != int32(204) {
		t.Errorf("%d %v: %v", got.Status, rows, err)
	}
	decided := <-asked
	if diff := cmp.Diff([][]string{{`"emea"`}}, decided.PartitionKeys); diff != "" {
		t.Errorf("decided keys (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"items/create", "items/delete"}, cosmos.Actions(decided.Actions).Names()); diff != "" {
		t.Errorf("decided actions (-want +got):\n%s", diff)
	}
	got, _ = serve(t, p, request(t, http.MethodPost, createPath, encode(hybridrow.Row{"operationType": int32(0), "resourceType": int32(3)}), headers...))
	if got.Status != http.StatusBadRequest || len(asked) != 0 {
		t.Errorf("an operation on no item: %d, %d decisions", got.Status, len(asked))
	}
}

// BenchmarkListOf500Containers is a caller who reads the list of 500 containers of the stand-in, all of which it reaches, to its end.
func BenchmarkListOf500Containers(b *testing.B) {
	set, err := policy.Parse("bench.yaml", []byte(strings.NewReplacer(
		"[items/read, executeQuery]", "[readMetadata]", "[prod/shop/orders]", "[prod/shop/*]",
		"\n  partitionKey: {equals: [\"${user.department}\"], mode: require}", "").Replace(everything)), policy.Options{})
	if err != nil {
		b.Fatal(err)
	}
	standIn, p := gateOnStandIn(b, policy.NewEngine(set).Decide, func(c *proxy.Config) { c.Authenticator = authenticate(annOfSupport) })
	for i := range 500 {
		name := "c" + strconv.Itoa(i)
		if err := standIn.CreateContainer("shop", emulator.ContainerDefinition{ID: name, PartitionKey: []string{"/department"}}); err != nil {
			b.Fatal(err)
		}
	}
	for _, size := range []int{0, 100, 10} {
		b.Run("pages of "+strconv.Itoa(size), func(b *testing.B) {
			b.ReportAllocs()
			defer reportCPU(b, cpuTime(b))
			var charge float64
			for b.Loop() {
				charge = readList(b, p, size)
			}
			b.ReportMetric(charge, "RU/op")
		})
	}
}

// readList reads a list in pages of a size, and returns what upstream charged for it.
func readList(b *testing.B, p *proxy.Proxy, size int) (charge float64) {
	b.Helper()
	r := benchRequest(b, http.MethodGet, "/dbs/shop/colls", "")
	r.Header.Del("X-Ms-Documentdb-Partitionkey")
	if size > 0 {
		r.Header.Set("X-Ms-Max-Item-Count", strconv.Itoa(size))
	}
	for {
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			b.Fatalf("%d %s", w.Code, w.Body)
		}
		cost, err := strconv.ParseFloat(w.Header().Get("X-Ms-Request-Charge"), 64)
		if err != nil {
			b.Fatal(err)
		}
		charge += cost
		at := w.Header().Get("X-Ms-Continuation")
		if at == "" {
			return charge
		}
		r.Header.Set("X-Ms-Continuation", at)
	}
}
