package cosmos

import "net/http"

// Classify decides which operation a request is. The body is needed only where [Request.BodyLimit] says so, and is not
// kept. Its error is an [*Error]; a refused operation is not an error but carries [Operation.Refusal]. The operation is
// never nil: beside an error it says what is known for the record.
func Classify(q *Request, body []byte) (*Operation, error) {
	op := &Operation{request: q, ID: q.address.id}
	op.locate()

	if err := op.classify(q, body); err != nil {
		op.Disposition, op.Actions, op.PartitionKeys, op.Refusal = Refuse, 0, nil, err

		return op, err
	}

	return op, nil
}

func (op *Operation) locate() {
	a := &op.request.address

	if a.rids {
		op.DatabaseRID, op.ContainerRID = a.database, a.container
	} else {
		op.Database, op.Container = a.database, a.container
	}

	switch {
	case a.container != "":
		op.Scope = ScopeContainer
	case a.database != "":
		op.Scope = ScopeDatabase
	default:
		op.Scope = ScopeAccount
	}
}

func (op *Operation) classify(q *Request, body []byte) *Error {
	if err := op.name(q, body); err != nil {
		return err
	}

	if op.Disposition != Forward {
		return nil
	}

	if limit, _ := q.BodyLimit(); q.length > limit {
		return TooLarge(limit)
	}

	if err := op.checkSelectors(q); err != nil {
		return err
	}

	if q.version != "" && q.version < op.since() {
		return Malformed("x-ms-version is older than the operation, which the service would take for another")
	}

	if q.hasTriggers && !op.takesTriggers() {
		return Malformed("triggers belong to writes")
	}

	if op.ContainerRID != "" {
		if err := q.meansContainer(op.ContainerRID); err != nil {
			return err
		}
	}

	return nil
}

// checkSelectors refuses selectors beyond those of the operation, and the media type of queries anywhere else. Python sends
// its query plans as application/json, up to 4.9 with the query selector too: the plan alone is sent on, which returns less
// than any other reading.
func (op *Operation) checkSelectors(q *Request) *Error {
	sent, isPlan := q.selectors, op.Type == OpQueryPlan
	if isPlan {
		sent &^= selectQuery
	}

	if sent != op.selectors {
		return Malformed("the selecting headers contradict each other or the path")
	}

	if isPlan && q.media == mediaJSON {
		return nil
	}

	if (op.contentType == contentTypeQuery) != (q.media == mediaQuery) {
		return Malformed("application/query+json is for queries and query plans, and they need it")
	}

	return nil
}

// name finds the operation of a path and a method.
func (op *Operation) name(q *Request, body []byte) *Error {
	switch q.address.resource {
	case resAccount:
		return op.nameAccount(q)
	case resDatabases:
		return op.nameMetadata(q, OpListDatabases, OpQueryDatabases, OpManageDatabases)
	case resDatabase:
		return op.nameMetadata(q, OpReadDatabase, OpUnknown, OpManageDatabases)
	case resContainers:
		return op.nameMetadata(q, OpListContainers, OpQueryContainers, OpManageContainers)
	case resContainer:
		return op.nameMetadata(q, OpReadContainer, OpUnknown, OpManageContainers)
	case resItems:
		return op.nameItems(q, body)
	case resItem:
		return op.nameItem(q, body)
	case resRanges:
		return op.nameRanges(q)
	case resConflicts, resConflict:
		return op.nameConflicts(q)
	case resStoredProcedure:
		return op.nameProcedure(q)
	case resEncryptionKeys, resEncryptionKey:
		return op.nameMetadata(q, OpReadEncryptionKeys, OpUnknown, OpManageEncryptionKeys)
	case resScripts, resUsers, resMaintenance, resOffers, resAddresses, resTelemetry, resUnknown:
		return op.nameRefused(q)
	default:
		return errUnknownPath()
	}
}

