package cosmos

import (
	"bytes"
	"encoding/base64"
	"strings"
)

// RIDKind says what a RID addresses. The zero value is no RID.
type RIDKind uint8

// The kinds of resources that RIDs address. OtherRID is a child of a container that the gate never addresses.
const (
	NotRID RIDKind = iota
	DatabaseRID
	ContainerRID
	UserRID
	ItemRID
	PartitionKeyRangeRID
	ConflictRID
	StoredProcedureRID
	TriggerRID
	FunctionRID
	OtherRID
)

const (
	databaseRIDSize  = 4
	containerRIDSize = 8
	childRIDSize     = 16
	// containerBit, in the fifth byte, tells a container from a user.
	containerBit = 0x80
)

// RID is a resource id of the service: the bytes of the database, then of the container, then of the child. It is
// comparable; the zero RID addresses nothing.
type RID struct {
	bytes [childRIDSize]byte
	size  uint8
}

// ParseRID decodes a RID as it stands in a path: padded base64 with '-' for '/'. Its error is an [*Error].
func ParseRID(s string) (RID, error) {
	rid, ok := decodeRID(s)
	if !ok {
		return RID{}, Malformed("the resource id cannot be decoded")
	}

	return rid, nil
}

// decodeRID accepts what the service accepts, including unused bits that are set; String writes them as zero.
func decodeRID(s string) (RID, bool) {
	const encoded = 24

	var rid RID

	// The decoder skips line breaks, and a slash would be a second way to write a dash.
	if len(s) == 0 || len(s) > encoded || strings.ContainsAny(s, "/\r\n") {
		return RID{}, false
	}

	// Room for the three bytes that the decoder may write beyond a size that is no multiple of three.
	var text, decoded [encoded]byte

	copy(text[:], s)

	for i := range len(s) {
		if text[i] == '-' {
			text[i] = '/'
		}
	}

	n, err := base64.StdEncoding.Decode(decoded[:], text[:len(s)])
	if err != nil || n != databaseRIDSize && n != containerRIDSize && n != childRIDSize {
		return RID{}, false
	}

	copy(rid.bytes[:], decoded[:n])
	rid.size = uint8(n)

	return rid, true
}

// Kind says what the RID addresses.
func (r RID) Kind() RIDKind {
	switch r.size {
	case databaseRIDSize:
		return DatabaseRID
	case containerRIDSize:
		if r.isContainer() {
			return ContainerRID
		}

		return UserRID
	case childRIDSize:
		if !r.isContainer() {
			return OtherRID
		}

		return childKind(r.bytes[childRIDSize-1] >> 4)
	default:
		return NotRID
	}
}

func (r RID) isContainer() bool { return r.bytes[databaseRIDSize]&containerBit != 0 }

// childKind reads the top four bits of the child's little-endian number.
func childKind(nibble byte) RIDKind {
	const (
		item            = 0
		conflict        = 4
		keyRange        = 5
		function        = 6
		trigger         = 7
		storedProcedure = 8
	)

	switch nibble {
	case item:
		return ItemRID
	case conflict:
		return ConflictRID
	case keyRange:
		return PartitionKeyRangeRID
	case function:
		return FunctionRID
	case trigger:
		return TriggerRID
	case storedProcedure:
		return StoredProcedureRID
	default:
		return OtherRID
	}
}

// Database returns the RID of the database that contains r, or r itself.
func (r RID) Database() RID { return r.prefix(databaseRIDSize) }

// Container returns the RID of the container that contains r, or r itself; the zero RID if there is none.
func (r RID) Container() RID {
	if r.size < containerRIDSize || !r.isContainer() {
		return RID{}
	}

	return r.prefix(containerRIDSize)
}

func (r RID) prefix(size uint8) RID {
	if r.size < size {
		return RID{}
	}

	parent := RID{size: size}
	copy(parent.bytes[:size], r.bytes[:size])

	return parent
}

// Contains says whether child lies below r.
func (r RID) Contains(child RID) bool {
	return r.size > 0 && r.size < child.size && bytes.Equal(r.bytes[:r.size], child.bytes[:r.size])
}

// String returns the canonical text.
func (r RID) String() string {
	if r.size == 0 {
		return ""
	}

	return strings.ReplaceAll(base64.StdEncoding.EncodeToString(r.bytes[:r.size]), "/", "-")
}
