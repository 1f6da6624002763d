package hybridrow

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
)

const crcBytes = 4

// AppendStream appends a record stream of rows, all of one layout: one segment, and a record for each row.
// A value of another Go type than its column's is an error.
func AppendStream(dst []byte, layout Layout, rows []Row) ([]byte, error) {
	head := segment()
	dst, err := head.Append(dst, Row{"length": int32(head.size())}) //nolint:gosec // G115: ten bytes.
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		encoded, err := layout.Append(nil, row)
		if err != nil {
			return nil, err
		}
		head := Row{"length": int32(len(encoded)), "crc32": crc32.ChecksumIEEE(encoded)} //nolint:gosec // G115: an item is smaller than 2 GiB.
		if dst, err = record().Append(dst, head); err != nil {
			return nil, err
		}
		dst = append(dst, encoded...)
	}
	return dst, nil
}

// Append appends a row.
func (l Layout) Append(dst []byte, row Row) ([]byte, error) {
	dst = append(dst, version)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(l.Schema)) //nolint:gosec // G115: the bits are the same.
	dst = append(dst, l.presence(row)...)
	var err error
	for _, storage := range []Storage{Fixed, Variable, Sparse} {
		for i, column := range l.Columns {
			if column.Storage == storage && err == nil {
				dst, err = column.append(dst, row[column.Path], uint64(i)+1)
			}
		}
	}
	return dst, err
}

// presence makes the presence bits of a row.
func (l Layout) presence(row Row) []byte {
	const perByte = 8
	bits := make([]byte, l.presenceBytes())
	bit := 0
	for _, column := range l.Columns {
		if column.Storage == Sparse || column.Required {
			continue
		}
		if row[column.Path] != nil {
			bits[bit/perByte] |= 1 << (bit % perByte)
		}
		bit++
	}
	return bits
}

// append appends a column's value: a fixed one in any case, the others only if they are there.
func (c Column) append(dst []byte, value any, token uint64) ([]byte, error) {
	if value == nil {
		if c.Storage == Fixed {
			dst = append(dst, make([]byte, c.Type.bytes())...)
		}
		return dst, nil
	}
	if c.Storage == Sparse {
		code := byte(c.Type)
		if value == false {
			code = falseCode
		}
		dst = binary.AppendUvarint(append(dst, code), token)
	}
	return c.appendValue(dst, value)
}

func (c Column) appendValue(dst []byte, value any) ([]byte, error) {
	switch value := value.(type) {
	case bool:
		if c.Type == Bool && c.Storage == Sparse {
			return dst, nil // its code says it all
		}
	case int32:
		if c.Type == Int32 {
			return binary.LittleEndian.AppendUint32(dst, uint32(value)), nil //nolint:gosec // G115: the bits are the same.
		}
	case uint32:
		if c.Type == UInt32 {
			return binary.LittleEndian.AppendUint32(dst, value), nil
		}
	case float64:
		if c.Type == Float64 {
			return binary.LittleEndian.AppendUint64(dst, math.Float64bits(value)), nil
		}
	case string:
		if c.Type == Text {
			return append(binary.AppendUvarint(dst, uint64(len(value))), value...), nil
		}
	case []byte:
		if c.Type == Binary {
			return append(binary.AppendUvarint(dst, uint64(len(value))), value...), nil
		}
	}
	return nil, fmt.Errorf("column %s cannot hold a %T", c.Path, value)
}

// Mend returns a stream in which every record has the checksum that its row has, as far as the stream can be read. It is for fuzzers, which would
// not guess one.
func Mend(stream []byte) []byte {
	head, size := segment().size(), record().size()
	mended := slices.Clone(stream)
	for at := head; at+size <= len(mended); {
		length := int(binary.LittleEndian.Uint32(mended[at+headerBytes:]))
		if length > len(mended)-at-size {
			break
		}
		row := mended[at+size : at+size+length]
		binary.LittleEndian.PutUint32(mended[at+size-crcBytes:], crc32.ChecksumIEEE(row))
		at += size + length
	}
	return mended
}
