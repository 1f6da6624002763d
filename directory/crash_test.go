package directory_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/directory/logtest"
)

// crashPath tells a child process which file to write to.
const crashPath = "COSMOSGATE_TEST_CRASH_PATH"

// TestKillingTheProcessLosesNothingAcknowledged starts a child that writes and
// reports each acknowledged write, kills it in the middle with SIGKILL, and
// looks for every reported write in the file.
func TestKillingTheProcessLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	if path := os.Getenv(crashPath); path != "" {
		writeForEver(t, path)
		return
	}
	for round := range 3 {
		path := filepath.Join(t.TempDir(), "directory.db")
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
		child.Env = append(os.Environ(), crashPath+"="+path)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		acknowledged := []string{}
		for lines.Scan() {
			if name, ok := strings.CutPrefix(lines.Text(), "ack "); ok {
				acknowledged = append(acknowledged, name)
			}
			if len(acknowledged) == 150*(round+1) {
				if err := child.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = child.Wait() // it was killed
		if len(acknowledged) == 0 {
			t.Fatal("the child acknowledged nothing")
		}
		h := open(t, path)
		for _, name := range acknowledged {
			view, ok := h.Lookup(directory.LinkKey{Connection: corp, ExternalID: "ext-" + name})
			if !ok || len(view.Groups) != 1 || view.Active {
				t.Errorf("round %d: %s was acknowledged and is %v %+v", round, name, ok, view)
			}
		}
		h.stop()
	}
}

// writeForEver makes users, deactivates them and adds them to a group, in
// parallel, and says which are done.
func writeForEver(t *testing.T, path string) {
	t.Helper()
	h := open(t, path)
	group := h.group(t, "g")
	var out sync.Mutex
	var wait sync.WaitGroup
	for worker := range 8 {
		wait.Go(func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("w%d-%d", worker, i)
				id := h.user(t, name)
				h.do(t, edit(id, func(u *directory.User) { u.Active = false }),
					directory.AddMembers{Group: group, Members: []directory.ID{id}})
				out.Lock()
				_, _ = fmt.Fprintln(os.Stdout, "ack "+name)
				out.Unlock()
			}
		})
	}
	wait.Wait()
}

func withLog(tb testing.TB, log directory.Log) *house {
	tb.Helper()
	c := config("")
	c.Log = log
	d, err := directory.Open(c)
	if err != nil {
		tb.Fatal(err)
	}
	return run(tb, d, "")
}

func TestAFailedWriteStopsAllWritesForGoodAndShowsNothing(t *testing.T) {
	t.Parallel()
	for name, moment := range map[string]logtest.Moment{
		"before": logtest.Before, "during": logtest.During, "after": logtest.After,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := &logtest.Faulty{Log: &logtest.Memory{}}
			h := withLog(t, log)
			ann := h.user(t, "ann")
			log.Fail(moment)
			change := edit(ann, func(u *directory.User) { u.Active = false })
			if _, err := h.Apply(t.Context(), corp, change); !errors.Is(err, directory.ErrStopped) || !errors.Is(err, logtest.ErrDisk) {
				t.Errorf("the failed write returned %v", err)
			}
			if err := h.Healthy(); !errors.Is(err, directory.ErrStopped) {
				t.Errorf("health is %v", err)
			}
			log.Fail(logtest.Never)
			if _, err := h.Apply(t.Context(), corp, change); !errors.Is(err, directory.ErrStopped) {
				t.Errorf("a later write returned %v", err)
			}
			if view, ok := h.Lookup(directory.LinkKey{Connection: corp, ExternalID: "ext-ann"}); !ok || !view.Active {
				t.Errorf("memory holds what the log may not: %v %+v", ok, view)
			}
			if _, err := directory.Open(directory.Config{}); err == nil {
				t.Error("an empty configuration was accepted")
			}
			h.stop()
			withLog(t, log).user(t, "bob")
		})
	}
}

// untidy is a log whose backlog is what a test says, until it is folded.
type untidy struct {
	directory.Log

	backlog atomic.Int64
	fails   bool
}

func (u *untidy) Backlog() int { return int(u.backlog.Load()) }

func (u *untidy) Fold(int) (int, error) {
	if u.fails {
		return 0, logtest.ErrDisk
	}
	return int(max(0, u.backlog.Add(-1000))), nil
}

