package directory

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"
)

// segments are the journal of an embedded log: what was committed and is not
// folded into state yet, in files beside the one that holds the state. One
// goroutine appends, one reads what is to be folded and drops what was, and any
// number reads records.
type segments struct {
	disk   disk
	prefix string // of the files' names
	// firstSize is that of the first segment of a process, size that of the
	// others, unless a frame needs more.
	firstSize, size int64
	id              uuid.UUID

	// making is held while a segment is made; number is that of the last. What was
	// folded leaves spent segments, the oldest first, whose files become others.
	making sync.Mutex
	number uint64
	spent  []*segment

	// pinned is held by who reads more than a record; nothing is dropped meanwhile.
	pinned sync.RWMutex

	mu sync.RWMutex
	// used hold deltas, or will: the last is appended to. ready follows it, if
	// there is one.
	used  []*segment
	ready *segment
	// found are what an earlier process left, until renew has replaced it.
	found []*segment
	// newest says where the newest deltas about records are that aren't folded.
	newest map[string]place
	last   uint64

	// waiting is the size of the frames that aren't folded.
	waiting atomic.Int64
	// ending means that nothing is appended any more.
	ending bool
	buf    []byte // of who appends
	cursor cursor // of who folds
}

// place says where in a segment the stored form of a delta is.
type place struct {
	segment *segment
	at      int64
	length  int
	version uint64
	deleted bool
}

// append makes a batch durable.
func (j *segments) append(batch []Delta) error {
	if batch[0].Version != j.last+1 { // only this goroutine moves it
		return fmt.Errorf("%w: version %d follows %d", errPlan, batch[0].Version, j.last)
	}
	b := frameHeader(j.buf[:0], batch[0].Version, len(batch))
	var records []string
	var places []place
	for i, d := range batch {
		if d.Version != batch[0].Version+uint64(i) {
			return fmt.Errorf("%w: version %d follows %d", errPlan, d.Version, batch[0].Version+uint64(i)-1)
		}
		at := len(b) + lengthSize
		b = d.appendStored(append(b, 0, 0, 0, 0), versionKey(d.Version))
		binary.BigEndian.PutUint32(b[at-lengthSize:], uint32(len(b)-at)) //nolint:gosec // a delta is bounded by far less
		if d.aboutRecord() {
			records = append(records, journalKey(d.Kind, d.Subject))
			places = append(places, place{at: int64(at), length: len(b) - at, version: d.Version, deleted: d.deletes()})
		}
	}
	s, err := j.room(int64(len(b)))
	if err != nil {
		return err
	}
	written := s.seal(b)
	if j.buf = written; cap(written) > 2*maxBatch {
		j.buf = nil
	}
	if _, err := s.file.WriteAt(written, s.end); err != nil {
		return fmt.Errorf("writing %s: %w", s.name, err)
	}
	if err := s.file.sync(); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for i, p := range places {
		p.segment, p.at = s, s.end+p.at
		j.newest[records[i]] = p
	}
	j.take(s, batch[0].Version, len(batch), int64(len(written)))
	return nil
}

// take notes a frame that is durable. Callers hold mu.
func (j *segments) take(s *segment, first uint64, count int, size int64) {
	if s.first == 0 {
		s.first = first
	}
	s.last = first + uint64(count) - 1 //nolint:gosec // a count
	s.end += size
	j.last = s.last
	j.waiting.Add(size)
}

// record returns the newest delta under a key, and whether the journal has one.
func (j *segments) record(key string) (d Delta, deleted, found bool, err error) {
	j.mu.RLock()
	p, found := j.newest[key]
	if !found || p.deleted {
		j.mu.RUnlock()
		return Delta{}, p.deleted, found, nil
	}
	stored := make([]byte, p.length)
	_, err = p.segment.file.ReadAt(stored, p.at)
	j.mu.RUnlock()
	if err != nil {
		return Delta{}, false, true, fmt.Errorf("reading %s: %w", p.segment.name, err)
	}
	d, err = decodeDelta(versionKey(p.version), stored)
	d.Version = p.version
	return d, false, true, err
}

// begin makes sure that there is a segment.
func (j *segments) begin() error {
	_, err := j.room(frameHead)
	return err
}

// after returns how many deltas follow a version.
func (j *segments) after(version uint64) int { return int(j.end() - version) } //nolint:gosec // it is bounded

// end returns the version of the last delta, which is durable.
func (j *segments) end() uint64 {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.last
}

