package identity_test

import (
	"context"
	"crypto/rand"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/cosmosgate/cosmosgate/directory"
)

// house is a directory on disk that runs until the test ends, or is closed and opened again.
type house struct {
	*directory.Directory

	path string
	stop func()
}

func openHouse(tb testing.TB, path string) *house {
	tb.Helper()

	d, err := directory.Open(directory.Config{
		Path: path, Clock: time.Now, Random: rand.Reader, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		tb.Fatal(err)
	}

	ctx, cancel := context.WithCancel(context.Background())

	var running sync.WaitGroup

	running.Go(func() { _ = d.Run(ctx) })

	h := &house{Directory: d, path: path, stop: sync.OnceFunc(func() {
		cancel()
		running.Wait()

		if err := d.Close(); err != nil {
			tb.Error(err)
		}
	})}
	tb.Cleanup(h.stop)

	return h
}

func newHouse(tb testing.TB) *house {
	tb.Helper()

	return openHouse(tb, filepath.Join(tb.TempDir(), "directory.db"))
}

// reopen is a restart of the gate.
func (h *house) reopen(tb testing.TB) *house {
	tb.Helper()
	h.stop()

	return openHouse(tb, h.path)
}
