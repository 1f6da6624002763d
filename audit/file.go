package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	fileMode   fs.FileMode = 0o600
	folderMode fs.FileMode = 0o700
	// othersWrite are the permission bits that would let somebody else change the record.
	othersWrite fs.FileMode = 0o022

	// rotatedLayout orders rotated files by name and never repeats.
	rotatedLayout = "20060102T150405.000000Z"
)

// File is what a Log writes to; *os.File is one.
type File interface {
	io.Writer
	io.ReaderAt
	io.Closer
	Sync() error
	Stat() (fs.FileInfo, error)
}

// OpenFile opens a file for reading and appending, and creates it if need be.
type OpenFile func(name string, flag int, mode fs.FileMode) (File, error)

func openFile(name string, flag int, mode fs.FileMode) (File, error) {
	f, err := os.OpenFile(name, flag, mode)
	if err != nil {
		return nil, fmt.Errorf("opening audit file: %w", err)
	}
	return f, nil
}

// file appends whole lines to the current file and rotates it. It belongs to one goroutine at a time.
type file struct {
	path     string
	maxBytes int64
	keep     int
	open     OpenFile
	clock    func() time.Time
	report   func(failure, error) // of what does not stop the writing

	current File // nil after a failure, until it could be opened again
	size    int64
	full    int64 // size at which to rotate, beyond maxBytes after a rotation that failed
	dirty   bool  // holds what Sync has not confirmed
}

// ready opens the current file if it is not open. A line that an interrupted write left unfinished is ended first, so that it stays
// by itself and the next record starts a line of its own.
func (f *file) ready() error {
	if f.current != nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(f.path), folderMode); err != nil {
		return fmt.Errorf("creating audit folder: %w", err)
	}
	opened, err := f.open(f.path, os.O_CREATE|os.O_APPEND|os.O_RDWR, fileMode)
	if err != nil {
		return err
	}
	size, err := f.inspect(opened)
	if err != nil {
		return errors.Join(err, opened.Close())
	}
	f.current, f.size = opened, size
	return f.syncFolder()
}

// inspect refuses a file that others may write to, and isolates a torn last line.
func (f *file) inspect(opened File) (int64, error) {
	info, err := opened.Stat()
	if err != nil {
		return 0, fmt.Errorf("inspecting audit file: %w", err)
	}
	if info.Mode().Perm()&othersWrite != 0 {
		return 0, fmt.Errorf("audit file %s has mode %04o: only its owner may write to it", f.path, info.Mode().Perm())
	}
	size := info.Size()
	if size == 0 {
		return 0, nil
	}
	last := make([]byte, 1)
	if _, err := opened.ReadAt(last, size-1); err != nil {
		return 0, fmt.Errorf("reading the end of the audit file: %w", err)
	}
	if last[0] == '\n' {
		return size, nil
	}
	if _, err := opened.Write([]byte{'\n'}); err != nil {
		return 0, fmt.Errorf("ending a torn line: %w", err)
	}
	f.report(failTorn, fmt.Errorf("audit file %s ended within a line: the fragment stays on a line by itself", f.path))
	return size + 1, nil
}

// append writes lines and says how many of their bytes are in the file as whole lines. After an error the rest is to be appended again:
// the file is closed, and opening it isolates the line that broke off.
func (f *file) append(lines []byte) (int, error) {
	if err := f.ready(); err != nil {
		return 0, err
	}
	f.rotateIfFull(len(lines))
	n, err := f.current.Write(lines)
	f.size += int64(n)
	f.dirty = true
	if err == nil {
		return n, nil
	}
	whole := bytes.LastIndexByte(lines[:n], '\n') + 1
	if f.current.Sync() != nil {
		whole = 0
	}
	f.abort()
	return whole, fmt.Errorf("writing audit file: %w", err)
}

// sync makes what was appended survive a power failure.
func (f *file) sync() error {
	if f.current == nil || !f.dirty {
		return nil
	}
	if err := f.current.Sync(); err != nil {
		f.abort()
		return fmt.Errorf("syncing audit file: %w", err)
	}
	f.dirty = false
	return nil
}

