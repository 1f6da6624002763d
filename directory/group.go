package directory

import (
	"sync/atomic"
	"time"
)

// group is an immutable record, all but the view that is made of it. It has few
// pointers, since the collector follows every one of a hundred thousand groups
// in each of its cycles; what a look-up reads comes first.
type group struct {
	// ancestors are the live groups above this one, itself excepted unless it
	// is part of a cycle, sorted.
	ancestors []uint32
	// view is made when it is first asked for.
	view atomic.Pointer[Group]
	// names are the external id, linked bytes long, and the display name.
	names      string
	key        recordKey
	linked     uint32
	connection uint16 // by number
	parents    []uint32
	// revision counts all changes, written those of the record itself.
	revision, written uint64
	created, modified int64 // Unix milliseconds
}

func (g *group) externalID() string  { return g.names[:g.linked] }
func (g *group) displayName() string { return g.names[g.linked:] }

// clone returns a copy that may be changed in all but what its view shows.
func (g *group) clone() *group { return g.copyTo(new(group)) }

func (g *group) copyTo(next *group) *group {
	next.ancestors, next.names, next.key, next.linked, next.connection = g.ancestors, g.names, g.key, g.linked, g.connection
	next.parents, next.revision, next.written, next.created, next.modified = g.parents, g.revision, g.written, g.created, g.modified
	next.view.Store(g.view.Load())
	return next
}

// alike reports whether two records have the same view.
func (g *group) alike(other *group) bool {
	return g.names == other.names && g.linked == other.linked && g.connection == other.connection
}

// viewOf returns the view of a group.
func (s *state) viewOf(g *group) *Group {
	if v := g.view.Load(); v != nil {
		return v
	}
	g.view.CompareAndSwap(nil, &Group{
		ID: g.key.id(), Connection: s.numbered(g.connection).name, ExternalID: g.externalID(), DisplayName: g.displayName(),
	})
	return g.view.Load()
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
	members memberSet
	// children are those members that are or were groups. For the writer only.
	children []uint32
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
