package scim_test

import (
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"
)

// BenchmarkPatch measures one deactivation or reactivation, durable, at one
// client and at 25.
func BenchmarkPatch(b *testing.B) {
	for _, clients := range []int{1, 25} {
		b.Run(fmt.Sprintf("%d_clients", clients), func(b *testing.B) {
			g := newGate(b)
			ids := make([]string, 100)
			for i := range ids {
				ids[i] = g.user(b, fmt.Sprintf("u%d", i))
			}
			var n atomic.Int64
			b.SetParallelism(clients)
			b.ResetTimer()
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					i := n.Add(1)
					w := g.do(http.MethodPatch, "/Users/"+ids[i%100],
						patchBody(fmt.Sprintf(`{"op":"Replace","path":"title","value":"t%d"}`, i)))
					if w.Code != http.StatusOK {
						b.Errorf("%d %s", w.Code, w.Body)
					}
				}
			})
		})
	}
}

// BenchmarkMemberDelta adds and removes one member of a group of a size: the
// time must not depend on it.
func BenchmarkMemberDelta(b *testing.B) {
	for _, size := range []int{10, 10_000} {
		b.Run(fmt.Sprintf("%d_members", size), func(b *testing.B) {
			g := newGate(b)
			ids := make([]string, size)
			for i := range ids {
				ids[i] = g.user(b, fmt.Sprintf("u%d", i))
			}
			group := g.group(b, "g", ids...)
			for i := 0; b.Loop(); i++ {
				verb := []string{"remove", "add"}[i%2]
				w := g.do(http.MethodPatch, "/Groups/"+group,
					patchBody(`{"op":"`+verb+`","path":"members","value":[{"value":"`+ids[0]+`"}]}`))
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
