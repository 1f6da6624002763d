package directory

import (
	"fmt"
	"hash/maphash"
	"maps"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// state is what readers see: indexes over ordinals, each of which stands for
// one user or group for as long as the process lives.
type state struct {
	seed   maphash.Seed
	log    Log // for documents
	arena  *arena
	places places
	groups groupPlaces
	byID   *index
	names  [spaces]*index
	email  *index
	// closure moves whenever effective groups may have changed for users whose
	// own record did not.
	closure     atomic.Uint64
	connections atomic.Pointer[map[string]*population]
	numbers     growing[*population] // the same by number
	attributes  attributeNames
	locks       atomic.Pointer[map[Subject]*Lock]
	tokens      atomic.Pointer[map[string]*tokenRecord]
	entries     *entries

	// For the writer only.
	version     uint64
	nextOrdinal uint32
	given       uint32 // the next ordinal after what is published
	lastKey     recordKey
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
type nameKey struct {
	connection *population
	value      string
}

// population is what one connection owns.
type population struct {
	name                    string
	number                  uint16 // in packed records
	users, groups           roster
	userCount, groupCount   atomic.Int64
	activeCount, linkedUser atomic.Int64
}

func newState() *state {
	s := &state{seed: maphash.MakeSeed(), byID: newIndex(), email: newIndex(), texts: map[string]string{}}
	s.arena, s.attributes.seed = newArena(s.places.cell), s.seed
	for i := range s.names {
		s.names[i] = newIndex()
	}
	s.entries = newEntries(func(k entryKey) uint64 {
		return maphash.String(s.seed, k.name) ^ 31*maphash.String(s.seed, k.class)
	})
	s.connections.Store(&map[string]*population{})
	s.locks.Store(&map[Subject]*Lock{})
	s.tokens.Store(&map[string]*tokenRecord{})
	return s
}

// indexes returns all of them.
func (s *state) indexes() []*index { return append([]*index{s.byID, s.email}, s.names[:]...) }

// hash returns the hash of a name within its connection.
func (s *state) hash(k nameKey) uint64 { return k.connection.salt(maphash.String(s.seed, k.value)) }

// salt makes a hash the connection's own.
func (p *population) salt(hash uint64) uint64 { return hash ^ uint64(p.number)*0x9e3779b97f4a7c15 }

// find returns the ordinal of a live user or group.
func (s *state) find(key recordKey) (uint32, bool) {
	for p := s.byID.probe(maphash.Bytes(s.seed, key[:])); ; {
		ordinal, ok := p.next()
		if !ok {
			return 0, false
		}
		if k, live := s.key(ordinal); live && k == key {
			return ordinal, true
		}
	}
}

// findID is find by the text of an id.
func (s *state) findID(id ID) (uint32, bool) {
	key, ok := id.key()
	if !ok {
		return 0, false
	}
	return s.find(key)
}

// key returns the id of an ordinal, and whether its record is live.
func (s *state) key(ordinal uint32) (recordKey, bool) {
	cell := s.places.cell(ordinal)
	if cell == nil {
		return recordKey{}, false
	}
	if r := userRecord(s.arena.load(cell)); r != nil {
		return r.key(), !r.deleted()
	}
	if place := s.groupPlace(ordinal); place != nil {
		return place.key, place.group.Load() != nil
	}
	return recordKey{}, false
}

// user returns the live user with an ordinal, or nil.
func (s *state) user(ordinal uint32) userRecord {
	cell := s.places.cell(ordinal)
	if cell == nil {
		return nil
	}
	if r := userRecord(s.arena.load(cell)); r != nil && !r.deleted() {
		return r
	}
	return nil
}

// groupPlace returns the place of the group with an ordinal, nil if that is none.
func (s *state) groupPlace(ordinal uint32) *groupPlace {
	cell := s.places.cell(ordinal)
	if cell == nil {
		return nil
	}
	if c := cell.Load(); c&refGroup != 0 {
		return s.groups.at(uint32(c)) //nolint:gosec // the low half
	}
	return nil
}

// groupAt returns the live group with an ordinal, or nil.
func (s *state) groupAt(ordinal uint32) *group {
	if place := s.groupPlace(ordinal); place != nil {
		return place.group.Load()
	}
	return nil
}

// holder returns who has a name.
func (s *state) holder(sp space, k nameKey) (uint32, bool) {
	if k.connection == nil || k.value == "" {
		return 0, false
	}
	for p := s.names[sp].probe(s.hash(k)); ; {
		ordinal, ok := p.next()
		if !ok {
			return 0, false
		}
		if s.nameOf(sp, ordinal) == k {
			return ordinal, true
		}
	}
}

// nameOf returns what an ordinal holds in a space.
func (s *state) nameOf(sp space, ordinal uint32) nameKey {
	if sp >= spaceGroupName {
		if g := s.groupAt(ordinal); g != nil {
			return g.nameIn(sp, s.numbered(g.connection))
		}
		return nameKey{}
	}
	if r := s.user(ordinal); r != nil {
		return r.nameIn(sp, s.numbered(r.connection()))
	}
	return nameKey{}
}

// nameIn returns a user's name in a space.
func (r userRecord) nameIn(sp space, p *population) nameKey {
	if r == nil {
		return nameKey{}
	}
	if sp == spaceUserLink {
		return nameKey{p, string(r.externalID(nil))}
	}
	return nameKey{p, Fold(r.fields().userName)}
}

// nameIn returns a group's name in a space.
func (g *group) nameIn(sp space, p *population) nameKey {
	if g == nil {
		return nameKey{}
	}
	if sp == spaceGroupLink {
		return nameKey{p, g.externalID()}
	}
	return nameKey{p, Fold(g.displayName())}
}

// population returns what a connection owns, nil if it never wrote.
func (s *state) population(connection string) *population {
	return (*s.connections.Load())[connection]
}

// numbered returns the connection with a number.
func (s *state) numbered(number uint16) *population { return s.numbers.load()[number] }

// settle returns what a connection owns, made if new. Only the writer may call it.
func (s *state) settle(connection string) (*population, error) {
	if p := s.population(connection); p != nil {
		return p, nil
	}
	if len(s.numbers.load()) > math.MaxUint16 {
		return nil, fmt.Errorf("connection %.40q: %w: there are %d", connection, ErrLimit, len(s.numbers.load()))
	}
	next := maps.Clone(*s.connections.Load())
	p := &population{name: connection, number: uint16(len(next))} //nolint:gosec // checked above
	next[connection] = p
	s.numbers.add(p)
	s.connections.Store(&next)
	return p, nil
}

// empty reports whether there are no users and no groups.
func (s *state) empty() bool {
	for _, p := range *s.connections.Load() {
		if p.userCount.Load()+p.groupCount.Load() > 0 {
			return false
		}
	}
	return true
}

// text returns one string for equal short texts.
func (s *state) text(name string) string {
	if known, ok := s.texts[name]; ok {
		return known
	}
	s.texts[name] = name
	return name
}

// direct returns the groups that the user or group with an ordinal is in.
func (s *state) direct(ordinal uint32) []uint32 {
	if r := s.user(ordinal); r != nil {
		return r.direct().ordinals()
	}
	if g := s.groupAt(ordinal); g != nil {
		return g.parents
	}
	return nil
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
			groups = append(groups, s.viewOf(g))
		}
	}
	return groups
}

