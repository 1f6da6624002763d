package cosmos

// RIDKind says what a RID addresses. The zero value is no RID.
type RIDKind uint8

// The kinds of resources that RIDs address.
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

// RID is a resource id of the service: the bytes of the database, then of the container, then of the child.
type RID struct {
	bytes [16]byte
	size  uint8
}

// ParseRID decodes a RID as it stands in a path ('-' for '/'), accepting standard base64 with padding only.
func ParseRID(s string) (RID, error) { return RID{}, Malformed("not built") }

// Kind says what the RID addresses.
func (r RID) Kind() RIDKind { return NotRID }

// Database returns the RID of the database that contains r, or r itself.
func (r RID) Database() RID { return RID{} }

// Container returns the RID of the container that contains r, or r itself; the zero RID if r is a database.
func (r RID) Container() RID { return RID{} }

// Contains says whether child lies below r.
func (r RID) Contains(child RID) bool { return false }

// String returns the canonical text.
func (r RID) String() string { return "" }
