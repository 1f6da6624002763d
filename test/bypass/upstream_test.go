package bypass_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cosmosgate/cosmosgate/internal/emulator/hybridrow"
)

const (
	secretHost  = "secret-account.documents.azure.test"
	otherSecret = "second-account.documents.azure.test"
	readerToken = "upstream-token-of-gate"
)

// upstream records what it is sent and says what it takes it for. It reads the wire
// with code of its own: where a lenient service could read a request in two ways, it
// says so instead of choosing.
type upstream struct {
	server *httptest.Server

	mu     sync.Mutex
	seen   []sighting
	answer []byte // raw bytes that answer in place of a document
}

// sighting is one request as upstream understood it.
type sighting struct {
	Operation, Host, Resource, ID string
	Key                           string // canonical JSON, "" if there was none
	Ranged                        bool
	Verbs                         []string // of a batch
	Notes                         []string // what no gate may send
	Body                          string
	Header                        http.Header
}

func (s *sighting) String() string {
	var b strings.Builder
	b.WriteString(s.Operation + " " + s.Resource)
	if s.ID != "" {
		b.WriteString(" " + s.ID)
	}
	if s.Key != "" {
		b.WriteString(" " + s.Key)
	}
	if s.Ranged {
		b.WriteString(" ranged")
	}
	if len(s.Verbs) > 0 {
		b.WriteString(" " + strings.Join(s.Verbs, "+"))
	}
	if len(s.Notes) > 0 {
		b.WriteString(" !" + strings.Join(s.Notes, " !"))
	}
	return b.String()
}

func newUpstream(t testing.TB) *upstream {
	t.Helper()
	u := new(upstream)
	u.server = httptest.NewUnstartedServer(u)
	u.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	u.server.StartTLS()
	t.Cleanup(func() {
		u.server.CloseClientConnections()
		u.server.Close()
	})
	return u
}

// take waits a little for n requests and returns what was received since the last call.
func (u *upstream) take(n int) []sighting {
	u.mu.Lock()
	for end := time.Now().Add(patience); len(u.seen) < n && time.Now().Before(end); {
		u.mu.Unlock()
		time.Sleep(time.Millisecond)
		u.mu.Lock()
	}
	defer u.mu.Unlock()
	seen := u.seen
	u.seen = nil
	return seen
}

func (u *upstream) script(answer []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.answer = answer
}

// ServeHTTP implements [http.Handler].
func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if strings.Contains(r.Header.Get("Authorization"), readerToken) {
		own(w, r)
		return
	}
	s := understand(r, body)
	if err != nil {
		s.Notes = append(s.Notes, "body broke off")
	}
	u.mu.Lock()
	u.seen = append(u.seen, s)
	answer := u.answer
	u.mu.Unlock()
	if answer == nil {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Ms-Request-Charge", "1")
		_, _ = io.WriteString(w, `{"id":"1001","department":"emea"}`)
		return
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = conn.Write(answer)
	if tcp, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = tcp.CloseWrite()
	}
	_, _ = io.Copy(io.Discard, conn)
}

// own answers the gate's own reads: the account document and names behind RIDs.
func own(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path == "/" {
		_, _ = io.WriteString(w, accountJSON)
		return
	}
	segments := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	leaf := segments[len(segments)-1]
	for name, id := range rids() {
		if id == leaf && strings.Count(name, "/") < 2 && !strings.Contains(name, "nowhere") {
			_, _ = fmt.Fprintf(w, `{"id":%q,"_rid":%q}`, name[strings.LastIndexByte(name, '/')+1:], strings.ReplaceAll(id, "-", "/"))
			return
		}
	}
	w.WriteHeader(http.StatusNotFound)
	_, _ = io.WriteString(w, `{"code":"NotFound","message":"none"}`)
}

const accountJSON = `{"_self":"","id":"secret-account","_rid":"secret-account.documents.azure.test","media":"//media/","addresses":"//addresses/",
"_dbs":"//dbs/","writableLocations":[{"name":"West Europe","databaseAccountEndpoint":"https://secret-account-westeurope.documents.azure.test:443/"}],
"readableLocations":[{"name":"West Europe","databaseAccountEndpoint":"https://secret-account-westeurope.documents.azure.test:443/"}],
"thinClientReadableLocations":[{"name":"West Europe","databaseAccountEndpoint":"https://secret-account.documents.azure.test:10250/"}],
"enableMultipleWriteLocations":true,"userReplicationPolicy":{"asyncReplication":false,"minReplicaSetSize":3,"maxReplicasetSize":4},
"userConsistencyPolicy":{"defaultConsistencyLevel":"Session"},"systemReplicationPolicy":{"minReplicaSetSize":3,"maxReplicasetSize":4},
"readPolicy":{"primaryReadCoefficient":1,"secondaryReadCoefficient":1},"queryEngineConfiguration":"{\"maxSqlQueryInputLength\":262144}"}`

