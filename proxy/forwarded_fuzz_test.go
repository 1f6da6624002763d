package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azpolicy "github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/cosmos"
	"github.com/cosmosgate/cosmosgate/identity"
	"github.com/cosmosgate/cosmosgate/internal/emulator/hybridrow"
	"github.com/cosmosgate/cosmosgate/internal/sighting"
	"github.com/cosmosgate/cosmosgate/policy"
	"github.com/cosmosgate/cosmosgate/proxy"
)

const (
	ridDatabase  = "AQIDBA=="
	ridContainer = "AQIDBIAAAAE="
	readersToken = "reader-token"
)

// oracle is a whole gate without a network. Its upstream gets the very bytes that the gate sends and reads them with code of its own; its policy
// allows everything and keeps what it was asked. The two must agree.
type oracle struct {
	proxy *proxy.Proxy

	mu         sync.Mutex
	sent       [][]byte
	decided    []policy.Request
	records    []audit.Record
	credential identity.Credential
}

func newOracle(f *testing.F) *oracle {
	f.Helper()
	o := new(oracle)
	o.proxy = benchProxy(f, func(cfg *proxy.Config) {
		account := &cfg.Accounts[0]
		account.Transport = roundTrip(o.upstream)
		account.Reader = "gate"
		for identity, token := range map[string]string{"gate": readersToken, "mi-orders": "upstream-token-of-mi-orders"} {
			account.Identities[identity] = getToken(func(context.Context, azpolicy.TokenRequestOptions) (azcore.AccessToken, error) {
				return azcore.AccessToken{Token: token, ExpiresOn: time.Now().Add(time.Hour)}, nil
			})
		}
		cfg.Authenticator = authenticate(func(ctx context.Context, c identity.Credential) (identity.Principal, error) {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.credential = c
			return ann(ctx, c)
		})
		cfg.Authorizer = decide(func(r policy.Request) policy.Decision {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.decided = append(o.decided, r)
			return allow(r)
		})
		cfg.Reserve = func() (proxy.Reservation, error) {
			return commit(func(r audit.Record) {
				o.mu.Lock()
				defer o.mu.Unlock()
				o.records = append(o.records, r)
			}), nil
		}
	})
	return o
}

// upstream keeps the bytes of what is forwarded, and answers the gate's own questions.
func (o *oracle) upstream(r *http.Request) (*http.Response, error) {
	if strings.Contains(r.Header.Get("Authorization"), readersToken) {
		switch r.URL.Path {
		case "/":
			return accountResponse(r), nil
		case "/dbs/" + ridDatabase:
			return jsonResponse(r, http.StatusOK, `{"id":"shop","_rid":"`+ridDatabase+`"}`), nil
		case "/dbs/" + ridDatabase + "/colls/" + ridContainer:
			return jsonResponse(r, http.StatusOK, `{"id":"orders","_rid":"`+ridContainer+`"}`), nil
		default:
			return jsonResponse(r, http.StatusNotFound, `{"code":"NotFound","message":"none"}`), nil
		}
	}
	var bytes bytes.Buffer
	if err := r.Write(&bytes); err != nil {
		return nil, fmt.Errorf("writing a request: %w", err)
	}
	o.mu.Lock()
	o.sent = append(o.sent, bytes.Bytes())
	o.mu.Unlock()
	return jsonResponse(r, http.StatusOK, `{"id":"1"}`), nil
}

// play sends one request, as it stands on the wire, and holds what was forwarded against what was decided. It says whether anything was.
func (o *oracle) play(t *testing.T, head, body string) bool {
	t.Helper()
	wire := head + "Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(wire)))
	if err != nil || r.ContentLength != int64(len(body)) || len(r.TransferEncoding) > 0 {
		return false // the listener's to refuse, or another request than the one that was meant
	}
	o.sent, o.decided, o.records, o.credential = nil, nil, nil, identity.Credential{}
	r.RemoteAddr = "192.0.2.1:1234"
	o.serve(r)
	if len(o.records) != 1 {
		t.Fatalf("%d records", len(o.records))
	}
	if len(o.sent) == 0 {
		if o.records[0].UpstreamStatus != 0 {
			t.Fatalf("nothing was sent, and the record says otherwise: %+v", o.records[0])
		}
		return false
	}
	if len(o.sent) != 1 || len(o.decided) == 0 || o.records[0].Decision != audit.Allow {
		t.Fatalf("%d requests sent after %d decisions, recorded as %s", len(o.sent), len(o.decided), o.records[0].Decision)
	}
	o.agree(t, body)
	return true
}

