package policy_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cosmosgate/cosmosgate/policy"
)

// plainHash is as good as any for a test: it tells keys apart.
func plainHash(key []string) string { return "hash of " + strings.Join(key, ",") }

// TestWhatIsCertainWithoutTheKeyIsWhatIsDecidedWithIt decides random requests
// with their keys and with hashes of them.
func TestWhatIsCertainWithoutTheKeyIsWhatIsDecidedWithIt(t *testing.T) {
	t.Parallel()
	seen := map[string]int{}
	for seed := range uint64(300) {
		g := generator{rand.New(rand.NewPCG(seed, 11))}
		w := g.world()
		set, err := policy.Parse("world.yaml", []byte(w.yaml()), policy.Options{})
		if err != nil {
			t.Fatal(err)
		}
		engine := policy.NewEngine(set)
		for range 30 {
			q := g.request(g.principal())
			q.Ranged = false // records do not say
			h := policy.Hashed{Request: q, Hash: plainHash, Cut: g.IntN(8) == 0}
			h.PartitionKeys = nil
			for _, key := range q.PartitionKeys {
				h.Keys = append(h.Keys, plainHash(key))
			}
			if g.IntN(4) == 0 {
				h.Hash = nil
			}
			want := engine.Decide(q)
			got, certain := engine.DecideHashed(h)
			switch {
			case !certain:
				seen["uncertain"]++
			case want.Allow != got.Allow:
				t.Errorf("seed %d: decided %+v with the key, %+v without\n%+v\n%s", seed, want, got, q, w.yaml())
			case got.Allow && len(h.Keys) > 0:
				seen["allowed"]++
			case len(h.Keys) > 0:
				seen["denied"]++
			}
		}
	}
	for _, outcome := range []string{"uncertain", "allowed", "denied"} {
		if seen[outcome] == 0 {
			t.Errorf("no request was %s: the worlds are too tame", outcome)
		}
	}
}
