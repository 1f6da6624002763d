package proxy_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azpolicy "github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/google/uuid"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/identity"
	"github.com/cosmosgate/cosmosgate/policy"
	"github.com/cosmosgate/cosmosgate/proxy"
)

const (
	publicHost    = "gate.example"
	publicURL     = "https://gate.example/"
	upstreamHost  = "secret-account.documents.azure.test"
	callerToken   = "caller-secret-token"
	upstreamToken = "upstream-secret-token"
	activityID    = "5f3c1a52-7d0e-4a55-9a2f-0d6c8e9b1a11"
	jsonMedia     = "application/json"
)

// The interfaces of the proxy as functions.
type (
	authenticate func(context.Context, identity.Credential) (identity.Principal, error)
	decide       func(policy.Request) policy.Decision
	getToken     func(context.Context, azpolicy.TokenRequestOptions) (azcore.AccessToken, error)
	roundTrip    func(*http.Request) (*http.Response, error)
	commit       func(audit.Record)
)

func (f authenticate) Authenticate(ctx context.Context, c identity.Credential) (identity.Principal, error) {
	return f(ctx, c)
}
func (f decide) Decide(r policy.Request) policy.Decision { return f(r) }
func (f getToken) GetToken(ctx context.Context, o azpolicy.TokenRequestOptions) (azcore.AccessToken, error) {
	return f(ctx, o)
}
func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
func (f commit) Commit(r audit.Record)                                { f(r) }

// ann is the person that callerToken stands for.
func ann(context.Context, identity.Credential) (identity.Principal, error) {
	return identity.Principal{
		Kind: identity.KindPerson, Issuer: "https://idp.example", Subject: "ann", Record: "0199-ann",
		Method: identity.MethodOIDC, TokenID: "jti-1", Client: "cli",
	}, nil
}

// allow grants everything to everybody under one role.
func allow(policy.Request) policy.Decision {
	return policy.Decision{Allow: true, Role: "orders-reader", Identity: "mi-orders", Reason: policy.ReasonAllowed}
}

// token is a credential that always has a fresh token.
func token(context.Context, azpolicy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: upstreamToken, ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// ledger keeps the records of a gate.
type ledger struct {
	mu      sync.Mutex
	records []audit.Record
	arrived chan struct{}
}

func newLedger() *ledger { return &ledger{arrived: make(chan struct{}, 1024)} }

func (l *ledger) reserve() (proxy.Reservation, error) {
	return commit(func(r audit.Record) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.records = append(l.records, r)
		l.arrived <- struct{}{}
	}), nil
}

