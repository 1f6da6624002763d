package directory

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// A reader who is slow between reading a user and remembering the view must not
// bring back what a change in the meantime took away.
func TestAViewReadBeforeAChangeIsNotRememberedAfterIt(t *testing.T) {
	t.Parallel()
	for name, meanwhile := range map[string]func(s *state, change, look func()){
		"a change":                     func(_ *state, change, _ func()) { change() },
		"a change and a look-up":       func(_ *state, change, look func()) { change(); look() },
		"a change, forgotten":          func(s *state, change, _ func()) { change(); s.places.forgetSome() },
		"a look-up, a change":          func(_ *state, change, look func()) { look(); change() },
		"a change, looked up, forgot":  func(s *state, change, look func()) { change(); look(); s.places.forgetSome() },
		"forgotten before the change":  func(s *state, change, look func()) { look(); s.places.forgetSome(); change() },
		"two changes, looked up twice": func(_ *state, change, look func()) { change(); look(); change(); look() },
	} {
		for _, seenBefore := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := newState()
				id := ID("0192f0c4-7e2a-7000-8000-000000000001")
				put := func(version uint64, active bool) {
					b := newBatch(s, time.UnixMilli(1))
					d := userDelta(User{ID: id, Connection: "corp", ExternalID: "ext", UserName: "ann", Active: active, Revision: version})
					if err := b.emit(d); err != nil {
						t.Fatal(err)
					}
					s.publish(b)
				}
				put(1, true)
				look := func() {
					if _, ok := s.lookup(LinkKey{"corp", "ext"}, time.Now); !ok {
						t.Error("nobody is found")
					}
				}
				if seenBefore {
					look()
				}
				ordinal, _ := s.findID(id)
				slot := s.places.slot(ordinal)
				known := slot.Load()
				late := &seen{link: "ext", view: &UserView{ID: id, Active: true, Generation: [2]uint64{1, s.closure.Load()}}}

				version := uint64(1)
				meanwhile(s, func() { version++; put(version, false) }, look)
				if s.places.remember(slot, known, late) {
					t.Error("the late view is remembered")
				}
				if view, ok := s.lookup(LinkKey{"corp", "ext"}, time.Now); !ok || view.Active {
					t.Errorf("found %t, active %t", ok, view.Active)
				}
			})
		}
	}
}

func TestRememberedViewsAreCounted(t *testing.T) {
	t.Parallel()
	var p places
	p.ensure(0)
	slots := []*slot{p.slot(1), p.slot(2)}
	first := &seen{link: "a"}
	for _, step := range []struct {
		do   func()
		want int64
	}{
		{func() { p.remember(slots[0], nil, first) }, 1},
		{func() { p.remember(slots[0], nil, &seen{link: "b"}) }, 1},
		{func() { p.remember(slots[0], first, &seen{link: "c"}) }, 1},
		{func() { p.remember(slots[1], nil, &seen{link: "d"}) }, 2},
		{func() { p.forget(1) }, 1},
		{func() { p.forget(1) }, 1},
		{func() { p.remember(slots[0], slots[0].Load(), &seen{link: "e"}) }, 2},
		{p.forgetSome, 0},
		{p.forgetSome, 0},
	} {
		if step.do(); p.remembered.Load() != step.want {
			t.Fatalf("%d are remembered, want %d", p.remembered.Load(), step.want)
		}
	}
}

// Two connections may have one external id for two people, and hashes collide.
func TestAViewIsRememberedForOneLinkAndOneClosure(t *testing.T) {
	t.Parallel()
	known := &seen{link: "ext", connection: 1, view: &UserView{Generation: [2]uint64{7, 5}}}
	if !known.is(1, "ext", 5) {
		t.Error("not remembered")
	}
	if known.is(2, "ext", 5) || known.is(1, "other", 5) || known.is(1, "ext", 7) || (&seen{}).is(1, "ext", 5) || (*seen)(nil).is(1, "ext", 5) {
		t.Error("taken for another's")
	}
}

// While nesting is found anew for many groups, somebody looks: what they see must
// not be remembered for longer than that.
func TestNoViewFromTheMiddleOfAChangeOfNestingIsRememberedAfterIt(t *testing.T) {
	t.Parallel()
	s := newState()
	group := func(name string) ID { return done(t, s, CreateGroup{Group: GroupRecord{DisplayName: name}})[0] }
	top, middle, below := group("top"), group("middle"), []ID{}
	for i := range 300 {
		below = append(below, group(fmt.Sprint(i)))
	}
	done(t, s, AddMembers{Group: middle, Members: below})
	ann := done(t, s, CreateUser{User: User{UserName: "ann", ExternalID: "ext"}})
	done(t, s, AddMembers{Group: below[150], Members: ann})
	look := func() int {
		view, _ := s.lookup(LinkKey{"corp", "ext"}, time.Now)
		return len(view.Groups)
	}
	stop := make(chan struct{})
	var readers sync.WaitGroup
	defer readers.Wait()
	defer close(stop)
	readers.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				look()
			}
		}
	})
	for range 100 {
		done(t, s, AddMembers{Group: top, Members: []ID{middle}})
		if n := look(); n != 3 {
			t.Fatalf("in %d groups, not 3", n)
		}
		done(t, s, RemoveMembers{Group: top, Members: []ID{middle}})
		if n := look(); n != 2 {
			t.Fatalf("in %d groups, not 2", n)
		}
	}
}
