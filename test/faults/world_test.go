package faults_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cosmosgate/cosmosgate/certs"
	"github.com/cosmosgate/cosmosgate/internal/devidp"
)

const (
	person       = "5a0e8a54-30f5-4a9a-8f7e-6c1b7f0c0001"
	identityID   = "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3d0001"
	identityKey  = "identity-header"
	scimToken    = "scim-token-of-the-fault-table"
	gateHost     = "gate.example"
	upstreamName = "localhost"
	// patience bounds every wait: it is there to end a test that hangs, not to measure.
	patience = 70 * time.Second
)

// world is a gate, as operators run it, and everything that it depends on, each of which can be broken.
type world struct {
	t      *testing.T
	binary string
	dir    string
	audit  string // path
	tls    *certs.Authority
	pool   *x509.CertPool

	signIn   *idp // the callers' identity provider
	managed  *idp // the identity endpoint of the host
	upstream *upstream

	gate              *exec.Cmd
	exited            chan struct{} // closed when the gate has ended
	stderr            string
	data, push, admin string // addresses
	client            *http.Client
}

// options change what a world is made of.
type options struct {
	clock        func() time.Time // of the callers' identity provider
	managedClock func() time.Time
	edit         []string     // old, new: replaced in the configuration
	before       func(*world) // just before the gate starts
	notReady     bool         // do not wait for readiness
	identityDown devidp.Fault // of the identity endpoint from the beginning
	auditDir     func(*world) string
}

func newWorld(t *testing.T, binary string, o options) *world {
	t.Helper()
	w := &world{t: t, binary: binary, dir: t.TempDir()}
	authority, err := certs.DevelopmentAuthority(filepath.Join(w.dir, "tls"), nil, time.Now)
	w.must(err)
	w.tls = authority
	pem, err := os.ReadFile(authority.CAFile)
	w.must(err)
	w.pool = x509.NewCertPool()
	w.pool.AppendCertsFromPEM(pem)
	pair, err := tls.LoadX509KeyPair(authority.CertFile, authority.KeyFile)
	w.must(err)

	w.upstream = newUpstream(t, pair)
	w.signIn = newIDP(t, &pair, o.clock)
	w.managed = newIDP(t, nil, o.managedClock)
	w.managed.Inject(devidp.EndpointManagedIdentity, o.identityDown)
	w.audit = filepath.Join(w.dir, "audit", "audit.jsonl")
	if o.auditDir != nil {
		w.audit = filepath.Join(o.auditDir(w), "audit.jsonl")
	}
	w.write("cosmosgate.yaml", w.config(o.edit))
	w.write("policy.yaml", policyText)
	w.write("scim-token", scimToken)
	if o.before != nil {
		o.before(w)
	}
	w.start()
	t.Cleanup(w.stop)
	if !o.notReady {
		w.eventually("the gate becomes ready", func() bool { return w.ready().code == http.StatusOK })
	}
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) write(name, text string) {
	w.t.Helper()
	w.must(os.WriteFile(w.path(name), []byte(text), 0o600))
}

func (w *world) config(edit []string) string {
	text := strings.NewReplacer("DIR", w.dir, "AUDIT", w.audit, "CERT", w.tls.CertFile, "KEY", w.tls.KeyFile, "CA", w.tls.CAFile,
		"ISSUER", w.signIn.Issuer(), "UPSTREAM", w.upstream.url(), "IDENTITY", identityID).Replace(configuration)
	return strings.NewReplacer(edit...).Replace(text)
}

// start runs the binary and learns from its log where it listens.
func (w *world) start() {
	w.t.Helper()
	w.stderr = w.path(fmt.Sprintf("stderr-%d", time.Now().UnixNano()))
	log, err := os.Create(w.stderr)
	w.must(err)
	defer log.Close() //nolint:errcheck // the process has its own
	gate := exec.CommandContext(context.Background(), w.binary, "serve", "--config", w.path("cosmosgate.yaml"))
	gate.Env = append(os.Environ(), "IDENTITY_ENDPOINT="+w.managed.IdentityEndpoint(), "IDENTITY_HEADER="+identityKey)
	gate.Stderr = log
	w.must(gate.Start())
	exited := make(chan struct{})
	go func() {
		_ = gate.Wait() // ProcessState keeps it
		close(exited)
	}()
	w.gate, w.exited = gate, exited
	w.eventually("the gate starts", w.learnAddresses)
	w.client = w.newClient(false)
}

