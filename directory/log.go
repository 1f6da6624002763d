package directory

import (
	"context"
	"time"
)

// Kind says what a [Delta] does.
type Kind uint8

// The kinds of delta. Their numbers are stored: append only.
const (
	KindPutUser Kind = iota + 1
	KindDeleteUser
	KindPutGroup
	KindDeleteGroup
	KindAddMembers
	KindRemoveMembers
	KindTouchGroup
	KindPutLock
	KindDeleteLock
	KindPutToken
	KindDeleteToken
	KindPutEntry
	KindDeleteEntry
)

// Delta is one committed effect. Applying a log's deltas in order to an empty
// directory yields the directory; applying one twice changes nothing.
type Delta struct {
	// Version is the delta's place in the log, from 1 without gaps.
	Version uint64
	Time    time.Time
	Kind    Kind
	// Connection owns the subject; empty for locks.
	Connection string
	// Subject is the record's id, the locked subject, or the token's id.
	Subject string
	// Revision is the subject's counter after the delta.
	Revision uint64
	Payload  []byte
}

// Log keeps deltas. Append and Tail are called by one goroutine at a time;
// Record by any number beside them, and by another one Fold of a log that is a
// [Folder], though not beside Tail. What an implementation must keep is tested
// by package logtest.
type Log interface {
	// Append returns nil once the batch is durable, whole and in order. After
	// an error nobody may assume which part of it is.
	Append(ctx context.Context, batch []Delta) error
	// Tail calls each for the state before version from, then for every delta
	// from there on, in order, and returns the last version, zero for an empty
	// log. State comes as deltas too; what it no longer holds has no delta. A
	// delta's payload is valid until each returns. The first call is with from
	// zero and precedes everything else.
	Tail(ctx context.Context, from uint64, each func(Delta) error) (last uint64, err error)
	// Record returns the newest delta of a kind, [KindPutUser] or [KindPutGroup],
	// about a subject that Append or Tail has finished with, or [ErrNotFound] if
	// the subject was deleted since or never was. Its version may be zero. The
	// directory keeps no documents in memory and reads them here, so it should
	// answer without a network. The payload is the caller's.
	Record(kind Kind, subject string) (Delta, error)
	// Close releases what the log holds.
	Close() error
}

// Folder is a [Log] that wants to be tidied up beside its writer.
type Folder interface {
	// Fold moves deltas worth about limit keys, none for zero, and makes ready what
	// the next commits need; it reports how many are left.
	// After an error the directory stops, as after one of Append.
	Fold(limit int) (left int, err error)
	// Backlog measures what waits to be folded, in deltas or pages of 4 KiB,
	// whichever is more. Anybody may call it.
	Backlog() int
}
