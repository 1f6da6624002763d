package journal

import (
	"bufio"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/cosmosgate/cosmosgate/directory"
)

// spool keeps a compressed snapshot in a file that has no name.
type spool struct {
	file       *os.File
	buffered   *bufio.Writer
	compressed *flate.Writer
	raw        []byte
	size       int64
}

func newSpool(folder string) (*spool, error) {
	file, err := os.CreateTemp(folder, "snapshot-*")
	if err != nil {
		return nil, fmt.Errorf("making room for a snapshot: %w", err)
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, fmt.Errorf("making room for a snapshot: %w", errors.Join(err, file.Close()))
	}
	s := &spool{file: file, buffered: bufio.NewWriter(file)}
	if s.compressed, err = flate.NewWriter(s.buffered, flate.BestSpeed); err != nil {
		return nil, fmt.Errorf("making room for a snapshot: %w", errors.Join(err, file.Close()))
	}
	return s, nil
}

// add takes one delta.
func (s *spool) add(d directory.Delta) error {
	s.raw = directory.AppendDelta(s.raw[:0], d)
	if _, err := s.compressed.Write(s.raw); err != nil {
		return fmt.Errorf("spooling a snapshot: %w", err)
	}
	return nil
}

// finish makes the spool ready to be read.
func (s *spool) finish() error {
	err := errors.Join(s.compressed.Close(), s.buffered.Flush())
	if err == nil {
		s.size, err = s.file.Seek(0, io.SeekCurrent)
	}
	if err == nil {
		_, err = s.file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return fmt.Errorf("spooling a snapshot: %w", err)
	}
	return nil
}

// next returns the next piece, none at the end.
func (s *spool) next() ([]byte, error) {
	piece := make([]byte, maxData)
	n, err := io.ReadFull(s.file, piece)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("reading a spooled snapshot: %w", err)
	}
	return piece[:n], nil
}

func (s *spool) close() { _ = s.file.Close() } // it has no name any more

// chunks reads a snapshot as the one stream that it is.
type chunks struct {
	read  func(n int) ([]byte, error)
	count int

	at   int
	rest []byte
}

// Read implements [io.Reader].
func (c *chunks) Read(p []byte) (int, error) {
	for len(c.rest) == 0 {
		if c.at == c.count {
			return 0, io.EOF
		}
		var err error
		if c.rest, err = c.read(c.at); err != nil {
			return 0, err
		}
		c.at++
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}
