package directory

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	bolt "go.etcd.io/bbolt"
)

// BoltLog is the embedded [Log]: one file. Append writes only to a journal of
// ascending keys, which is what a B+ tree does fastest; Fold moves the journal
// into state, one key per record or membership, when the writer has nothing
// better to do. The directory is state plus journal.
type BoltLog struct {
	path string
	// lock is held from open to close, also while db is opened again.
	lock *bolt.DB
	// pending is the number of journal entries not folded yet, pendingBytes
	// their size.
	pending, pendingBytes int

	mu sync.RWMutex
	db *bolt.DB
	// journaled holds the newest deltas about records for as long as they aren't
	// folded.
	journaled map[string]journaled
}

// journaled is the newest delta about a user or group, if it is in the journal.
type journaled struct {
	delta   Delta
	deleted bool
}

// Bucket names and the key of the last folded version.
const (
	bucketJournal = "journal"
	bucketState   = "state"
	bucketMeta    = "meta"
	keyFolded     = "folded"
)

// Prefixes of state keys.
const (
	prefixUser   = 'u' // + id
	prefixGroup  = 'g' // + id
	prefixMember = 'm' // + group id + first member of a chunk
	prefixTouch  = 'r' // + group id: revision and time of the last member change
	prefixLock   = 'l' // + subject
	prefixToken  = 't' // + token id
	prefixEntry  = 'e' // + class, NUL, name
)

const (
	fileMode    = 0o600
	lockTimeout = 2 * time.Second
	idSize      = len(uuid.UUID{})
	// journalFill packs journal pages: their keys only ascend. Most records too
	// are folded in the order of their creation, which is that of their keys.
	journalFill, stateFill = 0.95, 0.8
)

