package directory_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/cosmosgate/cosmosgate/directory"
)

func TestLookupAllocatesNothing(t *testing.T) { //nolint:paralleltest // AllocsPerRun counts the process
	h := fresh(t)
	ann := h.user(t, "ann")
	inner := h.group(t, "inner", ann)
	h.group(t, "outer", inner)
	key := directory.LinkKey{Connection: corp, ExternalID: "ext-ann"}
	h.Lookup(key)
	groups := 0
	allocations := testing.AllocsPerRun(1000, func() {
		view, _ := h.Lookup(key)
		groups = len(view.Groups)
	})
	if allocations != 0 || groups != 2 {
		t.Errorf("%v allocations, %d groups", allocations, groups)
	}
}

func TestReadersSeeWholeRecordsWhileWritesRun(t *testing.T) {
	t.Parallel()
	h := fresh(t)
	ann := h.user(t, "ann")
	a, b := h.group(t, "a", ann), h.group(t, "b")
	key := directory.LinkKey{Connection: corp, ExternalID: "ext-ann"}
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			last := [2]uint64{}
			for {
				select {
				case <-stop:
					return
				default:
				}
				view, ok := h.Lookup(key)
				if !ok || view.ID != ann || len(view.Groups) == 0 {
					t.Errorf("a torn view: %v %+v", ok, view)
					return
				}
				if view.Generation[0] < last[0] || view.Generation[1] < last[1] {
					t.Errorf("generation went back from %v to %v", last, view.Generation)
					return
				}
				last = view.Generation
			}
		})
	}
	for i := range 60 {
		h.do(t, edit(ann, func(u *directory.User) { u.Active = i%2 == 0 }))
		verb := directory.Change(directory.AddMembers{Group: b, Members: []directory.ID{a}})
		if i%2 == 1 {
			verb = directory.RemoveMembers{Group: b, Members: []directory.ID{a}}
		}
		h.do(t, verb)
	}
	close(stop)
	readers.Wait()
}

func TestALookupThatFollowsAChangeSeesIt(t *testing.T) {
	t.Parallel()
	h := fresh(t)
	ann := h.user(t, "ann")
	g := h.group(t, "g", ann)
	key := directory.LinkKey{Connection: corp, ExternalID: "ext-ann"}
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					h.Lookup(key)
				}
			}
		})
	}
	for i := range 300 {
		active := i%2 == 0
		h.do(t, edit(ann, func(u *directory.User) { u.Active = active }))
		if view, ok := h.Lookup(key); !ok || view.Active != active {
			t.Fatalf("turn %d: found %t, active %t, want %t", i, ok, view.Active, active)
		}
		verb := directory.Change(directory.RemoveMembers{Group: g, Members: []directory.ID{ann}})
		if !active {
			verb = directory.AddMembers{Group: g, Members: []directory.ID{ann}}
		}
		h.do(t, verb)
		if view, _ := h.Lookup(key); (len(view.Groups) == 0) != active {
			t.Fatalf("turn %d: groups %v", i, view.Groups)
		}
	}
	close(stop)
	readers.Wait()
}

