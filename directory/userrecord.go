package directory

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"time"
)

// userRecord is the packed, immutable form of a user: all but the document. It
// is a header, the counter, the external id, the user name, the e-mail
// addresses, the attributes by the number of their name, and the sorted
// ordinals of the groups that the user is a direct member of, four bytes each.
type userRecord []byte

// Places in the header.
const (
	atFlags      = 0
	atConnection = 1
	atID         = 3
	atGeneration = 19
	atCreated    = 27
	atModified   = 35
	atEdges      = 43 // where the ordinals begin
	headerSize   = 47
)

// Flags of a record. The first is that of a payload.
const (
	flagActive = userFlagActive << iota
	// flagDeleted marks what is left of a deleted user: the header.
	flagDeleted
	// flagNameIsEmail means that the one e-mail address is the folded user name.
	flagNameIsEmail
	// flagLinkIsUUID means that the external id is a UUID in canonical form, and
	// kept in sixteen bytes: it is with most providers.
	flagLinkIsUUID
)

const edgeSize = 4

func (r userRecord) active() bool       { return r[atFlags]&flagActive != 0 }
func (r userRecord) deleted() bool      { return r[atFlags]&flagDeleted != 0 }
func (r userRecord) linkIsUUID() bool   { return r[atFlags]&flagLinkIsUUID != 0 }
func (r userRecord) nameIsEmail() bool  { return r[atFlags]&flagNameIsEmail != 0 }
func (r userRecord) connection() uint16 { return binary.LittleEndian.Uint16(r[atConnection:]) }
func (r userRecord) generation() uint64 { return binary.LittleEndian.Uint64(r[atGeneration:]) }
func (r userRecord) key() recordKey     { return recordKey(r[atID:atGeneration]) }
func (r userRecord) created() time.Time { return unpackTime(r[atCreated:]) }
func (r userRecord) modified() time.Time {
	return unpackTime(r[atModified:])
}

// direct returns the groups that the user is a direct member of.
func (r userRecord) direct() edges { return edges(r[binary.LittleEndian.Uint32(r[atEdges:]):]) }

func (r userRecord) revision() uint64 {
	revision, _ := binary.Uvarint(r[headerSize:])
	return revision
}

// link returns the external id as it is packed.
func (r userRecord) link() []byte {
	rest := r[headerSize:]
	_, n := binary.Uvarint(rest)
	size, m := binary.Uvarint(rest[n:])
	return rest[n+m:][:size]
}

// externalID appends the external id.
func (r userRecord) externalID(b []byte) []byte {
	if r.linkIsUUID() {
		return recordKey(r.link()).appendID(b)
	}
	return append(b, r.link()...)
}

// folded returns the folded user name.
func (r userRecord) folded() []byte {
	p := reader{rest: r[headerSize:]}
	p.uvarint()
	p.bytes()
	return foldBytes(p.bytes())
}

// others yields the e-mail addresses, except one that is the folded user name.
func (r userRecord) others(yield func([]byte) bool) {
	if r == nil {
		return
	}
	p := reader{rest: r[headerSize:]}
	p.uvarint()
	p.bytes()
	p.bytes()
	for range p.count() {
		if !yield(p.bytes()) {
			return
		}
	}
}

// hasLink reports whether the user has an external id.
func (r userRecord) hasLink() bool { return r != nil && len(r.link()) > 0 }

// linked reports whether this is the user of a link key.
func (r userRecord) linked(connection uint16, externalID string) bool {
	if r == nil || r.connection() != connection {
		return false
	}
	if r.linkIsUUID() {
		key, ok := ID(externalID).key()
		return ok && recordKey(r.link()) == key
	}
	return string(r.link()) == externalID
}

// userFields is a record's variable part, taken apart.
type userFields struct {
	revision             uint64
	externalID, userName string
	emails               []string
	attributes           []byte // still packed
}

// fields takes the record apart.
func (r userRecord) fields() userFields {
	p := reader{rest: r[headerSize:binary.LittleEndian.Uint32(r[atEdges:])]}
	f := userFields{revision: p.uvarint(), externalID: string(r.externalID(nil))}
	p.bytes()
	f.userName = p.text()
	if r.nameIsEmail() {
		f.emails = []string{Fold(f.userName)}
	}
	for range p.count() {
		f.emails = append(f.emails, p.text())
	}
	f.attributes = p.rest
	return f
}