// next waits for one more record and returns the latest.
func (l *ledger) next(t *testing.T) audit.Record {
	t.Helper()
	select {
	case <-l.arrived:
	case <-time.After(30 * time.Second):
		t.Fatal("no record was written")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.records[len(l.records)-1]
}

// received is a request as upstream got it.
type received struct {
	Method, URI, Host string
	Header            http.Header
	Body              string
}

// service imitates an account: it answers the account document and hands everything
// else to its handler, keeping what it received.
type service struct {
	server *httptest.Server

	mu       sync.Mutex
	handler  http.HandlerFunc
	requests []received
	account  int // requests for the account document
	down     bool
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	handler, down := s.handler, s.down
	if r.URL.Path == "/" {
		s.account++
		s.mu.Unlock()
		if down {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", jsonMedia)
		_, _ = io.WriteString(w, accountJSON)
		return
	}
	s.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	s.requests = append(s.requests, received{r.Method, r.RequestURI, r.Host, r.Header.Clone(), string(body)})
	s.mu.Unlock()
	r.Body = io.NopCloser(bytes.NewReader(body))
	handler(w, r)
}

func (s *service) seen() []received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

func (s *service) breakDown() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = true
}

// accountJSON is what an account says about itself.
const accountJSON = `{"_self":"","id":"secret-account","_rid":"secret-account.documents.azure.test","media":"//media/",` +
	`"addresses":"//addresses/","_dbs":"//dbs/",` +
	`"writableLocations":[{"name":"West Europe","databaseAccountEndpoint":"https://secret-account-westeurope.documents.azure.test:443/"}],` +
	`"readableLocations":[{"name":"West Europe","databaseAccountEndpoint":"https://secret-account-westeurope.documents.azure.test:443/"}],` +
	`"thinClientWritableLocations":[{"name":"West Europe","databaseAccountEndpoint":"https://secret-account.documents.azure.test:10250/"}],` +
	`"enableMultipleWriteLocations":true,"continuousBackupEnabled":false,"enableNRegionSynchronousCommit":false,` +
	`"userReplicationPolicy":{"asyncReplication":false,"minReplicaSetSize":3,"maxReplicasetSize":4},` +
	`"userConsistencyPolicy":{"defaultConsistencyLevel":"Session"},` +
	`"systemReplicationPolicy":{"minReplicaSetSize":3,"maxReplicasetSize":4,"asyncReplication":false},` +
	`"readPolicy":{"primaryReadCoefficient":1,"secondaryReadCoefficient":1},` +
	`"queryEngineConfiguration":"{\"maxSqlQueryInputLength\":262144}"}`

// setup says what a gate under test is made of; zero fields mean what allows everything.
type setup struct {
	handler      http.HandlerFunc
	authenticate authenticate
	decide       decide
	token        getToken
	reserve      proxy.Recorder
	limits       proxy.Limits
	http1        bool // on both sides; else HTTP/2 on both
	mixed        bool // the other version upstream
	notReady     bool // do not wait for the account document
	serviceDown  bool
	edit         func(*proxy.Config)
}

// gate is a proxy between two real servers.
type gate struct {
	t        testing.TB
	proxy    *proxy.Proxy
	service  *service
	ledger   *ledger
	client   *http.Client
	server   *httptest.Server
	upstream *http.Transport
	log      journal

	mu   sync.Mutex
	sent []byte // everything that callers received
}

func newGate(t testing.TB, with setup) *gate {
	t.Helper()
	g := &gate{t: t, ledger: newLedger()}
	g.service = startService(t, with)
	pool := x509.NewCertPool()
	pool.AddCert(g.service.server.Certificate())
	g.upstream = proxy.NewTransport(proxy.TransportOptions{
		TLS: &tls.Config{RootCAs: pool, ServerName: "example.com", MinVersion: tls.VersionTLS12}, HTTP2: with.http1 == with.mixed,
	})
	g.upstream.DialContext = dialTo(g.service.server.Listener.Addr().String())

	var err error
	if g.proxy, err = proxy.New(config(g, with)); err != nil {
		t.Fatalf("building proxy: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- g.proxy.Run(ctx) }()
	g.server = httptest.NewUnstartedServer(g.proxy)
	g.server.EnableHTTP2 = !with.http1
	g.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	g.server.StartTLS()
	g.client = caller(g.server, with.http1)
	t.Cleanup(func() {
		g.client.CloseIdleConnections()
		g.server.CloseClientConnections()
		g.server.Close()
		cancel()
		<-ran
		g.upstream.CloseIdleConnections()
		g.checkLeaks()
	})
	for !with.notReady && g.proxy.Ready() != nil {
		time.Sleep(time.Millisecond)
	}
	return g
}

func startService(t testing.TB, with setup) *service {
	t.Helper()
	s := &service{handler: with.handler, down: with.serviceDown}
	if s.handler == nil {
		s.handler = func(w http.ResponseWriter, _ *http.Request) { item(w, `{"id":"1"}`) }
	}
	s.server = httptest.NewUnstartedServer(s)
	s.server.EnableHTTP2 = with.http1 == with.mixed
	s.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.server.StartTLS()
	t.Cleanup(func() {
		s.server.CloseClientConnections()
		s.server.Close()
	})
	return s
}

func config(g *gate, with setup) proxy.Config {
	cfg := proxy.Config{
		Accounts: []proxy.Account{{
			Name: "prod", PublicURL: publicURL, Region: "Gate",
			Upstream:   &url.URL{Scheme: "https", Host: upstreamHost},
			Transport:  g.upstream,
			Identities: map[string]azcore.TokenCredential{"mi-orders": pick[azcore.TokenCredential](with.token != nil, with.token, getToken(token)), "mi-reader": getToken(token)},
			Reader:     "mi-reader",
		}},
		Authenticator: pick(with.authenticate != nil, with.authenticate, ann),
		Authorizer:    pick(with.decide != nil, with.decide, allow),
		PolicyHash:    func() string { return "sha256:0" },
		Reserve:       pick(with.reserve != nil, with.reserve, g.ledger.reserve),
		Logger:        slog.New(slog.NewTextHandler(&g.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Now:           time.Now,
		NewID:         uuid.NewString,
		Limits:        with.limits,
	}
	if with.edit != nil {
		with.edit(&cfg)
	}
	return cfg
}

func pick[T any](first bool, a, b T) T {
	if first {
		return a
	}
	return b
}

func dialTo(address string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
}

// caller is an HTTP client that finds every host at one server.
func caller(server *httptest.Server, http1 bool) *http.Client {
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	return &http.Client{Transport: &http.Transport{
		DialContext:       dialTo(server.Listener.Addr().String()),
		TLSClientConfig:   &tls.Config{RootCAs: pool, ServerName: "example.com", MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2: !http1, DisableCompression: true, MaxIdleConnsPerHost: 64,
	}}
}

// reply is what a caller got.
type reply struct {
	Status int
	Header http.Header
	Body   string
	Err    error // of reading the body
}

// journal is the operations log of a gate.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// request builds a caller's request.
func request(t testing.TB, method, path, body string, headers ...string) *http.Request {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(context.Background(), method, "https://"+publicHost+path, reader)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "type=aad&ver=1.0&sig="+callerToken)
	r.Header.Set("X-Ms-Activity-Id", activityID)
	r.Header.Set("X-Ms-Version", "2020-11-05")
	if body != "" {
		r.Header.Set("Content-Type", jsonMedia)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

// do sends a request and reads the answer to its end.
func (g *gate) do(r *http.Request) reply {
	g.t.Helper()
	response, err := g.client.Do(r)
	if err != nil {
		return reply{Err: err}
	}
	defer response.Body.Close() //nolint:errcheck // read to its end.
	body, err := io.ReadAll(response.Body)
	g.mu.Lock()
	defer g.mu.Unlock()
	for name, values := range response.Header {
		g.sent = append(g.sent, name+": "+strings.Join(values, ",")+"\n"...)
	}
	g.sent = append(g.sent, body...)
	return reply{response.StatusCode, response.Header, string(body), err}
}

// get reads one item.
func (g *gate) get() reply {
	return g.do(request(g.t, http.MethodGet, "/dbs/shop/colls/orders/docs/1", "", "X-Ms-Documentdb-Partitionkey", `["emea"]`))
}

// create writes one item.
func (g *gate) create() reply {
	return g.do(request(g.t, http.MethodPost, "/dbs/shop/colls/orders/docs", `{"id":"1","department":"emea"}`,
		"X-Ms-Documentdb-Partitionkey", `["emea"]`))
}

// checkLeaks holds for every test: what went up holds nothing of the caller's
// credential, what came down nothing of ours, nor the name of the upstream, and neither
// credential was logged or recorded.
func (g *gate) checkLeaks() {
	for _, r := range g.service.seen() {
		var dump bytes.Buffer
		dump.WriteString(r.Method + " " + r.URI + " " + r.Host + "\n")
		_ = r.Header.Write(&dump)
		dump.WriteString(r.Body)
		if bytes.Contains(dump.Bytes(), []byte(callerToken)) {
			g.t.Errorf("the caller's credential went upstream:\n%s", dump.String())
		}
	}
	g.ledger.mu.Lock()
	written := g.log.String() + fmt.Sprintf("%+v", g.ledger.records)
	g.ledger.mu.Unlock()
	for _, secret := range []string{callerToken, upstreamToken} {
		if strings.Contains(written, secret) {
			g.t.Errorf("%q was logged or recorded:\n%s", secret, written)
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, secret := range []string{upstreamToken, upstreamHost, "secret-account"} {
		if bytes.Contains(bytes.ToLower(g.sent), []byte(secret)) {
			g.t.Errorf("%q reached a caller:\n%s", secret, g.sent)
		}
	}
}

// item answers as the service does for a document.
func item(w http.ResponseWriter, body string) {
	h := w.Header()
	h.Set("Content-Type", jsonMedia)
	h.Set("X-Ms-Request-Charge", "1.25")
	h.Set("X-Ms-Session-Token", "0:-1#7")
	h.Set("Etag", `"00000000-0000-0000-0000-000000000001"`)
	h.Set("X-Ms-Activity-Id", activityID)
	h.Set("Server", "Microsoft-HTTPAPI/2.0")
	h.Set("Content-Location", "https://"+upstreamHost+"/dbs/shop/colls/orders/docs/1")
	h.Set("X-Ms-Gatewayversion", "version="+upstreamHost)
	_, _ = io.WriteString(w, body)
}

// native answers as the service does for an error.
func native(w http.ResponseWriter, status int, substatus, code string) {
	h := w.Header()
	h.Set("Content-Type", jsonMedia)
	h.Set("X-Ms-Substatus", substatus)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, `{"code":"`+code+`","message":"said by the service\r\nActivityId: `+activityID+`"}`)
}
