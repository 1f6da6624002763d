package audit_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/audit"
)

// full is a record in which every member is set.
func full() audit.Record {
	return audit.Record{
		Event: audit.Admin, Time: time.Date(2026, 11, 24, 13, 10, 37, 123456789, time.FixedZone("CET", 3600)),
		DecisionID: "d-1", ActivityID: "a-1",
		Principal: audit.Principal{
			Kind: "agent", Issuer: "https://idp.example", Subject: "s-1", Record: "r-1", UserName: "ann@example.com", Application: "checkout",
		},
		Actors:     []audit.Actor{{Issuer: "https://sts.example", Subject: "s-2", Name: "helper"}},
		Credential: audit.Credential{Method: "sts", TokenID: "j-1"},
		Client:     "cosmosgate-cli", Source: "192.0.2.7", UserAgent: "azsdk-go-azcosmos/1.5.0",
		Method: "GET", Operation: "ReadItem", Actions: []string{"items/read"},
		Account: "dev", Database: "shop", Container: "orders", PartitionKeys: [][]string{{`"emea"`, `12`}}, Item: "order-1", Target: "user 0199",
		Token: audit.Token{
			Grant: "client_credentials", ClientMethod: "workload", TokenID: "t-1", KeyID: "k-1", Audience: "https://gate", Scope: "cosmos.read",
			Bound: "tp", Expires: time.Date(2026, 11, 24, 12, 20, 37, 0, time.UTC),
		},
		Decision: audit.Allow, Reason: "granted", Detail: "by group", Role: "orders-reader", Identity: "mi-reader",
		PolicyHash: "p-1", Policies: []string{"orders.yaml:3"},
		Status: 200, Substatus: 1002, UpstreamStatus: 200, RequestCharge: 2.83, BytesIn: 10, BytesOut: 900, Outcome: audit.Complete,
		Duration: 2500 * time.Microsecond, GateDuration: 300 * time.Microsecond, UpstreamDuration: 2200 * time.Microsecond,
	}
}