// packUser returns the record that a delta puts, in no groups.
func (s *state) packUser(d Delta, key recordKey, p *population) (userRecord, error) {
	in := reader{rest: d.Payload}
	externalID, userName := in.bytes(), in.bytes()
	flags := in.byte() & flagActive
	created := in.milliseconds()
	r := make(userRecord, headerSize, headerSize+32+len(externalID)+len(userName)+edgeSize)
	copy(r[atID:], key[:])
	binary.LittleEndian.PutUint16(r[atConnection:], p.number)
	binary.LittleEndian.PutUint64(r[atGeneration:], d.Version)
	packTime(r[atCreated:], created)
	packTime(r[atModified:], d.Time)
	r = binary.AppendUvarint(r, d.Revision)
	if link, ok := ID(externalID).key(); ok {
		flags |= flagLinkIsUUID
		externalID = link[:]
	}
	r = appendBytes(appendBytes(r, externalID), userName)
	emails := make([][]byte, 0, 1)
	for range in.count() {
		address := foldBytes(in.bytes())
		if !slices.ContainsFunc(emails, func(e []byte) bool { return bytes.Equal(e, address) }) {
			emails = append(emails, address)
		}
	}
	if len(emails) == 1 && bytes.Equal(emails[0], foldBytes(userName)) {
		flags, emails = flags|flagNameIsEmail, nil
	}
	r[atFlags] = flags
	r = binary.AppendUvarint(r, uint64(len(emails)))
	for _, e := range emails {
		r = appendBytes(r, e)
	}
	for range in.count() {
		r = s.attributes.pack(r, in.bytes(), in.bytes())
	}
	binary.LittleEndian.PutUint32(r[atEdges:], uint32(len(r))) //nolint:gosec // a body is a few MiB
	return r, in.err(d)
}

// tombstone returns what stays of a deleted user, so that its place among the
// others is still known.
func (r userRecord) tombstone() userRecord {
	t := bytes.Clone(r[:headerSize])
	t[atFlags] = flagDeleted
	return t
}

// with returns the record with other groups and another generation.
func (r userRecord) with(groups edges, generation uint64) userRecord {
	at := binary.LittleEndian.Uint32(r[atEdges:])
	next := make(userRecord, 0, int(at)+len(groups))
	next = append(append(next, r[:at]...), groups...)
	binary.LittleEndian.PutUint64(next[atGeneration:], generation)
	return next
}

// changed returns the record with a group added or removed and another generation,
// false if it is like that. It may change the record itself if that is own.
func (r userRecord) changed(group uint32, add bool, generation uint64, own bool) (userRecord, bool) {
	at, found := r.direct().search(group)
	if found == add {
		return r, false
	}
	if !own {
		r = append(make(userRecord, 0, len(r)+edgeSize), r...)
	}
	at = int(binary.LittleEndian.Uint32(r[atEdges:])) + at*edgeSize
	if add {
		var edge [edgeSize]byte
		binary.LittleEndian.PutUint32(edge[:], group)
		r = slices.Insert(r, at, edge[:]...)
	} else {
		r = slices.Delete(r, at, at+edgeSize)
	}
	binary.LittleEndian.PutUint64(r[atGeneration:], generation)
	return r, true
}

// edges are ordinals in ascending order, four bytes each.
type edges []byte

func (e edges) len() int        { return len(e) / edgeSize }
func (e edges) at(i int) uint32 { return binary.LittleEndian.Uint32(e[i*edgeSize:]) }

// search returns the place of an ordinal, or where it belongs.
func (e edges) search(ordinal uint32) (int, bool) {
	low, high := 0, e.len()
	for low < high {
		if middle := int(uint(low+high) >> 1); e.at(middle) < ordinal {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low, low < e.len() && e.at(low) == ordinal
}

// ordinals returns the edges as a slice.
func (e edges) ordinals() []uint32 {
	list := make([]uint32, 0, e.len())
	for i := range e.len() {
		list = append(list, e.at(i))
	}
	return list
}

// packEdges returns sorted ordinals as edges.
func packEdges(ordinals []uint32) edges {
	e := make(edges, 0, len(ordinals)*edgeSize)
	for _, o := range ordinals {
		e = binary.LittleEndian.AppendUint32(e, o)
	}
	return e
}

// recordKey is a record's id in sixteen bytes.
type recordKey [idSize]byte

// id returns the canonical text.
func (k recordKey) id() ID {
	var text [idText]byte
	return ID(k.appendID(text[:0]))
}

// idText is the length of an id.
const idText = 36

// appendID appends the canonical text.
func (k recordKey) appendID(b []byte) []byte {
	for i, part := range [...][]byte{k[:4], k[4:6], k[6:8], k[8:10], k[10:]} {
		if i > 0 {
			b = append(b, '-')
		}
		b = hex.AppendEncode(b, part)
	}
	return b
}

// key reads an id in its canonical form, which is lower-case; every other
// spelling is no id.
func (id ID) key() (recordKey, bool) {
	var k recordKey
	if len(id) != idText || id[8] != '-' || id[13] != '-' || id[18] != '-' || id[23] != '-' {
		return k, false
	}
	at := 0
	for i := range k {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			at++ // a hyphen
		}
		high, low := nibble(id[at]), nibble(id[at+1])
		if high|low > 15 {
			return recordKey{}, false
		}
		k[i] = high<<4 | low
		at += 2
	}
	return k, true
}

// nibble returns the value of a lower-case hexadecimal digit, more than 15 for
// anything else.
func nibble(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	default:
		return 255
	}
}

func packTime(b []byte, t time.Time) {
	binary.LittleEndian.PutUint64(b, uint64(t.UnixMilli()))
}

func unpackTime(b []byte) time.Time {
	return time.UnixMilli(int64(binary.LittleEndian.Uint64(b))).UTC() //nolint:gosec // written from an int64
}
