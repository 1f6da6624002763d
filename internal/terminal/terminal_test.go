package terminal_test

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/cosmosgate/cosmosgate/internal/terminal"
)

// TestDocumentsAreWrittenAsTheirFormatSays runs testdata/documents.txtar: pages of documents, then what is written.
func TestDocumentsAreWrittenAsTheirFormatSays(t *testing.T) {
	t.Parallel()
	archive, err := txtar.ParseFile("testdata/documents.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range archive.Files {
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			format, _, _ := strings.Cut(f.Name, ":")
			input, want, _ := strings.Cut(string(f.Data), "---\n")
			o := terminal.Options{Format: terminal.Format(format), MaxCell: 24}
			if first, rest, ok := strings.Cut(input, "\n"); ok && strings.HasPrefix(first, "columns ") {
				o.Columns, input = strings.Split(strings.TrimPrefix(first, "columns "), ","), rest
			}
			var got strings.Builder
			d, err := terminal.NewDocuments(&got, o)
			if err != nil {
				t.Fatal(err)
			}
			for page := range strings.SplitSeq(input, "\n\n") {
				var batch [][]byte
				for line := range strings.Lines(strings.TrimSpace(page)) {
					batch = append(batch, []byte(strings.TrimSpace(line)))
				}
				if err := d.Add(batch); err != nil {
					t.Fatal(err)
				}
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			if d.Missed() {
				got.WriteString("(missed)\n")
			}
			if diff := cmp.Diff(want, got.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("pipe is closed") }

func TestAWriterThatFailsIsToldEveryTime(t *testing.T) {
	t.Parallel()
	for _, format := range []terminal.Format{terminal.Table, terminal.JSON, terminal.Lines, terminal.CSV} {
		d, err := terminal.NewDocuments(broken{}, terminal.Options{Format: format})
		if err != nil {
			t.Fatal(err)
		}
		err = d.Add([][]byte{[]byte(`{"id":"1"}`)})
		if err = errors.Join(err, d.Close()); err == nil || !strings.Contains(err.Error(), "pipe is closed") {
			t.Errorf("%s: error %v", format, err)
		}
	}
	if _, err := terminal.NewDocuments(broken{}, terminal.Options{Format: "xml"}); err == nil {
		t.Error("xml is accepted")
	}
}

func TestProgressSpeaksOnlyOfWhatTakesLong(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	var got strings.Builder
	p := terminal.NewProgress(&got, func() time.Time { return now })
	for i := range 25 {
		p.Report(i*100, float64(i)*1.5)
		now = now.Add(time.Second)
	}
	p.Done()
	if diff := cmp.Diff("1000 items, 15.00 RU so far\n2000 items, 30.00 RU so far\n", got.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestColoursAreForTerminalsOnly(t *testing.T) {
	t.Parallel()
	var w strings.Builder
	if got := terminal.Paint(&w, terminal.Red, "no"); got != "no" {
		t.Errorf("got %q", got)
	}
}

func FuzzDocuments(f *testing.F) {
	f.Add(`{"id":"1","a":"=1+1"}`, "csv")
	f.Add("\"\u009b2J\"", "table")
	f.Add(`[1,{"a":"\u001b[2J"}]`, "jsonl")
	f.Fuzz(func(t *testing.T, document, format string) {
		if !json.Valid([]byte(document)) || !utf8.ValidString(document) {
			return
		}
		var got strings.Builder
		d, err := terminal.NewDocuments(&got, terminal.Options{Format: terminal.Format(format), MaxCell: 20})
		if err != nil {
			return
		}
		if err := errors.Join(d.Add([][]byte{[]byte(document)}), d.Close()); err != nil {
			t.Fatalf("%s: %v", document, err)
		}
		if format != "csv" && strings.ContainsFunc(got.String(), func(r rune) bool { return r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 }) {
			t.Errorf("%q moves the cursor: %q", document, got.String())
		}
		if format == "csv" {
			if _, err := csv.NewReader(strings.NewReader(got.String())).ReadAll(); err != nil {
				t.Errorf("%q: %v: %q", document, err, got.String())
			}
		}
	})
}
