package faults_test

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// upstream imitates a Cosmos DB account. What it does with a request is scripted by the partition key, so that the rows that
// share a gate do not meet. It speaks HTTP/1.1, whose connections a script can take over.
type upstream struct {
	server *httptest.Server
	down   atomic.Bool // no account document

	mu       sync.Mutex
	scripts  map[string]http.HandlerFunc
	seen     map[string]int // requests by partition key
	released chan struct{}  // closed to let go of all that hangs
	once     sync.Once
}

func newUpstream(t *testing.T, pair tls.Certificate) *upstream {
	t.Helper()
	u := &upstream{scripts: map[string]http.HandlerFunc{}, seen: map[string]int{}, released: make(chan struct{})}
	u.server = httptest.NewUnstartedServer(u)
	u.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	u.server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	u.server.StartTLS()
	t.Cleanup(func() {
		u.release()
		u.server.CloseClientConnections()
		u.server.Close()
	})
	return u
}

func (u *upstream) url() string {
	base, _ := url.Parse(u.server.URL) //nolint:errcheck // httptest wrote it
	return "https://" + upstreamName + ":" + base.Port()
}

func (u *upstream) release() { u.once.Do(func() { close(u.released) }) }

// script sets what happens to requests of one partition key.
func (u *upstream) script(key string, do http.HandlerFunc) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.scripts[`["`+key+`"]`] = do
}

func (u *upstream) requests(key string) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.seen[`["`+key+`"]`]
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/" {
		if u.down.Load() {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Type", jsonMedia)
		_, _ = io.WriteString(w, accountText)
		return
	}
	_, _ = io.Copy(io.Discard, r.Body)
	key := r.Header.Get("X-Ms-Documentdb-Partitionkey")
	u.mu.Lock()
	u.seen[key]++
	do := u.scripts[key]
	u.mu.Unlock()
	if do == nil {
		do = document
	}
	do(w, r)
}

const jsonMedia = "application/json"

// document answers as the service does for one item.
func document(w http.ResponseWriter, r *http.Request) {
	itemHeader(w.Header())
	if r.Method == http.MethodPost {
		w.WriteHeader(http.StatusCreated)
	}
	_, _ = io.WriteString(w, `{"id":"1"}`)
}

func itemHeader(h http.Header) {
	h.Set("Content-Type", jsonMedia)
	h.Set("X-Ms-Request-Charge", "1.25")
	h.Set("X-Ms-Session-Token", "0:-1#7")
	h.Set("Etag", `"00000000-0000-0000-0000-000000000001"`)
}

// native answers as the service does for an error.
func native(status, substatus int, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Type", jsonMedia)
		h.Set("X-Ms-Substatus", strconv.Itoa(substatus))
		for i := 0; i < len(headers); i += 2 {
			h.Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"code":"Fault","message":"said by the service\r\nActivityId: 0"}`)
	}
}

// wire takes the connection over, sends a text and breaks the connection: with a reset, or in order.
func wire(text string, reset bool) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(conn, text)
		if secured, ok := conn.(*tls.Conn); ok && reset {
			conn = secured.NetConn()
			if tcp, ok := conn.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0)
			}
		}
		_ = conn.Close()
	}
}

// hang answers nothing until the world ends.
func (u *upstream) hang(_ http.ResponseWriter, r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-u.released:
	}
}

const accountText = `{"_self":"","id":"shop","_rid":"shop.documents.azure.com","media":"//media/","addresses":"//addresses/","_dbs":"//dbs/",` +
	`"writableLocations":[{"name":"Local","databaseAccountEndpoint":"https://elsewhere.example/"}],` +
	`"readableLocations":[{"name":"Local","databaseAccountEndpoint":"https://elsewhere.example/"}],` +
	`"enableMultipleWriteLocations":false,"userReplicationPolicy":{"asyncReplication":false,"minReplicaSetSize":3,"maxReplicasetSize":4},` +
	`"userConsistencyPolicy":{"defaultConsistencyLevel":"Session"},"systemReplicationPolicy":{"minReplicaSetSize":3,"maxReplicasetSize":4},` +
	`"readPolicy":{"primaryReadCoefficient":1,"secondaryReadCoefficient":1},"queryEngineConfiguration":"{}"}`
