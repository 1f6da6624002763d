package directory

import (
	"sync/atomic"
	"time"
)

// group is an immutable record. It has few pointers, since the collector
// follows every one of a hundred thousand groups in each of its cycles.
type group struct {
	key recordKey
	// names are the external id, linked bytes long, and the display name.
	names      string
	linked     uint32
	connection uint16 // by number
	// revision counts all changes, written those of the record itself.
	revision, written uint64
	created, modified int64 // Unix milliseconds
	parents           []uint32
	// ancestors are the live groups above this one, itself excepted unless it
	// is part of a cycle, sorted.
	ancestors []uint32
}

func (g *group) externalID() string  { return g.names[:g.linked] }
func (g *group) displayName() string { return g.names[g.linked:] }

// alike reports whether two records look the same to policy.
func (g *group) alike(other *group) bool {
	return g.names == other.names && g.linked == other.linked && g.connection == other.connection
}

// exportGroup returns the public form of a record, without the document.
func (s *state) exportGroup(g *group) GroupRecord {
	return GroupRecord{
		ID: g.key.id(), Connection: s.numbered(g.connection).name, ExternalID: g.externalID(), DisplayName: g.displayName(),
		Revision: g.revision, Created: time.UnixMilli(g.created).UTC(), Modified: time.UnixMilli(g.modified).UTC(),
	}
}

// groupPlace is the fixed place of a group.
type groupPlace struct {
	key     recordKey
	ordinal uint32
	group   atomic.Pointer[group]
	// view was made for the record of, which may have been followed by another.
	view    atomic.Pointer[groupView]
	members memberSet
	// children are those members that are or were groups. For the writer only.
	children []uint32
}

// groupView is the view of a group, and the record that it was made of.
type groupView struct {
	Group

	of *group
}

// viewOf returns the view of the place's group, which is one value as long as
// the group looks the same.
func (p *groupPlace) viewOf(g *group, connection string) *Group {
	if v := p.view.Load(); v != nil && (v.of == g || v.of.alike(g)) {
		return &v.Group
	}
	v := &groupView{of: g, Group: Group{
		ID: g.key.id(), Connection: connection, ExternalID: g.externalID(), DisplayName: g.displayName(),
	}}
	p.view.Store(v)
	return &v.Group
}

// groupPlaces are the places of all groups, in chunks. There is one writer and
// any number of readers.
type groupPlaces struct {
	chunks growing[*[groupChunk]groupPlace]
	count  uint32 // writer only
}

// groupChunk is the number of groups in a chunk.
const groupChunk = 256

// at returns a place that was added.
func (p *groupPlaces) at(i uint32) *groupPlace { return &p.chunks.load()[i/groupChunk][i%groupChunk] }

// add makes a place and returns where it is. Only the writer may call it.
func (p *groupPlaces) add() (uint32, *groupPlace) {
	at := p.count
	if at%groupChunk == 0 {
		p.chunks.add(new([groupChunk]groupPlace))
	}
	p.count++
	return at, p.at(at)
}