func (w *world) learnAddresses() bool {
	text, err := os.ReadFile(w.stderr)
	w.must(err)
	select {
	case <-w.exited:
		w.t.Fatalf("the gate ended: %v\n%s", w.gate.ProcessState, text)
	default:
	}
	for line := range strings.Lines(string(text)) {
		var entry struct{ Msg, Data, SCIM, Admin string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "gate started" {
			w.data, w.push, w.admin = entry.Data, entry.SCIM, entry.Admin
			return true
		}
	}
	return false
}

// newClient returns a caller's side: connections of its own, kept alive.
func (w *world) newClient(http2 bool) *http.Client {
	address := w.data
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetHTTP2(http2)
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
		TLSClientConfig: &tls.Config{RootCAs: w.pool, ServerName: "localhost", MinVersion: tls.VersionTLS12},
		Protocols:       protocols, DisableCompression: true, MaxIdleConnsPerHost: 64,
	}
	w.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 2 * patience} // longer than the gate waits for upstream
}

// signal sends the gate a signal.
func (w *world) signal(s os.Signal) {
	w.t.Helper()
	w.must(w.gate.Process.Signal(s))
}

// ended waits for the gate's end and returns its exit code.
func (w *world) ended() int {
	w.t.Helper()
	select {
	case <-w.exited:
	case <-time.After(patience):
		w.t.Fatal("the gate does not end")
	}
	return w.gate.ProcessState.ExitCode()
}

// stop ends the gate at the end of a row, and shows its log if the row failed. A gate must always be able to end in order.
func (w *world) stop() {
	select {
	case <-w.exited:
	default:
		w.upstream.release()
		_ = w.gate.Process.Signal(syscall.SIGTERM)
		select {
		case <-w.exited:
			if code := w.gate.ProcessState.ExitCode(); code != 0 {
				w.t.Errorf("the gate ended with exit code %d", code)
			}
		case <-time.After(patience):
			w.t.Error("the gate does not end after SIGTERM")
			_ = w.gate.Process.Kill()
		}
	}
	if w.t.Failed() {
		text, _ := os.ReadFile(w.stderr)
		w.t.Logf("log of the gate:\n%s", text)
	}
}

// eventually waits until something holds.
func (w *world) eventually(what string, holds func() bool) {
	w.t.Helper()
	for end := time.Now().Add(patience); !holds(); {
		if time.Now().After(end) {
			w.t.Fatalf("it never came true that %s", what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// readiness is what /readyz says.
type readiness struct {
	code   int
	checks map[string]string
}

func (w *world) ready() readiness {
	w.t.Helper()
	body, code := w.ask("/readyz")
	var report struct{ Checks map[string]string }
	if code != 0 {
		w.must(json.Unmarshal([]byte(body), &report))
	}
	return readiness{code, report.Checks}
}

// ask reads from the admin listener; code 0 means that it does not answer.
func (w *world) ask(path string) (string, int) {
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + w.admin + path)
	if err != nil {
		return "", 0
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return "", 0
	}
	return string(body), response.StatusCode
}

// metric returns the sum of all series that begin with a prefix: a name, with the first labels if need be.
func (w *world) metric(prefix string) float64 {
	w.t.Helper()
	text, code := w.ask("/metrics")
	if code != http.StatusOK {
		w.t.Fatalf("metrics: %d", code)
	}
	sum := 0.0 // a series that has not begun
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, prefix) {
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(strings.TrimSpace(line), ' ')+1:]), 64)
		w.must(err)
		sum += value
	}
	return sum
}

