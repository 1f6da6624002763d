package directory

import (
	"bytes"
	"errors"
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
	placed map[recordKey]uint32  // ordinals of new records
	users  map[uint32]userRecord // nil: deleted
	// own are users whose record in users was made by the call that is tried, and
	// is nobody else's: somebody may leave a hundred thousand groups at once.
	own    map[uint32]struct{}
	groups map[uint32]*group // nil: deleted
	// documents are those of records that were put.
	documents map[uint32][]byte
	names     [spaces]map[nameKey]int64  // the holder's ordinal, or free
	edges     map[uint32]map[uint32]bool // group → member → is one
	locks     map[Subject]*Lock
	tokens    map[string]*tokenRecord
	// entries are changed ones; nil: deleted.
	entries map[entryKey]*Entry
	// regroup are the groups under a changed edge or group.
	regroup map[uint32]struct{}
	rename  bool
	// loading means that nobody reads the state yet: records go straight to it.
	loading bool
	deltas  []Delta
	size    int // of the deltas' payloads
	undo    []func()
}

// free is in the place of a holder's ordinal.
const free = -1

func newBatch(s *state, now time.Time) *batch {
	s.nextOrdinal = s.given // what a batch before took and didn't publish is free
	s.entries.resweep()
	b := &batch{
		state: s, now: now,
		placed: map[recordKey]uint32{}, users: map[uint32]userRecord{}, groups: map[uint32]*group{},
		documents: map[uint32][]byte{}, edges: map[uint32]map[uint32]bool{}, locks: map[Subject]*Lock{},
		tokens: map[string]*tokenRecord{}, entries: map[entryKey]*Entry{}, regroup: map[uint32]struct{}{},
	}
	for i := range b.names {
		b.names[i] = map[nameKey]int64{}
	}
	return b
}

// try runs one caller's change on the batch and takes all of it back if it
// fails or panics.
func (b *batch) try(change func(*batch) error) (err error) {
	mark := len(b.deltas)
	clear(b.undo) // with the records that it held
	b.undo = b.undo[:0]
	b.own = nil
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

// maxSubject bounds what becomes a key of the state, of which bbolt takes 32 KB:
// what could not be folded would stop the directory at each start.
const maxSubject = 16 << 10

// emitAt is emit for a delta that keeps its own time.
func (b *batch) emitAt(d Delta) error {
	if len(d.Subject) > maxSubject {
		return fmt.Errorf("%w: a name has %d bytes", ErrLimit, len(d.Subject))
	}
	d.Version = b.state.version + uint64(len(b.deltas)) + 1
	if err := b.apply(d); err != nil {
		return err
	}
	b.deltas = append(b.deltas, d)
	b.size += len(d.Payload)
	return nil
}

// find returns the ordinal of an id, false if there is no such user or group
// and never was one in the batch.
func (b *batch) find(key recordKey) (uint32, bool) {
	if ordinal, ok := b.placed[key]; ok {
		return ordinal, true
	}
	if b.loading {
		b.state.byID.build()
	}
	return b.state.find(key)
}

// findID is find by the text of an id.
func (b *batch) findID(id ID) (uint32, bool) {
	key, ok := id.key()
	if !ok {
		return 0, false
	}
	return b.find(key)
}

// user returns the user with an ordinal as the batch will leave it, or nil.
func (b *batch) user(ordinal uint32) userRecord {
	if u, ok := b.users[ordinal]; ok {
		return u
	}
	return b.state.user(ordinal)
}

// group returns the group with an ordinal as the batch will leave it, or nil.
func (b *batch) group(ordinal uint32) *group {
	if g, ok := b.groups[ordinal]; ok {
		return g
	}
	return b.state.groupAt(ordinal)
}

// document returns what belongs to a user or group as the batch will leave it.
// What has the log for its only place is read from there; revision tells that
// the log has not another.
func (b *batch) document(kind Kind, ordinal uint32, id ID, revision uint64) ([]byte, error) {
	if document, ok := b.documents[ordinal]; ok {
		return document, nil
	}
	d, err := b.state.log.Record(kind, string(id))
	switch {
	case errors.Is(err, ErrNotFound), err == nil && d.Revision != revision:
		return nil, fmt.Errorf("%w: %s has revision %d in the log, not %d", ErrCorrupt, id, d.Revision, revision)
	case err != nil:
		return nil, fmt.Errorf("reading %s: %w", id, err)
	}
	return d.document()
}

// holder returns who has a name.
func (b *batch) holder(sp space, k nameKey) (uint32, bool) {
	if ordinal, ok := b.names[sp][k]; ok {
		return uint32(ordinal), ordinal != free //nolint:gosec // an ordinal, or unused
	}
	ordinal, ok := b.state.holder(sp, k)
	if !ok {
		return 0, false
	}
	if sp < spaceGroupName {
		return ordinal, b.user(ordinal) != nil
	}
	return ordinal, b.group(ordinal) != nil
}

// rebind moves a name of an ordinal from one value to another; empty values
// are not indexed.
func (b *batch) rebind(sp space, ordinal uint32, from, to nameKey) {
	if from == to || b.loading {
		return
	}
	if from.value != "" {
		if holder, ok := b.holder(sp, from); ok && holder == ordinal {
			record(b, b.names[sp], from, free)
		}
	}
	if to.value != "" {
		record(b, b.names[sp], to, int64(ordinal))
	}
}

// members returns the ordinals of a group's members as the batch will leave them.
func (b *batch) members(group uint32) []uint32 {
	var ordinals []uint32
	if place := b.state.groupPlace(group); place != nil {
		ordinals = place.members.sorted()
	}
	pending := b.edges[group]
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

// place gives an id its ordinal.
func (b *batch) place(key recordKey) uint32 {
	// State comes in the order of ids: what is read first is new.
	if !b.loading || bytes.Compare(key[:], b.state.lastKey[:]) <= 0 {
		if ordinal, ok := b.find(key); ok {
			return ordinal
		}
	}
	ordinal := b.state.nextOrdinal
	b.state.nextOrdinal++
	if !b.loading {
		record(b, b.placed, key, ordinal)
		b.undo = append(b.undo, func() { b.state.nextOrdinal = ordinal })
	}
	return ordinal
}

// setUser makes next the record of a user, nil for none.
func (b *batch) setUser(ordinal uint32, next userRecord) {
	if b.loading {
		b.state.publishUser(ordinal, next)
	} else {
		record(b, b.users, ordinal, next)
		if b.own == nil {
			b.own = map[uint32]struct{}{}
		}
		b.own[ordinal] = struct{}{}
	}
}

// setGroup makes next the record of a group, nil for none.
func (b *batch) setGroup(ordinal uint32, next *group) {
	if b.loading {
		b.state.publishGroup(ordinal, next)
	} else {
		record(b, b.groups, ordinal, next)
	}
}

// setDocument notes the document of a record that is put.
func (b *batch) setDocument(ordinal uint32, document []byte) {
	if !b.loading {
		record(b, b.documents, ordinal, document)
	}
}
