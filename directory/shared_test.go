package directory_test

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/directory/logtest"
)

// commonLog is a shared log in memory, and the faults it is told to have.
type commonLog struct {
	mu      sync.Mutex
	batches map[uint64][]directory.Delta // by the version before
	last    uint64
	// start is the version that the log begins after; what led to it is in state.
	start uint64
	state []directory.Delta
	// down refuses everything, refuse appends alone; lost does the next append and
	// says it failed; chaos makes one append in so many fail, before or after it is
	// done.
	down, refuse, lost bool
	unsent             bool         // appends are not tried
	trip               atomic.Int64 // how long each takes, in nanoseconds
	chaos              int
	most               int // bytes that one append may have; 0: any
	origin             string
}

var errDown = errors.New("log is down")

func newCommonLog() *commonLog {
	return &commonLog{batches: map[uint64][]directory.Delta{}, origin: "0123456789"}
}

func (l *commonLog) Origin() string { return l.origin }
func (l *commonLog) Close() error   { return nil }

func (l *commonLog) Append(_ context.Context, batch []directory.Delta) error {
	time.Sleep(time.Duration(l.trip.Load()))
	l.mu.Lock()
	defer l.mu.Unlock()
	before := batch[0].Version - 1
	size := 0
	for _, d := range batch {
		size += len(d.Payload)
	}
	switch {
	case l.unsent:
		return directory.ErrUnsent
	case l.most > 0 && size > l.most:
		return directory.ErrLimit
	case l.down, l.refuse, l.chaos > 0 && rand.IntN(l.chaos) == 0:
		return errDown
	case before != l.last:
		return directory.ErrBehind
	}
	l.batches[before] = clone(batch)
	l.last = batch[len(batch)-1].Version
	if l.lost || l.chaos > 0 && rand.IntN(l.chaos) == 0 {
		l.lost = false
		return errDown
	}
	return nil
}

func (l *commonLog) Next(_ context.Context, after uint64) ([]directory.Delta, error) {
	time.Sleep(time.Duration(l.trip.Load()))
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.down:
		return nil, errDown
	case after < l.start, after > l.last:
		return nil, directory.ErrOutdated
	}
	return clone(l.batches[after]), nil
}

func (l *commonLog) Load(_ context.Context, each func(directory.Delta) error) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return 0, errDown
	}
	for _, d := range l.state {
		if err := each(d); err != nil {
			return 0, err
		}
	}
	return l.start, nil
}

// truncate drops all batches that the directory knows and keeps its state instead.
func (l *commonLog) truncate(tb testing.TB, d *directory.Directory) {
	tb.Helper()
	var state []directory.Delta
	version, err := d.Replay(func(d directory.Delta) error {
		state = append(state, clone([]directory.Delta{d})...)
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state, l.start = state, version
	for before := range l.batches {
		if before < version {
			delete(l.batches, before)
		}
	}
}

func (l *commonLog) set(change func(*commonLog)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l)
}

func clone(batch []directory.Delta) []directory.Delta {
	batch = slices.Clone(batch)
	for i := range batch {
		batch[i].Payload = slices.Clone(batch[i].Payload)
	}
	return batch
}

const quickly = time.Millisecond

func sharing(l *commonLog, folder string) directory.Config {
	return directory.Config{
		Path: filepath.Join(folder, "directory.db"), Shared: l, Poll: quickly,
		Clock: time.Now, Random: cryptoRandom(), Logger: slog.New(slog.DiscardHandler),
	}
}

// gates opens some directories over one log.
func gates(tb testing.TB, l *commonLog, n int) []*house {
	tb.Helper()
	houses := make([]*house, n)
	for i := range houses {
		houses[i] = gate(tb, l, tb.TempDir())
	}
	return houses
}

func gate(tb testing.TB, l *commonLog, folder string) *house {
	tb.Helper()
	d, err := directory.Open(sharing(l, folder))
	if err != nil {
		tb.Fatal(err)
	}
	return run(tb, d, folder)
}

// current makes a directory know what all have acknowledged.
func (h *house) current(tb testing.TB) {
	tb.Helper()
	if err := h.Barrier(tb.Context()); err != nil {
		tb.Fatal(err)
	}
}

// dump is everything that a directory holds, in one order.
func (h *house) dump(tb testing.TB) []string {
	tb.Helper()
	var text strings.Builder
	if err := h.Export(&text); err != nil {
		tb.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	slices.Sort(lines)
	return lines
}

func TestAWriteOfOneGateIsObeyedByTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := gates(t, newCommonLog(), 3)
		id := g[0].user(t, "ana")
		key := directory.LinkKey{Connection: corp, ExternalID: "ext-ana"}
		for i := range g {
			eventually(t, func() bool { view, ok := g[i].Lookup(key); return ok && view.Active })
		}
		deactivate(t, g[1], id)
		for i := range g {
			eventually(t, func() bool { view, ok := g[i].Lookup(key); return ok && !view.Active })
		}
		if measured := adoptions(t, g[2]); measured != 2 {
			t.Errorf("the third gate measured %d adoptions, want both changes", measured)
		}
		if got := g[2].Adoption(); got.Of != 2 || got.Median > got.P99 || got.P99 > 2*quickly {
			t.Errorf("the third gate says that it obeyed %+v, want both within two polls", got)
		}
		if got := fresh(t).Adoption(); got != (directory.Adoption{}) {
			t.Errorf("a directory of its own obeyed others: %+v", got)
		}
	})
}

