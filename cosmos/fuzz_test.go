package cosmos_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/cosmos"
)

// FuzzSanitize feeds whole requests. Whatever is forwarded must say of itself what it said when it came in, and its path
// must have no second reading.
func FuzzSanitize(f *testing.F) {
	for _, target := range []string{
		"/", "/dbs", container, items, item, items + "/a%2Fb", items + "/..%2Fx", items + "/a%252e%5C", "//DBS//shop/colls/orders/docs/1//",
		"/dbs/" + databaseRID + "/colls/" + containerRID + "/docs/" + itemRID, "/dbs/Qicw%20AA==", "/offers", "//addresses/?$resolveFor=x",
		container + "/sprocs/p", container + "/conflicts/c", "/dbs/shop/clientencryptionkeys/k", "*", "/dbs/a%zz", "/dbs/shop%00",
	} {
		f.Add("GET", target, emea, isQuery, "")
		f.Add("POST", target, queryType, isQuery, queryText)
		f.Add("POST", target, isBatch, emea, `[{"operationType":"Read","id":"1","partitionKey":"[1]"}]`)
		f.Add("PATCH", target, "Prefer: return=minimal", emea, anyPatch)
	}

	f.Add("POST", items, "x-ms-documentdb-is-upsert: True", "Connection: x-ms-documentdb-is-upsert", "{}")
	f.Add("GET", item, "x-ms-start-epk: 00", "x-ms-cosmos-intended-collection-rid: "+containerRID, "")

	f.Fuzz(func(t *testing.T, method, target, one, other, body string) {
		s := sent{method, target, []string{one, other}, body}

		r, err := wire(s)
		if err != nil || r.ContentLength != int64(len(body)) {
			t.Skip() // a header line that ended the header
		}

		q, err := cosmos.Sanitize(r)
		if err != nil {
			nativeError(t, err)

			return
		}

		op, err := cosmos.Classify(q, []byte(body))
		if op == nil {
			t.Fatal("no operation")
		}

		if err != nil {
			nativeError(t, err)

			if op.Disposition == cosmos.Forward {
				t.Fatal("an error that is forwarded")
			}

			return
		}

		if op.Disposition != cosmos.Forward {
			return
		}

		checkForwarded(t, op)
		checkSentOn(t, op, body)
	})
}

func checkForwarded(t *testing.T, op *cosmos.Operation) {
	t.Helper()

	if op.Actions == 0 || op.Type == cosmos.OpUnknown || op.Refusal != nil {
		t.Fatalf("forwarded without a reason: %+v", op)
	}

	if (op.Scope == cosmos.ScopePartition) != (len(op.PartitionKeys) > 0) {
		t.Fatalf("scope %d with keys %v", op.Scope, op.PartitionKeys)
	}

	const nameSegments = 5 // "", dbs, {db}, colls, {coll}

	for i, segment := range strings.Split(op.UpstreamPath(), "/") {
		if i > 0 && (segment == "" && op.UpstreamPath() != "/" || segment == "." || segment == "..") {
			t.Fatalf("path %s", op.UpstreamPath())
		}

		if upper := strings.ToUpper(segment); i < nameSegments && (strings.Contains(upper, "%2F") || strings.Contains(upper, "%5C")) {
			t.Fatalf("path %s", op.UpstreamPath())
		}
	}
}

// FuzzBatch holds the strict reader against encoding/json: what the gate accepts must hold exactly the verbs, the patch
// conditions and the keys that a lenient reader finds.
func FuzzBatch(f *testing.F) {
	for _, body := range []string{
		`[{"operationType":"Create","resourceBody":{"id":"1"}},{"operationType":"Delete","id":"1","ifMatch":"e"}]`,
		`[{"operationType":"Patch","id":"1","resourceBody":` + anyPatch + `,"partitionKey":"[\"emea\"]"}]`,
		`[{"operation\u0054ype":"Read","id":"\ud83d\ude00"}]`, `[]`, `[{}]`, "\x81\xf0", "\x80", `[{"operationType":"Read","operationType":"Delete"}]`,
	} {
		f.Add(body)
	}

	f.Fuzz(func(t *testing.T, body string) {
		op, err := classify(t, sent{http.MethodPost, items, []string{isBatch, isBulk}, body})
		if strings.HasPrefix(body, "\x81") {
			t.Skip("HybridRow has a fuzzer of its own")
		}

		if err != nil {
			nativeError(t, err)

			return
		}

		var lenient []struct {
			OperationType string
			ResourceBody  json.RawMessage
			PartitionKey  *string
		}
		if err := json.Unmarshal([]byte(body), &lenient); err != nil {
			t.Fatalf("accepted what encoding/json refuses: %v", err)
		}

		want := cosmos.Actions(0)
		for _, operation := range lenient {
			want |= actionOf(operation.OperationType)
			if operation.OperationType == "Patch" && patchAsks(operation.ResourceBody) {
				want |= cosmos.ReadItem
			}

			if operation.PartitionKey == nil && len(op.PartitionKeys) > 0 {
				t.Fatal("confined although an operation names no key")
			}
		}

		if diff := cmp.Diff(want.Names(), op.Actions.Names()); diff != "" {
			t.Fatalf("(-want +got)\n%s", diff)
		}
	})
}