func (op *Operation) nameAccount(q *Request) *Error {
	if q.method != http.MethodGet || q.selectors != 0 {
		return errUnknownPath()
	}

	op.Type, op.Disposition, op.NoData = OpReadAccount, Answer, true

	return nil
}

// nameMetadata names reads and queries of databases, containers and keys; every other request manages them, which no
// Entra identity can do in the data plane.
func (op *Operation) nameMetadata(q *Request, read, query, manage OperationType) *Error {
	switch {
	case q.method == http.MethodGet:
		op.forward(read, ReadMetadata)
	case q.method == http.MethodPost && query != OpUnknown && q.selectors&selectQuery != 0:
		op.forward(query, ReadMetadata)
		op.asQuery()
	default:
		op.refuse(manage, Impossible(q.method, string(q.address.appendTo(nil))))
	}

	op.NoData = true

	return nil
}

func (op *Operation) nameRanges(q *Request) *Error {
	if q.method != http.MethodGet {
		return errUnknownPath()
	}

	op.forward(OpReadPartitionKeyRanges, ReadMetadata)
	op.NoData = true
	op.selectors = q.selectors & selectIncrementalFeed

	return nil
}

func (op *Operation) nameItem(q *Request, body []byte) *Error {
	switch q.method {
	case http.MethodGet:
		op.forward(OpReadItem, ReadItem)
	case http.MethodPut:
		op.forward(OpReplaceItem, ReplaceItem)
		op.contentType = contentTypeJSON
	case http.MethodDelete:
		op.forward(OpDeleteItem, DeleteItem)
	case http.MethodPatch:
		op.forward(OpPatchItem, ReplaceItem)
		op.contentType = contentTypePatch

		if err := op.inspectPatch(body); err != nil {
			return err
		}
	default:
		return errUnknownPath()
	}

	op.confine()

	return op.checkMedia()
}

// nameItems names what is asked of a container's items. Only headers tell the POSTs apart; classify refuses any selector
// beyond those of the operation named here.
func (op *Operation) nameItems(q *Request, body []byte) *Error {
	switch q.method {
	case http.MethodGet:
		op.nameFeed(q)
	case http.MethodPost:
		if err := op.namePost(q, body); err != nil {
			return err
		}
	default:
		return errUnknownPath()
	}

	return op.checkMedia()
}

func (op *Operation) nameFeed(q *Request) {
	op.selectors = q.selectors & selectFeed

	switch op.selectors {
	case selectIncrementalFeed:
		op.forward(OpChangeFeed, ReadChangeFeed)
	case selectAllVersionsFeed:
		op.forward(OpChangeFeedAllVersions, ReadChangeFeed)
	default:
		op.forward(OpReadFeed, ReadChangeFeed)
	}

	op.confine()
}

func (op *Operation) namePost(q *Request, body []byte) *Error {
	switch {
	case q.selectors&selectPlan != 0:
		op.forward(OpQueryPlan, ExecuteQuery)
		op.NoData = true
		op.selectors, op.contentType = selectPlan, contentTypeQuery
	case q.selectors&selectQuery != 0 && q.selectors&selectFeed != 0:
		op.forward(OpChangeFeedQuery, ReadChangeFeed|ExecuteQuery)
		op.asQuery()
		op.selectors |= q.selectors & selectFeed
	case q.selectors&selectQuery != 0:
		op.forward(OpQueryItems, ExecuteQuery)
		op.asQuery()
	case q.selectors&selectBatch != 0:
		return op.nameBatch(q, body)
	case q.selectors&selectUpsert != 0:
		op.forward(OpUpsertItem, UpsertItem)
		op.selectors, op.contentType = selectUpsert, contentTypeJSON
	default:
		op.forward(OpCreateItem, CreateItem)
		op.contentType = contentTypeJSON
	}

	op.confine()

	return nil
}

func (op *Operation) nameProcedure(q *Request) *Error {
	if q.method != http.MethodPost {
		op.refuse(OpManageScripts, Impossible(q.method, string(q.address.appendTo(nil))))

		return nil
	}

	op.forward(OpExecuteStoredProcedure, ExecuteStoredProcedure)
	op.contentType = contentTypeJSON
	op.confine()

	return op.checkMedia()
}

