package directory

import (
	"fmt"
	"slices"
	"time"
)

// batch is what one group commit will change: an overlay over the published
// state that only the writer sees. Deltas are applied to it as they are made;
// it is published once they are durable, or dropped.
type batch struct {
	state  *state
	now    time.Time
	slots  map[ID]*slot
	users  map[ID]*user  // nil: deleted
	groups map[ID]*group // nil: deleted
	names  [spaces]map[nameKey]ID
	edges  map[*slot]map[uint32]bool // group → member ordinal → is one
	locks  map[Subject]*Lock
	tokens map[string]*tokenRecord
	// entries are changed ones; nil: deleted.
	entries map[entryKey]*Entry
	// regroup are the slots under a changed edge or group.
	regroup map[*slot]struct{}
	rename  bool
	// loading means that nobody reads the state yet: records go straight to it.
	loading bool
	deltas  []Delta
	size    int // of the deltas' payloads
	undo    []func()
}

func newBatch(s *state, now time.Time) *batch {
	b := &batch{
		state: s, now: now,
		slots: map[ID]*slot{}, users: map[ID]*user{}, groups: map[ID]*group{},
		edges: map[*slot]map[uint32]bool{}, locks: map[Subject]*Lock{},
		tokens: map[string]*tokenRecord{}, entries: map[entryKey]*Entry{}, regroup: map[*slot]struct{}{},
	}
	for i := range b.names {
		b.names[i] = map[nameKey]ID{}
	}
	return b
}

// try runs one caller's change on the batch and takes all of it back if it
// fails or panics.
func (b *batch) try(change func(*batch) error) (err error) {
	mark := len(b.deltas)
	b.undo = b.undo[:0]
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: change failed: %v", errPlan, r)
		}
		if err == nil {
			return
		}
		for _, undo := range slices.Backward(b.undo) {
			undo()
		}
		b.deltas = b.deltas[:mark]
	}()
	return change(b)
}

// record sets m[k] and notes how to take that back.
func record[K comparable, V any](b *batch, m map[K]V, k K, v V) {
	old, had := m[k]
	m[k] = v
	b.undo = append(b.undo, func() {
		if had {
			m[k] = old
		} else {
			delete(m, k)
		}
	})
}

// emit dates a delta, applies it and queues it for the log.
func (b *batch) emit(d Delta) error {
	d.Time = b.now
	return b.emitAt(d)
}

// emitAt is emit for a delta that keeps its own time.
func (b *batch) emitAt(d Delta) error {
	d.Version = b.state.version + uint64(len(b.deltas)) + 1
	if err := b.apply(d); err != nil {
		return err
	}
	b.deltas = append(b.deltas, d)
	b.size += len(d.Payload)
	return nil
}

// place returns the slot of an id, nil if there never was one.
func (b *batch) place(id ID) *slot {
	if s, ok := b.slots[id]; ok {
		return s
	}
	return b.state.byID.get(id)
}

// user returns the user with an id as the batch will leave it, or nil.
func (b *batch) user(id ID) *user {
	if u, ok := b.users[id]; ok {
		return u
	}
	if s := b.place(id); s != nil {
		return s.user.Load()
	}
	return nil
}

// group returns the group with an id as the batch will leave it, or nil.
func (b *batch) group(id ID) *group {
	if g, ok := b.groups[id]; ok {
		return g
	}
	if s := b.place(id); s != nil {
		return s.group.Load()
	}
	return nil
}

// holder returns who has a name, empty if it is free.
func (b *batch) holder(sp space, k nameKey) ID {
	if id, ok := b.names[sp][k]; ok {
		return id
	}
	if s := b.state.names[sp].get(k); s != nil {
		if sp < spaceGroupName && b.user(s.id) != nil || sp >= spaceGroupName && b.group(s.id) != nil {
			return s.id
		}
	}
	return ""
}

// rebind moves a name of an id from one value to another; empty values are not
// indexed.
func (b *batch) rebind(sp space, id ID, from, to nameKey) {
	if from == to || b.loading {
		return
	}
	if from.value != "" && b.holder(sp, from) == id {
		record(b, b.names[sp], from, "")
	}
	if to.value != "" {
		record(b, b.names[sp], to, id)
	}
}

// members returns the ordinals of a group's members as the batch will leave them.
func (b *batch) members(place *slot) []uint32 {
	ordinals := place.members.sorted()
	pending := b.edges[place]
	if len(pending) == 0 {
		return ordinals
	}
	ordinals = slices.DeleteFunc(ordinals, func(o uint32) bool { _, changed := pending[o]; return changed })
	for o, present := range pending {
		if present {
			ordinals = append(ordinals, o)
		}
	}
	slices.Sort(ordinals)
	return ordinals
}

// newSlot gives an id its place.
func (b *batch) newSlot(id ID) *slot {
	s := &slot{id: id, ordinal: b.state.nextOrdinal}
	b.state.nextOrdinal++
	if b.loading {
		b.state.install(s)
	} else {
		record(b, b.slots, id, s)
	}
	return s
}

// setUser makes next the user's record, nil for none.
func (b *batch) setUser(place *slot, next *user) {
	if b.loading {
		b.state.publishUser(place, next)
	} else {
		record(b, b.users, place.id, next)
	}
}

// setGroup makes next the group's record, nil for none.
func (b *batch) setGroup(place *slot, next *group) {
	if b.loading {
		b.state.publishGroup(place, next)
	} else {
		record(b, b.groups, place.id, next)
	}
}
