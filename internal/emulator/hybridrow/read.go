package hybridrow

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

const (
	version     = 0x81
	headerBytes = 5
	// falseCode is the layout code of a sparse false; true has that of [Bool].
	falseCode = 2
)

// ErrMalformed is wrapped by every error of reading.
var ErrMalformed = errors.New("malformed HybridRow")

func malformed(what string) error { return fmt.Errorf("%w: %s", ErrMalformed, what) }

// ReadStream reads the rows of a record stream, all of one layout.
func ReadStream(stream []byte, layout Layout) ([]Row, error) {
	rows := []Row{}
	for first := true; len(stream) > 0; first = false {
		schema, err := schemaOf(stream)
		switch {
		case err != nil:
			return nil, err
		case schema == segment().Schema:
			if stream, err = skipSegment(stream); err != nil {
				return nil, err
			}
		case schema == record().Schema && !first:
			var row []byte
			if row, stream, err = cutRecord(stream); err != nil {
				return nil, err
			}
			read, err := layout.Read(row)
			if err != nil {
				return nil, err
			}
			rows = append(rows, read)
		default:
			return nil, malformed("neither a segment nor a record")
		}
	}
	return rows, nil
}

func schemaOf(row []byte) (int32, error) {
	if len(row) < headerBytes || row[0] != version {
		return 0, malformed("no header")
	}
	return int32(binary.LittleEndian.Uint32(row[1:])), nil //nolint:gosec // G115: the bits are those of an int32.
}

// skipSegment returns what follows the segment header at the beginning.
func skipSegment(stream []byte) ([]byte, error) {
	size := segment().size()
	if len(stream) < size {
		return nil, malformed("a segment ends early")
	}
	head, err := segment().Read(stream[:size])
	if err != nil {
		return nil, err
	}
	length, _ := head["length"].(int32)
	if int(length) < size || int(length) > len(stream) {
		return nil, malformed("a segment has another length than it says")
	}
	return stream[length:], nil
}

// cutRecord returns the row of the record at the beginning, and what follows.
func cutRecord(stream []byte) (row, rest []byte, err error) {
	size := record().size()
	if len(stream) < size {
		return nil, nil, malformed("a record ends early")
	}
	head, err := record().Read(stream[:size])
	if err != nil {
		return nil, nil, err
	}
	stream = stream[size:]
	length, _ := head["length"].(int32)
	if length < 0 || int(length) > len(stream) {
		return nil, nil, malformed("a record ends early")
	}
	if row = stream[:length]; crc32.ChecksumIEEE(row) != head["crc32"] {
		return nil, nil, malformed("a checksum does not match")
	}
	return row, stream[length:], nil
}

// Read reads a row. Of a column that is there twice the last counts, as in the SDK's own reader.
func (l Layout) Read(row []byte) (Row, error) {
	schema, err := schemaOf(row)
	if err != nil {
		return nil, err
	}
	if schema != l.Schema || len(row) < l.size() {
		return nil, malformed("another schema, or too short for it")
	}
	presence, rest := row[headerBytes:headerBytes+l.presenceBytes()], row[headerBytes+l.presenceBytes():]
	values := Row{}
	for _, storage := range []Storage{Fixed, Variable} {
		if rest, err = l.readSchematized(storage, presence, rest, values); err != nil {
			return nil, err
		}
	}
	for len(rest) > 0 {
		if rest, err = l.readSparse(rest, values); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// readSchematized reads the columns of a storage that have a place in the layout.
func (l Layout) readSchematized(storage Storage, presence, rest []byte, values Row) ([]byte, error) {
	const perByte = 8
	bit := 0
	for _, column := range l.Columns {
		if column.Storage == Sparse {
			continue
		}
		there := column.Required
		if !column.Required {
			there = presence[bit/perByte]&(1<<(bit%perByte)) != 0
			bit++
		}
		if column.Storage != storage || !there && storage == Variable {
			continue
		}
		value, next, err := column.Type.read(rest)
		if err != nil {
			return nil, err
		}
		if rest = next; there {
			values[column.Path] = value
		}
	}
	return rest, nil
}

// readSparse reads a sparse column: the code of its type, the token or the text of its path, its value.
func (l Layout) readSparse(rest []byte, values Row) ([]byte, error) {
	code := Type(rest[0])
	token, rest, err := uvarint(rest[1:])
	if err != nil {
		return nil, err
	}
	path := ""
	switch known := uint64(len(l.Columns) + 1); { // token 0 is the empty path
	case token >= known:
		if token-known > uint64(len(rest)) {
			return nil, malformed("a path ends early")
		}
		path, rest = string(rest[:token-known]), rest[token-known:]
	case token > 0:
		path = l.Columns[token-1].Path
	}
	value, rest, err := code.read(rest)
	if err != nil {
		return nil, err
	}
	values[path] = value
	return rest, nil
}

// read reads a value at the beginning.
func (t Type) read(from []byte) (value any, rest []byte, err error) {
	if len(from) < t.bytes() {
		return nil, nil, malformed("a value ends early")
	}
	switch t {
	case falseCode, Bool:
		return t == Bool, from, nil
	case Int32:
		return int32(binary.LittleEndian.Uint32(from)), from[t.bytes():], nil //nolint:gosec // G115: the bits are those of an int32.
	case UInt32:
		return binary.LittleEndian.Uint32(from), from[t.bytes():], nil
	case Float64:
		return math.Float64frombits(binary.LittleEndian.Uint64(from)), from[t.bytes():], nil
	case Text, Binary:
		length, rest, err := uvarint(from)
		if err != nil || length > uint64(len(rest)) {
			return nil, nil, malformed("a value ends early")
		}
		if t == Text {
			return string(rest[:length]), rest[length:], nil
		}
		return rest[:length:length], rest[length:], nil
	default:
		return nil, nil, malformed("a type that batches do not use")
	}
}

// uvarint reads an unsigned number of seven bits a byte.
func uvarint(from []byte) (uint64, []byte, error) {
	value, size := binary.Uvarint(from)
	if size <= 0 {
		return 0, nil, malformed("a number ends early")
	}
	return value, from[size:], nil
}
