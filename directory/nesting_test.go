package directory_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/cosmosgate/cosmosgate/directory"
)

// chain makes n groups, each in the next, and returns their ids. It begins at the
// top, where a new group has nothing below it to find anew.
func chain(t *testing.T, d *directory.Directory, name string, n int) []directory.ID {
	t.Helper()
	ids := make([]directory.ID, n)
	for i := n - 1; i >= 0; i-- {
		results, err := d.Apply(t.Context(), corp, directory.CreateGroup{Group: directory.GroupRecord{DisplayName: fmt.Sprintf("%s%d", name, i)}})
		if err != nil {
			t.Fatal(err)
		}
		if ids[i] = results[0].ID; i < n-1 {
			if err := put(t, d, ids[i], ids[i+1]); err != nil {
				t.Fatal(err)
			}
		}
	}
	return ids
}

func put(t *testing.T, d *directory.Directory, member, into directory.ID) error {
	t.Helper()
	_, err := d.Apply(t.Context(), corp, directory.AddMembers{Group: into, Members: []directory.ID{member}})
	return err //nolint:wrapcheck // a test
}

func TestNoGroupGetsMoreGroupsAboveItThanItMayHave(t *testing.T) {
	t.Parallel()
	d := fresh(t).Directory
	long := chain(t, d, "a", 501)
	bottom, top := long[0], long[500]
	if got := len(d.EffectiveGroups(bottom)); got != 500 {
		t.Fatalf("%d groups above the lowest", got)
	}
	one := chain(t, d, "b", 1)[0]
	if err := put(t, d, top, one); !errors.Is(err, directory.ErrNesting) {
		t.Errorf("a group above all: %v", err)
	}
	if err := put(t, d, one, bottom); !errors.Is(err, directory.ErrNesting) {
		t.Errorf("a group below all: %v", err)
	}
	if got := len(d.EffectiveGroups(bottom)) + len(d.EffectiveGroups(one)) + d.MemberCount(one) + d.MemberCount(bottom); got != 500 {
		t.Errorf("a refused membership left something behind: %d", got)
	}
	if err := put(t, d, one, top); err != nil {
		t.Errorf("beside the others: %v", err)
	}
	if err := put(t, d, one, long[1]); err != nil {
		t.Errorf("as low as it may be: %v", err)
	}
	results, err := d.Apply(t.Context(), corp, directory.RemoveMembers{Group: top, Members: []directory.ID{long[499], one}})
	if err != nil || results[0].Regrouped != 501 {
		t.Errorf("a removal concerns %+v groups, %v", results, err)
	}
	if err := put(t, d, long[499], chain(t, d, "c", 1)[0]); err != nil {
		t.Errorf("another top: %v", err)
	}
}

func TestACircleOfGroupsIsNoDeeperThanItIsLong(t *testing.T) {
	t.Parallel()
	d := fresh(t).Directory
	ring := chain(t, d, "a", 500)
	if err := put(t, d, ring[499], ring[0]); err != nil {
		t.Fatal(err)
	}
	if got := len(d.EffectiveGroups(ring[7])); got != 500 {
		t.Errorf("%d groups above one of 500 in a circle", got)
	}
	if err := put(t, d, chain(t, d, "b", 1)[0], ring[0]); err != nil {
		t.Errorf("one below a circle of 500: %v", err)
	}
	if err := put(t, d, ring[0], chain(t, d, "c", 1)[0]); !errors.Is(err, directory.ErrNesting) {
		t.Errorf("one above a circle of 500: %v", err)
	}
}

// TestAChangeThatGoesThroughManyGroupsAgainAndAgainIsRefused puts a group with many others into one and takes it out, over and over: everybody's
// changes would wait for that.
func TestAChangeThatGoesThroughManyGroupsAgainAndAgainIsRefused(t *testing.T) {
	t.Parallel()
	d := fresh(t).Directory
	const below, times = 2000, 2000
	changes := make([]directory.Change, 0, 2*times)
	for i := range below {
		changes = append(changes, directory.CreateGroup{Group: directory.GroupRecord{DisplayName: fmt.Sprintf("g%d", i)}})
	}
	results, err := d.Apply(t.Context(), corp, changes...)
	if err != nil {
		t.Fatal(err)
	}
	hub, top := chain(t, d, "hub", 1)[0], chain(t, d, "top", 1)[0]
	members := make([]directory.ID, 0, below)
	for _, r := range results {
		members = append(members, r.ID)
	}
	if _, err := d.Apply(t.Context(), corp, directory.AddMembers{Group: hub, Members: members}); err != nil {
		t.Fatal(err)
	}
	changes = changes[:0]
	for range times {
		changes = append(changes,
			directory.AddMembers{Group: top, Members: []directory.ID{hub}}, directory.RemoveMembers{Group: top, Members: []directory.ID{hub}})
	}
	if _, err := d.Apply(t.Context(), corp, changes...); !errors.Is(err, directory.ErrLimit) {
		t.Errorf("%d times: %v", times, err)
	}
	if _, err := d.Apply(t.Context(), corp, changes[:11]...); err != nil || d.MemberCount(top) != 1 {
		t.Errorf("a few times: %v, %d members", err, d.MemberCount(top))
	}
	if _, err := d.Apply(t.Context(), corp, directory.DeleteGroup{ID: hub}); err != nil || d.MemberCount(top) != 0 {
		t.Errorf("a removal: %v, %d members", err, d.MemberCount(top))
	}
}

// What is committed together counts together.
func TestChainsThatAreJoinedAtOnceAreNoWayAroundTheBound(t *testing.T) {
	t.Parallel()
	d := fresh(t).Directory
	const chains, length = 12, 100
	all := make([][]directory.ID, 0, chains)
	for i := range chains {
		all = append(all, chain(t, d, fmt.Sprintf("c%d.", i), length))
	}
	var wait sync.WaitGroup
	for i := range chains - 1 {
		wait.Go(func() { _ = put(t, d, all[i][length-1], all[i+1][0]) })
	}
	wait.Wait()
	changes := make([]directory.Change, 0, chains)
	for i := range chains - 1 { // and once more, certainly together
		changes = append(changes, directory.AddMembers{Group: all[i+1][0], Members: all[i][length-1:]})
	}
	if _, err := d.Apply(t.Context(), corp, changes...); !errors.Is(err, directory.ErrNesting) {
		t.Errorf("all of them: %v", err)
	}
	for _, ids := range all {
		if got := len(d.EffectiveGroups(ids[0])); got > 500 {
			t.Errorf("%d groups above one", got)
		}
	}
}

func TestGroupsThatAreGoneAreNotAboveAnybody(t *testing.T) {
	t.Parallel()
	d := fresh(t).Directory
	live, gone := chain(t, d, "a", 302), []directory.ID{}
	middle, below := live[0], chain(t, d, "c", 1)[0]
	for i := range 199 {
		gone = append(gone, chain(t, d, fmt.Sprint("d", i, "-"), 1)...)
	}
	var deletions []directory.Change
	for _, id := range gone {
		if err := put(t, d, middle, id); err != nil {
			t.Fatal(err)
		}
		deletions = append(deletions, directory.DeleteGroup{ID: id})
	}
	if _, err := d.Apply(t.Context(), corp, deletions...); err != nil {
		t.Fatal(err)
	}
	if err := put(t, d, below, middle); err != nil {
		t.Error(err)
	}
}