func actionOf(verb string) cosmos.Actions {
	switch verb {
	case "Create":
		return cosmos.CreateItem
	case "Read":
		return cosmos.ReadItem
	case "Replace", "Patch":
		return cosmos.ReplaceItem
	case "Upsert":
		return cosmos.UpsertItem
	case "Delete":
		return cosmos.DeleteItem
	default:
		return cosmos.ManageConflicts // never among a batch's
	}
}

// patchAsks says whether a lenient reader finds a condition.
func patchAsks(body []byte) bool {
	var members map[string]json.RawMessage

	if json.Unmarshal(body, &members) != nil {
		return false
	}

	_, asks := members["condition"]

	return asks
}

// FuzzPatch does the same for PATCH.
func FuzzPatch(f *testing.F) {
	for _, body := range []string{anyPatch, `[{"op":"move","from":"/a","path":"/b"}]`, `{"condition":"from c","operations":[]}`, `{"operations":[],"Condition":""}`, ``} {
		f.Add(body)
	}

	f.Fuzz(func(t *testing.T, body string) {
		op, err := classify(t, sent{http.MethodPatch, item, []string{emea, "Prefer: return=minimal"}, body})
		if err != nil {
			nativeError(t, err)

			return
		}

		if !json.Valid([]byte(body)) {
			t.Fatal("accepted what encoding/json refuses")
		}

		if got := op.Actions.Has(cosmos.ReadItem); got != patchAsks([]byte(body)) {
			t.Fatalf("condition seen: %v", got)
		}
	})
}

// FuzzAuthorization checks that a credential never holds what could begin another header or another part.
func FuzzAuthorization(f *testing.F) {
	for _, value := range []string{
		"type=aad&ver=1.0&sig=a.b.c", "type%3Daad%26ver%3D1.0%26sig%3Da.b.c", "type%3dmaster%26ver%3d1.0%26sig%3da%2b%2f%3d%3d", "Bearer a", "Basic x",
		"type=aad&ver=1.0&sig=%3D", "%3D",
	} {
		f.Add(value)
	}

	f.Fuzz(func(t *testing.T, value string) {
		got, err := cosmos.ParseAuthorization(http.Header{"Authorization": {value}})

		if strings.Contains(strings.ToUpper(value), "%3D") && len(value) <= 16<<10 { // encoded as a whole: means what its decoded form means
			if decoded, bad := url.PathUnescape(value); bad != nil && err == nil {
				t.Fatalf("%q is badly encoded and was read", value)
			} else if bad == nil && !strings.Contains(decoded, "%") {
				plain, fault := cosmos.ParseAuthorization(http.Header{"Authorization": {decoded}})
				if native := strings.HasPrefix(decoded, "type="); native && (plain != got || (fault == nil) != (err == nil)) {
					t.Fatalf("%q is read otherwise than %q", value, decoded)
				}
			}
		}

		if err != nil {
			if status := nativeError(t, err).Status; status != http.StatusUnauthorized {
				t.Fatalf("status %d", status)
			}

			return
		}

		secret := got.Token + got.Signature
		if secret == "" || strings.ContainsAny(secret, " &\r\n\x00%,;\"") || (got.Token == "") == (got.Signature == "") {
			t.Fatalf("%q gives %q", value, secret)
		}

		if strings.Contains(got.String(), secret) && len(secret) > len("redacted") {
			t.Fatal("the secret prints")
		}
	})
}

// FuzzPartitionKey checks canonicalisation: parsing what is sent gives the same key, in ASCII, and encoding/json agrees.
func FuzzPartitionKey(f *testing.F) {
	for _, value := range []string{`["emea"]`, `[1.0,-0,1e21]`, `[null,{},true]`, `["\ud83d\ude00\u2028\u007f"]`, `[]`, `["a\/b"]`, `["` + "\x7f" + `"]`, `[1e-7]`} {
		f.Add(value)
	}

	f.Fuzz(func(t *testing.T, value string) {
		key, err := cosmos.ParsePartitionKey(value)
		if err != nil {
			nativeError(t, err)

			return
		}

		header := key.Header()

		second, err := cosmos.ParsePartitionKey(header)
		if err != nil || !second.Equal(key) {
			t.Fatalf("%q becomes %q, which is %v: %v", value, header, second, err)
		}

		for i := range len(header) {
			if header[i] < ' ' || header[i] > '~' {
				t.Fatalf("%q holds what no header can", header)
			}
		}

		var before, after []any
		if json.Unmarshal([]byte(value), &before) != nil || json.Unmarshal([]byte(header), &after) != nil {
			t.Fatalf("%q or %q is no JSON", value, header)
		}

		if diff := cmp.Diff(before, after); diff != "" {
			t.Fatalf("another value (-sent +canonical)\n%s", diff)
		}
	})
}

