package proxy_test

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
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

func gateOnStandIn(t *testing.T, d decide) (*emulator.Emulator, *proxy.Proxy) {
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
	return standIn, benchProxy(t, func(cfg *proxy.Config) {
		cfg.Authorizer = d
		cfg.Accounts[0].Upstream, cfg.Accounts[0].Transport = upstream, &http.Transport{DisableCompression: true}
		cfg.Accounts[0].InsecureMasterKey = accountKey
	})
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