// nameConflicts names what is asked of the conflict feed. A feed or a query is never taken as confined to a partition:
// whether the service honours the key there is not documented.
func (op *Operation) nameConflicts(q *Request) *Error {
	isFeed := q.address.resource == resConflicts

	switch {
	case isFeed && q.method == http.MethodGet:
		op.forward(OpListConflicts, ManageConflicts)
	case isFeed && q.method == http.MethodPost && q.selectors&selectQuery != 0:
		op.forward(OpQueryConflicts, ManageConflicts)
		op.asQuery()
	case !isFeed && q.method == http.MethodGet:
		op.forward(OpReadConflict, ManageConflicts)
	case !isFeed && q.method == http.MethodDelete:
		op.forward(OpDeleteConflict, ManageConflicts)
	default:
		return errUnknownPath()
	}

	op.confine()

	if isFeed {
		op.PartitionKeys, op.Scope = nil, ScopeContainer
	}

	return nil
}

// nameRefused names what is never forwarded.
func (op *Operation) nameRefused(q *Request) *Error {
	switch q.address.resource {
	case resScripts:
		op.refuse(OpManageScripts, Impossible(q.method, string(q.address.appendTo(nil))))
	case resOffers:
		op.refuse(OpManageOffers, Impossible(q.method, string(q.address.appendTo(nil))))
	case resUsers:
		op.refuse(OpManageUsers, Unsupported("users and permissions, which mint resource tokens"))
	case resMaintenance:
		op.refuse(OpMaintenance, Unsupported("operations on whole partitions or containers"))
	case resAddresses:
		op.refuse(OpReadAddresses, DirectMode())
	case resTelemetry:
		op.refuse(OpTelemetry, NotFound())
		op.Disposition = Answer
	default:
		return errUnknownPath()
	}

	return nil
}

func (op *Operation) forward(t OperationType, actions Actions) {
	op.Type, op.Disposition, op.Actions = t, Forward, actions
	if op.request.hasTriggers {
		op.Actions |= ExecuteStoredProcedure
	}
}

func (op *Operation) refuse(t OperationType, refusal *Error) {
	op.Type, op.Disposition, op.Refusal = t, Refuse, refusal
}

func (op *Operation) asQuery() { op.selectors, op.contentType = selectQuery, contentTypeQuery }

// confine takes the partitions from the headers. A range beside a key is wider than the key until proven otherwise.
func (op *Operation) confine() {
	q := op.request
	op.scoped = true

	switch {
	case len(q.ranges) > 0:
		op.Scope = ScopeRange
	case q.address.rids && q.address.id != "" && q.address.resource != resStoredProcedure:
		// Whether the service compares the key with that of the item or conflict that a resource id finds is not documented.
	case q.hasKey && q.keys[0].confines():
		op.Scope, op.PartitionKeys = ScopePartition, q.keys[:]
	}
}

// takesTriggers says whether the service runs triggers on the operation.
func (op *Operation) takesTriggers() bool {
	switch op.Type {
	case OpCreateItem, OpUpsertItem, OpReplaceItem, OpDeleteItem, OpPatchItem, OpBatch, OpBulk:
		return true
	default:
		return false
	}
}

// checkMedia refuses bodies of another kind than the operation's: what is sent upstream names the operation's kind.
func (op *Operation) checkMedia() *Error {
	media := op.request.media

	switch op.contentType {
	case contentTypeJSON:
		// A wrong query type is refused by classify, in words that help.
		if media != mediaJSON && media != mediaNone && media != mediaQuery {
			return errMedia()
		}
	case contentTypePatch:
		if media != mediaJSON && media != mediaPatch && media != mediaNone {
			return errMedia()
		}
	default:
	}

	return nil
}

func errMedia() *Error { return Malformed("the content type does not fit the operation") }
