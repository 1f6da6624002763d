package replicas_test

import (
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"

	"github.com/cosmosgate/cosmosgate/internal/emulator"
)

// TestWhatAKilledGateAcknowledgedIsNotLost has a provider push people through all gates while one of them is killed again and
// again.
func TestWhatAKilledGateAcknowledgedIsNotLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3, "")
	var mu sync.Mutex
	acknowledged := map[string]string{} // user name → id
	ended := make(chan struct{})
	var pushing sync.WaitGroup
	for worker := range 6 {
		pushing.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-ended:
					return
				default:
				}
				name := fmt.Sprintf("w%d-%d", worker, n)
				g := w.gates[(worker+n)%len(w.gates)]
				status, got := g.scim(http.MethodPost, "/Users", fmt.Sprintf(
					`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":%q,"externalId":%q}`, name, name))
				if status != http.StatusCreated {
					continue // not acknowledged
				}
				mu.Lock()
				acknowledged[name] = text(got["id"])
				mu.Unlock()
			}
		})
	}
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(acknowledged)
	}
	victim := w.gates[1]
	for round := range 3 {
		w.eventually("people are pushed", func() bool { return count() > 40*(round+1) })
		victim.kill()
		before := count()
		w.eventually("the others go on", func() bool { return count() > before+10 })
		victim.start()
		w.eventually("the killed gate is ready again", victim.ready)
	}
	close(ended)
	pushing.Wait()
	t.Logf("%d people acknowledged", len(acknowledged))
	for _, g := range w.gates {
		for name, id := range acknowledged {
			status, got := g.scim(http.MethodGet, "/Users?filter="+url.QueryEscape(fmt.Sprintf("userName eq %q", name)), "")
			found, _ := got["Resources"].([]any)
			if status != http.StatusOK || len(found) != 1 {
				t.Fatalf("%s: %s was acknowledged and is there %d times (%d)", g.name, name, len(found), status)
			}
			if one, _ := found[0].(map[string]any); text(one["id"]) != id {
				t.Fatalf("%s: %s has another id", g.name, name)
			}
		}
	}
}

// TestAGateThatIsCutOffFromTheDirectory plays the ways in which one gate loses the directory while the others keep it.
func TestAGateThatIsCutOffFromTheDirectory(t *testing.T) {
	t.Parallel()
	for name, how := range map[string]state{"connections are refused": cut, "packets are dropped": silent} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 3, ", stale_after: 1s, serve_at_most: 6s")
			playPartition(t, w, how)
		})
	}
}

func playPartition(t *testing.T, w *world, how state) {
	t.Helper()
	near, far, third := w.gates[0], w.gates[1], w.gates[2]
	const careful, patient, gone, late = 0, 1, 2, 3
	var ids []string
	for i := range 4 {
		ids = append(ids, near.hire(i))
	}
	near.group("careful", ids[careful], ids[gone], ids[late])
	near.group("patient", ids[patient])
	at := map[*gate][]*caller{}
	for _, g := range w.gates {
		for i := range 4 {
			at[g] = append(at[g], g.caller(w.token(i)))
		}
	}
	status := func(g *gate, who int) int { return at[g][who].read() }
	for _, g := range w.gates {
		for i := range 4 {
			w.eventually(fmt.Sprintf("%s serves %s", g.name, personName(i)), func() bool { return status(g, i) == http.StatusOK })
		}
	}
	if got := near.setActive(ids[gone], false); got != http.StatusOK {
		t.Fatalf("deactivating: %d", got)
	}
	w.eventually("the other gate refuses the deactivated", func() bool { return refused(status(far, gone)) })

	far.relay.set(how)
	if got := near.setActive(ids[late], false); got != http.StatusOK {
		t.Fatalf("deactivating: %d", got)
	}
	if got := status(near, late); !refused(got) {
		t.Errorf("the gate that acknowledged: %d", got)
	}
	w.eventually("a careful role is refused with 503", func() bool { return status(far, careful) == http.StatusServiceUnavailable })
	if got := status(far, late); got != http.StatusServiceUnavailable {
		t.Errorf("who was deactivated elsewhere is served by a stale gate: %d", got)
	}
	if got := status(far, patient); got != http.StatusOK {
		t.Errorf("a patient role at a stale gate: %d", got)
	}
	if got := status(far, gone); !refused(got) {
		t.Errorf("a known denial at a stale gate: %d", got)
	}
	if got, _ := far.scim(http.MethodPost, "/Users",
		`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"x"}`); got != http.StatusServiceUnavailable {
		t.Errorf("a write at a gate without its directory: %d", got)
	}
	for _, g := range []*gate{near, third} {
		w.eventually(g.name+", which has the directory, serves", func() bool { return status(g, careful) == http.StatusOK })
	}
	w.eventually("the third gate obeys what the first was told", func() bool { return refused(status(third, late)) })
	w.eventually("a patient role is refused too in the end", func() bool { return status(far, patient) == http.StatusServiceUnavailable })
	if got := status(far, gone); !refused(got) {
		t.Errorf("a known denial at a gate that serves nobody: %d", got)
	}

	far.relay.set(through)
	w.eventually("the gate serves again", func() bool { return status(far, careful) == http.StatusOK && status(far, patient) == http.StatusOK })
	if got := status(far, late); !refused(got) {
		t.Errorf("what the gate missed is not obeyed once it serves: %d", got)
	}
	far.hire(5)
}

