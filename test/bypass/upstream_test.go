package bypass_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cosmosgate/cosmosgate/internal/sighting"
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
	seen   []sighting.Sighting
	answer []byte // raw bytes that answer in place of a document
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
func (u *upstream) take(n int) []sighting.Sighting {
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
	s := sighting.Of(r, body, rids())
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