// idp is a development identity provider with a switch.
type idp struct {
	*devidp.Provider

	server *httptest.Server
	down   atomic.Bool
}

// newIDP serves a provider over TLS, or in the clear as identity endpoints on hosts do.
func newIDP(t *testing.T, pair *tls.Certificate, clock func() time.Time) *idp {
	t.Helper()
	p := &idp{}
	p.server = httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if p.down.Load() {
			panic(http.ErrAbortHandler)
		}
		p.ServeHTTP(rw, r)
	}))
	p.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	if pair != nil {
		p.server.TLS = &tls.Config{Certificates: []tls.Certificate{*pair}, MinVersion: tls.VersionTLS12}
		p.server.StartTLS()
	} else {
		p.server.Start()
	}
	t.Cleanup(p.server.Close)
	if clock == nil {
		clock = time.Now
	}
	base, err := url.Parse(p.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	p.Provider, err = devidp.New(devidp.Config{
		Issuer: base.Scheme + "://localhost:" + base.Port() + "/dev", Audience: "api://cosmosgate-dev",
		People:     []devidp.Person{{Name: "ann", ID: person, DisplayName: "Ann"}},
		Clients:    []devidp.Client{{ID: "checkout", Secret: "s"}},
		Identities: []devidp.ManagedIdentity{{ClientID: identityID, ObjectID: "e7a0f1c2-0000-4000-8000-000000000001"}}, IdentityHeader: identityKey,
		Clock: clock, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// token gets an application's token. It does not go over the network, so that it works in any outage.
func (w *world) token() string {
	w.t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"checkout"}, "client_secret": {"s"}}
	request := httptest.NewRequestWithContext(context.Background(), http.MethodPost, w.signIn.Issuer()+"/token", strings.NewReader(form.Encode()))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer := httptest.NewRecorder()
	w.signIn.ServeHTTP(answer, request)
	var got struct {
		AccessToken string `json:"access_token"`
	}
	w.must(json.Unmarshal(answer.Body.Bytes(), &got))
	if got.AccessToken == "" {
		w.t.Fatalf("no token: %s", answer.Body)
	}
	return got.AccessToken
}

// lines returns the audit file's lines.
func (w *world) lines() []string {
	text, err := os.ReadFile(w.audit)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	w.must(err)
	return slices.Collect(strings.Lines(string(text)))
}

const configuration = `listen:
  data:  {address: "127.0.0.1:0", max_connections: 12000, tls: {certificate: "CERT", key: "KEY"}}
  scim:  {address: "127.0.0.1:0", tls: {certificate: "CERT", key: "KEY"}}
  admin: {address: "127.0.0.1:0"}
trust: {upstream: "CA", issuers: "CA"}
accounts:
- name: shop
  public_url: https://` + gateHost + `/
  upstream: UPSTREAM/
  region: Local
  reader: orders
  identities: {orders: {managed_identity: {client_id: IDENTITY}}}
issuers:
- {name: dev, url: ISSUER, audiences: ["api://cosmosgate-dev"], connection: dev, claim: oid, token_type: at+jwt, front_end_clients: [cli], insecure_loopback: true}
connections:
- {name: dev, issuer: dev, tokens: [{value: {file: "DIR/scim-token"}, expires: 2099-01-01T00:00:00Z}]}
scim:      {public_url: "https://` + gateHost + `/"}
directory: {path: "DIR/directory.db"}
policy:    {path: "DIR/policy.yaml"}
audit:     {path: "AUDIT"}
log:       {level: info, format: json}
limits:    {upstream_timeout: 65s, account_refresh: 5m, drain: 30s}
`

const policyText = `kind: Application
name: checkout
match: {issuer: dev, claims: {client_id: checkout}}
---
kind: Role
name: orders
identity: orders
rules: [{dataActions: ["items/*", executeQuery, readMetadata], resources: [shop/store/orders]}]
---
kind: RoleBinding
name: orders
role: orders
subjects: [{application: checkout}]
`
