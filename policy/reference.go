package policy

import (
	"slices"
	"strings"
)

// referenceKind says what a reference is compared with.
type referenceKind uint8

const (
	nobody referenceKind = iota
	everybody
	userReference
	applicationReference
	agentReference
	groupIDReference
	groupExternalReference
	groupNameReference
)

// reference names a principal or group in a policy. It is comparable, and two
// references are equal only if they mean the same.
type reference struct {
	kind referenceKind
	// connection confines a group's external id or name to one SCIM
	// connection; empty means any.
	connection string
	text       string
}

// groupReference classifies the text of `group:`. What is shaped like a UUIDv7
// is an id of the directory and nothing else, so that no identity provider can
// choose an external id that passes for one.
func groupReference(text string) reference {
	if isDirectoryID(text) {
		return reference{kind: groupIDReference, text: strings.ToLower(text)}
	}
	return reference{kind: groupExternalReference, text: text}
}

// isDirectoryID reports whether s is shaped like a UUIDv7 (RFC 9562 §5.7).
func isDirectoryID(s string) bool {
	const shape = "xxxxxxxx-xxxx-7xxx-vxxx-xxxxxxxxxxxx"
	if len(s) != len(shape) {
		return false
	}
	for i := range len(shape) {
		var allowed string
		switch shape[i] {
		case 'x':
			allowed = "0123456789abcdefABCDEF"
		case 'v':
			allowed = "89abAB"
		default:
			allowed = shape[i : i+1]
		}
		if strings.IndexByte(allowed, s[i]) < 0 {
			return false
		}
	}
	return true
}

// names reports whether the reference means the group.
func (r reference) names(g Group) bool {
	return (r.connection == "" || r.connection == g.Connection) &&
		(r.kind == groupIDReference && r.text == g.ID ||
			r.kind == groupExternalReference && r.text == g.ExternalID ||
			r.kind == groupNameReference && r.text == g.Name)
}

// means reports whether the reference means the principal.
func (r reference) means(p Principal) bool {
	switch r.kind {
	case userReference:
		return p.Kind == KindPerson && p.ID == r.text
	case applicationReference:
		return p.Kind == KindApplication && p.ID == r.text
	case agentReference:
		return p.Kind == KindAgent && p.ID == r.text
	default:
		return p.Kind == KindPerson && slices.ContainsFunc(p.Groups, r.names)
	}
}

// String returns the reference as `subjects:` writes it.
func (r reference) String() string {
	switch {
	case r.kind == userReference:
		return "user " + r.text
	case r.kind == applicationReference:
		return "application " + r.text
	case r.kind == agentReference:
		return "agent " + r.text
	case r.connection != "":
		return "group " + r.text + " of " + r.connection
	default:
		return "group " + r.text
	}
}
