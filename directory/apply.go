package directory

import (
	"fmt"
	"slices"
)

// apply is the only way from a delta to records, for new deltas and for those
// read from the log. Applying a delta again changes nothing.
func (b *batch) apply(d Delta) error {
	switch d.Kind {
	case KindPutUser:
		return b.putUser(d)
	case KindDeleteUser:
		b.deleteUser(d)
	case KindPutGroup:
		return b.putGroup(d)
	case KindDeleteGroup:
		b.deleteGroup(d)
	case KindAddMembers, KindRemoveMembers:
		return b.changeMembers(d)
	case KindTouchGroup:
		b.touchGroup(d)
	case KindPutLock, KindDeleteLock:
		return b.changeLock(d)
	case KindPutToken, KindDeleteToken:
		return b.changeToken(d)
	case KindPutEntry, KindDeleteEntry:
		return b.changeEntry(d)
	default:
		return fmt.Errorf("%w: delta %d is of unknown kind %d", ErrCorrupt, d.Version, d.Kind)
	}
	return nil
}

// pack returns the record that a delta puts.
func (s *state) pack(d Delta) (userRecord, error) {
	key, ok := ID(d.Subject).key()
	if !ok {
		return nil, fmt.Errorf("%w: user without a valid id", ErrCorrupt)
	}
	p, err := s.settle(d.Connection)
	if err != nil {
		return nil, err
	}
	return s.packUser(d, key, p)
}

func (b *batch) putUser(d Delta) error {
	next, err := b.state.pack(d)
	if err != nil {
		return err
	}
	document, err := d.document()
	if err != nil {
		return err
	}
	ordinal, err := b.putPacked(next, d)
	if err == nil {
		b.setDocument(ordinal, document)
	}
	return err
}

// putPacked stores a packed user, who stays in the groups that it is in.
func (b *batch) putPacked(next userRecord, d Delta) (uint32, error) {
	ordinal := b.place(next.key())
	if b.group(ordinal) != nil {
		return 0, fmt.Errorf("%w: %s is a group", ErrCorrupt, d.Subject)
	}
	old := b.user(ordinal)
	if old != nil && old.direct().len() > 0 {
		next = next.with(old.direct(), d.Version)
	}
	if !b.loading {
		for _, sp := range []space{spaceUserName, spaceUserLink} {
			b.rebind(sp, ordinal, b.userName(sp, old), b.userName(sp, next))
		}
	}
	b.setUser(ordinal, next)
	return ordinal, nil
}

// userName returns a user's name in a space.
func (b *batch) userName(sp space, r userRecord) nameKey {
	if r == nil {
		return nameKey{}
	}
	return r.nameIn(sp, b.state.numbered(r.connection()))
}

// groupName returns a group's name in a space.
func (b *batch) groupName(sp space, g *group) nameKey {
	if g == nil {
		return nameKey{}
	}
	return g.nameIn(sp, b.state.numbered(g.connection))
}

func (b *batch) deleteUser(d Delta) {
	ordinal, ok := b.findID(ID(d.Subject))
	if !ok {
		return
	}
	old := b.user(ordinal)
	if old == nil {
		return
	}
	b.rebind(spaceUserName, ordinal, b.userName(spaceUserName, old), nameKey{})
	b.rebind(spaceUserLink, ordinal, b.userName(spaceUserLink, old), nameKey{})
	b.setUser(ordinal, nil)
}

func (b *batch) putGroup(d Delta) error {
	given, err := decodeGroup(d)
	if err != nil {
		return err
	}
	key, ok := given.ID.key()
	if !ok {
		return fmt.Errorf("%w: group without a valid id", ErrCorrupt)
	}
	ordinal := b.place(key)
	if b.user(ordinal) != nil {
		return fmt.Errorf("%w: %s is a user", ErrCorrupt, given.ID)
	}
	p, err := b.state.settle(given.Connection)
	if err != nil {
		return err
	}
	old := b.group(ordinal)
	next := &group{
		key: key, connection: p.number, names: given.ExternalID + given.DisplayName,
		linked:   uint32(len(given.ExternalID)), //nolint:gosec // a document is bounded by far less
		revision: given.Revision, written: given.Revision,
		created: given.Created.UnixMilli(), modified: given.Modified.UnixMilli(),
	}
	if old != nil {
		next.parents, next.ancestors = old.parents, old.ancestors
		if next.alike(old) {
			next.view.Store(old.view.Load())
		} else {
			b.rename = true
		}
	}
	for _, sp := range []space{spaceGroupName, spaceGroupLink} {
		b.rebind(sp, ordinal, b.groupName(sp, old), b.groupName(sp, next))
	}
	b.setGroup(ordinal, next)
	b.setDocument(ordinal, given.Document)
	return nil
}

