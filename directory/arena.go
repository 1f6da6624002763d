package directory

import (
	"slices"
	"sync/atomic"
)

// arena keeps packed records in chunks of bytes, which the garbage collector
// needn't look into. There is one writer and any number of readers. A record's
// bytes are never written again: a replaced one is garbage within its chunk,
// and when that is half of a chunk, the writer moves the rest elsewhere and
// drops the chunk, which lives on for as long as a reader looks at it.
type arena struct {
	chunks atomic.Pointer[[][]byte]

	// cell returns the cell of an ordinal that has a record.
	cell func(ordinal uint32) *atomic.Uint64

	// For the writer only. fill is by place among the chunks.
	fill []chunkFill
	// free are the places of dropped chunks, current is the one being filled.
	free    []uint32
	current uint32
	// lazy puts tidying off.
	lazy bool
}

// chunkFill is what the writer knows about a chunk.
type chunkFill struct {
	used, live int
	owners     []uint32 // ordinals in the order of their records, also gone ones
}

// ref says where a record is: the chunk's place plus one, offset and length.
// Zero is no record. A record that is longer than a chunk has one of its own
// and length zero.
type ref uint64

const (
	offsetBits = 20
	chunkSize  = 1 << offsetBits
	offsetMask = chunkSize - 1
	// refGroup marks the cell of a group, whose low half is the place of the
	// group and not a ref.
	refGroup = 1 << 63
)

func makeRef(chunk uint32, offset, length int) ref {
	if length >= chunkSize {
		length = 0
	}
	return ref(uint64(chunk+1)<<(2*offsetBits) | uint64(offset)<<offsetBits | uint64(length)) //nolint:gosec // within a chunk
}

func (r ref) chunk() uint32 { return uint32(r>>(2*offsetBits)) - 1 }

// of cuts the record out of its chunk.
func (r ref) of(chunk []byte) []byte {
	offset, length := int(r>>offsetBits)&offsetMask, int(r)&offsetMask //nolint:gosec // within a chunk
	if length == 0 {
		return chunk
	}
	if offset+length > len(chunk) {
		return nil
	}
	return chunk[offset : offset+length : offset+length]
}

func newArena(cell func(ordinal uint32) *atomic.Uint64) *arena {
	a := &arena{cell: cell}
	a.chunks.Store(&[][]byte{})
	a.grow(chunkSize)
	return a
}

// load returns the record that a cell refers to, nil for none. If the chunks have
// changed meanwhile the cell is read again: its chunk's place may be another's by
// then, and the cell may say the same of that as of the one before.
func (a *arena) load(cell *atomic.Uint64) []byte {
	for {
		chunks, r := a.chunks.Load(), cell.Load()
		if r == 0 || r&refGroup != 0 {
			return nil
		}
		if a.chunks.Load() == chunks {
			return ref(r).of((*chunks)[ref(r).chunk()])
		}
	}
}

// put stores a record of an ordinal. Only the writer may call it.
func (a *arena) put(ordinal uint32, record []byte) ref {
	for a.fill[a.current].used+len(record) > len((*a.chunks.Load())[a.current]) {
		full := a.current
		a.grow(max(chunkSize, len(record)))
		a.tidy(full) // which puts too
	}
	fill := &a.fill[a.current]
	offset := fill.used
	copy((*a.chunks.Load())[a.current][offset:], record)
	fill.used += len(record)
	fill.live += len(record)
	fill.owners = append(fill.owners, ordinal)
	return makeRef(a.current, offset, len(record))
}

// grow starts a new chunk.
func (a *arena) grow(size int) {
	chunks := slices.Clone(*a.chunks.Load())
	if n := len(a.free); n > 0 {
		a.current, a.free = a.free[n-1], a.free[:n-1]
	} else {
		a.current = uint32(len(chunks)) //nolint:gosec // 24 bits of chunks are 16 TiB
		chunks, a.fill = append(chunks, nil), append(a.fill, chunkFill{})
	}
	chunks[a.current] = make([]byte, size)
	a.chunks.Store(&chunks)
}

// drop notes that a record is no longer referred to.
func (a *arena) drop(r ref) {
	place := r.chunk()
	a.fill[place].live -= len(r.of((*a.chunks.Load())[place]))
	a.tidy(place)
}

// tidy moves what is left of a chunk if that is less than half of it.
func (a *arena) tidy(place uint32) {
	if place == a.current || a.fill[place].used == 0 || a.lazy && a.fill[place].live > 0 || 2*a.fill[place].live > a.fill[place].used {
		return
	}
	owners := a.fill[place].owners
	a.fill[place] = chunkFill{}
	for _, ordinal := range owners {
		cell := a.cell(ordinal)
		if old := cell.Load(); old != 0 && old&refGroup == 0 && ref(old).chunk() == place {
			cell.Store(uint64(a.put(ordinal, a.load(cell))))
		}
	}
	chunks := slices.Clone(*a.chunks.Load())
	chunks[place] = nil
	a.chunks.Store(&chunks)
	a.free = append(a.free, place)
}

// tidyAll tidies what was put off.
func (a *arena) tidyAll() {
	for place := range a.fill {
		if a.fill[place].used > 0 {
			a.tidy(uint32(place))
		}
	}
}