func (o *oracle) serve(r *http.Request) {
	defer func() {
		if cause := recover(); cause != nil && cause != http.ErrAbortHandler { //nolint:errorlint // a panic value.
			panic(cause)
		}
	}()
	o.proxy.ServeHTTP(httptest.NewRecorder(), r)
}

// agree is the differential oracle.
func (o *oracle) agree(t *testing.T, body string) {
	t.Helper()
	sent := o.sent[0]
	decided, record := o.decided[len(o.decided)-1], o.records[0]
	s, err := sighting.Raw(sent, map[string]string{"shop": ridDatabase, "shop/orders": ridContainer})
	if err != nil {
		t.Fatalf("%v\n%s", err, sent)
	}
	differ := func(what, decided, understood string) {
		if decided != understood {
			t.Errorf("%s: the gate decided on %q, upstream understands %q\n%s", what, decided, understood, sent)
		}
	}
	differ("notes", "", strings.Join(s.Notes, ", "))
	differ("host", upstreamHost, s.Host)
	differ("operation", record.Operation, s.Operation)
	differ("resource", strings.TrimSuffix(decided.Resource.Database+"/"+decided.Resource.Container, "/"), s.Resource)
	differ("item", record.Item, s.ID)
	actions := cosmos.Actions(decided.Actions).Names()
	slices.Sort(actions)
	differ("actions", strings.Join(actions, " "), strings.Join(s.Actions(), " "))
	differ("body", body, s.Body)
	if bytes.Contains(sent, []byte(callerToken)) || bytes.Contains(sent, []byte(readersToken)) {
		t.Errorf("another token than the role's was sent:\n%s", sent)
	}
	checkConfined(t, &decided, &s)
}

// checkConfined says whether a request that was decided as confined to partitions is, by what upstream reads.
func checkConfined(t *testing.T, decided *policy.Request, s *sighting.Sighting) {
	t.Helper()
	if len(decided.PartitionKeys) == 0 {
		return
	}
	granted := map[string]bool{}
	for _, key := range decided.PartitionKeys {
		var parts []any
		if err := json.Unmarshal([]byte("["+strings.Join(key, ",")+"]"), &parts); err != nil {
			t.Fatalf("decided on the key %q", key)
		}
		canonical, err := json.Marshal(parts)
		if err != nil {
			t.Fatal(err)
		}
		granted[string(canonical)] = true
	}
	if s.Operation != "items/batch" && s.Operation != "items/bulk" {
		if len(granted) != 1 || s.Ranged || !granted[s.Key] && !strings.HasSuffix(s.Key, " bytes of key") {
			t.Errorf("decided on %v, upstream reads %q, ranged: %v", granted, s.Key, s.Ranged)
		}
		return
	}
	for _, key := range s.Keys {
		if key == "" {
			key = s.Key
		}
		if !granted[key] && !strings.HasSuffix(key, " bytes of key") {
			t.Errorf("decided on %v, an operation is on %q", granted, key)
		}
	}
}

// head writes a request line and the headers that every SDK sends.
func head(method, target string, headers ...string) string {
	return method + " " + target + " HTTP/1.1\r\nHost: " + publicHost + "\r\nAuthorization: type=aad&ver=1.0&sig=" + callerToken +
		"\r\nx-ms-version: 2020-11-05\r\n" + strings.Join(headers, "") + "Content-Type: application/json\r\n"
}

const (
	fuzzKey   = "x-ms-documentdb-partitionkey: [\"emea\"]\r\n"
	fuzzBatch = "x-ms-cosmos-is-batch-request: True\r\n"
)

func FuzzForwardedPath(f *testing.F) {
	for _, target := range []string{
		"/", "/dbs", "/dbs/shop", "//dbs//shop/", "/dbs/shop/colls", createPath, createPath + "/1", createPath + "/a%2Fb", createPath + "/..%2Fx",
		createPath + "/a%252e%5C", "/DBS/shop/colls/orders/docs/%C3%BC%20", "/dbs/" + ridDatabase, "/dbs/" + ridDatabase + "/colls/" + ridContainer + "/docs",
		"/dbs/" + ridDatabase + "/colls/" + ridContainer + "/pkranges", "/dbs/shop/colls/orders/conflicts/c", "/dbs/shop/colls/orders/sprocs/p",
		"/dbs/shop/clientencryptionkeys/k", "https://" + publicHost + createPath, "/dbs/shop/colls/orders/docs/1?x=y", "/offers", "*",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch} {
			f.Add(method, target)
		}
	}
	o := newOracle(f)
	f.Fuzz(func(t *testing.T, method, target string) {
		body := ""
		switch method {
		case http.MethodPost, http.MethodPut:
			body = `{"id":"1"}`
		case http.MethodPatch:
			body = `{"operations":[{"op":"remove","path":"/a"}]}`
		}
		if !strings.ContainsAny(method+target, "\r\n") {
			o.play(t, head(method, target, fuzzKey), body)
		}
	})
}

