package policy

import (
	"net/netip"
	"slices"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
)

// The entity types of schema.cedarschema.
const (
	userType                cedar.EntityType = "User"
	applicationType         cedar.EntityType = "Application"
	agentType               cedar.EntityType = "Agent"
	groupType               cedar.EntityType = "Group"
	connectionGroupType     cedar.EntityType = "ConnectionGroup"
	groupNameType           cedar.EntityType = "GroupName"
	connectionGroupNameType cedar.EntityType = "ConnectionGroupName"
	accountType             cedar.EntityType = "Account"
	databaseType            cedar.EntityType = "Database"
	containerType           cedar.EntityType = "Container"
	actionType              cedar.EntityType = "Action"
)

// uid returns what the reference is called in Cedar.
func (r reference) uid() cedar.EntityUID {
	id := cedar.String(r.text)
	switch r.kind {
	case userReference:
		return cedar.NewEntityUID(userType, id)
	case applicationReference:
		return cedar.NewEntityUID(applicationType, id)
	case agentReference:
		return cedar.NewEntityUID(agentType, id)
	case groupIDReference:
		return cedar.NewEntityUID(groupType, id)
	case groupExternalReference:
		if r.connection != "" {
			// A connection name holds no slash, so the two cannot be confused.
			return cedar.NewEntityUID(connectionGroupType, cedar.String(r.connection+"/"+r.text))
		}
		return cedar.NewEntityUID(groupType, id)
	case groupNameReference:
		if r.connection != "" {
			return cedar.NewEntityUID(connectionGroupNameType, cedar.String(r.connection+"/"+r.text))
		}
		return cedar.NewEntityUID(groupNameType, id)
	default:
		return cedar.EntityUID{} // means nobody
	}
}

// entities is what Cedar may look up while it decides one request: the
// principal with its groups, and the resource with what lies above it. Both are
// built when first asked for, because most policies need neither.
type entities struct {
	who     *Principal
	whoUID  cedar.EntityUID
	groups  []cedar.EntityUID
	what    Resource
	whatUID cedar.EntityUID

	// person is whom an agent acts for, with its groups; nil if nobody.
	person       *Principal
	personUID    cedar.EntityUID
	personEntity cedar.Entity

	// described says that a condition may read the principal's attributes.
	described bool

	whoEntity, whatEntity cedar.Entity
	whoBuilt, whatBuilt   bool
}

// Get implements [types.EntityGetter].
func (e *entities) Get(uid cedar.EntityUID) (cedar.Entity, bool) {
	switch uid {
	case e.whoUID:
		if !e.whoBuilt {
			e.whoEntity, e.whoBuilt = e.principal(), true
		}
		return e.whoEntity, true
	case e.whatUID:
		if !e.whatBuilt {
			e.whatEntity, e.whatBuilt = e.resource(), true
		}
		return e.whatEntity, true
	default:
		if e.person != nil && uid == e.personUID {
			return e.personEntity, true
		}
		return cedar.Entity{}, false
	}
}

// describe tells Cedar about the person that an agent acts for: every group that
// the policy names.
func (e *entities) describe(person *Principal, all *subjects) {
	e.person, e.personUID = person, principalUID(person)
	var groups []cedar.EntityUID
	for _, id := range all.of(person) {
		if uid := all.uids[id]; uid.Type != userType {
			groups = append(groups, uid)
		}
	}
	e.personEntity = entityOf(e.personUID, person, groups)
}

var _ types.EntityGetter = (*entities)(nil)

func (e *entities) principal() cedar.Entity {
	if !e.described {
		return cedar.Entity{UID: e.whoUID, Parents: cedar.NewEntityUIDSet(e.groups...)}
	}
	return entityOf(e.whoUID, e.who, e.groups)
}

// entityOf is a principal with its attributes.
func entityOf(uid cedar.EntityUID, who *Principal, groups []cedar.EntityUID) cedar.Entity {
	tags := make(cedar.RecordMap, len(who.Attributes))
	attributes := make(cedar.RecordMap, len(who.Attributes))
	for name, value := range who.Attributes {
		if value == "" {
			continue
		}
		tags[cedar.String(name)] = cedar.String(value)
		if isKnownAttribute(name) {
			attributes[cedar.String(name)] = cedar.String(value)
		}
	}
	return cedar.Entity{
		UID:        uid,
		Parents:    cedar.NewEntityUIDSet(groups...),
		Attributes: cedar.NewRecord(attributes),
		Tags:       cedar.NewRecord(tags),
	}
}

func (e *entities) resource() cedar.Entity {
	var parents []cedar.EntityUID
	if e.what.Database != "" {
		parents = append(parents, resourceUID(Resource{Account: e.what.Account}))
	}
	if e.what.Container != "" {
		parents = append(parents, resourceUID(Resource{Account: e.what.Account, Database: e.what.Database}))
	}
	return cedar.Entity{
		UID:     e.whatUID,
		Parents: cedar.NewEntityUIDSet(parents...),
		Attributes: cedar.NewRecord(cedar.RecordMap{
			"account":   cedar.String(e.what.Account),
			"database":  cedar.String(e.what.Database),
			"container": cedar.String(e.what.Container),
		}),
	}
}

// knownAttributes are the attributes that the schema types, and that the
// directory fills from SCIM.
var knownAttributes = []string{"costCenter", "department", "division", "organization", "title", "userType"}

func isKnownAttribute(name string) bool {
	return slices.Contains(knownAttributes, name)
}

func resourceUID(r Resource) cedar.EntityUID {
	id := cedar.String(r.String())
	switch {
	case r.Database == "":
		return cedar.NewEntityUID(accountType, id)
	case r.Container == "":
		return cedar.NewEntityUID(databaseType, id)
	default:
		return cedar.NewEntityUID(containerType, id)
	}
}

func principalUID(p *Principal) cedar.EntityUID {
	switch p.Kind {
	case KindApplication:
		return cedar.NewEntityUID(applicationType, cedar.String(p.ID))
	case KindAgent:
		return cedar.NewEntityUID(agentType, cedar.String(p.ID))
	default:
		return cedar.NewEntityUID(userType, cedar.String(p.ID))
	}
}

// contextRecord is what `context` is in conditions. Without a valid address
// there is no network, so that whatever reads it fails.
func contextRecord(q *Request) cedar.Record {
	c := &q.Context
	m := cedar.RecordMap{
		"time":                   cedar.NewDatetime(c.Time),
		"isAgent":                cedar.Boolean(c.IsAgent),
		"onBehalfOf":             cedar.String(c.OnBehalfOf),
		"authenticationStrength": cedar.String(c.AuthenticationStrength),
	}
	if c.SourceIP.IsValid() {
		m["network"] = address(c.SourceIP)
	}
	if q.Person != nil {
		m[contextPerson] = principalUID(q.Person)
	}
	return cedar.NewRecord(m)
}

// address returns the address as Cedar compares it: an IPv4 address that came
// over an IPv6 socket is an IPv4 address.
func address(ip netip.Addr) cedar.IPAddr {
	ip = ip.Unmap().WithZone("")
	return cedar.IPAddr(netip.PrefixFrom(ip, ip.BitLen()))
}
