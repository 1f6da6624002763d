package logtest

import (
	"context"
	"errors"
	"sync"

	"github.com/cosmosgate/cosmosgate/directory"
)

// ErrDisk is what a [Faulty] log fails with.
var ErrDisk = errors.New("disk on fire")

// Moment is when an append fails.
type Moment uint8

// The moments at which an append can fail.
const (
	// Never lets appends pass.
	Never Moment = iota
	// Before fails with nothing written.
	Before
	// During fails with the first half of the batch written.
	During
	// After fails though all of the batch is written.
	After
)

// Faulty passes everything to a log, except that its appends fail at a moment
// that a test chooses, and reads of records if it wants. Closing it leaves the
// log inside open.
type Faulty struct {
	directory.Log

	mu     sync.Mutex
	moment Moment
	unread bool
}

// Fail chooses when appends fail from now on.
func (f *Faulty) Fail(at Moment) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.moment = at
}

// FailReads chooses whether reads of records fail.
func (f *Faulty) FailReads(fail bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unread = fail
}

// Append implements [directory.Log].
func (f *Faulty) Append(ctx context.Context, batch []directory.Delta) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	written := batch
	switch f.moment {
	case Never, After:
	case Before:
		return ErrDisk
	case During:
		written = batch[:len(batch)/2]
	}
	if len(written) > 0 {
		if err := f.Log.Append(ctx, written); err != nil {
			return err //nolint:wrapcheck // it is another log's
		}
	}
	if f.moment != Never {
		return ErrDisk
	}
	return nil
}

// Record implements [directory.Log].
func (f *Faulty) Record(kind directory.Kind, subject string) (directory.Delta, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.unread {
		return directory.Delta{}, ErrDisk
	}
	return f.Log.Record(kind, subject) //nolint:wrapcheck // it is another log's
}

// Close implements [directory.Log].
func (f *Faulty) Close() error { return nil }
