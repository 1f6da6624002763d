package directory

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
)

// sector is the unit that a disk writes whole, or spoils.
const sector = 512

// forgetful is a disk that keeps what was synced. Of what was not, a power
// failure leaves any part: each sector that was written is as before, as
// written, or garbage, and each change of a name is made or not.
type forgetful struct {
	mu     sync.Mutex
	kept   map[string]*inode // the names after the last sync
	shown  map[string]*inode
	events []nameEvent // since then
	// before is called before everything that changes something.
	before func()
	// fails says whether a sync does. The system then takes what it was to write
	// for written, and shows it; the disk may have none of it.
	fails func() bool
	// luck says what of it the disk has.
	luck *rand.Rand
}

// inode is the content of a file.
type inode struct {
	kept, shown []byte
	dirty       map[int]bool // sectors
}

type nameEvent struct {
	name string // that appears, or goes if it has no file
	from string // that goes in the same moment
	file *inode
}

var _ disk = (*forgetful)(nil)

func newForgetful() *forgetful {
	return &forgetful{
		kept: map[string]*inode{}, shown: map[string]*inode{}, before: func() {},
		fails: func() bool { return false }, luck: rand.New(rand.NewPCG(1, 3)),
	}
}

func (d *forgetful) names(prefix string) ([]string, error) {
	names := slices.Sorted(maps.Keys(d.shown))
	return slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, prefix) }), nil
}

func (d *forgetful) open(name string) (diskFile, error) {
	if f := d.shown[name]; f != nil {
		return &forgetfulFile{inode: f, disk: d}, nil
	}
	return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
}

func (d *forgetful) create(name string) (diskFile, error) {
	d.change(nameEvent{name: name, file: &inode{dirty: map[int]bool{}}})
	return d.open(name)
}

func (d *forgetful) rename(from, to string) error {
	f := d.shown[from]
	if f == nil {
		return fmt.Errorf("%s: %w", from, fs.ErrNotExist)
	}
	d.change(nameEvent{name: to, from: from, file: f})
	return nil
}

func (d *forgetful) remove(name string) error {
	d.change(nameEvent{name: name})
	return nil
}

func (d *forgetful) change(e nameEvent) {
	d.before()
	d.mu.Lock()
	defer d.mu.Unlock()
	e.apply(d.shown)
	d.events = append(d.events, e)
}

func (e nameEvent) apply(names map[string]*inode) {
	if e.from != "" {
		if names[e.from] != e.file {
			return // an earlier event was lost
		}
		delete(names, e.from)
	}
	if delete(names, e.name); e.file != nil {
		names[e.name] = e.file
	}
}

// rewrite has nothing to do: the file with the state is on another disk.
func (d *forgetful) rewrite(string, int64, int64) error { return nil }

func (d *forgetful) sync() error {
	d.before()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fails() {
		return errBurning // names a file system keeps in order, or refuses to go on
	}
	d.kept, d.events = maps.Clone(d.shown), nil
	return nil
}

// after is the disk after a power failure now.
func (d *forgetful) after(random *rand.Rand) *forgetful {
	d.mu.Lock()
	defer d.mu.Unlock()
	next := newForgetful()
	names := maps.Clone(d.kept)
	for _, e := range d.events {
		if random.IntN(2) == 0 {
			e.apply(names)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		content := names[name].after(random)
		next.kept[name] = &inode{kept: content, shown: bytes.Clone(content), dirty: map[int]bool{}}
	}
	next.shown = maps.Clone(next.kept)
	return next
}

func (f *inode) after(random *rand.Rand) []byte {
	content := bytes.Clone(f.kept)
	lucky := random.IntN(4) // quarters of the sectors that were written
	for _, s := range slices.Sorted(maps.Keys(f.dirty)) {
		from, to := s*sector, min((s+1)*sector, len(f.shown))
		content = append(content, make([]byte, max(0, to-len(content)))...)
		switch roll := random.IntN(5); {
		case roll < lucky:
			copy(content[from:to], f.shown[from:to])
		case roll == 4:
			for i := from; i < to; i++ {
				content[i] = byte(random.Uint32())
			}
		}
	}
	return content
}

// forgetfulFile is an open file.
type forgetfulFile struct {
	*inode

	disk *forgetful
}

func (f *forgetfulFile) ReadAt(b []byte, at int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return bytes.NewReader(f.shown).ReadAt(b, at)
}

func (f *forgetfulFile) WriteAt(b []byte, at int64) (int, error) {
	f.disk.before()
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	f.shown = append(f.shown, make([]byte, max(0, int(at)+len(b)-len(f.shown)))...)
	copy(f.shown[at:], b)
	for s := int(at) / sector; s*sector < int(at)+len(b); s++ {
		f.dirty[s] = true
	}
	return len(b), nil
}

func (f *forgetfulFile) size() (int64, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return int64(len(f.shown)), nil
}

func (f *forgetfulFile) sync() error {
	f.disk.before()
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.disk.fails() {
		f.kept, f.dirty = f.after(f.disk.luck), map[int]bool{}
		return errBurning
	}
	for s := range f.dirty { // the system writes nothing else
		from, to := s*sector, min((s+1)*sector, len(f.shown))
		f.kept = append(f.kept, make([]byte, max(0, to-len(f.kept)))...)
		copy(f.kept[from:to], f.shown[from:to])
	}
	f.dirty = map[int]bool{}
	return nil
}

func (f *forgetfulFile) Close() error { return nil }

// broken is a disk on which everything fails after some writes and syncs.
type broken struct {
	disk
	left *int
}

var errBurning = errors.New("disk on fire")

func (b broken) create(name string) (diskFile, error) { return b.wrap(b.disk.create(name)) }
func (b broken) open(name string) (diskFile, error)   { return b.wrap(b.disk.open(name)) }

func (b broken) wrap(f diskFile, err error) (diskFile, error) {
	return brokenFile{f, b.left}, err
}

type brokenFile struct {
	diskFile
	left *int
}

func (f brokenFile) burning() bool { *f.left--; return *f.left < 0 }

func (f brokenFile) WriteAt(b []byte, at int64) (int, error) {
	if f.burning() {
		return 0, errBurning
	}
	return f.diskFile.WriteAt(b, at)
}

func (f brokenFile) sync() error {
	if f.burning() {
		return errBurning
	}
	return f.diskFile.sync()
}
