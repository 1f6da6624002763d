package directory

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// tried has a state obey one call of a connection, as the writer does.
func tried(t *testing.T, s *state, changes ...Change) ([]ID, error) {
	t.Helper()
	made := s.version * 100
	var ids []ID
	b := newBatch(s, time.UnixMilli(1))
	err := b.try(func(b *batch) error {
		p := planner{batch: b, connection: "corp", newID: func() (ID, error) { made++; return worldKey(int(made)).id(), nil }}
		for _, change := range changes {
			result, err := p.plan(change)
			if err != nil {
				return err
			}
			ids = append(ids, result.ID)
		}
		return nil
	})
	if err == nil {
		s.publish(b)
	}
	return ids, err
}

// done is tried for changes that are possible.
func done(t *testing.T, s *state, changes ...Change) []ID {
	t.Helper()
	ids, err := tried(t, s, changes...)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func TestAGroupThatIsDeletedLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	s := newState()
	ids := done(t, s, CreateUser{User: User{UserName: "ann", ExternalID: "ext"}}, CreateGroup{Group: GroupRecord{DisplayName: "below"}},
		CreateGroup{Group: GroupRecord{DisplayName: "stays"}})
	ann, below, stays := ids[0], ids[1], ids[2]
	done(t, s, AddMembers{Group: stays, Members: []ID{ann, below}})
	for i := range 100 {
		g := done(t, s, CreateGroup{Group: GroupRecord{DisplayName: fmt.Sprint(i)}}, AddMembers{Members: []ID{ann, below}})[0]
		place := s.groupOf(g)
		if place.members.size() != 2 || len(place.children) != 1 {
			t.Fatalf("%d members, %d of them groups", place.members.size(), len(place.children))
		}
		if done(t, s, DeleteGroup{ID: g}); place.members.slots != nil || place.children != nil {
			t.Fatal("the deleted group still has members")
		}
	}
	user, _ := s.findID(ann)
	group, _ := s.findID(below)
	if n := s.user(user).direct().len(); n > 16 {
		t.Errorf("%d groups in the record of somebody who is in one", n)
	}
	if n := len(s.groupAt(group).parents); n > 2 {
		t.Errorf("%d groups in the record of a group that is in one", n)
	}
	for range 2 {
		view, ok := s.lookup(LinkKey{"corp", "ext"}, time.Now)
		if !ok || len(view.Groups) != 1 || view.Groups[0].ID != stays {
			t.Errorf("found %t, in %v", ok, view.Groups)
		}
		done(t, s, RemoveMembers{Group: stays, Members: []ID{ann}}, AddMembers{Group: stays, Members: []ID{ann}})
	}
}

func TestWhatIsNotMadeTakesNoPlace(t *testing.T) {
	t.Parallel()
	s := newState()
	done(t, s, CreateUser{User: User{UserName: "ann"}})
	for range 10 {
		if _, err := tried(t, s, CreateGroup{Group: GroupRecord{DisplayName: "g"}}, AddMembers{Members: []ID{"nobody"}}); err == nil {
			t.Fatal("nobody is a member")
		}
		b := newBatch(s, time.UnixMilli(1)) // of one that another directory was ahead of
		if err := b.emit(userDelta(User{ID: worldKey(99).id(), Connection: "corp", UserName: "bob"})); err != nil {
			t.Fatal(err)
		}
	}
	b := newBatch(s, time.UnixMilli(1))
	carl, bob := User{ID: worldKey(98).id(), Connection: "corp", UserName: "carl"}, User{ID: worldKey(99).id(), Connection: "corp", UserName: "bob"}
	if err := b.try(func(b *batch) error { return errors.Join(b.emit(userDelta(carl)), ErrNotFound) }); err == nil {
		t.Fatal("nothing failed")
	}
	if err := b.try(func(b *batch) error { return b.emit(userDelta(bob)) }); err != nil {
		t.Fatal(err)
	}
	s.publish(b)
	if ordinal, _ := s.findID(bob.ID); ordinal != 1 {
		t.Errorf("the second user has place %d", ordinal)
	}
}

