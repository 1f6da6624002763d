package policy

import (
	"fmt"
	"math/bits"
	"strings"
)

// Actions is a set of Cosmos DB data actions, one bit each. The order of the
// bits is that of the cosmos package, so that a proxy converts between the two
// without a table.
type Actions uint16

// The data actions of Microsoft.DocumentDB/databaseAccounts, in the order the
// Azure documentation lists them.
const (
	ReadMetadata Actions = 1 << iota
	CreateItem
	ReadItem
	ReplaceItem
	UpsertItem
	DeleteItem
	ExecuteQuery
	ReadChangeFeed
	ExecuteStoredProcedure
	ManageConflicts
)

const (
	// AllActions is what `*` stands for.
	AllActions = ReadMetadata | AllItemActions | ExecuteQuery | ReadChangeFeed | ExecuteStoredProcedure | ManageConflicts
	// AllItemActions is what `items/*` stands for.
	AllItemActions = CreateItem | ReadItem | ReplaceItem | UpsertItem | DeleteItem

	writeActions = CreateItem | ReplaceItem | UpsertItem | DeleteItem
	// scriptActions is what the body of a stored procedure can do; a guardrail
	// against any of them holds for the procedure too.
	scriptActions = AllItemActions | ExecuteQuery | ReadChangeFeed
	// unredactable are the actions whose results cannot be redacted, or that
	// write over what was. PATCH needs ReplaceItem too, and can be.
	unredactable = UpsertItem | ExecuteStoredProcedure | ManageConflicts
	actionCount  = 10
)

// actionNames holds the name of each action, by bit.
var actionNames = [actionCount]string{
	"readMetadata",
	"items/create",
	"items/read",
	"items/replace",
	"items/upsert",
	"items/delete",
	"executeQuery",
	"readChangeFeed",
	"executeStoredProcedure",
	"manageConflicts",
}

// Names returns the names of the actions in bit order, without the
// Microsoft.DocumentDB/databaseAccounts prefix. Bits that name no action are
// left out.
func (a Actions) Names() []string {
	names := make([]string, 0, bits.OnesCount16(uint16(a)))
	for i, name := range actionNames {
		if a&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// String returns the names of the actions, separated by commas.
func (a Actions) String() string {
	return strings.Join(a.Names(), ", ")
}

// Has reports whether every action of b is in a.
func (a Actions) Has(b Actions) bool {
	return a&b == b
}

// ParseActions returns the set of the named actions. `items/*` stands for every
// item action and `*` for every action. An unknown name is an error that lists
// the known ones.
func ParseActions(names ...string) (Actions, error) {
	var set Actions
	for _, name := range names {
		a, ok := parseAction(name)
		if !ok {
			return 0, fmt.Errorf("unknown action %q (%s)", name, actionHint(name))
		}
		set |= a
	}
	return set, nil
}

func parseAction(name string) (Actions, bool) {
	switch name {
	case "*":
		return AllActions, true
	case "items/*":
		return AllItemActions, true
	}
	for i, known := range actionNames {
		if name == known {
			return 1 << i, true
		}
	}
	return 0, false
}

func actionHint(name string) string {
	name = strings.TrimPrefix(name, "Microsoft.DocumentDB/databaseAccounts/")
	name = strings.TrimPrefix(name, "sqlDatabases/containers/")
	if _, ok := parseAction(name); ok {
		return fmt.Sprintf("write %q", name)
	}
	if near := nearest(name, actionNames[:]); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "known: " + strings.Join(actionNames[:], ", ") + ", items/*, *"
}