// refused reports whether a caller was told no, and not that the gate can't tell.
func refused(status int) bool {
	return status == http.StatusUnauthorized || status == http.StatusForbidden
}

// TestARestartedGateKnowsWhatItMissed stops a gate, changes the directory, and starts the gate again.
func TestARestartedGateKnowsWhatItMissed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, "")
	near, far := w.gates[0], w.gates[1]
	id := near.hire(0)
	near.group("careful", id)
	token := w.token(0)
	w.eventually("both serve", func() bool {
		return near.caller(token).read() == http.StatusOK && far.caller(token).read() == http.StatusOK
	})
	far.kill()
	if got := near.setActive(id, false); got != http.StatusOK {
		t.Fatalf("deactivating: %d", got)
	}
	far.start()
	w.eventually("the gate is ready", far.ready)
	if got := far.caller(token).read(); !refused(got) {
		t.Errorf("the first request after the restart: %d", got)
	}
}

// TestTheContainerIsDown has the account refuse everything about the directory for a while: no gate knows better than the others.
func TestTheContainerIsDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, ", stale_after: 1s, serve_at_most: 1h")
	near := w.gates[0]
	ids := []string{near.hire(0), near.hire(1)}
	near.group("careful", ids[0])
	near.group("patient", ids[1])
	tokens := []string{w.token(0), w.token(1)}
	everywhere := func(who, status int) bool {
		for _, g := range w.gates {
			if g.caller(tokens[who]).read() != status {
				return false
			}
		}
		return true
	}
	for who := range tokens {
		w.eventually("everybody is served", func() bool { return everywhere(who, http.StatusOK) })
	}
	w.account.Inject(emulator.Fault{PathPrefix: "/dbs/gate", Status: http.StatusServiceUnavailable, Times: -1})
	w.eventually("careful roles get 503", func() bool { return everywhere(0, http.StatusServiceUnavailable) })
	if !everywhere(1, http.StatusOK) {
		t.Error("patient roles are not served")
	}
	for _, g := range w.gates {
		if got := g.setActive(ids[1], false); got != http.StatusServiceUnavailable {
			t.Errorf("%s acknowledged what is nowhere: %d", g.name, got)
		}
		if !g.ready() {
			t.Errorf("%s is not ready: nobody would be served", g.name)
		}
	}
	w.account.ClearFaults()
	w.eventually("careful roles are served again", func() bool { return everywhere(0, http.StatusOK) })
	if got := near.setActive(ids[1], false); got != http.StatusOK {
		t.Errorf("deactivating: %d", got)
	}
	w.eventually("all gates obey", func() bool {
		return refused(w.gates[0].caller(tokens[1]).read()) && refused(w.gates[1].caller(tokens[1]).read())
	})
}
