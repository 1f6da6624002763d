package directory

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// BoltLog is the embedded [Log]: a file that holds the state, one key per
// record or some memberships, and beside it a journal of what was committed
// since. Append writes only to the journal; Fold moves it into the state, beside
// everything else. The directory is state plus journal.
type BoltLog struct {
	path string
	// lock is held from open to close, also while db is opened again.
	lock    *bolt.DB
	journal *segments
	// begun means that the state knows of the journal.
	begun bool
	// folded is the version of the state.
	folded atomic.Uint64
	// broken is the first failure to write: from then on nobody knows what the disk
	// holds.
	broken atomic.Pointer[error]

	mu sync.RWMutex
	db *bolt.DB
}

// Bucket names, the key of the last folded version, that of one which the
// journal had reached by then, and that of the journal's id, which is there
// while the journal may hold something.
const (
	bucketState = "state"
	bucketMeta  = "meta"
	keyFolded   = "folded"
	keyWritten  = "written"
	keyJournal  = "journal"
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
	// stateFill packs pages: most records are folded in the order of their
	// creation, which is that of their keys.
	stateFill = 0.8
)

// OpenBolt opens or makes the file, one beside it that keeps other processes
// off, and the journal. A file that another process has open is refused after
// two seconds.
func OpenBolt(path string) (*BoltLog, error) {
	if err := makeFolder(filepath.Dir(path)); err != nil {
		return nil, err
	}
	return openBolt(path, folder(filepath.Dir(path)))
}

