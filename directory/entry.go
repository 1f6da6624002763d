package directory

import (
	"cmp"
	"container/heap"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Entry is a small named value that lives in the directory's log beside people
// and groups, so that it is as durable, and shared by all gates of one
// directory: a revocation mark, a single-use id, a sealed key. Secrets are
// sealed by their owner before they get here.
type Entry struct {
	// Class separates the uses; Name identifies the entry within its class.
	Class, Name string
	// Revision counts the changes of the entry, from 1.
	Revision uint64
	// Expires is when the entry ceases to be; zero means never. Gates may differ
	// in their clocks: leave a margin where an early end would be unsafe.
	Expires time.Time
	// Value is opaque to the directory and shared: never write to it.
	Value []byte
}

const (
	// AnyRevision puts or deletes whatever is there.
	AnyRevision uint64 = 0
	// CreateOnly puts only if no entry of that name is there.
	CreateOnly uint64 = math.MaxUint64

	// maxEntryName and maxEntryValue bound one entry, in bytes.
	maxEntryName  = 1 << 10
	maxEntryValue = 64 << 10
	// sweepChunk is how many expired entries one put takes away; more than it
	// adds, so that expired ones never pile up.
	sweepChunk = 4
)

// ErrExists means that an entry to be created is there already.
var ErrExists = errors.New("entry exists")

// Entry returns an entry that has not expired. It takes no lock and doesn't
// allocate.
func (d *Directory) Entry(class, name string) (Entry, bool) {
	e := d.state.entries.table.get(entryKey{class, name})
	if e == nil || e.expired(d.config.Clock()) {
		return Entry{}, false
	}
	return *e, true
}

// Entries lists the entries of a class that have not expired, by name.
func (d *Directory) Entries(class string) []Entry {
	now := d.config.Clock()
	var entries []Entry
	for e := range d.state.entries.table.values() {
		if e.Class == class && !e.expired(now) {
			entries = append(entries, *e)
		}
	}
	slices.SortFunc(entries, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(b.Revision, a.Revision))
	})
	// For an instant while it is replaced, an entry is there twice.
	return slices.CompactFunc(entries, func(a, b Entry) bool { return a.Name == b.Name })
}

// EntryGeneration moves with every change of a class, so that what was built
// from its entries can be kept until then. Entries that merely expire don't
// move it.
func (d *Directory) EntryGeneration(class string) uint64 {
	if counter := (*d.state.entries.generations.Load())[class]; counter != nil {
		return counter.Load()
	}
	return 0
}

// PutEntry creates or replaces an entry and returns it with its new revision.
// If ifRevision is neither [AnyRevision] nor [CreateOnly], it must be the present one.
//
// Errors: [ErrExists], [ErrRevision], [ErrLimit] for a name or value that is too
// long, [ErrStopped].
func (d *Directory) PutEntry(ctx context.Context, e Entry, ifRevision uint64) (Entry, error) {
	switch {
	case e.Class == "" || e.Name == "" || strings.ContainsRune(e.Class, 0):
		return Entry{}, fmt.Errorf("putting an entry: %w: class and name are required", errPlan)
	case len(e.Class)+len(e.Name) > maxEntryName || len(e.Value) > maxEntryValue:
		return Entry{}, fmt.Errorf("putting entry %s/%.40s: %w: a name has at most %d bytes, a value %d",
			e.Class, e.Name, ErrLimit, maxEntryName, maxEntryValue)
	}
	e.Expires, e.Value = e.Expires.UTC().Truncate(time.Millisecond), slices.Clone(e.Value)
	err := d.submit(ctx, func(b *batch) error {
		revision, err := b.entryRevision(e.Class, e.Name, ifRevision)
		if err != nil {
			return err
		}
		e.Revision = revision + 1
		if err := b.sweepEntries(); err != nil {
			return err
		}
		return b.emit(Delta{
			Kind: KindPutEntry, Subject: entrySubject(e.Class, e.Name), Revision: e.Revision, Payload: encodeEntry(&e),
		})
	})
	if err != nil {
		return Entry{}, err
	}
	return e, nil
}

// DeleteEntry takes an entry away. Deleting none succeeds, unless ifRevision
// names a revision.
func (d *Directory) DeleteEntry(ctx context.Context, class, name string, ifRevision uint64) error {
	return d.submit(ctx, func(b *batch) error {
		if _, err := b.entryRevision(class, name, ifRevision); err != nil {
			return err
		}
		if b.entry(entryKey{class, name}) == nil {
			return nil
		}
		return b.emit(Delta{Kind: KindDeleteEntry, Subject: entrySubject(class, name)})
	})
}

type entryKey struct{ class, name string }

func (e *Entry) key() entryKey { return entryKey{e.Class, e.Name} }

func (e *Entry) expired(now time.Time) bool { return !e.Expires.IsZero() && !now.Before(e.Expires) }

