package directory

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// busy is a shared log that others wrote to for long.
type busy struct {
	lonely

	last    atomic.Uint64
	backlog func() int
	most    int
}

// Next returns a thousand changes of one entry, while there are some.
func (b *busy) Next(_ context.Context, after uint64) ([]Delta, error) {
	if b.backlog != nil {
		b.most = max(b.most, b.backlog())
	}
	if after >= b.last.Load() {
		return nil, nil
	}
	var batch []Delta
	for version := after + 1; version <= after+busyBatch; version++ {
		batch = append(batch, Delta{
			Version: version, Time: time.Unix(1, 0), Kind: KindPutEntry, Subject: entrySubject("c", "n"),
			Revision: version, Payload: encodeEntry(&Entry{Value: []byte("v")}),
		})
	}
	return batch, nil
}

const busyBatch = 1000

// TestWhatIsAdoptedAfterALongAbsenceWaitsForFolding has others write more than
// may wait, before a start and during a run.
func TestWhatIsAdoptedAfterALongAbsenceWaitsForFolding(t *testing.T) {
	t.Parallel()
	const many, bound = 90 * busyBatch, maxBacklog + busyBatch
	shared := &busy{}
	shared.last.Store(many)
	d, err := Open(Config{
		Path: filepath.Join(t.TempDir(), "directory.db"), Shared: shared, Poll: time.Millisecond,
		Clock: time.Now, Random: rand.Reader, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	log, _ := d.log.(*BoltLog)
	if left := log.Backlog(); left == 0 || left > bound {
		t.Errorf("after the start %d wait", left)
	}
	ctx, cancel := context.WithCancel(t.Context())
	shared.backlog = log.Backlog
	shared.last.Store(2 * many)
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	for d.seen.Load() < 2*many && d.Healthy() == nil {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := errors.Join(<-ended, d.Healthy(), d.Close()); err != nil {
		t.Error(err)
	}
	if shared.most > bound {
		t.Errorf("%d waited", shared.most)
	}
}
