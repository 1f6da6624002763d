package journal_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/directory/journal"
	"github.com/cosmosgate/cosmosgate/internal/emulator"
)

// replayOf replays deltas as the state at a version.
func replayOf(version uint64, state []directory.Delta) func(func(directory.Delta) error) (uint64, error) {
	return func(each func(directory.Delta) error) (uint64, error) {
		for _, d := range state {
			if err := each(d); err != nil {
				return 0, err
			}
		}
		return version, nil
	}
}

func load(tb testing.TB, j *journal.Journal) (uint64, []directory.Delta) {
	tb.Helper()
	var got []directory.Delta
	version, err := j.Load(tb.Context(), func(d directory.Delta) error {
		d.Payload = slices.Clone(d.Payload)
		got = append(got, d)
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return version, got
}

func soon(c *journal.Config) { c.SnapshotCommits = 3 }

// fill appends commits of one delta each and returns them.
func fill(tb testing.TB, j *journal.Journal, from, commits uint64) []directory.Delta {
	tb.Helper()
	var all []directory.Delta
	for version := from; version < from+commits; version++ {
		batch := batchAfter(version, fmt.Sprint(version))
		if err := j.Append(tb.Context(), batch); err != nil {
			tb.Fatal(err)
		}
		all = append(all, batch...)
	}
	return all
}

// TestTheEndOfAGateEndsItsSnapshot cancels it while the state is read, which
// holds back the end of the directory.
func TestTheEndOfAGateEndsItsSnapshot(t *testing.T) {
	t.Parallel()
	s := newStand(t, proper)
	j := s.open(t, soon)
	state := fill(t, j, 0, 5)
	upkeep(t, j, replayOf(5, state)) // makes the lease
	fill(t, j, 5, 5)
	ctx, cancel := context.WithCancel(t.Context())
	read := 0
	err := j.Upkeep(ctx, func(each func(directory.Delta) error) (uint64, error) {
		cancel()
		for range 100 {
			read++
			if err := each(state[0]); err != nil {
				return 0, err
			}
		}
		return 10, nil
	})
	if !errors.Is(err, context.Canceled) || read != 1 {
		t.Errorf("%d deltas were read, error %v", read, err)
	}
}

func TestASnapshotReplacesWhatIsBeforeIt(t *testing.T) {
	t.Parallel()
	s := newStand(t, proper)
	j := s.open(t, soon)
	if version, got := load(t, j); version != 0 || got != nil {
		t.Errorf("before the first: %d %v", version, got)
	}
	state := fill(t, j, 0, 5)
	upkeep(t, j, replayOf(5, state))
	fill(t, j, 5, 1)
	if version, got := load(t, j); version != 5 || cmp.Diff(state, got) != "" {
		t.Errorf("version %d (-want +got):\n%s", version, cmp.Diff(state, got))
	}
	if got, err := s.open(t).Next(t.Context(), 0); err != nil || len(got) != 1 {
		t.Errorf("what it replaces is gone at once: %v %v", got, err)
	}
	s.clock.advance(25 * time.Hour)
	if got, err := j.Next(t.Context(), 5); err != nil || len(got) != 1 {
		t.Errorf("what it doesn't replace: %v %v", got, err)
	}
	for _, reader := range []*journal.Journal{j, s.open(t)} {
		if _, err := reader.Next(t.Context(), 2); !errors.Is(err, directory.ErrOutdated) {
			t.Errorf("what it replaced: want ErrOutdated, got %v", err)
		}
	}
	if version, _ := load(t, s.open(t)); version != 5 {
		t.Errorf("the snapshot expired with what it replaced: version %d", version)
	}
}

func TestAnOldSnapshotExpires(t *testing.T) {
	t.Parallel()
	s := newStand(t, proper)
	j := s.open(t, soon)
	state := fill(t, j, 0, 4)
	upkeep(t, j, replayOf(4, state))
	state = append(state, fill(t, j, 4, 4)...)
	upkeep(t, j, replayOf(8, state))
	s.clock.advance(25 * time.Hour)
	if version, got := load(t, j); version != 8 || cmp.Diff(state, got) != "" {
		t.Errorf("version %d", version)
	}
	if n := s.count(t, "chunk"); n != 1 {
		t.Errorf("%d chunks are left", n)
	}
	if n := s.count(t, "commit"); n != 0 {
		t.Errorf("%d commits are left", n)
	}
}

// TestAnInterruptedSnapshotHarmsNothing lets every request of an upkeep fail
// once, one after the other; the next upkeep must finish.
func TestAnInterruptedSnapshotHarmsNothing(t *testing.T) {
	t.Parallel()
	for skip := range 8 {
		t.Run(fmt.Sprintf("after %d writes", skip), func(t *testing.T) {
			t.Parallel()
			s := newStand(t, proper)
			j := s.open(t, soon)
			state := fill(t, j, 0, 4)
			s.Inject(emulator.Fault{Method: http.MethodPost, PathPrefix: documents, Skip: skip, Status: http.StatusForbidden})
			for range 2 {
				_ = j.Upkeep(t.Context(), replayOf(4, state)) // one of them fails
			}
			s.ClearFaults()
			state = append(state, fill(t, j, 4, 4)...)
			s.clock.advance(time.Hour)
			upkeep(t, s.open(t, soon), replayOf(8, state))
			if version, got := load(t, j); version != 8 || cmp.Diff(state, got) != "" {
				t.Errorf("version %d (-want +got):\n%s", version, cmp.Diff(state, got))
			}
			s.clock.advance(25 * time.Hour)
			if n := s.count(t, "chunk"); n != 1 {
				t.Errorf("%d chunks are left", n)
			}
		})
	}
}

func TestWhoLostTheLeaseLosesTheSnapshot(t *testing.T) {
	t.Parallel()
	s := newStand(t, proper)
	slow := s.open(t, soon, func(c *journal.Config) { c.Name = "slow" })
	fast := s.open(t, soon, func(c *journal.Config) { c.Name = "fast" })
	state := fill(t, slow, 0, 4)
	_ = slow.Upkeep(t.Context(), replayOf(0, nil)) // makes the lease
	err := slow.Upkeep(t.Context(), func(each func(directory.Delta) error) (uint64, error) {
		s.clock.advance(time.Hour) // the lease runs out
		more := fill(t, fast, 4, 1)
		upkeep(t, fast, replayOf(5, append(slices.Clone(state), more...)))
		return replayOf(4, state)(each)
	})
	if err == nil {
		t.Error("a snapshot without a lease was published")
	}
	if version, _ := load(t, fast); version != 5 {
		t.Errorf("version %d", version)
	}
}

func TestALeaseThatHoldsIsLeftToItsHolder(t *testing.T) {
	t.Parallel()
	s := newStand(t, proper)
	first := s.open(t, soon, func(c *journal.Config) { c.Name = "first" })
	second := s.open(t, soon, func(c *journal.Config) { c.Name = "second" })
	state := fill(t, first, 0, 4)
	_ = first.Upkeep(t.Context(), replayOf(0, nil)) // makes the lease
	upkeep(t, first, func(each func(directory.Delta) error) (uint64, error) {
		upkeep(t, second, func(func(directory.Delta) error) (uint64, error) {
			t.Error("another gate writes a snapshot too")
			return replayOf(4, state)(each)
		})
		return replayOf(4, state)(each)
	})
	if version, _ := load(t, second); version != 4 {
		t.Errorf("version %d", version)
	}
}

// TestASnapshotIsNeverReplacedByAnOlderOne has a gate whose directory has stopped, and whose copy therefore too: what leads from it to the
// snapshot that is there expires. Another gate need not wait for it.
func TestASnapshotIsNeverReplacedByAnOlderOne(t *testing.T) {
	t.Parallel()
	s := newStand(t, proper)
	stopped := s.open(t, soon, func(c *journal.Config) { c.Name = "stopped" })
	runs := s.open(t, soon, func(c *journal.Config) { c.Name = "runs" })
	state := fill(t, runs, 0, 5)
	upkeep(t, runs, replayOf(5, state))
	more := append(slices.Clone(state), fill(t, runs, 5, 5)...)
	for _, version := range []uint64{4, 5} {
		if err := stopped.Upkeep(t.Context(), replayOf(version, state[:version])); err == nil {
			t.Errorf("a snapshot of version %d was published over that of version 5", version)
		}
	}
	if version, got := load(t, runs); version != 5 || cmp.Diff(state, got) != "" {
		t.Errorf("version %d is there", version)
	}
	upkeep(t, runs, replayOf(10, more))
	if version, got := load(t, runs); version != 10 || cmp.Diff(more, got) != "" {
		t.Errorf("the gate that runs could not write one: version %d is there", version)
	}
	s.clock.advance(25 * time.Hour)
	if version, _ := load(t, s.open(t)); version != 10 || s.count(t, "chunk") != 1 {
		t.Errorf("a day later: version %d, %d chunks", version, s.count(t, "chunk"))
	}
}

// TestNoSnapshotIsAheadOfTheLog has a gate that has not noticed yet that the container was restored from a backup.
func TestNoSnapshotIsAheadOfTheLog(t *testing.T) {
	t.Parallel()
	s := newStand(t, proper)
	j := s.open(t, soon)
	state := fill(t, j, 0, 5)
	for range 2 { // the first round makes the lease
		_ = j.Upkeep(t.Context(), replayOf(7, state))
	}
	if version, _ := load(t, j); version != 0 {
		t.Errorf("a snapshot of version %d of a log that ends with 5", version)
	}
}

// TestAGateThatCannotReadItsCopyLeavesSnapshotsToOthers has one with a full disk, which tries every minute.
func TestAGateThatCannotReadItsCopyLeavesSnapshotsToOthers(t *testing.T) {
	t.Parallel()
	s := newStand(t, proper)
	full := s.open(t, soon, func(c *journal.Config) { c.Name = "full" })
	other := s.open(t, soon, func(c *journal.Config) { c.Name = "other" })
	state := fill(t, other, 0, 5)
	errDisk := errors.New("no space left")
	failing := func(func(directory.Delta) error) (uint64, error) { return 0, errDisk }
	var err error
	for range 2 { // the first round makes the lease
		err = full.Upkeep(t.Context(), failing)
	}
	if !errors.Is(err, errDisk) {
		t.Fatalf("upkeep: %v", err)
	}
	if err := other.Upkeep(t.Context(), replayOf(5, state)); err != nil {
		t.Fatal(err)
	}
	if version, _ := load(t, other); version != 5 {
		t.Errorf("version %d: the gate that can't holds the lease", version)
	}
}

// TestNoSnapshotIsWrittenByAGateThatMustWriteNothing has one with a wrong clock, and one that knows another history.
func TestNoSnapshotIsWrittenByAGateThatMustWriteNothing(t *testing.T) {
	t.Parallel()
	for name, play := range map[string]func(*stand, *clock) error{
		"wrong clock": func(_ *stand, own *clock) error { own.advance(time.Hour); return nil },
		"another history": func(s *stand, _ *clock) error {
			return s.UpsertItem(database, container,
				[]byte(`{"id":"head","pk":"journal","format":1,"origin":"another","version":5,"commits":5}`))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStand(t, proper)
			own := &clock{}
			j := s.open(t, soon, func(c *journal.Config) { c.Clock = own.Now })
			state := fill(t, j, 0, 5)
			if err := play(s, own); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := j.Upkeep(t.Context(), replayOf(5, state)); err == nil {
					t.Error("upkeep went on")
				}
			}
			if version, _ := load(t, s.open(t)); version != 0 || s.count(t, "chunk") != 0 {
				t.Errorf("a snapshot of version %d, %d chunks", version, s.count(t, "chunk"))
			}
		})
	}
}

func TestALogThatWentBackIsNotFollowed(t *testing.T) {
	t.Parallel()
	s := newStand(t, proper)
	j := s.open(t)
	fill(t, j, 0, 2)
	s.clock.advance(time.Hour)
	var err error
	for range 100 {
		if _, err = j.Next(t.Context(), 7); errors.Is(err, directory.ErrOutdated) {
			return
		}
	}
	t.Errorf("version 7 of a log that ends with 2: %v", err)
}

// upkeep writes a snapshot; the first round may only make the lease.
func upkeep(tb testing.TB, j *journal.Journal, replay func(func(directory.Delta) error) (uint64, error)) {
	tb.Helper()
	for range 2 {
		if err := j.Upkeep(tb.Context(), replay); err != nil {
			tb.Fatal(err)
		}
	}
}

// count counts documents of a kind that have not expired.
func (s *stand) count(tb testing.TB, kind string) int {
	tb.Helper()
	var kept strings.Builder
	if err := s.Snapshot(&kept); err != nil {
		tb.Fatal(err)
	}
	return strings.Count(kept.String(), `"kind":"`+kind+`"`)
}
