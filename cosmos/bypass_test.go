package cosmos_test

import (
	"net/http"
	"testing"

	"github.com/cosmosgate/cosmosgate/cosmos"
)

// verdict is what the role of the bypass table says to a request: it may read items and query, in partition "emea" of
// shop/orders, and read that container's metadata.
func verdict(t *testing.T, s sent) bool {
	t.Helper()

	const granted = cosmos.ReadItem | cosmos.ExecuteQuery | cosmos.ReadMetadata

	op, err := classify(t, s)
	if err != nil || op.Disposition != cosmos.Forward {
		return false
	}

	if op.NeedsResolution() {
		// The cache knows one container; anything else cannot be resolved and is refused.
		if op.DatabaseRID != databaseRID || op.ContainerRID != containerRID {
			return false
		}

		op.Resolve("shop", "orders")
	}

	if op.Database != "shop" || op.Container != "orders" || !granted.Has(op.Actions) {
		return false
	}

	if op.NoData {
		return true
	}

	for _, key := range op.PartitionKeys {
		if !key.Equal(cosmos.PartitionKey{`"emea"`}) {
			return false
		}
	}

	return len(op.PartitionKeys) > 0
}

// TestWaysRoundAPolicy is the permanent corpus: each trick beside the honest request that looks like it.
func TestWaysRoundAPolicy(t *testing.T) {
	t.Parallel()

	get := func(target string, headers ...string) sent { return sent{http.MethodGet, target, headers, ""} }
	post := func(body string, headers ...string) sent { return sent{http.MethodPost, items, headers, body} }
	query := func(headers ...string) sent { return post(queryText, append([]string{queryType}, headers...)...) }
	batch := func(body string, headers ...string) sent {
		return post(body, append([]string{isBatch, isAtomic, emea}, headers...)...)
	}
	bulk := func(body string) sent { return post(body, isBatch, isBulk, rangeZero) }
	patch := func(body string, headers ...string) sent {
		return sent{http.MethodPatch, item, append(headers, emea), body}
	}
	byRIDs := func(headers ...string) sent {
		return sent{http.MethodPost, "/dbs/" + databaseRID + "/colls/" + containerRID + "/docs", append([]string{queryType, isQuery, emea}, headers...), queryText}
	}
	key := func(text string) string { return "x-ms-documentdb-partitionkey: " + text }

	const (
		byRID       = "/dbs/" + databaseRID + "/colls/" + containerRID
		readOne     = `[{"operationType":"Read","id":"1"}]`
		readEMEA    = `[{"operationType":"Read","id":"1","partitionKey":"[\"emea\"]"}]`
		procedure   = container + "/sprocs/p"
		otherItem   = "QicwAMPXDgABAAAAAAAAAA=="
		withTrigger = "x-ms-documentdb-post-trigger-include: t"
	)

	for _, row := range []struct {
		name  string
		trick sent
		twin  sent
	}{
		// One operation dressed as another.
		{"an upsert with the query selector in Go's spelling", query("x-ms-documentdb-query: True", emea, isUpsert), query("x-ms-documentdb-query: True", emea)},
		{"a query with both spellings, one of them for a create", post(queryText, "x-ms-documentdb-query: True", isQuery, emea), query("x-ms-documentdb-query: True", isQuery, emea)},
		{"a create with a selector that says false", post(queryText, emea, "x-ms-documentdb-isquery: false"), query(isQuery, emea, "x-ms-documentdb-is-upsert: false")},
		{"a create with a selector that says yes", post(queryText, emea, "x-ms-documentdb-isquery: yes"), query("x-ms-documentdb-isquery: TRUE", emea)},
		{"a create with the content type of a query", post(queryText, queryType, emea), query(isQuery, emea)},
		{"a create behind a selector that only the service knows", query(isQuery, emea, "x-ms-cosmos-is-script-request: true"), query(isQuery, emea, "x-ms-cosmos-is-client-encrypted: false")},
		{"a create behind an operation type", query(isQuery, emea, "x-ms-operation-type: Create"), query(isQuery, emea, "x-ms-thinclient-proxy-operation-type: SqlQuery")},
		{"a delete by method override", sent{http.MethodDelete, item, []string{emea}, ""}, get(item, emea, "X-HTTP-Method-Override: DELETE")},
		{"a batch hidden behind a query", query(isQuery, isBatch, emea), query(isQuery, "x-ms-cosmos-is-batch-request: false", emea)},
		{"an upsert flag through Connection", post(queryText, emea, "Connection: x-ms-documentdb-isquery", isQuery), query(isQuery, emea, "Connection: keep-alive")},
		{"a plan that would be a query", query(isPlan, isUpsert), query(isPlan, isQuery)},

		// Deletions in batches.
		{"a deletion among the reads of a batch", batch(`[{"operationType":"Read","id":"1"},{"operationType":"Delete","id":"1"}]`), batch(readOne)},
		{"a deletion in escapes", batch(`[{"operationType":"\u0044elete","id":"1"}]`), batch(`[{"operationType":"\u0052ead","id":"1"}]`)},
		{"a deletion as the second of two verbs", batch(`[{"operationType":"Read","id":"1","operationType":"Delete"}]`), batch(readOne)},
		{"a deletion as a case variant", batch(`[{"operationType":"Read","id":"1","OPERATIONTYPE":"Delete"}]`), batch(readOne)},
		{"a deletion after the end", batch(readOne + `[{"operationType":"Delete","id":"1"}]`), batch(readOne + "\n")},
		{"a deletion in HybridRow", batch("\x81\xf0\xd8\xff\x7f\x04"), batch(readOne)},
		{"a deletion in a bulk request", bulk(`[{"operationType":"Delete","id":"1","partitionKey":"[\"emea\"]"}]`), bulk(readEMEA)},
		{"an unknown verb", batch(`[{"operationType":"Execute","id":"1"}]`), batch(readOne)},
		{"a trigger on a batch", batch(readOne, withTrigger), batch(readOne)},

		// Patches.
		{"a patch that asks a question", patch(`{"operations":[],"condition":"from c where c.salary > 1"}`, "Prefer: return=minimal"), get(item, emea)},
		{"a patch as an array", patch(`[{"op":"set","path":"/a","value":1}]`), get(item, emea)},

		// Server code.
		{"a stored procedure", sent{http.MethodPost, procedure, []string{emea}, "[]"}, query(isQuery, emea)},
		{"a trigger on a read", get(item, emea, withTrigger), get(item, emea, "x-ms-documentdb-post-trigger-include: ")},

		// Another place.
		{"another container", get("/dbs/shop/colls/secrets/docs/1", emea), get(item, emea)},
		{"another container in capitals", get("/dbs/shop/colls/ORDERS/docs/1", emea), get("/DBS/shop/COLLS/orders/DOCS/1", emea)},
		{"a leaf of another container by RID", get(byRID+"/docs/"+otherItem, emea), byRIDs()},
		{"a container RID below a name", get("/dbs/shop/colls/"+containerRID+"/docs/1", emea), byRIDs()},
		{"an item of another partition by RID", get(byRID+"/docs/"+itemRID, emea), byRIDs()},
		{"a RID with white space", get("/dbs/Qic%20wAA==/colls/orders/docs/1", emea), get(item, emea)},
		{"dot segments", get("/dbs/shop/colls/orders/../secrets/docs/1", emea), get(items+"/..1", emea)},
		{"encoded dot segments", get("/dbs/shop/colls/orders/docs/%2e%2e/secrets", emea), get(items+"/%2e1", emea)},
		{"dot segments in an id", get(items+"/..%2F..%2Fsecrets%2Fdocs%2F1", emea), get(items+"/a%2Fb", emea)},
		{"dot segments in an id, encoded twice", get(items+"/..%252F..%252Fsecrets", emea), get(items+"/50%25", emea)},
		{"an encoded slash in the container", get("/dbs/shop/colls/secrets%2Fdocs%2F1%2F..%2F..%2Forders", emea), get(item, emea)},
		{"a container encoded twice", get("/dbs/shop/colls/%2573ecrets/docs/1", emea), get("/dbs/shop/colls/%6frders/docs/1", emea)},
		{"slashes to be folded", get("//dbs//shop//colls//secrets//docs//1", emea), get("//dbs//shop//colls//orders//docs//1//", emea)},
		{"a trailing space that a server trims", get("/dbs/shop/colls/orders%20/docs/1", emea), get(item, emea)},
		{"a container in a header", byRIDs("x-ms-documentdb-collection-rid: QicwAMPXDgA="), byRIDs("x-ms-documentdb-collection-rid: " + containerRID)},
		{"a target in a query string", get(item+"?$resolveFor=dbs/secret", emea), get(item, emea)},

		// Another partition.
		{"no key", get(item), get(item, emea)},
		{"two keys", get(item, emea, key(`["apac"]`)), get(item, emea)},
		{"a key through Connection", get(item, emea, "Connection: x-ms-documentdb-partitionkey"), get(item, emea, "Connection: close")},
		{"another key", get(item, key(`["apac"]`)), get(item, key(` [ "\u0065mea" ] `))},
		{"null", get(item, key(`[null]`)), get(item, emea)},
		{"undefined", get(item, key(`[{}]`)), get(item, emea)},
		{"none", get(item, key(`[]`)), get(item, emea)},
		{"a longer key", get(item, key(`["emea","x"]`)), get(item, emea)},
		{"a key in another case", get(item, key(`["EMEA"]`)), get(item, emea)},
		{"a query of everything", query(isQuery, "x-ms-documentdb-query-enablecrosspartition: true"), query(isQuery, emea, "x-ms-documentdb-query-enablecrosspartition: true")},
		{"a query of a range", query(isQuery, rangeZero), query(isQuery, emea)},
		{"a query of a range beside the key", query(isQuery, emea, rangeZero), query(isQuery, emea)},
		{"a query of effective keys beside the key", query(isQuery, emea, "x-ms-start-epk: ", "x-ms-end-epk: FF"), query(isQuery, emea)},
		{"read-many", query(isQuery, rangeZero, "x-ms-max-item-count: -1"), get(item, emea)},
		{"the item feed", get(items), query(isQuery, emea)},
		{"the change feed", get(items, incremental), query(isQuery, emea)},
		{"the change feed with a query", query(isQuery, incremental, emea), query(isQuery, emea)},
		{"a bulk operation in another partition", bulk(`[{"operationType":"Read","id":"1","partitionKey":"[\"apac\"]"}]`), bulk(readEMEA)},
		{"a bulk operation without a partition", bulk(`[{"operationType":"Read","id":"1"}]`), bulk(readEMEA)},
		{"a bulk operation in two partitions", bulk(`[{"operationType":"Read","id":"1","partitionKey":"[\"emea\"]","partitionKey":"[\"apac\"]"}]`), bulk(readEMEA)},
		{"a batch operation in another partition", batch(`[{"operationType":"Read","id":"1","partitionKey":"[\"apac\"]"}]`), batch(readEMEA)},
		{"conflicts of every partition", get(container+"/conflicts", emea), get(container)},

		// Around the gate.
		{"the addresses of the replicas", get("//addresses/?$resolveFor=dbs%2f" + databaseRID), get(container + "/pkranges")},
		{"a resource token", sent{http.MethodPost, "/dbs/shop/users/u/permissions", nil, "{}"}, get(container)},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			if verdict(t, row.trick) {
				t.Error("the trick passes")
			}

			if !verdict(t, row.twin) {
				t.Error("the honest twin is refused")
			}
		})
	}
}
