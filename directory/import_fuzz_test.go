package directory_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/cosmosgate/cosmosgate/directory"
)

// FuzzImport holds the check of an import against the import itself: what the check lets through is taken whole, and comes out again.
func FuzzImport(f *testing.F) {
	const (
		ann = `{"kind":"user","id":"019aa000-0000-7000-8000-000000000001","connection":"c","userName":"ann","externalId":"x","active":true}`
		all = `{"kind":"group","id":"019aa000-0000-7000-8000-000000000002","connection":"c","displayName":"all"}`
		in  = `{"kind":"members","id":"019aa000-0000-7000-8000-000000000002","connection":"c","members":["019aa000-0000-7000-8000-000000000001"]}`
	)
	for _, seed := range []string{
		"", ann, ann + "\n" + all + "\n" + in, ann + "\n" + strings.ToUpper(ann), all + "\n" + in,
		ann + "\n" + strings.Replace(ann, "019aa000", "019AA000", 1),
		ann + "\n" + all + "\n" + strings.Replace(in, `["019aa000`, `["019AA000`, 1),
		ann + "\n" + `{"kind":"lock","subject":"user","id":"019aa000-0000-7000-8000-000000000001"}`,
		`{"kind":"entry","class":"a","id":"b","value":"AA=="}`, `{"kind":"token","id":"t","connection":"c","hash":"` + strings.Repeat("00", 32) + `"}`,
		`{"kind":"lock","subject":"agent","id":"a","expires":"2027-01-01T00:00:00Z"}`, ann + ann, "{}\n\nx",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, lines string) {
		if directory.CheckImport(strings.NewReader(lines)) != nil {
			return
		}
		h := fresh(t)
		if err := h.Import(t.Context(), strings.NewReader(lines)); err != nil {
			t.Fatalf("checked and yet refused: %v\n%s", err, lines)
		}
		var out bytes.Buffer
		if err := h.Export(&out); err != nil {
			t.Fatal(err)
		}
		if err := directory.CheckImport(bytes.NewReader(out.Bytes())); err != nil {
			t.Errorf("what came out is faulty: %v\n%s\n%s", err, lines, out.String())
		}
	})
}
