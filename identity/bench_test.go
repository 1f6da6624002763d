package identity_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/identity"
)

// flat is a directory without locks or maps, so that the benchmarks measure the authenticator.
type flat struct{ user directory.UserView }

func (f flat) Lookup(directory.LinkKey) (directory.UserView, bool) { return f.user, true }
func (flat) Locked(directory.Subject) (*directory.Lock, bool)      { return nil, false }

// typical is a person's token of the size that Entra issues, about 1.5 KB.
func (w *world) typical(tb testing.TB, id string) string {
	tb.Helper()

	groups := make([]string, 15)
	for i := range groups {
		groups[i] = fmt.Sprintf("2f4ba9f5-6e7c-4b0a-9f0a-%012d", i)
	}

	return w.signer.sign(tb, nil, w.person().with(object{
		"groups": groups, "name": "Ann Example", "preferred_username": "ann@corp.example",
		"jti": id, "exp": time.Now().Add(24 * time.Hour).Unix(),
	}))
}

func benchWorld(tb testing.TB, s signer) *world {
	tb.Helper()

	w := newWorld(tb)
	w.signer = s
	w.provider.publish(s)
	w.config.Directory = flat{ann()}
	w.config.Revocations = newRevocations(tb, newHouse(tb))

	return w.running(tb)
}

func TestACachedTokenCostsNoAllocation(t *testing.T) {
	w := benchWorld(t, newSigner(t, "k1"))

	for name, raw := range map[string]string{"person": w.typical(t, "one"), "application": w.signer.sign(t, nil, w.application())} {
		presented := credential(raw)

		allocations := testing.AllocsPerRun(100, func() {
			if _, err := w.gate.Authenticate(t.Context(), presented); err != nil {
				t.Fatal(err)
			}
		})
		if allocations > 0 {
			t.Errorf("%s: %v allocations per call, want none", name, allocations)
		}
	}
}

func BenchmarkAuthenticateCached(b *testing.B) {
	w := benchWorld(b, newRSASigner("k1"))
	raw := w.typical(b, "one")
	presented := credential(raw)

	b.ReportAllocs()
	b.SetBytes(int64(len(raw)))

	for b.Loop() {
		if _, err := w.gate.Authenticate(b.Context(), presented); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAuthenticateCachedParallel(b *testing.B) {
	w := benchWorld(b, newRSASigner("k1"))
	presented := credential(w.typical(b, "one"))

	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := w.gate.Authenticate(b.Context(), presented); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// uncached cycles through more tokens than the cache holds.
func uncached(b *testing.B, s signer) {
	b.Helper()

	w := newWorld(b)
	w.signer = s
	w.provider.publish(s)
	w.config.Directory = flat{ann()}
	w.config.CacheSize = 1
	w.running(b)

	tokens := []string{w.typical(b, "one"), w.typical(b, "other")}

	b.ReportAllocs()

	for i := 0; b.Loop(); i++ {
		if _, err := w.gate.Authenticate(b.Context(), credential(tokens[i%len(tokens)])); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAuthenticateUncachedRS256(b *testing.B) { uncached(b, newRSASigner("k1")) }

func BenchmarkAuthenticateUncachedES256(b *testing.B) { uncached(b, newSigner(b, "k1")) }

// BenchmarkAuthenticateBadSignature is what an attacker's distinct forgeries cost each.
func BenchmarkAuthenticateBadSignature(b *testing.B) {
	w := benchWorld(b, newRSASigner("k1"))
	forged := make([]string, 2048) // more than are remembered

	for i := range forged {
		honest := w.signer.sign(b, nil, w.person().with(object{"jti": strconv.Itoa(i)}))
		signature := strings.LastIndex(honest, ".") + 1
		forged[i] = honest[:signature] + strings.Repeat("A", len(honest)-signature)
	}

	b.ReportAllocs()

	for i := 0; b.Loop(); i++ {
		if _, err := w.gate.Authenticate(b.Context(), credential(forged[i%len(forged)])); err == nil {
			b.Fatal("accepted")
		}
	}
}

// BenchmarkRevocation is what the revocation table adds to a request with a cached token, on a directory of 1,000 marks.
func BenchmarkRevocation(b *testing.B) {
	for name, with := range map[string]bool{"without": false, "with": true} {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b)
			w.config.Directory = flat{ann()}

			h := newHouse(b)
			table := newRevocations(b, h)

			for i := range 1000 {
				revoke(b, table, identity.Revocation{Kind: identity.RevokeSubject, Issuer: corpURL, Name: strconv.Itoa(i)})
			}

			if with {
				w.config.Revocations = table
			}

			w.running(b)

			presented := credential(w.typical(b, "one"))

			b.ReportAllocs()

			for b.Loop() {
				if _, err := w.gate.Authenticate(b.Context(), presented); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