// rids are the resource ids of the account, by path.
func rids() map[string]string {
	text := func(b ...byte) string {
		return strings.ReplaceAll(base64.StdEncoding.EncodeToString(b), "/", "-")
	}
	shop, hr := []byte{1, 2, 3, 4}, []byte{9, 9, 9, 9}
	orders := append(slices.Clone(shop), 0x80, 0, 0, 1)
	products := append(slices.Clone(shop), 0x80, 0, 0, 2)
	salaries := append(slices.Clone(hr), 0x80, 0, 0, 3)
	child := func(parent []byte, kind byte) string {
		return text(append(slices.Clone(parent), 7, 0, 0, 0, 0, 0, 0, kind)...)
	}
	return map[string]string{
		"shop": text(shop...), "hr": text(hr...),
		"shop/orders": text(orders...), "shop/products": text(products...), "hr/salaries": text(salaries...),
		"shop/user":         text(append(slices.Clone(shop), 0, 0, 0, 1)...),
		"shop/orders/item":  child(orders, 0x00),
		"hr/salaries/item":  child(salaries, 0x00),
		"shop/orders/sproc": child(orders, 0x80), "shop/orders/range": child(orders, 0x50),
		"nowhere": text(7, 7, 7, 7), "shop/nowhere": text(append(slices.Clone(shop), 0x80, 9, 9, 9)...),
	}
}

// understand reads a request as leniently as a service might, and notes what could be
// read in another way.
func understand(r *http.Request, body []byte) sighting {
	s := sighting{Host: r.Host, Header: r.Header, Body: string(body), Operation: "unknown"}
	note := func(text string) { s.Notes = append(s.Notes, text) }
	path, query, _ := strings.Cut(r.RequestURI, "?")
	if query != "" || strings.HasSuffix(r.RequestURI, "?") {
		note("query string")
	}
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, segment := range segments {
		value, err := url.PathUnescape(segment)
		twice, again := url.PathUnescape(value)
		leaf := i == 5
		switch {
		case err != nil:
			note("bad escape")
		case value == "" || value == "." || value == "..":
			note("empty or dot segment")
		case strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c == 0x7f }):
			note("control character")
		case !leaf && strings.ContainsAny(value, `/\?#`):
			note("separator in a name")
		case again == nil && twice != value && !leaf:
			note("encoded twice")
		}
		for part := range strings.FieldsFuncSeq(twice, func(c rune) bool { return c == '/' || c == '\\' }) {
			if again == nil && (part == ".." || part == ".") {
				note("dot segment inside")
			}
		}
		segments[i] = value
	}
	for name, values := range r.Header {
		if len(values) > 1 {
			note("twice: " + name)
		}
		if forbidden(name) {
			note("sent: " + name)
		}
	}
	if token := r.Header.Get("Authorization"); !strings.HasPrefix(token, "type%3Daad%26ver%3D1.0%26sig%3Dupstream-token-of-") {
		note("foreign credential")
	}
	s.locate(segments)
	s.name(r, segments, body)
	s.scope(r.Header)
	return s
}

// forbidden names headers that must never reach the service.
func forbidden(name string) bool {
	lower := strings.ToLower(name)
	for _, prefix := range []string{"cookie", "x-forwarded", "forwarded", "via", "x-http-method", "x-method", "proxy-", "te",
		"trailer", "upgrade", "content-encoding", "range", "if-range", "x-ms-thinclient", "x-ms-dedicatedgateway", "transfer-encoding",
		"x-cosmosgate", "x-original", "x-rewrite", "x-ms-cosmos-priority-level", "x-ms-cosmos-throughput-bucket", "globaldatabaseaccountname"} {
		if strings.HasPrefix(lower, prefix) {
			return true
		}
	}
	return strings.Contains(lower, "_")
}

func (s *sighting) locate(segments []string) {
	if len(segments) > 1 {
		s.Resource = segments[1]
	}
	if len(segments) > 3 {
		s.Resource += "/" + segments[3]
	}
	for path, rid := range rids() {
		if s.Resource == rid || strings.HasSuffix(s.Resource, "/"+rid) {
			s.Resource = path
			break
		}
	}
	if len(segments) > 5 {
		s.ID = segments[5]
	}
}

