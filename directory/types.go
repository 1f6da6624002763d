package directory

import "time"

// ID identifies a user or a group for ever: a UUIDv7 in its canonical text
// form, made by the directory and never reused.
type ID string

// LinkKey is what a verified token proves about a person: the connection that
// its issuer is bound to and the value of the issuer's immutable claim.
type LinkKey struct {
	Connection string
	ExternalID string
}

// Group is the immutable view of a group that a decision needs. A renamed
// group is a new value; a pointer handed out is never written to.
type Group struct {
	ID          ID
	Connection  string
	ExternalID  string
	DisplayName string
}

// UserView is one consistent view of a user. Its slices, maps and pointers are
// shared and immutable.
type UserView struct {
	ID         ID
	Connection string
	UserName   string
	// Active is false for a record that the identity provider deactivated.
	Active bool
	// Lock is the administrator's suspension in force, nil for none.
	Lock *Lock
	// Groups are the effective groups: direct ones and all their ancestors.
	Groups []*Group
	// Attributes are what policy may read: department, userType, costCenter,
	// organization, division, title, and extension attributes by their full
	// URN path.
	Attributes map[string]string
	// Generation is (record, closure): equal generations of one user mean an
	// equal view, locks that expired meanwhile excepted.
	Generation [2]uint64
}

// SubjectKind says what a lock suspends.
type SubjectKind uint8

// The kinds of subject that can be locked.
const (
	SubjectUser SubjectKind = iota + 1
	SubjectApplication
	SubjectAgent
	SubjectKey
)

// String returns the kind's word in commands and records.
func (k SubjectKind) String() string {
	switch k {
	case SubjectUser:
		return "user"
	case SubjectApplication:
		return "application"
	case SubjectAgent:
		return "agent"
	case SubjectKey:
		return "key"
	default:
		return "unknown"
	}
}

// Subject names what is locked: a user by its [ID], an application or an agent
// by its declared name, a virtual key by its public id.
type Subject struct {
	Kind SubjectKind
	Name string
}

// Lock is an administrator's suspension. No SCIM write lifts it.
type Lock struct {
	Subject Subject
	// Message says why, for the record.
	Message string
	// By names who locked.
	By      string
	Created time.Time
	// Expires is when the lock ends by itself; zero means never.
	Expires time.Time
}

// expired reports whether the lock no longer holds at now.
func (l *Lock) expired(now time.Time) bool {
	return !l.Expires.IsZero() && !now.Before(l.Expires)
}

// User is the whole record of a person as its connection provisioned it.
type User struct {
	ID         ID
	Connection string
	// ExternalID is the identity provider's own id, opaque and byte-exact,
	// unique among the connection's users unless empty.
	ExternalID string
	// UserName is kept as it was sent and compared folded; it is unique among
	// the connection's users.
	UserName string
	Active   bool
	// Emails are indexed for look-ups by the provisioning side; they never
	// link a person.
	Emails []string
	// Attributes are the values that policy may read.
	Attributes map[string]string
	// Document is the resource's canonical JSON, opaque to the directory. It
	// stays on disk: of what the directory returns, only [Directory.ReadUser] and
	// the argument of an Edit have it.
	Document []byte
	// Revision counts effective changes, from 1.
	Revision          uint64
	Created, Modified time.Time
}

// GroupRecord is the whole record of a group, its members excepted.
type GroupRecord struct {
	ID         ID
	Connection string
	// ExternalID is unique among the connection's groups unless empty.
	ExternalID string
	// DisplayName is compared folded; it is unique among the connection's groups.
	DisplayName string
	// Document is the resource's canonical JSON without members, opaque to the
	// directory, and on disk like a user's.
	Document []byte
	// Revision counts effective changes, those of the members included.
	Revision          uint64
	Created, Modified time.Time
}

// Member is one direct member of a group.
type Member struct {
	ID ID
	// Group is true if the member is a group.
	Group bool
	// Display is the member's userName or displayName.
	Display string
}