func TestAFailedFoldStopsAllWritesForGood(t *testing.T) {
	t.Parallel()
	log := &untidy{Log: &logtest.Memory{}, fails: true}
	h := withLog(t, log)
	_, _ = h.Apply(t.Context(), corp, directory.CreateUser{User: directory.User{UserName: "ann"}}) // what wakes it
	for h.Healthy() == nil {
		runtime.Gosched()
	}
	_, err := h.Apply(t.Context(), corp, directory.CreateUser{User: directory.User{UserName: "bob"}})
	if !errors.Is(err, directory.ErrStopped) || !errors.Is(err, logtest.ErrDisk) {
		t.Errorf("a write after a failed fold: %v", err)
	}
}

func TestWritersWaitForALongBacklog(t *testing.T) {
	t.Parallel()
	log := &untidy{Log: &logtest.Memory{}}
	h := withLog(t, log)
	const many = 70_000
	log.backlog.Store(many)
	h.user(t, "ann")
	h.user(t, "bob") // the one before waited for the backlog after it was answered
	if left := log.Backlog(); left >= many-1000 {
		t.Errorf("backlog %d", left)
	}
}

// TestAUserWhoIsChangedAgainAndAgainLeavesTheOthersAlone fills the memory for
// records many times over with those of one person, and then with those of
// others.
func TestAUserWhoIsChangedAgainAndAgainLeavesTheOthersAlone(t *testing.T) {
	t.Parallel()
	h := withLog(t, &logtest.Memory{})
	var emails []string
	for i := range 200 {
		emails = append(emails, fmt.Sprintf("%d@%s.example", i, strings.Repeat("a", 200)))
	}
	long := func(u *directory.User) { u.Active, u.Emails = !u.Active, emails }
	ann := h.user(t, "ann")
	for range 101 {
		h.do(t, edit(ann, long))
	}
	names := []string{"ann"}
	for i := range 100 {
		name := fmt.Sprint("u", i)
		h.do(t, edit(h.user(t, name), long))
		names = append(names, name)
	}
	for _, name := range names {
		view, ok := h.Lookup(directory.LinkKey{Connection: corp, ExternalID: "ext-" + name})
		if !ok || view.UserName != name || view.Active {
			t.Errorf("%s is %v %+v", name, ok, view)
		}
	}
}

func TestApplyingALogTwiceChangesNothing(t *testing.T) {
	t.Parallel()
	log := &logtest.Memory{}
	h := withLog(t, log)
	ann, bob := h.user(t, "ann"), h.user(t, "bob")
	inner := h.group(t, "inner", ann, bob)
	h.group(t, "outer", inner)
	h.do(t, directory.RemoveMembers{Group: inner, Members: []directory.ID{bob}})
	want, _ := h.Group(corp, inner)
	var all []directory.Delta
	if _, err := log.Tail(t.Context(), 0, func(d directory.Delta) error { all = append(all, d); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := log.Append(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	again := withLog(t, log)
	got, _ := again.Group(corp, inner)
	if got.Revision != want.Revision {
		t.Errorf("revision %d, want %d", got.Revision, want.Revision)
	}
	if len(again.groupsOf(t, "ann")) != 2 || len(again.groupsOf(t, "bob")) != 0 {
		t.Errorf("ann %v, bob %v", again.groupsOf(t, "ann"), again.groupsOf(t, "bob"))
	}
}

func TestADamagedFileIsRefused(t *testing.T) {
	t.Parallel()
	h := fresh(t)
	h.user(t, "a-name-to-be-found-in-the-file")
	h.stop()
	file, err := os.ReadFile(h.path)
	if err != nil {
		t.Fatal(err)
	}
	damaged := []byte(strings.ReplaceAll(string(file), "a-name-to-be-found", "a-name-to-be-FOUND"))
	if slices.Equal(file, damaged) {
		t.Fatal("the name isn't in the file")
	}
	path := filepath.Join(t.TempDir(), "damaged.db")
	if err := os.WriteFile(path, damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := directory.Open(config(path)); !errors.Is(err, directory.ErrCorrupt) {
		t.Errorf("opened with %v", err)
	}
}

func TestAFileInUseIsRefused(t *testing.T) {
	t.Parallel()
	h := fresh(t)
	if _, err := directory.Open(config(h.path)); err == nil {
		t.Error("two directories share a file")
	}
}

func TestWritesAfterTheEndAreRefused(t *testing.T) {
	t.Parallel()
	h := fresh(t)
	h.stop()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := h.Apply(ctx, corp, directory.CreateUser{User: directory.User{UserName: "late"}}); !errors.Is(err, directory.ErrStopped) {
		t.Errorf("error %v", err)
	}
}
