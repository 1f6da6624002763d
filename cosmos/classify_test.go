package cosmos_test

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/cosmos"
)

// meaning is what an operation was taken for.
type meaning struct {
	Operation string
	Actions   []string
	Scope     cosmos.Scope
	NoData    bool
	Content   bool
}

func meaningOf(op *cosmos.Operation) meaning {
	return meaning{op.Type.String(), op.Actions.Names(), op.Scope, op.NoData, op.ContentActions == cosmos.ReadItem}
}

const anyPatch = `{"operations":[{"op":"set","path":"/a","value":1}]}`

func TestOperationsNeedTheirActions(t *testing.T) {
	t.Parallel()

	const (
		account   = cosmos.ScopeAccount
		database  = cosmos.ScopeDatabase
		whole     = cosmos.ScopeContainer
		aRange    = cosmos.ScopeRange
		partition = cosmos.ScopePartition
	)

	metadata := []string{"readMetadata"}
	get := func(target string, headers ...string) sent { return sent{http.MethodGet, target, headers, ""} }
	post := func(target, body string, headers ...string) sent { return sent{http.MethodPost, target, headers, body} }

	for _, row := range []struct {
		name string
		s    sent
		want meaning
	}{
		{"list databases", get("/dbs"), meaning{"databases/list", metadata, account, true, false}},
		{"read a database", get("/dbs/shop"), meaning{"databases/read", metadata, database, true, false}},
		{"list containers", get("/dbs/shop/colls"), meaning{"containers/list", metadata, database, true, false}},
		{"read a container", get(container), meaning{"containers/read", metadata, whole, true, false}},
		{"query databases", post("/dbs", queryText, queryType, isQuery), meaning{"databases/query", metadata, account, true, false}},
		{"query containers", post("/dbs/shop/colls", queryText, queryType, isQuery), meaning{"containers/query", metadata, database, true, false}},
		{"read key ranges", get(container + "/pkranges"), meaning{"pkranges/read", metadata, whole, true, false}},
		{"follow key ranges", get(container+"/pkranges", incremental), meaning{"pkranges/read", metadata, whole, true, false}},
		{"read encryption keys", get("/dbs/shop/clientencryptionkeys"), meaning{"encryptionKeys/read", metadata, database, true, false}},

		{"point read", get(item, emea), meaning{"items/read", []string{"items/read"}, partition, false, false}},
		{"point read without a key", get(item), meaning{"items/read", []string{"items/read"}, whole, false, false}},
		{"create", post(items, `{"id":"1"}`, emea), meaning{"items/create", []string{"items/create"}, partition, false, false}},
		{"upsert", post(items, `{"id":"1"}`, emea, isUpsert), meaning{"items/upsert", []string{"items/upsert"}, partition, false, false}},
		{"replace", sent{http.MethodPut, item, []string{emea}, `{"id":"1"}`}, meaning{"items/replace", []string{"items/replace"}, partition, false, false}},
		{"delete", sent{http.MethodDelete, item, []string{emea}, ""}, meaning{"items/delete", []string{"items/delete"}, partition, false, false}},
		{"patch", sent{http.MethodPatch, item, []string{emea}, anyPatch}, meaning{"items/patch", []string{"items/replace"}, partition, false, true}},
		{
			"patch without content", sent{http.MethodPatch, item, []string{emea, "Prefer: return=minimal"}, anyPatch},
			meaning{"items/patch", []string{"items/replace"}, partition, false, false},
		},
		{
			"patch that asks for content in both ways",
			sent{http.MethodPatch, item, []string{emea, "Prefer: return=minimal", "x-ms-cosmos-populate-content-response-on-write: true"}, anyPatch},
			meaning{"items/patch", []string{"items/replace"}, partition, false, true},
		},

		{"query in a partition", post(items, queryText, queryType, isQuery, emea), meaning{"items/query", []string{"executeQuery"}, partition, false, false}},
		{"query across partitions", post(items, queryText, queryType, isQuery), meaning{"items/query", []string{"executeQuery"}, whole, false, false}},
		{"query of a range", post(items, queryText, queryType, isQuery, rangeZero), meaning{"items/query", []string{"executeQuery"}, aRange, false, false}},
		{"query of a range beside a key", post(items, queryText, queryType, isQuery, rangeZero, emea), meaning{"items/query", []string{"executeQuery"}, aRange, false, false}},
		{
			"query of effective keys", post(items, queryText, queryType, isQuery, emea, "x-ms-start-epk: 00", "x-ms-end-epk: FF", "x-ms-read-key-type: EffectivePartitionKeyRange"),
			meaning{"items/query", []string{"executeQuery"}, aRange, false, false},
		},
		{"query plan", post(items, queryText, queryType, isPlan), meaning{"items/queryPlan", []string{"executeQuery"}, whole, true, false}},
		{"query plan as Python sends it", post(items, queryText, isPlan, "Content-Type: application/json"), meaning{"items/queryPlan", []string{"executeQuery"}, whole, true, false}},
		{"query plan as older Pythons send it", post(items, queryText, isPlan, isQuery, "Content-Type: application/json"), meaning{"items/queryPlan", []string{"executeQuery"}, whole, true, false}},
		{"read feed", get(items, emea), meaning{"items/readFeed", []string{"readChangeFeed"}, partition, false, false}},
		{"change feed", get(items, emea, incremental), meaning{"items/changeFeed", []string{"readChangeFeed"}, partition, false, false}},
		{"change feed of all versions", get(items, "A-IM: Full-Fidelity Feed"), meaning{"items/changeFeedAllVersions", []string{"readChangeFeed"}, whole, false, false}},
		{
			"change feed with a query", post(items, queryText, queryType, isQuery, incremental),
			meaning{"items/changeFeedQuery", []string{"executeQuery", "readChangeFeed"}, whole, false, false},
		},

		{"run a stored procedure", post(container+"/sprocs/p", "[]", emea), meaning{"sprocs/execute", []string{"executeStoredProcedure"}, partition, false, false}},
		{"run a stored procedure on no partition", post(container+"/sprocs/p", "[]"), meaning{"sprocs/execute", []string{"executeStoredProcedure"}, whole, false, false}},
		{
			"create with a trigger", post(items, `{"id":"1"}`, emea, "x-ms-documentdb-pre-trigger-include: t"),
			meaning{"items/create", []string{"items/create", "executeStoredProcedure"}, partition, false, false},
		},
		{
			"delete with a trigger", sent{http.MethodDelete, item, []string{emea, "x-ms-documentdb-post-trigger-include: t"}, ""},
			meaning{"items/delete", []string{"items/delete", "executeStoredProcedure"}, partition, false, false},
		},
		{"list conflicts", get(container+"/conflicts", emea), meaning{"conflicts/list", []string{"manageConflicts"}, whole, false, false}},
		{"query conflicts", post(container+"/conflicts", queryText, queryType, isQuery, emea), meaning{"conflicts/query", []string{"manageConflicts"}, whole, false, false}},
		{"read a conflict", get(container+"/conflicts/c", emea), meaning{"conflicts/read", []string{"manageConflicts"}, partition, false, false}},
		{"delete a conflict", sent{http.MethodDelete, container + "/conflicts/c", []string{emea}, ""}, meaning{"conflicts/delete", []string{"manageConflicts"}, partition, false, false}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			op := classified(t, row.s)
			if diff := cmp.Diff(row.want, meaningOf(op)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}

			if op.Disposition != cosmos.Forward || op.Refusal != nil {
				t.Errorf("not forwarded: %v", op.Refusal)
			}

			if confined := op.Scope == cosmos.ScopePartition; confined != (len(op.PartitionKeys) > 0) {
				t.Errorf("scope %d with keys %v", op.Scope, op.PartitionKeys)
			}
		})
	}
}

