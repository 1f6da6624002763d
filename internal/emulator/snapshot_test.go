package emulator_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/internal/emulator"
)

func TestSnapshotsBringEverythingBack(t *testing.T) {
	t.Parallel()
	s := withOrders(t)
	s.do(t, call{method: "DELETE", path: orders + "/02", header: keyed(`["emea"]`)})
	s.do(t, call{method: "PATCH", path: orders + "/04", body: `[{"op":"set","path":"/n","value":0.5}]`, header: keyed(`["emea"]`)})
	s.do(t, call{method: "POST", path: "/dbs/shop/colls/orders/udfs", body: `{"id":"f","body":"x"}`})
	var saved bytes.Buffer
	if err := s.Snapshot(&saved); err != nil {
		t.Fatal(err)
	}
	again := empty(t)
	if err := again.Restore(bytes.NewReader(saved.Bytes())); err != nil {
		t.Fatal(err)
	}
	for _, one := range []call{
		{method: "GET", path: "/dbs"}, {method: "GET", path: "/dbs/shop/colls"}, {method: "GET", path: "/offers"},
		{method: "GET", path: "/dbs/shop/colls/orders/udfs"}, {method: "GET", path: orders + "/04", header: keyed(`["emea"]`)},
		{method: "GET", path: orders}, {method: "GET", path: orders, header: keyed(`["emea"]`, "A-IM", "Incremental Feed")},
		question(orders, "SELECT * FROM c ORDER BY c.n", keyed(`["emea"]`)),
	} {
		before, after := s.do(t, one), again.do(t, one)
		if diff := cmp.Diff(before.Body, after.Body); diff != "" || before.Header.Get("Etag") != after.Header.Get("Etag") {
			t.Errorf("%s %s (-before +after):\n%s", one.method, one.path, diff)
		}
	}
	again.create(t, "emea", "new", "")
	if err := again.Restore(strings.NewReader("")); !errors.Is(err, emulator.ErrSnapshot) {
		t.Errorf("loading over something: %v", err)
	}
	for name, text := range map[string]string{
		"another version":             `{"version":99}`,
		"no version":                  `{"database":{"rid":"Gys94A==","properties":{"id":"d"}}}`,
		"not JSON":                    "{",
		"an item of no container":     `{"version":1}{"item":{"id":"1"}}`,
		"a container of no database":  `{"version":1}{"container":{"rid":"Gys94IAAAeA=","properties":{"id":"c","partitionKey":{"paths":["/a"]}}}}`,
		"a container without its key": `{"version":1}{"database":{"rid":"Gys94A==","properties":{"id":"d"}}}{"container":{"rid":"Gys94IAAAeA=","properties":{"id":"c"}}}`,
		"a database without its rid":  `{"version":1}{"database":{"properties":{"id":"d"}}}`,
		"an empty line":               `{"version":1}{}`,
	} {
		if err := empty(t).Restore(strings.NewReader(text)); !errors.Is(err, emulator.ErrSnapshot) || !strings.Contains(err.Error(), "restoring entry") {
			t.Errorf("%s: %v, want ErrSnapshot and its entry", name, err)
		}
	}
}

// empty is a stand with nothing in it.
func empty(t *testing.T) *stand {
	t.Helper()
	s := newStand(t)
	made, err := emulator.New(emulator.Config{
		Account: "shop", Locations: []emulator.Location{{Name: "West Europe"}}, MasterKey: emulator.WellKnownKey,
		Clock: s.clock.Now, Random: rand.NewChaCha8([32]byte{1}),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Emulator, s.server.Config.Handler = made, made
	return s
}
