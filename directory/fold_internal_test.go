package directory

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestAFailedFoldStopsTheDirectoryAndLosesNothing takes the state away from a
// directory that runs. The journal could go on; but nobody knows what the disk
// holds then.
func TestAFailedFoldStopsTheDirectoryAndLosesNothing(t *testing.T) {
	t.Parallel()
	c := Config{
		Path:  filepath.Join(t.TempDir(), "directory.db"),
		Clock: time.Now, Random: rand.Reader, Logger: slog.New(slog.DiscardHandler),
	}
	d, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	log, _ := d.log.(*BoltLog)
	create := func(i int) error {
		_, err := d.Apply(ctx, "corp", CreateUser{User: User{UserName: fmt.Sprint("u", i), ExternalID: fmt.Sprint("x", i)}})
		return err
	}
	made := 0
	for err := create(made); !errors.Is(err, ErrStopped); err = create(made) {
		if err != nil {
			t.Fatal(err)
		}
		if made++; made == 10 {
			if err := log.db.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, part := range []string{"folding the journal", "database not open", "restart the gate"} {
		if cause := d.Healthy().Error(); !strings.Contains(cause, part) {
			t.Errorf("%q is not in %q", part, cause)
		}
	}
	if _, ok := d.Lookup(LinkKey{Connection: "corp", ExternalID: "x0"}); !ok {
		t.Error("nobody is found any more")
	}
	cancel()
	if err := errors.Join(<-ended, d.Close()); err != nil {
		t.Error(err)
	}
	if d, err = Open(c); err != nil {
		t.Fatal(err)
	}
	for i := range made {
		if _, ok := d.Lookup(LinkKey{Connection: "corp", ExternalID: fmt.Sprint("x", i)}); !ok {
			t.Errorf("user %d of %d is lost", i, made)
		}
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func TestWhatStopsADirectoryComesWithARemedy(t *testing.T) {
	t.Parallel()
	full := &fs.PathError{Op: "write", Path: "directory.db", Err: syscall.ENOSPC}
	for name, test := range map[string]struct {
		cause error
		want  string
	}{
		"a full disk":               {fmt.Errorf("folding the journal: %w", full), "make room"},
		"a failed sync":             {syscall.EIO, "look after the directory's disk"},
		"a log that moved on":       {ErrOutdated, "loads the state anew"},
		"a log that has a gap":      {ErrCorrupt, "whether what is on its disk is whole"},
		"a failure after the first": {fmt.Errorf("%w: %w", errBroken, full), "make room"},
	} {
		d := &Directory{config: Config{Logger: slog.New(slog.DiscardHandler)}}
		d.stop(test.cause)
		d.stop(errBroken)
		if err := d.Healthy(); !errors.Is(err, ErrStopped) || !errors.Is(err, test.cause) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