func FuzzForwardedHeaders(f *testing.F) {
	for _, lines := range []string{
		"", fuzzKey, "x-ms-documentdb-isquery: True\r\nContent-Type: application/query+json", "x-ms-documentdb-is-upsert: true\r\nConnection: x-ms-documentdb-is-upsert",
		"A-IM: Incremental Feed\r\nIf-None-Match: *", fuzzKey + "x-ms-documentdb-partitionkeyrangeid: 0", "x-ms-start-epk: 00\r\nx-ms-end-epk: ff",
		"x-ms-documentdb-partitionkey: [ 1.0 ]", "X-Forwarded-For: ::1\r\nCookie: a=b\r\nX-HTTP-Method: DELETE", "x-ms-documentdb-pre-trigger-include: t",
		"x-ms-cosmos-is-query-plan-request: TRUE\r\nContent-Type: application/query+json", "TE: trailers\r\nTrailer: x", "Host: other", "Content-Encoding: gzip",
		"x-ms-cosmos-intended-collection-rid: " + ridContainer, "x-ms-date: x\r\nx-ms-activity-id: \x80", fuzzKey + fuzzKey, "x_ms_documentdb_isquery: true",
	} {
		f.Add(true, lines)
		f.Add(false, lines)
	}
	o := newOracle(f)
	f.Fuzz(func(t *testing.T, post bool, lines string) {
		method, body := http.MethodGet, ""
		if post {
			method, body = http.MethodPost, `{"id":"1","query":"SELECT * FROM c"}`
		}
		start := method + " " + createPath + " HTTP/1.1\r\nHost: " + publicHost + "\r\nAuthorization: Bearer " + callerToken + "\r\n"
		o.play(t, start+strings.TrimRight(lines, "\r\n")+"\r\n", body)
	})
}

// FuzzForwardedAuthorization checks that the credential that is judged is the one in the header by another reading of it, and that nothing of it goes on.
func FuzzForwardedAuthorization(f *testing.F) {
	for _, value := range []string{
		"type=aad&ver=1.0&sig=a.b.c", "type%3Daad%26ver%3D1.0%26sig%3Da.b.c", "type%3daad%26ver%3d1.0%26sig%3da%2eb%2Ec", "Bearer a.b.c", "bearer  a", "DPoP a.b.c",
		"type=master&ver=1.0&sig=YWJj", "type=resource&ver=1.0&sig=x", "type=aad&ver=1.0&sig=a&sig=b", "type=aad&type=master&ver=1.0&sig=a", "Basic YTpi", "",
	} {
		f.Add(value)
	}
	o := newOracle(f)
	native := regexp.MustCompile(`^type=(aad|master)&ver=1\.0&sig=([^&]+)$`)
	scheme := regexp.MustCompile(`^(?i:bearer|dpop) ([^ ]+)$`)
	f.Fuzz(func(t *testing.T, value string) {
		if strings.ContainsAny(value, "\r\n") {
			return
		}
		o.credential = identity.Credential{}
		forwarded := o.play(t, "GET "+createPath+"/1 HTTP/1.1\r\nHost: "+publicHost+"\r\nAuthorization: "+value+"\r\n"+fuzzKey, "")
		if o.credential.Token == "" {
			if forwarded && o.credential.Scheme == 0 {
				t.Fatal("forwarded without a credential")
			}
			return
		}
		value = strings.Trim(value, " \t")
		token := ""
		if found := scheme.FindStringSubmatch(value); found != nil {
			token = found[1]
		} else {
			decoded, err := url.PathUnescape(value)
			if err != nil || !strings.Contains(strings.ToLower(value), "%3d") {
				decoded = value
			}
			if found := native.FindStringSubmatch(decoded); found != nil {
				token = found[2]
			}
		}
		if token != o.credential.Token {
			t.Errorf("%q was taken for the token %q", value, o.credential.Token)
		}
		const short = 8 // what may occur by chance
		if forwarded && len(token) > short && bytes.Contains(o.sent[0], []byte(token)) {
			t.Errorf("the token was sent on:\n%s", o.sent[0])
		}
	})
}

