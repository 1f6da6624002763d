package cosmos

import (
	"net/http"
)

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

	// Actions are all needed for the operation to be forwarded.
	Actions Actions
	// ContentActions are needed to see the written item in the response (PATCH returns the whole item). Where they are
	// not granted the operation may go on with UpstreamOptions.ReturnMinimal, which takes the content away.
	ContentActions Actions

	// Database and Container are names; empty where the request is above that level, or RID-addressed and unresolved.
	Database, Container string
	// DatabaseRID and ContainerRID are set for RID-addressed requests only; such a request must be resolved to names
	// ([Operation.Resolve]) before a decision is made.
	DatabaseRID, ContainerRID string
	// ID is the once-decoded id of the item, stored procedure, conflict or key; its RID for a RID-addressed request.
	ID string

	Scope Scope
	// PartitionKeys are all keys the request can touch; none means that it is not confined to any key.
	PartitionKeys []PartitionKey
	// NoData marks operations that return no item data (metadata, key ranges, query plans): a partition requirement
	// does not concern them.
	NoData bool
	// Opaque marks a .NET HybridRow batch whose contents were not decoded. Its PartitionKeys are always empty.
	Opaque bool

	request *Request
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
func (op *Operation) Pin(containerRID string) error { return Malformed("not built") }

// UpstreamPath returns the canonical escaped path and nothing the caller could have bent.
func (op *Operation) UpstreamPath() string { return "" }

// UpstreamOptions are what the gate adds to a forwarded request.
type UpstreamOptions struct {
	// Authorization is the complete header value of the upstream credential ([TokenAuthorization], or a key signature).
	Authorization string
	// Date is x-ms-date in RFC 1123 form, GMT ([net/http.TimeFormat]).
	Date string
	// ActivityID correlates the gate's record with Azure's.
	ActivityID string
	// ReturnMinimal takes the written item out of the response.
	ReturnMinimal bool
	// PriorityLevel ("High", "Low") and ThroughputBucket are set by policy; the caller's own are never sent.
	PriorityLevel, ThroughputBucket string
	// DedicatedGateway lets x-ms-dedicatedgateway-* pass; only for an upstream at *.sqlx.cosmos.azure.com.
	DedicatedGateway bool
}

// UpstreamHeader returns the headers to send: selectors and Content-Type of the decided operation, the allow-listed
// headers of the caller, and the options. The result is the caller's to change.
func (op *Operation) UpstreamHeader(o UpstreamOptions) http.Header { return http.Header{} }

// TokenAuthorization is the Authorization header for an Entra token, percent-encoded as the service expects it.
func TokenAuthorization(token string) string { return "" }

// FiltersFeed says whether the response lists databases or containers and must go through [FilterFeed]; identity
// encoding is forced upstream for such an operation.
func (op *Operation) FiltersFeed() bool {
	return op.Type == OpListDatabases || op.Type == OpListContainers
}

// Idempotent says whether the operation may be repeated without a second effect.
func (op *Operation) Idempotent() bool { return false }

// ResourceLink is the link that a master key signs: unescaped, without a leading slash, the parent of a feed.
func (op *Operation) ResourceLink() string { return "" }

// ResourceType is the resource type that a master key signs, such as "docs"; empty for the account.
func (op *Operation) ResourceType() string { return "" }

// Method is the HTTP method to send.
func (op *Operation) Method() string { return "" }

// String returns the stable name used in records and metrics, such as "items/query".
func (t OperationType) String() string { return "unknown" }
