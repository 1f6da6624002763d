package directory

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
)

// known is what a state knows of its journal.
type known struct {
	journal uuid.UUID
	// folded is the version of the state, written one that the journal reached
	// when that was noted: at least so far it must go.
	folded, written uint64
}

// openSegments reads the journal that belongs to a state, and changes nothing
// but what has no name yet. A journal's end is its first place without a frame
// of the next version. If there is a frame beyond, or the state knows of a later
// version, what is missing was acknowledged, and the journal is refused; else
// at most a write that a crash cut off is lost, which nobody was told of.
func openSegments(d disk, prefix string, k known) (*segments, error) {
	j := emptySegments(d, prefix, k)
	found, err := findSegments(d, prefix)
	j.found = found
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("%w: the files %s* are missing, which hold what was written last", ErrCorrupt, prefix)
	}
	if err == nil {
		err = j.choose(k.folded)
	}
	if err == nil {
		err = j.walk(k)
	}
	if err != nil {
		return nil, errors.Join(err, closeAll(found))
	}
	j.found = slices.DeleteFunc(found, func(s *segment) bool { return slices.Contains(j.used, s) })
	return j, nil
}

func closeAll(all []*segment) error {
	var faults []error
	for _, s := range all {
		faults = append(faults, s.file.Close())
	}
	return errors.Join(faults...)
}

// newSegments starts a journal beside a state that has none. Files that are
// left of an earlier one are of no use, unless they hold what the state does
// not: then they are refused.
func newSegments(d disk, prefix string, k known) (*segments, error) {
	j := emptySegments(d, prefix, k)
	left, err := findSegments(d, prefix)
	j.found = left
	for _, s := range left {
		err = errors.Join(err, s.eachFrame(func(f frame) error {
			if f.last() > k.folded {
				return fmt.Errorf("%w: %s goes on after version %d, which the file beside it ends with without knowing of a journal",
					ErrCorrupt, s.name, k.folded)
			}
			return nil
		}))
	}
	if err != nil {
		return nil, errors.Join(err, closeAll(left))
	}
	return j, nil
}

func emptySegments(d disk, prefix string, k known) *segments {
	return &segments{
		disk: d, prefix: prefix, id: k.journal, firstSize: firstSegment, size: segmentBytes,
		newest: map[string]place{}, last: k.folded,
	}
}

// findSegments opens all segments, in the order of their numbers.
func findSegments(d disk, prefix string) ([]*segment, error) {
	if err := d.remove(prefix + unnamed); err != nil {
		return nil, err
	}
	names, err := d.names(prefix)
	if err != nil {
		return nil, err
	}
	var found []*segment
	for _, name := range names {
		s, err := openSegment(d, name)
		if err != nil {
			return found, err
		}
		found = append(found, s)
	}
	slices.SortFunc(found, func(a, b *segment) int { return cmp.Compare(a.number, b.number) })
	return found, nil
}

// choose finds the segments that are needed: those from the last on that begins
// with what the state has, or its successor. What is in those before was
// folded, or copied by a start that was cut off before it removed them.
func (j *segments) choose(folded uint64) error {
	for _, s := range j.found {
		if s.journal != j.id {
			return fmt.Errorf("%w: %s is part of another file's journal", ErrCorrupt, s.name)
		}
		j.number = max(j.number, s.number)
		f, ok, _, err := s.read(pageBytes, nil)
		switch {
		case err != nil:
			return err
		case !ok:
			if err := s.nothingAfter(); err != nil {
				return err
			}
			continue
		}
		if s.first = f.first; s.first <= folded+1 {
			j.used = nil
		}
		j.used = append(j.used, s)
	}
	return nil
}

