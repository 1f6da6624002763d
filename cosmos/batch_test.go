package cosmos_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/cosmos"
)

// contents is what a batch was found to hold.
type contents struct {
	Operation string
	Actions   []string
	Keys      []cosmos.PartitionKey
	Content   bool
}

func TestEveryOperationOfABatchNeedsItsAction(t *testing.T) {
	t.Parallel()

	const (
		keyed   = `"partitionKey":"[\"emea\"]"`
		keyed2  = `"partitionKey":"[ \"\u0061pac\" ]"`
		anyItem = `"resourceBody":{"id":"1"}`
	)

	batch := []string{isBatch, isAtomic, emea}
	bulk := []string{isBatch, isBulk, rangeZero}
	inEMEA := []cosmos.PartitionKey{{`"emea"`}}

	for _, row := range []struct {
		name    string
		headers []string
		body    string
		want    contents
	}{
		{"a create", batch, `[{"operationType":"Create",` + anyItem + `}]`, contents{"items/batch", []string{"items/create"}, inEMEA, false}},
		{
			"a deletion among reads", batch, `[{"operationType":"Read","id":"1"},{"operationType":"Delete","id":"2"}]`,
			contents{"items/batch", []string{"items/read", "items/delete"}, inEMEA, false},
		},
		{
			"one of each", batch,
			`[{"operationType":"Create",` + anyItem + `},{"operationType":"Upsert",` + anyItem + `,"ifMatch":"e"},` +
				`{"operationType":"Replace","id":"1",` + anyItem + `},{"operationType":"Read","id":"1","ifNoneMatch":"*"},` +
				`{"operationType":"Delete","id":"1"},{"operationType":"Patch","id":"1","resourceBody":` + anyPatch + `}]`,
			contents{"items/batch", []string{"items/create", "items/read", "items/replace", "items/upsert", "items/delete"}, inEMEA, false},
		},
		{
			"a patch returns its item", batch, `[{"operationType":"Patch","id":"1","resourceBody":` + anyPatch + `}]`,
			contents{"items/batch", []string{"items/replace"}, inEMEA, true},
		},
		{
			"a patch told to return nothing", append(batch, "Prefer: return=minimal"), `[{"operationType":"Patch","id":"1","resourceBody":` + anyPatch + `}]`,
			contents{"items/batch", []string{"items/replace"}, inEMEA, false},
		},
		{
			"a patch with a condition asks a question", batch,
			`[{"operationType":"Patch","id":"1","resourceBody":{"condition":"from c where c.salary > 1","operations":[]}}]`,
			contents{"items/batch", []string{"items/read", "items/replace"}, inEMEA, false},
		},
		{
			"the body before the verb", batch,
			`[{"resourceBody":{"operations":[],"condition":"from c"},"id":"1","operationType":"Patch"}]`,
			contents{"items/batch", []string{"items/read", "items/replace"}, inEMEA, false},
		},
		{"an escaped verb", batch, `[{"operation\u0054ype":"Del\u0065te","id":"1"}]`, contents{"items/batch", []string{"items/delete"}, inEMEA, false}},
		{"a batch without a key", []string{isBatch, isAtomic}, `[{"operationType":"Read","id":"1"}]`, contents{"items/batch", []string{"items/read"}, nil, false}},
		{"a batch of a range", append(batch, rangeZero), `[{"operationType":"Read","id":"1"}]`, contents{"items/batch", []string{"items/read"}, nil, false}},
		{
			"an operation with another key than the header's", batch, `[{"operationType":"Read","id":"1",` + keyed2 + `}]`,
			contents{"items/batch", []string{"items/read"}, []cosmos.PartitionKey{{`"apac"`}, {`"emea"`}}, false},
		},
		{
			"a trigger", append(batch, "x-ms-documentdb-pre-trigger-include: t"), `[{"operationType":"Delete","id":"1"}]`,
			contents{"items/batch", []string{"items/delete", "executeStoredProcedure"}, inEMEA, false},
		},

		{
			"bulk in two partitions", bulk, `[{"operationType":"Create",` + keyed + `,` + anyItem + `},{"operationType":"Delete","id":"1",` + keyed2 + `}]`,
			contents{"items/bulk", []string{"items/create", "items/delete"}, []cosmos.PartitionKey{{`"emea"`}, {`"apac"`}}, false},
		},
		{"bulk in one partition, twice", bulk, `[{"operationType":"Read","id":"1",` + keyed + `},{"operationType":"Read","id":"2",` + keyed + `}]`, contents{"items/bulk", []string{"items/read"}, inEMEA, false}},
		{"bulk with an operation without a key", bulk, `[{"operationType":"Read","id":"1",` + keyed + `},{"operationType":"Read","id":"2"}]`, contents{"items/bulk", []string{"items/read"}, nil, false}},
		{"bulk with the key of no partition", bulk, `[{"operationType":"Read","id":"1",` + keyed + `},{"operationType":"Read","id":"2","partitionKey":"[]"}]`, contents{"items/bulk", []string{"items/read"}, nil, false}},
		{"bulk that does not say whether it is atomic", []string{isBatch, emea}, `[{"operationType":"Read","id":"1"}]`, contents{"items/bulk", []string{"items/read"}, inEMEA, false}},
		{
			"documents may repeat names and differ in case", batch, `[{"operationType":"Create","resourceBody":{"id":"1","a":1,"A":2,"a":3}}]`,
			contents{"items/batch", []string{"items/create"}, inEMEA, false},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			op := classified(t, sent{http.MethodPost, items, row.headers, row.body})
			got := contents{op.Type.String(), op.Actions.Names(), op.PartitionKeys, op.ContentActions == cosmos.ReadItem}

			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}

			if confined := op.Scope == cosmos.ScopePartition; confined != (len(op.PartitionKeys) > 0) {
				t.Errorf("scope %d with keys %v", op.Scope, op.PartitionKeys)
			}
		})
	}
}

