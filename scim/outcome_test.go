package scim_test

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/scim"
)

// silentLog is a shared log that may do what it is asked and not say so.
type silentLog struct {
	mu      sync.Mutex
	batches map[uint64][]directory.Delta // by the version before
	last    uint64
	// mute does not answer appends; deaf does not do them either.
	mute, deaf bool
}

var errNoAnswer = errors.New("no answer")

func (l *silentLog) set(mute, deaf bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mute, l.deaf = mute, deaf
}

func (*silentLog) Origin() string { return "silent" }
func (*silentLog) Close() error   { return nil }

func (*silentLog) Load(context.Context, func(directory.Delta) error) (uint64, error) { return 0, nil }

func (l *silentLog) Append(_ context.Context, batch []directory.Delta) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.deaf:
		return errNoAnswer
	case batch[0].Version != l.last+1:
		return directory.ErrBehind
	}
	l.batches[l.last] = batch
	l.last = batch[len(batch)-1].Version
	if l.mute {
		return errNoAnswer
	}
	return nil
}

func (l *silentLog) Next(_ context.Context, after uint64) ([]directory.Delta, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.batches[after], nil
}

// overSilentLog is a directory over such a log that runs until the test ends.
func overSilentLog(t *testing.T) (*silentLog, *directory.Directory) {
	t.Helper()
	l := &silentLog{batches: map[uint64][]directory.Delta{}}
	d, err := directory.Open(directory.Config{
		Path: filepath.Join(t.TempDir(), "directory.db"), Shared: l, Poll: time.Millisecond,
		Clock: time.Now, Random: rand.Reader, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, d.Close()); err != nil {
			t.Error(err)
		}
	})
	return l, d
}

// A provider that does not wait is no failure of the directory, and its operator is not sent to look for one.
func TestAClientThatHangsUpIsToldAsThat(t *testing.T) {
	t.Parallel()
	l, d := overSilentLog(t)
	var log strings.Builder
	g := serverOver(t, d, func(c *scim.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	l.mu.Lock() // it does not answer
	ctx, hangUp := context.WithCancel(t.Context())
	defer time.AfterFunc(time.Millisecond, hangUp).Stop()
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/scim/v2/corp/Users", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	g.ServeHTTP(httptest.NewRecorder(), r)
	l.mu.Unlock()
	failures := g.Status()[0].Failures
	if len(failures) != 1 || !strings.Contains(failures[0].Detail, "ended before") || strings.Contains(failures[0].Fix, "directory") || log.Len() > 0 {
		t.Errorf("%+v\n%s", failures, log.String())
	}
}

// What a provider is told nothing certain about must be in the record, and so must its end.
func TestAWriteWhoseAnswerIsLostIsRecordedAsThatAndAgainOnceItIsKnown(t *testing.T) {
	t.Parallel()
	l, d := overSilentLog(t)
	type told struct {
		Detail string
		Open   bool
		Done   bool
	}
	records := make(chan told, 4)
	g := serverOver(t, d, func(c *scim.Config) {
		c.Record = func(w scim.Written) {
			records <- told{Detail: w.Detail, Open: w.OnSettled != nil, Done: w.OnSettled == nil}
			if w.OnSettled != nil {
				w.OnSettled(func(done bool) { records <- told{Detail: w.Detail, Done: done} })
			}
		}
	})
	next := func(want told) {
		t.Helper()
		if diff := cmp.Diff(want, <-records); diff != "" {
			t.Fatalf("record (-want +got):\n%s", diff)
		}
	}
	id := g.user(t, "ann")
	next(told{Detail: "active true", Done: true})

	l.set(true, false)
	g.want(t, http.StatusServiceUnavailable, http.MethodPatch, "/Users/"+id, patchBody(`{"op":"replace","path":"active","value":false}`))
	next(told{Detail: "active false", Open: true})
	next(told{Detail: "active false", Done: true}) // from the log, which is read all the time
	if u, _ := d.User(corp, directory.ID(id)); u.Active {
		t.Error("the record says that it took effect, and it did not")
	}

	l.set(true, true)
	g.want(t, http.StatusServiceUnavailable, http.MethodDelete, "/Users/"+id, "")
	next(told{Open: true})
	l.set(false, false)
	g.want(t, http.StatusCreated, http.MethodPost, "/Users", `{"userName":"bob"}`)
	next(told{}) // the place in the log went to somebody else
	next(told{Detail: "active true", Done: true})
	if _, ok := d.User(corp, directory.ID(id)); !ok {
		t.Error("the record says that it had no effect, and it had")
	}
}
