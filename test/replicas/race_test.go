package replicas_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/cosmosgate/cosmosgate/internal/emulator"
)

// TestAPersonMadeAtOneGateIsAMemberAtAnotherAtOnce is what a provider behind a load balancer does: it creates at one gate and adds to a
// group at the next, before that one can have heard of the person. A refusal would be a membership that never comes.
func TestAPersonMadeAtOneGateIsAMemberAtAnotherAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3, "")
	const workers, rounds = 3, 25
	group := w.gates[0].group("team")
	var pushing sync.WaitGroup
	for worker := range workers {
		pushing.Go(func() {
			for n := range rounds {
				name := fmt.Sprintf("r%d-%d", worker, n)
				first, next, last := w.gates[(worker+n)%3], w.gates[(worker+n+1)%3], w.gates[(worker+n+2)%3]
				status, made := first.scim(http.MethodPost, "/Users", fmt.Sprintf(
					`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":%q,"externalId":%q}`, name, name))
				id := text(made["id"])
				if status != http.StatusCreated {
					t.Errorf("%s: made: %d", name, status)
					return
				}
				if got := next.patch("/Groups/"+group, fmt.Sprintf(`{"op":"add","path":"members","value":[{"value":%q}]}`, id)); got != http.StatusNoContent {
					t.Errorf("%s: added at %s: %d", name, next.name, got)
				}
				probe := url.QueryEscape(fmt.Sprintf("id eq %q and members eq %q", group, id))
				if got, list := last.scim(http.MethodGet, "/Groups?filter="+probe, ""); got != http.StatusOK || fmt.Sprint(list["totalResults"]) != "1" {
					t.Errorf("%s: at %s: %d %v", name, last.name, got, list["totalResults"])
				}
			}
		})
	}
	pushing.Wait()
	if t.Failed() {
		return
	}
	for _, g := range w.gates {
		_, got := g.scim(http.MethodGet, "/Groups/"+group, "")
		if members, _ := got["members"].([]any); len(members) != workers*rounds {
			t.Errorf("%s: %d members, want %d", g.name, len(members), workers*rounds)
		}
	}
}

// TestTheRecordTellsWhatCameOfAWriteThatTheContainerDidNotAnswer has the container fail every write for a while. The provider is told 503, which
// may or may not be true of the change; the record says just that, and then what is.
func TestTheRecordTellsWhatCameOfAWriteThatTheContainerDidNotAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, "")
	near, far := w.gates[0], w.gates[1]
	id := near.hire(0)
	recorded := func(reason string) bool {
		log, err := os.ReadFile(filepath.Join(near.dir, "audit.jsonl"))
		return err == nil && bytes.Contains(log, []byte(`"reason":"`+reason+`"`))
	}
	w.account.Inject(emulator.Fault{Method: http.MethodPost, PathPrefix: "/dbs/gate", Status: http.StatusServiceUnavailable, Times: -1})
	if got := near.setActive(id, false); got != http.StatusServiceUnavailable {
		t.Errorf("what is nowhere is acknowledged: %d", got)
	}
	w.eventually("the record says that nobody knows", func() bool { return recorded("unknown_outcome") })
	w.account.ClearFaults()
	if got := far.setActive(id, false); got != http.StatusOK {
		t.Fatalf("deactivating at the other gate: %d", got)
	}
	w.eventually("the record says that it had no effect", func() bool { return recorded("no_effect") })
}
