package emulator_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cosmosgate/cosmosgate/internal/emulator"
)

// loaded is an account whose container "shop/orders" has n items of 0.3 KB in n/100 partitions.
func loaded(b *testing.B, n int) *emulator.Emulator {
	b.Helper()
	made, err := emulator.New(emulator.Config{
		Account: "shop", Locations: []emulator.Location{{Name: "West Europe"}}, MasterKey: emulator.WellKnownKey,
		Clock: time.Now, Random: rand.NewChaCha8([32]byte{}),
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := made.CreateDatabase("shop"); err != nil {
		b.Fatal(err)
	}
	if err := made.CreateContainer("shop", emulator.ContainerDefinition{ID: "orders", PartitionKey: []string{"/dep"}}); err != nil {
		b.Fatal(err)
	}
	padding := strings.Repeat("x", 200)
	for i := range n {
		item := fmt.Sprintf(`{"id":"%d","dep":"d%d","n":%d,"name":"order %d","note":"%s"}`, i, i%max(n/100, 1), i, i, padding)
		if err := made.UpsertItem("shop", "orders", []byte(item)); err != nil {
			b.Fatal(err)
		}
	}
	return made
}

func serve(b *testing.B, handler http.Handler, c call) {
	b.Helper()
	request := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
	for name, value := range c.header {
		request.Header.Set(name, value)
	}
	sign(request, time.Now())
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, request)
	if answer.Code >= http.StatusBadRequest {
		b.Fatalf("%d %s", answer.Code, answer.Body)
	}
}

func BenchmarkLoad100kItems(b *testing.B) {
	for b.Loop() {
		loaded(b, 100_000)
	}
}

func BenchmarkQueryOnePartitionOf100kItems(b *testing.B) {
	made := loaded(b, 100_000)
	c := question(orders, "SELECT * FROM c WHERE c.n >= 50000 ORDER BY c.n DESC", keyed(`["d7"]`))
	b.ReportAllocs()
	for b.Loop() {
		serve(b, made, c)
	}
}

func BenchmarkQueryAll100kItems(b *testing.B) {
	made := loaded(b, 100_000)
	c := question(orders, "SELECT c.dep, COUNT(1) AS n FROM c WHERE c.name LIKE '%9%' GROUP BY c.dep", map[string]string{"X-Ms-Documentdb-Partitionkeyrangeid": "0"})
	for b.Loop() {
		serve(b, made, c)
	}
}

func BenchmarkPointRead(b *testing.B) {
	made := loaded(b, 1000)
	c := call{method: "GET", path: orders + "/7", header: keyed(`["d7"]`)}
	b.ReportAllocs()
	for b.Loop() {
		serve(b, made, c)
	}
}

func BenchmarkUpsert(b *testing.B) {
	made := loaded(b, 1000)
	c := call{method: "POST", path: orders, body: `{"id":"7","dep":"d7","n":1}`, header: keyed(`["d7"]`, "X-Ms-Documentdb-Is-Upsert", "true")}
	b.ReportAllocs()
	for b.Loop() {
		serve(b, made, c)
	}
}
