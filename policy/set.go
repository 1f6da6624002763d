package policy

import "time"

// Application is a caller without a person, as an Application document
// declares it: a token of Issuer whose Claims all hold is that application.
type Application struct {
	Name       string
	Issuer     string
	Claims     map[string]string
	Attributes map[string]string
}

// Options say what the policy may refer to.
type Options struct {
	// Identities are the names of the upstream identities that accounts have; a
	// role that names another is a fault. Nil means: do not check.
	Identities []string
	// Accounts are the names of the accounts; a resource in another is a fault.
	// Nil means: do not check.
	Accounts []string
	// Connections are the names of the SCIM connections; a subject that names
	// another is a fault. Nil means: do not check. With more than one, a group
	// named by external id alone is a warning.
	Connections []string
	// Now is used for warnings about bindings that have expired. The zero time
	// means: do not warn.
	Now time.Time
}

// Set is a loaded, checked and compiled policy. It is immutable. A nil Set
// denies everything.
type Set struct {
	hash string
}

// Hash identifies the text of the policy, as `sha256:` and hexadecimal digits.
// It depends neither on file names nor on their order.
func (s *Set) Hash() string { return s.hash }

// Warnings lists what is allowed but probably not meant, as `file:line:col:
// what`, in the order of the text.
func (s *Set) Warnings() []string { return nil }

// Roles returns the names of the roles, sorted.
func (s *Set) Roles() []string { return nil }

// Applications returns the declared applications, sorted by name.
func (s *Set) Applications() []Application { return nil }
