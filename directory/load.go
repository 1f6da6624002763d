package directory

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"runtime/debug"
	"slices"
	"time"
)

// loader reads a log into a state that nobody reads yet. One goroutine reads
// and packs, another builds. Memberships are most of a log, and each is a jump
// through memory; so those that come in a row are gathered and sorted into the
// users' lists in one pass.
type loader struct {
	*batch

	// read are deltas on their way to what builds; built says why that ended.
	read    chan []readDelta
	built   chan error
	reading []readDelta
	size    int // of the payloads in reading

	// keys are the ids by ordinal, so that a hit can be confirmed without touching
	// the record.
	keys []recordKey
	// firstGroup is the lowest ordinal of a group.
	firstGroup uint32
	runs       []memberRun
	members    []uint32 // of all runs
	sets       slab[uint32]
	// linked is true once link has run; it goes through everything, so what
	// comes after is applied one by one.
	linked bool
}

// readDelta is a delta with a payload of its own, or of a user the record.
type readDelta struct {
	Delta

	record userRecord
}

const (
	// readDeltas and readBytes are how many deltas, and bytes of them, are handed
	// over at once.
	readDeltas = 256
	readBytes  = 1 << 18
)

// memberRun is a part of a loader's members that belongs to one group.
type memberRun struct {
	group    uint32
	from, to int
}

// load replays a log. Ancestors are computed once, at the end.
func load(s *state, log Log, now time.Time) error {
	s.log, s.arena.lazy, s.entries.table.private = log, true, true
	l := loader{
		batch: newBatch(s, now), firstGroup: math.MaxUint32,
		read: make(chan []readDelta, 1), built: make(chan error, 1),
		sets: slab[uint32]{chunk: 16 << 10},
	}
	l.loading = true
	for _, x := range s.indexes() {
		x.gathering = true
	}
	go func() { l.built <- l.build() }()
	last, err := log.Tail(context.Background(), 0, l.pack)
	if err == nil {
		l.handOver()
	}
	close(l.read)
	if err := errors.Join(err, <-l.built); err != nil {
		return fmt.Errorf("opening the directory: %w", err)
	}
	if !l.linked {
		l.link()
	}
	s.arena.lazy, s.entries.table.private = false, false
	s.arena.tidyAll()
	s.recompute(s.below(l.regroup))
	l.regroup = nil
	s.keepGroups()
	s.publish(l.batch)
	s.closure.Add(1)
	s.version = last
	if s.nextOrdinal > largeDirectory {
		debug.FreeOSMemory() // what reading needed is more than what stays
	}
	return nil
}

// pack makes a delta last and hands it over with others.
func (l *loader) pack(d Delta) error {
	r := readDelta{Delta: d}
	l.size += len(d.Payload)
	if d.Kind == KindPutUser {
		var err error
		if r.record, err = l.state.pack(d); err != nil {
			return err
		}
		r.Payload = nil
	} else {
		if d.Kind == KindPutGroup { // here, since only one goroutine may
			if _, err := l.state.settle(d.Connection); err != nil {
				return err
			}
		}
		r.Payload = slices.Clone(d.Payload)
	}
	if l.reading = append(l.reading, r); len(l.reading) >= readDeltas || l.size >= readBytes {
		l.handOver()
	}
	return nil
}

func (l *loader) handOver() {
	l.read <- l.reading
	l.reading, l.size = make([]readDelta, 0, readDeltas), 0
}

// build takes all that was read. After an error it takes nothing in any more.
func (l *loader) build() (err error) {
	for deltas := range l.read {
		for _, d := range deltas {
			if err == nil {
				err = l.take(d)
			}
		}
	}
	return err
}

// largeDirectory is the number of records from which on the memory that a start
// needed is given back at once.
const largeDirectory = 1 << 16

// take applies one delta or keeps it for link.
func (l *loader) take(d readDelta) error {
	l.undo = l.undo[:0]
	switch d.Kind {
	case KindPutUser:
		_, err := l.putPacked(d.record, d.Delta)
		l.name(d.record.key())
		return err
	case KindPutGroup:
		place := l.state.nextOrdinal
		if err := l.apply(d.Delta); err != nil {
			return err
		}
		key, _ := ID(d.Subject).key()
		if l.name(key) {
			l.firstGroup = min(l.firstGroup, place)
		}
		return nil
	case KindAddMembers:
		if l.linked {
			return l.apply(d.Delta)
		}
		l.gather(d.Delta)
		l.touchGroup(d.Delta)
		return nil
	case KindDeleteUser, KindDeleteGroup, KindRemoveMembers:
		if !l.linked {
			l.link() // what comes before has to be there to be taken away
		}
		return l.apply(d.Delta)
	default:
		return l.apply(d.Delta)
	}
}

