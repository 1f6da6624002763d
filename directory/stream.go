package directory

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// AppendDelta appends the portable form of a delta: its version, the length of
// the stored form, the stored form.
func AppendDelta(b []byte, d Delta) []byte {
	key := versionKey(d.Version)
	value := d.encode(key)
	b = append(b, key...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(value))) //nolint:gosec // a delta is bounded by far less
	return append(b, value...)
}

const (
	versionSize = 8
	lengthSize  = 4
	// maxStored bounds the stored form of one delta.
	maxStored = 64 << 20
)

// ReadDeltas calls each for every delta that [AppendDelta] wrote, until the end
// of r. Anything else than whole deltas is [ErrCorrupt]. A payload is valid
// until each returns.
func ReadDeltas(r io.Reader, each func(Delta) error) error {
	buffered := bufio.NewReader(r)
	var value []byte
	for {
		var prefix [versionSize + lengthSize]byte
		if _, err := io.ReadFull(buffered, prefix[:]); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return cutOff(err)
		}
		key, size := prefix[:versionSize], binary.BigEndian.Uint32(prefix[versionSize:])
		if size > maxStored {
			return fmt.Errorf("%w: a delta of %d bytes", ErrCorrupt, size)
		}
		var err error
		if value, err = readValue(buffered, value[:0], int(size)); err != nil {
			return cutOff(err)
		}
		d, err := decodeDelta(key, value)
		if err != nil {
			return err
		}
		d.Version = binary.BigEndian.Uint64(key)
		if err := each(d); err != nil {
			return err
		}
	}
}

// readValue reads a value piece by piece, so that a wrong length costs no more
// memory than there are bytes.
func readValue(r io.Reader, into []byte, size int) ([]byte, error) {
	const piece = 64 << 10
	for len(into) < size {
		from := len(into)
		into = append(into, make([]byte, min(piece, size-from))...)
		if _, err := io.ReadFull(r, into[from:]); err != nil {
			return into, err //nolint:wrapcheck // the caller says what was read
		}
	}
	return into, nil
}

// cutOff tells deltas that end early from a reader that fails.
func cutOff(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: deltas are cut off", ErrCorrupt)
	}
	return fmt.Errorf("reading deltas: %w", err)
}
