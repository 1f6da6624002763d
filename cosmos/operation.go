package cosmos

// OperationType names what a request asks for. The zero value is an unknown operation, which is never forwarded.
type OperationType uint8

// The operations of the data plane that the gate knows.
const (
	OpUnknown OperationType = iota
	OpReadAccount
	OpListDatabases
	OpReadDatabase
	OpQueryDatabases
	OpListContainers
	OpReadContainer
	OpQueryContainers
	OpReadPartitionKeyRanges
	OpReadAddresses
	OpCreateItem
	OpUpsertItem
	OpReadItem
	OpReplaceItem
	OpDeleteItem
	OpPatchItem
	OpQueryItems
	OpQueryPlan
	OpReadFeed
	OpChangeFeed
	OpChangeFeedAllVersions
	OpChangeFeedQuery
	OpBatch
	OpBulk
	OpExecuteStoredProcedure
	OpListConflicts
	OpReadConflict
	OpDeleteConflict
	OpQueryConflicts
	OpReadEncryptionKeys
	OpManageDatabases
	OpManageContainers
	OpManageScripts
	OpManageUsers
	OpManageOffers
	OpManageEncryptionKeys
	OpMaintenance
	OpTelemetry
)

// operationNames are in the order of the constants.
var operationNames = [...]string{
	"unknown", "account/read",
	"databases/list", "databases/read", "databases/query",
	"containers/list", "containers/read", "containers/query",
	"pkranges/read", "addresses/read",
	"items/create", "items/upsert", "items/read", "items/replace", "items/delete", "items/patch",
	"items/query", "items/queryPlan", "items/readFeed",
	"items/changeFeed", "items/changeFeedAllVersions", "items/changeFeedQuery",
	"items/batch", "items/bulk",
	"sprocs/execute",
	"conflicts/list", "conflicts/read", "conflicts/delete", "conflicts/query",
	"encryptionKeys/read",
	"databases/manage", "containers/manage", "scripts/manage", "users/manage", "offers/manage", "encryptionKeys/manage",
	"maintenance", "telemetry",
}

// String returns the stable name used in records and metrics, such as "items/query".
func (t OperationType) String() string {
	if int(t) >= len(operationNames) {
		return operationNames[OpUnknown]
	}

	return operationNames[t]
}

// Disposition says who acts on an operation. The zero value refuses.
type Disposition uint8

const (
	// Refuse means the gate answers with [Operation.Refusal], whatever the policy says.
	Refuse Disposition = iota
	// Forward means the operation goes upstream if the policy allows [Operation.Actions].
	Forward
	// Answer means the gate answers itself: the account document ([OpReadAccount]), or [Operation.Refusal] for a probe.
	Answer
)

// Scope says how much of the account a request can touch.
type Scope uint8

// The scopes of a request. Only ScopePartition is confined to [Operation.PartitionKeys].
const (
	ScopeAccount Scope = iota
	ScopeDatabase
	ScopeContainer
	// ScopeRange is a physical partition key range or an interval of effective keys: several logical partitions.
	ScopeRange
	ScopePartition
)

// Operation is a classified request: what it does, where, and to which partitions.
type Operation struct {
	Type        OperationType
	Disposition Disposition
	// Refusal is the answer of an operation that is not forwarded; nil for Forward and for OpReadAccount.
	Refusal *Error

	// Actions are all needed for the operation to be forwarded; never empty for Forward.
	Actions Actions
	// ContentActions are needed to see the written item in the response (PATCH returns the whole item). Where they are
	// not granted the operation may go on with UpstreamOptions.ReturnMinimal, which takes the content away.
	ContentActions Actions
	// NoContent marks a patch, or a batch with one, whose caller asked for no written item and shows no right to read one:
	// the answer must hold none, whether upstream heeds the preference or not.
	NoContent bool

	// Database and Container are names; empty where the request is above that level, or RID-addressed and unresolved.
	Database, Container string
	// DatabaseRID and ContainerRID are set for RID-addressed requests only; such a request must be resolved to names
	// ([Operation.Resolve]) before a decision is made.
	DatabaseRID, ContainerRID string
	// ID is the once-decoded id of the item, stored procedure, conflict or key; its RID for a RID-addressed request.
	ID string

	Scope Scope
	// PartitionKeys are all keys the request can touch; none means that it is not confined to any key. Read-only.
	PartitionKeys []PartitionKey
	// NoData marks operations that return no item data (metadata, key ranges, query plans): a partition requirement
	// does not concern them.
	NoData bool

	request *Request
	// selectors are emitted, and nothing else of the kind.
	selectors selectors
	// scoped operations are sent with the caller's partition key and ranges, or with the key that was set.
	scoped       bool
	injected     PartitionKey
	contentType  string
	containerRID string
}

// NeedsResolution says whether the operation is RID-addressed and its names are not known yet.
func (op *Operation) NeedsResolution() bool {
	return op.DatabaseRID != "" && (op.Database == "" || op.ContainerRID != "" && op.Container == "")
}

// Resolve gives a RID-addressed operation the names that its RIDs stand for. Container is empty for a database.
func (op *Operation) Resolve(database, container string) {
	op.Database, op.Container = database, container
}

// Pin makes the upstream refuse the request (400/1024) if the container was deleted and created again since its RID was
// looked up. It fails with 400/1024 if the caller meant another container.
func (op *Operation) Pin(containerRID string) error {
	rid, ok := decodeRID(containerRID)
	if !ok || rid.Kind() != ContainerRID {
		return Unavailable("the container's resource id cannot be decoded")
	}

	if err := op.request.meansContainer(rid.String()); err != nil {
		return err
	}

	op.containerRID = rid.String()

	return nil
}

// meansContainer compares the container with those the caller named in headers.
func (q *Request) meansContainer(rid string) *Error {
	if q.intendedContainer != "" && q.intendedContainer != rid || q.containerRID != "" && q.containerRID != rid {
		return ContainerRecreated()
	}

	return nil
}

// Resource is the path of the database or container, without a leading slash; "" for the account. RIDs stand where
// names are not known.
func (op *Operation) Resource() string {
	database, container := op.Database, op.Container
	if database == "" {
		database = op.DatabaseRID
	}

	if container == "" {
		container = op.ContainerRID
	}

	switch {
	case database == "":
		return ""
	case container == "":
		return keyDatabases + "/" + database
	default:
		return keyDatabases + "/" + database + "/" + keyContainers + "/" + container
	}
}

// addressed is Resource as the caller wrote it: who may not use a resource does not learn the name behind its RID.
func (op *Operation) addressed() string {
	asked := *op
	if asked.DatabaseRID != "" {
		asked.Database, asked.Container = "", ""
	}

	return asked.Resource()
}

// FiltersFeed says whether the response lists databases or containers and must go through a [Feed]; identity
// encoding is forced upstream for such an operation.
func (op *Operation) FiltersFeed() bool {
	return op.Type == OpListDatabases || op.Type == OpListContainers
}

// Idempotent says whether the operation may be repeated without a second effect.
func (op *Operation) Idempotent() bool {
	const reads = ReadMetadata | ReadItem | ExecuteQuery | ReadChangeFeed

	switch op.Type {
	case OpListConflicts, OpReadConflict, OpQueryConflicts:
		return true
	default:
		return op.Actions != 0 && op.Actions&^reads == 0 && op.Type != OpBatch && op.Type != OpBulk
	}
}

// Method is the HTTP method of the request.
func (op *Operation) Method() string { return op.request.method }