func TestBatchesThatReadTwoWaysAreRefused(t *testing.T) {
	t.Parallel()

	for _, row := range []struct{ name, body string }{
		{"nothing", ""},
		{"an empty batch", "[]"},
		{"an object", `{"operationType":"Read","id":"1"}`},
		{"no verb", `[{"id":"1"}]`},
		{"an unknown verb", `[{"operationType":"Execute","id":"1"}]`},
		{"a verb in another case", `[{"operationType":"delete","id":"1"}]`},
		{"a numeric verb", `[{"operationType":4,"id":"1"}]`},
		{"two verbs", `[{"operationType":"Read","id":"1","operationType":"Delete"}]`},
		{"two verbs, one escaped", `[{"operationType":"Read","id":"1","operation\u0054ype":"Delete"}]`},
		{"a verb and its case variant", `[{"operationType":"Read","id":"1","OperationType":"Delete"}]`},
		{"an unknown member", `[{"operationType":"Read","id":"1","resourceType":"StoredProcedure"}]`},
		{"two keys", `[{"operationType":"Read","id":"1","partitionKey":"[\"a\"]","partitionKey":"[\"b\"]"}]`},
		{"a key that is not in a string", `[{"operationType":"Read","id":"1","partitionKey":["a"]}]`},
		{"a key that is no key", `[{"operationType":"Read","id":"1","partitionKey":"a"}]`},
		{"two patches in one", `[{"operationType":"Patch","id":"1","resourceBody":{"operations":[],"operations":[]}}]`},
		{"a patch without operations", `[{"operationType":"Patch","id":"1","resourceBody":{"condition":"from c"}}]`},
		{"a patch without a body", `[{"operationType":"Patch","id":"1"}]`},
		{"two bodies", `[{"operationType":"Create","resourceBody":{},"resourceBody":{}}]`},
		{"trailing data", `[{"operationType":"Read","id":"1"}] [{"operationType":"Delete","id":"1"}]`},
		{"a trailing null byte", "[{\"operationType\":\"Read\",\"id\":\"1\"}]\x00"},
		{"a byte order mark", "\xef\xbb\xbf" + `[{"operationType":"Read","id":"1"}]`},
		{"broken UTF-8", "[{\"operationType\":\"Read\",\"id\":\"\xff\"}]"},
		{"half a surrogate pair", `[{"operationType":"Read","id":"\ud800"}]`},
		{"a surrogate pair the wrong way round", `[{"operationType":"Read","id":"\udc00\ud800"}]`},
		{"half a surrogate pair in a document", `[{"operationType":"Create","resourceBody":{"a":"\ud800x"}}]`},
		{"a raw control character", "[{\"operationType\":\"Read\",\"id\":\"a\nb\"}]"},
		{"a comment", `[{"operationType":"Read",/**/"id":"1"}]`},
		{"single quotes", `[{'operationType':'Read','id':'1'}]`},
		{"a trailing comma", `[{"operationType":"Read","id":"1"},]`},
		{"a missing comma", `[{"operationType":"Read" "id":"1"}]`},
		{"a truncated batch", `[{"operationType":"Read","id":"1"`},
		{"a leading zero", `[{"operationType":"Create","resourceBody":{"a":01}}]`},
		{"not a number", `[{"operationType":"Create","resourceBody":{"a":NaN}}]`},
		{"101 operations", "[" + strings.Repeat(`{"operationType":"Read","id":"1"},`, 100) + `{"operationType":"Read","id":"1"}]`},
		{"CosmosBinary", "\x80[]"},
		{"deep nesting", `[{"operationType":"Create","resourceBody":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}]`},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			for _, atomic := range []string{isAtomic, isBulk} {
				_, err := classify(t, sent{http.MethodPost, items, []string{isBatch, atomic, emea}, row.body})
				if got := nativeError(t, err).Status; got != http.StatusBadRequest {
					t.Errorf("got status %d, want 400", got)
				}
			}
		})
	}
}