func (b *batch) deleteGroup(d Delta) {
	ordinal, ok := b.findID(ID(d.Subject))
	if !ok {
		return
	}
	old := b.group(ordinal)
	if old == nil {
		return
	}
	b.rebind(spaceGroupName, ordinal, b.groupName(spaceGroupName, old), nameKey{})
	b.rebind(spaceGroupLink, ordinal, b.groupName(spaceGroupLink, old), nameKey{})
	b.regroup[ordinal] = struct{}{}
	b.setGroup(ordinal, nil)
}

func (b *batch) touchGroup(d Delta) {
	ordinal, ok := b.findID(ID(d.Subject))
	if !ok {
		return
	}
	if g := b.group(ordinal); g != nil && d.Revision > g.revision {
		next := g.clone()
		next.revision, next.modified = d.Revision, d.Time.UnixMilli()
		b.setGroup(ordinal, next)
	}
}

// changeMembers adds or removes edges. Edges of records that are gone count
// for nothing.
func (b *batch) changeMembers(d Delta) error {
	if len(d.Payload)%idSize != 0 {
		return fmt.Errorf("%w: member list of %d bytes", ErrCorrupt, len(d.Payload))
	}
	group, ok := b.findID(ID(d.Subject))
	if !ok || b.group(group) == nil {
		return nil
	}
	for key := range slices.Chunk(d.Payload, idSize) {
		if member, ok := b.find(recordKey(key)); ok {
			b.changeMember(group, member, d)
		}
	}
	b.touchGroup(d)
	return nil
}

func (b *batch) changeMember(group, member uint32, d Delta) {
	add := d.Kind == KindAddMembers
	if u := b.user(member); u != nil {
		if add {
			u = b.prune(u)
		}
		_, own := b.own[member]
		next, changed := u.changed(group, add, d.Version, own)
		if !changed {
			return
		}
		if own {
			b.users[member] = next
		} else {
			b.setUser(member, next)
		}
		b.setEdge(group, member, add)
	} else if g := b.group(member); g != nil {
		at, found := slices.BinarySearch(g.parents, group)
		if found == add {
			return
		}
		next := g.clone()
		if next.parents = slices.Clone(g.parents); add {
			next.parents = slices.Insert(next.parents, at, group)
		} else {
			next.parents = slices.Delete(next.parents, at, at+1)
		}
		next.parents = slices.DeleteFunc(next.parents, b.gone)
		b.setGroup(member, next)
		b.regroup[member] = struct{}{}
		b.setEdge(group, member, add)
	}
}

// gone reports whether there is no group with an ordinal any more.
func (b *batch) gone(ordinal uint32) bool { return b.group(ordinal) == nil }

// prune returns a user without groups that are gone, which stay in the records of
// their members. It looks for them whenever the list has doubled.
func (b *batch) prune(u userRecord) userRecord {
	const small = 8
	if n := u.direct().len(); n < small || n&(n-1) != 0 {
		return u
	}
	kept := slices.DeleteFunc(u.direct().ordinals(), b.gone)
	return u.with(packEdges(kept), u.generation())
}

func (b *batch) setEdge(group, member uint32, present bool) {
	if b.loading {
		b.state.publishEdge(b.state.groupPlace(group), member, present)
		return
	}
	pending := b.edges[group]
	if pending == nil {
		pending = map[uint32]bool{}
		b.edges[group] = pending
	}
	record(b, pending, member, present)
}
