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

func (b *batch) putUser(d Delta) error {
	given, err := decodeUser(d)
	if err != nil {
		return err
	}
	id := given.ID
	old, place := b.user(id), b.place(id)
	next := &user{
		connection: b.state.text(given.Connection), externalID: given.ExternalID, userName: given.UserName,
		folded: Fold(given.UserName), active: given.Active, attributes: b.state.shared(given.Attributes),
		document: slices.Clone(given.Document), revision: given.Revision, generation: d.Version,
		created: given.Created.UnixMilli(), modified: given.Modified.UnixMilli(),
	}
	next.emails = foldAll(given.Emails)
	for i, e := range next.emails {
		if e == next.folded { // most addresses are the user's name as well
			next.emails[i] = next.folded
		}
	}
	if old == nil {
		if place == nil {
			place = b.newSlot(id)
		}
		old = &user{connection: given.Connection}
		next.lock = b.lock(Subject{SubjectUser, string(id)})
	} else {
		next.direct, next.lock = old.direct, old.lock
	}
	b.rebind(spaceUserName, id, nameKey{old.connection, old.folded}, nameKey{next.connection, next.folded})
	b.rebind(spaceUserLink, id, nameKey{old.connection, old.externalID}, nameKey{next.connection, next.externalID})
	b.setUser(place, next)
	return nil
}

func (b *batch) deleteUser(d Delta) {
	id := ID(d.Subject)
	old := b.user(id)
	if old == nil {
		return
	}
	b.rebind(spaceUserName, id, nameKey{old.connection, old.folded}, nameKey{})
	b.rebind(spaceUserLink, id, nameKey{old.connection, old.externalID}, nameKey{})
	b.setUser(b.place(id), nil)
}

func (b *batch) putGroup(d Delta) error {
	given, err := decodeGroup(d)
	if err != nil {
		return err
	}
	id := given.ID
	old, place := b.group(id), b.place(id)
	view := &Group{ID: id, Connection: given.Connection, ExternalID: given.ExternalID, DisplayName: given.DisplayName}
	next := &group{
		view: view, folded: Fold(given.DisplayName), document: slices.Clone(given.Document), revision: given.Revision,
		created: given.Created.UnixMilli(), modified: given.Modified.UnixMilli(),
	}
	switch {
	case old == nil:
		if place == nil {
			place = b.newSlot(id)
			place.members = &memberSet{}
		}
		old = &group{view: &Group{Connection: given.Connection}}
	case *old.view == *view:
		next.view = old.view
		next.parents, next.ancestors = old.parents, old.ancestors
	default:
		next.parents, next.ancestors = old.parents, old.ancestors
		b.rename = true
	}
	conn := given.Connection
	b.rebind(spaceGroupName, id, nameKey{conn, old.folded}, nameKey{conn, next.folded})
	b.rebind(spaceGroupLink, id, nameKey{conn, old.view.ExternalID}, nameKey{conn, view.ExternalID})
	b.setGroup(place, next)
	return nil
}

func (b *batch) deleteGroup(d Delta) {
	id := ID(d.Subject)
	old := b.group(id)
	if old == nil {
		return
	}
	b.rebind(spaceGroupName, id, nameKey{old.view.Connection, old.folded}, nameKey{})
	b.rebind(spaceGroupLink, id, nameKey{old.view.Connection, old.view.ExternalID}, nameKey{})
	place := b.place(id)
	b.regroup[place] = struct{}{}
	b.setGroup(place, nil)
}

func (b *batch) touchGroup(d Delta) {
	if g := b.group(ID(d.Subject)); g != nil && d.Revision > g.revision {
		next := *g
		next.revision, next.modified = d.Revision, d.Time.UnixMilli()
		b.setGroup(b.place(next.view.ID), &next)
	}
}

// changeMembers adds or removes edges. Edges of records that are gone count
// for nothing.
func (b *batch) changeMembers(d Delta) error {
	members, err := decodeMembers(d.Payload)
	if err != nil {
		return err
	}
	place := b.place(ID(d.Subject))
	if place == nil || b.group(place.id) == nil {
		return nil
	}
	for _, id := range members {
		b.changeMember(place, id, d)
	}
	b.touchGroup(d)
	return nil
}

func (b *batch) changeMember(group *slot, member ID, d Delta) {
	add := d.Kind == KindAddMembers
	place := b.place(member)
	if place == nil {
		return
	}
	if u := b.user(member); u != nil {
		direct, changed := b.withEdge(u.direct, group.ordinal, add)
		if !changed {
			return
		}
		next := *u
		next.direct, next.generation = direct, d.Version
		b.setUser(place, &next)
		b.setEdge(group, place.ordinal, add)
	} else if g := b.group(member); g != nil {
		parents, changed := b.withEdge(g.parents, group.ordinal, add)
		if !changed {
			return
		}
		next := *g
		next.parents = parents
		b.setGroup(place, &next)
		b.regroup[place] = struct{}{}
		b.setEdge(group, place.ordinal, add)
	}
}

// withEdge returns a copy of a sorted list of group ordinals with one added or
// removed.
func (b *batch) withEdge(list []uint32, ordinal uint32, add bool) ([]uint32, bool) {
	at, found := slices.BinarySearch(list, ordinal)
	if found == add {
		return list, false
	}
	if !add {
		return append(slices.Clone(list[:at]), list[at+1:]...), true
	}
	next := make([]uint32, 0, len(list)+1)
	next = append(append(next, list[:at]...), ordinal)
	return append(next, list[at:]...), true
}

func (b *batch) setEdge(group *slot, member uint32, present bool) {
	if b.loading {
		if group.members.remove(member); present {
			group.members.add(member)
		}
		return
	}
	pending := b.edges[group]
	if pending == nil {
		pending = map[uint32]bool{}
		b.edges[group] = pending
	}
	record(b, pending, member, present)
}

// shared returns one map for equal attribute sets: people of one department
// and title share it.
func (s *state) shared(attributes map[string]string) map[string]string {
	if len(attributes) == 0 {
		return nil
	}
	key := string(encodeUser(User{Attributes: attributes}))
	if known, ok := s.attributes[key]; ok {
		return known
	}
	if len(s.attributes) < maxSharedAttributes {
		s.attributes[key] = attributes
	}
	return attributes
}

// text returns one string for equal connection names.
func (s *state) text(name string) string {
	if known, ok := s.texts[name]; ok {
		return known
	}
	s.texts[name] = name
	return name
}

// maxSharedAttributes bounds how many attribute sets are remembered for sharing.
const maxSharedAttributes = 1 << 16