func TestSomeOperationsAreNeverForwarded(t *testing.T) {
	t.Parallel()

	for _, row := range []struct {
		name, method, target string
		operation            string
		status, substatus    int
	}{
		{"create a database", http.MethodPost, "/dbs", "databases/manage", 403, 5300},
		{"delete a database", http.MethodDelete, "/dbs/shop", "databases/manage", 403, 5300},
		{"create a container", http.MethodPost, "/dbs/shop/colls", "containers/manage", 403, 5300},
		{"replace a container", http.MethodPut, container, "containers/manage", 403, 5300},
		{"delete a container", http.MethodDelete, container, "containers/manage", 403, 5300},
		{"list stored procedures", http.MethodGet, container + "/sprocs", "scripts/manage", 403, 5300},
		{"read a stored procedure", http.MethodGet, container + "/sprocs/p", "scripts/manage", 403, 5300},
		{"create a stored procedure", http.MethodPost, container + "/sprocs", "scripts/manage", 403, 5300},
		{"read a trigger", http.MethodGet, container + "/triggers/t", "scripts/manage", 403, 5300},
		{"create a function", http.MethodPost, container + "/udfs", "scripts/manage", 403, 5300},
		{"query offers", http.MethodPost, "/offers", "offers/manage", 403, 5300},
		{"replace an offer", http.MethodPut, "/offers/abcd", "offers/manage", 403, 5300},
		{"create an encryption key", http.MethodPost, "/dbs/shop/clientencryptionkeys", "encryptionKeys/manage", 403, 5300},
		{"list users", http.MethodGet, "/dbs/shop/users", "users/manage", 403, 5302},
		{"mint a resource token", http.MethodPost, "/dbs/shop/users/u/permissions", "users/manage", 403, 5302},
		{"delete by partition key", http.MethodPost, container + "/operations/partitionkeydelete", "maintenance", 403, 5302},
		{"truncate a container", http.MethodPut, container + "/operations/collectiontruncate", "maintenance", 403, 5302},
		{"distributed transaction", http.MethodPost, "/operations/dtc", "maintenance", 403, 5302},
		{"addresses of replicas", http.MethodGet, "//addresses/?$resolveFor=dbs%2fAAAA&$filter=protocol%20eq%20rntbd", "addresses/read", 403, 5301},
		{"client telemetry", http.MethodGet, "/clientconfigs", "telemetry", 404, 0},
		{"connectivity probe", http.MethodPost, "/connectivity-probe", "telemetry", 404, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			op := classified(t, sent{method: row.method, target: row.target})
			if op.Disposition == cosmos.Forward || op.Refusal == nil {
				t.Fatal("would be forwarded")
			}

			got := []any{op.Type.String(), op.Refusal.Status, op.Refusal.Substatus}
			if diff := cmp.Diff([]any{row.operation, row.status, row.substatus}, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestTheAccountIsAnsweredByTheGate(t *testing.T) {
	t.Parallel()

	op := classified(t, sent{method: http.MethodGet, target: "/", headers: []string{"x-ms-cosmos-use-thinclient: true"}})
	if op.Disposition != cosmos.Answer || op.Refusal != nil || op.Actions != 0 {
		t.Errorf("got %+v", op)
	}
}

func TestRequestsThatContradictThemselvesAreRefused(t *testing.T) {
	t.Parallel()

	post := func(body string, headers ...string) sent { return sent{http.MethodPost, items, headers, body} }

	for _, row := range []struct {
		name string
		s    sent
	}{
		{"query and upsert", post(queryText, queryType, isQuery, isUpsert)},
		{"query and batch", post(queryText, queryType, isQuery, isBatch)},
		{"plan and upsert", post(queryText, queryType, isUpsert, isPlan)},
		{"plan and batch", post(queryText, queryType, isBatch, isPlan)},
		{"a plan as text", post(queryText, isPlan, "Content-Type: text/plain")},
		{"a plan without a type", post(queryText, isPlan)},
		{"batch and upsert", post(`[{"operationType":"Read","id":"1"}]`, isBatch, isUpsert)},
		{"a feed and a create", post(`{"id":"1"}`, incremental)},
		{"a feed and a plan", post(queryText, queryType, isPlan, incremental)},
		{"a query without its content type", post(queryText, isQuery)},
		{"a query as plain JSON", post(queryText, isQuery, "Content-Type: application/json")},
		{"a query type with parameters", post(queryText, isQuery, queryType+"; charset=utf-8")},
		{"a query type without the selector", post(queryText, queryType)},
		{"a query type on an upsert", post(`{"id":"1"}`, queryType, isUpsert)},
		{"a query type on a batch", post(`[{"operationType":"Read","id":"1"}]`, queryType, isBatch)},
		{"SQL text", post("SELECT * FROM c", isQuery, "Content-Type: application/sql")},
		{"a create in another character set", post(`{"id":"1"}`, "Content-Type: application/json; charset=utf-16")},
		{"a create as text", post(`{"id":"1"}`, "Content-Type: text/plain")},
		{"an upsert flag on a replace", sent{http.MethodPut, item, []string{isUpsert}, `{"id":"1"}`}},
		{"a batch flag on a patch", sent{http.MethodPatch, item, []string{isBatch}, anyPatch}},
		{"a query flag on a read", sent{http.MethodGet, item, []string{isQuery}, ""}},
		{"a feed on a point read", sent{http.MethodGet, item, []string{incremental}, ""}},
		{"a feed of all versions of key ranges", sent{http.MethodGet, container + "/pkranges", []string{"A-IM: Full-Fidelity Feed"}, ""}},
		{"a feed of databases", sent{http.MethodGet, "/dbs", []string{incremental}, ""}},
		{"a plan for databases", sent{http.MethodPost, "/dbs", []string{queryType, isQuery, isPlan}, queryText}},
		{"a batch flag on a stored procedure", sent{http.MethodPost, container + "/sprocs/p", []string{isBatch}, "[]"}},
		{"triggers on a query", post(queryText, queryType, isQuery, "x-ms-documentdb-pre-trigger-include: t")},
		{"triggers on a read", sent{http.MethodGet, item, []string{"x-ms-documentdb-post-trigger-include: t"}, ""}},
		{"a write to the account", sent{http.MethodPost, "/", nil, "{}"}},
		{"a put of the item feed", sent{http.MethodPut, items, nil, "{}"}},
		{"a post to an item", sent{http.MethodPost, item, nil, "{}"}},
		{"a post to key ranges", sent{http.MethodPost, container + "/pkranges", []string{queryType, isQuery}, queryText}},
		{"a write to the conflict feed", sent{http.MethodPost, container + "/conflicts", nil, "{}"}},
		{"a replaced conflict", sent{http.MethodPut, container + "/conflicts/c", nil, "{}"}},
		{
			"a RID that is not the intended container's",
			sent{http.MethodGet, "/dbs/" + databaseRID + "/colls/" + containerRID + "/docs", []string{"x-ms-cosmos-intended-collection-rid: QicwAMPXDgA="}, ""},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			op, err := classify(t, row.s)
			if got := nativeError(t, err).Status; got != http.StatusBadRequest {
				t.Errorf("got status %d, want 400", got)
			}

			if op != nil && (op.Disposition != cosmos.Refuse || op.Actions != 0) {
				t.Errorf("beside an error stands an operation that could be forwarded: %+v", op)
			}
		})
	}
}

func TestASelectorThatSaysFalseSaysNothing(t *testing.T) {
	t.Parallel()

	op := classified(t, sent{http.MethodPost, items, []string{
		"x-ms-documentdb-isquery: False", "x-ms-documentdb-query: false", "x-ms-cosmos-is-batch-request: FALSE",
		"x-ms-cosmos-is-query-plan-request: false", isUpsert, "x-ms-documentdb-query-enablecrosspartition: true",
	}, `{"id":"1"}`})
	if op.Type != cosmos.OpUpsertItem {
		t.Errorf("got %v", op.Type)
	}
}

func TestBodiesAreReadOnlyWhereMeaningLivesInThem(t *testing.T) {
	t.Parallel()

	for _, row := range []struct {
		name    string
		s       sent
		inspect bool
		body    bool
	}{
		{"a read has none", sent{method: http.MethodGet, target: item}, false, false},
		{"a delete has none", sent{method: http.MethodDelete, target: item}, false, false},
		{"a create streams", sent{method: http.MethodPost, target: items}, false, true},
		{"a query streams", sent{method: http.MethodPost, target: items, headers: []string{queryType, isQuery}}, false, true},
		{"a replace streams", sent{method: http.MethodPut, target: item}, false, true},
		{"a stored procedure streams", sent{method: http.MethodPost, target: container + "/sprocs/p"}, false, true},
		{"a patch is read", sent{method: http.MethodPatch, target: item}, true, true},
		{"a batch is read", sent{method: http.MethodPost, target: items, headers: []string{isBatch}}, true, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			r, err := wire(row.s)
			if err != nil {
				t.Fatal(err)
			}

			q, err := cosmos.Sanitize(r)
			if err != nil {
				t.Fatal(err)
			}

			limit, inspect := q.BodyLimit()
			if inspect != row.inspect || (limit > 0) != row.body {
				t.Errorf("got %d, %v", limit, inspect)
			}
		})
	}
}

func TestBodiesAboveTheLimitAreTooLarge(t *testing.T) {
	t.Parallel()

	r, err := wire(sent{method: http.MethodPost, target: items, body: "{}"})
	if err != nil {
		t.Fatal(err)
	}

	r.ContentLength = 3 << 20

	q, err := cosmos.Sanitize(r)
	if err != nil {
		t.Fatal(err)
	}

	_, err = cosmos.Classify(q, nil)
	if got := nativeError(t, err).Status; got != http.StatusRequestEntityTooLarge {
		t.Errorf("got status %d, want 413", got)
	}
}

func TestOnlyReadsMayBeRepeated(t *testing.T) {
	t.Parallel()

	for _, row := range []struct {
		name string
		s    sent
		want bool
	}{
		{"a point read", sent{method: http.MethodGet, target: item}, true},
		{"a query", sent{method: http.MethodPost, target: items, headers: []string{queryType, isQuery}}, true},
		{"a conflict read", sent{method: http.MethodGet, target: container + "/conflicts/c"}, true},
		{"a create", sent{method: http.MethodPost, target: items}, false},
		{"a replace", sent{method: http.MethodPut, target: item}, false},
		{"a delete", sent{method: http.MethodDelete, target: item}, false},
		{"a batch, even of reads", sent{http.MethodPost, items, []string{isBatch, isAtomic}, `[{"operationType":"Read","id":"1"}]`}, false},
		{"a stored procedure", sent{method: http.MethodPost, target: container + "/sprocs/p"}, false},
		{"a conflict's deletion", sent{method: http.MethodDelete, target: container + "/conflicts/c"}, false},
		{"the telemetry that is not forwarded", sent{method: http.MethodGet, target: "/clientconfigs"}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			if got := classified(t, row.s).Idempotent(); got != row.want {
				t.Errorf("got %v, want %v", got, row.want)
			}
		})
	}
}

func TestAPinnedContainerCannotBeSwapped(t *testing.T) {
	t.Parallel()

	const other = "QicwAMPXDgA="

	for _, row := range []struct {
		name    string
		headers []string
		pin     string
		status  int
		want    map[string]string
	}{
		{"the gate's knowledge is sent", nil, containerRID, 0, map[string]string{"X-Ms-Cosmos-Intended-Collection-Rid": containerRID}},
		{
			"the caller means the same", []string{"x-ms-cosmos-intended-collection-rid: " + containerRID, "x-ms-documentdb-collection-rid: " + containerRID},
			containerRID, 0,
			map[string]string{"X-Ms-Cosmos-Intended-Collection-Rid": containerRID, "X-Ms-Documentdb-Collection-Rid": containerRID},
		},
		{"the caller intends another", []string{"x-ms-cosmos-intended-collection-rid: " + other}, containerRID, http.StatusBadRequest, nil},
		{"the caller names another", []string{"x-ms-documentdb-collection-rid: " + other}, containerRID, http.StatusBadRequest, nil},
		{"the gate's knowledge is no RID", nil, "orders", http.StatusServiceUnavailable, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			op := classified(t, sent{method: http.MethodGet, target: item, headers: row.headers})

			err := op.Pin(row.pin)
			if row.status != 0 {
				if got := nativeError(t, err).Status; got != row.status {
					t.Errorf("got status %d, want %d", got, row.status)
				}

				return
			}

			if err != nil {
				t.Fatal(err)
			}

			got := op.UpstreamHeader(cosmos.UpstreamOptions{})
			for name, value := range row.want {
				if got.Get(name) != value {
					t.Errorf("%s: got %q, want %q", name, got.Get(name), value)
				}
			}
		})
	}
}

func TestActionsHaveTheNamesAndTheOrderOfTheContract(t *testing.T) {
	t.Parallel()

	all := cosmos.ReadMetadata | cosmos.CreateItem | cosmos.ReadItem | cosmos.ReplaceItem | cosmos.UpsertItem | cosmos.DeleteItem |
		cosmos.ExecuteQuery | cosmos.ReadChangeFeed | cosmos.ExecuteStoredProcedure | cosmos.ManageConflicts

	want := []string{
		"readMetadata", "items/create", "items/read", "items/replace", "items/upsert", "items/delete", "executeQuery", "readChangeFeed",
		"executeStoredProcedure", "manageConflicts",
	}
	if diff := cmp.Diff(want, all.Names()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}

	if all != 1<<10-1 || !all.Has(cosmos.ReadItem) || cosmos.ReadItem.Has(all) {
		t.Error("the bits are not the first ten")
	}
}