func TestRecordsHaveTheDocumentedForm(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		record audit.Record
		want   string
	}{
		"every member": {full(), `{"v":1,"event":"admin","ts":"2026-11-24T12:10:37.123456Z","decision_id":"d-1","activity_id":"a-1",` +
			`"principal":{"kind":"agent","issuer":"https://idp.example","subject":"s-1","record":"r-1",` +
			`"user_name":"ann@example.com","application":"checkout"},` +
			`"actors":[{"issuer":"https://sts.example","subject":"s-2","name":"helper"}],` +
			`"credential":{"method":"sts","token_id":"j-1"},"client":"cosmosgate-cli","source":"192.0.2.7",` +
			`"user_agent":"azsdk-go-azcosmos/1.5.0","method":"GET","operation":"ReadItem","actions":["items/read"],` +
			`"account":"dev","database":"shop","container":"orders",` +
			`"partition_keys":["sha256:ff8a49088f74004d749b1db542b89af7"],"item":"sha256:0bafe22156d2698c143b86040446d366","target":"user 0199",` +
			`"token":{"grant":"client_credentials","client_method":"workload","id":"t-1","key_id":"k-1","audience":"https://gate",` +
			`"scope":"cosmos.read","bound":"tp","expires":"2026-11-24T12:20:37.000000Z"},` +
			`"decision":"allow","reason":"granted","detail":"by group","role":"orders-reader","identity":"mi-reader",` +
			`"policy_hash":"p-1","policies":["orders.yaml:3"],"status":200,"substatus":1002,"upstream_status":200,` +
			`"request_charge":2.83,"bytes_in":10,"bytes_out":900,"outcome":"complete",` +
			`"duration_us":2500,"gate_us":300,"upstream_us":2200}`},
		"the zero record claims neither a decision nor an end": {audit.Record{}, `{"v":1,"ts":"0001-01-01T00:00:00.000000Z",` +
			`"decision":"error","status":0,"bytes_in":0,"bytes_out":0,"outcome":"abandoned","duration_us":0,"gate_us":0}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := string(audit.NewEncoder(nil).Append(nil, &test.record))
			if diff := cmp.Diff(test.want+"\n", got); diff != "" {
				t.Errorf("line (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDocumentDescribesEveryMember(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile("../docs/audit.md")
	if err != nil {
		t.Fatal(err)
	}
	record := full()
	record.Detail = strings.Repeat("x", 2000)
	var members map[string]any
	if err := json.Unmarshal(audit.NewEncoder(nil).Append(nil, &record), &members); err != nil {
		t.Fatal(err)
	}
	for _, name := range names("", members) {
		if !bytes.Contains(document, []byte("| `"+name+"` |")) {
			t.Errorf("docs/audit.md has no row for %q", name)
		}
	}
}

// names lists members with dots between levels; a list of objects counts as its first object.
func names(prefix string, members map[string]any) []string {
	var list []string
	for name, value := range members {
		if values, ok := value.([]any); ok {
			value = values[0]
		}
		if inner, ok := value.(map[string]any); ok {
			list = append(list, names(prefix+name+".", inner)...)
			continue
		}
		list = append(list, prefix+name)
	}
	return list
}

func TestPartitionKeysAndIDsAreWrittenAsHashesOnly(t *testing.T) {
	t.Parallel()
	key := []byte("a key for hashes")
	plain := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return "sha256:" + hex.EncodeToString(sum[:16])
	}
	keyed := func(text string) string {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(text))
		return "hmac:" + hex.EncodeToString(h.Sum(nil)[:16])
	}
	tests := map[string]struct {
		key  []byte
		hash func(string) string
	}{
		"without a key": {nil, plain},
		"with a key":    {key, keyed},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			encoder := audit.NewEncoder(test.key)
			record := audit.Record{PartitionKeys: [][]string{{`"contoso"`, `"ann"`}, {`null`}, {}}, Item: "invoice/7"}
			for range 2 { // the second time with a digest that has been used
				line := encoder.Append(nil, &record)
				var got struct {
					PartitionKeys []string `json:"partition_keys"`
					Item          string   `json:"item"`
				}
				if err := json.Unmarshal(line, &got); err != nil {
					t.Fatal(err)
				}
				want := []string{test.hash(`["contoso","ann"]`), test.hash(`[null]`), test.hash(`[]`)}
				if diff := cmp.Diff(want, got.PartitionKeys); diff != "" {
					t.Errorf("partition keys (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(test.hash("invoice/7"), got.Item); diff != "" {
					t.Errorf("item (-want +got):\n%s", diff)
				}
				if bytes.Contains(line, []byte("contoso")) || bytes.Contains(line, []byte("invoice")) {
					t.Errorf("clear text in %s", line)
				}
			}
		})
	}
}

func TestWhatIsTooLongIsCutAndSaysSo(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		record audit.Record
		member string
		want   any
	}{
		"text":                         {audit.Record{UserAgent: strings.Repeat("x", 1025)}, "user_agent", strings.Repeat("x", 1024)},
		"text, not within a character": {audit.Record{UserAgent: strings.Repeat("x", 1022) + "€"}, "user_agent", strings.Repeat("x", 1022)},
		"text that is no text":         {audit.Record{UserAgent: strings.Repeat("\x80", 2000)}, "user_agent", strings.Repeat("\ufffd", 1020)},
		"a list":                       {audit.Record{Policies: make([]string, 33)}, "policies", make([]any, 32)},
		"a list of actors":             {audit.Record{Actors: make([]audit.Actor, 33)}, "actors", make([]any, 32)},
		"a list of keys":               {audit.Record{PartitionKeys: make([][]string, 33)}, "partition_keys", make([]any, 32)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got map[string]any
			if err := json.Unmarshal(audit.NewEncoder(nil).Append(nil, &test.record), &got); err != nil {
				t.Fatal(err)
			}
			if got["truncated"] != true {
				t.Errorf("truncated = %v", got["truncated"])
			}
			if want, ok := test.want.([]any); ok {
				if list, ok := got[test.member].([]any); !ok || len(list) != len(want) {
					t.Errorf("%s = %v, want %d entries", test.member, got[test.member], len(want))
				}
			} else if diff := cmp.Diff(test.want, got[test.member]); diff != "" {
				t.Errorf("%s (-want +got):\n%s", test.member, diff)
			}
		})
	}
}

func FuzzHostileTextStaysOneValidLine(f *testing.F) {
	for _, seed := range []string{"plain", "\x00\x1f\x7f", "\"\\/", "\xff\xfe\xed\xa0\x80", "\u2028\u2029", "é€😀", "a\r\n{\"v\":1}\n"} {
		f.Add(seed, 2.5)
	}
	encoder := audit.NewEncoder(nil)
	f.Fuzz(func(t *testing.T, text string, charge float64) {
		if len(text) > 1024 {
			t.Skip("cut by design")
		}
		record := audit.Record{
			UserAgent: text, Actions: []string{text}, Actors: []audit.Actor{{Name: text}}, Principal: audit.Principal{UserName: text},
			RequestCharge: charge, Decision: audit.Decision(text), PartitionKeys: [][]string{{text}}, Item: text,
		}
		line := encoder.Append(nil, &record)
		if !json.Valid(line) || bytes.IndexByte(line, '\n') != len(line)-1 {
			t.Fatalf("not one valid line: %q", line)
		}
		var want bytes.Buffer
		reference := json.NewEncoder(&want)
		reference.SetEscapeHTML(false)
		if err := reference.Encode(text); err != nil {
			t.Fatal(err)
		}
		if quoted := bytes.TrimSuffix(want.Bytes(), []byte("\n")); !bytes.Contains(line, append([]byte(`"actions":[`), quoted...)) {
			t.Fatalf("encoding/json writes %s, the line is %s", quoted, line)
		}
	})
}

func TestEncodingAllocatesNothingOnceWarm(t *testing.T) { //nolint:paralleltest // AllocsPerRun counts the whole process.
	encoder, record, buf := audit.NewEncoder([]byte("key")), full(), make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { buf = encoder.Append(buf[:0], &record) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkEncoder(b *testing.B) {
	for name, key := range map[string][]byte{"plain": nil, "keyed": []byte("key")} {
		b.Run(name, func(b *testing.B) {
			encoder, record, buf := audit.NewEncoder(key), full(), make([]byte, 0, 4096)
			b.ReportAllocs()
			for b.Loop() {
				buf = encoder.Append(buf[:0], &record)
			}
			b.SetBytes(int64(len(buf)))
		})
	}
}
