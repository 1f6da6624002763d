package cosmos

import (
	"encoding/binary"
	"hash/crc32"
	"unicode/utf8"
)

// What .NET sends as a batch: a RecordIO stream of HybridRow rows, little-endian throughout. A row is the version, the id of its schema, the
// presence bits and fixed fields of the schema, its variable fields, and then sparse ones, each with its type and its path. The layouts follow from
// Docs/Grammar.md, Docs/RecordIO.md and SystemSchemas/SystemSchema.json of github.com/microsoft/HybridRow, and from
// Microsoft.Azure.Cosmos/src/Batch/HybridRowBatchSchemas.json of the .NET SDK.
const (
	// hybridRowVersion is the first byte of every row; JSON cannot begin with it.
	hybridRowVersion = 0x81

	segmentSchema   = 2147473648
	recordSchema    = 2147473649
	operationSchema = 2145473648

	headerSize  = 1 + 4          // version, schema
	segmentSize = headerSize + 5 // presence, length
	recordSize  = headerSize + 8 // length, CRC-32
	fixedSize   = 1 + 4 + 4      // presence, operation type, resource type

	resourceTypeItem = 2
)

// Presence bits of an operation, in the order of its fields.
const (
	hasOperationType = 1 << iota
	hasResourceType
	hasPartitionKey
	hasEffectiveKey
	hasID
	hasBinaryID
	hasBody
)

// Tokens of the sparse fields that SDKs write, and the codes of their types.
const (
	fieldIndexing    = 8
	fieldIfMatch     = 9
	fieldIfNoneMatch = 10
	fieldMinimal     = 12

	typeFalse = 2
	typeTrue  = 3
	typeText  = 20
)

// rowReader reads one row or stream. It is stricter than .NET: only what the SDK writes, in the one way in which it writes it.
type rowReader struct{ rest []byte }

// hybridBatch reads the operations of a batch. A stream of several segments, a segment with a schema of its own and a record that is damaged are
// refused, and so is whatever else could make another reader see another batch.
func (b *batchReader) hybridBatch(body []byte) *Error {
	stream := rowReader{body}
	if err := stream.segment(); err != nil {
		return err
	}

	for len(stream.rest) > 0 {
		row, err := stream.record()
		if err != nil {
			return err
		}

		if err := b.row(row); err != nil {
			return err
		}
	}

	return nil
}

// segment reads the header of the stream: its own length, and nothing else.
func (r *rowReader) segment() *Error {
	fields, err := r.header(segmentSchema, segmentSize)
	if err != nil {
		return err
	}

	if fields[0] != 1 || binary.LittleEndian.Uint32(fields[1:]) != segmentSize {
		return errRow("its segment is not a plain one")
	}

	return nil
}

// record returns the row of the next record.
func (r *rowReader) record() ([]byte, *Error) {
	fields, err := r.header(recordSchema, recordSize)
	if err != nil {
		return nil, err
	}

	row, err := r.take(uint64(binary.LittleEndian.Uint32(fields)))
	if err != nil {
		return nil, err
	}

	if crc32.ChecksumIEEE(row) != binary.LittleEndian.Uint32(fields[4:]) {
		return nil, errRow("a checksum does not match")
	}

	return row, nil
}

// header reads the beginning of a row, size bytes long, and returns what follows version and schema.
func (r *rowReader) header(schema uint32, size uint64) ([]byte, *Error) {
	head, err := r.take(size)
	if err != nil {
		return nil, err
	}

	if head[0] != hybridRowVersion || binary.LittleEndian.Uint32(head[1:]) != schema {
		return nil, errRow("a row has another version or schema than is due")
	}

	return head[headerSize:], nil
}

func (r *rowReader) take(n uint64) ([]byte, *Error) {
	if n > uint64(len(r.rest)) {
		return nil, errRow("it ends early")
	}

	taken := r.rest[:n]
	r.rest = r.rest[n:]

	return taken, nil
}

// number reads an unsigned number of seven bits a byte, in as few bytes as it needs.
func (r *rowReader) number() (uint64, *Error) {
	value, size := binary.Uvarint(r.rest)
	if size <= 0 || size > 1 && r.rest[size-1] == 0 {
		return 0, errRow("a length is malformed")
	}

	r.rest = r.rest[size:]

	return value, nil
}

// bytes reads a field that says how long it is.
func (r *rowReader) bytes() ([]byte, *Error) {
	n, err := r.number()
	if err != nil {
		return nil, err
	}

	return r.take(n)
}

