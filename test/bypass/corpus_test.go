package bypass_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/internal/emulator/hybridrow"
	"github.com/cosmosgate/cosmosgate/internal/sighting"
)

// class is a file of the corpus: attempts of one kind.
type class struct {
	Class string
	// Twin is the legitimate request that must pass after each attempt of the class that names no other.
	Twin exchange
	Rows []row
}

// row is one attempt to get round the gate.
type row struct {
	Name     string
	exchange `yaml:",inline"`
	// Answer is what upstream says, as raw bytes, in place of a document.
	Answer string
	Twin   *exchange
}

// exchange is what a caller sends, and everything that may come of it.
type exchange struct {
	// Who signs: ann, bob, olga, dan, eve, una, checkout, rogue, or nobody.
	Who string
	// HTTP is a request without the headers every SDK sends; Raw is every byte; H2 is an HTTP/2 request. One of them.
	HTTP, Raw, H2 string
	// Frames says how H2 is cut into frames: "", "continuation", "flood", "trailers".
	Frames string
	// Cut: nothing follows, and the sender closes its half of the connection.
	Cut bool
	// Want are the answers: "403/5302", "200", or "closed" for a connection or stream that ends without one.
	Want texts
	// Upstream are the requests that may arrive there, as upstream understands them. Nothing, if empty.
	Upstream texts
	// Record are the audit records: decision and operation, "-" where none could be told; "none" if there is no record.
	Record texts
	// Reply is a text that the last answer must hold.
	Reply string
}

// texts is a list that YAML may write as one string.
type texts []string

// UnmarshalYAML implements yaml.Unmarshaler.
func (s *texts) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		*s = texts{node.Value}
		return nil
	}
	return node.Decode((*[]string)(s))
}

func readCorpus(t testing.TB) []class {
	t.Helper()
	files, err := filepath.Glob("corpus/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	var classes []class
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		decoder := yaml.NewDecoder(bytes.NewReader(text))
		decoder.KnownFields(true)
		var c class
		if err := decoder.Decode(&c); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		classes = append(classes, c)
	}
	return classes
}

// TestNothingGetsRoundTheGate plays the corpus. Each attempt is followed by its twin, a
// legitimate request that must pass.
func TestNothingGetsRoundTheGate(t *testing.T) {
	t.Parallel()
	const fewest = 150
	w := newWorld(t)
	rows := 0
	names := map[string]bool{}
	for _, c := range readCorpus(t) {
		rows += len(c.Rows)
		for i := range c.Rows {
			r := &c.Rows[i]
			name := c.Class + "/" + r.Name
			if names[name] {
				t.Errorf("two rows are called %q", name)
			}
			names[name] = true
			//nolint:paralleltest // one gate, whose records and requests are counted.
			t.Run(name, func(t *testing.T) {
				if r.Answer != "" {
					w.upstream.script(w.render(t, &r.exchange, r.Answer))
				}
				w.play(t, &r.exchange)
				w.upstream.script(nil)
				twin := &c.Twin
				if r.Twin != nil {
					twin = r.Twin
				}
				if len(twin.Want) != 1 || !strings.HasPrefix(twin.Want[0], "2") {
					t.Fatal("the twin is no legitimate request")
				}
				w.play(t, twin)
			})
		}
	}
	if rows < fewest {
		t.Errorf("the corpus has %d rows, fewer than %d", rows, fewest)
	}
	t.Logf("%d rows", rows)
	written := w.written(t)
	for name, token := range w.tokens {
		if strings.Contains(written, token) {
			t.Errorf("the token %q was logged or recorded", name)
		}
	}
	if strings.Contains(written, "upstream-token") {
		t.Error("an upstream token was logged or recorded")
	}
}