func TestAnyInterleavingOfMemberChangesEndsAsSomeOrderWould(t *testing.T) {
	t.Parallel()
	h := fresh(t)
	const people = 16
	g := h.group(t, "g")
	ids := make([]directory.ID, people)
	for i := range ids {
		ids[i] = h.user(t, strconv.Itoa(i))
	}
	final := make([]bool, people) // each person's last change decides, since one writer owns each person
	var wait sync.WaitGroup
	for i, id := range ids {
		wait.Go(func() {
			for range 12 {
				final[i] = rand.IntN(2) == 0
				change := directory.Change(directory.RemoveMembers{Group: g, Members: []directory.ID{id}})
				if final[i] {
					change = directory.AddMembers{Group: g, Members: []directory.ID{id}}
				}
				if _, err := h.Apply(t.Context(), corp, change); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	h = h.reopen(t)
	for i, id := range ids {
		if h.IsMember(g, id) != final[i] {
			t.Errorf("person %d: member %v, want %v", i, !final[i], final[i])
		}
	}
	if got, want := len(slices.Collect(h.Members(corp, g))), h.MemberCount(g); got != want {
		t.Errorf("%d listed, %d counted", got, want)
	}
}

// population returns a house of n users in n/10 groups, ten groups each.
func population(tb testing.TB, n int) *house {
	tb.Helper()
	h := fresh(tb)
	const perCall = 500
	ids := make([]directory.ID, 0, n)
	document := []byte(fmt.Sprintf("%0500d", 0))
	for len(ids) < n {
		changes := make([]directory.Change, 0, perCall)
		for i := range min(perCall, n-len(ids)) {
			name := strconv.Itoa(len(ids) + i)
			changes = append(changes, directory.CreateUser{User: directory.User{
				UserName: "user" + name + "@corp.example", ExternalID: "ext-" + name, Active: true,
				Emails: []string{"user" + name + "@corp.example"}, Document: document,
				Attributes: map[string]string{"department": "d" + strconv.Itoa((len(ids)+i)%50)},
			}})
		}
		ids = append(ids, h.do(tb, changes...)...)
	}
	groups := max(1, n/10)
	for i := range groups {
		members := make([]directory.ID, 0, 100)
		for j := range min(100, n) {
			members = append(members, ids[(i*10+j*7)%n])
		}
		h.do(tb, directory.CreateGroup{Group: directory.GroupRecord{DisplayName: fmt.Sprintf("group %d", i)}},
			directory.AddMembers{Members: members})
	}
	return h
}

// BenchmarkLookup measures the read on the request path, alone and while
// writes run.
func BenchmarkLookup(b *testing.B) {
	h := population(b, 20_000)
	key := func(i int) directory.LinkKey {
		return directory.LinkKey{Connection: corp, ExternalID: "ext-" + strconv.Itoa(i*7919%20_000)}
	}
	keys := make([]directory.LinkKey, 4096)
	for i := range keys {
		keys[i] = key(i)
		h.Lookup(keys[i])
	}
	run := func(b *testing.B) {
		b.Helper()
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, ok := h.Lookup(keys[i%len(keys)]); !ok {
				b.Fatal("missing")
			}
		}
	}
	b.Run("alone", run)
	b.Run("while writes run", func(b *testing.B) {
		stop := make(chan struct{})
		var writer sync.WaitGroup
		writer.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
				}
				u, _ := h.UserByExternalID(corp, keys[i%len(keys)].ExternalID)
				h.do(b, edit(u.ID, func(u *directory.User) { u.Active = !u.Active }))
			}
		})
		run(b)
		close(stop)
		writer.Wait()
	})
}

// BenchmarkApply measures a durable edit by 1 and by 25 callers, with the
// quantiles that its callers see.
func BenchmarkApply(b *testing.B) {
	h := population(b, 1000)
	ids := make([]directory.ID, 0, 1000)
	for u := range h.Users(corp, "") {
		ids = append(ids, u.ID)
	}
	for _, callers := range []int{1, 25} {
		b.Run(fmt.Sprintf("%d callers", callers), func(b *testing.B) {
			var mu sync.Mutex
			var took []time.Duration
			b.ResetTimer()
			var wait sync.WaitGroup
			for c := range callers {
				wait.Go(func() {
					for i := c; i < b.N; i += callers {
						start := time.Now()
						h.do(b, edit(ids[i%len(ids)], func(u *directory.User) { u.Active = !u.Active }))
						d := time.Since(start)
						mu.Lock()
						took = append(took, d)
						mu.Unlock()
					}
				})
			}
			wait.Wait()
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
		})
	}
}

// BenchmarkBoot measures opening a folded file, and the memory of what it
// holds. Set COSMOSGATE_BENCH_USERS for another size than 20,000.
func BenchmarkBoot(b *testing.B) {
	n := 20_000
	if s := os.Getenv("COSMOSGATE_BENCH_USERS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			b.Fatal(err)
		}
	}
	h := population(b, n)
	h.stop()
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		d, err := directory.Open(config(h.path))
		if err != nil {
			b.Fatal(err)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if got := d.Counts(corp).Users; got != n {
			b.Fatalf("%d users, want %d", got, n)
		}
		if err := d.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(n), "B/user")
	if info, err := os.Stat(filepath.Clean(h.path)); err == nil {
		b.ReportMetric(float64(info.Size())/float64(n), "disk-B/user")
	}
}
