package emulator_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/internal/emulator"
)

// The hashes are those that azure-cosmos for Python 4.17 computes on its side of the wire.
func TestKeysHaveThePlaceInTheHashSpaceThatSDKsExpect(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	hashes := map[string]string{
		`"p1"`: "062B23DEC15212F01B9A85F4E93A940C", `""`: "32E9366E637A71B4E710384B2F4970A0", `1`: "20CD98B339BA78A5D0CF6953B87070B0",
		`1.5`: "35C5DDEB6C795D16A9963C73C54E97BC", `-3`: "30478B3D0E0AD5DBC95C665464636106", `true`: "0E711127C5B5A8E4726AC6DD306A3E59",
		`false`: "2FE1BE91E90A3439635E0E9E37361EF2", `null`: "378867E4430E67857ACE5C908374FE16", `"ünï"`: "37D1742E5E4FEB586EBD12C0D62B2B66",
	}
	for key := range hashes {
		if err := s.UpsertItem("shop", "orders", []byte(`{"id":"x","dep":`+key+`}`)); err != nil {
			t.Fatal(err)
		}
	}
	span := func(low, high string) map[string]string {
		return map[string]string{"X-Ms-Start-Epk": low, "X-Ms-End-Epk": high, "X-Ms-Read-Key-Type": "EffectivePartitionKeyRange"}
	}
	for key, hash := range hashes {
		answer := s.do(t, question(orders, "SELECT VALUE c.dep FROM c", span(hash, hash+"00")))
		want := []any{}
		var value any
		if err := json.Unmarshal([]byte(key), &value); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(append(want, value), answer.get(t, "Documents")); diff != "" {
			t.Errorf("at %s (-want +got):\n%s", hash, diff)
		}
	}
	if err := s.UpsertItem("shop", "carts", []byte(`{"id":"1","tenant":"x","user":"y"}`)); err != nil {
		t.Fatal(err)
	}
	const tenant, user = "11E3F358618BE9AA5BAFF4C7C74F0716", "1880C5B898FDA99DA53B2ABCC61E625C"
	for name, row := range map[string]struct {
		header map[string]string
		want   any
	}{
		"all users of a tenant": {span(tenant, tenant+"FF"), 1.0},
		"one user":              {span(tenant+user, tenant+user+"00"), 1.0},
		"the users before":      {span(tenant, tenant+user), 0.0},
		"in lower case":         {span(strings.ToLower(tenant), strings.ToLower(tenant)+"ff"), 1.0},
	} {
		answer := s.do(t, question(carts, "SELECT VALUE COUNT(1) FROM c", row.header))
		if got := answer.get(t, "Documents", 0); got != row.want {
			t.Errorf("%s: %v, want %v", name, got, row.want)
		}
	}
}

// FuzzServeHTTP sends anything to the items of a container: the answer is always a whole native one.
func FuzzServeHTTP(f *testing.F) {
	for i, body := range []string{
		`{"id":"1","dep":"e"}`, `{"query":"SELECT * FROM c ORDER BY c.n","parameters":[{"name":"@x","value":1}]}`,
		`[{"operationType":"Create","resourceBody":{"id":"2","dep":"e"}},{"operationType":"Patch","id":"1","resourceBody":{"operations":[]}}]`,
		`{"operations":[{"op":"move","from":"/a/0","path":"/b"}],"condition":"FROM c WHERE c.n > 1"}`, `[{"op":"add","path":"/a/-","value":[1]}]`,
	} {
		f.Add(uint8(i), uint8(i), "/1", `["e"]`, body, "")
	}
	f.Add(uint8(1), uint8(0), "/%2e%2e/x?y", `[{}]`, "", `"7"`)
	const now = 1_800_000_000
	made, err := emulator.New(emulator.Config{
		Account: "shop", Locations: []emulator.Location{{Name: "West Europe"}}, AllowUnsignedTokens: true,
		Clock: func() time.Time { return time.Unix(now, 0) }, Random: rand.NewChaCha8([32]byte{}),
	})
	if err != nil {
		f.Fatal(err)
	}
	if err := made.CreateDatabase("shop"); err != nil {
		f.Fatal(err)
	}
	if err := made.CreateContainer("shop", emulator.ContainerDefinition{ID: "orders", PartitionKey: []string{"/dep"}}); err != nil {
		f.Fatal(err)
	}
	methods := []string{"POST", "GET", "PUT", "PATCH", "DELETE", "HEAD"}
	selectors := [][2]string{
		{"Accept", "*/*"}, {"X-Ms-Documentdb-Isquery", "true"}, {"X-Ms-Cosmos-Is-Batch-Request", "true"}, {"X-Ms-Documentdb-Is-Upsert", "true"},
		{"X-Ms-Cosmos-Is-Query-Plan-Request", "true"}, {"A-IM", "Incremental Feed"}, {"A-IM", "Full-Fidelity Feed"},
	}
	f.Fuzz(func(t *testing.T, method, selector uint8, path, key, body, condition string) {
		target, err := url.Parse(orders + path)
		if err != nil {
			return
		}
		request := (&http.Request{
			Method: methods[int(method)%len(methods)], URL: target, Host: "localhost", Body: http.NoBody,
			Header: http.Header{"Authorization": {"type=aad&ver=1.0&sig=" + unsignedToken(now+60)}},
		}).WithContext(context.WithoutCancel(t.Context()))
		request.Body = readCloser{strings.NewReader(body)}
		request.Header.Set("X-Ms-Documentdb-Partitionkey", key)
		request.Header.Set("If-None-Match", condition)
		request.Header.Set("X-Ms-Continuation", condition)
		chosen := selectors[int(selector)%len(selectors)]
		request.Header.Set(chosen[0], chosen[1])
		answer := httptest.NewRecorder()
		made.ServeHTTP(answer, request)
		if answer.Code == http.StatusInternalServerError {
			t.Errorf("500: %s", answer.Body)
		}
		if answer.Body.Len() > 0 && !json.Valid(answer.Body.Bytes()) {
			t.Errorf("%d is no JSON: %s", answer.Code, answer.Body)
		}
		if length := answer.Header().Get("Content-Length"); length != "" && length != fmt.Sprint(answer.Body.Len()) {
			t.Errorf("Content-Length %s of %d bytes", length, answer.Body.Len())
		}
	})
}

// readCloser closes nothing.
type readCloser struct{ *strings.Reader }

// Close does nothing.
func (readCloser) Close() error { return nil }
