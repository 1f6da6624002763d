package logtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/directory"
)

// RunShared tests the contract of [directory.Shared]. Start makes an empty place
// for a log and returns what opens the log there, any number of times; each is
// closed by the test.
func RunShared(t *testing.T, start func(t *testing.T) (open func() directory.Shared)) {
	t.Helper()
	tests := map[string]func(*testing.T, func() directory.Shared){
		"an empty log has a name and nothing else":     testSharedEmpty,
		"what one appends every other reads":           testSharedOrder,
		"a place is taken once":                        testSharedPlace,
		"of those who want one place one wins":         testSharedRace,
		"several directories are one":                  testSeveral,
		"several directories are one despite failures": testSeveralDespite,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, start(t))
		})
	}
}

func testSharedEmpty(t *testing.T, open func() directory.Shared) {
	t.Helper()
	l := open()
	defer closing(t, l)
	if batch, err := l.Next(t.Context(), 0); err != nil || len(batch) != 0 {
		t.Errorf("the first batch: %v %v", batch, err)
	}
	version, err := l.Load(t.Context(), func(d directory.Delta) error { return fmt.Errorf("state of nothing: %v", d) })
	if version != 0 || err != nil {
		t.Errorf("the state: %d %v", version, err)
	}
	other := open()
	defer closing(t, other)
	if l.Origin() == "" || l.Origin() != other.Origin() {
		t.Errorf("origins %q and %q", l.Origin(), other.Origin())
	}
}

func testSharedOrder(t *testing.T, open func() directory.Shared) {
	t.Helper()
	one, other := open(), open()
	defer closing(t, one)
	defer closing(t, other)
	batches := map[uint64][]directory.Delta{0: entries(0, 3), 3: entries(3, 1), 4: entries(4, 2)}
	for _, after := range []uint64{0, 3, 4} {
		if err := one.Append(t.Context(), batches[after]); err != nil {
			t.Fatal(err)
		}
	}
	for _, after := range []uint64{0, 3, 4, 6} {
		got, err := other.Next(t.Context(), after)
		if diff := cmp.Diff(batches[after], got); err != nil || diff != "" {
			t.Errorf("after %d: %v (-want +got):\n%s", after, err, diff)
		}
	}
}

func testSharedPlace(t *testing.T, open func() directory.Shared) {
	t.Helper()
	one, other := open(), open()
	defer closing(t, one)
	defer closing(t, other)
	if err := one.Append(t.Context(), entries(0, 2)); err != nil {
		t.Fatal(err)
	}
	for _, l := range []directory.Shared{one, other} {
		if err := l.Append(t.Context(), entries(0, 2)); !errors.Is(err, directory.ErrBehind) {
			t.Errorf("a batch that equals the one at its place: want ErrBehind, got %v", err)
		}
	}
}

func testSharedRace(t *testing.T, open func() directory.Shared) {
	t.Helper()
	const writers, places = 4, 10
	logs := make([]directory.Shared, writers)
	for i := range logs {
		logs[i] = open()
		defer closing(t, logs[i])
	}
	for place := range uint64(places) {
		results := make([]error, writers)
		var wait sync.WaitGroup
		for i, l := range logs {
			wait.Go(func() { results[i] = l.Append(t.Context(), entries(place, 1)) })
		}
		wait.Wait()
		won := 0
		for _, err := range results {
			if err == nil {
				won++
			} else if !errors.Is(err, directory.ErrBehind) {
				t.Errorf("place %d: %v", place, err)
			}
		}
		if won != 1 {
			t.Fatalf("place %d was won %d times", place, won)
		}
	}
}

func testSeveral(t *testing.T, open func() directory.Shared) {
	t.Helper()
	Several(t, func() directory.Shared { return open() })
}

func testSeveralDespite(t *testing.T, open func() directory.Shared) {
	t.Helper()
	const oneIn = 20
	Several(t, func() directory.Shared { return &Unsure{Shared: open(), OneIn: oneIn} })
}

// Unsure makes one append in so many fail, as often before as after it is done.
type Unsure struct {
	directory.Shared

	OneIn int
}

// ErrUnsure is what an [Unsure] log fails with.
var ErrUnsure = errors.New("nobody knows")

// Append implements [directory.Shared].
func (u *Unsure) Append(ctx context.Context, batch []directory.Delta) error {
	switch mathrand.IntN(u.OneIn) { //nolint:gosec // chance, no secret
	case 0:
		return ErrUnsure
	case 1:
		_ = u.Shared.Append(ctx, batch) // it may or may not be
		return ErrUnsure
	default:
		return u.Shared.Append(ctx, batch) //nolint:wrapcheck // a wrapper
	}
}

