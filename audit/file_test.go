package audit_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/audit"
)

// disk is a file system with limited room, whose faults a test sets.
type disk struct {
	mu        sync.Mutex
	room      int   // bytes that can still be written; negative: no limit
	syncErr   error // returned by the next Sync
	createErr error // returned when a file is to be created anew
}

func (d *disk) set(change func(*disk)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(d)
}

func (d *disk) open(name string, flag int, mode fs.FileMode) (audit.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if flag&os.O_EXCL != 0 && d.createErr != nil {
		return nil, d.createErr
	}
	f, err := os.OpenFile(name, flag, mode)
	if err != nil {
		return nil, err
	}
	return &limitedFile{File: f, disk: d}, nil
}

type limitedFile struct {
	*os.File

	disk *disk
}

func (f *limitedFile) Write(p []byte) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.disk.room < 0 || len(p) <= f.disk.room {
		f.disk.room -= min(len(p), max(f.disk.room, 0))
		return f.File.Write(p)
	}
	n, err := f.File.Write(p[:f.disk.room])
	f.disk.room = 0
	return n, errors.Join(err, syscall.ENOSPC)
}

func (f *limitedFile) Sync() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	err := f.disk.syncErr
	f.disk.syncErr = nil
	return errors.Join(err, f.File.Sync())
}

func TestFullDiskRefusesReservationsUntilThereIsRoomAgain(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		room      int
		fragments int
	}{
		"nothing fits":          {0, 0},
		"half a line fits":      {60, 1},
		"a line and a half fit": {260, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := &disk{room: test.room}
			config := configIn(t)
			config.OpenFile = d.open
			log, stop := running(t, config)
			inFlight, err := log.Reserve()
			if err != nil {
				t.Fatal(err)
			}
			commit(t, log, "1")
			commit(t, log, "2")
			eventually(t, "the log is unhealthy", func() bool { return log.Healthy() != nil })
			if _, err := log.Reserve(); !errors.Is(err, audit.ErrUnavailable) || !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("reserving on a full disk: %v", err)
			}
			inFlight.Commit(audit.Record{DecisionID: "in flight"}) // what was forwarded before is kept
			d.set(func(d *disk) { d.room = -1 })
			eventually(t, "the log is healthy", func() bool { return log.Healthy() == nil })
			commit(t, log, "4")
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			entries, fragments := read(t, config.Path)
			if diff := cmp.Diff([]string{"1", "2", "in flight", "4"}, ids(entries)); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
			if len(fragments) != test.fragments {
				t.Errorf("fragments: %q", fragments)
			}
			if metric(t, log, "failures_total", "write") == 0 {
				t.Error("no failure was counted")
			}
		})
	}
}

func TestRecordsLostToADiskThatStaysFullAreReported(t *testing.T) {
	t.Parallel()
	config := configIn(t)
	config.OpenFile = (&disk{room: 10}).open
	config.Drain = time.Millisecond
	log, stop := running(t, config)
	commit(t, log, "1")
	if err := stop(); !errors.Is(err, audit.ErrUnavailable) || !strings.Contains(err.Error(), "1 records lost") {
		t.Errorf("Run returned %v", err)
	}
	if err := log.Close(); !errors.Is(err, audit.ErrUnavailable) {
		t.Errorf("Close returned %v", err)
	}
}

