package hybridrow_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/internal/emulator/hybridrow"
)

// unhex reads bytes written for people: spaces and what follows a semicolon do not count.
func unhex(t testing.TB, text string) []byte {
	t.Helper()
	var digits strings.Builder
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, ";")
		digits.WriteString(strings.Join(strings.Fields(line), ""))
	}
	raw, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

const (
	// batchOfTwo follows the format's grammar by hand: what the .NET SDK writes for a create and a conditional replace.
	batchOfTwo = `
		81 F0D8FF7F 01 0A000000              ; segment: its length is 10
		81 F1D8FF7F 10000000 F8DBC0A0        ; record: 16 bytes, CRC-32
		81 7054E17F 43 00000000 02000000     ; operationType 0 (create) and resourceType 2, and a resourceBody
		   01 37                             ; "7", one byte
		81 F1D8FF7F 23000000 080C3FAF        ; record: 35 bytes
		81 7054E17F 57 05000000 02000000     ; operationType 5 (replace), partitionKey, id and resourceBody
		   05 5B2270225D                     ; ["p"]
		   03 696432                         ; id2
		   02 7B7D                           ; {}
		   14 09 03 226522                   ; sparse text, path 9 (ifMatch): "e"
		   02 0C                             ; sparse false, path 12 (minimalReturnPreference)
	`
	resultsOfTwo = `
		81 F0D8FF7F 01 0A000000
		81 F1D8FF7F 18000000 AA5F231A
		81 7154E17F 03 99010000 00000000     ; 409/0
		   10 06 000000000000F03F            ; sparse double, path 6 (requestCharge): 1
		81 F1D8FF7F 1F000000 693AD8D4
		81 7154E17F 0F C8000000 00000000     ; 200/0 with eTag and resourceBody
		   03 226522
		   02 7B7D
		   10 06 0000000000000440            ; 2.5
	`
)

func operations() []hybridrow.Row {
	return []hybridrow.Row{
		{"operationType": int32(0), "resourceType": int32(2), "resourceBody": []byte("7")},
		{
			"operationType": int32(5), "resourceType": int32(2), "partitionKey": `["p"]`, "id": "id2", "resourceBody": []byte("{}"),
			"ifMatch": `"e"`, "minimalReturnPreference": false,
		},
	}
}

func results() []hybridrow.Row {
	return []hybridrow.Row{
		{"statusCode": int32(409), "subStatusCode": int32(0), "requestCharge": 1.0},
		{"statusCode": int32(200), "subStatusCode": int32(0), "eTag": `"e"`, "resourceBody": []byte("{}"), "requestCharge": 2.5},
	}
}

func TestStreamsAreWhatTheGrammarSays(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, encoded string
		layout        hybridrow.Layout
		rows          []hybridrow.Row
	}{
		{"operations", batchOfTwo, hybridrow.BatchOperation(), operations()},
		{"results", resultsOfTwo, hybridrow.BatchResult(), results()},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			encoded := unhex(t, row.encoded)
			read, err := hybridrow.ReadStream(encoded, row.layout)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(row.rows, read); diff != "" {
				t.Errorf("read (-want +got):\n%s", diff)
			}
			written, err := hybridrow.AppendStream(nil, row.layout, row.rows)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(hex.EncodeToString(encoded), hex.EncodeToString(written)); diff != "" {
				t.Errorf("written (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatTheLibraryAcceptsIsRead(t *testing.T) {
	t.Parallel()
	for name, encoded := range map[string]string{
		"a segment with a comment":       "81F0D8FF7F 01 0F000000 14 02 02 6869",
		"two segments":                   "81F0D8FF7F 01 0A000000 81F0D8FF7F 01 0A000000",
		"nothing":                        "",
		"a path in letters, type binary": "81F0D8FF7F 01 10000000 15 06 6D61 01 FF",
	} {
		if rows, err := hybridrow.ReadStream(unhex(t, encoded), hybridrow.BatchOperation()); err != nil || len(rows) != 0 {
			t.Errorf("%s: %v, %v", name, rows, err)
		}
	}
	row, err := hybridrow.BatchOperation().Read(unhex(t, "817054E17F 03 04000000 02000000 14 0F 6964 01 78 14 0A 01 79 14 0A 01 7A"))
	want := hybridrow.Row{"operationType": int32(4), "resourceType": int32(2), "id": "x", "ifNoneMatch": "z"}
	if diff := cmp.Diff(want, row); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestMalformedStreamsAreRefused(t *testing.T) {
	t.Parallel()
	whole := unhex(t, batchOfTwo)
	for length := 1; length < len(whole); length++ {
		rows, err := hybridrow.ReadStream(whole[:length], hybridrow.BatchOperation())
		if boundary := length == 10 || length == 39; boundary != (err == nil) {
			t.Errorf("the first %d bytes: %v, %v", length, rows, err)
		}
	}
	for name, encoded := range map[string]string{
		"no segment":              "81F1D8FF7F 00000000 00000000",
		"another version":         "80F0D8FF7F 01 0A000000",
		"a row of another schema": "81F0D8FF7F 01 0A000000 81F1D8FF7F 05000000 5A0918F2 8101000000",
		"a segment of 2 GiB":      "81F0D8FF7F 01 FFFFFF7F",
		"a record of -1 bytes":    "81F0D8FF7F 01 0A000000 81F1D8FF7F FFFFFFFF 00000000",
		"a damaged record":        "81F0D8FF7F 01 0A000000 81F1D8FF7F 01000000 00000000 41",
		"an unknown type":         "81F0D8FF7F 01 0A000000 20 02",
	} {
		if _, err := hybridrow.ReadStream(unhex(t, encoded), hybridrow.BatchOperation()); !errors.Is(err, hybridrow.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := hybridrow.BatchResult().Append(nil, hybridrow.Row{"statusCode": "201"}); err == nil {
		t.Error("a text was written as a number")
	}
}

// FuzzReadStream checks that whatever is read is written again so that it reads the same, and that memory stays in proportion.
func FuzzReadStream(f *testing.F) {
	f.Add(unhex(f, batchOfTwo))
	f.Add(unhex(f, "81F0D8FF7F 01 0F000000 14 02 02 6869"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		layout := hybridrow.BatchOperation()
		rows, err := hybridrow.ReadStream(stream, layout)
		if err != nil {
			return
		}
		for _, row := range rows {
			for path, value := range row {
				if !typed(layout, path, value) {
					return // a sparse field whose path is another column's, or nobody's: nothing that this package writes
				}
			}
		}
		again, err := hybridrow.AppendStream(nil, layout, rows)
		if err != nil {
			t.Fatal(err)
		}
		second, err := hybridrow.ReadStream(again, layout)
		if err != nil {
			t.Fatal(err)
		}
		if !cmp.Equal(rows, second) || len(again) > len(stream)+10 && bytes.Count(stream, []byte{0x81}) < 1 {
			t.Fatalf("(-first +second)\n%s", cmp.Diff(rows, second))
		}
	})
}

// typed says whether a value is one of its column's own type.
func typed(layout hybridrow.Layout, path string, value any) bool {
	for _, column := range layout.Columns {
		if column.Path != path {
			continue
		}
		_, err := hybridrow.Layout{Schema: 1, Columns: []hybridrow.Column{column}}.Append(nil, hybridrow.Row{path: value})
		return err == nil
	}
	return false
}
