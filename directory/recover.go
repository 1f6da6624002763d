package directory

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
)

// openSegments reads the journal that belongs to a state of some version. A
// journal's end is its first place without a frame of the next version. If
// there is a frame beyond, what is missing was acknowledged, and the journal is
// refused; if there is none, at most a write that a crash cut off is lost,
// which nobody was told of. Nothing is removed before all of it was found to be
// right: who put back the wrong file can put back the right one.
func openSegments(d disk, prefix string, id uuid.UUID, folded uint64) (*segments, error) {
	j := emptySegments(d, prefix, id, folded)
	found, err := findSegments(d, prefix)
	j.used = found
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("%w: the files %s* are missing, which hold what was written last", ErrCorrupt, prefix)
	}
	var spare []*segment
	if err == nil {
		spare, err = j.choose(folded)
	}
	if err == nil {
		err = j.walk(folded)
	}
	if err != nil {
		return nil, errors.Join(err, j.close(true), closeAll(spare))
	}
	for _, s := range spare {
		err = errors.Join(err, j.remove(s))
	}
	if err != nil {
		return nil, errors.Join(err, j.close(true))
	}
	return j, nil
}

func closeAll(all []*segment) error {
	var faults []error
	for _, s := range all {
		faults = append(faults, s.file.Close())
	}
	return errors.Join(faults...)
}

// newSegments starts a journal after a state of some version that has none.
// Files that are left of an earlier one are removed, unless they hold what the
// state does not.
func newSegments(d disk, prefix string, id uuid.UUID, folded uint64) (*segments, error) {
	j := emptySegments(d, prefix, id, folded)
	left, err := findSegments(d, prefix)
	j.used = left
	for _, s := range left {
		err = errors.Join(err, s.eachFrame(func(f frame) error {
			if f.first+uint64(f.count) > folded+1 { //nolint:gosec // a count
				return fmt.Errorf("%w: %s goes on after version %d, which the file beside it ends with without knowing of a journal",
					ErrCorrupt, s.name, folded)
			}
			return nil
		}))
	}
	if err != nil {
		return nil, errors.Join(err, j.close(true))
	}
	return j, j.close(false)
}

func emptySegments(d disk, prefix string, id uuid.UUID, folded uint64) *segments {
	return &segments{
		disk: d, prefix: prefix, id: id, firstSize: firstSegment, size: segmentBytes, newest: map[string]place{}, last: folded,
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

// choose returns the segments that are of no use: those without a frame, of
// which one stays if there is no other, and those that were folded before a
// crash came.
func (j *segments) choose(folded uint64) (spare []*segment, err error) {
	var used []*segment
	for _, s := range j.used {
		if s.journal != j.id {
			return nil, fmt.Errorf("%w: %s is part of another file's journal", ErrCorrupt, s.name)
		}
		j.number = max(j.number, s.number)
		f, ok, _, err := s.read(pageBytes, nil)
		switch {
		case err != nil:
			return nil, err
		case ok:
			s.first = f.first
			used = append(used, s)
		default:
			if err := s.nothingAfter(); err != nil {
				return nil, err
			}
			spare = append(spare, s)
		}
	}
	if n := len(spare); len(used) == 0 {
		used, spare = spare[n-1:], spare[:n-1]
	}
	for len(used) > 1 && used[1].first <= folded+1 {
		spare, used = append(spare, used[0]), used[1:]
	}
	j.used = used
	return spare, nil
}

// walk reads the frames.
func (j *segments) walk(folded uint64) error {
	last := j.used[len(j.used)-1]
	// A process may have died between a write and its sync: what is read from now
	// on has to stay.
	if err := last.file.sync(); err != nil {
		return err
	}
	next := j.used[0].first
	if next > folded+1 {
		return fmt.Errorf("%w: the journal begins with version %d, the state ends with %d", ErrCorrupt, next, folded)
	}
	for _, s := range j.used {
		if s.first != next {
			return fmt.Errorf("%w: %s begins with version %d, not %d", ErrCorrupt, s.name, s.first, next)
		}
		var err error
		if next, err = j.walkSegment(s, folded); err != nil {
			return err
		}
	}
	if last.first != 0 && j.last < folded {
		return fmt.Errorf("%w: the journal ends with version %d, the state with %d", ErrCorrupt, j.last, folded)
	}
	j.last = max(j.last, folded)
	return last.nothingAfter()
}

// walkSegment takes the frames of a segment and returns the version after them.
func (j *segments) walkSegment(s *segment, folded uint64) (next uint64, err error) {
	next = s.first
	var buf []byte
	for {
		var f frame
		var ok bool
		if f, ok, buf, err = s.read(s.end, buf); err != nil || !ok || f.first != next {
			return next, err
		}
		err = f.each(func(d Delta, at int64, stored []byte) error {
			if d.aboutRecord() && d.Version > folded {
				j.newest[journalKey(d.Kind, d.Subject)] = place{
					segment: s, at: at, length: len(stored), version: d.Version, deleted: d.deletes(),
				}
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
		next += uint64(f.count) //nolint:gosec // a count
		j.take(s, f.first, f.count, f.next()-f.at)
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