// lookup is [Directory.Lookup].
func (s *state) lookup(k LinkKey, clock func() time.Time) (UserView, bool) {
	p := s.population(k.Connection)
	if p == nil || k.ExternalID == "" {
		return UserView{}, false
	}
	locks := s.locks.Load()
	for candidates := s.names[spaceUserLink].probe(s.hash(nameKey{p, k.ExternalID})); ; {
		ordinal, ok := candidates.next()
		if !ok {
			return UserView{}, false
		}
		if view, ok := s.look(ordinal, p, k.ExternalID); ok {
			if s.locks.Load() != locks { // theirs may have gone to another record of theirs meanwhile
				return s.lookup(k, clock)
			}
			view.Lock = lockIn(*locks, view.ID, clock)
			return view, true
		}
	}
}

// look returns the view of a user, if it is the one with an external id. Views
// are remembered until the record or the closure moves.
func (s *state) look(ordinal uint32, p *population, externalID string) (UserView, bool) {
	for slot := s.places.slot(ordinal); ; {
		closure, known := s.closure.Load(), slot.Load()
		if known.is(p.number, externalID, closure) {
			return *known.view, true
		}
		r := s.user(ordinal)
		if !r.linked(p.number, externalID) {
			return UserView{}, false
		}
		f := r.fields()
		v := UserView{
			ID: r.key().id(), Connection: p.name, UserName: f.userName, Active: r.active(),
			Attributes: s.attributes.shared(f.attributes), Generation: [2]uint64{r.generation(), closure},
		}
		if direct := r.direct(); direct.len() > 0 {
			v.Groups = s.views(s.above(direct.ordinals()))
		}
		if s.closure.Load() != closure {
			continue
		}
		if s.places.remember(slot, known, &seen{link: strings.Clone(externalID), connection: p.number, view: &v}) {
			return v, true // else another was first, perhaps with what is older: nobody may see that later
		}
	}
}

// lockIn returns the lock in force on a user, or nil.
func lockIn(locks map[Subject]*Lock, id ID, clock func() time.Time) *Lock {
	if len(locks) == 0 {
		return nil
	}
	if l := locks[Subject{SubjectUser, string(id)}]; l != nil && !l.expired(clock()) {
		return l
	}
	return nil
}

// exportUser returns the public form of a record, without the document.
func (s *state) exportUser(r userRecord) User {
	f := r.fields()
	return User{
		ID: r.key().id(), Connection: s.numbered(r.connection()).name, ExternalID: f.externalID, UserName: f.userName,
		Active: r.active(), Emails: f.emails, Attributes: s.attributes.unpack(f.attributes), Revision: f.revision,
		Created: r.created(), Modified: r.modified(),
	}
}