func TestFailedSyncWritesTheBatchAgain(t *testing.T) {
	t.Parallel()
	d := &disk{room: -1, syncErr: syscall.EIO}
	config := configIn(t)
	config.OpenFile = d.open
	log, stop := running(t, config)
	commit(t, log, "1")
	eventually(t, "the record is written", func() bool { return metric(t, log, "records_written_total", "") == 1 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	entries, _ := read(t, config.Path)
	if diff := cmp.Diff([]string{"1", "1"}, ids(entries)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if got := metric(t, log, "failures_total", "sync"); got != 1 {
		t.Errorf("sync failures = %v", got)
	}
}

func TestFailedSyncByTheClockRefusesReservationsUntilTheNext(t *testing.T) {
	t.Parallel()
	d := &disk{room: -1}
	config := configIn(t)
	config.OpenFile, config.SyncEvery = d.open, 50*time.Millisecond
	log, _ := running(t, config)
	d.set(func(d *disk) { d.syncErr = syscall.EIO })
	commit(t, log, "1")
	eventually(t, "the failure is counted", func() bool { return metric(t, log, "failures_total", "sync") == 1 })
	eventually(t, "the log is healthy", func() bool { return log.Healthy() == nil })
}

func TestTornLastLineOfAnEarlierProcessIsIsolated(t *testing.T) {
	t.Parallel()
	config := configIn(t)
	log, stop := running(t, config)
	commit(t, log, "before")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(config.Path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config.Path, append(content, content[:20]...), 0o600); err != nil {
		t.Fatal(err)
	}
	log, stop = running(t, config)
	commit(t, log, "after")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	entries, fragments := read(t, config.Path)
	if diff := cmp.Diff([]string{"before", "after"}, ids(entries)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{string(content[:20])}, fragments); diff != "" {
		t.Errorf("fragments (-want +got):\n%s", diff)
	}
	if got := metric(t, log, "failures_total", "torn_line"); got != 1 {
		t.Errorf("torn lines = %v", got)
	}
}

func TestOpenRefusesAFileThatIsNotItsOwn(t *testing.T) {
	t.Parallel()
	tests := map[string]func(t *testing.T, path string){
		"others may write to it": func(t *testing.T, path string) {
			t.Helper()
			if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chmod(path, 0o622)); err != nil {
				t.Fatal(err)
			}
		},
		"it is a folder": func(t *testing.T, path string) {
			t.Helper()
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		},
		"its folder is a file": func(t *testing.T, path string) {
			t.Helper()
			if err := errors.Join(os.Remove(filepath.Dir(path)), os.WriteFile(filepath.Dir(path), nil, 0o600)); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, prepare := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := configIn(t)
			if err := os.MkdirAll(filepath.Dir(config.Path), 0o700); err != nil {
				t.Fatal(err)
			}
			prepare(t, config.Path)
			if _, err := audit.Open(config); err == nil {
				t.Error("opened")
			}
		})
	}
}

func TestRotationKeepsTheNewestFiles(t *testing.T) {
	t.Parallel()
	config := configIn(t)
	config.MaxBytes, config.Keep = 1, 2
	bystander := filepath.Join(filepath.Dir(config.Path), "audit-notes.jsonl")
	for i := range 6 { // a batch each
		log, stop := running(t, config)
		if err := os.WriteFile(bystander, []byte("{}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		commit(t, log, strconv.Itoa(i))
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
	files := rotatedFiles(t, config.Path)
	if len(files) != 3 {
		t.Fatalf("files: %q, want two and the bystander", files)
	}
	entries, _ := read(t, files[0], files[1], config.Path)
	if diff := cmp.Diff([]string{"3", "4", "5"}, ids(entries)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

func TestRotatedFilesStayInOrderWhenTheClockGoesBack(t *testing.T) {
	t.Parallel()
	config := configIn(t)
	config.MaxBytes = 1
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for i, now := range []time.Time{at, at, at.Add(-time.Hour), at.Add(-time.Hour), at.Add(time.Hour)} {
		config.Clock = func() time.Time { return now }
		log, stop := running(t, config)
		commit(t, log, strconv.Itoa(i))
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
	entries, _ := read(t, append(rotatedFiles(t, config.Path), config.Path)...)
	if diff := cmp.Diff([]string{"0", "1", "2", "3", "4"}, ids(entries)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

func TestFailedRotationGoesOnWithTheOldFile(t *testing.T) {
	t.Parallel()
	config := configIn(t)
	config.MaxBytes = 1
	config.OpenFile = (&disk{room: -1, createErr: syscall.EMFILE}).open
	log, stop := running(t, config)
	for i := range 3 {
		commit(t, log, strconv.Itoa(i))
		eventually(t, "it is written", func() bool { return metric(t, log, "backlog_records", "") == 0 })
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	entries, _ := read(t, config.Path)
	if diff := cmp.Diff([]string{"0", "1", "2"}, ids(entries)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if got := metric(t, log, "failures_total", "rotate"); got != 2 {
		t.Errorf("failed rotations = %v", got)
	}
}
