package directory

import (
	"cmp"
	"iter"
	"slices"
	"time"
)

// User returns a connection's user by id.
func (d *Directory) User(connection string, id ID) (User, bool) {
	if place := d.state.byID.get(id); place != nil {
		return place.ownUser(connection)
	}
	return User{}, false
}

// UserByName returns the connection's user with a userName, in any case.
func (d *Directory) UserByName(connection, userName string) (User, bool) {
	return d.userNamed(spaceUserName, nameKey{connection, Fold(userName)})
}

// UserByExternalID returns the connection's user with an external id.
func (d *Directory) UserByExternalID(connection, externalID string) (User, bool) {
	return d.userNamed(spaceUserLink, nameKey{connection, externalID})
}

// UsersByEmail returns the connection's users with an e-mail address, in any
// case, in order of creation.
func (d *Directory) UsersByEmail(connection, address string) []User {
	var users []User
	for _, place := range d.state.email.all(nameKey{connection, Fold(address)}) {
		if u, ok := place.ownUser(connection); ok {
			users = append(users, u)
		}
	}
	slices.SortFunc(users, func(a, b User) int { return cmp.Compare(a.ID, b.ID) })
	return users
}

// Users yields a connection's users in order of creation, those after an id
// unless it is empty. Changes made meanwhile may or may not be seen.
func (d *Directory) Users(connection string, after ID) iter.Seq[User] {
	return func(yield func(User) bool) {
		p := d.state.population(connection)
		if p == nil {
			return
		}
		for _, place := range p.users.after(after) {
			if u, ok := place.ownUser(connection); ok && !yield(u) {
				return
			}
		}
	}
}

// Group returns a connection's group by id.
func (d *Directory) Group(connection string, id ID) (GroupRecord, bool) {
	if place := d.state.byID.get(id); place != nil {
		return place.ownGroup(connection)
	}
	return GroupRecord{}, false
}

// GroupByName returns the connection's group with a displayName, in any case.
func (d *Directory) GroupByName(connection, displayName string) (GroupRecord, bool) {
	return d.groupNamed(spaceGroupName, nameKey{connection, Fold(displayName)})
}

// GroupByExternalID returns the connection's group with an external id.
func (d *Directory) GroupByExternalID(connection, externalID string) (GroupRecord, bool) {
	return d.groupNamed(spaceGroupLink, nameKey{connection, externalID})
}

// Groups yields a connection's groups as [Directory.Users] does users.
func (d *Directory) Groups(connection string, after ID) iter.Seq[GroupRecord] {
	return func(yield func(GroupRecord) bool) {
		p := d.state.population(connection)
		if p == nil {
			return
		}
		for _, place := range p.groups.after(after) {
			if g, ok := place.ownGroup(connection); ok && !yield(g) {
				return
			}
		}
	}
}

// Members yields a group's direct members in an order that only a restart may
// change.
func (d *Directory) Members(connection string, group ID) iter.Seq[Member] {
	return func(yield func(Member) bool) {
		place := d.state.byID.get(group)
		if place == nil || place.members == nil {
			return
		}
		if g := place.group.Load(); g == nil || g.view.Connection != connection {
			return
		}
		for _, ordinal := range place.members.sorted() {
			if m, ok := d.state.member(ordinal); ok && !yield(m) {
				return
			}
		}
	}
}

// MemberCount returns the number of a group's direct members.
func (d *Directory) MemberCount(group ID) int {
	if place := d.state.byID.get(group); place != nil && place.members != nil {
		return place.members.size()
	}
	return 0
}

// IsMember reports whether a user or group is a direct member of a group. It
// takes time independent of the group's size.
func (d *Directory) IsMember(group, member ID) bool {
	g, m := d.state.byID.get(group), d.state.byID.get(member)
	if g == nil || m == nil || g.group.Load() == nil {
		return false
	}
	_, found := slices.BinarySearch(m.direct(), g.ordinal)
	return found
}

