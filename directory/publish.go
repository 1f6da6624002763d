package directory

import (
	"bytes"
	"hash/maphash"
	"iter"
	"maps"
	"slices"
)

// publish makes a durable batch visible. Records are stored before the closure
// version moves, so that a reader who saw the new version sees the new groups.
func (s *state) publish(b *batch) {
	if len(b.locks) > 0 {
		s.publishLocks(b, false)
		defer s.publishLocks(b, true)
	}
	// Groups first: a user's groups must be there when the user's record is.
	for _, ordinal := range inOrder(maps.Keys(b.groups)) {
		s.publishGroup(ordinal, b.groups[ordinal])
	}
	for _, ordinal := range inOrder(maps.Keys(b.users)) {
		s.publishUser(ordinal, b.users[ordinal])
	}
	for group, pending := range b.edges {
		if place := s.groupPlace(group); place != nil {
			for member, present := range pending {
				s.publishEdge(place, member, present)
			}
		}
	}
	if len(b.regroup) > 0 {
		s.recompute(s.below(b.regroup))
	}
	if len(b.regroup) > 0 || b.rename {
		s.closure.Add(1)
	}
	for _, p := range s.numbers.load() {
		p.users.settle()
		p.groups.settle()
	}
	s.given = s.nextOrdinal
	for ordinal, next := range b.groups {
		if place := s.groupPlace(ordinal); place != nil && next == nil {
			place.children = nil
			place.members.clear()
		}
	}
	s.publishTokens(b)
	s.publishEntries(b)
	s.version += uint64(len(b.deltas))
}

// inOrder returns ordinals in the order of their creation.
func inOrder(ordinals iter.Seq[uint32]) []uint32 { return slices.Sorted(ordinals) }

// keyHash is the hash of an id.
func (s *state) keyHash(key recordKey) uint64 { return maphash.Bytes(s.seed, key[:]) }

// appear makes an ordinal findable by its id.
func (s *state) appear(ordinal uint32, key recordKey) {
	s.byID.put(s.keyHash(key), ordinal)
	if bytes.Compare(key[:], s.lastKey[:]) > 0 {
		s.lastKey = key
	}
}

func (s *state) publishUser(ordinal uint32, next userRecord) {
	s.places.ensure(ordinal)
	cell := s.places.cell(ordinal)
	old := s.user(ordinal)
	if old == nil && next == nil {
		return // made and deleted by one batch
	}
	stored := next
	if next == nil {
		stored = old.tombstone()
	}
	place := s.arena.put(ordinal, stored)
	was := cell.Load() // after put, which may have moved what was there
	cell.Store(uint64(place))
	s.places.forget(ordinal)
	s.reindexUser(ordinal, old, next)
	if was != 0 {
		s.arena.drop(ref(was))
	}
}

// reindexUser moves a user's names, and counts.
func (s *state) reindexUser(ordinal uint32, old, next userRecord) {
	was, is := s.ownerOf(old), s.ownerOf(next) // two if the user was adopted
	for _, sp := range []space{spaceUserName, spaceUserLink} {
		from, had := s.userHash(sp, was, old)
		to, has := s.userHash(sp, is, next)
		if had == has && from == to {
			continue
		}
		if has { // first, so that somebody who keeps existing is always found
			s.names[sp].put(to, ordinal)
		}
		if had {
			s.names[sp].remove(from, ordinal)
		}
	}
	for e := range next.others {
		s.email.put(is.salt(maphash.Bytes(s.seed, e)), ordinal)
	}
	for e := range old.others {
		s.email.remove(was.salt(maphash.Bytes(s.seed, e)), ordinal)
	}
	switch {
	case was == is:
		is.count(old, next)
		return
	case is != nil:
		is.count(nil, next)
		is.users.insert(ordinal)
	}
	if was != nil {
		was.count(old, nil)
		was.users.dropped(func(o uint32) bool { return s.ownerOf(s.user(o)) == was })
	}
	switch {
	case old == nil:
		s.appear(ordinal, next.key())
	case next == nil:
		s.byID.remove(s.keyHash(old.key()), ordinal)
	}
}

// ownerOf returns the connection that a user belongs to, nil for none.
func (s *state) ownerOf(r userRecord) *population {
	if r == nil {
		return nil
	}
	return s.numbered(r.connection())
}

