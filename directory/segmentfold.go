package directory

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// cursor is the place of a frame of which something isn't folded.
type cursor struct {
	number uint64 // of the segment
	at     int64
	passed int64 // bytes of frames read since the last drop
	frame  frame // that frame, once it is read
	buf    []byte
}

// foldable returns the oldest deltas after a version, worth about limit keys,
// with payloads of their own.
func (j *segments) foldable(folded uint64, limit int) ([]Delta, error) {
	var deltas []Delta
	keys := 0
	for {
		s, end := j.at(&j.cursor)
		if s == nil || keys >= limit {
			return deltas, nil
		}
		f, err := j.cursor.read(s, end)
		if err != nil {
			return nil, err
		}
		err = f.eachAfter(folded, func(d Delta, _ int64, _ []byte) error {
			if keys >= limit {
				return errEnough
			}
			d.Payload = bytes.Clone(d.Payload)
			deltas = append(deltas, d)
			keys += d.keys()
			return nil
		})
		if errors.Is(err, errEnough) {
			return deltas, nil // the rest of the frame is for the next time
		}
		if err != nil {
			return nil, err
		}
		j.cursor.at, j.cursor.frame = f.next(), frame{}
		j.cursor.passed += f.next() - f.at
	}
}

// errEnough ends a walk through a frame.
var errEnough = errors.New("enough")

// read returns the frame at a cursor's place. It is read once, however often
// something of it is folded.
func (c *cursor) read(s *segment, end int64) (frame, error) {
	if c.frame.count > 0 {
		return c.frame, nil
	}
	f, ok, buf, err := s.read(c.at, c.buf)
	if c.buf = buf; err != nil {
		return frame{}, err
	}
	if !ok || f.next() > end {
		return frame{}, fmt.Errorf("%w: %s has no frame at %d any more", ErrCorrupt, s.name, c.at)
	}
	c.frame = f
	return f, nil
}

// at returns the segment of a cursor and where its frames end, nil if the
// cursor has passed all of them.
func (j *segments) at(c *cursor) (*segment, int64) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	for _, s := range j.used {
		switch {
		case s.number > c.number:
			c.number, c.at = s.number, pageBytes
		case s.number < c.number:
			continue
		}
		if c.at < s.end {
			return s, s.end
		}
	}
	return nil, 0
}

// drop lets go of deltas that were folded. A segment that has no others is
// retired.
func (j *segments) drop(deltas []Delta) error {
	folded := deltas[len(deltas)-1].Version
	j.waiting.Add(-j.cursor.passed)
	j.cursor.passed = 0
	j.mu.Lock()
	for _, d := range deltas {
		if key := journalKey(d.Kind, d.Subject); d.aboutRecord() && j.newest[key].version <= folded {
			delete(j.newest, key)
		}
	}
	j.mu.Unlock()
	if !j.pinned.TryLock() {
		return nil // the next time
	}
	defer j.pinned.Unlock()
	for {
		s := j.oldest(folded)
		if s == nil {
			return nil
		}
		if err := j.retire(s); err != nil {
			return err
		}
	}
}

// oldest takes away the first segment if everything in it is folded and it is
// not the current one.
func (j *segments) oldest(folded uint64) *segment {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.used) < 2 || j.used[0].last > folded {
		return nil
	}
	s := j.used[0]
	j.used = slices.Clone(j.used[1:])
	return s
}

// retire keeps a segment of the usual size, in which all is folded, for its
// room, and removes others. A file that is removed may keep the disk from syncing
// for some 100 ms, and so may the making of another in its place.
func (j *segments) retire(s *segment) error {
	j.making.Lock()
	defer j.making.Unlock()
	if s.size != j.size || len(j.spent) >= maxSpent {
		return j.remove(s)
	}
	j.spent = append(j.spent, s)
	return nil
}

// maxSpent is how many segments are kept for their room: as many as a run takes
// up that is folded when it is over.
const maxSpent = maxBacklog / 2 * pageBytes / segmentBytes