// play sends what an exchange says and holds everything that comes of it against it.
func (w *world) play(t *testing.T, x *exchange) {
	t.Helper()
	var replies []reply
	if x.H2 != "" {
		replies = w.sendH2(t, x)
	} else {
		replies = w.sendH1(t, x)
	}
	var got []string
	for i := range replies {
		got = append(got, replies[i].outcome())
		if err := replies[i].native(); err != nil {
			t.Errorf("answer %d, %s: %v", i, replies[i].outcome(), err)
		}
		if err := w.leaks(replies[i].text()); err != nil {
			t.Errorf("answer %d: %v:\n%s", i, err, replies[i].text())
		}
	}
	if diff := cmp.Diff([]string(x.Want), got); diff != "" {
		t.Errorf("answers (-want +got):\n%s\n%s", diff, lastText(replies))
	}
	if expected := string(w.render(t, x, x.Reply)); !strings.Contains(lastText(replies), expected) {
		t.Errorf("answer without %q:\n%s", x.Reply, lastText(replies))
	}
	want := x.Record
	if len(want) == 1 && want[0] == "none" {
		want = nil
	}
	records := w.recorded(len(want))
	seen := w.upstream.take(len(x.Upstream))
	compare(t, "records", want, records, summary)
	compare(t, "arrived upstream", x.Upstream, seen, func(s *sighting.Sighting) string { return s.String() })
	for _, complaint := range w.disagreements(records, seen) {
		t.Error(complaint)
	}
}

