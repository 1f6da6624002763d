package directory

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"time"
)

// User returns a connection's user by id, without the document.
func (d *Directory) User(connection string, id ID) (User, bool) {
	if ordinal, ok := d.state.findID(id); ok {
		return d.state.ownUser(ordinal, connection)
	}
	return User{}, false
}

// Revision returns that of a connection's user, or group if the kind is
// [KindPutGroup].
func (d *Directory) Revision(kind Kind, connection string, id ID) (uint64, bool) {
	ordinal, ok := d.state.findID(id)
	if !ok {
		return 0, false
	}
	if kind == KindPutGroup {
		g := d.state.groupAt(ordinal)
		if g == nil || d.state.numbered(g.connection).name != connection {
			return 0, false
		}
		return g.revision, true
	}
	r := d.state.user(ordinal)
	if r == nil || d.state.numbered(r.connection()).name != connection {
		return 0, false
	}
	return r.revision(), true
}

// ReadUser returns a connection's user with its document, which it reads from
// the log. Errors: [ErrNotFound], and those of reading.
func (d *Directory) ReadUser(connection string, id ID) (User, error) {
	for attempt := 0; ; attempt++ {
		u, ok := d.User(connection, id)
		if !ok {
			return User{}, fmt.Errorf("user %s: %w", id, ErrNotFound)
		}
		document, err := d.document(KindPutUser, id, u.Revision)
		if err == nil {
			u.Document = document
			return u, nil
		}
		if !d.again(err, attempt) {
			return User{}, err
		}
	}
}

// ReadGroup returns a connection's group with its document, as
// [Directory.ReadUser] does a user.
func (d *Directory) ReadGroup(connection string, id ID) (GroupRecord, error) {
	for attempt := 0; ; attempt++ {
		ordinal, found := d.state.findID(id)
		g := d.state.groupAt(ordinal)
		if !found || g == nil || d.state.numbered(g.connection).name != connection {
			return GroupRecord{}, fmt.Errorf("group %s: %w", id, ErrNotFound)
		}
		document, err := d.document(KindPutGroup, id, g.written)
		if err == nil {
			read := d.state.exportGroup(g)
			read.Document = document
			return read, nil
		}
		if !d.again(err, attempt) {
			return GroupRecord{}, err
		}
	}
}

// again reports whether a read that met a record between the log and memory may
// try again, and waits before it does: longer the more often it has.
func (d *Directory) again(err error, attempt int) bool {
	const quick, patient = 100, 1000
	switch {
	case !errors.Is(err, errBetween), d.Healthy() != nil, attempt == patient:
		return false
	case attempt < quick:
		runtime.Gosched()
	default:
		time.Sleep(time.Millisecond)
	}
	return true
}

// errBetween means that a record was written and is about to be published, or
// the other way about.
var errBetween = errors.New("the log holds another revision")

// document reads a document of a known revision from the log.
func (d *Directory) document(kind Kind, id ID, revision uint64) ([]byte, error) {
	delta, err := d.state.log.Record(kind, string(id))
	switch {
	case errors.Is(err, ErrNotFound), err == nil && delta.Revision != revision:
		return nil, fmt.Errorf("reading %s: %w", id, errBetween)
	case err != nil:
		return nil, fmt.Errorf("reading %s: %w", id, err)
	}
	return delta.document()
}

// UserByName returns the connection's user with a userName, in any case.
func (d *Directory) UserByName(connection, userName string) (User, bool) {
	return d.userNamed(spaceUserName, connection, Fold(userName))
}

// UserByExternalID returns the connection's user with an external id.
func (d *Directory) UserByExternalID(connection, externalID string) (User, bool) {
	return d.userNamed(spaceUserLink, connection, externalID)
}

// UsersByEmail returns the connection's users with an e-mail address, in any
// case, in order of creation.
func (d *Directory) UsersByEmail(connection, address string) []User {
	p := d.state.population(connection)
	if p == nil {
		return nil
	}
	address = Fold(address)
	var users []User
	for _, x := range []*index{d.state.email, d.state.names[spaceUserName]} { // a name may be the address
		candidates := x.probe(d.state.hash(nameKey{p, address}))
		for ordinal, ok := candidates.next(); ok; ordinal, ok = candidates.next() {
			u, own := d.state.ownUser(ordinal, connection)
			if own && slices.Contains(u.Emails, address) {
				users = append(users, u)
			}
		}
	}
	slices.SortFunc(users, func(a, b User) int { return cmp.Compare(a.ID, b.ID) })
	return slices.CompactFunc(users, func(a, b User) bool { return a.ID == b.ID }) // found under both
}

// Users yields a connection's users in order of creation, those after an id
// unless it is empty, without their documents. Changes made meanwhile may or
// may not be seen.
func (d *Directory) Users(connection string, after ID) iter.Seq[User] {
	return func(yield func(User) bool) {
		p := d.state.population(connection)
		if p == nil {
			return
		}
		for _, ordinal := range d.state.after(&p.users, after) {
			if u, ok := d.state.ownUser(ordinal, connection); ok && !yield(u) {
				return
			}
		}
	}
}