// walk makes sure that what is needed is whole, and that nothing else goes on
// after it.
func (j *segments) walk(k known) error {
	for i, s := range j.used {
		switch next := j.last + 1; {
		case i == 0 && s.first > next:
			return fmt.Errorf("%w: the journal begins with version %d, the state ends with %d", ErrCorrupt, s.first, k.folded)
		case i > 0 && s.first != next:
			return fmt.Errorf("%w: %s begins with version %d, not %d", ErrCorrupt, s.name, s.first, next)
		}
		var err error
		if j.last, err = s.scan(func(f frame) error { return f.each(func(Delta, int64, []byte) error { return nil }) }); err != nil {
			return err
		}
	}
	if j.last < max(k.folded, k.written) {
		return fmt.Errorf("%w: the journal ends with version %d, but had come to %d: what was written last is damaged or missing",
			ErrCorrupt, j.last, max(k.folded, k.written))
	}
	for _, s := range j.found {
		err := s.eachFrame(func(f frame) error {
			if f.last() > j.last {
				return fmt.Errorf("%w: %s holds version %d at %d, but nothing readable before it", ErrCorrupt, s.name, f.first, f.at)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// scan calls for the frames that follow each other, and returns the version of
// the last delta.
func (s *segment) scan(each func(frame) error) (last uint64, err error) {
	last = s.first - 1
	var buf []byte
	for s.end = pageBytes; ; {
		var f frame
		var ok bool
		if f, ok, buf, err = s.read(s.end, buf); err != nil || !ok || f.first != last+1 {
			return last, err
		}
		if err := each(f); err != nil {
			return 0, err
		}
		last, s.end = f.last(), f.next()
		s.last = last
	}
}

// nothingAfter makes sure that no frame follows the end of a segment.
func (s *segment) nothingAfter() error {
	return s.eachFrame(func(f frame) error {
		return fmt.Errorf("%w: %s holds version %d at %d, but nothing readable at %d", ErrCorrupt, s.name, f.first, f.at, s.end)
	})
}

// eachFrame calls for every frame after the end, whatever is between them.
func (s *segment) eachFrame(do func(frame) error) error {
	var buf []byte
	for at := s.end; at < s.size; at += pageBytes {
		var f frame
		var ok bool
		var err error
		if f, ok, buf, err = s.read(at, buf); err == nil && ok {
			err = do(f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// renew puts one new segment, with all that isn't folded, in place of those that
// were found. After a sync that failed, the system may show what is not on the
// disk and never write it, whoever syncs it later: what counts from now on is
// written anew, elsewhere, before anything is removed.
func (j *segments) renew(folded uint64) error {
	j.making.Lock()
	defer j.making.Unlock()
	needed := j.used
	j.found, j.used, j.last = slices.Concat(j.found, needed), nil, folded
	s, err := j.copy(needed, folded)
	if err != nil {
		return err
	}
	j.used = []*segment{s}
	f, ok, _, err := s.read(pageBytes, nil)
	if err == nil && ok {
		s.first = f.first
		_, err = s.scan(func(f frame) error { return j.index(s, f, folded) })
	}
	if err != nil {
		return err
	}
	return j.clear()
}

// copy makes a segment that holds the frames of others in which something isn't
// folded. Callers hold making.
func (j *segments) copy(from []*segment, folded uint64) (*segment, error) {
	size := int64(pageBytes)
	for _, s := range from {
		size += s.end - pageBytes
	}
	f, err := j.disk.create(j.prefix + unnamed)
	if err != nil {
		return nil, err
	}
	return j.name(f, max(size, j.firstSize), func(to *segment) error {
		for _, s := range from {
			_, err := s.scan(func(f frame) error {
				if f.last() <= folded {
					return nil
				}
				b := to.seal(append(frameHeader(nil, f.first, f.count), f.deltas...))
				_, err := to.file.WriteAt(b, to.end)
				to.end += int64(len(b))
				return err //nolint:wrapcheck // name says what was tried
			})
			if err != nil {
				return err
			}
		}
		return to.zero(false)
	})
}

// index notes what is in a frame.
func (j *segments) index(s *segment, f frame, folded uint64) error {
	j.last = max(j.last, f.last())
	j.waiting.Add(f.next() - f.at)
	return f.each(func(d Delta, at int64, stored []byte) error {
		if d.aboutRecord() && d.Version > folded {
			j.newest[journalKey(d.Kind, d.Subject)] = place{
				segment: s, at: at, length: len(stored), version: d.Version, deleted: d.deletes(),
			}
		}
		return nil
	})
}

// clear removes what was found.
func (j *segments) clear() error {
	for len(j.found) > 0 {
		s := j.found[0]
		j.found = j.found[1:]
		if err := j.remove(s); err != nil {
			return err
		}
	}
	return nil
}