// FuzzAccountDocument checks that no document names the upstream or a second location, and that a reader finds in it the settings that encoding/json
// finds in upstream's, or none.
func FuzzAccountDocument(f *testing.F) {
	f.Add(upstreamAccount)
	f.Add(`{"userConsistencyPolicy":{"defaultConsistencyLevel":"Session"},"queryEngineConfiguration":"{\"a\":\"https://acc.documents.azure.com\"}"}`)
	f.Add(`{"userConsistencyPolicy":{"defaultConsistencyLevel":"acc.Documents.azure.com"}}`)

	f.Fuzz(func(t *testing.T, upstream string) {
		document, err := cosmos.AccountDocument([]byte(upstream), published())
		if err != nil {
			return
		}

		if strings.Contains(strings.ToLower(string(document)), "documents.azure.com") && strings.Contains(strings.ToLower(string(document)), "acc.documents.azure.com") {
			t.Fatalf("names the upstream: %s", document)
		}

		var got struct {
			Writable []struct {
				Endpoint string `json:"databaseAccountEndpoint"`
			} `json:"writableLocations"`
			Readable []struct {
				Endpoint string `json:"databaseAccountEndpoint"`
			} `json:"readableLocations"`
			Thin json.RawMessage `json:"thinClientWritableLocations"`
		}
		if err := json.Unmarshal(document, &got); err != nil {
			t.Fatal(err)
		}

		if len(got.Writable) != 1 || len(got.Readable) != 1 || got.Writable[0].Endpoint != "https://gate.example:8443/" ||
			got.Readable[0] != got.Writable[0] || got.Thin != nil {
			t.Fatalf("another location: %s", document)
		}

		checkSettings(t, upstream, document)
	})
}

// checkSettings compares what SDKs act on, read by encoding/json from both documents.
func checkSettings(t *testing.T, upstream string, document []byte) {
	t.Helper()

	type settings struct {
		Policy struct {
			Level string `json:"defaultConsistencyLevel"`
		} `json:"userConsistencyPolicy"`
		Engine string `json:"queryEngineConfiguration"`
	}

	var theirs, ours settings
	if err := json.Unmarshal(document, &ours); err != nil {
		t.Fatal(err)
	}

	if json.Unmarshal([]byte(upstream), &theirs) != nil {
		return // a type that SDKs would stumble over: nothing of it may be in ours, which the locations have shown
	}

	if ours.Policy.Level != "" && ours.Policy.Level != theirs.Policy.Level || ours.Engine != "{}" && ours.Engine != theirs.Engine {
		t.Fatalf("%+v became %+v", theirs, ours)
	}
}

// FuzzRID checks that the canonical text is the same RID, and that parents contain their children.
func FuzzRID(f *testing.F) {
	for _, text := range []string{databaseRID, containerRID, itemRID, "--7-AA==", "QicwAB==", "", "====", "/-7-AA=="} {
		f.Add(text)
	}

	f.Fuzz(func(t *testing.T, text string) {
		rid, err := cosmos.ParseRID(text)
		if err != nil {
			nativeError(t, err)

			return
		}

		second, err := cosmos.ParseRID(rid.String())
		if err != nil || second != rid || rid.Kind() == cosmos.NotRID {
			t.Fatalf("%q becomes %q: %v", text, rid, err)
		}

		if database := rid.Database(); database != rid && !database.Contains(rid) {
			t.Fatalf("%s is not in its database", rid)
		}
	})
}

// FuzzFilterFeed checks that a reader of the filtered feed sees no other name than the accepted one.
func FuzzFilterFeed(f *testing.F) {
	f.Add(`{"_rid":"","Databases":[{"id":"shop"},{"id":"secret"}],"_count":2}`)
	f.Add(`{"DocumentCollections":[{"id":"secret","id":"shop"},{"ID":"secret","id":"shop"}]}`)

	f.Fuzz(func(t *testing.T, body string) {
		filtered, err := filterFeed([]byte(body))
		if err != nil {
			nativeError(t, err)

			return
		}

		var got struct {
			Databases           []map[string]json.RawMessage
			DocumentCollections []map[string]json.RawMessage
			Count               int `json:"_count"`
		}
		if err := json.Unmarshal(filtered, &got); err != nil {
			t.Fatalf("%s: %v", filtered, err)
		}

		all := slices.Concat(got.Databases, got.DocumentCollections)
		for _, entry := range all {
			var id string
			if json.Unmarshal(entry["id"], &id) != nil || id != "shop" {
				t.Fatalf("shows %s", entry["id"])
			}
		}

		if len(all) != got.Count {
			t.Fatalf("%d entries, counted %d", len(all), got.Count)
		}
	})
}
