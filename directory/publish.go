package directory

import (
	"cmp"
	"iter"
	"maps"
	"slices"
)

// publish makes a durable batch visible. Records are stored before the closure
// version moves, so that a reader who saw the new version sees the new groups.
func (s *state) publish(b *batch) {
	for _, place := range slices.SortedFunc(maps.Values(b.slots), byOrdinal) {
		s.install(place)
	}
	// Groups first: a user's groups must be there when the user's record is.
	for _, place := range b.places(len(b.groups), maps.Keys(b.groups)) {
		s.publishGroup(place, b.groups[place.id])
	}
	for _, place := range b.places(len(b.users), maps.Keys(b.users)) {
		s.publishUser(place, b.users[place.id])
	}
	for place, pending := range b.edges {
		for ordinal, present := range pending {
			if place.members.remove(ordinal); present {
				place.members.add(ordinal)
			}
		}
	}
	if len(b.regroup) > 0 {
		s.recompute(s.below(b.regroup))
	}
	if len(b.regroup) > 0 || b.rename {
		s.closure.Add(1)
	}
	s.publishLocks(b)
	s.publishTokens(b)
	s.publishEntries(b)
	s.version += uint64(len(b.deltas))
}

// places returns the slots of ids in the order of their creation.
func (b *batch) places(n int, ids iter.Seq[ID]) []*slot {
	places := make([]*slot, 0, n)
	for id := range ids {
		places = append(places, b.place(id))
	}
	slices.SortFunc(places, byOrdinal)
	return places
}

func byOrdinal(a, b *slot) int { return cmp.Compare(a.ordinal, b.ordinal) }

// install gives a new slot its place among the ordinals.
func (s *state) install(place *slot) {
	slots := s.ordinals.load()
	for int(place.ordinal) >= len(slots) {
		slots = append(slots, nil)
	}
	slots[place.ordinal] = place
	s.ordinals.slots.Store(&slots)
	s.byID.put(place.id, place)
	s.lastID = max(s.lastID, place.id)
}

func (s *state) publishUser(place *slot, next *user) {
	old := place.user.Load()
	place.user.Store(next)
	var was, is user
	if old != nil {
		was = *old
	}
	if next != nil {
		is = *next
	}
	reindex(s.names[spaceUserName], place, nameKey{was.connection, was.folded}, nameKey{is.connection, is.folded})
	reindex(s.names[spaceUserLink], place, nameKey{was.connection, was.externalID}, nameKey{is.connection, is.externalID})
	if !slices.Equal(was.emails, is.emails) {
		for _, e := range was.emails {
			s.email.remove(nameKey{was.connection, e}, place)
		}
		for _, e := range is.emails {
			s.email.put(nameKey{is.connection, e}, place)
		}
	}
	p := s.settle(was.connection, is.connection)
	if p == nil {
		return
	}
	p.userCount.Add(count(next != nil) - count(old != nil))
	p.activeCount.Add(count(is.active) - count(was.active))
	p.linkedUser.Add(count(is.externalID != "") - count(was.externalID != ""))
	switch {
	case old == nil && next != nil:
		p.users.add(place)
	case old != nil && next == nil:
		s.byID.remove(place.id, place)
		p.users.dropped()
	}
}

func (s *state) publishGroup(place *slot, next *group) {
	old := place.group.Load()
	place.group.Store(next)
	was, is := group{view: &Group{}}, group{view: &Group{}}
	if old != nil {
		was = *old
	}
	if next != nil {
		is = *next
	}
	reindex(s.names[spaceGroupName], place,
		nameKey{was.view.Connection, was.folded}, nameKey{is.view.Connection, is.folded})
	reindex(s.names[spaceGroupLink], place,
		nameKey{was.view.Connection, was.view.ExternalID}, nameKey{is.view.Connection, is.view.ExternalID})
	p := s.settle(was.view.Connection, is.view.Connection)
	if p == nil {
		return
	}
	p.groupCount.Add(count(next != nil) - count(old != nil))
	switch {
	case old == nil && next != nil:
		p.groups.add(place)
	case old != nil && next == nil:
		s.byID.remove(place.id, place)
		p.groups.dropped()
	}
}

// reindex moves a slot from one key of a table to another; the new one first,
// so that a record that keeps existing is always found.
func reindex(t *table[nameKey, slot], place *slot, from, to nameKey) {
	if from == to {
		return
	}
	if to.value != "" {
		t.put(to, place)
	}
	if from.value != "" {
		t.remove(from, place)
	}
}

// settle returns the population of the first named connection, made if new.
func (s *state) settle(was, is string) *population {
	name := is
	if name == "" {
		name = was
	}
	if name == "" {
		return nil
	}
	if p := s.population(name); p != nil {
		return p
	}
	next := maps.Clone(*s.connections.Load())
	next[name] = &population{}
	s.connections.Store(&next)
	return next[name]
}

func count(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// below returns the given slots and every group under them, each once.
func (s *state) below(roots map[*slot]struct{}) map[*slot]struct{} {
	seen := make(map[*slot]struct{}, len(roots))
	next := slices.Collect(maps.Keys(roots))
	for len(next) > 0 {
		place := next[len(next)-1]
		next = next[:len(next)-1]
		if _, ok := seen[place]; ok {
			continue
		}
		seen[place] = struct{}{}
		for _, ordinal := range place.members.sorted() {
			if child := s.at(ordinal); child != nil && child.group.Load() != nil {
				next = append(next, child)
			}
		}
	}
	return seen
}

// recompute stores the ancestors of the given groups anew. Cycles are legal:
// every walk visits a group once.
func (s *state) recompute(places map[*slot]struct{}) {
	for place := range places {
		g := place.group.Load()
		if g == nil {
			continue
		}
		ancestors := s.walkUp(g)
		if slices.Equal(ancestors, g.ancestors) {
			continue
		}
		next := *g
		next.ancestors = ancestors
		place.group.Store(&next)
	}
}

// walkUp returns the live groups above g, sorted.
func (s *state) walkUp(g *group) []uint32 {
	seen := map[uint32]struct{}{}
	next := slices.Clone(g.parents)
	var ancestors []uint32
	for len(next) > 0 {
		ordinal := next[len(next)-1]
		next = next[:len(next)-1]
		parent := s.groupAt(ordinal)
		if _, ok := seen[ordinal]; ok || parent == nil {
			continue
		}
		seen[ordinal] = struct{}{}
		ancestors = append(ancestors, ordinal)
		next = append(next, parent.parents...)
	}
	slices.Sort(ancestors)
	return ancestors
}
