package emulator

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
)

// Ids of the role definitions that every account has.
const (
	BuiltInDataReader      = "00000000-0000-0000-0000-000000000001"
	BuiltInDataContributor = "00000000-0000-0000-0000-000000000002"
)

// action is a data action without its common prefix.
type action string

// Data actions the service checks.
const (
	actionReadMetadata action = "readMetadata"
	actionCreate       action = "sqlDatabases/containers/items/create"
	actionRead         action = "sqlDatabases/containers/items/read"
	actionReplace      action = "sqlDatabases/containers/items/replace"
	actionUpsert       action = "sqlDatabases/containers/items/upsert"
	actionDelete       action = "sqlDatabases/containers/items/delete"
	actionQuery        action = "sqlDatabases/containers/executeQuery"
	actionChangeFeed   action = "sqlDatabases/containers/readChangeFeed"
	actionProcedure    action = "sqlDatabases/containers/executeStoredProcedure"
	actionConflicts    action = "sqlDatabases/containers/manageConflicts"
	actionPrefix              = "Microsoft.DocumentDB/databaseAccounts/"
	masterPrincipal           = "master"
	allBelowContainers        = actionPrefix + "sqlDatabases/containers/*"
	allItems                  = actionPrefix + "sqlDatabases/containers/items/*"
)

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

func builtInRoles() map[string]RoleDefinition {
	metadata := actionPrefix + string(actionReadMetadata)
	return map[string]RoleDefinition{
		BuiltInDataReader: {ID: BuiltInDataReader, DataActions: []string{
			metadata, actionPrefix + string(actionRead), actionPrefix + string(actionQuery), actionPrefix + string(actionChangeFeed),
		}},
		BuiltInDataContributor: {ID: BuiltInDataContributor, DataActions: []string{metadata, allBelowContainers, allItems}},
	}
}

// Faults of role definitions and assignments.
var (
	ErrRoleInvalid       = errors.New("invalid role definition")
	ErrAssignmentInvalid = errors.New("invalid role assignment")
)

// DefineRole adds or replaces a role definition.
func (e *Emulator) DefineRole(role RoleDefinition) error {
	if role.ID == "" || len(role.DataActions) == 0 {
		return fmt.Errorf("%w: it needs an id and at least one data action", ErrRoleInvalid)
	}
	for _, one := range role.DataActions {
		if !strings.HasPrefix(one, actionPrefix) {
			return fmt.Errorf("%w: %q is not a data action", ErrRoleInvalid, one)
		}
	}
	e.access.mu.Lock()
	defer e.access.mu.Unlock()
	e.access.roles[role.ID] = role
	return nil
}

// AssignRole adds a role assignment; it takes effect on the next request.
func (e *Emulator) AssignRole(assignment RoleAssignment) error {
	e.access.mu.Lock()
	defer e.access.mu.Unlock()
	if _, ok := e.access.roles[assignment.RoleID]; !ok {
		return fmt.Errorf("%w: there is no role %q", ErrAssignmentInvalid, assignment.RoleID)
	}
	parts := strings.Split(strings.Trim(assignment.Scope, "/"), "/")
	scoped := len(parts) == 2 && parts[0] == "dbs" || len(parts) == 4 && parts[0] == "dbs" && parts[2] == "colls"
	if assignment.Scope != "/" && !scoped || assignment.PrincipalID == "" {
		return fmt.Errorf("%w: principal %q at scope %q", ErrAssignmentInvalid, assignment.PrincipalID, assignment.Scope)
	}
	assignment.Scope = strings.TrimSuffix(assignment.Scope, "/")
	e.access.assignments = append(e.access.assignments, assignment)
	return nil
}

// RevokeRoles removes every assignment of a principal; it takes effect on the next request.
func (e *Emulator) RevokeRoles(principalID string) {
	e.access.mu.Lock()
	defer e.access.mu.Unlock()
	kept := make([]RoleAssignment, 0, len(e.access.assignments))
	for _, one := range e.access.assignments {
		if one.PrincipalID != principalID {
			kept = append(kept, one)
		}
	}
	e.access.assignments = kept
}

// allows reports whether a principal may do the action at a scope such as "/dbs/d/colls/c".
func (a *accessControl) allows(principal string, wanted action, at string) bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	for _, one := range a.assignments {
		if one.PrincipalID == principal && (at == one.Scope || strings.HasPrefix(at, one.Scope+"/")) && a.roles[one.RoleID].grants(wanted) {
			return true
		}
	}
	return false
}

func (r RoleDefinition) grants(wanted action) bool {
	full := actionPrefix + string(wanted)
	for _, one := range r.DataActions {
		if below, wild := strings.CutSuffix(one, "*"); strings.EqualFold(one, full) || wild && strings.HasPrefix(full, below) {
			return true
		}
	}
	return false
}

// require refuses a request whose principal lacks an action at the scope it addresses.
func (x *exchange) require(wanted ...action) error {
	if x.master {
		return nil
	}
	at := x.scopePath()
	for _, one := range wanted {
		if x.forged && builtInRoles()[BuiltInDataContributor].grants(one) || x.emulator.access.allows(x.principal, one, at) {
			continue
		}
		substatus := substatusDataDenied
		if one == actionReadMetadata {
			substatus = substatusMetadataDenied
		}
		return refuse(http.StatusForbidden,
			"Request blocked by Auth %s : Request is blocked because principal [%s] does not have required RBAC permissions to perform action [%s%s] on resource [%s]. Learn more: https://aka.ms/cosmos-native-rbac.",
			x.emulator.config.Account, x.principal, actionPrefix, one, strings.TrimPrefix(at, "/")).with(substatus)
	}
	return nil
}

// keyOnly refuses what no Entra token may do, whatever its roles.
func (x *exchange) keyOnly() error {
	if x.master {
		return nil
	}
	return refuse(http.StatusForbidden, "Request blocked by Auth %s : The given request [%s %s] cannot be authorized by AAD token in data plane. Learn more: https://aka.ms/cosmos-native-rbac.",
		x.emulator.config.Account, x.request.Method, x.request.URL.EscapedPath()).with(substatusImpossible)
}
