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
	live  uint32
	used  uint32 // live and tombstones
}

const (
	tombstone       = ^uint32(0)
	smallestMembers = 8
	// fibonacci spreads consecutive ordinals (Knuth's multiplicative hashing).
	fibonacci = 2654435769
)

// newMemberSet returns the set of some distinct ordinals.
func newMemberSet(ordinals []uint32) *memberSet {
	m := &memberSet{}
	m.resize(uint32(len(ordinals))) //nolint:gosec // ordinals are 32 bits wide, so there are no more
	for _, o := range ordinals {
		m.insert(o + 1)
	}
	m.live, m.used = uint32(len(ordinals)), uint32(len(ordinals)) //nolint:gosec // as above
	return m
}

// add inserts an ordinal, which must not be there.
func (m *memberSet) add(ordinal uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.slots) == 0 || m.used >= m.mask-m.mask/4 {
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
	for i := (ordinal + 1) * fibonacci & m.mask; m.slots[i] != 0; i = (i + 1) & m.mask {
		if m.slots[i] == ordinal+1 {
			m.slots[i] = tombstone
			m.live--
			return
		}
	}
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
	i := entry * fibonacci & m.mask
	for m.slots[i] != 0 {
		i = (i + 1) & m.mask
	}
	m.slots[i] = entry
}

// rebuild makes room, dropping tombstones.
func (m *memberSet) rebuild() {
	old := m.slots
	m.resize(m.live)
	for _, s := range old {
		if s != 0 && s != tombstone {
			m.insert(s)
		}
	}
	m.used = m.live
}

// resize makes room for a number of members and one more, empty.
func (m *memberSet) resize(members uint32) {
	size := uint32(smallestMembers)
	for size < 2*(members+1) {
		size *= 2
	}
	m.slots, m.mask = make([]uint32, size), size-1
}