// abort gives up a file that failed. Its Close has nothing to add to the failure.
func (f *file) abort() {
	_ = f.current.Close()
	f.current = nil
}

func (f *file) close() error {
	if f.current == nil {
		return nil
	}
	err := f.sync()
	if f.current != nil {
		err = errors.Join(err, f.current.Close())
		f.current = nil
	}
	return err
}

// rotateIfFull makes room for more bytes. After a failure it tries again when as much has been written once more.
func (f *file) rotateIfFull(more int) {
	f.full = max(f.full, f.maxBytes)
	if f.maxBytes == 0 || f.size == 0 || f.size+int64(more) <= f.full {
		return
	}
	if err := f.rotate(); err != nil {
		f.full = f.size + f.maxBytes
		f.report(failRotate, err)
		return
	}
	f.full = f.maxBytes
}

// rotate renames the current file and starts a new one. If that fails, the old one goes on being written under its old name.
func (f *file) rotate() error {
	rotated := f.rotatedName()
	if err := os.Rename(f.path, rotated); err != nil {
		return fmt.Errorf("renaming the full audit file: %w", err)
	}
	next, err := f.open(f.path, os.O_CREATE|os.O_EXCL|os.O_APPEND|os.O_RDWR, fileMode)
	if err != nil {
		return errors.Join(err, os.Rename(rotated, f.path))
	}
	old := f.current
	f.current, f.size = next, 0
	return errors.Join(old.Sync(), old.Close(), f.syncFolder(), f.prune())
}

// rotatedName is later than the name of any rotated file, also if the clock went back.
func (f *file) rotatedName() string {
	at := f.clock().UTC().Truncate(time.Microsecond)
	if names := f.rotated(); len(names) > 0 {
		if last := f.rotatedAt(names[len(names)-1]); !at.After(last) {
			at = last.Add(time.Microsecond)
		}
	}
	stem, ext := f.stem()
	return stem + at.Format(rotatedLayout) + ext
}

// prune deletes the oldest rotated files beyond the number to keep.
func (f *file) prune() error {
	names := f.rotated()
	if f.keep <= 0 || len(names) <= f.keep {
		return nil
	}
	var errs []error
	for _, name := range names[:len(names)-f.keep] {
		if err := os.Remove(name); err != nil {
			errs = append(errs, fmt.Errorf("deleting an old audit file: %w", err))
		}
	}
	return errors.Join(errs...)
}

// rotated lists the rotated files, oldest first. Files that merely look alike are not among them.
func (f *file) rotated() []string {
	entries, err := os.ReadDir(filepath.Dir(f.path))
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		name := filepath.Join(filepath.Dir(f.path), e.Name())
		if !f.rotatedAt(name).IsZero() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// rotatedAt returns the time in a rotated file's name, or the zero time if it is not one.
func (f *file) rotatedAt(name string) time.Time {
	stem, ext := f.stem()
	text, ok := strings.CutPrefix(name, stem)
	if !ok {
		return time.Time{}
	}
	text, ok = strings.CutSuffix(text, ext)
	if !ok {
		return time.Time{}
	}
	at, err := time.Parse(rotatedLayout, text)
	if err != nil {
		return time.Time{}
	}
	return at
}

func (f *file) stem() (string, string) {
	ext := filepath.Ext(f.path)
	return strings.TrimSuffix(f.path, ext) + "-", ext
}

// syncFolder makes names survive a power failure.
func (f *file) syncFolder() error {
	folder, err := os.Open(filepath.Dir(f.path))
	if err != nil {
		return fmt.Errorf("opening audit folder: %w", err)
	}
	defer folder.Close() //nolint:errcheck // Opened for reading only.
	if err := folder.Sync(); err != nil {
		return fmt.Errorf("syncing audit folder: %w", err)
	}
	return nil
}
