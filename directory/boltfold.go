package directory

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// Backlog implements [Folder].
func (l *BoltLog) Backlog() int { return max(l.pending, l.pendingBytes>>10) }

// Fold implements [Folder]: it moves the oldest journal entries, worth about
// limit keys, into state in one transaction. A crash leaves either all of them
// or none moved.
func (l *BoltLog) Fold(limit int) (int, error) {
	moved, bytesMoved := 0, 0
	var folded []foldedRecord
	err := l.db.Update(func(tx *bolt.Tx) error {
		journal, state := tx.Bucket([]byte(bucketJournal)), tx.Bucket([]byte(bucketState))
		state.FillPercent = stateFill
		var last []byte
		var done [][]byte
		cursor := journal.Cursor()
		keys := 0
		for k, v := cursor.First(); k != nil && keys < limit; k, v = cursor.Next() {
			d, err := decodeDelta(k, v)
			if err != nil {
				return err
			}
			d.Payload = slices.Clone(d.Payload) // the journal's pages are about to change
			keys += d.keys()
			bytesMoved += len(v)
			if d.aboutRecord() {
				folded = append(folded, foldedRecord{journalKey(d.Kind, d.Subject), binary.BigEndian.Uint64(k)})
			}
			if err := foldDelta(state, d); err != nil {
				return fmt.Errorf("folding delta %x: %w", k, err)
			}
			last = bytes.Clone(k)
			done = append(done, last)
		}
		moved = len(done)
		for _, k := range done {
			if err := journal.Delete(k); err != nil {
				return fmt.Errorf("dropping delta %x: %w", k, err)
			}
		}
		if last == nil {
			return nil
		}
		if err := tx.Bucket([]byte(bucketMeta)).Put([]byte(keyFolded), last); err != nil {
			return fmt.Errorf("noting the folded version: %w", err)
		}
		return nil
	})
	if err != nil {
		return l.pending, fmt.Errorf("folding the journal: %w", err)
	}
	l.pending -= moved
	l.pendingBytes -= bytesMoved
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range folded {
		if l.journaled[f.key].delta.Version <= f.version {
			delete(l.journaled, f.key)
		}
	}
	return l.pending, nil
}

// foldedRecord is a delta about a record that has left the journal.
type foldedRecord struct {
	key     string
	version uint64
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