func compare[T any](t *testing.T, what string, want []string, got []T, say func(*T) string) {
	t.Helper()
	said := []string{}
	for i := range got {
		said = append(said, say(&got[i]))
	}
	if diff := cmp.Diff(append([]string{}, want...), said); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func lastText(replies []reply) string {
	if len(replies) == 0 {
		return ""
	}
	return replies[len(replies)-1].text()
}

func summary(r *audit.Record) string {
	operation := r.Operation
	if operation == "" {
		operation = "-"
	}
	return string(r.Decision) + " " + operation
}

// disagreements is the differential oracle: whatever was sent or not, the records and
// what upstream understood must tell the same story.
func (w *world) disagreements(records []audit.Record, seen []sighting.Sighting) []string {
	var faults []string
	// A body that the caller never finished leaves upstream with a request it cannot carry out.
	seen = slices.DeleteFunc(slices.Clone(seen), func(s sighting.Sighting) bool { return slices.Contains(s.Notes, "body broke off") })
	sent := 0
	for i := range records {
		r := &records[i]
		if r.UpstreamStatus == 0 && r.Decision != audit.Allow {
			continue
		}
		if r.Outcome == audit.Answered || r.UpstreamStatus == 0 && (r.Outcome == audit.ClientAbort || r.Outcome == audit.RequestBroken) {
			continue
		}
		if r.Decision != audit.Allow {
			faults = append(faults, fmt.Sprintf("%s was recorded and reached upstream", summary(r)))
		}
		if sent < len(seen) {
			faults = append(faults, differences(r, &seen[sent])...)
		}
		sent++
	}
	if sent != len(seen) {
		faults = append(faults, fmt.Sprintf("%d records say that something was sent, %d requests arrived", sent, len(seen)))
	}
	return faults
}

// differences between what the gate decided on and what upstream took it for.
func differences(r *audit.Record, s *sighting.Sighting) []string {
	var faults []string
	differ := func(what, decided, understood string) {
		if decided != understood {
			faults = append(faults, fmt.Sprintf("%s: the gate decided on %q, upstream understood %q", what, decided, understood))
		}
	}
	resource := r.Database
	if r.Container != "" {
		resource += "/" + r.Container
	}
	differ("operation", r.Operation, s.Operation)
	differ("resource", resource, s.Resource)
	differ("item", r.Item, s.ID)
	differ("notes", "", strings.Join(s.Notes, ", "))
	differ("activity id", r.ActivityID, s.Header.Get("X-Ms-Activity-Id"))
	if want := secretHost; s.Host != want {
		differ("account", want, s.Host)
	}
	if !strings.HasSuffix(s.Header.Get("Authorization"), "upstream-token-of-"+r.Identity) {
		differ("identity", r.Identity, s.Header.Get("Authorization"))
	}
	// A request that the gate takes for confined to keys carries one of them, and nothing wider.
	if len(r.PartitionKeys) > 0 && s.Operation != "items/bulk" && s.Operation != "items/batch" {
		var decided []any
		_ = json.Unmarshal([]byte("["+strings.Join(r.PartitionKeys[0], ",")+"]"), &decided)
		canonical, _ := json.Marshal(decided)
		if len(canonical) <= 300 {
			differ("partition key", string(canonical), s.Key)
		}
		if s.Ranged || len(r.PartitionKeys) > 1 {
			faults = append(faults, "the gate took a range for a partition")
		}
	}
	// Every operation of a batch is among the recorded actions.
	for _, verb := range s.Verbs {
		action := map[string]string{
			"Create": "items/create", "Read": "items/read", "Replace": "items/replace", "Upsert": "items/upsert",
			"Delete": "items/delete", "Patch": "items/replace",
		}[verb]
		if action == "" || !strings.Contains(strings.Join(r.Actions, " ")+" ", action+" ") {
			faults = append(faults, fmt.Sprintf("the batch holds %q, recorded are %v", verb, r.Actions))
		}
	}
	return faults
}

var (
	hexBytes = regexp.MustCompile(`<((?:[0-9A-F]{2})+)>`)
	repeated = regexp.MustCompile(`<([^<>*]+)\*(\d+)>`)
	token    = regexp.MustCompile(`<token:([a-z0-9-]+)>`)
	ridOf    = regexp.MustCompile(`<rid:([a-z/]+)>`)
	dotnet   = regexp.MustCompile(`<dotnet:([^<>]+)>`)
)

// render turns the text of a row into bytes: lines end in CR LF; <0D0A> are bytes,
// <x*9> is a repetition, <token:bob> a token, <rid:shop> a resource id, and <dotnet:[…]> the
// operations of a JSON batch as .NET encodes them.
func (w *world) render(t testing.TB, x *exchange, text string) []byte {
	t.Helper()
	return unhex(t, w.fill(t, x, text))
}

// fill does as render, but for the bytes.
func (w *world) fill(t testing.TB, x *exchange, text string) []byte {
	t.Helper()
	text = strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\r\n")
	text = strings.ReplaceAll(text, "<auth>", "type=aad&ver=1.0&sig="+w.tokens[x.Who])
	text = token.ReplaceAllStringFunc(text, func(found string) string {
		name := token.FindStringSubmatch(found)[1]
		if w.tokens[name] == "" {
			t.Fatalf("no token %q", name)
		}
		return w.tokens[name]
	})
	text = ridOf.ReplaceAllStringFunc(text, func(found string) string {
		id := rids()[ridOf.FindStringSubmatch(found)[1]]
		if id == "" {
			t.Fatalf("no resource %q", found)
		}
		return id
	})
	text = repeated.ReplaceAllStringFunc(text, func(found string) string {
		parts := repeated.FindStringSubmatch(found)
		n, err := strconv.Atoi(parts[2])
		if err != nil {
			t.Fatal(err)
		}
		return strings.Repeat(parts[1], n)
	})
	return dotnet.ReplaceAllFunc([]byte(text), func(found []byte) []byte { return encodeRows(t, dotnet.FindSubmatch(found)[1]) })
}

// encodeRows turns a JSON batch into what .NET sends.
func encodeRows(t testing.TB, batch []byte) []byte {
	t.Helper()
	var operations []map[string]json.RawMessage
	if err := json.Unmarshal(batch, &operations); err != nil {
		t.Fatalf("%s: %v", batch, err)
	}
	rows := []hybridrow.Row{}
	for _, operation := range operations {
		row := hybridrow.Row{"resourceType": int32(2)}
		for name, value := range operation {
			text := strings.Trim(string(value), `"`)
			switch name {
			case "operationType":
				for code, verb := range sighting.DotNetVerbs() {
					if verb == text {
						row[name] = code
					}
				}
			case "resourceBody", "binaryId", "effectivePartitionKey":
				row[name] = []byte(value)
			case "resourceType":
				row[name] = int32(value[0] - '0')
			case "minimalReturnPreference":
				row[name] = text == "true"
			default:
				if err := json.Unmarshal(value, &text); err != nil {
					t.Fatal(err)
				}
				row[name] = text
			}
		}
		rows = append(rows, row)
	}
	encoded, err := hybridrow.AppendStream(nil, hybridrow.BatchOperation(), rows)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

// unhex writes <0D0A> as the bytes it stands for.
func unhex(t testing.TB, text []byte) []byte {
	t.Helper()
	return hexBytes.ReplaceAllFunc(text, func(found []byte) []byte {
		decoded, err := hex.DecodeString(string(found[1 : len(found)-1]))
		if err != nil {
			t.Fatal(err)
		}
		return decoded
	})
}