// OpenBolt opens or makes the file, and one beside it that keeps other
// processes off. A file that another process has open is refused after two
// seconds.
func OpenBolt(path string) (*BoltLog, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil { //nolint:gosec // the path is the operator's
		return nil, fmt.Errorf("making the directory's folder: %w", err)
	}
	lock, err := bolt.Open(path+".lock", fileMode, &bolt.Options{Timeout: lockTimeout})
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	l := &BoltLog{path: path, lock: lock, journaled: map[string]journaled{}}
	if err := l.open(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	err = l.db.Update(func(tx *bolt.Tx) error {
		for _, name := range []string{bucketJournal, bucketState, bucketMeta} {
			if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
				return fmt.Errorf("making bucket %s: %w", name, err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("preparing %s: %w", path, err), l.Close())
	}
	return l, nil
}

// open maps the file. The list of free pages is kept in the file, or opening
// would have to touch every page, and as a map, since a list is searched.
func (l *BoltLog) open() error {
	db, err := bolt.Open(l.path, fileMode, &bolt.Options{Timeout: lockTimeout, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return fmt.Errorf("opening %s: %w", l.path, err)
	}
	l.db = db
	return nil
}

// Append implements [Log]: one transaction, synced before it returns.
func (l *BoltLog) Append(_ context.Context, batch []Delta) error {
	size := 0
	err := l.db.Update(func(tx *bolt.Tx) error {
		journal := tx.Bucket([]byte(bucketJournal))
		journal.FillPercent = journalFill
		for _, d := range batch {
			key := versionKey(d.Version)
			value := d.encode(key)
			size += len(value)
			if err := journal.Put(key, value); err != nil {
				return fmt.Errorf("writing delta %d: %w", d.Version, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("appending to the journal: %w", err)
	}
	l.pending += len(batch)
	l.pendingBytes += size
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range batch {
		l.note(d)
	}
	return nil
}

// note remembers a delta about a record. Callers hold mu.
func (l *BoltLog) note(d Delta) {
	if d.aboutRecord() {
		deleted := d.Kind == KindDeleteUser || d.Kind == KindDeleteGroup
		d.Payload = slices.Clone(d.Payload)
		l.journaled[journalKey(d.Kind, d.Subject)] = journaled{delta: d, deleted: deleted}
	}
}

// aboutRecord reports whether the delta puts or deletes a user or group.
func (d Delta) aboutRecord() bool {
	switch d.Kind {
	case KindPutUser, KindDeleteUser, KindPutGroup, KindDeleteGroup:
		return true
	default:
		return false
	}
}

// journalKey returns the state key of a user or group.
func journalKey(kind Kind, subject string) string {
	prefix := byte(prefixUser)
	if kind == KindPutGroup || kind == KindDeleteGroup {
		prefix = prefixGroup
	}
	return string(stateKey(prefix, binaryID(subject)))
}

// Record implements [Log].
func (l *BoltLog) Record(kind Kind, subject string) (Delta, error) {
	key := journalKey(kind, subject)
	l.mu.RLock()
	db := l.db
	newest, found := l.journaled[key]
	l.mu.RUnlock()
	if newest.deleted {
		return Delta{}, fmt.Errorf("record %s: %w", subject, ErrNotFound)
	}
	if found {
		newest.delta.Payload = slices.Clone(newest.delta.Payload)
		return newest.delta, nil
	}
	var d Delta
	err := db.View(func(tx *bolt.Tx) error {
		value := tx.Bucket([]byte(bucketState)).Get([]byte(key))
		if value == nil {
			return fmt.Errorf("record %s: %w", subject, ErrNotFound)
		}
		var err error
		d, err = decodeDelta([]byte(key), slices.Clone(value))
		return err
	})
	if err != nil {
		return Delta{}, fmt.Errorf("reading the log: %w", err)
	}
	return d, nil
}

// Tail implements [Log].
func (l *BoltLog) Tail(_ context.Context, from uint64, each func(Delta) error) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending, l.pendingBytes = 0, 0
	defer l.readAhead()()
	folded, last, err := l.replay(from, func(d Delta, journalBytes int) error {
		if journalBytes > 0 {
			l.pending++
			l.pendingBytes += journalBytes
			l.note(d)
		}
		return each(d)
	})
	if err != nil {
		return 0, err
	}
	if from <= folded {
		return last, l.reopen()
	}
	return last, nil
}

// readAhead reads the file from front to back until stopped: bbolt maps it for
// random access, so a scan of a file that isn't in memory waits for every page.
func (l *BoltLog) readAhead() (stop func()) {
	file, err := os.Open(l.path)
	if err != nil {
		return func() {} // then it is as slow as it is
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{file}, make([]byte, readAheadBytes))
	}()
	return func() {
		_ = file.Close() // nothing was written; a read under way ends
		<-done
	}
}

// readAheadBytes is how much of a file is read at once.
const readAheadBytes = 1 << 20

// replay calls each for the state before a version and for every delta from
// there on, with the delta's size in the journal, zero for state. It returns
// the version of the state and the last one. It sees the log as it is when it
// begins, and may run beside Append and Fold.
func (l *BoltLog) replay(from uint64, each func(Delta, int) error) (folded, last uint64, err error) {
	err = l.db.View(func(tx *bolt.Tx) error {
		if v := tx.Bucket([]byte(bucketMeta)).Get([]byte(keyFolded)); len(v) == 8 {
			folded = binary.BigEndian.Uint64(v)
		}
		if from <= folded {
			state := func(d Delta) error { return each(d, 0) }
			replay := stateReplay{state: tx.Bucket([]byte(bucketState)), version: folded, each: state}
			if err := replay.run(); err != nil {
				return err
			}
		}
		last = folded
		journal := tx.Bucket([]byte(bucketJournal)).Cursor()
		if k, _ := journal.Last(); k != nil {
			last = binary.BigEndian.Uint64(k)
		}
		for k, v := journal.Seek(versionKey(max(from, folded+1))); k != nil; k, v = journal.Next() {
			d, err := decodeDelta(k, v)
			if err != nil {
				return err
			}
			d.Version = binary.BigEndian.Uint64(k)
			if err := each(d, len(v)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, 0, fmt.Errorf("reading the log: %w", err)
	}
	return folded, last, nil
}

// reopen closes the file and opens it again: a full scan leaves all of it
// mapped and resident, and of that a directory that runs needs next to nothing.
func (l *BoltLog) reopen() error {
	if err := l.db.Close(); err != nil {
		return fmt.Errorf("closing the log after reading it: %w", err)
	}
	return l.open()
}

// Close implements [Log].
func (l *BoltLog) Close() error {
	if err := errors.Join(l.db.Close(), l.lock.Close()); err != nil {
		return fmt.Errorf("closing the log: %w", err)
	}
	return nil
}

// stateReplay turns the state bucket into deltas: records before the
// memberships between them.
type stateReplay struct {
	state   *bolt.Bucket
	version uint64
	each    func(Delta) error
}

func (r stateReplay) run() error {
	for _, prefix := range []byte{prefixUser, prefixGroup} {
		if err := r.records(prefix); err != nil {
			return err
		}
	}
	if err := r.members(); err != nil {
		return err
	}
	for _, prefix := range []byte{prefixTouch, prefixLock, prefixToken, prefixEntry} {
		if err := r.records(prefix); err != nil {
			return err
		}
	}
	return nil
}

func (r stateReplay) records(prefix byte) error {
	cursor := r.state.Cursor()
	start := []byte{prefix}
	for k, v := cursor.Seek(start); bytes.HasPrefix(k, start); k, v = cursor.Next() {
		d, err := decodeDelta(k, v)
		if err != nil {
			return err
		}
		d.Version = r.version
		if err := r.each(d); err != nil {
			return err
		}
	}
	return nil
}

func versionKey(version uint64) []byte { return binary.BigEndian.AppendUint64(nil, version) }