func (r *rowReader) text() (string, *Error) {
	raw, err := r.bytes()
	if err != nil {
		return "", err
	}

	if !utf8.Valid(raw) {
		return "", errRow("a text is not valid UTF-8")
	}

	return string(raw), nil
}

// row reads one operation.
func (b *batchReader) row(encoded []byte) *Error {
	if err := b.countOperation(); err != nil {
		return err
	}

	r := rowReader{encoded}

	fixed, err := r.header(operationSchema, headerSize+fixedSize)
	if err != nil {
		return err
	}

	presence := fixed[0]

	const due, refused = hasOperationType | hasResourceType, ^byte(hasOperationType | hasResourceType | hasPartitionKey | hasID | hasBody)
	if presence&due != due || presence&refused != 0 || binary.LittleEndian.Uint32(fixed[5:]) != resourceTypeItem {
		return errRow("an operation lacks a field, or has one that SDKs do not write")
	}

	operation := batchOperation{verb: verbOf(binary.LittleEndian.Uint32(fixed[1:]))}
	if err := operation.variable(&r, presence); err != nil {
		return err
	}

	if err := operation.sparse(&r); err != nil {
		return err
	}

	if err := b.add(&operation); err != nil {
		return err
	}

	// The answer is HybridRow as well, out of which the gate takes no content. That upstream leaves it out is not counted on.
	b.patches = false
	if operation.verb == verbPatch {
		b.actions |= ReadItem
	}

	return nil
}

// verbOf is the name of an operation type of the .NET SDK's OperationType; "" for those that no batch has.
func verbOf(code uint32) string {
	const (
		create  = 0
		patch   = 1
		read    = 2
		remove  = 4
		replace = 5
		upsert  = 20
	)

	switch code {
	case create:
		return verbCreate
	case patch:
		return verbPatch
	case read:
		return verbRead
	case remove:
		return verbDelete
	case replace:
		return verbReplace
	case upsert:
		return verbUpsert
	default:
		return ""
	}
}

// variable reads the fields that the presence bits announce. Bodies are one JSON value, as in a JSON batch.
func (o *batchOperation) variable(r *rowReader, presence byte) *Error {
	if presence&hasPartitionKey != 0 {
		text, err := r.text()
		if err != nil {
			return err
		}

		if err := o.parseKey(text); err != nil {
			return err
		}
	}

	if presence&hasID != 0 {
		if _, err := r.text(); err != nil {
			return err
		}
	}

	if presence&hasBody != 0 {
		body, err := r.bytes()
		if err != nil {
			return err
		}

		o.body = body
	}

	return o.checkBody(presence)
}

// checkBody holds an operation against what its kind needs: who else reads it must find nothing to choose from.
func (o *batchOperation) checkBody(presence byte) *Error {
	wanted := byte(hasBody)

	switch o.verb {
	case verbRead, verbDelete:
		wanted = hasID
	case verbReplace, verbPatch:
		wanted = hasID | hasBody
	}

	optional := byte(0)
	if o.verb == verbCreate || o.verb == verbUpsert {
		optional = hasID
	}

	if presence&(hasID|hasBody)&^optional != wanted {
		return errRow("an operation has no id or no body where it needs one, or has one too many")
	}

	if presence&hasBody == 0 {
		return nil
	}

	scanner, err := newJSONScanner(o.body)
	if err != nil {
		return err
	}

	if _, err := scanner.raw(); err != nil {
		return err
	}

	return scanner.end()
}

// sparse reads the fields at the end, each known by the token of its path, and once at most.
func (o *batchOperation) sparse(r *rowReader) *Error {
	seen := uint64(0)

	for len(r.rest) > 0 {
		code := r.rest[0]
		r.rest = r.rest[1:]

		token, err := r.number()
		if err != nil {
			return err
		}

		switch {
		case code == typeText && (token == fieldIndexing || token == fieldIfMatch || token == fieldIfNoneMatch):
			_, err = r.text()
		case (code == typeTrue || code == typeFalse) && token == fieldMinimal:
		default:
			err = errRow("an operation has a field that SDKs do not write")
		}

		if err == nil && seen&(1<<token) != 0 {
			err = errRow("an operation has a field twice")
		}

		if err != nil {
			return err
		}

		seen |= 1 << token
	}

	return nil
}

func errRow(what string) *Error { return Malformed("the HybridRow batch cannot be read: " + what) }
