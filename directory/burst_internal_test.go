package directory

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// rushing is a log that others fill, and that only notes what is folded.
type rushing struct {
	*BoltLog

	backlog, prepared, folded atomic.Int64
}

func (r *rushing) Backlog() int { return int(r.backlog.Load()) }

func (r *rushing) Fold(limit int) (int, error) {
	if limit == 0 {
		r.prepared.Add(1)
	} else {
		r.folded.Add(1)
		r.backlog.Add(-min(int64(limit), r.backlog.Load()))
	}
	return r.Backlog(), nil
}

// running starts a directory in a test with a clock of its own, and returns what
// ends it.
func running(t *testing.T, log Log) (d *Directory, end func()) {
	t.Helper()
	d, err := Open(Config{Log: log, Clock: time.Now, Random: rand.Reader, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	synctest.Wait()
	return d, func() {
		cancel()
		if err := errors.Join(<-ended, d.Close()); err != nil {
			t.Error(err)
		}
	}
}

// come adds so many deltas a second for some time, as the writer does, and
// returns how many waited at most.
func (r *rushing) come(t *tidy, rate int, during time.Duration) (most int64) {
	const step = 10 * time.Millisecond
	for end := time.Now().Add(during); time.Now().Before(end); time.Sleep(step) {
		most = max(most, r.backlog.Add(int64(rate)/int64(time.Second/step)))
		t.wake()
		t.wait()
	}
	return most
}

func TestFoldingWaitsForTheEndOfARun(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		rate   int
		during time.Duration
		// waits: nothing is folded meanwhile; else at most so many wait.
		waits bool
		most  int64
	}{
		"a trickle":                          {rate: 300, during: 10 * time.Second, most: 200},
		"a provider's run":                   {rate: 1000, during: 10 * time.Second, waits: true},
		"a run that lasts":                   {rate: 1000, during: time.Minute, most: maxBacklog/2 + 1000},
		"one that comes faster than folding": {rate: 1_000_000, during: 10 * time.Second, most: maxBacklog + 10_000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				log, err := OpenBolt(filepath.Join(t.TempDir(), "log.db"))
				if err != nil {
					t.Fatal(err)
				}
				r := &rushing{BoltLog: log}
				d, end := running(t, r)
				defer end()
				most := r.come(d.tidy, test.rate, test.during)
				switch {
				case test.waits && (r.folded.Load() > 0 || r.prepared.Load() == 0):
					t.Errorf("%d chunks were folded meanwhile, segments made ready %d times", r.folded.Load(), r.prepared.Load())
				case !test.waits && (r.folded.Load() == 0 || most > test.most):
					t.Errorf("%d chunks were folded meanwhile, %d deltas waited", r.folded.Load(), most)
				}
				if time.Sleep(time.Minute); r.Backlog() > 0 {
					t.Errorf("%d wait when it is over", r.Backlog())
				}
			})
		})
	}
}

// TestWhatWaitsToBeFoldedIsNotLostInACrash takes a copy of the files as they are
// at the end of a run.
func TestWhatWaitsToBeFoldedIsNotLostInACrash(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		path, copied := filepath.Join(t.TempDir(), "log.db"), filepath.Join(t.TempDir(), "log.db")
		log, err := OpenBolt(path)
		if err != nil {
			t.Fatal(err)
		}
		d, end := running(t, log)
		defer end()
		const people = 400
		for i := range people {
			user := User{UserName: fmt.Sprint("u", i), ExternalID: fmt.Sprint("x", i)}
			if _, err := d.Apply(t.Context(), "corp", CreateUser{User: user}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		if waiting := log.journal.after(log.folded.Load()); waiting != people {
			t.Errorf("%d of %d wait", waiting, people)
		}
		files := map[string][]byte{}
		for name, content := range contents(t, path) {
			files[filepath.Join(filepath.Dir(copied), filepath.Base(name))] = content
		}
		replace(t, files)
		crashed, err := OpenBolt(copied)
		if err != nil {
			t.Fatal(err)
		}
		after, endAfter := running(t, crashed)
		defer endAfter()
		if time.Sleep(time.Minute); log.Backlog() > 0 || crashed.Backlog() > 0 {
			t.Errorf("%d and %d wait when it is over", log.Backlog(), crashed.Backlog())
		}
		for i := range people {
			if _, ok := after.Lookup(LinkKey{Connection: "corp", ExternalID: fmt.Sprint("x", i)}); !ok {
				t.Errorf("u%d is lost", i)
			}
		}
	})
}
