package directory

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// audited is everything that readers can see of a state, without ordinals.
func audited(t *testing.T, s *state) []string {
	t.Helper()
	var all []string
	live := map[string][4]int64{}
	for ordinal := range uint32(len(s.places.pages.load()) * pageSize) {
		ids := func(ordinals []uint32) (list []string) {
			for _, o := range ordinals {
				if key, ok := s.key(o); ok {
					list = append(list, string(key.id()))
				}
			}
			slices.Sort(list)
			return list
		}
		if r := s.user(ordinal); r != nil {
			p, n := s.numbered(r.connection()), live[s.numbered(r.connection()).name]
			n[0]++
			n[1] += count(r.active())
			n[2] += count(r.hasLink())
			live[p.name] = n
			if at, ok := s.find(r.key()); !ok || at != ordinal {
				t.Fatalf("%s has ordinal %d, found %t at %d", r.key().id(), ordinal, ok, at)
			}
			for _, sp := range []space{spaceUserName, spaceUserLink} {
				if k := r.nameIn(sp, p); k.value != "" {
					if at, ok := s.holder(sp, k); !ok || at != ordinal {
						t.Fatalf("%q is not held by %d: %t, %d", k.value, ordinal, ok, at)
					}
				}
			}
			if _, ok := slices.BinarySearch(p.users.load(), ordinal); !ok {
				t.Fatalf("%d is not in its roster", ordinal)
			}
			for _, g := range r.direct().ordinals() {
				if place := s.groupPlace(g); place == nil || place.group.Load() != nil && !slices.Contains(place.members.sorted(), ordinal) {
					t.Fatalf("%d is in %d, which does not know", ordinal, g)
				}
			}
			u := s.exportUser(r)
			view, _ := s.lookup(LinkKey{p.name, u.ExternalID}, time.Now)
			above := ids(s.above(r.direct().ordinals()))
			if u.ExternalID != "" && len(view.Groups) != len(above) {
				t.Fatalf("%s is seen in %d groups, is in %v", u.ID, len(view.Groups), above)
			}
			all = append(all, fmt.Sprint("user ", u.ID, p.name, u.UserName, u.ExternalID, u.Active, u.Emails, u.Revision, ids(r.direct().ordinals()), above))
		}
		if g := s.groupAt(ordinal); g != nil {
			p := s.numbered(g.connection)
			n := live[p.name]
			n[3]++
			live[p.name] = n
			place := s.groupPlace(ordinal)
			for _, m := range place.members.sorted() {
				if _, in := slices.BinarySearch(s.direct(m), ordinal); !in {
					if _, ok := s.key(m); ok {
						t.Fatalf("%d has member %d, who does not know", ordinal, m)
					}
				}
			}
			all = append(all, fmt.Sprint("group ", g.key.id(), p.name, g.displayName(), g.externalID(), g.revision, ids(place.members.sorted()), ids(g.parents), ids(g.ancestors)))
		}
	}
	for _, p := range *s.connections.Load() {
		got := [4]int64{p.userCount.Load(), p.activeCount.Load(), p.linkedUser.Load(), p.groupCount.Load()}
		if got != live[p.name] {
			t.Fatalf("%s: counts %v, there are %v", p.name, got, live[p.name])
		}
	}
	for subject, l := range *s.locks.Load() {
		all = append(all, fmt.Sprint("lock ", subject, l.Message, l.Expires))
	}
	slices.Sort(all)
	return all
}