// A provider decides how many groups somebody is in. Whoever leaves them all must
// not take room and time by the square of their number.
func TestLeavingManyGroupsAtOnceTakesLittleRoom(t *testing.T) { //nolint:paralleltest // it measures the process
	const groups = 4000
	s := newState()
	ann := done(t, s, CreateUser{User: User{UserName: "ann"}})[0]
	for i := range groups {
		done(t, s, CreateGroup{Group: GroupRecord{DisplayName: fmt.Sprint(i)}}, AddMembers{Members: []ID{ann}})
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	done(t, s, DeleteUser{ID: ann})
	runtime.ReadMemStats(&after)
	const each = 4 << 10
	if took := after.TotalAlloc - before.TotalAlloc; took > groups*each {
		t.Errorf("it took %d bytes for each group", took/groups)
	}
	for i := range groups {
		if g := s.groupAt(uint32(i + 1)); s.groupOf(g.key.id()).members.size() != 0 || g.revision != 3 {
			t.Fatalf("group %d still has a member, or is not a new version", i)
		}
	}
}

// A call that fails takes back what it did to the record of somebody of whom an
// earlier call of the same commit changed something.
func TestAFailedCallLeavesTheGroupsOfAnEarlierOne(t *testing.T) {
	t.Parallel()
	s := newState()
	ids := done(t, s, CreateUser{User: User{UserName: "ann"}}, CreateGroup{Group: GroupRecord{DisplayName: "a"}},
		CreateGroup{Group: GroupRecord{DisplayName: "b"}}, CreateGroup{Group: GroupRecord{DisplayName: "c"}})
	b := newBatch(s, time.UnixMilli(1))
	in := func(changes ...Change) func(*batch) error {
		return func(b *batch) error {
			p := planner{batch: b, connection: "corp"}
			for _, change := range changes {
				if _, err := p.plan(change); err != nil {
					return err
				}
			}
			return nil
		}
	}
	if err := b.try(in(AddMembers{Group: ids[1], Members: ids[:1]}, AddMembers{Group: ids[2], Members: ids[:1]})); err != nil {
		t.Fatal(err)
	}
	if err := b.try(in(RemoveMembers{Group: ids[1], Members: ids[:1]}, RemoveMembers{Group: ids[2], Members: ids[:1]},
		AddMembers{Group: ids[3], Members: ids[:1]}, DeleteGroup{ID: "nothing"})); err == nil {
		t.Fatal("there is no such group")
	}
	s.publish(b)
	ordinal, _ := s.findID(ids[0])
	if got := s.views(s.direct(ordinal)); len(got) != 2 || got[0].ID != ids[1] || got[1].ID != ids[2] {
		t.Errorf("in %v", got)
	}
}

func TestNobodyIsSeenWithoutTheirLockWhileTheyAreMadeAnew(t *testing.T) {
	t.Parallel()
	s := newState()
	again := CreateUser{User: User{UserName: "ann", ExternalID: "ext", Active: true}}
	ann := done(t, s, again)[0]
	b := newBatch(s, time.UnixMilli(1))
	lock := Delta{Kind: KindPutLock, Subject: Subject{SubjectUser, string(ann)}.encode(), Payload: encodeLock(&Lock{})}
	if err := b.emit(lock); err != nil {
		t.Fatal(err)
	}
	s.publish(b)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				if view, ok := s.lookup(LinkKey{"corp", "ext"}, time.Now); ok && view.Lock == nil {
					t.Error("seen without the lock")
					return
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for range 3000 {
		done(t, s, DeleteUser{ID: ann})
		ann = done(t, s, again)[0]
	}
	close(stop)
	readers.Wait()
}

func TestAnExpiredEntryIsSweptThoughTheFirstAttemptWasInVain(t *testing.T) {
	t.Parallel()
	s := newState()
	put := func(b *batch, name string, expires int64) {
		e := Entry{Class: "jti", Name: name, Expires: time.UnixMilli(expires)}
		d := Delta{Kind: KindPutEntry, Subject: entrySubject(e.Class, e.Name), Revision: 1, Payload: encodeEntry(&e)}
		if err := errors.Join(b.sweepEntries(), b.emit(d)); err != nil {
			t.Fatal(err)
		}
	}
	b := newBatch(s, time.UnixMilli(1))
	for i := range 3 {
		put(b, fmt.Sprint(i), 10)
	}
	s.publish(b)
	put(newBatch(s, time.UnixMilli(20)), "of a batch that another was ahead of", 30)
	b = newBatch(s, time.UnixMilli(20))
	put(b, "last", 30)
	s.publish(b)
	var left []string
	for e := range s.entries.table.values() {
		left = append(left, e.Name)
	}
	if len(left) != 1 || left[0] != "last" || s.entries.ends.Len() != 1 {
		t.Errorf("%q are left, %d of them to end", left, s.entries.ends.Len())
	}
}

// TestCallsOfOneCommitDoWhatTheyWouldDoAlone has one state obey calls, some of which
// fail in the middle, in commits of several, and another each in a commit of its own.
func TestCallsOfOneCommitDoWhatTheyWouldDoAlone(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 5))
		together, alone := newState(), newState()
		var ids []ID
		some := func() (picked []ID) {
			for range random.IntN(5) {
				picked = append(picked, ids[random.IntN(len(ids))])
			}
			return picked
		}
		made := 0
		change := func() Change {
			made++
			if len(ids) < 8 || random.IntN(4) == 0 {
				if random.IntN(2) == 0 {
					return CreateUser{User: User{UserName: fmt.Sprint("u", random.IntN(made)), ExternalID: fmt.Sprint("x", random.IntN(made))}}
				}
				return CreateGroup{Group: GroupRecord{DisplayName: fmt.Sprint("g", random.IntN(made))}}
			}
			switch id := ids[random.IntN(len(ids))]; random.IntN(12) {
			case 0:
				return DeleteUser{ID: id}
			case 1:
				return DeleteGroup{ID: id}
			case 2, 3:
				return SetMembers{Group: id, Members: some()}
			case 4, 5, 6:
				return RemoveMembers{Group: id, Members: some()}
			default:
				return AddMembers{Group: id, Members: some()}
			}
		}
		for n := range 60 {
			b := newBatch(together, time.UnixMilli(1))
			for m := range 1 + random.IntN(6) {
				changes := make([]Change, 1+random.IntN(4))
				for i := range changes {
					changes[i] = change()
				}
				call := func(b *batch) error {
					k := 0
					p := planner{batch: b, connection: "corp", newID: func() (ID, error) {
						k++
						return worldKey(1 + (n*6+m)*4 + k).id(), nil
					}}
					for _, c := range changes {
						result, err := p.plan(c)
						if err != nil {
							return err
						}
						if !slices.Contains(ids, result.ID) {
							ids = append(ids, result.ID)
						}
					}
					return nil
				}
				own := newBatch(alone, time.UnixMilli(1))
				failed := own.try(call)
				if failed == nil {
					alone.publish(own)
				}
				if err := b.try(call); (err == nil) != (failed == nil) {
					t.Fatalf("seed %d: %v together, %v alone", seed, err, failed)
				}
			}
			together.publish(b)
			if diff := cmp.Diff(described(alone, ids), described(together, ids)); diff != "" {
				t.Fatalf("seed %d (-alone +together)\n%s", seed, diff)
			}
		}
		if together.version != alone.version {
			t.Errorf("seed %d: version %d together, %d alone", seed, together.version, alone.version)
		}
	}
}

// described tells everything about records that does not depend on their places.
func described(s *state, ids []ID) map[ID][]string {
	all := map[ID][]string{}
	for _, id := range ids {
		ordinal, found := s.findID(id)
		if !found {
			continue
		}
		texts := []string{}
		for _, list := range [][]*Group{s.views(s.direct(ordinal)), s.views(s.above(s.direct(ordinal)))} {
			var in []string
			for _, g := range list {
				in = append(in, string(g.ID))
			}
			slices.Sort(in)
			texts = append(texts, fmt.Sprint(in))
		}
		if place := s.groupPlace(ordinal); place != nil {
			var members []string
			for _, o := range place.members.sorted() {
				m, _ := s.member(o)
				members = append(members, string(m.ID))
			}
			slices.Sort(members)
			g := place.group.Load()
			texts = append(texts, fmt.Sprint(members), g.displayName(), fmt.Sprint(g.revision))
		} else {
			u := s.user(ordinal)
			texts = append(texts, u.fields().userName, string(u.externalID(nil)), fmt.Sprint(u.revision(), u.generation()))
		}
		all[id] = texts
	}
	return all
}