func TestAnImportIsNotMeasuredByTheAgeOfItsRecords(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		old := fresh(t)
		old.user(t, "ana")
		var export bytes.Buffer
		if err := old.Export(&export); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		g := gates(t, newCommonLog(), 2)
		g[1].current(t)
		if err := g[0].Import(t.Context(), &export); err != nil {
			t.Fatal(err)
		}
		key := directory.LinkKey{Connection: corp, ExternalID: "ext-ana"}
		eventually(t, func() bool { _, ok := g[1].Lookup(key); return ok })
		if got := g[1].Adoption(); got.Of != 1 || got.P99 > 2*quickly {
			t.Errorf("obeyed %+v, want one change within two polls", got)
		}
	})
}

// adoptions is how many changes of other gates a directory has measured.
func adoptions(t *testing.T, h *house) (measured uint64) {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	for _, c := range h.Collectors() {
		registry.MustRegister(c)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "cosmosgate_directory_adoption_seconds" {
			measured = f.GetMetric()[0].GetHistogram().GetSampleCount()
		}
	}
	return measured
}

func TestABarrierSeesWhatWasAcknowledgedElsewhere(t *testing.T) {
	t.Parallel()
	g := gates(t, newCommonLog(), 2)
	for i := range 50 {
		name := fmt.Sprintf("user%d", i)
		id := g[i%2].user(t, name)
		other := g[(i+1)%2]
		other.current(t)
		if _, ok := other.User(corp, id); !ok {
			t.Fatalf("%s is not seen after a barrier", name)
		}
	}
}

func TestNothingIsRefusedOrFoundDoneOnAnOldState(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		first  func(*testing.T, *house) // at one gate
		second func(*testing.T, *house) // at the other, at once
	}{
		{"a member just created elsewhere", func(t *testing.T, h *house) {
			t.Helper()
			h.user(t, "new")
		}, func(t *testing.T, h *house) {
			t.Helper()
			g := h.group(t, "g")
			h.current(t) // to find the id
			u, _ := h.UserByName(corp, "new")
			h.do(t, directory.AddMembers{Group: g, Members: []directory.ID{u.ID}})
		}},
		{"a name just freed elsewhere", func(t *testing.T, h *house) {
			t.Helper()
			id := h.user(t, "twice")
			h.do(t, directory.DeleteUser{ID: id})
		}, func(t *testing.T, h *house) {
			t.Helper()
			h.user(t, "twice")
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := newCommonLog()
			g := gates(t, l, 2)
			test.first(t, g[0])
			test.second(t, g[1])
		})
	}
}

// TestARemovalOfAMemberAddedElsewhereRemoves plays what a provider behind a
// load balancer does: a removal must not find "nothing to do" on an old state.
func TestARemovalOfAMemberAddedElsewhereRemoves(t *testing.T) {
	t.Parallel()
	g := gates(t, newCommonLog(), 2)
	user, group := g[0].user(t, "ana"), g[0].group(t, "dba")
	for i := range 100 {
		g[i%2].do(t, directory.AddMembers{Group: group, Members: []directory.ID{user}})
		g[(i+1)%2].do(t, directory.RemoveMembers{Group: group, Members: []directory.ID{user}})
		for _, h := range g {
			h.current(t)
			if h.IsMember(group, user) {
				t.Fatal("a removal that was acknowledged did not remove")
			}
		}
	}
}