func TestPatchesAreReadForWhatTheyReveal(t *testing.T) {
	t.Parallel()

	for _, row := range []struct {
		name, body string
		want       []string
	}{
		{"an object", anyPatch, []string{"items/replace"}},
		{"JavaScript's bare array", `[{"op":"incr","path":"/n","value":1}]`, []string{"items/replace"}},
		{
			"every operation",
			`{"operations":[{"op":"add","path":"/a","value":{"x":[1]}},{"op":"set","path":"/a","value":null},{"op":"replace","path":"/a","value":""},` +
				`{"op":"remove","path":"/a"},{"op":"incr","path":"/a","value":-1.5e3},{"op":"move","from":"/a","path":"/b"}]}`,
			[]string{"items/replace"},
		},
		{"a condition", `{"condition":"from c where c.a = 1","operations":[{"op":"remove","path":"/a"}]}`, []string{"items/read", "items/replace"}},
		{"a condition at the end", `{"operations":[],"condition":""}`, []string{"items/read", "items/replace"}},
		{"an escaped condition", `{"operations":[],"c\u006fndition":"from c"}`, []string{"items/read", "items/replace"}},
		{"a case variant of the condition", `{"operations":[],"Condition":"from c"}`, nil},
		{"a condition twice", `{"operations":[],"condition":"a","condition":"b"}`, nil},
		{"operations twice", `{"operations":[],"operations":[]}`, nil},
		{"an unknown member", `{"operations":[],"query":"x"}`, nil},
		{"an unknown operation", `[{"op":"test","path":"/a","value":1}]`, nil},
		{"an operation in capitals", `[{"op":"ADD","path":"/a","value":1}]`, nil},
		{"an operation with two verbs", `[{"op":"add","op":"remove","path":"/a"}]`, nil},
		{"an operation without a verb", `[{"path":"/a"}]`, nil},
		{"an unknown member of an operation", `[{"op":"add","path":"/a","query":"x"}]`, nil},
		{"eleven operations", "[" + strings.Repeat(`{"op":"remove","path":"/a"},`, 10) + `{"op":"remove","path":"/a"}]`, nil},
		{"no operations", `{}`, nil},
		{"no body", ``, nil},
		{"a condition that is no text", `{"operations":[],"condition":null}`, nil},
		{"trailing data", anyPatch + `{"condition":"from c"}`, nil},
		{"CosmosBinary", "\x80" + anyPatch, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			op, err := classify(t, sent{http.MethodPatch, item, []string{emea}, row.body})
			if row.want == nil {
				if got := nativeError(t, err).Status; got != http.StatusBadRequest {
					t.Errorf("got status %d, want 400", got)
				}

				return
			}

			if err != nil {
				t.Fatal(err)
			}

			if diff := cmp.Diff(row.want, op.Actions.Names()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
