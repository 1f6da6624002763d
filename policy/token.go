package policy

import (
	"slices"
	"strings"
)

// Token is what the credential of a caller was narrowed to, by scopes and by
// authorization details (RFC 9396, type "cosmos"). It only ever narrows: what it
// names must still be allowed by roles. The zero Token allows nothing.
type Token struct {
	// Scopes are cosmos.read, cosmos.write and cosmos.execute; others grant nothing.
	Scopes []string
	// Details each allow their actions on their resources under their keys.
	Details []Detail
}

// Detail is one authorization detail.
type Detail struct {
	// Actions and Resources are written as in policies; what is not known grants nothing.
	Actions, Resources []string
	// PartitionKeys are lists of components as canonical JSON, each of them a
	// prefix under which the detail holds; none means any key.
	PartitionKeys [][]string
}

// actionsOfScope are what the scopes expand to. Stored procedures need
// cosmos.write too, because they can write; nothing grants the conflict feed.
func actionsOfScope(scope string) Actions {
	switch scope {
	case "cosmos.read":
		return ReadMetadata | ReadItem | ExecuteQuery | ReadChangeFeed
	case "cosmos.write":
		return ReadMetadata | writeActions
	case "cosmos.execute":
		return ReadMetadata | ExecuteStoredProcedure
	default:
		return 0
	}
}

// role is the role that a scope asks for as `role:NAME`, or "".
func (t *Token) role() string {
	if t == nil {
		return ""
	}
	return RoleOfScopes(t.Scopes)
}

// RoleOfScopes returns the role that one of the scopes asks for as `role:NAME`,
// or "".
func RoleOfScopes(scopes []string) string {
	for _, scope := range scopes {
		if name, ok := strings.CutPrefix(scope, "role:"); ok {
			return name
		}
	}
	return ""
}

// decide is the leg of the token: scopes and details must both allow what they
// are there to narrow.
func (t *Token) decide(q *Request) Decision {
	required, _ := q.Actions.contained()
	allowed := AllActions
	scoped := false
	var granted Actions
	for _, scope := range t.Scopes {
		if strings.HasPrefix(scope, "role:") {
			continue
		}
		scoped = true
		granted |= actionsOfScope(scope)
	}
	if scoped || len(t.Details) == 0 {
		allowed &= granted
	}
	if len(t.Details) > 0 {
		granted = 0
		for i := range t.Details {
			granted |= t.Details[i].allows(q)
		}
		allowed &= granted
	}
	if missing := required &^ allowed; missing != 0 {
		return Decision{Reason: ReasonScope, Missing: missing, Detail: "the token does not allow " + missing.String() + " on " + q.Resource.String()}
	}
	return Decision{Allow: true, Reason: ReasonAllowed}
}

// allows returns the actions that the detail allows of the request. Metadata is
// read of whatever the detail reaches.
func (d *Detail) allows(q *Request) Actions {
	var actions Actions
	for _, name := range d.Actions {
		if action, ok := parseAction(name); ok {
			actions |= action
		}
	}
	if actions == 0 {
		return 0
	}
	for _, pattern := range d.Resources {
		if s, err := parseScope(pattern); err == nil && s.reaches(q.Resource) {
			return d.within(q, actions)
		}
	}
	return 0
}

func (d *Detail) within(q *Request, actions Actions) Actions {
	if len(d.PartitionKeys) == 0 || q.NoData {
		return actions | ReadMetadata
	}
	if q.Ranged || len(q.PartitionKeys) == 0 {
		return ReadMetadata
	}
	for _, key := range q.PartitionKeys {
		if !slices.ContainsFunc(d.PartitionKeys, func(prefix []string) bool { return len(prefix) > 0 && hasPrefix(key, prefix) }) {
			return ReadMetadata
		}
	}
	return actions | ReadMetadata
}