// TestBatchesThatFailOrAreLostLeaveNothing has calls fail, and commits be lost to
// another directory, and compares what is there with a state that only knows what
// was kept, one delta at a time, and with one that loaded it.
func TestBatchesThatFailOrAreLostLeaveNothing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		random := rand.New(rand.NewPCG(seed, 2))
		s, one := newState(), newState()
		log := &keptLog{}
		s.log, one.log = log, log
		var made int
		ids := []ID{}
		pick := func() ID {
			if len(ids) == 0 || random.IntN(40) == 0 {
				return worldKey(1 << 30).id()
			}
			return ids[random.IntN(len(ids))]
		}
		some := func() (list []ID) {
			for range 1 + random.IntN(4) {
				list = append(list, pick())
			}
			return list
		}
		name := func() string { return fmt.Sprint("n", random.IntN(30)) }
		link := func() string {
			if random.IntN(4) == 0 {
				return ""
			}
			return fmt.Sprint("x", random.IntN(30))
		}
		change := func() Change {
			switch random.IntN(12) {
			case 0, 1:
				return CreateUser{User: User{UserName: name(), ExternalID: link(), Active: random.IntN(2) == 0, Emails: []string{name()}}}
			case 2:
				return CreateGroup{Group: GroupRecord{DisplayName: name(), ExternalID: link()}}
			case 3:
				return DeleteUser{ID: pick()}
			case 4:
				return DeleteGroup{ID: pick()}
			case 5:
				return EditUser{ID: pick(), Edit: func(u User) (User, error) {
					u.UserName, u.ExternalID, u.Active = name(), link(), !u.Active
					return u, nil
				}}
			case 6:
				return AdoptUser{ID: pick(), From: []string{"corp", "other"}[random.IntN(2)]}
			case 7:
				return RemoveMembers{Group: pick(), Members: some()}
			case 8:
				return SetMembers{Group: pick(), Members: some()}
			default:
				return AddMembers{Group: pick(), Members: some()}
			}
		}
		for n := range 400 {
			before := audited(t, s)
			b := newBatch(s, time.UnixMilli(int64(n)))
			var fresh []ID
			for range 1 + random.IntN(5) {
				var mine []ID
				err := b.try(func(b *batch) error {
					p := planner{batch: b, connection: []string{"corp", "corp", "corp", "other"}[random.IntN(4)], newID: func() (ID, error) { made++; return worldKey(made).id(), nil }}
					for range 1 + random.IntN(4) {
						result, err := p.plan(change())
						if err != nil && random.IntN(4) > 0 {
							continue // no caller does that, but each change must be whole
						}
						if err != nil {
							return err
						}
						mine = append(mine, result.ID)
					}
					if random.IntN(8) == 0 {
						return p.emit(Delta{Kind: KindPutLock, Subject: Subject{Kind: SubjectUser, Name: string(pick())}.encode(), Payload: encodeLock(&Lock{Message: fmt.Sprint(n)})})
					}
					switch random.IntN(6) {
					case 0:
						return ErrStopped
					case 1:
						panic("this is a test")
					}
					return nil
				})
				if err == nil {
					fresh = append(fresh, mine...)
				}
			}
			if random.IntN(3) == 0 {
				if after := audited(t, s); !slices.Equal(before, after) {
					t.Fatalf("seed %d: a lost batch changed %v to %v", seed, before, after)
				}
				continue // another directory was first
			}
			ids = append(ids, fresh...)
			slices.Sort(ids)
			ids = slices.Compact(ids)
			log.deltas = append(log.deltas, b.deltas...)
			s.publish(b)
			for _, d := range b.deltas {
				alone := newBatch(one, d.Time)
				if err := alone.apply(d); err != nil {
					t.Fatal(err)
				}
				alone.deltas = []Delta{d}
				one.publish(alone)
			}
			if got, want := audited(t, s), audited(t, one); !slices.Equal(got, want) {
				t.Fatalf("seed %d, batch %d:\n%v\n%v", seed, n, got, want)
			}
		}
		loaded := newState()
		if err := load(loaded, log, time.UnixMilli(1)); err != nil {
			t.Fatal(err)
		}
		if got, want := audited(t, loaded), audited(t, s); !slices.Equal(got, want) {
			t.Fatalf("seed %d: loaded\n%v\n%v", seed, got, want)
		}
	}
}

// keptLog is a log in memory.
type keptLog struct{ deltas []Delta }

func (l *keptLog) Append(_ context.Context, batch []Delta) error {
	l.deltas = append(l.deltas, batch...)
	return nil
}

func (l *keptLog) Tail(_ context.Context, from uint64, each func(Delta) error) (uint64, error) {
	for _, d := range l.deltas {
		if err := each(d); d.Version >= from && err != nil {
			return 0, err
		}
	}
	return uint64(len(l.deltas)), nil
}

func (l *keptLog) Record(kind Kind, subject string) (Delta, error) {
	for _, d := range slices.Backward(l.deltas) {
		if d.Subject == subject && d.Kind == kind {
			return d, nil
		}
	}
	return Delta{}, ErrNotFound
}

func (l *keptLog) Close() error { return nil }
