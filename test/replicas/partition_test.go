package replicas_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cosmosgate/cosmosgate/internal/emulator"
)

// fault has the account do something to the requests of one gate alone, about the directory.
func (g *gate) fault(f emulator.Fault) {
	f.Host, f.PathPrefix, f.Times = "localhost"+port(g.relay.address()), "/dbs/gate", -1
	g.w.account.Inject(f)
}

// pair is two gates and two people under a role that wants the truth.
type pair struct {
	w         *world
	near, far *gate
	ids       []string
	callers   []*caller // at far
}

func newPair(t *testing.T) *pair {
	t.Helper()
	w := newWorld(t, 2, ", stale_after: 1s, serve_at_most: 6s")
	p := &pair{w: w, near: w.gates[0], far: w.gates[1]}
	for i := range 2 {
		p.ids = append(p.ids, p.near.hire(i))
		p.callers = append(p.callers, p.far.caller(w.token(i)))
	}
	p.near.group("careful", p.ids...)
	for i := range p.callers {
		w.eventually("both people are served", func() bool { return p.callers[i].read() == http.StatusOK })
	}
	return p
}

// TestAGateThatCanReadTheDirectoryAndNotWriteIt goes on obeying, and acknowledges nothing.
func TestAGateThatCanReadTheDirectoryAndNotWriteIt(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.far.fault(emulator.Fault{Method: http.MethodPost, Status: http.StatusServiceUnavailable})
	if got := p.far.setActive(p.ids[1], false); got != http.StatusServiceUnavailable {
		t.Errorf("a write that is nowhere: %d", got)
	}
	if got := p.near.setActive(p.ids[0], false); got != http.StatusOK {
		t.Fatalf("deactivating at the other gate: %d", got)
	}
	p.w.eventually("what the other gate was told is obeyed", func() bool { return refused(p.callers[0].read()) })
	if got := p.callers[1].read(); got != http.StatusOK {
		t.Errorf("a gate that knows everything refuses: %d", got)
	}
	p.w.account.ClearFaults()
	if got := p.far.setActive(p.ids[1], false); got != http.StatusOK {
		t.Errorf("the provider's next attempt: %d", got)
	}
}

// TestAGateThatCanWriteTheDirectoryAndNotReadIt is stale for whoever wants the truth.
func TestAGateThatCanWriteTheDirectoryAndNotReadIt(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.far.fault(emulator.Fault{Method: http.MethodGet, Status: http.StatusServiceUnavailable})
	if got := p.near.setActive(p.ids[0], false); got != http.StatusOK {
		t.Fatalf("deactivating: %d", got)
	}
	p.w.eventually("careful roles get 503", func() bool {
		return p.callers[0].read() == http.StatusServiceUnavailable && p.callers[1].read() == http.StatusServiceUnavailable
	})
	// The place that it would take is taken, and it cannot see by what.
	if got := p.far.setActive(p.ids[1], false); got != http.StatusServiceUnavailable {
		t.Errorf("a write on a state that nobody could prove: %d", got)
	}
	p.w.account.ClearFaults()
	p.w.eventually("the other person is served again", func() bool { return p.callers[1].read() == http.StatusOK })
	if got := p.callers[0].read(); !refused(got) {
		t.Errorf("what the gate missed is not obeyed once it serves: %d", got)
	}
}

// TestAGateWhoseAnswersAreLost does what it is told and never hears of it: the other gate obeys, and so does this one once it hears again.
func TestAGateWhoseAnswersAreLost(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	there := p.near.caller(p.w.token(0))
	p.w.eventually("the other gate serves", func() bool { return there.read() == http.StatusOK })
	p.far.fault(emulator.Fault{ResetAfter: 1})
	// The gate must not ask the container before it writes: a SCIM request does, so an operator's lock is what is sent into the dark.
	locked := make(chan error, 1)
	go func() { locked <- p.far.command("lock", p.ids[0], "--message", "into the dark") }()
	if err := <-locked; err == nil {
		t.Error("the command says that it is done, which it cannot know")
	}
	p.w.eventually("the other gate obeys", func() bool { return refused(there.read()) })
	p.w.eventually("careful roles get 503", func() bool { return p.callers[1].read() == http.StatusServiceUnavailable })
	p.w.account.ClearFaults()
	p.w.eventually("the gate serves again", func() bool { return p.callers[1].read() == http.StatusOK })
	if got := p.callers[0].read(); !refused(got) {
		t.Errorf("who was locked by a command without an answer: %d", got)
	}
}

