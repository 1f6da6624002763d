package emulator_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func transactional(key string, more ...string) map[string]string {
	return keyed(key, append([]string{"X-Ms-Cosmos-Is-Batch-Request", "True", "X-Ms-Cosmos-Batch-Atomic", "True"}, more...)...)
}

func statuses(t *testing.T, answer reply) []any {
	t.Helper()
	var codes []any
	for i := range 200 {
		code := answer.get(t, i, "statusCode")
		if code == nil {
			break
		}
		codes = append(codes, code)
	}
	return codes
}

func TestBatchesAreAllOrNothing(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		body   string
		status int
		want   []any
		left   []any
	}{
		"all succeed": {
			`[{"operationType":"Create","resourceBody":{"id":"2","dep":"e"}},{"operationType":"Upsert","resourceBody":{"id":"1","dep":"e","n":2}},
			{"operationType":"Patch","id":"1","resourceBody":{"operations":[{"op":"incr","path":"/n","value":1}]}},{"operationType":"Read","id":"1"},
			{"operationType":"Replace","id":"2","resourceBody":{"id":"2","dep":"e","n":9}},{"operationType":"Delete","id":"1"}]`,
			200, []any{201.0, 200.0, 200.0, 200.0, 200.0, 204.0}, []any{"2:9"},
		},
		"a create that exists takes all back": {
			`[{"operationType":"Create","resourceBody":{"id":"2","dep":"e"}},{"operationType":"Create","resourceBody":{"id":"1","dep":"e"}},{"operationType":"Delete","id":"1"}]`,
			207, []any{424.0, 409.0, 424.0}, []any{"1:1"},
		},
		"a delete is taken back": {
			`[{"operationType":"Delete","id":"1"},{"operationType":"Read","id":"9"}]`, 207, []any{424.0, 404.0}, []any{"1:1"},
		},
		"a delete and a create in its place are taken back": {
			`[{"operationType":"Delete","id":"1"},{"operationType":"Create","resourceBody":{"id":"1","dep":"e","n":5}},{"operationType":"Delete","id":"7"}]`,
			207, []any{424.0, 424.0, 404.0}, []any{"1:1"},
		},
		"a replace is taken back": {
			`[{"operationType":"Replace","id":"1","resourceBody":{"id":"1","dep":"e","n":5}},{"operationType":"Replace","id":"1","ifMatch":"\"old\"","resourceBody":{"id":"1","dep":"e"}}]`,
			207, []any{424.0, 412.0}, []any{"1:1"},
		},
		"an item of another partition fails it": {
			`[{"operationType":"Create","resourceBody":{"id":"2","dep":"e"}},{"operationType":"Create","resourceBody":{"id":"2","dep":"f"}}]`,
			207, []any{424.0, 400.0}, []any{"1:1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStand(t)
			s.create(t, "e", "1", `,"n":1`)
			answer := s.do(t, call{method: "POST", path: orders, body: row.body, header: transactional(`["e"]`)})
			if answer.Status != row.status {
				t.Fatalf("status %d, want %d: %s", answer.Status, row.status, answer.Body)
			}
			if diff := cmp.Diff(row.want, statuses(t, answer)); diff != "" {
				t.Errorf("results (-want +got):\n%s", diff)
			}
			left := s.do(t, question(orders, "SELECT VALUE CONCAT(c.id, ':', ToString(c.n ?? 0)) FROM c", keyed(`["e"]`)))
			if diff := cmp.Diff(row.left, left.get(t, "Documents")); diff != "" {
				t.Errorf("items afterwards (-want +got):\n%s", diff)
			}
			feed := s.do(t, call{method: "GET", path: orders, header: keyed(`["e"]`, "A-IM", "Incremental Feed")})
			if got := feed.get(t, "_count"); got != float64(len(row.left)) {
				t.Errorf("the change feed has %v items: %s", got, feed.Body)
			}
		})
	}
}

func TestBatchesReturnBodiesOnlyWhenAsked(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.create(t, "e", "1", "")
	body := `[{"operationType":"Create","resourceBody":{"id":"2","dep":"e"}},{"operationType":"Read","id":"1"}]`
	answer := s.do(t, call{method: "POST", path: orders, body: body, header: transactional(`["e"]`, "Prefer", "return=minimal")})
	if answer.get(t, 0, "resourceBody") != nil || answer.get(t, 1, "resourceBody", "id") != "1" {
		t.Errorf("bodies: %s", answer.Body)
	}
	if answer.get(t, 0, "eTag") == nil || answer.get(t, 0, "requestCharge") == nil {
		t.Errorf("no tag or charge: %s", answer.Body)
	}
}

func TestBatchesThatMakeNoSenseAreRefusedWhole(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	one := `{"operationType":"Create","resourceBody":{"id":"2","dep":"e"}}`
	for name, row := range map[string]struct {
		body   string
		header map[string]string
		want   int
	}{
		"without a key":                   {"[" + one + "]", map[string]string{"X-Ms-Cosmos-Is-Batch-Request": "True", "X-Ms-Cosmos-Batch-Atomic": "True"}, 400},
		"no operations":                   {"[]", transactional(`["e"]`), 400},
		"more than a hundred":             {"[" + strings.Repeat(one+",", 100) + one + "]", transactional(`["e"]`), 400},
		"an object":                       {one, transactional(`["e"]`), 400},
		"an unknown operation":            {`[{"operationType":"Drop","id":"1"}]`, transactional(`["e"]`), 400},
		"another key inside an operation": {`[{"operationType":"Read","id":"1","partitionKey":"[\"f\"]"}]`, transactional(`["e"]`), 400},
		"a bulk operation without a key":  {"[" + one + "]", map[string]string{"X-Ms-Cosmos-Is-Batch-Request": "True"}, 400},
		"more than 2 MB":                  {"[" + strings.Replace(one, "dep", strings.Repeat("x", 2<<20), 1) + "]", transactional(`["e"]`), 413},
	} {
		if answer := s.do(t, call{method: "POST", path: orders, body: row.body, header: row.header}); answer.Status != row.want {
			t.Errorf("%s: %d, want %d: %.200s", name, answer.Status, row.want, answer.Body)
		}
	}
}

func TestBulkOperationsStandForThemselves(t *testing.T) {
	t.Parallel()
	body := `[{"operationType":"Create","partitionKey":"[\"a\"]","resourceBody":{"id":"1","dep":"a"}},
		{"operationType":"Create","partitionKey":"[\"a\"]","resourceBody":{"id":"1","dep":"a"}},
		{"operationType":"Create","partitionKey":"[\"b\"]","resourceBody":{"id":"1","dep":"b"}},
		{"operationType":"Delete","partitionKey":"[\"b\"]","id":"1"}]`
	for name, row := range map[string]struct {
		proceed string
		want    []any
	}{
		"going on after a failure": {"true", []any{201.0, 409.0, 201.0, 204.0}},
		"stopping at a failure":    {"false", []any{201.0, 409.0, 424.0, 424.0}},
	} {
		s := newStand(t)
		header := map[string]string{
			"X-Ms-Cosmos-Is-Batch-Request": "true", "X-Ms-Cosmos-Batch-Atomic": "false",
			"X-Ms-Cosmos-Batch-Continue-On-Error": row.proceed, "X-Ms-Documentdb-Partitionkeyrangeid": "0",
		}
		answer := s.do(t, call{method: "POST", path: orders, body: body, header: header})
		if answer.Status != http.StatusMultiStatus {
			t.Errorf("%s: status %d", name, answer.Status)
		}
		if diff := cmp.Diff(row.want, statuses(t, answer)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