// room returns the segment for a frame. A prepared one takes the place of a
// full one at no cost.
func (j *segments) room(length int64) (*segment, error) {
	if s := j.current(); s != nil && s.end+pages(length) <= s.size {
		return s, nil
	}
	j.making.Lock()
	defer j.making.Unlock()
	s := j.takeReady()
	if s != nil && s.end+pages(length) > s.size {
		if err := j.remove(s); err != nil {
			return nil, err
		}
		s = nil
	}
	if s == nil {
		size := j.firstSize
		if j.current() != nil {
			size = j.size
		}
		var err error
		if s, err = j.another(max(size, pageBytes+pages(length)), false); err != nil {
			return nil, err
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.used = append(j.used, s)
	return s, nil
}

// current returns the segment that is appended to, nil for none yet.
func (j *segments) current() *segment {
	j.mu.RLock()
	defer j.mu.RUnlock()
	if len(j.used) == 0 {
		return nil
	}
	return j.used[len(j.used)-1]
}

// takeReady returns what was prepared, nil for nothing. Callers hold making.
func (j *segments) takeReady() *segment {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.ready
	j.ready = nil
	return s
}

// prepare makes the segment after the current one once that is half full.
func (j *segments) prepare() error {
	j.making.Lock()
	defer j.making.Unlock()
	j.mu.RLock()
	ready, n := j.ready, len(j.used)
	early := n == 0 || 2*j.used[n-1].end < j.used[n-1].size
	j.mu.RUnlock()
	if ready != nil || early || j.ending {
		return nil
	}
	s, err := j.another(j.size, true)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ready = s
	return nil
}

// another makes a segment of a spent one's file, or of a new one. Callers hold making.
func (j *segments) another(size int64, gently bool) (*segment, error) {
	if len(j.spent) == 0 || size > j.spent[0].size {
		return j.make(size, gently)
	}
	s := j.spent[0]
	j.spent = j.spent[1:]
	return j.reuse(s)
}

// make makes a segment of a new file, gently if nobody waits for it. Callers hold
// making.
func (j *segments) make(size int64, gently bool) (*segment, error) {
	f, err := j.disk.create(j.prefix + unnamed)
	if err != nil {
		return nil, err
	}
	return j.name(f, size, func(s *segment) error { return s.zero(gently) })
}

// reuse makes a segment of the file of one that is no longer needed. Callers
// hold making.
func (j *segments) reuse(s *segment) (*segment, error) {
	if err := s.file.Close(); err != nil {
		return nil, fmt.Errorf("closing %s: %w", s.name, err)
	}
	if err := j.disk.rename(s.name, j.prefix+unnamed); err != nil {
		return nil, err
	}
	if err := j.disk.sync(); err != nil { // before the header is written, which may be torn
		return nil, err
	}
	f, err := j.disk.open(j.prefix + unnamed)
	if err != nil {
		return nil, err
	}
	return j.name(f, s.size, func(*segment) error { return nil })
}

// unnamed ends the name of a file that isn't a segment yet.
const unnamed = "new"

// name makes the unnamed file the next segment: it gets its name once all of
// it is on disk, and what fill writes into it.
func (j *segments) name(f diskFile, size int64, fill func(*segment) error) (*segment, error) {
	j.number++
	header, err := segmentHeader(j.id, j.number, size)
	if err == nil {
		s := &segment{file: f, end: pageBytes}
		s.takeHeader(header)
		err = fill(s)
	}
	if err == nil {
		_, err = f.WriteAt(header, 0)
	}
	if err == nil {
		err = f.sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = j.disk.remove(j.prefix + unnamed) // the disk may be full; who starts removes it again
		return nil, fmt.Errorf("making a part of the journal: %w", err)
	}
	name := segmentName(j.prefix, j.number)
	if err := j.disk.rename(j.prefix+unnamed, name); err != nil {
		return nil, err
	}
	if err := j.disk.sync(); err != nil {
		return nil, err
	}
	return openSegment(j.disk, name)
}

// remove removes a segment, for good before the next one is.
func (j *segments) remove(s *segment) error {
	if err := s.file.Close(); err != nil {
		return fmt.Errorf("closing %s: %w", s.name, err)
	}
	if err := j.disk.remove(s.name); err != nil {
		return err
	}
	return j.disk.sync()
}

// replay calls each for the deltas after a version, as many as there were when
// it was called, with payloads that are valid until it returns.
func (j *segments) replay(after uint64, each func(Delta) error) (last uint64, err error) {
	j.mu.RLock()
	used, last := slices.Clone(j.used), j.last
	ends := make([]int64, len(used))
	for i, s := range used {
		ends[i] = s.end
	}
	j.mu.RUnlock()
	var buf []byte
	for i, s := range used {
		for at := int64(pageBytes); at < ends[i]; {
			var f frame
			var ok bool
			if f, ok, buf, err = s.read(at, buf); err != nil {
				return 0, err
			}
			if !ok {
				return 0, fmt.Errorf("%w: %s has no frame at %d any more", ErrCorrupt, s.name, at)
			}
			err = f.eachAfter(after, func(d Delta, _ int64, _ []byte) error { return each(d) })
			if err != nil {
				return 0, err
			}
			at = f.next()
		}
	}
	return last, nil
}

// files returns every open segment.
func (j *segments) files() []*segment {
	j.making.Lock()
	defer j.making.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	all := slices.Concat(j.spent, j.used, j.found)
	if j.ready != nil {
		all = append(all, j.ready)
	}
	j.spent, j.used, j.found, j.ready = nil, nil, nil, nil
	return all
}

// close closes all files and removes them if nothing in them is needed.
func (j *segments) close(needed bool) error {
	var faults []error
	for _, s := range j.files() {
		if needed {
			faults = append(faults, s.file.Close())
		} else {
			faults = append(faults, j.remove(s))
		}
	}
	return errors.Join(faults...)
}
