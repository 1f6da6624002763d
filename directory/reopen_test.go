package directory_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/directory"
)

// TestAReopenedDirectoryEqualsTheLiveOne makes random changes to people, nested
// groups and memberships and compares what is in memory with what a restart
// reads: from the journal alone, from both, and from folded state.
func TestAReopenedDirectoryEqualsTheLiveOne(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			h := fresh(t)
			w := &world{house: h, random: rand.New(rand.NewPCG(seed, 7))}
			for round := range 3 {
				for range 60 {
					w.change(t)
				}
				if (int(seed)+round)%2 == 0 {
					time.Sleep(40 * time.Millisecond) // lets some of the journal be folded
				}
				want, wantGroups := w.picture(t)
				w.house = w.reopen(t)
				got, gotGroups := w.picture(t)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("round %d: export (-want +got)\n%s", round, diff)
				}
				if diff := cmp.Diff(wantGroups, gotGroups); diff != "" {
					t.Fatalf("round %d: effective groups (-want +got)\n%s", round, diff)
				}
			}
		})
	}
}

// world is a house with what was made in it.
type world struct {
	*house

	random        *rand.Rand
	users, groups []directory.ID
	made          int
}

// change makes one random change.
func (w *world) change(t *testing.T) {
	t.Helper()
	everybody := slices.Concat(w.users, w.groups)
	some := func() []directory.ID {
		members := slices.Clone(everybody)
		w.random.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
		return members[:w.random.IntN(len(members)+1)]
	}
	w.made++
	switch roll := w.random.IntN(12); {
	case roll < 3 || len(w.users) == 0:
		w.users = append(w.users, w.user(t, fmt.Sprint("u", w.made)))
	case roll < 5 || len(w.groups) == 0:
		w.groups = append(w.groups, w.group(t, fmt.Sprint("g", w.made), some()...))
	case roll == 5:
		i := w.random.IntN(len(w.users))
		w.do(t, directory.DeleteUser{ID: w.users[i]})
		w.users = slices.Delete(w.users, i, i+1)
	case roll == 6:
		i := w.random.IntN(len(w.groups))
		w.do(t, directory.DeleteGroup{ID: w.groups[i]})
		w.groups = slices.Delete(w.groups, i, i+1)
	case roll == 7:
		w.do(t, edit(w.users[w.random.IntN(len(w.users))], func(u *directory.User) {
			u.Active, u.ExternalID = !u.Active, fmt.Sprint("ext-", w.made)
		}))
	case roll == 8:
		w.do(t, directory.SetMembers{Group: w.groups[w.random.IntN(len(w.groups))], Members: some()})
	case roll < 11:
		w.do(t, directory.AddMembers{Group: w.groups[w.random.IntN(len(w.groups))], Members: some()})
	default:
		w.do(t, directory.RemoveMembers{Group: w.groups[w.random.IntN(len(w.groups))], Members: some()})
	}
}

// picture returns the export and every user's effective groups.
func (w *world) picture(t *testing.T) (string, map[string][]string) {
	t.Helper()
	var export bytes.Buffer
	if err := w.Export(&export); err != nil {
		t.Fatal(err)
	}
	groups := map[string][]string{}
	for u := range w.Users(corp, "") {
		view, ok := w.Lookup(directory.LinkKey{Connection: corp, ExternalID: u.ExternalID})
		if !ok || view.ID != u.ID {
			t.Fatalf("%s isn't found by its link", u.UserName)
		}
		for _, g := range view.Groups {
			groups[u.UserName] = append(groups[u.UserName], g.DisplayName)
		}
	}
	return export.String(), groups
}
