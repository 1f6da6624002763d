package directory

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	bolt "go.etcd.io/bbolt"
)

// boltLog is the embedded [Log]: one file. Append writes only to a journal of
// ascending keys, which is what a B+ tree does fastest; fold moves the journal
// into state, one key per record or membership, when the writer has nothing
// better to do. The directory is state plus journal.
type boltLog struct {
	db *bolt.DB
	// pending is the number of journal entries not folded yet.
	pending int
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
	prefixMember = 'm' // + group id + member id
	prefixTouch  = 'r' // + group id: revision and time of the last member change
	prefixLock   = 'l' // + subject
	prefixToken  = 't' // + token id
	prefixEntry  = 'e' // + class, NUL, name
)

const (
	fileMode    = 0o600
	lockTimeout = 2 * time.Second
	idSize      = len(uuid.UUID{})
	// memberChunk is how many memberships one delta of a replay holds.
	memberChunk = 4096
	// journalFill packs journal pages: their keys only ascend.
	journalFill = 0.95
)

// openBolt opens or makes the file. A file that another process has open is
// refused after two seconds.
func openBolt(path string) (*boltLog, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("making the directory's folder: %w", err)
	}
	db, err := bolt.Open(path, fileMode, &bolt.Options{Timeout: lockTimeout, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	l := &boltLog{db: db}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range []string{bucketJournal, bucketState, bucketMeta} {
			if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
				return fmt.Errorf("making bucket %s: %w", name, err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("preparing %s: %w", path, err), db.Close())
	}
	return l, nil
}

// Append implements [Log]: one transaction, synced before it returns.
func (l *boltLog) Append(_ context.Context, batch []Delta) error {
	err := l.db.Update(func(tx *bolt.Tx) error {
		journal := tx.Bucket([]byte(bucketJournal))
		journal.FillPercent = journalFill
		for _, d := range batch {
			key := versionKey(d.Version)
			if err := journal.Put(key, d.encode(key)); err != nil {
				return fmt.Errorf("writing delta %d: %w", d.Version, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("appending to the journal: %w", err)
	}
	l.pending += len(batch)
	return nil
}

// Tail implements [Log].
func (l *boltLog) Tail(_ context.Context, from uint64, each func(Delta) error) (uint64, error) {
	last := uint64(0)
	err := l.db.View(func(tx *bolt.Tx) error {
		folded := uint64(0)
		if v := tx.Bucket([]byte(bucketMeta)).Get([]byte(keyFolded)); len(v) == 8 {
			folded = binary.BigEndian.Uint64(v)
		}
		if from <= folded {
			replay := stateReplay{state: tx.Bucket([]byte(bucketState)), version: folded, each: each}
			if err := replay.run(); err != nil {
				return err
			}
		}
		l.pending, last = 0, folded
		journal := tx.Bucket([]byte(bucketJournal)).Cursor()
		for k, v := journal.Seek(versionKey(max(from, folded+1))); k != nil; k, v = journal.Next() {
			d, err := decodeDelta(k, v)
			if err != nil {
				return err
			}
			d.Version = binary.BigEndian.Uint64(k)
			last = d.Version
			l.pending++
			if err := each(d); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("reading the log: %w", err)
	}
	return last, nil
}

// Close implements [Log].
func (l *boltLog) Close() error {
	if err := l.db.Close(); err != nil {
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

// members gathers the memberships of each group into few deltas. Revision zero
// leaves the group's own counter alone.
func (r stateReplay) members() error {
	cursor := r.state.Cursor()
	start := []byte{prefixMember}
	d := Delta{Kind: KindAddMembers, Version: r.version}
	var group []byte
	flush := func() error {
		if len(d.Payload) == 0 {
			return nil
		}
		err := r.each(d)
		d.Payload = d.Payload[:0]
		return err
	}
	for k, v := cursor.Seek(start); bytes.HasPrefix(k, start); k, v = cursor.Next() {
		if len(k) != 1+2*idSize || len(v) != 4 || binary.BigEndian.Uint32(v) != checksum(k, nil) {
			return fmt.Errorf("%w: checksum of key %x", ErrCorrupt, k)
		}
		if !bytes.Equal(group, k[1:1+idSize]) || len(d.Payload) >= memberChunk*idSize {
			if err := flush(); err != nil {
				return err
			}
			group = bytes.Clone(k[1 : 1+idSize])
			d.Subject = uuid.UUID(group).String()
		}
		d.Payload = append(d.Payload, k[1+idSize:]...)
	}
	return flush()
}

func versionKey(version uint64) []byte { return binary.BigEndian.AppendUint64(nil, version) }
