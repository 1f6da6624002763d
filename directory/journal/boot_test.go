package journal_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/directory/journal"
)

// run opens a directory over a journal and runs it until the test ends.
func run(t *testing.T, j *journal.Journal, folder string) *directory.Directory {
	t.Helper()
	d, err := directory.Open(directory.Config{
		Path: filepath.Join(folder, "directory.db"), Shared: j, Poll: 10 * time.Millisecond,
		Clock: time.Now, Random: rand.Reader, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, d.Close()); err != nil {
			t.Error(err)
		}
	})
	return d
}

func export(t *testing.T, d *directory.Directory) string {
	t.Helper()
	var text strings.Builder
	if err := errors.Join(d.Barrier(t.Context()), d.Export(&text)); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// TestANewGateStartsWithTheSnapshot makes people and groups, a snapshot of a real
// directory, more people; then what the snapshot replaces expires.
func TestANewGateStartsWithTheSnapshot(t *testing.T) {
	t.Parallel()
	s := newStand(t, proper)
	j := s.open(t, soon)
	old := run(t, j, t.TempDir())
	hire := func(from, to int) {
		for i := from; i < to; i++ {
			name := fmt.Sprintf("user%d", i)
			results, err := old.Apply(t.Context(), corp,
				directory.CreateUser{User: directory.User{UserName: name, ExternalID: name, Active: i%3 > 0, Document: []byte(`{"a":1}`)}},
				directory.CreateGroup{Group: directory.GroupRecord{DisplayName: "of " + name}})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := old.Apply(t.Context(), corp, directory.AddMembers{Group: results[1].ID, Members: []directory.ID{results[0].ID}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	hire(0, 10)
	if _, err := old.PutEntry(t.Context(), directory.Entry{Class: "c", Name: "n", Value: []byte("v")}, directory.CreateOnly); err != nil {
		t.Fatal(err)
	}
	upkeep(t, j, old.Replay)
	hire(10, 13)
	s.clock.advance(25 * time.Hour)
	young := run(t, s.open(t), t.TempDir())
	if diff := cmp.Diff(export(t, old), export(t, young)); diff != "" {
		t.Errorf("the new gate knows something else (-old +new):\n%s", diff)
	}
	if _, err := young.Apply(t.Context(), corp, directory.CreateUser{User: directory.User{UserName: "user1"}}); err == nil {
		t.Error("a name of the snapshot is free")
	}
}
