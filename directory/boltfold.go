package directory

import (
	"bytes"
	"encoding/binary"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// Backlog implements [Folder].
func (l *BoltLog) Backlog() int {
	deltas := l.journal.after(l.folded.Load())
	if deltas == 0 {
		return 0
	}
	return max(deltas, int(l.journal.waiting.Load()/pageBytes))
}

// Fold implements [Folder]: it moves the oldest deltas of the journal, worth
// about limit keys, into state in one transaction. A crash leaves either all of
// them or none moved; those that are in both change nothing when they are
// applied again.
func (l *BoltLog) Fold(limit int) (int, error) {
	if err := l.usable(); err != nil {
		return 0, err
	}
	folded, err := l.fold(l.folded.Load(), limit)
	if err != nil {
		err = fmt.Errorf("folding the journal: %w", err)
		l.leave(err)
		return 0, err
	}
	l.folded.Store(folded)
	return l.journal.after(folded), nil
}

// fold returns the version of the state after it.
func (l *BoltLog) fold(folded uint64, limit int) (uint64, error) {
	if err := l.journal.prepare(); err != nil {
		return 0, err
	}
	deltas, err := l.journal.foldable(folded, limit)
	if err != nil || len(deltas) == 0 {
		return folded, err
	}
	folded = deltas[len(deltas)-1].Version
	err = l.db.Update(func(tx *bolt.Tx) error {
		state := tx.Bucket([]byte(bucketState))
		state.FillPercent = stateFill
		for _, d := range deltas {
			if err := foldDelta(state, d); err != nil {
				return fmt.Errorf("folding version %d: %w", d.Version, err)
			}
		}
		meta := tx.Bucket([]byte(bucketMeta))
		if err := meta.Put([]byte(keyWritten), versionKey(l.journal.end())); err != nil {
			return fmt.Errorf("noting the end of the journal: %w", err)
		}
		return meta.Put([]byte(keyFolded), versionKey(folded))
	})
	if err != nil {
		return 0, fmt.Errorf("writing state: %w", err)
	}
	return folded, l.journal.drop(deltas)
}

// oldJournal is the bucket that earlier versions kept the journal in.
const oldJournal = "journal"

// foldOldJournal moves what an earlier version left in its journal into state,
// and drops that journal.
func (l *BoltLog) foldOldJournal() error {
	for done := false; !done; {
		if err := l.db.Update(func(tx *bolt.Tx) (err error) {
			done, err = l.foldOld(tx)
			return err
		}); err != nil {
			return fmt.Errorf("folding the journal of an earlier version: %w", err)
		}
	}
	return nil
}

// foldOld moves some of an old journal and reports whether that was all of it.
func (l *BoltLog) foldOld(tx *bolt.Tx) (done bool, err error) {
	journal, state, meta := tx.Bucket([]byte(oldJournal)), tx.Bucket([]byte(bucketState)), tx.Bucket([]byte(bucketMeta))
	if journal == nil {
		return true, nil
	}
	var moved [][]byte
	cursor := journal.Cursor()
	k, v := cursor.First()
	for keys := 0; k != nil && keys < closeChunk; k, v = cursor.Next() {
		d, err := decodeDelta(k, v)
		if err != nil {
			return false, err
		}
		d.Payload = bytes.Clone(d.Payload) // the journal's pages are about to change
		keys += d.keys()
		if err := foldDelta(state, d); err != nil {
			return false, err
		}
		moved = append(moved, bytes.Clone(k))
	}
	for _, key := range moved {
		if err := journal.Delete(key); err != nil {
			return false, fmt.Errorf("dropping delta %x: %w", key, err)
		}
	}
	if n := len(moved); n > 0 {
		if err := meta.Put([]byte(keyFolded), moved[n-1]); err != nil {
			return false, fmt.Errorf("noting the folded version: %w", err)
		}
		l.folded.Store(binary.BigEndian.Uint64(moved[n-1]))
	}
	if k != nil {
		return false, nil
	}
	return true, tx.DeleteBucket([]byte(oldJournal)) //nolint:wrapcheck // the caller says what was tried
}

// keys is the number of state keys that a delta touches.
func (d Delta) keys() int {
	if d.Kind == KindAddMembers || d.Kind == KindRemoveMembers {
		return 1 + len(d.Payload)/idSize
	}
	return 1
}

// foldDelta applies one delta to the state keys.
func foldDelta(state *bolt.Bucket, d Delta) error {
	id := binaryID(d.Subject)
	switch d.Kind {
	case KindPutUser:
		return put(state, stateKey(prefixUser, id), d)
	case KindDeleteUser:
		return wrapPut(state.Delete(stateKey(prefixUser, id)))
	case KindPutGroup:
		return put(state, stateKey(prefixGroup, id), d)
	case KindTouchGroup:
		return put(state, stateKey(prefixTouch, id), d)
	case KindDeleteGroup:
		return foldDeletedGroup(state, id)
	case KindAddMembers, KindRemoveMembers:
		return foldMembers(state, id, d)
	case KindPutLock:
		return put(state, stateKey(prefixLock, []byte(d.Subject)), d)
	case KindDeleteLock:
		return wrapPut(state.Delete(stateKey(prefixLock, []byte(d.Subject))))
	case KindPutToken:
		return put(state, stateKey(prefixToken, []byte(d.Subject)), d)
	case KindDeleteToken:
		return wrapPut(state.Delete(stateKey(prefixToken, []byte(d.Subject))))
	case KindPutEntry:
		return put(state, stateKey(prefixEntry, []byte(d.Subject)), d)
	case KindDeleteEntry:
		return wrapPut(state.Delete(stateKey(prefixEntry, []byte(d.Subject))))
	default:
		return fmt.Errorf("%w: unknown kind %d", ErrCorrupt, d.Kind)
	}
}

func foldDeletedGroup(state *bolt.Bucket, group []byte) error {
	doomed := [][]byte{stateKey(prefixGroup, group), stateKey(prefixTouch, group)}
	start := stateKey(prefixMember, group)
	cursor := state.Cursor()
	for k, _ := cursor.Seek(start); bytes.HasPrefix(k, start); k, _ = cursor.Next() {
		doomed = append(doomed, bytes.Clone(k))
	}
	for _, key := range doomed {
		if err := state.Delete(key); err != nil {
			return wrapPut(err)
		}
	}
	return nil
}

func stateKey(prefix byte, id []byte) []byte {
	return append([]byte{prefix}, id...)
}

func put(state *bolt.Bucket, key []byte, d Delta) error {
	return wrapPut(state.Put(key, d.encode(key)))
}

func wrapPut(err error) error {
	if err != nil {
		return fmt.Errorf("writing state: %w", err)
	}
	return nil
}