// Several tests that directories of one log are one directory: clients that each
// own some records move from one to the other, and what a client was told must
// hold at the next; in the end all hold the same.
func Several(t *testing.T, open func() directory.Shared) {
	t.Helper()
	const gates, clients = 3, 5
	directories := make([]*directory.Directory, gates)
	for i := range directories {
		directories[i] = running(t, open())
	}
	w := wanderer{directories: directories, team: insistOnGroup(t, directories[0])}
	var wait sync.WaitGroup
	for client := range clients {
		wait.Go(func() { w.wander(t, fmt.Sprintf("client%d", client)) })
	}
	wait.Wait()
	var first []string
	for i, d := range directories {
		settle(t, d)
		if lines := dump(t, d); i == 0 {
			first = lines
		} else if diff := cmp.Diff(first, lines); diff != "" {
			t.Errorf("directory %d differs from the first (-first +other):\n%s", i, diff)
		}
	}
}

// connection owns the records of the tests.
const connection = "corp"

// running opens a directory over a log and runs it until the test ends.
func running(t *testing.T, l directory.Shared) *directory.Directory {
	t.Helper()
	d, err := directory.Open(directory.Config{
		Path: filepath.Join(t.TempDir(), "directory.db"), Shared: l, Poll: time.Millisecond,
		Clock: time.Now, Random: rand.Reader, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, d.Close()); err != nil {
			t.Error(err)
		}
	})
	return d
}

// settle makes a directory know everything.
func settle(t *testing.T, d *directory.Directory) {
	t.Helper()
	for {
		err := d.Barrier(t.Context())
		if err == nil {
			return
		}
		if !errors.Is(err, directory.ErrUnavailable) {
			t.Fatal(err)
		}
	}
}

func insistOnGroup(t *testing.T, d *directory.Directory) directory.ID {
	t.Helper()
	for {
		_, err := d.Apply(t.Context(), connection, directory.CreateGroup{Group: directory.GroupRecord{DisplayName: "team"}})
		if errors.Is(err, directory.ErrUnavailable) {
			continue
		}
		settle(t, d)
		g, ok := d.GroupByName(connection, "team")
		if !ok {
			t.Fatalf("no group: %v", err)
		}
		return g.ID
	}
}

// wanderer makes clients that go from directory to directory.
type wanderer struct {
	directories []*directory.Directory
	team        directory.ID
}

func (w wanderer) anywhere() *directory.Directory {
	return w.directories[mathrand.IntN(len(w.directories))] //nolint:gosec // chance, no secret
}

// insist makes a change at some directory until it is acknowledged.
func (w wanderer) insist(t *testing.T, name string, change ...directory.Change) {
	t.Helper()
	for {
		_, err := w.anywhere().Apply(t.Context(), connection, change...)
		if errors.Is(err, directory.ErrUnavailable) {
			continue
		}
		var conflict *directory.ConflictError
		if err != nil && !errors.As(err, &conflict) { // the attempt before may have been made
			t.Errorf("%s: %v", name, err)
		}
		return
	}
}

func (w wanderer) check(t *testing.T, what string, holds func(*directory.Directory) bool) {
	t.Helper()
	d := w.anywhere()
	if settle(t, d); !holds(d) {
		t.Errorf("%s does not hold at another directory", what)
	}
}

func (w wanderer) wander(t *testing.T, name string) {
	t.Helper()
	const rounds = 10
	w.insist(t, name, directory.CreateUser{User: directory.User{UserName: name, ExternalID: name, Active: true}})
	var id directory.ID
	w.check(t, name+" created", func(d *directory.Directory) bool {
		u, ok := d.UserByName(connection, name)
		id = u.ID
		return ok
	})
	for range rounds {
		w.insist(t, name, directory.AddMembers{Group: w.team, Members: []directory.ID{id}})
		w.check(t, name+" added", func(d *directory.Directory) bool { return d.IsMember(w.team, id) })
		active := mathrand.IntN(2) == 0 //nolint:gosec // chance, no secret
		w.insist(t, name, directory.EditUser{ID: id, Edit: func(u directory.User) (directory.User, error) {
			u.Active = active
			return u, nil
		}})
		w.check(t, name+" edited", func(d *directory.Directory) bool {
			view, ok := d.Lookup(directory.LinkKey{Connection: connection, ExternalID: name})
			return ok && view.Active == active && len(view.Groups) == 1
		})
		w.insist(t, name, directory.RemoveMembers{Group: w.team, Members: []directory.ID{id}})
		w.check(t, name+" removed", func(d *directory.Directory) bool { return !d.IsMember(w.team, id) })
	}
}

// dump is everything that a directory holds, in one order.
func dump(t *testing.T, d *directory.Directory) []string {
	t.Helper()
	var text strings.Builder
	if err := d.Export(&text); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	slices.Sort(lines)
	return lines
}

// entries is a batch of some deltas after a version.
func entries(after uint64, n int) []directory.Delta {
	batch := make([]directory.Delta, n)
	for i := range batch {
		batch[i] = directory.Delta{
			Version: after + 1 + uint64(i), Time: time.UnixMilli(1_700_000_000_000).UTC(), Kind: directory.KindPutEntry,
			Subject: fmt.Sprintf("class\x00%d", i), Revision: 1, Payload: make([]byte, 8),
		}
	}
	return batch
}