// entries are the published entries.
type entries struct {
	table       *table[entryKey, Entry]
	generations atomic.Pointer[map[string]*atomic.Uint64]

	// For the writer only. swept are what a batch took from ends.
	ends  entryEnds
	swept []*Entry
}

func newEntries(hash func(entryKey) uint64) *entries {
	e := &entries{table: newTable(hash, func(v *Entry, k entryKey) bool { return v.Name == k.name && v.Class == k.class })}
	e.generations.Store(&map[string]*atomic.Uint64{})
	return e
}

// entryEnds is a heap of entries by expiry. Those replaced or deleted since are
// dropped when they come up.
type entryEnds []*Entry

func (h *entryEnds) Len() int           { return len(*h) }
func (h *entryEnds) Less(i, j int) bool { return (*h)[i].Expires.Before((*h)[j].Expires) }
func (h *entryEnds) Swap(i, j int)      { (*h)[i], (*h)[j] = (*h)[j], (*h)[i] }

// Push implements heap.Interface.
func (h *entryEnds) Push(x any) {
	if e, ok := x.(*Entry); ok {
		*h = append(*h, e)
	}
}

// Pop implements heap.Interface.
func (h *entryEnds) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return e
}

// resweep puts those back that were taken from ends and are there yet: another
// directory was first, or the call failed.
func (e *entries) resweep() {
	for _, taken := range e.swept {
		if e.table.get(taken.key()) == taken {
			heap.Push(&e.ends, taken)
		}
	}
	clear(e.swept)
	e.swept = e.swept[:0]
}

// entry returns an entry as the batch will leave it, expired or not, or nil.
func (b *batch) entry(k entryKey) *Entry {
	if e, ok := b.entries[k]; ok {
		return e
	}
	return b.state.entries.table.get(k)
}

// entryRevision returns the present revision, zero for no entry, if it is as
// expected. An expired entry is no entry, but its revision still counts on.
func (b *batch) entryRevision(class, name string, expected uint64) (uint64, error) {
	e := b.entry(entryKey{class, name})
	live := e != nil && !e.expired(b.now)
	switch {
	case expected == AnyRevision, expected == CreateOnly && !live, live && e.Revision == expected:
	case expected == CreateOnly:
		return 0, fmt.Errorf("entry %s/%s: %w", class, name, ErrExists)
	default:
		return 0, fmt.Errorf("entry %s/%s: %w", class, name, ErrRevision)
	}
	if e == nil {
		return 0, nil
	}
	return e.Revision, nil
}

// sweepEntries deletes some of the expired entries.
func (b *batch) sweepEntries() error {
	ends := &b.state.entries.ends
	for range sweepChunk {
		if ends.Len() == 0 || !(*ends)[0].expired(b.now) {
			return nil
		}
		e := (*ends)[0]
		if b.entry(e.key()) == e {
			if err := b.emit(Delta{Kind: KindDeleteEntry, Subject: entrySubject(e.Class, e.Name)}); err != nil {
				return err
			}
		}
		heap.Pop(ends)
		b.state.entries.swept = append(b.state.entries.swept, e)
	}
	return nil
}

func (b *batch) changeEntry(d Delta) error {
	class, name, ok := strings.Cut(d.Subject, "\x00")
	if !ok {
		return fmt.Errorf("%w: entry without a class", ErrCorrupt)
	}
	var next *Entry
	if d.Kind == KindPutEntry {
		r := reader{rest: d.Payload}
		next = &Entry{Class: b.state.text(class), Name: name, Revision: d.Revision, Expires: r.optionalTime()}
		next.Value = slices.Clone(r.rest)
		if err := r.err(d); err != nil {
			return err
		}
	}
	record(b, b.entries, entryKey{class, name}, next)
	return nil
}

func entrySubject(class, name string) string { return class + "\x00" + name }

func encodeEntry(e *Entry) []byte {
	payload := make([]byte, 0, binary.Size(uint64(0))+len(e.Value))
	return append(appendOptionalTime(payload, e.Expires), e.Value...)
}

func (s *state) publishEntries(b *batch) {
	for key, next := range b.entries {
		old := s.entries.table.get(key)
		if next != nil {
			s.entries.table.put(key, next)
			if !next.Expires.IsZero() {
				heap.Push(&s.entries.ends, next)
			}
		}
		if old != nil {
			s.entries.table.remove(key, old)
		}
		s.entries.generation(key.class).Add(1)
	}
}

// generation returns the counter of a class, made if new.
func (e *entries) generation(class string) *atomic.Uint64 {
	if counter := (*e.generations.Load())[class]; counter != nil {
		return counter
	}
	next := maps.Clone(*e.generations.Load())
	next[class] = new(atomic.Uint64)
	e.generations.Store(&next)
	return next[class]
}
