package directory

import (
	"slices"
	"sync"
)

// memberSet is a group's members by ordinal, in open addressing: four bytes a
// slot, so that ten million memberships fit in tens of megabytes. Its lock is
// for listings; decisions read the user's own list instead.
type memberSet struct {
	mu    sync.RWMutex
	slots []uint32 // ordinal+1; free is 0, removed is tombstone
	mask  uint32   // one less than the length, a power of two
	shift uint8    // leaves as many bits of a hash as mask has
	live  uint32
	used  uint32 // live and tombstones
}

const (
	tombstone       = ^uint32(0)
	smallestMembers = 8
	// growth is the part of the members for which a rebuilt set has room at least.
	growth = 8
	// fibonacci spreads consecutive ordinals (Knuth's multiplicative hashing).
	fibonacci = 2654435769
)

// fill makes the set that of some distinct ordinals, in slots of a maker's.
func (m *memberSet) fill(ordinals []uint32, slots func(int) []uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.resize(uint32(len(ordinals)), 1, slots) //nolint:gosec // ordinals are 32 bits wide, so there are no more
	for _, o := range ordinals {
		m.insert(o + 1)
	}
	m.live, m.used = uint32(len(ordinals)), uint32(len(ordinals)) //nolint:gosec // as above
}

// add inserts an ordinal, which must not be there.
func (m *memberSet) add(ordinal uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.slots) == 0 || m.used >= m.mask-m.mask/8 {
		m.rebuild()
	}
	m.insert(ordinal + 1)
	m.live++
	m.used++
}

// remove deletes an ordinal if it is there.
func (m *memberSet) remove(ordinal uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.slots) == 0 {
		return
	}
	for i := (ordinal + 1) * fibonacci >> m.shift; m.slots[i] != 0; i = (i + 1) & m.mask {
		if m.slots[i] == ordinal+1 {
			m.slots[i] = tombstone
			m.live--
			return
		}
	}
}

// clear lets go of all members.
func (m *memberSet) clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.slots, m.mask, m.shift, m.live, m.used = nil, 0, 0, 0, 0
}

// size returns the number of members.
func (m *memberSet) size() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return int(m.live)
}

// sorted returns the members in ascending order.
func (m *memberSet) sorted() []uint32 {
	m.mu.RLock()
	ordinals := make([]uint32, 0, m.live)
	for _, s := range m.slots {
		if s != 0 && s != tombstone {
			ordinals = append(ordinals, s-1)
		}
	}
	m.mu.RUnlock()
	slices.Sort(ordinals)
	return ordinals
}

func (m *memberSet) insert(entry uint32) {
	i := entry * fibonacci >> m.shift
	for m.slots[i] != 0 {
		i = (i + 1) & m.mask
	}
	m.slots[i] = entry
}

// rebuild makes room, dropping tombstones.
func (m *memberSet) rebuild() {
	old := m.slots
	m.resize(m.live, 1+m.live/growth, func(n int) []uint32 { return make([]uint32, n) })
	for _, s := range old {
		if s != 0 && s != tombstone {
			m.insert(s)
		}
	}
	m.used = m.live
}

// resize makes room for a number of members and some more, and empties the set.
func (m *memberSet) resize(members, more uint32, slots func(int) []uint32) {
	size, bits := uint32(smallestMembers), uint8(3)
	for size-size/8 < members+more+1 {
		size, bits = 2*size, bits+1
	}
	m.slots, m.mask, m.shift = slots(int(size)), size-1, 32-bits
}
