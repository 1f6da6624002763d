package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/internal/config"
	"github.com/cosmosgate/cosmosgate/internal/control"
)

// limitedLog takes some batches and then no more.
type limitedLog struct {
	directory.Log

	left atomic.Int32
}

var errDiskFull = errors.New("disk is full")

func (l *limitedLog) Append(ctx context.Context, batch []directory.Delta) error {
	if l.left.Add(-1) < 0 {
		return errDiskFull
	}
	return l.Log.Append(ctx, batch) //nolint:wrapcheck // it is another log's
}

// runningDirectory is over a log that takes so many batches, until the test ends.
func runningDirectory(t *testing.T, batches int32) *directory.Directory {
	t.Helper()
	embedded, err := directory.OpenBolt(filepath.Join(t.TempDir(), "log.db"))
	if err != nil {
		t.Fatal(err)
	}
	log := &limitedLog{Log: embedded}
	log.left.Store(batches)
	d, err := directory.Open(directory.Config{Log: log, Clock: time.Now, Random: rand.Reader, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-done, d.Close()); err != nil {
			t.Error(err)
		}
	})
	return d
}

// TestAnImportThatBreaksOffSaysWhatIsThere fails with the second of its commits. Nobody may read that nothing was changed, also not of people
// of a connection that the configuration does not name.
func TestAnImportThatBreaksOffSaysWhatIsThere(t *testing.T) {
	t.Parallel()
	changes := make([]directory.Change, 0, 1500)
	for i := range cap(changes) {
		changes = append(changes, directory.CreateUser{User: directory.User{UserName: fmt.Sprintf("u%d", i), Active: true}})
	}
	from := runningDirectory(t, 1)
	if _, err := from.Apply(t.Context(), "gone", changes...); err != nil {
		t.Fatal(err)
	}
	var people bytes.Buffer
	if err := from.Export(&people); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	g := &gate{
		directory: runningDirectory(t, 1),
		cfg: config.Config{
			Directory: config.Directory{Path: filepath.Join(folder, "directory.db")}, Connections: []config.Connection{{Name: "dev"}},
		},
	}
	if err := os.Mkdir(filepath.Dir(g.cfg.ControlSocket()), 0o700); err != nil {
		t.Fatal(err)
	}
	err := g.importDirectory(t.Context(), &control.Call{Params: url.Values{}}, &people, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "1000 people and 0 groups of it are in the directory") {
		t.Errorf("after 1,000 of 1,500 people: %v", err)
	}
}
