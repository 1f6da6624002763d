package directory

import "sync/atomic"

// index finds ordinals by the hash of a key, in open addressing, for one writer
// and any number of readers, which take no lock. It stores no keys: a hit is to
// be confirmed on the ordinal's current record, so that an entry which has just
// become wrong is a miss, never a wrong answer.
type index struct {
	// slots hold half of a hash above an ordinal plus one; free is zero.
	slots atomic.Pointer[[]atomic.Uint64]

	// For the writer only: entries, and those and removed ones.
	live, used int
	// gathering means that nobody reads yet and entries are kept in gathered:
	// building a large index at once is several times as fast as growing it.
	gathering bool
	gathered  []uint64
}

const (
	smallestIndex = 64
	// removed is the low half of a slot whose entry was removed.
	removed = 1<<32 - 1
)

func newIndex() *index {
	x := &index{}
	x.slots.Store(new(make([]atomic.Uint64, smallestIndex)))
	return x
}

// probe walks through the ordinals that may have a key.
type probe struct {
	slots []atomic.Uint64
	tag   uint64
	at    uint64
}

// probe starts a walk.
func (x *index) probe(hash uint64) probe {
	return probe{slots: *x.slots.Load(), tag: hash >> 32, at: hash >> 32}
}

// next returns the next candidate, false after the last.
func (p *probe) next() (uint32, bool) {
	mask := uint64(len(p.slots) - 1) //nolint:gosec // a length
	for {
		entry := p.slots[p.at&mask].Load()
		if entry == 0 {
			return 0, false
		}
		p.at++
		if entry>>32 == p.tag && entry&removed != removed {
			return uint32(entry) - 1, true //nolint:gosec // the low half
		}
	}
}

// put adds an entry. Only the writer may call it.
func (x *index) put(hash uint64, ordinal uint32) {
	if x.gathering {
		x.gathered = append(x.gathered, hash>>32<<32|uint64(ordinal+1))
		return
	}
	if slots := *x.slots.Load(); 4*(x.used+1) > 3*len(slots) {
		x.rebuild()
	}
	slots := *x.slots.Load()
	mask := uint64(len(slots) - 1) //nolint:gosec // a length
	at := hash >> 32
	for entry := slots[at&mask].Load(); entry != 0 && entry&removed != removed; entry = slots[at&mask].Load() {
		at++
	}
	if slots[at&mask].Load() == 0 {
		x.used++
	}
	x.live++
	slots[at&mask].Store(hash>>32<<32 | uint64(ordinal+1))
}

// remove drops an entry if it is there. Only the writer may call it.
func (x *index) remove(hash uint64, ordinal uint32) {
	x.build()
	slots := *x.slots.Load()
	mask := uint64(len(slots) - 1) //nolint:gosec // a length
	wanted := hash>>32<<32 | uint64(ordinal+1)
	for at := hash >> 32; ; at++ {
		switch slots[at&mask].Load() {
		case 0:
			return
		case wanted:
			slots[at&mask].Store(wanted | removed)
			x.live--
			return
		}
	}
}

// build ends gathering. Entries are put in the order of their places, since each
// would else be a jump through memory that waits for the one before.
func (x *index) build() {
	if !x.gathering {
		return
	}
	x.gathering = false
	const parts = 1 << 10
	size := smallestIndex
	for 2*size < 3*(len(x.gathered)+1) {
		size *= 2
	}
	mask := uint64(size - 1) //nolint:gosec // a length
	part := func(entry uint64) uint64 { return entry >> 32 & mask * parts / (mask + 1) }
	var starts [parts + 1]int
	for _, entry := range x.gathered {
		starts[part(entry)+1]++
	}
	for i := range parts {
		starts[i+1] += starts[i]
	}
	ordered := make([]uint64, len(x.gathered))
	for _, entry := range x.gathered {
		ordered[starts[part(entry)]] = entry
		starts[part(entry)]++
	}
	next := make([]atomic.Uint64, size)
	for _, entry := range ordered {
		at := entry >> 32
		for next[at&mask].Load() != 0 {
			at++
		}
		next[at&mask].Store(entry)
	}
	x.live, x.used, x.gathered = len(ordered), len(ordered), nil
	x.slots.Store(&next)
}

// rebuild makes room beside the old slots, leaves removed entries out, and
// publishes.
func (x *index) rebuild() {
	size := smallestIndex
	for size < 2*(x.live+1) {
		size *= 2
	}
	old, next := *x.slots.Load(), make([]atomic.Uint64, size)
	mask := uint64(size - 1) //nolint:gosec // a length
	for i := range old {
		entry := old[i].Load()
		if entry == 0 || entry&removed == removed {
			continue
		}
		at := entry >> 32
		for next[at&mask].Load() != 0 {
			at++
		}
		next[at&mask].Store(entry)
	}
	x.used = x.live
	x.slots.Store(&next)
}