func FuzzForwardedBatch(f *testing.F) {
	for _, body := range []string{
		`[{"operationType":"Create","resourceBody":{"id":"1"}},{"operationType":"Delete","id":"1","ifMatch":"e"}]`,
		`[{"operationType":"Patch","id":"1","resourceBody":{"operations":[],"condition":"from c"},"partitionKey":"[\"emea\"]"}]`,
		`[{"operation\u0054ype":"Read","id":"\ud83d\ude00","partitionKey":"[1.0]"}]`, `[{"operationType":"Read","id":"1","OPERATIONTYPE":"Delete"}]`,
		`[{"operationType":"Upsert","resourceBody":{},"partitionKey":"[\"\\u0061\"]"},{"operationType":"Replace","id":"1","resourceBody":[]}]`, `[]`, `{}`,
	} {
		f.Add(true, true, body)
		f.Add(false, false, body)
		f.Add(false, true, body)
	}
	o := newOracle(f)
	f.Fuzz(func(t *testing.T, atomic, keyed bool, body string) {
		if !strings.HasPrefix(body, "\x81") {
			o.play(t, head(http.MethodPost, createPath, batchHeaders(atomic, keyed)), body)
		}
	})
}

func batchHeaders(atomic, keyed bool) string {
	headers := fuzzBatch + "x-ms-cosmos-batch-atomic: " + strconv.FormatBool(atomic) + "\r\n"
	if keyed {
		return headers + fuzzKey
	}
	return headers + "x-ms-documentdb-partitionkeyrangeid: 0\r\n"
}

func FuzzForwardedHybridRow(f *testing.F) {
	document := []byte(`{"id":"1"}`)
	for _, rows := range [][]hybridrow.Row{
		{{"operationType": int32(0), "resourceBody": document}, {"operationType": int32(4), "id": "1", "ifMatch": "e"}},
		{{"operationType": int32(1), "id": "1", "resourceBody": []byte(`{"operations":[],"condition":"from c"}`), "partitionKey": `["emea"]`}},
		{{"operationType": int32(1), "id": "1", "resourceBody": []byte(`[]`), "minimalReturnPreference": true, "partitionKey": `[1]`}},
		{{"operationType": int32(2), "id": "1", "partitionKey": `["emea"]`}, {"operationType": int32(5), "id": "1", "resourceBody": document}},
		{{"operationType": int32(20), "id": "1", "resourceBody": document, "indexingDirective": "Include", "ifNoneMatch": "*"}},
		{{"operationType": int32(2), "binaryId": []byte("1")}}, {{"operationType": int32(2), "id": "1", "effectivePartitionKey": []byte("1")}},
	} {
		for _, row := range rows {
			row["resourceType"] = int32(2)
		}
		encoded, err := hybridrow.AppendStream(nil, hybridrow.BatchOperation(), rows)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(true, true, encoded)
		f.Add(false, false, encoded)
	}
	o := newOracle(f)
	f.Fuzz(func(t *testing.T, atomic, keyed bool, raw []byte) {
		if body := hybridrow.Mend(raw); len(body) > 0 && body[0] == 0x81 {
			o.play(t, head(http.MethodPost, createPath, batchHeaders(atomic, keyed)), string(body))
		}
	})
}

func FuzzForwardedPatch(f *testing.F) {
	for _, body := range []string{
		`{"operations":[{"op":"add","path":"/a","value":1}]}`, `[{"op":"move","from":"/a","path":"/b"}]`, `{"condition":"from c","operations":[]}`,
		`{"operations":[],"c\u006fndition":"from c"}`, `{"operations":[],"Condition":""}`, `{"operations":[{"op":"incr","path":"/n","value":-1.5e3}]}`, ``,
	} {
		f.Add(body)
	}
	o := newOracle(f)
	f.Fuzz(func(t *testing.T, body string) {
		// Content is not wanted, so that the right to read is needed for a condition only.
		o.play(t, head(http.MethodPatch, createPath+"/1", fuzzKey, "Prefer: return=minimal\r\n"), body)
	})
}

func TestTheOracleSeesWhatIsForwarded(t *testing.T) {
	t.Parallel()
	s, err := sighting.Raw([]byte("POST /dbs/shop/colls/orders/docs HTTP/1.1\r\nHost: h\r\nAuthorization: type%3Daad%26ver%3D1.0%26sig%3Dupstream-token-of-x\r\n"+
		"X-Ms-Cosmos-Is-Batch-Request: True\r\nX-Ms-Cosmos-Batch-Atomic: True\r\nContent-Length: 73\r\n\r\n"+
		`[{"operationType":"Delete","id":"1","partitionKey":"[ \"a\" ]"         }]`), nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"items/delete"}, s.Actions()); diff != "" || s.Keys[0] != `["a"]` || s.Operation != "items/batch" || len(s.Notes) > 0 {
		t.Errorf("%s, %v (-want +got):\n%s", s.String(), s.Notes, diff)
	}
}
