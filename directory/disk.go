package directory

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// disk is the folder that a journal's files are in. The tests have one that
// forgets what nobody synced.
type disk interface {
	// names lists the files whose names begin with a prefix.
	names(prefix string) ([]string, error)
	open(name string) (diskFile, error)
	// create makes an empty file, also in place of another.
	create(name string) (diskFile, error)
	rename(from, to string) error
	// remove removes a file that may be gone.
	remove(name string) error
	// sync makes names survive a power failure.
	sync() error
	// rewrite writes a part of a file as it is, and syncs the file.
	rewrite(name string, at, length int64) error
}

// diskFile is a file of a disk.
type diskFile interface {
	io.ReaderAt
	io.WriterAt
	io.Closer

	size() (int64, error)
	// sync makes what was written to the file survive a power failure.
	sync() error
}

// folder is the disk of the operating system.
type folder string

func (d folder) path(name string) string { return filepath.Join(string(d), name) }

func (d folder) names(prefix string) ([]string, error) {
	entries, err := os.ReadDir(string(d))
	if err != nil {
		return nil, fmt.Errorf("listing the journal: %w", err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func (d folder) open(name string) (diskFile, error) { return d.file(name, os.O_RDWR) }

func (d folder) create(name string) (diskFile, error) {
	return d.file(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
}

func (d folder) file(name string, flags int) (diskFile, error) {
	f, err := os.OpenFile(d.path(name), flags, fileMode) //nolint:gosec // the path is the operator's
	if err != nil {
		return nil, fmt.Errorf("opening the journal: %w", err)
	}
	return osFile{f}, nil
}

func (d folder) rename(from, to string) error {
	if err := os.Rename(d.path(from), d.path(to)); err != nil {
		return fmt.Errorf("naming a part of the journal: %w", err)
	}
	return nil
}

func (d folder) remove(name string) error {
	if err := os.Remove(d.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) { //nolint:gosec,nolintlint // as above, where gosec sees it
		return fmt.Errorf("removing a part of the journal: %w", err)
	}
	return nil
}

// sync does nothing on Windows, which has no such call: there a name lasts as
// long as its file system's own journal says.
func (d folder) sync() error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := os.Open(string(d)) //nolint:gosec // the path is the operator's
	if err != nil {
		return fmt.Errorf("opening the directory's folder: %w", err)
	}
	defer func() { _ = f.Close() }() // opened for reading only
	if err := f.Sync(); err != nil {
		return fmt.Errorf("syncing the directory's folder: %w", err)
	}
	return nil
}

func (d folder) rewrite(name string, at, length int64) error {
	f, err := d.open(name)
	if err != nil {
		return err
	}
	part := make([]byte, length)
	if _, err = f.ReadAt(part, at); err == nil {
		_, err = f.WriteAt(part, at)
	}
	if err == nil {
		err = f.sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("writing a part of %s anew: %w", name, err)
	}
	return nil
}

// makeFolder makes a folder, and those above it, that survive a power failure.
func makeFolder(path string) error {
	if _, err := os.Stat(path); err == nil { //nolint:gosec // as above
		return nil
	}
	above := filepath.Dir(path)
	if err := makeFolder(above); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) { //nolint:gosec // the path is the operator's
		return fmt.Errorf("making the directory's folder: %w", err)
	}
	return folder(above).sync()
}

// osFile is a file of the operating system.
type osFile struct{ *os.File }

func (f osFile) size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, fmt.Errorf("measuring a part of the journal: %w", err)
	}
	return info.Size(), nil
}

func (f osFile) sync() error {
	if err := syncData(f.File); err != nil {
		return fmt.Errorf("syncing the journal: %w", err)
	}
	return nil
}
