package directory

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"
)

// A segment is one file of a journal: a header, then frames, each a batch that
// was committed together. Header and frames begin on a page of their own, so
// that a write which a power failure tears never touches what was written
// before. All of the file was written once before it is used, so that a commit
// changes neither its size nor its place on the disk and is one sync of data.
//
// The header is magic, the journal's id, the segment's own id, its number, its
// size, and a CRC-32C over them: of a file that somebody cut off nobody has to
// guess where it ended. A frame is its length, a CRC-32C over the segment's id
// and the rest, the version of its first delta, the number of deltas, and for
// each its length and stored form. What a file held in an earlier life, or a
// document that looks like a frame, has not been summed with this segment's id.

const (
	segmentMagic = "cosmosgate journal 2\n"
	pageBytes    = 4 << 10
	// frameHead is the size of a frame without its deltas.
	frameHead = 4 + crc32.Size + 8 + 4
	// firstSegment is the size of the first segment of a process: most need no
	// other. segmentBytes is that of the others.
	firstSegment = 256 << 10
	segmentBytes = 4 << 20
)

// segment is one open file of a journal.
type segment struct {
	file   diskFile
	name   string
	number uint64
	// journal is the id of the journal that it says it belongs to.
	journal uuid.UUID
	seed    uint32 // the checksum of the segment's id, where those of frames begin
	size    int64
	end     int64 // of the frames
	// first and last are the versions in it, zero for none.
	first, last uint64
}

