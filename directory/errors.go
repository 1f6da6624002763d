package directory

import (
	"errors"
	"fmt"
)

// Errors that a write or an open returns, to be tested with [errors.Is].
var (
	// ErrStopped means that an earlier write failed: nothing is written until a
	// restart has read the log again.
	ErrStopped = errors.New("directory stopped after a failed write")
	// ErrInUse means that another process has the log open.
	ErrInUse = errors.New("is in use: another gate has it open")
	// ErrNotFound means that the connection has no such record.
	ErrNotFound = errors.New("no such record")
	// ErrRevision means that the record has moved on from the expected revision.
	ErrRevision = errors.New("record has another revision")
	// ErrLimit means that something would exceed a fixed limit of the directory.
	ErrLimit = errors.New("limit reached")
	// ErrNesting means that more groups would be above one than a group may have.
	ErrNesting = errors.New("groups are nested too much")
	// ErrLocked means that somebody who is locked is not linked anew, since too many
	// locks wait already for who gets an earlier link.
	ErrLocked = errors.New("somebody who is locked can't be linked anew")
	// ErrCorrupt means that the log holds something that it was not given.
	ErrCorrupt = errors.New("log is corrupt")
)

// ConflictError says that a value which must be unique within its connection is
// taken.
type ConflictError struct {
	// Attribute is the SCIM name of the value: userName, externalId or
	// displayName.
	Attribute string
	// Holder is the record that has it.
	Holder ID
}

// Error implements error.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s is taken by %s", e.Attribute, e.Holder)
}

// UnknownMemberError says that a member to be added is no user or group of the
// connection.
type UnknownMemberError struct{ Member string }

// Error implements error.
func (e *UnknownMemberError) Error() string {
	return fmt.Sprintf("member %q does not exist", e.Member)
}
