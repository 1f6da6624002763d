package directory

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"
)

// Of a commit whose outcome is open, a caller who was refused has no part.
func TestWhoWasRefusedHasNoPartInAnOpenOutcome(t *testing.T) {
	t.Parallel()
	open := &UnknownOutcomeError{kind: ErrUnavailable, cause: ErrUnavailable, attempt: &attempt{}}
	if err := overruled(open, nil); err != error(open) { //nolint:errorlint // the very same
		t.Errorf("who was planned is told %v", err)
	}
	err := overruled(open, ErrRevision)
	if _, unknown := errors.AsType[*UnknownOutcomeError](err); unknown || !errors.Is(err, ErrUnavailable) {
		t.Errorf("who was refused is told %v", err)
	}
}

// lonely is a shared log that nobody else writes to.
type lonely struct{}

func (lonely) Origin() string                                          { return "lonely" }
func (lonely) Append(context.Context, []Delta) error                   { return nil }
func (lonely) Next(context.Context, uint64) ([]Delta, error)           { return nil, nil }
func (lonely) Load(context.Context, func(Delta) error) (uint64, error) { return 0, nil }
func (lonely) Close() error                                            { return nil }

// TestWhatTheSharedLogHoldsIsDoneThoughTheCopyFails breaks the copy's disk: other
// gates obey the change.
func TestWhatTheSharedLogHoldsIsDoneThoughTheCopyFails(t *testing.T) {
	t.Parallel()
	d, err := Open(Config{
		Path: filepath.Join(t.TempDir(), "directory.db"), Shared: lonely{},
		Clock: time.Now, Random: rand.Reader, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	log, _ := d.log.(*BoltLog)
	log.broken.Store(&errBroken)
	_, err = d.Apply(ctx, "corp", CreateUser{User: User{UserName: "ana"}})
	told := make(chan bool, 1)
	if open, unknown := errors.AsType[*UnknownOutcomeError](err); unknown && errors.Is(err, ErrStopped) {
		open.OnSettled(func(done bool) { told <- done })
	} else {
		t.Errorf("got %v", err)
		told <- true
	}
	if !<-told {
		t.Error("it is said to have had no effect")
	}
	cancel()
	if err := errors.Join(<-ended, d.Close()); err != nil {
		t.Error(err)
	}
}