// Group returns a connection's group by id, without the document.
func (d *Directory) Group(connection string, id ID) (GroupRecord, bool) {
	if ordinal, ok := d.state.findID(id); ok {
		return d.state.ownGroup(ordinal, connection)
	}
	return GroupRecord{}, false
}

// GroupByName returns the connection's group with a displayName, in any case.
func (d *Directory) GroupByName(connection, displayName string) (GroupRecord, bool) {
	return d.groupNamed(spaceGroupName, connection, Fold(displayName))
}

// GroupByExternalID returns the connection's group with an external id.
func (d *Directory) GroupByExternalID(connection, externalID string) (GroupRecord, bool) {
	return d.groupNamed(spaceGroupLink, connection, externalID)
}

// Groups yields a connection's groups as [Directory.Users] does users.
func (d *Directory) Groups(connection string, after ID) iter.Seq[GroupRecord] {
	return func(yield func(GroupRecord) bool) {
		p := d.state.population(connection)
		if p == nil {
			return
		}
		for _, ordinal := range d.state.after(&p.groups, after) {
			if g, ok := d.state.ownGroup(ordinal, connection); ok && !yield(g) {
				return
			}
		}
	}
}

// Members yields a group's direct members in an order that only a restart may
// change.
func (d *Directory) Members(connection string, group ID) iter.Seq[Member] {
	return func(yield func(Member) bool) {
		place := d.state.groupOf(group)
		if place == nil {
			return
		}
		if g := place.group.Load(); g == nil || d.state.numbered(g.connection).name != connection {
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
	if place := d.state.groupOf(group); place != nil {
		return place.members.size()
	}
	return 0
}

// IsMember reports whether a user or group is a direct member of a group. It
// takes time independent of the group's size.
func (d *Directory) IsMember(group, member ID) bool {
	g, okGroup := d.state.findID(group)
	m, okMember := d.state.findID(member)
	if !okGroup || !okMember || d.state.groupAt(g) == nil {
		return false
	}
	if r := d.state.user(m); r != nil {
		_, found := r.direct().search(g)
		return found
	}
	_, found := slices.BinarySearch(d.state.direct(m), g)
	return found
}

// DirectGroups returns the groups that a user or group is a direct member of.
func (d *Directory) DirectGroups(member ID) []*Group {
	if ordinal, ok := d.state.findID(member); ok {
		return d.state.views(d.state.direct(ordinal))
	}
	return nil
}

// EffectiveGroups returns the direct groups of a user or group and all their
// ancestors.
func (d *Directory) EffectiveGroups(member ID) []*Group {
	if ordinal, ok := d.state.findID(member); ok {
		return d.state.views(d.state.above(d.state.direct(ordinal)))
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

// Connections names those that own people or groups, also ones that no
// configuration knows any more, in order.
func (d *Directory) Connections() []string {
	var names []string
	for name, p := range *d.state.connections.Load() {
		if p.userCount.Load()+p.groupCount.Load() > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (d *Directory) userNamed(sp space, connection, value string) (User, bool) {
	if ordinal, ok := d.state.holder(sp, nameKey{d.state.population(connection), value}); ok {
		return d.state.ownUser(ordinal, connection)
	}
	return User{}, false
}

func (d *Directory) groupNamed(sp space, connection, value string) (GroupRecord, bool) {
	if ordinal, ok := d.state.holder(sp, nameKey{d.state.population(connection), value}); ok {
		return d.state.ownGroup(ordinal, connection)
	}
	return GroupRecord{}, false
}

// after returns the ordinals of a roster that were given after an id's.
func (s *state) after(r *roster, id ID) []uint32 {
	ordinals := r.load()
	if id == "" {
		return ordinals
	}
	key, ok := id.key()
	if !ok {
		return nil
	}
	at, _ := slices.BinarySearchFunc(ordinals, key, func(ordinal uint32, key recordKey) int {
		if k, _ := s.key(ordinal); bytes.Compare(k[:], key[:]) <= 0 {
			return -1
		}
		return 1
	})
	return ordinals[at:]
}

// groupOf returns the place of the group with an id, or nil.
func (s *state) groupOf(id ID) *groupPlace {
	if ordinal, ok := s.findID(id); ok {
		return s.groupPlace(ordinal)
	}
	return nil
}

// member describes the record with an ordinal, false if it is gone.
func (s *state) member(ordinal uint32) (Member, bool) {
	if r := s.user(ordinal); r != nil {
		return Member{ID: r.key().id(), Display: r.fields().userName}, true
	}
	if g := s.groupAt(ordinal); g != nil {
		return Member{ID: g.key.id(), Group: true, Display: g.displayName()}, true
	}
	return Member{}, false
}

func (s *state) ownUser(ordinal uint32, connection string) (User, bool) {
	r := s.user(ordinal)
	if r == nil || s.numbered(r.connection()).name != connection {
		return User{}, false
	}
	return s.exportUser(r), true
}

func (s *state) ownGroup(ordinal uint32, connection string) (GroupRecord, bool) {
	g := s.groupAt(ordinal)
	if g == nil || s.numbered(g.connection).name != connection {
		return GroupRecord{}, false
	}
	return s.exportGroup(g), true
}