// groupOwner returns the connection that a group belongs to, nil for none.
func (s *state) groupOwner(g *group) *population {
	if g == nil {
		return nil
	}
	return s.numbered(g.connection)
}

// count replaces a user by another, either of whom may be none.
func (p *population) count(old, next userRecord) {
	p.userCount.Add(count(next != nil) - count(old != nil))
	p.activeCount.Add(count(next != nil && next.active()) - count(old != nil && old.active()))
	p.linkedUser.Add(count(next.hasLink()) - count(old.hasLink()))
}

// userHash returns the hash of a user's name in a space, false without one.
func (s *state) userHash(sp space, p *population, r userRecord) (uint64, bool) {
	if r == nil {
		return 0, false
	}
	var text [idText]byte
	name := r.link()
	switch {
	case sp == spaceUserName:
		name = r.folded()
	case r.linkIsUUID():
		name = r.externalID(text[:0])
	}
	return p.salt(maphash.Bytes(s.seed, name)), len(name) > 0
}

func (s *state) publishGroup(ordinal uint32, next *group) {
	place := s.groupPlace(ordinal)
	if place == nil {
		if next == nil {
			return // made and deleted by one batch
		}
		var at uint32
		at, place = s.groups.add()
		place.key, place.ordinal = next.key, ordinal
		s.places.ensure(ordinal)
		s.places.cell(ordinal).Store(refGroup | uint64(at))
	}
	old := place.group.Load()
	place.group.Store(next)
	was, is := s.groupOwner(old), s.groupOwner(next) // two if the group was adopted
	for _, sp := range []space{spaceGroupName, spaceGroupLink} {
		s.reindex(s.names[sp], ordinal, old.nameIn(sp, was), next.nameIn(sp, is))
	}
	if was == is {
		return
	}
	if is != nil {
		is.groupCount.Add(1)
		is.groups.insert(ordinal)
	}
	if was != nil {
		was.groupCount.Add(-1)
		was.groups.dropped(func(o uint32) bool { return s.groupOwner(s.groupAt(o)) == was })
	}
	switch {
	case old == nil:
		s.appear(ordinal, place.key)
	case next == nil:
		s.byID.remove(s.keyHash(place.key), ordinal)
	}
}

// publishEdge makes a record a member of a group, or no member.
func (s *state) publishEdge(place *groupPlace, member uint32, present bool) {
	if place.members.remove(member); present {
		place.members.add(member)
	}
	if s.groupPlace(member) != nil {
		at, found := slices.BinarySearch(place.children, member)
		if present && !found {
			place.children = slices.Insert(place.children, at, member)
		} else if !present && found {
			place.children = slices.Delete(place.children, at, at+1)
		}
	}
}

// reindex moves an ordinal from one key of an index to another; the new one
// first, so that a record that keeps existing is always found.
func (s *state) reindex(x *index, ordinal uint32, from, to nameKey) {
	if from == to {
		return
	}
	if to.value != "" {
		x.put(s.hash(to), ordinal)
	}
	if from.value != "" {
		x.remove(s.hash(from), ordinal)
	}
}

func count(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// below returns the given groups and every group under them, each once.
func (s *state) below(roots map[uint32]struct{}) map[uint32]struct{} {
	seen := make(map[uint32]struct{}, len(roots))
	next := slices.Collect(maps.Keys(roots))
	for len(next) > 0 {
		ordinal := next[len(next)-1]
		next = next[:len(next)-1]
		place := s.groupPlace(ordinal)
		if _, ok := seen[ordinal]; ok || place == nil {
			continue
		}
		seen[ordinal] = struct{}{}
		next = append(next, place.children...)
	}
	return seen
}

// recompute stores the ancestors of the given groups anew. Cycles are legal:
// every walk visits a group once.
func (s *state) recompute(ordinals map[uint32]struct{}) {
	for ordinal := range ordinals {
		place := s.groupPlace(ordinal)
		g := place.group.Load()
		if g == nil {
			continue
		}
		ancestors := s.walkUp(g)
		if slices.Equal(ancestors, g.ancestors) {
			continue
		}
		next := g.clone()
		next.ancestors = ancestors
		place.group.Store(next)
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