// openBolt is OpenBolt with a disk for the journal.
func openBolt(path string, d disk) (*BoltLog, error) {
	lock, err := bolt.Open(path+".lock", fileMode, &bolt.Options{Timeout: lockTimeout})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("%s %w", path, ErrInUse)
	}
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	l := &BoltLog{path: path, lock: lock}
	if err := l.open(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	err = l.settle(d)
	if err == nil {
		err = l.prepare(d)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening %s: %w", path, err), l.db.Close(), lock.Close())
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

// settle makes sure that what the file shows is on the disk, before anything is
// removed or written over that would be missed else: a process may have been
// killed before its sync, or that has failed, after which a system shows what is
// not on the disk and never writes it by itself. It is enough to write anew the
// page that names the root, as it is: bbolt syncs what the root leads to before
// it writes that page.
func (l *BoltLog) settle(d disk) error {
	tx, err := l.db.Begin(false)
	if err != nil {
		return fmt.Errorf("reading the state: %w", err)
	}
	size := int64(l.db.Info().PageSize)
	at := int64(tx.ID()%2) * size
	if err := tx.Rollback(); err != nil {
		return fmt.Errorf("reading the state: %w", err)
	}
	if err := d.rewrite(filepath.Base(l.path), at, size); err != nil {
		return err
	}
	return d.sync() // the file may be new
}

// prepare makes what a new file lacks, reads the journal, and writes it anew.
func (l *BoltLog) prepare(d disk) error {
	k, complete, err := l.readMeta()
	if err != nil {
		return err
	}
	if !complete {
		if err := l.complete(); err != nil {
			return err
		}
	}
	k.folded = l.folded.Load()
	prefix := filepath.Base(l.path) + journalSuffix
	if l.begun {
		l.journal, err = openSegments(d, prefix, k)
	} else if k.journal, err = uuid.NewRandom(); err == nil {
		l.journal, err = newSegments(d, prefix, k)
	}
	if err != nil {
		return err
	}
	if l.begun {
		err = l.journal.renew(k.folded)
	} else {
		err = l.journal.clear()
	}
	if err != nil {
		return errors.Join(err, l.journal.close(true))
	}
	return nil
}

// readMeta reads what the state says of itself, and whether it has all that a
// state has.
func (l *BoltLog) readMeta() (k known, complete bool, err error) {
	err = l.db.View(func(tx *bolt.Tx) error {
		meta := tx.Bucket([]byte(bucketMeta))
		complete = meta != nil && tx.Bucket([]byte(bucketState)) != nil && tx.Bucket([]byte(oldJournal)) == nil
		if meta == nil {
			return nil
		}
		if v := meta.Get([]byte(keyFolded)); len(v) == versionSize {
			l.folded.Store(binary.BigEndian.Uint64(v))
		}
		if v := meta.Get([]byte(keyWritten)); len(v) == versionSize {
			k.written = binary.BigEndian.Uint64(v)
		}
		l.begun = copy(k.journal[:], meta.Get([]byte(keyJournal))) == len(k.journal)
		return nil
	})
	if err != nil {
		return known{}, false, fmt.Errorf("reading the state: %w", err)
	}
	return k, complete, nil
}

// journalSuffix is between the name of the file and what tells the journal's
// files apart.
const journalSuffix = ".journal-"

// complete makes the buckets of a new file, and moves what a file of an earlier
// version has for a journal into its state.
func (l *BoltLog) complete() error {
	err := l.db.Update(func(tx *bolt.Tx) error {
		for _, name := range []string{bucketState, bucketMeta} {
			if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
				return fmt.Errorf("making bucket %s: %w", name, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("making the state: %w", err)
	}
	return l.foldOldJournal()
}

// Append implements [Log]: one write, synced before it returns.
func (l *BoltLog) Append(_ context.Context, batch []Delta) error {
	if len(batch) == 0 {
		return nil
	}
	err := l.begin()
	if err == nil {
		err = l.journal.append(batch)
	}
	if err != nil {
		err = fmt.Errorf("appending to the journal: %w", err)
		l.leave(err)
	}
	return err
}

// begin makes the state know of the journal, once there is one: from then on a
// journal that is missing is noticed.
func (l *BoltLog) begin() error {
	if err := l.usable(); err != nil || l.begun {
		return err
	}
	if err := l.journal.begin(); err != nil {
		return err
	}
	err := l.db.Update(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte(bucketMeta)).Put([]byte(keyJournal), l.journal.id[:])
	})
	if err != nil {
		return fmt.Errorf("noting the journal: %w", err)
	}
	l.begun = true
	return nil
}

// errBroken is what follows the first failure to write.
var errBroken = errors.New("an earlier write failed")

// usable returns nil, or why nothing may be written any more.
func (l *BoltLog) usable() error {
	if err := l.broken.Load(); err != nil {
		return fmt.Errorf("%w: %w", errBroken, *err)
	}
	return nil
}

// aboutRecord reports whether the delta puts or deletes a user or group.
func (d Delta) aboutRecord() bool {
	return d.Kind == KindPutUser || d.Kind == KindPutGroup || d.deletes()
}

// deletes reports whether the delta deletes a user or group.
func (d Delta) deletes() bool { return d.Kind == KindDeleteUser || d.Kind == KindDeleteGroup }

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
	d, deleted, found, err := l.journal.record(key)
	switch {
	case err != nil:
		return Delta{}, fmt.Errorf("reading the log: %w", err)
	case deleted:
		return Delta{}, fmt.Errorf("record %s: %w", subject, ErrNotFound)
	case found:
		return d, nil
	}
	l.mu.RLock()
	db := l.db
	l.mu.RUnlock()
	err = db.View(func(tx *bolt.Tx) error {
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
	stop := l.readAhead()
	folded, last, err := l.replay(from, each)
	if stop(); err != nil {
		return 0, err
	}
	if from <= folded {
		return last, l.reopen()
	}
	return last, nil
}

// readAhead makes the file's pages present from front to back until stopped:
// bbolt maps it for random access, so a scan would wait for every page.
func (l *BoltLog) readAhead() (stop func()) {
	file, err := os.Open(l.path)
	if err != nil {
		return func() {} // then it is as slow as it is
	}
	stopped, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = file.Close() }() // opened for reading only
		present(file, l.db.Info().Data, stopped)
	}()
	return func() {
		close(stopped)
		<-done
	}
}

// present asks for the pages of a mapped file, some time before it maps them.
func present(file *os.File, data uintptr, stopped <-chan struct{}) {
	info, err := file.Stat()
	if err != nil {
		return
	}
	const ahead = 8 * readAheadBytes
	for at := int64(-ahead); at < info.Size(); at += readAheadBytes {
		select {
		case <-stopped:
			return
		default:
		}
		if next := at + ahead; next < info.Size() && !willNeed(file, next, readAheadBytes) ||
			at >= 0 && !populate(data+uintptr(at), uintptr(min(readAheadBytes, info.Size()-at))) { //nolint:gosec // within the file
			readThrough(file, max(at, 0), stopped)
			return
		}
	}
}

// readThrough reads a file from an offset on, so that the system has it in
// memory.
func readThrough(file *os.File, from int64, stopped <-chan struct{}) {
	buf := make([]byte, readAheadBytes)
	for n := 1; n > 0; from += int64(n) {
		select {
		case <-stopped:
			return
		default:
			n, _ = file.ReadAt(buf, from) // an end is an end
		}
	}
}

// readAheadBytes is how much of a file is read at once.
const readAheadBytes = 4 << 20

// replay calls each for the state before a version and for every delta from
// there on. It returns the version of the state and the last one. It sees the
// log as it is when it begins, and may run beside Append and Fold.
func (l *BoltLog) replay(from uint64, each func(Delta) error) (folded, last uint64, err error) {
	l.journal.pinned.RLock() // before the state is, so that nothing between them is dropped
	defer l.journal.pinned.RUnlock()
	err = l.db.View(func(tx *bolt.Tx) error {
		if v := tx.Bucket([]byte(bucketMeta)).Get([]byte(keyFolded)); len(v) == versionSize {
			folded = binary.BigEndian.Uint64(v)
		}
		if from > folded {
			return nil
		}
		return stateReplay{state: tx.Bucket([]byte(bucketState)), version: folded, each: each}.run()
	})
	if err == nil {
		last, err = l.journal.replay(max(folded, max(from, 1)-1), each)
	}
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

// leave has Close change nothing: who put the wrong file beside a journal can
// still put back the right one.
func (l *BoltLog) leave(cause error) { l.broken.CompareAndSwap(nil, &cause) }

// Close implements [Log]. What is in the journal is folded first, so that the
// file alone is all of a log that was closed; after a failed write everything
// is left for the next start to read.
func (l *BoltLog) Close() error {
	var faults []error
	whole := false
	if l.begun && l.usable() == nil {
		err := l.finish()
		whole = err == nil
		faults = append(faults, err)
	}
	faults = append(faults, l.journal.close(!whole), l.db.Close(), l.lock.Close())
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("closing the log: %w", err)
	}
	return nil
}

// finish folds all of the journal and makes the state forget that it had one.
func (l *BoltLog) finish() error {
	l.journal.ending = true
	for left := 1; left > 0; {
		var err error
		if left, err = l.Fold(closeChunk); err != nil {
			return err
		}
	}
	err := l.db.Update(func(tx *bolt.Tx) error { return tx.Bucket([]byte(bucketMeta)).Delete([]byte(keyJournal)) })
	if err != nil {
		return fmt.Errorf("noting the end of the journal: %w", err)
	}
	return nil
}

// closeChunk is how many keys are folded at once when the log is closed. What a
// transaction replaces stays in the file's list of free pages, which every later
// one writes whole: more at once would make all folding dearer.
const closeChunk = 512

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
