package emulator

import (
	"errors"
	"sync"
)

// Ids of the role definitions that every account has.
const (
	BuiltInDataReader      = "00000000-0000-0000-0000-000000000001"
	BuiltInDataContributor = "00000000-0000-0000-0000-000000000002"
)

var errNotReady = errors.New("not ready")

// RoleDefinition is a named set of data actions, as `az cosmosdb sql role definition` keeps it.
type RoleDefinition struct {
	// ID identifies the role; assigning refers to it.
	ID string
	// DataActions are full action names, such as
	// "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/items/read"; a last segment
	// of "*" stands for everything below.
	DataActions []string
}

// RoleAssignment gives a principal the actions of a role at a scope and below it.
type RoleAssignment struct {
	// PrincipalID is the oid claim of the principal's tokens.
	PrincipalID string
	// RoleID names a RoleDefinition.
	RoleID string
	// Scope is "/", "/dbs/{name}" or "/dbs/{name}/colls/{name}".
	Scope string
}

type accessControl struct {
	mu          sync.RWMutex
	roles       map[string]RoleDefinition
	assignments []RoleAssignment
}

func builtInRoles() map[string]RoleDefinition { return nil }

// DefineRole adds or replaces a role definition.
func (e *Emulator) DefineRole(_ RoleDefinition) error { return errNotReady }

// AssignRole adds a role assignment; it takes effect on the next request.
func (e *Emulator) AssignRole(_ RoleAssignment) error { return errNotReady }

// RevokeRoles removes every assignment of a principal; it takes effect on the next request.
func (e *Emulator) RevokeRoles(_ string) {}
