package sighting

import (
	"maps"
	"slices"
)

// Actions are the data actions that what was sent needs, sorted: the table of docs/cosmos-coverage.md, read from the wire.
func (s *Sighting) Actions() []string {
	needed := map[string]bool{}
	for _, action := range operationActions(s.Operation) {
		needed[action] = true
	}
	for _, verb := range s.Verbs {
		needed[verbAction(verb)] = true
	}
	if s.Asks || s.Shows {
		needed["items/read"] = true
	}
	if s.Triggers {
		needed["executeStoredProcedure"] = true
	}
	return slices.Sorted(maps.Keys(needed))
}

func operationActions(operation string) []string {
	const metadata = "readMetadata"
	switch operation {
	case "databases/list", "databases/read", "databases/query", "containers/list", "containers/read", "containers/query",
		"pkranges/read", "encryptionKeys/read":
		return []string{metadata}
	case "items/create", "items/upsert", "items/read", "items/replace", "items/delete":
		return []string{operation}
	case "items/patch":
		return []string{"items/replace"}
	case "items/query", "items/queryPlan":
		return []string{"executeQuery"}
	case "items/readFeed", "items/changeFeed", "items/changeFeedAllVersions":
		return []string{"readChangeFeed"}
	case "items/changeFeedQuery":
		return []string{"executeQuery", "readChangeFeed"}
	case "items/batch", "items/bulk":
		return nil // those of its operations
	case "sprocs/execute":
		return []string{"executeStoredProcedure"}
	case "conflicts/list", "conflicts/read", "conflicts/delete", "conflicts/query":
		return []string{"manageConflicts"}
	default:
		return []string{"none: " + operation + " may not be sent"}
	}
}

func verbAction(verb string) string {
	switch verb {
	case "Create":
		return "items/create"
	case "Read":
		return "items/read"
	case "Replace", patchVerb:
		return "items/replace"
	case "Upsert":
		return "items/upsert"
	case "Delete":
		return "items/delete"
	default:
		return "none: no batch has the operation " + verb
	}
}