// name says which operation it is; the words are those of docs/cosmos-coverage.md.
func (s *sighting) name(r *http.Request, segments []string, body []byte) {
	words := make([]string, 0, len(segments))
	for i := 0; i < len(segments); i += 2 {
		words = append(words, strings.ToLower(segments[i]))
	}
	kind := strings.Join(words, "/")
	if len(segments)%2 == 0 {
		kind += "/*"
	}
	truthy := func(name string) bool { return strings.EqualFold(r.Header.Get(name), "true") }
	query := truthy("x-ms-documentdb-isquery") || truthy("x-ms-documentdb-query")
	switch r.Method + " " + kind {
	case "GET dbs":
		s.Operation = "databases/list"
	case "GET dbs/*":
		s.Operation = "databases/read"
	case "GET dbs/colls":
		s.Operation = "containers/list"
	case "GET dbs/colls/*":
		s.Operation = "containers/read"
	case "GET dbs/colls/pkranges":
		s.Operation = "pkranges/read"
	case "GET dbs/colls/docs/*":
		s.Operation = "items/read"
	case "PUT dbs/colls/docs/*":
		s.Operation = "items/replace"
	case "DELETE dbs/colls/docs/*":
		s.Operation = "items/delete"
	case "PATCH dbs/colls/docs/*":
		s.Operation = "items/patch"
	case "POST dbs/colls/sprocs/*":
		s.Operation = "sprocs/execute"
	case "GET dbs/colls/docs":
		s.Operation = feedKind(r.Header.Get("A-IM"), false)
	case "POST dbs/colls/docs":
		s.namePost(r, query, body)
	case "POST dbs", "POST dbs/colls":
		if query {
			s.Operation = map[string]string{"dbs": "databases/query", "dbs/colls": "containers/query"}[kind]
		}
	case "GET dbs/colls/conflicts":
		s.Operation = "conflicts/list"
	}
}

func feedKind(mode string, query bool) string {
	switch {
	case mode == "" && query:
		return "items/query"
	case mode == "":
		return "items/readFeed"
	case query:
		return "items/changeFeedQuery"
	case strings.HasPrefix(mode, "Full"):
		return "items/changeFeedAllVersions"
	default:
		return "items/changeFeed"
	}
}

func (s *sighting) namePost(r *http.Request, query bool, body []byte) {
	truthy := func(name string) bool { return strings.EqualFold(r.Header.Get(name), "true") }
	plan, batch, upsert := truthy("x-ms-cosmos-is-query-plan-request"), truthy("x-ms-cosmos-is-batch-request"), truthy("x-ms-documentdb-is-upsert")
	chosen := 0
	for _, is := range []bool{plan, query, batch, upsert} {
		if is {
			chosen++
		}
	}
	if chosen > 1 {
		s.Notes = append(s.Notes, "several selectors")
	}
	if isQuery := r.Header.Get("Content-Type") == "application/query+json"; isQuery != (query || plan) {
		s.Notes = append(s.Notes, "content type and selectors differ")
	}
	switch {
	case plan:
		s.Operation = "items/queryPlan"
	case query:
		s.Operation = feedKind(r.Header.Get("A-IM"), true)
	case batch:
		s.Operation = "items/bulk"
		if truthy("x-ms-cosmos-batch-atomic") {
			s.Operation = "items/batch"
		}
		s.readBatch(body)
	case upsert:
		s.Operation = "items/upsert"
	default:
		s.Operation = "items/create"
	}
}

func (s *sighting) readBatch(body []byte) {
	if bytes.HasPrefix(body, []byte{0x81}) {
		s.readRows(body)
		return
	}
	var operations []map[string]json.RawMessage
	if err := json.Unmarshal(body, &operations); err != nil {
		s.Notes = append(s.Notes, "batch: "+err.Error())
	}
	for _, operation := range operations {
		for name, value := range operation {
			if strings.EqualFold(name, "operationType") {
				var verb string
				if json.Unmarshal(value, &verb) != nil {
					verb = string(value)
				}
				s.Verbs = append(s.Verbs, verb)
			}
		}
	}
}

// readRows reads a batch of .NET.
func (s *sighting) readRows(body []byte) {
	rows, err := hybridrow.ReadStream(body, hybridrow.BatchOperation())
	if err != nil {
		s.Notes = append(s.Notes, "batch: "+err.Error())
	}
	for _, row := range rows {
		code, _ := row["operationType"].(int32)
		verb := dotnetVerbs()[code]
		if verb == "" || row["resourceType"] != int32(2) {
			s.Notes = append(s.Notes, fmt.Sprintf("batch: operation %d on %v", code, row["resourceType"]))
		}
		s.Verbs = append(s.Verbs, verb)
	}
}

// dotnetVerbs are the operation types of the .NET SDK that a batch may hold.
func dotnetVerbs() map[int32]string {
	return map[int32]string{0: "Create", 1: "Patch", 2: "Read", 4: "Delete", 5: "Replace", 20: "Upsert"}
}

// scope reads the headers that confine a request.
func (s *sighting) scope(h http.Header) {
	for _, name := range []string{"X-Ms-Documentdb-Partitionkeyrangeid", "X-Ms-Start-Epk", "X-Ms-End-Epk"} {
		s.Ranged = s.Ranged || h.Get(name) != ""
	}
	sent := h.Get("X-Ms-Documentdb-Partitionkey")
	if sent == "" {
		return
	}
	var parts []any
	if err := json.Unmarshal([]byte(sent), &parts); err != nil {
		s.Notes = append(s.Notes, "key: "+err.Error())
		return
	}
	canonical, err := json.Marshal(parts)
	if err != nil {
		s.Notes = append(s.Notes, "key: "+err.Error())
	}
	s.Key = string(canonical)
	if len(s.Key) > 300 {
		s.Key = strconv.Itoa(len(s.Key)) + " bytes of key"
	}
}
