package policy

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Application is a caller without a person, as an Application document
// declares it: a token of Issuer whose Claims all hold is that application.
type Application struct {
	Name string
	// Issuer and Claims are empty for an application that no token stands for.
	Issuer string
	Claims map[string]string
	// VirtualKeys allows account keys of the gate to be made for it.
	VirtualKeys bool
	Attributes  map[string]string
}

// Agent is a program that acts for people or for itself, as an Agent document
// declares it.
type Agent struct {
	Name string
	// Issuer and Claims recognise its tokens like those of an [Application];
	// empty if it only proves itself by a key.
	Issuer string
	Claims map[string]string
	// JWKS is a JWK Set of its public keys, as JSON, by which it signs client
	// assertions (private_key_jwt); nil if it has none.
	JWKS       []byte
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
	compiler

	hash     string
	docs     *documents
	agents   map[string]*agent
	warnings Faults
}

// Hash identifies the text of the policy, as `sha256:` and hexadecimal digits.
// It depends neither on file names nor on their order. A nil set has no hash.
func (s *Set) Hash() string {
	if s == nil {
		return ""
	}
	return s.hash
}

// Warnings lists what is allowed but probably not meant, in the order of the
// text.
func (s *Set) Warnings() []Fault {
	if s == nil {
		return nil
	}
	return slices.Clone(s.warnings)
}

// Roles returns the names of the roles, sorted.
func (s *Set) Roles() []string {
	if s == nil {
		return nil
	}
	names := make([]string, len(s.docs.roles))
	for i, r := range s.docs.roles {
		names[i] = r.name
	}
	slices.Sort(names)
	return names
}

// Applications returns the declared applications, sorted by name.
func (s *Set) Applications() []Application {
	if s == nil {
		return nil
	}
	list := make([]Application, len(s.docs.applications))
	for i, a := range s.docs.applications {
		list[i] = a.Application
		list[i].Claims, list[i].Attributes = maps.Clone(a.Claims), maps.Clone(a.Attributes)
	}
	slices.SortFunc(list, func(a, b Application) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Agents returns the declared agents, sorted by name.
func (s *Set) Agents() []Agent {
	if s == nil {
		return nil
	}
	list := make([]Agent, len(s.docs.agents))
	for i, a := range s.docs.agents {
		list[i] = Agent{
			Name: a.Name, Issuer: a.Issuer, Claims: maps.Clone(a.Claims),
			JWKS: slices.Clone(a.JWKS), Attributes: maps.Clone(a.Attributes),
		}
	}
	slices.SortFunc(list, func(a, b Agent) int { return strings.Compare(a.Name, b.Name) })
	return list
}
