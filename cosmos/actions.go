package cosmos

// Actions is a set of Cosmos DB data actions.
type Actions uint16

// The data actions of Azure's native role-based access control. Their order is part of the contract with package policy.
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

const actionCount = 10

// Names returns the actions of the set in bit order, in the notation of role definitions below
// Microsoft.DocumentDB/databaseAccounts and its containers, such as "items/read".
func (a Actions) Names() []string {
	names := make([]string, 0, actionCount)
	for bit := range actionCount {
		if a&(1<<bit) != 0 {
			names = append(names, actionName(1<<bit))
		}
	}

	return names
}

// Has says whether every action of want is in the set.
func (a Actions) Has(want Actions) bool { return a&want == want }

func actionName(one Actions) string {
	switch one {
	case ReadMetadata:
		return "readMetadata"
	case CreateItem:
		return "items/create"
	case ReadItem:
		return "items/read"
	case ReplaceItem:
		return "items/replace"
	case UpsertItem:
		return "items/upsert"
	case DeleteItem:
		return "items/delete"
	case ExecuteQuery:
		return "executeQuery"
	case ReadChangeFeed:
		return "readChangeFeed"
	case ExecuteStoredProcedure:
		return "executeStoredProcedure"
	case ManageConflicts:
		return "manageConflicts"
	default:
		return ""
	}
}

// nativeName is the full name that Azure's own denials use.
func nativeName(one Actions) string {
	const account = "Microsoft.DocumentDB/databaseAccounts/"

	switch one {
	case ReadMetadata:
		return account + "readMetadata"
	case CreateItem, ReadItem, ReplaceItem, UpsertItem, DeleteItem,
		ExecuteQuery, ReadChangeFeed, ExecuteStoredProcedure, ManageConflicts:
		return account + "sqlDatabases/containers/" + actionName(one)
	default:
		return account
	}
}
