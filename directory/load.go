package directory

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
)

// loader reads a log into a state that nobody reads yet. Memberships are most
// of a log, and each is a jump through memory; so those that come in a row are
// gathered and sorted into the users' lists in one pass.
type loader struct {
	*batch

	// ordinals finds a record by its id without touching it.
	ordinals map[uuid.UUID]uint32
	runs     []memberRun
	members  []uint32 // of all runs
	// linked is true once link has run; it goes through everything, so what
	// comes after is applied one by one.
	linked bool
}

// memberRun is a part of a loader's members that belongs to one group.
type memberRun struct {
	group    *slot
	from, to int
}

// load replays a log. Ancestors are computed once, at the end.
func load(s *state, log Log, now time.Time) error {
	s.setPrivate(true)
	defer s.setPrivate(false)
	l := loader{batch: newBatch(s, now), ordinals: map[uuid.UUID]uint32{}}
	l.loading = true
	last, err := log.Tail(context.Background(), 0, l.take)
	if err != nil {
		return fmt.Errorf("opening the directory: %w", err)
	}
	if !l.linked {
		l.link()
	}
	s.recompute(s.below(l.regroup))
	l.regroup = nil
	s.publish(l.batch)
	s.closure.Add(1)
	s.version = last
	return nil
}

// take applies one delta or keeps it for link.
func (l *loader) take(d Delta) error {
	l.undo = l.undo[:0]
	if l.linked {
		return l.apply(d)
	}
	switch d.Kind {
	case KindAddMembers:
		l.gather(d)
		l.touchGroup(d)
		return nil
	case KindPutUser, KindPutGroup:
		if err := l.apply(d); err != nil {
			return err
		}
		if id := binaryID(d.Subject); len(id) == idSize {
			l.ordinals[uuid.UUID(id)] = l.place(ID(d.Subject)).ordinal
		}
		return nil
	case KindTouchGroup, KindPutLock, KindDeleteLock, KindPutToken, KindDeleteToken, KindPutEntry, KindDeleteEntry:
		return l.apply(d)
	case KindDeleteUser, KindDeleteGroup, KindRemoveMembers:
		l.link() // what comes before has to be there to be taken away
		return l.apply(d)
	default:
		return l.apply(d)
	}
}

// gather keeps the memberships that a delta adds. Those of records that are
// gone count for nothing.
func (l *loader) gather(d Delta) {
	place := l.place(ID(d.Subject))
	if place == nil || l.group(place.id) == nil {
		return
	}
	run := memberRun{group: place, from: len(l.members)}
	for id := range slices.Chunk(d.Payload, idSize) {
		if len(id) < idSize {
			break
		}
		if ordinal, ok := l.ordinals[uuid.UUID(id)]; ok {
			l.members = append(l.members, ordinal)
		}
	}
	run.to = len(l.members)
	l.runs = append(l.runs, run)
}

// link gives the gathered memberships to both of their ends: a counting sort
// by member leaves every member's groups beside each other.
func (l *loader) link() {
	ends := make([]uint32, l.state.nextOrdinal+1)
	for _, member := range l.members {
		ends[member+1]++
	}
	for i := 1; i < len(ends); i++ {
		ends[i] += ends[i-1]
	}
	starts := slices.Clone(ends)
	groups := make([]uint32, len(l.members))
	for _, run := range l.runs {
		for _, member := range l.members[run.from:run.to] {
			groups[starts[member]] = run.group.ordinal
			starts[member]++
		}
	}
	for _, place := range l.state.ordinals.load() {
		if place != nil && ends[place.ordinal] < ends[place.ordinal+1] {
			from, to := ends[place.ordinal], ends[place.ordinal+1]
			l.join(place, groups[from:to:to])
		}
	}
	for _, run := range l.runs {
		l.fillMembers(run)
	}
	l.runs, l.members, l.ordinals, l.linked = nil, nil, nil, true
}

// join adds groups to a member's list.
func (l *loader) join(place *slot, groups []uint32) {
	var list *[]uint32
	if u := place.user.Load(); u != nil {
		list = &u.direct
	} else if g := place.group.Load(); g != nil {
		list = &g.parents
		l.regroup[place] = struct{}{}
	} else {
		return
	}
	if len(*list) > 0 || !slices.IsSorted(groups) {
		groups = append(slices.Clone(*list), groups...)
		slices.Sort(groups)
	}
	*list = slices.Clip(slices.Compact(groups))
}

// fillMembers adds the members of a run to its group.
func (l *loader) fillMembers(run memberRun) {
	members := slices.Clone(l.members[run.from:run.to])
	members = slices.DeleteFunc(members, func(o uint32) bool {
		place := l.state.at(o)
		return place.user.Load() == nil && place.group.Load() == nil
	})
	if run.group.members.size() > 0 {
		members = append(members, run.group.members.sorted()...)
	}
	slices.Sort(members)
	run.group.members = newMemberSet(slices.Compact(members))
}