func TestAnUnknownOutcomeIsNeitherLostNorRepeated(t *testing.T) {
	t.Parallel()
	l := newCommonLog()
	g := gates(t, l, 2)
	l.set(func(l *commonLog) { l.lost = true })
	_, err := g[0].Apply(t.Context(), corp, directory.CreateUser{User: user("ana")})
	if !errors.Is(err, directory.ErrUnavailable) {
		t.Fatalf("want ErrUnavailable, got %v", err)
	}
	for _, h := range g {
		h.current(t)
		if _, ok := h.UserByName(corp, "ana"); !ok {
			t.Error("what the log holds is not obeyed")
		}
	}
	if _, err := g[0].Apply(t.Context(), corp, directory.CreateUser{User: user("ana")}); conflictOn(err) != "userName" {
		t.Errorf("want a conflict, got %v", err)
	}
	if err := g[0].Healthy(); err != nil {
		t.Errorf("an unknown outcome stopped the directory: %v", err)
	}
}

// TestAGateThatWritesWithoutPauseLeavesPlacesToOthers has one gate want every place in a log that is some way off, and another one now and then.
func TestAGateThatWritesWithoutPauseLeavesPlacesToOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newCommonLog()
		g := gates(t, l, 2)
		ids := []directory.ID{g[0].user(t, "a"), g[0].user(t, "b"), g[0].user(t, "c"), g[0].user(t, "d")}
		g[1].current(t)
		l.trip.Store(int64(10 * time.Millisecond))
		ctx, stop := context.WithCancel(t.Context())
		var busy sync.WaitGroup
		for i, id := range ids[:3] {
			busy.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					g[0].do(t, edit(id, func(u *directory.User) { u.Attributes = map[string]string{"n": fmt.Sprint(i, n)} }))
				}
			})
		}
		for n := range 50 {
			patient, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			_, err := g[1].Apply(patient, corp, edit(ids[3], func(u *directory.User) { u.Attributes = map[string]string{"n": fmt.Sprint(n)} }))
			if cancel(); err != nil {
				t.Error(err)
				break
			}
		}
		stop()
		busy.Wait()
	})
}

func TestAChangeThatWasNotSentIsNowhereAndIsToldSo(t *testing.T) {
	t.Parallel()
	l := newCommonLog()
	h := gates(t, l, 1)[0]
	l.set(func(l *commonLog) { l.unsent = true })
	for i := range 100 { // more than there may be outcomes open
		_, err := h.Apply(t.Context(), corp, directory.CreateUser{User: user(fmt.Sprint("u", i))})
		if _, open := errors.AsType[*directory.UnknownOutcomeError](err); open || !errors.Is(err, directory.ErrUnavailable) {
			t.Fatalf("%d: %v", i, err)
		}
	}
	l.set(func(l *commonLog) { l.unsent = false })
	h.user(t, "u0")
}

// A change that is too large for the log is told so, and nobody whose change was to be logged together with it.
func TestAChangeThatIsTooLargeIsRefusedAlone(t *testing.T) {
	t.Parallel()
	const small, name = 20, 3000
	l := newCommonLog()
	h := gates(t, l, 1)[0]
	l.set(func(l *commonLog) { l.most = name })
	failed := make([]error, small+1)
	var wait sync.WaitGroup
	l.mu.Lock() // so that they queue up
	for i := range failed {
		wait.Go(func() {
			who := user(fmt.Sprintf("u%d", i))
			if i == small {
				who.Document = []byte(`"` + strings.Repeat("x", name) + `"`)
			}
			_, failed[i] = h.Apply(t.Context(), corp, directory.CreateUser{User: who})
		})
	}
	l.mu.Unlock()
	wait.Wait()
	for i, err := range failed {
		if tooLarge := errors.Is(err, directory.ErrLimit); tooLarge != (i == small) || err != nil && !tooLarge || errors.Is(err, directory.ErrUnavailable) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if err := h.Healthy(); err != nil {
		t.Error(err)
	}
}

func TestAgeGrowsOnlyWithoutProof(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newCommonLog()
		h := gates(t, l, 1)[0]
		eventually(t, func() bool { return h.Age(time.Now()) < 5*time.Second })
		l.set(func(l *commonLog) { l.down = true })
		before := time.Now()
		eventually(t, func() bool { return h.Age(time.Now()) > 20*time.Millisecond })
		if _, err := h.Apply(t.Context(), corp, directory.CreateUser{User: user("x")}); !errors.Is(err, directory.ErrUnavailable) {
			t.Errorf("a write without a log: %v", err)
		}
		if h.Age(before.Add(time.Hour)) < 59*time.Minute {
			t.Error("age doesn't count from the last proof")
		}
		l.set(func(l *commonLog) { l.down = false })
		eventually(t, func() bool { return h.Age(time.Now()) < 20*time.Millisecond })
		h.user(t, "after")
		if fresh(t).Age(time.Now()) != 0 {
			t.Error("an embedded directory is never behind")
		}
	})
}