// TestASlowDirectoryIsObeyedLateAndNobodyIsShutOut has each answer take longer than the gate waits between two questions.
func TestASlowDirectoryIsObeyedLateAndNobodyIsShutOut(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.far.fault(emulator.Fault{Method: http.MethodGet, Delay: 150 * time.Millisecond})
	for begun := time.Now(); time.Since(begun) < 2*time.Second; time.Sleep(20 * time.Millisecond) {
		if got := p.callers[1].read(); got != http.StatusOK {
			t.Fatalf("a gate whose directory is slow: %d", got)
		}
	}
	if got := p.near.setActive(p.ids[0], false); got != http.StatusOK {
		t.Fatalf("deactivating: %d", got)
	}
	p.w.eventually("the deactivation is obeyed", func() bool { return refused(p.callers[0].read()) })
}

// TestAGateThatWasHaltedServesNobodyByWhatItKnewBefore stops the process, as a hypervisor does, while somebody is deactivated and their next
// request waits for it.
func TestAGateThatWasHaltedServesNobodyByWhatItKnewBefore(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	for i := range 3 {
		signal(t, p.far, syscall.SIGSTOP)
		p.w.eventually("the gate stands still", func() bool { return still(t, p.far) })
		waiting := make(chan int, 1)
		go func() { waiting <- p.callers[0].read() }()
		if got := p.near.setActive(p.ids[0], false); got != http.StatusOK {
			t.Fatalf("deactivating: %d", got)
		}
		time.Sleep(1200 * time.Millisecond) // longer than stale_after
		signal(t, p.far, syscall.SIGCONT)
		if got := <-waiting; got == http.StatusOK {
			t.Errorf("round %d: who was deactivated meanwhile is served", i)
		}
		if got := p.near.setActive(p.ids[0], true); got != http.StatusOK {
			t.Fatalf("activating: %d", got)
		}
		p.w.eventually("the gate serves again", func() bool { return p.callers[0].read() == http.StatusOK })
	}
}

func signal(t *testing.T, g *gate, s syscall.Signal) {
	t.Helper()
	if err := g.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// still reports whether a process is halted, all of it: that takes as long as one of its threads waits for a processor, and until then the
// others go on.
func still(t *testing.T, g *gate) bool {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", g.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		stat, err := os.ReadFile(thread)
		if _, state, _ := strings.Cut(string(stat), ") "); err == nil && !strings.HasPrefix(state, "T") {
			return false
		}
	}
	return true
}

// command runs a command against a gate.
func (g *gate) command(args ...string) error {
	_, err := g.output(args...)
	return err
}

// output runs a command against a gate and returns what it printed.
func (g *gate) output(args ...string) (string, error) {
	path, err := binary()
	if err != nil {
		return "", err
	}
	var told strings.Builder
	cmd := exec.Command(path, append(args, "--config", filepath.Join(g.dir, "cosmosgate.yaml"))...)
	cmd.Stderr = &told
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%v: %w: %s", args, err, told.String())
	}
	return string(out), nil
}

// TestACredentialThatIsRevokedAtOneGateOpensNoOther uses connections' tokens at another gate than the one that makes and ends them, each time at
// once: neither is a new one unknown there, nor does an old one open anything.
func TestACredentialThatIsRevokedAtOneGateOpensNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, "")
	near, far := w.gates[0], w.gates[1]
	for i := range 10 {
		text, err := near.output("scim", "token", "create", "dev", "-o", "json")
		w.must(err)
		var made struct{ ID, Secret string }
		w.must(json.Unmarshal([]byte(text), &made))
		name := fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"t%d"}`, i)
		if got, _ := far.pushing(made.Secret, http.MethodPost, "/Users", name); got != http.StatusCreated {
			t.Fatalf("a token that was made a moment ago: %d", got)
		}
		w.must(near.command("scim", "token", "revoke", made.ID))
		if got, _ := far.pushing(made.Secret, http.MethodGet, "/Users?count=1", ""); got != http.StatusUnauthorized {
			t.Fatalf("a token that was revoked a moment ago: %d", got)
		}
	}
}