// name notes the id of a record that was put, and reports whether it is new.
func (l *loader) name(key recordKey) bool {
	if len(l.keys) == int(l.state.nextOrdinal) || l.linked {
		return false
	}
	l.keys = append(l.keys, key)
	return true
}

// gather keeps the memberships that a delta adds. Those of records that are
// gone count for nothing.
func (l *loader) gather(d Delta) {
	group, ok := l.findID(ID(d.Subject))
	if !ok || l.group(group) == nil {
		return
	}
	run := memberRun{group: group, from: len(l.members)}
	if n := len(l.runs); n > 0 && l.runs[n-1].group == group { // a large group comes in parts
		run.from = l.runs[n-1].from
		l.runs = l.runs[:n-1]
	}
	for ids := range slices.Chunk(d.Payload, gatherAtOnce*idSize) {
		l.gatherSome(ids[:len(ids)/idSize*idSize])
	}
	run.to = len(l.members)
	l.runs = append(l.runs, run)
}

// gatherAtOnce is how many members are looked for at once: the processor then
// waits for memory once for some of them.
const gatherAtOnce = 64

func (l *loader) gatherSome(ids []byte) {
	var probes [gatherAtOnce]probe
	var found [gatherAtOnce]uint32
	count := len(ids) / idSize
	for i := range count {
		probes[i] = l.state.byID.probe(maphash.Bytes(l.state.seed, ids[i*idSize:][:idSize]))
	}
	for i := range count {
		ordinal, ok := probes[i].next()
		if found[i] = ordinal; !ok {
			found[i] = math.MaxUint32
		}
	}
	for i := range count {
		key := recordKey(ids[i*idSize:])
		ordinal, ok := found[i], found[i] != math.MaxUint32
		for ok && l.keys[ordinal] != key {
			ordinal, ok = probes[i].next()
		}
		if ok {
			l.members = append(l.members, ordinal)
		}
	}
}

// link gives the gathered memberships to both of their ends: a counting sort
// by member leaves every member's groups beside each other.
func (l *loader) link() {
	for _, x := range l.state.indexes() {
		x.build()
	}
	ends := make([]uint32, l.state.nextOrdinal+1)
	for _, member := range l.members {
		ends[member+1]++
	}
	for i := 1; i < len(ends); i++ {
		ends[i] += ends[i-1]
	}
	starts := slices.Clone(ends)
	groups := make([]uint32, len(l.members))
	for _, run := range l.runs {
		for _, member := range l.members[run.from:run.to] {
			groups[starts[member]] = run.group
			starts[member]++
		}
	}
	for ordinal := range l.state.nextOrdinal {
		if from, to := ends[ordinal], ends[ordinal+1]; from < to {
			l.join(ordinal, groups[from:to])
		}
	}
	for _, run := range l.runs {
		l.fillMembers(run)
	}
	l.runs, l.members, l.keys, l.linked = nil, nil, nil, true
}

// join adds groups to a member's list.
func (l *loader) join(member uint32, groups []uint32) {
	if r := l.state.user(member); r != nil {
		groups = merged(r.direct().ordinals(), groups)
		cell := l.state.places.cell(member)
		place := l.state.arena.put(member, r.with(packEdges(groups), r.generation()))
		old := ref(cell.Load()) // after put, which may have moved it
		cell.Store(uint64(place))
		l.state.arena.drop(old)
		return
	}
	if place := l.state.groupPlace(member); place != nil && place.group.Load() != nil {
		next := place.group.Load().clone()
		next.parents = slices.Clone(merged(next.parents, groups)) // not a part of everybody's
		place.group.Store(next)
		l.regroup[member] = struct{}{}
	}
}

// merged returns the distinct elements of two lists, sorted.
func merged(list, more []uint32) []uint32 {
	if len(list) == 0 && slices.IsSorted(more) {
		return slices.Compact(more)
	}
	list = append(slices.Clone(list), more...)
	slices.Sort(list)
	return slices.Compact(list)
}

// fillMembers adds the members of a run to its group.
func (l *loader) fillMembers(run memberRun) {
	place := l.state.groupPlace(run.group)
	members := slices.Clone(l.members[run.from:run.to])
	if place.members.size() > 0 {
		members = append(members, place.members.sorted()...)
	}
	slices.Sort(members)
	members = slices.Compact(members)
	place.members.fill(members, l.sets.some)
	groups, _ := slices.BinarySearch(members, l.firstGroup)
	for _, member := range members[groups:] {
		if at, found := slices.BinarySearch(place.children, member); !found && l.state.groupPlace(member) != nil {
			place.children = slices.Insert(place.children, at, member)
		}
	}
}