// TestAgeCountsFromTheQuestion has a log answer late: what was written after it was
// asked may be missing in the answer.
func TestAgeCountsFromTheQuestion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newCommonLog()
		h := gates(t, l, 1)[0]
		const trip = 3 * time.Second
		l.trip.Store(int64(trip))
		time.Sleep(2 * trip)
		for range 100 {
			time.Sleep(trip / 30)
			if age := h.Age(time.Now()); age < trip-quickly || age > 3*trip {
				t.Fatalf("it was proven %s ago", age)
			}
		}
	})
}

func TestAwaitSeesWhatAnotherGateHasJustMade(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newCommonLog()
		g := gates(t, l, 2)
		_, secret, err := g[0].CreateToken(t.Context(), corp, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if !g[1].Await(t.Context()) || !g[1].VerifyToken(corp, secret) {
			t.Error("a token of another gate is unknown")
		}
		l.set(func(l *commonLog) { l.down = true })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if g[1].Await(ctx) {
			t.Error("there is no proof without a log")
		}
	})
	if fresh(t).Await(t.Context()) {
		t.Error("an embedded directory waits for nothing")
	}
}

func TestTheLastUseOfATokenIsKnownAtEveryGateAndAfterARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newCommonLog()
		folder := t.TempDir()
		start := func(folder string) *house {
			c := sharing(l, folder)
			c.Poll = time.Minute // hours go by
			d, err := directory.Open(c)
			if err != nil {
				t.Fatal(err)
			}
			return run(t, d, folder)
		}
		near, far := start(folder), start(t.TempDir())
		made, secret, err := near.CreateToken(t.Context(), corp, 48*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		use := func(after time.Duration, commits uint64) time.Time {
			t.Helper()
			time.Sleep(after)
			l.mu.Lock()
			before := l.last
			l.mu.Unlock()
			if !near.VerifyToken(corp, secret) {
				t.Fatal("the token opens nothing")
			}
			if err := near.NoteUse(t.Context()); err != nil || l.last-before != commits {
				t.Errorf("%v: %d commits, want %d", err, l.last-before, commits)
			}
			return time.Now().Truncate(time.Millisecond)
		}
		noted := use(time.Minute, 1)
		use(59*time.Minute, 0) // not worth a commit
		far.current(t)
		if got := far.Tokens(corp); len(got) != 1 || got[0].ID != made.ID || !got[0].LastUsed.Equal(noted) {
			t.Errorf("at the other gate: %+v, want %s", got, noted)
		}
		noted = use(2*time.Minute, 1)
		near.stop()
		if got := start(folder).Tokens(corp); !got[0].LastUsed.Equal(noted) {
			t.Errorf("after a restart: %+v, want %s", got, noted)
		}
	})
}

// TestATokenThatHasEndedIsNotNotedAnyMore calls every minute, as a gate does: what is noted of a token ends with it.
func TestATokenThatHasEndedIsNotNotedAnyMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newCommonLog()
		g := gates(t, l, 1)[0]
		_, secret, err := g.CreateToken(t.Context(), corp, 2*time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		g.VerifyToken(corp, secret)
		time.Sleep(3 * time.Minute)
		g.VerifyToken(corp, secret) // its provider was not told
		for range 3 {
			if err := g.NoteUse(t.Context()); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Minute)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.last != 1 {
			t.Errorf("%d commits, want the one that made the token", l.last)
		}
	})
}

func TestAFailedPollChangesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newCommonLog()
		h := gates(t, l, 1)[0]
		id, group := h.user(t, "ana"), h.group(t, "g")
		h.do(t, directory.AddMembers{Group: group, Members: []directory.ID{id}})
		l.set(func(l *commonLog) { l.down = true })
		eventually(t, func() bool { return h.Age(time.Now()) > 20*time.Millisecond })
		if view, ok := h.Lookup(directory.LinkKey{Connection: corp, ExternalID: "ext-ana"}); !ok || len(view.Groups) != 1 {
			t.Errorf("a silent log changed what is known: %v %+v", ok, view)
		}
	})
}

func TestACopyIsContinuedAfterARestart(t *testing.T) {
	t.Parallel()
	l := newCommonLog()
	folder := t.TempDir()
	h := gate(t, l, folder)
	h.user(t, "ana")
	h.stop()
	other := gates(t, l, 1)[0]
	other.user(t, "bob")
	h = gate(t, l, folder)
	if diff := cmp.Diff(other.dump(t), h.dump(t)); diff != "" {
		t.Errorf("after a restart (-other +own):\n%s", diff)
	}
	if late := h.Adoption(); late.Of != 0 {
		t.Errorf("what was missed before the start counts as obeyed late: %+v", late)
	}
}