// DirectGroups returns the groups that a user or group is a direct member of.
func (d *Directory) DirectGroups(member ID) []*Group {
	if place := d.state.byID.get(member); place != nil {
		return d.state.views(place.direct())
	}
	return nil
}

// EffectiveGroups returns the direct groups of a user or group and all their
// ancestors.
func (d *Directory) EffectiveGroups(member ID) []*Group {
	if place := d.state.byID.get(member); place != nil {
		return d.state.views(d.state.above(place.direct()))
	}
	return nil
}

// Counts is the size of what one connection owns.
type Counts struct{ Users, Active, Linked, Groups int }

// Counts returns the size of what a connection owns.
func (d *Directory) Counts(connection string) Counts {
	p := d.state.population(connection)
	if p == nil {
		return Counts{}
	}
	return Counts{
		Users: int(p.userCount.Load()), Active: int(p.activeCount.Load()),
		Linked: int(p.linkedUser.Load()), Groups: int(p.groupCount.Load()),
	}
}

func (d *Directory) userNamed(sp space, k nameKey) (User, bool) {
	if k.value == "" {
		return User{}, false
	}
	if place := d.state.names[sp].get(k); place != nil {
		return place.ownUser(k.connection)
	}
	return User{}, false
}

func (d *Directory) groupNamed(sp space, k nameKey) (GroupRecord, bool) {
	if k.value == "" {
		return GroupRecord{}, false
	}
	if place := d.state.names[sp].get(k); place != nil {
		return place.ownGroup(k.connection)
	}
	return GroupRecord{}, false
}

// after returns the slots created after an id.
func (r *roster) after(id ID) []*slot {
	slots := r.load()
	if id == "" {
		return slots
	}
	at, _ := slices.BinarySearchFunc(slots, id, func(s *slot, id ID) int {
		if s.id <= id {
			return -1
		}
		return 1
	})
	return slots[at:]
}

// member describes the record with an ordinal, false if it is gone.
func (s *state) member(ordinal uint32) (Member, bool) {
	place := s.at(ordinal)
	if place == nil {
		return Member{}, false
	}
	if u := place.user.Load(); u != nil {
		return Member{ID: place.id, Display: u.userName}, true
	}
	if g := place.group.Load(); g != nil {
		return Member{ID: place.id, Group: true, Display: g.view.DisplayName}, true
	}
	return Member{}, false
}

// direct returns the ordinals of the groups that hold the slot's record.
func (s *slot) direct() []uint32 {
	if u := s.user.Load(); u != nil {
		return u.direct
	}
	if g := s.group.Load(); g != nil {
		return g.parents
	}
	return nil
}

func (s *slot) ownUser(connection string) (User, bool) {
	u := s.user.Load()
	if u == nil || u.connection != connection {
		return User{}, false
	}
	return u.export(s.id), true
}

func (s *slot) ownGroup(connection string) (GroupRecord, bool) {
	g := s.group.Load()
	if g == nil || g.view.Connection != connection {
		return GroupRecord{}, false
	}
	return g.export(), true
}

// export returns the record's public form; it shares the record's slices.
func (u *user) export(id ID) User {
	return User{
		ID: id, Connection: u.connection, ExternalID: u.externalID, UserName: u.userName, Active: u.active,
		Emails: u.emails, Attributes: u.attributes, Document: u.document, Revision: u.revision,
		Created: time.UnixMilli(u.created).UTC(), Modified: time.UnixMilli(u.modified).UTC(),
	}
}

func (g *group) export() GroupRecord {
	return GroupRecord{
		ID: g.view.ID, Connection: g.view.Connection, ExternalID: g.view.ExternalID,
		DisplayName: g.view.DisplayName, Document: g.document, Revision: g.revision,
		Created: time.UnixMilli(g.created).UTC(), Modified: time.UnixMilli(g.modified).UTC(),
	}
}
