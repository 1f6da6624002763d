package directory

import (
	"hash/maphash"
	"slices"
	"sync/atomic"
	"time"
)

// state is what readers see: indexes over slots, each of which holds the
// current immutable record of one user or group.
type state struct {
	seed  maphash.Seed
	byID  *table[ID, slot]
	names [spaces]*table[nameKey, slot]
	email *table[nameKey, slot]
	// ordinals maps an ordinal to its slot; nil elements were never used.
	ordinals roster
	// closure moves whenever effective groups may have changed for users whose
	// own record did not.
	closure     atomic.Uint64
	connections atomic.Pointer[map[string]*population]
	locks       atomic.Pointer[map[Subject]*Lock]
	tokens      atomic.Pointer[map[string]*tokenRecord]
	entries     *entries

	// For the writer only.
	version     uint64
	nextOrdinal uint32
	lastID      ID
	attributes  map[string]map[string]string
	texts       map[string]string
}

// space is a set of values that must be unique within a connection.
type space uint8

const (
	spaceUserName space = iota
	spaceUserLink
	spaceGroupName
	spaceGroupLink
	spaces
)

// nameKey is one value of a space.
type nameKey struct{ connection, value string }

// slot is the fixed place of one user or group in every index.
type slot struct {
	id        ID
	ordinal   uint32
	user      atomic.Pointer[user]
	group     atomic.Pointer[group]
	effective atomic.Pointer[effective]
	members   *memberSet // groups only
}

// user is an immutable record.
type user struct {
	connection, externalID, userName, folded string
	active                                   bool
	emails                                   []string // folded
	attributes                               map[string]string
	document                                 []byte
	revision, generation                     uint64
	created, modified                        int64 // Unix milliseconds
	direct                                   []uint32
	lock                                     *Lock
}

// group is an immutable record.
type group struct {
	view              *Group
	folded            string
	document          []byte
	revision          uint64
	created, modified int64
	parents           []uint32
	// ancestors are the live groups above this one, itself excepted unless it
	// is part of a cycle, sorted.
	ancestors []uint32
}

// effective is a user's effective groups as they were at one closure version.
type effective struct {
	record  *user
	closure uint64
	groups  []*Group
}

// population is what one connection owns.
type population struct {
	users, groups           roster
	userCount, groupCount   atomic.Int64
	activeCount, linkedUser atomic.Int64
}

func newState() *state {
	s := &state{seed: maphash.MakeSeed(), attributes: map[string]map[string]string{}, texts: map[string]string{}}
	hashName := func(k nameKey) uint64 {
		return maphash.String(s.seed, k.value) ^ 31*maphash.String(s.seed, k.connection)
	}
	s.byID = newTable(
		func(id ID) uint64 { return maphash.String(s.seed, string(id)) },
		func(v *slot, id ID) bool { return v.id == id },
	)
	s.names[spaceUserName] = newTable(hashName, func(v *slot, k nameKey) bool {
		u := v.user.Load()
		return u != nil && u.folded == k.value && u.connection == k.connection
	})
	s.names[spaceUserLink] = newTable(hashName, func(v *slot, k nameKey) bool {
		u := v.user.Load()
		return u != nil && u.externalID == k.value && u.connection == k.connection
	})
	s.names[spaceGroupName] = newTable(hashName, func(v *slot, k nameKey) bool {
		g := v.group.Load()
		return g != nil && g.folded == k.value && g.view.Connection == k.connection
	})
	s.names[spaceGroupLink] = newTable(hashName, func(v *slot, k nameKey) bool {
		g := v.group.Load()
		return g != nil && g.view.ExternalID == k.value && g.view.Connection == k.connection
	})
	s.email = newTable(hashName, func(v *slot, k nameKey) bool {
		u := v.user.Load()
		return u != nil && u.connection == k.connection && slices.Contains(u.emails, k.value)
	})
	s.entries = newEntries(func(k entryKey) uint64 {
		return maphash.String(s.seed, k.name) ^ 31*maphash.String(s.seed, k.class)
	})
	s.connections.Store(&map[string]*population{})
	s.locks.Store(&map[Subject]*Lock{})
	s.tokens.Store(&map[string]*tokenRecord{})
	return s
}

// setPrivate says whether nobody reads the state yet.
func (s *state) setPrivate(private bool) {
	s.byID.private, s.email.private, s.entries.table.private = private, private, private
	for _, t := range s.names {
		t.private = private
	}
}

// lookup is [Directory.Lookup].
func (s *state) lookup(k LinkKey, clock func() time.Time) (UserView, bool) {
	if k.ExternalID == "" {
		return UserView{}, false
	}
	place := s.names[spaceUserLink].get(nameKey{k.Connection, k.ExternalID})
	if place == nil {
		return UserView{}, false
	}
	for {
		closure := s.closure.Load()
		u := place.user.Load()
		if u == nil || u.externalID != k.ExternalID || u.connection != k.Connection {
			return UserView{}, false
		}
		groups := s.effectiveGroups(place, u, closure)
		if s.closure.Load() != closure {
			continue
		}
		return u.look(place.id, groups, closure, clock), true
	}
}

// look assembles the view of a record.
func (u *user) look(id ID, groups []*Group, closure uint64, clock func() time.Time) UserView {
	view := UserView{
		ID: id, Connection: u.connection, UserName: u.userName, Active: u.active,
		Groups: groups, Attributes: u.attributes, Generation: [2]uint64{u.generation, closure},
	}
	if u.lock != nil && !u.lock.expired(clock()) {
		view.Lock = u.lock
	}
	return view
}

// effectiveGroups returns the groups of record u, computed at most once per
// record and closure version.
func (s *state) effectiveGroups(place *slot, u *user, closure uint64) []*Group {
	if len(u.direct) == 0 {
		return nil
	}
	if e := place.effective.Load(); e != nil && e.record == u && e.closure == closure {
		return e.groups
	}
	e := &effective{record: u, closure: closure, groups: s.views(s.above(u.direct))}
	place.effective.Store(e)
	return e.groups
}

// above returns the live groups among direct and all their ancestors, sorted.
func (s *state) above(direct []uint32) []uint32 {
	all := slices.Clone(direct)
	for _, ordinal := range direct {
		if g := s.groupAt(ordinal); g != nil {
			all = append(all, g.ancestors...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// views returns the views of the live groups among ordinals.
func (s *state) views(ordinals []uint32) []*Group {
	groups := make([]*Group, 0, len(ordinals))
	for _, ordinal := range ordinals {
		if g := s.groupAt(ordinal); g != nil {
			groups = append(groups, g.view)
		}
	}
	return groups
}

// groupAt returns the group with an ordinal, nil if it is deleted or no group.
func (s *state) groupAt(ordinal uint32) *group {
	if place := s.at(ordinal); place != nil {
		return place.group.Load()
	}
	return nil
}

// at returns the slot with an ordinal, or nil.
func (s *state) at(ordinal uint32) *slot {
	slots := s.ordinals.load()
	if int(ordinal) >= len(slots) {
		return nil
	}
	return slots[ordinal]
}

// population returns what a connection owns, nil if it never wrote.
func (s *state) population(connection string) *population {
	return (*s.connections.Load())[connection]
}
