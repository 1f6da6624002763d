package directory

import (
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestAJournalThatGivesPeopleToAndFroIsRead starts on what a gate left that was
// killed after a connection had been adopted, given back and adopted again, by one
// that had a younger record of its own.
func TestAJournalThatGivesPeopleToAndFroIsRead(t *testing.T) {
	t.Parallel()
	const people = smallestCompaction + 100
	log, err := OpenBolt(filepath.Join(t.TempDir(), "directory.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	var version uint64
	put := func(connection string, revision uint64, numbers ...int) {
		var batch []Delta
		for _, n := range numbers {
			u := worldUser(n)
			u.Connection, u.Revision = connection, revision
			d := userDelta(u)
			version++
			d.Version, d.Time = version, time.Unix(1, 0)
			batch = append(batch, d)
		}
		if err := log.Append(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	all := make([]int, people)
	for n := range all {
		all[n] = n
	}
	put("corp", 1, all...)
	put("next", 1, people)
	for turn, owner := range []string{"next", "corp", "next"} {
		put(owner, uint64(turn)+2, all...)
	}
	s := newState()
	if err := load(s, log, time.Unix(2, 0)); err != nil {
		t.Fatal(err)
	}
	next, corp := s.population("next"), s.population("corp")
	if list := next.users.load(); len(list) != people+1 || !slices.IsSorted(list) || next.users.holes != 0 || next.userCount.Load() != people+1 {
		t.Errorf("next lists %d people, %d holes, and counts %d", len(list), next.users.holes, next.userCount.Load())
	}
	live := 0
	for _, ordinal := range corp.users.load() {
		if s.ownerOf(s.user(ordinal)) == corp {
			live++
		}
	}
	if live != 0 || corp.userCount.Load() != 0 || corp.users.holes != len(corp.users.load()) {
		t.Errorf("corp lists %d people, %d of %d are holes, and counts %d", live, corp.users.holes, len(corp.users.load()), corp.userCount.Load())
	}
}
