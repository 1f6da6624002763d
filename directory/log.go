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

// Log keeps deltas. An implementation is used by one goroutine at a time.
type Log interface {
	// Append returns nil once the batch is durable, whole and in order. After
	// an error nobody may assume which part of it is.
	Append(ctx context.Context, batch []Delta) error
	// Tail calls each for the state before version from, then for every delta
	// from there on, in order, and returns the last version, zero for an empty
	// log. State comes as deltas too; what it no longer holds has no delta. A
	// delta's payload is valid until each returns.
	Tail(ctx context.Context, from uint64, each func(Delta) error) (last uint64, err error)
	// Close releases what the log holds.
	Close() error
}
