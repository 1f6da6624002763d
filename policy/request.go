package policy

import (
	"net/netip"
	"time"
)

// Kind says what a principal is. The zero Kind is no principal and is refused.
type Kind uint8

// The kinds of principal.
const (
	KindPerson Kind = iota + 1
	KindApplication
	KindAgent
)

// String returns the kind as policy files write it.
func (k Kind) String() string {
	switch k {
	case KindPerson:
		return "user"
	case KindApplication:
		return "application"
	case KindAgent:
		return "agent"
	default:
		return "unknown"
	}
}

// Group is one group that a person effectively belongs to, directly or through
// other groups. A policy refers to it by ID, by ExternalID, or, where the
// policy says `byName: true`, by Name.
type Group struct {
	// ID is the directory's own id, a UUIDv7.
	ID string
	// Connection is the SCIM connection that the group came from.
	Connection string
	// ExternalID is the id that the identity provider gave.
	ExternalID string
	// Name is what people call it; it may change and need not be unique.
	Name string
}

// Principal is who asks, as the directory knew them when the request arrived.
type Principal struct {
	// ID is the directory id of a person, or the declared name of an
	// application or agent.
	ID string
	// Kind is required.
	Kind Kind
	// Groups are all effective groups. They count for persons only.
	Groups []Group
	// Attributes are what `${user.…}` and conditions read, such as department.
	Attributes map[string]string
	// Generation changes whenever Groups or Attributes may have changed; it is
	// part of the key under which decisions are remembered. The zero value
	// means unknown: decisions for such a person are never remembered.
	Generation [2]uint64
}

// Resource is what the request is about. An empty Container means the database,
// an empty Database the account.
type Resource struct {
	Account, Database, Container string
}

// String returns the resource as policy files write it, such as
// `prod/shop/orders` or `prod/shop`.
func (r Resource) String() string {
	switch {
	case r.Database == "":
		return r.Account
	case r.Container == "":
		return r.Account + "/" + r.Database
	default:
		return r.Account + "/" + r.Database + "/" + r.Container
	}
}

// Context is what conditions may read besides principal and resource.
type Context struct {
	// SourceIP is the address of the caller. If it is not valid, a condition
	// that reads it fails and the request is denied.
	SourceIP netip.Addr
	// Time is when the request is decided. It is required.
	Time time.Time
	// IsAgent says that an agent is judged. Decide sets it for agents.
	IsAgent bool
	// OnBehalfOf is the id of the person that an agent acts for, or empty.
	// Decide sets it for agents.
	OnBehalfOf string
	// AuthenticationStrength is how the caller signed in, such as an `acr`.
	AuthenticationStrength string
}

// Request is one question to [Engine.Decide]. The engine keeps nothing of it
// but the strings, and changes nothing in it.
type Request struct {
	Principal Principal
	// Actors are the agents that act on the principal's behalf, outermost
	// first. Each must be granted what it does.
	Actors []Principal
	// Token is what the caller's credential was narrowed to; nil means: to
	// nothing less than the roles of the principal.
	Token *Token
	// Actions are all actions that the operation contains; every one must be
	// allowed. None is refused.
	Actions  Actions
	Resource Resource
	// PartitionKeys are the partition keys that confine the request, each a
	// list of components as canonical JSON text (`"emea"`, `12`, `null`).
	// None means that the request is not confined to a partition.
	PartitionKeys [][]string
	// Ranged says that the request also carries a partition key range id or an
	// EPK range. A role with a partition key refuses it.
	Ranged bool
	// Injectable says that the request is a query or a feed that names neither a
	// partition key nor a range, so that the proxy can set a key.
	Injectable bool
	// NoData says that the answer holds no documents (query plans, partition
	// key ranges, metadata), so that no partition key is needed.
	NoData bool
	// Role is the role that the caller asked for, or empty. It is preferred
	// among the roles that allow the request and is otherwise ignored.
	Role    string
	Context Context

	// Person is whom the principal, an agent, acts for in the leg that is being
	// decided; nil means: for itself. Decide sets it from Actors and ignores
	// what it was.
	Person *Principal
}

// SetsNoKey reports whether a request that is described by actions and keys alone
// would be a query or a feed that names no partition key.
func (q *Request) SetsNoKey() bool {
	return q.Actions != 0 && q.Actions&^(ExecuteQuery|ReadChangeFeed) == 0 && len(q.PartitionKeys) == 0 && !q.Ranged && !q.NoData
}

// owner is whose attributes `${user.…}` stands for: the person's, also while an
// agent acts.
func (q *Request) owner() *Principal {
	if q.Person != nil {
		return q.Person
	}
	return &q.Principal
}
