package cosmos_test

import (
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/cosmos"
	"github.com/cosmosgate/cosmosgate/internal/emulator/hybridrow"
)

// dotnet encodes operations as the .NET SDK does, with a writer that is not the gate's.
func dotnet(t testing.TB, operations ...hybridrow.Row) string {
	t.Helper()

	for _, operation := range operations {
		if _, ok := operation["resourceType"]; !ok {
			operation["resourceType"] = int32(2)
		}
	}

	encoded, err := hybridrow.AppendStream(nil, hybridrow.BatchOperation(), operations)
	if err != nil {
		t.Fatal(err)
	}

	return string(encoded)
}

// does is an operation of a type, with further fields.
func does(code int32, fields ...any) hybridrow.Row {
	row := hybridrow.Row{"operationType": code}
	for i := 0; i < len(fields); i += 2 {
		row[fields[i].(string)] = fields[i+1] //nolint:forcetypeassert // written by this test.
	}

	return row
}

const (
	codeCreate, codePatch, codeRead, codeDelete, codeReplace, codeUpsert = 0, 1, 2, 4, 5, 20
)

func TestEveryOperationOfADotNetBatchNeedsItsAction(t *testing.T) {
	t.Parallel()

	const id, body, key, minimal = "id", "resourceBody", "partitionKey", "minimalReturnPreference"

	document, patch, condition := []byte(`{"id":"1"}`), []byte(anyPatch), []byte(`{"condition":"from c where c.a > 1","operations":[]}`)
	batch := []string{isBatch, isAtomic, "x-ms-cosmos-batch-ordered: True", emea}
	bulk := []string{isBatch, isBulk, "x-ms-cosmos-batch-continue-on-error: True", rangeZero}
	inEMEA := []cosmos.PartitionKey{{`"emea"`}}

	for _, row := range []struct {
		name       string
		headers    []string
		operations []hybridrow.Row
		want       contents
	}{
		{"a create", batch, []hybridrow.Row{does(codeCreate, body, document)}, contents{"items/batch", []string{"items/create"}, inEMEA, false}},
		{
			"a deletion among reads", batch, []hybridrow.Row{does(codeRead, id, "1"), does(codeDelete, id, "2", "ifMatch", "e")},
			contents{"items/batch", []string{"items/read", "items/delete"}, inEMEA, false},
		},
		{
			"one of each", batch,
			[]hybridrow.Row{
				does(codeCreate, body, document, "indexingDirective", "Include"), does(codeUpsert, body, document, id, "1"), does(codeReplace, id, "1", body, document, minimal, true),
				does(codeRead, id, "1", "ifNoneMatch", "*"), does(codeDelete, id, "1"), does(codePatch, id, "1", body, patch, minimal, true),
			},
			contents{"items/batch", []string{"items/create", "items/read", "items/replace", "items/upsert", "items/delete"}, inEMEA, false},
		},
		{
			"a patch returns its item, whatever the request prefers", append(batch, "Prefer: return=minimal"), []hybridrow.Row{does(codePatch, id, "1", body, patch)},
			contents{"items/batch", []string{"items/read", "items/replace"}, inEMEA, false},
		},
		{
			"a patch told to return nothing, which is not counted on", append(batch, "Prefer: return=minimal"), []hybridrow.Row{does(codePatch, id, "1", body, patch, minimal, true)},
			contents{"items/batch", []string{"items/read", "items/replace"}, inEMEA, false},
		},
		{
			"a patch with a condition asks a question", append(batch, "Prefer: return=minimal"), []hybridrow.Row{does(codePatch, id, "1", body, condition, minimal, true)},
			contents{"items/batch", []string{"items/read", "items/replace"}, inEMEA, false},
		},
		{
			"an operation with another key than the header's", batch, []hybridrow.Row{does(codeRead, id, "1", key, `["apac"]`)},
			contents{"items/batch", []string{"items/read"}, []cosmos.PartitionKey{{`"apac"`}, {`"emea"`}}, false},
		},
		{"a batch without a key", []string{isBatch, isAtomic}, []hybridrow.Row{does(codeRead, id, "1")}, contents{"items/batch", []string{"items/read"}, nil, false}},
		{
			"bulk in two partitions", bulk, []hybridrow.Row{does(codeCreate, key, `["emea"]`, body, document), does(codeDelete, key, `["apac"]`, id, "1")},
			contents{"items/bulk", []string{"items/create", "items/delete"}, []cosmos.PartitionKey{{`"emea"`}, {`"apac"`}}, false},
		},
		{
			"bulk with an operation without a key", bulk, []hybridrow.Row{does(codeRead, id, "1", key, `["emea"]`), does(codeRead, id, "2")},
			contents{"items/bulk", []string{"items/read"}, nil, false},
		},
		{"bulk with the key of no partition", bulk, []hybridrow.Row{does(codeRead, id, "1", key, `[]`)}, contents{"items/bulk", []string{"items/read"}, nil, false}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			op := classified(t, sent{http.MethodPost, items, row.headers, dotnet(t, row.operations...)})
			got := contents{op.Type.String(), op.Actions.Names(), op.PartitionKeys, op.ContentActions == cosmos.ReadItem}

			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// stream frames rows that no writer of ours makes.
func stream(rows ...string) string {
	text := "\x81\xf0\xd8\xff\x7f\x01\x0a\x00\x00\x00"

	for _, row := range rows {
		head := binary.LittleEndian.AppendUint32([]byte("\x81\xf1\xd8\xff\x7f"), uint32(len(row)))
		text += string(binary.LittleEndian.AppendUint32(head, crc32.ChecksumIEEE([]byte(row)))) + row
	}

	return text
}

func TestDotNetBatchesThatReadTwoWaysAreRefused(t *testing.T) {
	t.Parallel()

	const (
		schema  = "\x81\x70\x54\xe1\x7f"
		read    = schema + "\x13\x02\x00\x00\x00\x02\x00\x00\x00" + "\x011"
		create  = schema + "\x43\x00\x00\x00\x00\x02\x00\x00\x00"
		segment = "\x81\xf0\xd8\xff\x7f\x01\x0a\x00\x00\x00"
	)

	document := []byte(`{"id":"1"}`)

	if _, err := classify(t, sent{http.MethodPost, items, []string{isBatch, isAtomic, emea}, stream(read)}); err != nil {
		t.Fatalf("the harmless one: %v", err)
	}

	for name, body := range map[string]string{
		"only a version":                     "\x81",
		"no operations":                      stream(),
		"no segment":                         stream(read)[10:],
		"two segments":                       segment + stream(read),
		"a segment between records":          stream(read) + stream(read),
		"a segment with a comment":           "\x81\xf0\xd8\xff\x7f\x01\x0f\x00\x00\x00\x14\x02\x02hi" + stream(read)[10:],
		"a segment that hides its length":    "\x81\xf0\xd8\xff\x7f\x00\x0a\x00\x00\x00" + stream(read)[10:],
		"a segment that is longer":           "\x81\xf0\xd8\xff\x7f\x01\x0b\x00\x00\x00" + stream(read)[10:],
		"a damaged record":                   strings.Replace(stream(read), "\x011", "\x012", 1),
		"a record that ends early":           stream(read)[:len(stream(read))-1],
		"a record of 4 GiB":                  segment + "\x81\xf1\xd8\xff\x7f\xff\xff\xff\xff\x00\x00\x00\x00",
		"trailing data":                      stream(read) + "x",
		"JSON after it":                      stream(read) + `[{"operationType":"Delete","id":"1"}]`,
		"a row of another version":           stream("\x80" + read[1:]),
		"a result in place of an operation":  stream("\x81\x71\x54\xe1\x7f\x03\xc8\x00\x00\x00\x00\x00\x00\x00"),
		"an empty row":                       stream(""),
		"a row that ends within its fields":  stream(read[:10]),
		"an unknown presence bit":            stream(schema + "\x93" + read[6:]),
		"no operation type":                  stream(schema + "\x12" + read[6:]),
		"no resource type":                   stream(schema + "\x11" + read[6:]),
		"an effective partition key":         dotnet(t, does(codeRead, "id", "1", "effectivePartitionKey", []byte{1})),
		"a binary id":                        dotnet(t, does(codeRead, "id", "1", "binaryId", []byte{1})),
		"a time to live":                     dotnet(t, does(codeCreate, "resourceBody", document, "timeToLiveInSeconds", int32(1))),
		"a stored procedure":                 dotnet(t, does(codeRead, "id", "1", "resourceType", int32(109))),
		"a query":                            dotnet(t, does(15, "id", "1")),
		"an operation type below zero":       dotnet(t, does(-1, "id", "1")),
		"a read without an id":               dotnet(t, does(codeRead)),
		"a read with a body":                 dotnet(t, does(codeRead, "id", "1", "resourceBody", document)),
		"a create without a body":            dotnet(t, does(codeCreate, "id", "1")),
		"a replacement without an id":        dotnet(t, does(codeReplace, "resourceBody", document)),
		"a patch without a body":             dotnet(t, does(codePatch, "id", "1")),
		"a patch of unknown operations":      dotnet(t, does(codePatch, "id", "1", "resourceBody", []byte(`[{"op":"test","path":"/a"}]`))),
		"a patch with two conditions":        dotnet(t, does(codePatch, "id", "1", "resourceBody", []byte(`{"operations":[],"condition":"a","condition":"b"}`))),
		"a body that is no JSON":             dotnet(t, does(codeCreate, "resourceBody", []byte(`{"id":}`))),
		"a body in CosmosBinary":             dotnet(t, does(codeCreate, "resourceBody", []byte("\x80{}"))),
		"a body and more":                    dotnet(t, does(codeCreate, "resourceBody", []byte(`{} {}`))),
		"a key that is no key":               dotnet(t, does(codeRead, "id", "1", "partitionKey", "emea")),
		"an id that is not UTF-8":            dotnet(t, does(codeRead, "id", "\xff")),
		"a length in more bytes than needed": stream(read[:len(read)-2] + "\x81\x001"),
		"a length beyond 64 bits":            stream(read[:len(read)-2] + strings.Repeat("\xff", 10) + "\x011"),
		"a sparse operation type":            stream(read + "\x07\x01\x04\x00\x00\x00"),
		"a sparse id":                        stream(read + "\x14\x05\x012"),
		"a path in letters":                  stream(read + "\x14\x14ifMatch\x01e"),
		"the empty path":                     stream(read + "\x14\x00\x01e"),
		"a condition of another type":        stream(read + "\x15\x09\x01e"),
		"a condition twice":                  stream(read + "\x14\x09\x01e\x14\x09\x01f"),
		"a preference that is null":          stream(read + "\x01\x0c"),
		"an array":                           stream(read + "\x20\x09\x46"),
		"a field that ends early":            stream(read + "\x14"),
		"a body within the fixed fields":     stream(create),
		"101 operations":                     stream(slices.Repeat([]string{read}, 101)...),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			for _, headers := range [][]string{{isBatch, isAtomic, emea}, {isBatch, isBulk, rangeZero}} {
				_, err := classify(t, sent{http.MethodPost, items, headers, body})
				if got := nativeError(t, err).Status; got != http.StatusBadRequest {
					t.Errorf("got status %d, want 400", got)
				}
			}
		})
	}
}

// FuzzHybridRow holds the gate's strict reader against the stand-in's lenient one, which shares nothing with it: what the gate accepts must hold
// exactly the operations, bodies and keys that the other one finds.
func FuzzHybridRow(f *testing.F) {
	document := []byte(`{"id":"1"}`)
	f.Add([]byte(dotnet(f, does(codeCreate, "resourceBody", document), does(codeDelete, "id", "1", "ifMatch", "e"))))
	f.Add([]byte(dotnet(f, does(codePatch, "id", "1", "resourceBody", []byte(anyPatch), "minimalReturnPreference", true, "partitionKey", `["emea"]`))))
	f.Add([]byte(dotnet(f, does(codeUpsert, "id", "1", "resourceBody", document), does(codeRead, "id", "1"), does(codeReplace, "id", "1", "resourceBody", document))))
	f.Add([]byte(stream("\x81\x70\x54\xe1\x7f\x13\x02\x00\x00\x00\x02\x00\x00\x00\x011\x14\x05\x012")))
	f.Add([]byte("\x81\xf0\xd8\xff\x7f"))

	f.Fuzz(func(t *testing.T, raw []byte) {
		body := string(hybridrow.Mend(raw))
		if !strings.HasPrefix(body, "\x81") {
			return
		}

		op, err := classify(t, sent{http.MethodPost, items, []string{isBatch, isBulk}, body})
		if err != nil {
			nativeError(t, err)

			return
		}

		rows, err := hybridrow.ReadStream([]byte(body), hybridrow.BatchOperation())
		if err != nil {
			t.Fatalf("accepted what the stand-in refuses: %v", err)
		}

		checkRows(t, op, rows)
	})
}

func checkRows(t *testing.T, op *cosmos.Operation, rows []hybridrow.Row) {
	t.Helper()

	verbs := map[int32]cosmos.Actions{
		codeCreate: cosmos.CreateItem, codePatch: cosmos.ReplaceItem, codeRead: cosmos.ReadItem, codeDelete: cosmos.DeleteItem,
		codeReplace: cosmos.ReplaceItem, codeUpsert: cosmos.UpsertItem,
	}
	want, keys, allKeyed := cosmos.Actions(0), map[string]bool{}, true

	for _, row := range rows {
		code, _ := row["operationType"].(int32)

		action, known := verbs[code]
		if !known || row["resourceType"] != int32(2) || row["binaryId"] != nil || row["effectivePartitionKey"] != nil {
			t.Fatalf("accepted %v", row)
		}

		want |= action

		body, _ := row["resourceBody"].([]byte)
		if code == codePatch {
			want |= cosmos.ReadItem
		}

		if body != nil && !json.Valid(body) {
			t.Fatalf("accepted the body %q", body)
		}

		text, keyed := row["partitionKey"].(string)
		allKeyed = allKeyed && keyed

		if key, err := cosmos.ParsePartitionKey(text); keyed && err == nil {
			keys[key.Header()] = true
		}
	}

	if diff := cmp.Diff(want.Names(), op.Actions.Names()); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}

	if len(op.PartitionKeys) == 0 {
		return
	}

	if !allKeyed {
		t.Fatal("confined although an operation names no key")
	}

	for _, key := range op.PartitionKeys {
		delete(keys, key.Header())
	}

	if left := slices.Collect(maps.Keys(keys)); len(left) > 0 {
		t.Fatalf("keys not decided on: %v", left)
	}
}
