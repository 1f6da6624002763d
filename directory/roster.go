package directory

import "sync/atomic"

// roster lists slots in the order of their creation for one writer and any
// number of readers. Elements below a published length are never written, so
// a reader's copy of the slice header stays valid while the writer appends.
type roster struct {
	slots atomic.Pointer[[]*slot]
	holes int // writer only: slots whose record is gone
}

// smallestCompaction is the number of holes below which none are swept.
const smallestCompaction = 1024

func (r *roster) load() []*slot {
	if slots := r.slots.Load(); slots != nil {
		return *slots
	}
	return nil
}

// add appends a slot. Only the writer may call it.
func (r *roster) add(s *slot) {
	slots := append(r.load(), s)
	r.slots.Store(&slots)
}

// dropped notes that a slot's record is gone and sweeps once half of the
// roster is holes. Only the writer may call it.
func (r *roster) dropped() {
	r.holes++
	slots := r.load()
	if r.holes < smallestCompaction || 2*r.holes < len(slots) {
		return
	}
	kept := make([]*slot, 0, len(slots)-r.holes)
	for _, s := range slots {
		if s.user.Load() != nil || s.group.Load() != nil {
			kept = append(kept, s)
		}
	}
	r.slots.Store(&kept)
	r.holes = 0
}
