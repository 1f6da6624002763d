package emulator_test

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/internal/emulator/hybridrow"
)

// dotnet makes the body of a batch as .NET sends it.
func dotnet(t *testing.T, operations ...hybridrow.Row) string {
	t.Helper()
	for _, operation := range operations {
		operation["resourceType"] = int32(2)
	}
	body, err := hybridrow.AppendStream(nil, hybridrow.BatchOperation(), operations)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// results reads the answer to a batch of .NET: charges, bodies and tags only as far as they are there.
func results(t *testing.T, answer reply) []hybridrow.Row {
	t.Helper()
	rows, err := hybridrow.ReadStream([]byte(answer.Body), hybridrow.BatchResult())
	if err != nil {
		t.Fatalf("%d %q: %v", answer.Status, answer.Body, err)
	}
	for _, row := range rows {
		if charge, ok := row["requestCharge"].(float64); !ok || charge < 0 {
			t.Errorf("no charge: %v", row)
		}
		delete(row, "requestCharge")
		for _, name := range []string{"eTag", "resourceBody"} {
			if row[name] != nil {
				row[name] = true
			}
		}
	}
	return rows
}

func result(status, substatus int32, has ...string) hybridrow.Row {
	row := hybridrow.Row{"statusCode": status, "subStatusCode": substatus}
	for _, name := range has {
		row[name] = true
	}
	return row
}

func TestBatchesOfDotNetAreExecutedAndAnsweredInTheirEncoding(t *testing.T) {
	t.Parallel()
	const create, patch, read, remove, replace, upsert = int32(0), int32(1), int32(2), int32(4), int32(5), int32(20)
	document := func(text string) []byte { return []byte(text) }
	for name, row := range map[string]struct {
		operations []hybridrow.Row
		header     map[string]string
		status     int
		want       []hybridrow.Row
		left       []any
	}{
		"one of each": {
			[]hybridrow.Row{
				{"operationType": create, "resourceBody": document(`{"id":"2","dep":"e"}`)},
				{"operationType": upsert, "resourceBody": document(`{"id":"1","dep":"e","n":2}`), "minimalReturnPreference": true},
				{"operationType": patch, "id": "1", "resourceBody": document(`{"operations":[{"op":"incr","path":"/n","value":1}]}`)},
				{"operationType": read, "id": "1"},
				{"operationType": replace, "id": "2", "resourceBody": document(`{"id":"2","dep":"e","n":9}`)},
				{"operationType": remove, "id": "1"},
			},
			transactional(`["e"]`), 200,
			[]hybridrow.Row{
				result(201, 0, "eTag", "resourceBody"), result(200, 0, "eTag"), result(200, 0, "eTag", "resourceBody"),
				result(200, 0, "eTag", "resourceBody"), result(200, 0, "eTag", "resourceBody"), result(204, 0),
			},
			[]any{"2:9"},
		},
		"a conflict takes all back": {
			[]hybridrow.Row{
				{"operationType": create, "resourceBody": document(`{"id":"2","dep":"e"}`)},
				{"operationType": replace, "id": "1", "resourceBody": document(`{"id":"1","dep":"e"}`), "ifMatch": `"old"`},
			},
			transactional(`["e"]`), 207, []hybridrow.Row{result(424, 0), result(412, 0)}, []any{"1:1"},
		},
		"bulk goes on after a failure": {
			[]hybridrow.Row{
				{"operationType": create, "partitionKey": `["e"]`, "resourceBody": document(`{"id":"1","dep":"e"}`)},
				{"operationType": create, "partitionKey": `["e"]`, "resourceBody": document(`{"id":"2","dep":"f"}`)},
				{"operationType": create, "partitionKey": `["e"]`, "resourceBody": document(`{"id":"3","dep":"e"}`)},
			},
			map[string]string{
				"X-Ms-Cosmos-Is-Batch-Request": "True", "X-Ms-Cosmos-Batch-Atomic": "False", "X-Ms-Cosmos-Batch-Continue-On-Error": "True",
				"X-Ms-Documentdb-Partitionkeyrangeid": "0",
			},
			207, []hybridrow.Row{result(409, 0), result(400, 1001), result(201, 0, "eTag", "resourceBody")}, []any{"1:1", "3:0"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStand(t)
			s.create(t, "e", "1", `,"n":1`)
			answer := s.do(t, call{method: http.MethodPost, path: orders, body: dotnet(t, row.operations...), header: row.header})
			if answer.Status != row.status {
				t.Fatalf("status %d, want %d: %s", answer.Status, row.status, answer.Body)
			}
			if diff := cmp.Diff(row.want, results(t, answer)); diff != "" {
				t.Errorf("results (-want +got):\n%s", diff)
			}
			left := s.do(t, question(orders, "SELECT VALUE CONCAT(c.id, ':', ToString(c.n ?? 0)) FROM c", keyed(`["e"]`)))
			if diff := cmp.Diff(row.left, left.get(t, "Documents")); diff != "" {
				t.Errorf("items afterwards (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBatchesOfDotNetThatMakeNoSenseAreRefusedWhole(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	for name, body := range map[string]string{
		"no stream":              "\x81",
		"no operations":          dotnet(t),
		"an unknown operation":   dotnet(t, hybridrow.Row{"operationType": int32(15), "id": "1"}),
		"no operation":           dotnet(t, hybridrow.Row{"id": "1"}),
		"a binary id":            dotnet(t, hybridrow.Row{"operationType": int32(2), "binaryId": []byte{1}}),
		"a body that is no JSON": dotnet(t, hybridrow.Row{"operationType": int32(0), "resourceBody": []byte("{")}),
		"a key that is no key":   dotnet(t, hybridrow.Row{"operationType": int32(2), "id": "1", "partitionKey": "e"}),
	} {
		answer := s.do(t, call{method: http.MethodPost, path: orders, body: body, header: transactional(`["e"]`)})
		if answer.Status != http.StatusBadRequest || answer.get(t, "message") == nil {
			t.Errorf("%s: %d %s", name, answer.Status, answer.Body)
		}
	}
}