// frame is a batch in a segment. Its deltas are valid until the next is read.
type frame struct {
	first  uint64
	count  int
	at     int64 // where it begins
	deltas []byte
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// pages rounds a length up to whole pages.
func pages(n int64) int64 { return (n + pageBytes - 1) / pageBytes * pageBytes }

// segmentHeader returns the header page of a new segment.
func segmentHeader(journal uuid.UUID, number uint64, size int64) ([]byte, error) {
	own, err := uuid.NewRandom()
	if err != nil {
		return nil, fmt.Errorf("naming a part of the journal: %w", err)
	}
	page := make([]byte, 0, pageBytes)
	page = append(append(append(page, segmentMagic...), journal[:]...), own[:]...)
	page = binary.BigEndian.AppendUint64(page, number)
	page = binary.BigEndian.AppendUint64(page, uint64(size)) //nolint:gosec // a size
	page = binary.BigEndian.AppendUint32(page, crc32.Checksum(page, castagnoli()))
	return page[:pageBytes], nil
}

// segmentName is the name of a segment after a prefix.
func segmentName(prefix string, number uint64) string { return fmt.Sprintf("%s%08d", prefix, number) }

// openSegment reads the header of a file.
func openSegment(d disk, name string) (*segment, error) {
	file, err := d.open(name)
	if err != nil {
		return nil, err
	}
	s := &segment{file: file, name: name, end: pageBytes}
	if err := s.readHeader(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return s, nil
}

// Places in a header.
const (
	journalAt = len(segmentMagic)
	ownAt     = journalAt + idSize
	numberAt  = ownAt + idSize
	sizeAt    = numberAt + 8
	sumAt     = sizeAt + 8
)

// readHeader reads the header and makes sure that the file is what it says.
func (s *segment) readHeader() error {
	var page [sumAt + crc32.Size]byte
	if _, err := s.file.ReadAt(page[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading %s: %w", s.name, err)
	}
	if !bytes.HasPrefix(page[:], []byte(segmentMagic)) || binary.BigEndian.Uint32(page[sumAt:]) != crc32.Checksum(page[:sumAt], castagnoli()) {
		return fmt.Errorf("%w: %s has no valid header", ErrCorrupt, s.name)
	}
	s.journal = uuid.UUID(page[journalAt:ownAt])
	s.takeHeader(page[:])
	size, err := s.file.size()
	switch {
	case err != nil:
		return err
	case !strings.HasSuffix(s.name, segmentName(journalSuffix, s.number)):
		return fmt.Errorf("%w: %s is part %d of a journal under another name: move copies elsewhere", ErrCorrupt, s.name, s.number)
	case size != s.size:
		return fmt.Errorf("%w: %s has %d bytes of %d", ErrCorrupt, s.name, size, s.size)
	}
	return nil
}

// takeHeader takes over what a header says of its segment.
func (s *segment) takeHeader(page []byte) {
	s.number = binary.BigEndian.Uint64(page[numberAt:])
	s.size = int64(binary.BigEndian.Uint64(page[sizeAt:])) //nolint:gosec // compared with the file's
	s.seed = crc32.Checksum(page[ownAt:numberAt], castagnoli())
}

// sum is the checksum of a frame without its first eight bytes.
func (s *segment) sum(length uint32, rest []byte) uint32 {
	var l [4]byte
	binary.BigEndian.PutUint32(l[:], length)
	return crc32.Update(crc32.Update(s.seed, castagnoli(), l[:]), castagnoli(), rest)
}

// seal fills in the length and checksum of a frame whose rest is there, and
// pads it to whole pages.
func (s *segment) seal(b []byte) []byte {
	length := uint32(len(b)) //nolint:gosec // a batch is bounded by far less
	binary.BigEndian.PutUint32(b, length)
	binary.BigEndian.PutUint32(b[4:], s.sum(length, b[8:]))
	return append(b, make([]byte, int(pages(int64(len(b))))-len(b))...)
}

// zero writes zeros from the end of the frames to that of the file: gently, if
// nobody waits for it, a little at a time with a sync and as long a rest after
// each, since commits wait for the same disk.
func (s *segment) zero(gently bool) error {
	zeros := make([]byte, zeroBytes)
	for at := s.end; at < s.size; at += zeroBytes {
		started := time.Now()
		if _, err := s.file.WriteAt(zeros[:min(zeroBytes, s.size-at)], at); err != nil {
			return err //nolint:wrapcheck // the caller says what was tried
		}
		if !gently {
			continue
		}
		if err := s.file.sync(); err != nil {
			return err
		}
		time.Sleep(time.Since(started))
	}
	return nil
}

// zeroBytes is how much of a new file is written between two syncs.
const zeroBytes = 64 << 10

// read returns the frame at a place, and whether there is one. It uses and
// returns buf.
func (s *segment) read(at int64, buf []byte) (f frame, ok bool, _ []byte, err error) {
	if at+pageBytes > s.size {
		return frame{}, false, buf, nil
	}
	buf = append(buf[:0], make([]byte, pageBytes)...)
	if _, err := s.file.ReadAt(buf, at); err != nil {
		return frame{}, false, buf, fmt.Errorf("reading %s: %w", s.name, err)
	}
	length := int64(binary.BigEndian.Uint32(buf))
	if length < frameHead || at+length > s.size {
		return frame{}, false, buf, nil
	}
	if length > pageBytes {
		buf = append(buf, make([]byte, length-pageBytes)...)
		if _, err := s.file.ReadAt(buf[pageBytes:], at+pageBytes); err != nil {
			return frame{}, false, buf, fmt.Errorf("reading %s: %w", s.name, err)
		}
	}
	b := buf[:length]
	if binary.BigEndian.Uint32(b[4:]) != s.sum(uint32(length), b[8:]) { //nolint:gosec // it was one
		return frame{}, false, buf, nil
	}
	count := int(binary.BigEndian.Uint32(b[16:]))
	f = frame{first: binary.BigEndian.Uint64(b[8:]), count: count, at: at, deltas: b[frameHead:]}
	return f, count > 0, buf, nil
}

// frameHeader appends room for the head of a frame, and what is known of it
// before its deltas are.
func frameHeader(b []byte, first uint64, count int) []byte {
	b = append(b, make([]byte, 4+crc32.Size)...)
	b = binary.BigEndian.AppendUint64(b, first)
	return binary.BigEndian.AppendUint32(b, uint32(count)) //nolint:gosec // a batch is bounded by far less
}

// last is the version of the last delta.
func (f frame) last() uint64 { return f.first + uint64(f.count) - 1 } //nolint:gosec // a count

// next returns where the next frame begins.
func (f frame) next() int64 { return f.at + pages(frameHead+int64(len(f.deltas))) }

// each calls for every delta with the place of its stored form in the file.
func (f frame) each(do func(d Delta, at int64, stored []byte) error) error { return f.eachAfter(0, do) }

// eachAfter is each for the deltas after a version.
func (f frame) eachAfter(after uint64, do func(d Delta, at int64, stored []byte) error) error {
	rest, at := f.deltas, f.at+frameHead
	for version := f.first; version < f.first+uint64(f.count); version++ { //nolint:gosec // a count
		if len(rest) < lengthSize || len(rest)-lengthSize < int(binary.BigEndian.Uint32(rest)) {
			return fmt.Errorf("%w: the frame of version %d is short", ErrCorrupt, f.first)
		}
		stored := rest[lengthSize:][:binary.BigEndian.Uint32(rest)]
		if version > after {
			d, err := decodeDelta(versionKey(version), stored)
			if err != nil {
				return err
			}
			d.Version = version
			if err := do(d, at+lengthSize, stored); err != nil {
				return err
			}
		}
		rest, at = rest[lengthSize+len(stored):], at+lengthSize+int64(len(stored))
	}
	return nil
}