func TestACopyThatIsTooOldIsMadeAnew(t *testing.T) {
	t.Parallel()
	l := newCommonLog()
	folder := t.TempDir()
	h := gate(t, l, folder)
	h.user(t, "ana")
	h.stop()
	other := gates(t, l, 1)[0]
	bob, group := other.user(t, "bob"), other.group(t, "g")
	other.do(t, directory.AddMembers{Group: group, Members: []directory.ID{bob}})
	l.truncate(t, other.Directory)
	other.user(t, "eve")
	for name, folder := range map[string]string{"old copy": folder, "no copy": t.TempDir()} {
		h = gate(t, l, folder)
		if diff := cmp.Diff(other.dump(t), h.dump(t)); diff != "" {
			t.Errorf("%s (-other +own):\n%s", name, diff)
		}
		h.user(t, "by "+name)
		other.current(t)
	}
}

// TestACopyIsMadeAnewBesideTheJournalOfOneThatWasRemoved has an operator remove the
// file and leave what was beside it.
func TestACopyIsMadeAnewBesideTheJournalOfOneThatWasRemoved(t *testing.T) {
	t.Parallel()
	l := newCommonLog()
	folder := t.TempDir()
	h := gate(t, l, folder)
	h.user(t, "ana")
	h.stop()
	files, err := filepath.Glob(filepath.Join(folder, "*.db"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if err := os.WriteFile(files[0]+".journal-00000001", []byte("what is left"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(files[0]); err != nil {
		t.Fatal(err)
	}
	h = gate(t, l, folder)
	if _, ok := h.UserByName(corp, "ana"); !ok {
		t.Error("a user is lost")
	}
}

func TestACopyOfAnotherHistoryIsNotUsed(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	h := gate(t, newCommonLog(), folder)
	h.user(t, "ana")
	h.stop()
	another := newCommonLog()
	another.origin = "another"
	h = gate(t, another, folder)
	if _, ok := h.UserByName(corp, "ana"); ok {
		t.Error("a user of another history is known")
	}
}

func TestALogThatMovedOnEndsTheRun(t *testing.T) {
	t.Parallel()
	l := newCommonLog()
	d, err := directory.Open(sharing(l, t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	l.set(func(l *commonLog) { l.start = 10 })
	if err := d.Run(t.Context()); !errors.Is(err, directory.ErrOutdated) {
		t.Errorf("want ErrOutdated, got %v", err)
	}
	if !errors.Is(d.Healthy(), directory.ErrStopped) {
		t.Errorf("want a stopped directory, got %v", d.Healthy())
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// TestASingleUseEntryIsWonOnce lets gates race to create the same entries.
func TestASingleUseEntryIsWonOnce(t *testing.T) {
	t.Parallel()
	l := newCommonLog()
	l.chaos = 20
	g := gates(t, l, 3)
	for round := range 40 {
		wins := make(chan int, len(g))
		var wait sync.WaitGroup
		for i, h := range g {
			wait.Go(func() {
				e := directory.Entry{Class: "jti", Name: fmt.Sprint(round)}
				if _, err := h.PutEntry(t.Context(), e, directory.CreateOnly); err == nil {
					wins <- i
				}
			})
		}
		if wait.Wait(); len(wins) > 1 {
			t.Fatalf("round %d was won %d times", round, len(wins))
		}
	}
}

func TestALogInMemoryKeepsTheContractOfASharedLog(t *testing.T) {
	t.Parallel()
	logtest.RunShared(t, func(*testing.T) func() directory.Shared {
		l := newCommonLog()
		return func() directory.Shared { return l }
	})
}

func cryptoRandom() io.Reader { return crand.Reader }

func user(name string) directory.User {
	return directory.User{ExternalID: "ext-" + name, UserName: name, Active: true}
}

func deactivate(tb testing.TB, h *house, id directory.ID) {
	tb.Helper()
	h.do(tb, edit(id, func(u *directory.User) { u.Active = false }))
}

// conflictOn is the attribute that an error says is taken.
func conflictOn(err error) string {
	if conflict, ok := errors.AsType[*directory.ConflictError](err); ok {
		return conflict.Attribute
	}
	return ""
}

// eventually waits within a bubble until something holds.
func eventually(t *testing.T, holds func() bool) {
	t.Helper()
	for range 10000 {
		if synctest.Wait(); holds() {
			return
		}
		time.Sleep(quickly)
	}
	t.Fatal("never came to be")
}
