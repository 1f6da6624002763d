package replicas_test

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cosmosgate/cosmosgate/internal/emulator"
)

// TestWritesThroughTheSharedDirectory has providers change people through one gate, and through all of them, on a container that answers at once and on one
// that takes as long as a region's does. Every change must be acknowledged; how long each took is reported.
func TestWritesThroughTheSharedDirectory(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3, "")
	for _, delay := range []time.Duration{0, 5 * time.Millisecond, 10 * time.Millisecond} {
		w.account.ClearFaults()
		if delay > 0 {
			w.account.Inject(emulator.Fault{PathPrefix: "/dbs/gate", Delay: delay, Times: -1})
		}
		for _, row := range []struct {
			name    string
			gates   []*gate
			clients int
		}{{"1 client", w.gates[:1], 1}, {"25 clients, one gate", w.gates[:1], 25}, {"25 clients, three gates", w.gates, 25}} {
			took, over := w.pushMany(row.gates, row.clients, *rounds)
			t.Logf("container +%-5s %-24s %s, %.0f/s", delay, row.name, quantiles(took), float64(len(took))/over.Seconds())
		}
	}
}

// pushMany has each of some clients change a person of its own, a number of times, and returns how long each change took, and all of them.
func (w *world) pushMany(gates []*gate, clients, changes int) (took []time.Duration, over time.Duration) {
	w.t.Helper()
	var mu sync.Mutex
	var pushing sync.WaitGroup
	begun := time.Now()
	for client := range clients {
		pushing.Go(func() {
			g := gates[client%len(gates)]
			p := g.provider()
			status, made := p.send(scimToken, http.MethodPost, "/Users", fmt.Sprintf(`{"userName":"writer-%d-%d"}`, begun.UnixNano(), client))
			if status != http.StatusCreated {
				w.t.Errorf("hiring: %d", status)
				return
			}
			var own []time.Duration
			for n := range changes {
				at := time.Now()
				status, _ := p.send(scimToken, http.MethodPatch, "/Users/"+text(made["id"]), fmt.Sprintf(
					`{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","path":"title","value":"t%d"}]}`, n))
				if own = append(own, time.Since(at)); status != http.StatusOK {
					w.t.Errorf("change %d: %d", n, status)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, own...)
		})
	}
	pushing.Wait()
	slices.Sort(took)
	return took, time.Since(begun)
}
