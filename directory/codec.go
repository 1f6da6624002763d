package directory

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
)

// encode returns the stored form of a delta: CRC-32C over key and rest, kind,
// Unix milliseconds, revision, connection, subject, payload. The version is
// part of the key or, for folded state, of no interest.
func (d Delta) encode(key []byte) []byte {
	return d.appendStored(make([]byte, 0, crc32.Size+32+len(d.Connection)+len(d.Subject)+len(d.Payload)), key)
}

// appendStored appends the stored form.
func (d Delta) appendStored(b, key []byte) []byte {
	at := len(b)
	b = append(b, 0, 0, 0, 0, byte(d.Kind))
	b = binary.BigEndian.AppendUint64(b, uint64(d.Time.UnixMilli()))
	b = binary.AppendUvarint(b, d.Revision)
	b = appendText(b, d.Connection)
	b = appendText(b, d.Subject)
	b = append(b, d.Payload...)
	binary.BigEndian.PutUint32(b[at:], checksum(key, b[at+crc32.Size:]))
	return b
}

// decodeDelta reverses encode. The payload is a part of value.
func decodeDelta(key, value []byte) (Delta, error) {
	if len(value) < crc32.Size || binary.BigEndian.Uint32(value) != checksum(key, value[crc32.Size:]) {
		return Delta{}, fmt.Errorf("%w: checksum of key %x", ErrCorrupt, key)
	}
	r := reader{rest: value[crc32.Size:]}
	d := Delta{Kind: Kind(r.byte()), Time: r.milliseconds(), Revision: r.uvarint()}
	d.Connection, d.Subject = r.text(), r.text()
	d.Payload = r.rest
	if r.short {
		return Delta{}, fmt.Errorf("%w: value of key %x is short", ErrCorrupt, key)
	}
	return d, nil
}

func checksum(key, rest []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(key, table), table, rest)
}

// userFlagActive is a bit of a user payload's flags.
const userFlagActive = 1

func encodeUser(u User) []byte {
	b := make([]byte, 0, 128+len(u.Document))
	b = appendText(b, u.ExternalID)
	b = appendText(b, u.UserName)
	var flags byte
	if u.Active {
		flags |= userFlagActive
	}
	b = append(b, flags)
	b = binary.BigEndian.AppendUint64(b, uint64(u.Created.UnixMilli()))
	b = binary.AppendUvarint(b, uint64(len(u.Emails)))
	for _, e := range u.Emails {
		b = appendText(b, e)
	}
	b = binary.AppendUvarint(b, uint64(len(u.Attributes)))
	for _, k := range slices.Sorted(maps.Keys(u.Attributes)) {
		b = appendText(appendText(b, k), u.Attributes[k])
	}
	return append(b, u.Document...)
}

func encodeGroup(g GroupRecord) []byte {
	b := make([]byte, 0, 64+len(g.Document))
	b = appendText(b, g.ExternalID)
	b = appendText(b, g.DisplayName)
	b = binary.BigEndian.AppendUint64(b, uint64(g.Created.UnixMilli()))
	return append(b, g.Document...)
}

func decodeGroup(d Delta) (GroupRecord, error) {
	r := reader{rest: d.Payload}
	g := GroupRecord{ID: ID(d.Subject), Connection: d.Connection, Revision: d.Revision, Modified: d.Time}
	g.ExternalID, g.DisplayName = r.text(), r.text()
	g.Created = r.milliseconds()
	g.Document = r.rest
	return g, r.err(d)
}

// document returns the document in a put's payload, which is a part of it.
func (d Delta) document() ([]byte, error) {
	if d.Kind != KindPutUser {
		g, err := decodeGroup(d)
		return g.Document, err
	}
	r := reader{rest: d.Payload}
	r.bytes()
	r.bytes()
	r.byte()
	r.milliseconds()
	for range r.count() {
		r.bytes()
	}
	for range r.count() {
		r.bytes()
		r.bytes()
	}
	return r.rest, r.err(d)
}

// encodeMembers writes ids as sixteen bytes each.
func encodeMembers(ids []ID) []byte {
	b := make([]byte, 0, len(uuid.UUID{})*len(ids))
	for _, id := range ids {
		b = append(b, binaryID(string(id))...)
	}
	return b
}

// binaryID returns the sixteen bytes of a record id, or the text itself if it
// is none, so that a key is never ambiguous.
func binaryID(id string) []byte {
	parsed, err := uuid.Parse(id)
	if err != nil {
		return []byte(id)
	}
	return parsed[:]
}

func encodeLock(l *Lock) []byte {
	b := appendText(appendText(nil, l.Message), l.By)
	b = binary.BigEndian.AppendUint64(b, uint64(l.Created.UnixMilli()))
	return appendOptionalTime(b, l.Expires)
}

func decodeLock(d Delta) (*Lock, error) {
	subject, err := decodeSubject(d)
	if err != nil {
		return nil, err
	}
	r := reader{rest: d.Payload}
	l := &Lock{Subject: subject, Message: r.text(), By: r.text(), Created: r.milliseconds()}
	l.Expires = r.optionalTime()
	return l, r.err(d)
}

// encode writes a subject as its kind's byte and its name.
func (s Subject) encode() string { return string(rune(s.Kind)) + s.Name }

func decodeSubject(d Delta) (Subject, error) {
	if d.Subject == "" {
		return Subject{}, fmt.Errorf("%w: lock without subject", ErrCorrupt)
	}
	return Subject{Kind: SubjectKind(d.Subject[0]), Name: d.Subject[1:]}, nil
}

func appendBytes(b, s []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// appendOptionalTime writes a zero time as zero.
func appendOptionalTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return binary.BigEndian.AppendUint64(b, 0)
	}
	return binary.BigEndian.AppendUint64(b, uint64(t.UnixMilli()))
}

// reader takes a stored value apart and remembers whether it was too short.
type reader struct {
	rest  []byte
	short bool
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.short, r.rest = true, nil
		return nil
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.short, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// count reads a number of elements, none of which is shorter than a byte.
func (r *reader) count() uint64 {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.short, r.rest = true, nil
		return 0
	}
	return n
}

func (r *reader) text() string { return string(r.bytes()) }

func (r *reader) bytes() []byte { return r.take(r.uvarint()) }

func (r *reader) milliseconds() time.Time {
	b := r.take(8)
	if b == nil {
		return time.Time{}
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(b))).UTC() //nolint:gosec // it was written from an int64
}

func (r *reader) optionalTime() time.Time {
	if t := r.milliseconds(); !t.IsZero() && t.UnixMilli() != 0 {
		return t
	}
	return time.Time{}
}

func (r *reader) err(d Delta) error {
	if r.short {
		return fmt.Errorf("%w: payload of %s is short", ErrCorrupt, d.Subject)
	}
	return nil
}
