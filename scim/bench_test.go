package scim_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// patched returns a gate and people to patch: a hundred in a new directory, or
// a hundred thousand of the world that directory.TestBuildWorld made, if
// COSMOSGATE_WORLD names its file.
func patched(b *testing.B) (*gate, [][36]byte) {
	b.Helper()
	path := os.Getenv("COSMOSGATE_WORLD")
	if path == "" {
		g := newGate(b)
		ids := make([][36]byte, 100)
		for i := range ids {
			copy(ids[i][:], g.user(b, fmt.Sprintf("u%d", i)))
		}
		return g, ids
	}
	g := serverOver(b, runDirectory(b, path))
	ids := make([][36]byte, 0, 100_000) // without pointers, which the collector would follow
	for u := range g.directory.Users(corp, "") {
		if ids = append(ids, [36]byte([]byte(u.ID))); len(ids) == cap(ids) {
			break
		}
	}
	rand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	return g, ids
}

// BenchmarkPatch measures a durable change of one attribute over loopback HTTP,
// as 1 and as 25 clients see it that ask again at once, and as 25 do that
// together ask 2,500 times a second: then time counts from when they meant to.
// Their connections are open before.
func BenchmarkPatch(b *testing.B) {
	g, ids := patched(b)
	web := httptest.NewServer(g)
	defer web.Close()
	// Those who never rest come last: what they leave to be folded would be the next one's burden.
	for _, load := range []struct {
		name    string
		clients int
		every   time.Duration
	}{
		{name: "1 client", clients: 1},
		{name: "25 clients at 2500 per second", clients: 25, every: 10 * time.Millisecond},
		{name: "25 clients", clients: 25},
	} {
		b.Run(load.name, func(b *testing.B) {
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: load.clients}}
			defer client.CloseIdleConnections()
			connect(b, client, web.URL+"/scim/v2/corp/ServiceProviderConfig", load.clients)
			took := make([]time.Duration, b.N)
			b.ResetTimer()
			started := time.Now()
			var wait sync.WaitGroup
			for c := range load.clients {
				wait.Go(func() {
					for i := c; i < b.N; i += load.clients {
						start := time.Now()
						if load.every > 0 {
							start = started.Add(load.every * time.Duration(i) / time.Duration(load.clients))
							time.Sleep(time.Until(start))
						}
						patchOver(b, client, web.URL+"/scim/v2/corp/Users/"+string(ids[i%len(ids)][:]),
							patchBody(fmt.Sprintf(`{"op":"Replace","path":"title","value":"%d at %d"}`, i, started.UnixNano())))
						took[i] = time.Since(start)
					}
				})
			}
			wait.Wait()
			slices.Sort(took)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "patches/s")
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
		})
	}
}

// connect opens as many connections as there are clients.
func connect(b *testing.B, client *http.Client, address string, clients int) {
	b.Helper()
	answers := make([]*http.Response, clients)
	for i := range answers {
		r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, address, http.NoBody)
		if err != nil {
			b.Fatal(err)
		}
		if answers[i], err = client.Do(r); err != nil { //nolint:bodyclose // below, once all are there
			b.Fatal(err)
		}
	}
	for _, answer := range answers {
		_, err := io.Copy(io.Discard, answer.Body)
		if err := errors.Join(err, answer.Body.Close()); err != nil {
			b.Fatal(err)
		}
	}
}

func patchOver(b *testing.B, client *http.Client, address, body string) {
	b.Helper()
	r, err := http.NewRequestWithContext(b.Context(), http.MethodPatch, address, strings.NewReader(body))
	if err != nil {
		b.Error(err)
		return
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/scim+json")
	answer, err := client.Do(r)
	if err != nil {
		b.Error(err)
		return
	}
	if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != http.StatusOK {
		b.Errorf("status %d, %v", answer.StatusCode, err)
	}
	if err := answer.Body.Close(); err != nil {
		b.Error(err)
	}
}

// BenchmarkMemberDelta adds and removes one member of a group of a size: the
// time must not depend on it.
func BenchmarkMemberDelta(b *testing.B) {
	for _, size := range []int{10, 10_000} {
		b.Run(fmt.Sprintf("%d members", size), func(b *testing.B) {
			g := newGate(b)
			group := g.group(b, "g")
			first := ""
			var wait sync.WaitGroup
			for worker := range 8 {
				wait.Go(func() {
					for i := worker; i < size; i += 8 {
						id := g.user(b, fmt.Sprintf("u%d", i))
						g.do(http.MethodPatch, "/Groups/"+group,
							patchBody(`{"op":"add","path":"members","value":[{"value":"`+id+`"}]}`))
						if i == 0 {
							first = id
						}
					}
				})
			}
			wait.Wait()
			for i := 0; b.Loop(); i++ {
				verb := []string{"remove", "add"}[i%2]
				w := g.do(http.MethodPatch, "/Groups/"+group,
					patchBody(`{"op":"`+verb+`","path":"members","value":[{"value":"`+first+`"}]}`))
				if w.Code != http.StatusNoContent {
					b.Fatalf("%d %s", w.Code, w.Body)
				}
			}
		})
	}
}

// BenchmarkFind measures the matching query of every provider.
func BenchmarkFind(b *testing.B) {
	g := newGate(b)
	for i := range 1000 {
		g.user(b, fmt.Sprintf("u%d@corp.example", i))
	}
	path := "/Users?filter=" + url.QueryEscape(`userName eq "u500@corp.example"`)
	for b.Loop() {
		if w := g.do(http.MethodGet, path, ""); w.Code != http.StatusOK {
			b.Fatal(w.Code)
		}
	}
}
