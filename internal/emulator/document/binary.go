package document

import (
	"encoding/binary"
	"math"
	"unicode/utf8"
)

// BinaryMark is the first byte of a value in CosmosBinary; JSON text cannot begin with it.
const BinaryMark = 0x80

// Markers of CosmosBinary (JsonBinaryEncoding of the .NET SDK, binary_json of the Rust SDK).
const (
	markLiteralEnd   = 0x20 // below: small numbers
	markSystemEnd    = 0x40 // below: strings that everybody knows
	markShortString  = 0x80 // strings of up to 63 bytes
	markShortEnd     = 0xC0
	markString1      = 0xC0
	markUint64       = 0xC7
	markUint8        = 0xC8
	markInt16        = 0xC9
	markInt32        = 0xCA
	markInt64        = 0xCB
	markDouble       = 0xCC
	markNull         = 0xD0
	markFalse        = 0xD1
	markTrue         = 0xD2
	markEmptyArray   = 0xE0
	markEmptyObject  = 0xE8
	containerKinds   = 8
	byteCount        = 1
	shortCount       = 2
	wordCount        = 4
	doubleWordCount  = 8
	markContainerEnd = markEmptyObject + containerKinds
)

// ParseBinary reads one value in CosmosBinary, as SDKs write it: numbers, strings by length, arrays and objects. Strings that refer to others, and
// packed ones, are what the service alone writes; they are refused.
func ParseBinary(encoded []byte) (Value, error) {
	if len(encoded) == 0 || encoded[0] != BinaryMark {
		return Value{}, ErrSyntax
	}
	p := binaryParser{parser{text: encoded, at: 1}}
	value, err := p.value(0)
	if err == nil && p.at != len(encoded) {
		err = p.fault()
	}
	return value, err
}

// binaryParser reads where a parser stands.
type binaryParser struct{ parser }

func (p *binaryParser) left() uint64 { return uint64(len(p.text[p.at:])) }

func (p *binaryParser) take(n uint64) ([]byte, error) {
	if n > p.left() {
		return nil, p.fault()
	}
	taken := p.text[p.at : p.at+int(n)] //nolint:gosec // G115: no more than is there.
	p.at += len(taken)
	return taken, nil
}

// number reads an unsigned number of some bytes.
func (p *binaryParser) number(size uint64) (uint64, error) {
	raw, err := p.take(size)
	if err != nil {
		return 0, err
	}
	var whole [doubleWordCount]byte
	copy(whole[:], raw)
	return binary.LittleEndian.Uint64(whole[:]), nil
}

func (p *binaryParser) value(depth int) (Value, error) {
	if depth > MaxDepth {
		return Value{}, ErrDepth
	}
	mark, err := p.number(byteCount)
	if err != nil {
		return Value{}, err
	}
	switch {
	case mark < markLiteralEnd:
		return NumberValue(float64(mark)), nil
	case mark < markShortEnd || mark <= markString1+shortCount:
		text, err := p.text8(mark)
		return StringValue(text), err
	case mark >= markUint64 && mark <= markDouble:
		return p.double(mark)
	case mark == markNull:
		return NullValue(), nil
	case mark == markFalse, mark == markTrue:
		return BoolValue(mark == markTrue), nil
	case mark >= markEmptyArray && mark < markEmptyObject:
		return p.array(mark-markEmptyArray, depth)
	case mark >= markEmptyObject && mark < markContainerEnd:
		return p.object(mark-markEmptyObject, depth)
	default:
		return Value{}, p.fault()
	}
}

// text8 reads a string in UTF-8.
func (p *binaryParser) text8(mark uint64) (string, error) {
	var length uint64
	var err error
	switch {
	case mark >= markLiteralEnd && mark < markSystemEnd:
		return systemString(mark - markLiteralEnd), nil
	case mark >= markShortString && mark < markShortEnd:
		length = mark - markShortString
	case mark >= markString1 && mark <= markString1+shortCount:
		length, err = p.number(byteCount << (mark - markString1))
	default:
		return "", p.fault()
	}
	if err != nil {
		return "", err
	}
	raw, err := p.take(length)
	if err != nil || !utf8.Valid(raw) {
		return "", p.fault()
	}
	return string(raw), nil
}

func (p *binaryParser) double(mark uint64) (Value, error) {
	sizes := map[uint64]uint64{markUint64: doubleWordCount, markUint8: byteCount, markInt16: shortCount, markInt32: wordCount}
	size, ok := sizes[mark]
	if !ok {
		size = doubleWordCount
	}
	bits, err := p.number(size)
	if err != nil {
		return Value{}, err
	}
	number := float64(bits)
	switch mark {
	case markInt16:
		number = float64(int16(bits)) //nolint:gosec // G115: the bits are those of an int16.
	case markInt32:
		number = float64(int32(bits)) //nolint:gosec // G115: the bits are those of an int32.
	case markInt64:
		number = float64(int64(bits)) //nolint:gosec // G115: the bits are those of an int64.
	case markDouble:
		number = math.Float64frombits(bits)
	}
	if math.IsNaN(number) || math.IsInf(number, 0) {
		return Value{}, p.fault() // no JSON has them
	}
	return NumberValue(number), nil
}

// extent reads how far an array or object of a kind reaches: kind 0 is empty, 1 has one value, 2 to 4 say how many bytes, 5 to 7 also how
// many values.
func (p *binaryParser) extent(kind uint64) (end int, err error) {
	const single, counted = 1, 5
	if kind == 0 {
		return p.at, nil
	}
	if kind == single {
		return -1, nil
	}
	size := uint64(byteCount) << ((kind - shortCount) % (counted - shortCount))
	length, err := p.number(size)
	if err != nil {
		return 0, err
	}
	if kind >= counted {
		if _, err = p.number(size); err != nil {
			return 0, err
		}
	}
	if length > p.left() {
		return 0, p.fault()
	}
	return p.at + int(length), nil //nolint:gosec // G115: no more than is there.
}

// within calls one for each value up to the end, or once if there is one value only.
func (p *binaryParser) within(kind uint64, one func() error) error {
	end, err := p.extent(kind)
	if err != nil {
		return err
	}
	if end < 0 {
		return one()
	}
	for p.at < end {
		if err := one(); err != nil {
			return err
		}
	}
	if p.at != end {
		return p.fault()
	}
	return nil
}

func (p *binaryParser) array(kind uint64, depth int) (Value, error) {
	elements := []Value{}
	err := p.within(kind, func() error {
		element, err := p.value(depth + 1)
		elements = append(elements, element)
		return err
	})
	return ArrayValue(elements), err
}

func (p *binaryParser) object(kind uint64, depth int) (Value, error) {
	value := ObjectValue(nil)
	err := p.within(kind, func() error {
		mark, err := p.number(byteCount)
		if err != nil {
			return err
		}
		name, err := p.text8(mark)
		if err != nil {
			return err
		}
		member, err := p.value(depth + 1)
		value = value.With(name, member)
		return err
	})
	return value, err
}

// systemString is one of the strings that have a marker of their own.
func systemString(index uint64) string {
	known := [markSystemEnd - markLiteralEnd]string{
		"$s", "$t", "$v", "_attachments", "_etag", "_rid", "_self", "_ts", "attachments/", "coordinates", "geometry", "GeometryCollection", "id", "url",
		"Value", "label", "LineString", "link", "MultiLineString", "MultiPoint", "MultiPolygon", "name", "Name", "Type", "Point", "Polygon", "properties",
		"type", "value", "Feature", "FeatureCollection", "_id",
	}
	return known[index]
}
