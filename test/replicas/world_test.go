package replicas_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"flag"
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
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"crypto/rand"

	"github.com/go-jose/go-jose/v4"

	"github.com/cosmosgate/cosmosgate/certs"
	"github.com/cosmosgate/cosmosgate/internal/devidp"
	"github.com/cosmosgate/cosmosgate/internal/emulator"
)

const (
	gateHost    = "gate.example"
	identityKey = "identity-header"
	scimToken   = "scim-token-of-the-replicas"
	dataID      = "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3d0001"
	directoryID = "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3d0002"
	dataObject  = "e7a0f1c2-0000-4000-8000-000000000001"
	gateObject  = "e7a0f1c2-0000-4000-8000-000000000002"
	// patience bounds every wait: it is there to end a test that hangs, not to measure.
	patience = 60 * time.Second
	people   = 12
)

var rounds = flag.Int("rounds", 5, "revocations of each kind that are measured")

// binary is the gate: one that the environment names, or built once.
var binary = sync.OnceValues(func() (string, error) {
	if built := os.Getenv("COSMOSGATE_BINARY"); built != "" {
		return built, nil
	}
	folder, err := os.MkdirTemp("", "replicas-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(folder, "cosmosgate")
	out, err := exec.Command("go", "build", "-C", "../..", "-o", path, "./cmd/cosmosgate").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

// world is three gates and what they need: one account, which also has the directory, and one identity provider.
type world struct {
	t        *testing.T
	dir      string
	tls      *certs.Authority
	pool     *x509.CertPool
	account  *emulator.Emulator
	provider *devidp.Provider
	identity string // endpoint of managed identities
	address  string // of the account
	gates    []*gate
}

// gate is one of several.
type gate struct {
	w      *world
	name   string
	dir    string
	relay  *relay
	cmd    *exec.Cmd
	exited chan struct{}
	stderr string

	data, push, admin string
}

func newWorld(t *testing.T, gates int, settings string) *world {
	t.Helper()
	if testing.Short() {
		t.Skip("starts several processes")
	}
	// Not t.TempDir: it holds the test's name, and with that the path of a socket is too long.
	dir, err := os.MkdirTemp("", "gates-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	w := &world{t: t, dir: dir}
	authority, err := certs.DevelopmentAuthority(filepath.Join(w.dir, "tls"), nil, time.Now)
	w.must(err)
	w.tls = authority
	pem, err := os.ReadFile(authority.CAFile)
	w.must(err)
	w.pool = x509.NewCertPool()
	w.pool.AppendCertsFromPEM(pem)
	pair, err := tls.LoadX509KeyPair(authority.CertFile, authority.KeyFile)
	w.must(err)
	w.signIn(&pair)
	w.openAccount(&pair)
	for i := range gates {
		w.gates = append(w.gates, w.newGate(fmt.Sprintf("gate%d", i), settings))
	}
	var starting sync.WaitGroup
	for _, g := range w.gates {
		starting.Go(g.start)
	}
	starting.Wait()
	for _, g := range w.gates {
		t.Cleanup(g.stop)
		w.eventually(g.name+" is ready", g.ready)
	}
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) eventually(what string, holds func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("never: %s", what)
		}
	}
}

// serve runs a handler on a free port.
func (w *world) serve(pair *tls.Certificate, h http.Handler) string {
	l, err := (&net.ListenConfig{}).Listen(w.t.Context(), "tcp", "127.0.0.1:0")
	w.must(err)
	s := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	if pair != nil {
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{*pair}, MinVersion: tls.VersionTLS12})
	}
	go func() { _ = s.Serve(l) }()
	w.t.Cleanup(func() { _ = s.Close() })
	return l.Addr().String()
}

func port(address string) string { return address[strings.LastIndexByte(address, ':'):] }

func (w *world) signIn(pair *tls.Certificate) {
	late := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.provider.ServeHTTP(rw, r) })
	secure, plain := w.serve(pair, late), w.serve(nil, late)
	c := devidp.Config{
		Issuer: "https://localhost" + port(secure) + "/dev", Audience: "api://gate", IdentityHeader: identityKey,
		Clients:    []devidp.Client{{ID: "cli", RedirectURIs: []string{"http://127.0.0.1/callback"}}},
		Identities: []devidp.ManagedIdentity{{ClientID: dataID, ObjectID: dataObject}, {ClientID: directoryID, ObjectID: gateObject}},
		Clock:      time.Now, Logger: slog.New(slog.DiscardHandler),
	}
	for i := range people {
		c.People = append(c.People, devidp.Person{Name: personName(i), ID: personID(i), DisplayName: personName(i)})
	}
	var err error
	w.provider, err = devidp.New(c)
	w.must(err)
	at, err := url.Parse(w.provider.IdentityEndpoint())
	w.must(err)
	w.identity = "http://localhost" + port(plain) + at.Path
}

func personName(i int) string { return fmt.Sprintf("person%d", i) }
func personID(i int) string   { return fmt.Sprintf("5a0e8a54-30f5-4a9a-8f7e-6c1b7f0c%04d", i) }

func (w *world) openAccount(pair *tls.Certificate) {
	e, err := emulator.New(emulator.Config{
		Account: "replicas", Locations: []emulator.Location{{Name: "Local"}}, Consistency: "Strong",
		Issuer: w.provider.Issuer(), Clock: time.Now, Random: rand.Reader,
		Keys: func(context.Context, string) (*jose.JSONWebKeySet, error) {
			keys := w.provider.KeySet()
			return &keys, nil
		},
	})
	w.must(err)
	w.must(e.CreateDatabase("shop"))
	w.must(e.CreateDatabase("gate"))
	w.must(e.CreateContainer("shop", emulator.ContainerDefinition{ID: "orders", PartitionKey: []string{"/dep"}}))
	w.must(e.CreateContainer("gate", emulator.ContainerDefinition{
		ID: "directory", PartitionKey: []string{"/pk"}, Properties: json.RawMessage(`{"defaultTtl":-1}`),
	}))
	for i := range 30 {
		w.must(e.UpsertItem("shop", "orders", json.RawMessage(fmt.Sprintf(`{"id":"%d","dep":"e"}`, i))))
	}
	w.must(e.AssignRole(emulator.RoleAssignment{PrincipalID: dataObject, RoleID: emulator.BuiltInDataContributor, Scope: "/dbs/shop"}))
	w.must(e.AssignRole(emulator.RoleAssignment{PrincipalID: gateObject, RoleID: emulator.BuiltInDataContributor, Scope: "/dbs/gate"}))
	w.account = e
	w.address = w.serve(pair, e)
}

func (w *world) newGate(name, settings string) *gate {
	g := &gate{w: w, name: name, dir: filepath.Join(w.dir, name), relay: newRelay(w.t, w.address)}
	w.must(os.Mkdir(g.dir, 0o700))
	text := strings.NewReplacer("DIR", g.dir, "CERT", w.tls.CertFile, "KEY", w.tls.KeyFile, "CA", w.tls.CAFile,
		"ISSUER", w.provider.Issuer(), "ACCOUNT", "https://localhost"+port(w.address),
		"LOG", "https://localhost"+port(g.relay.address()), "SETTINGS", settings).Replace(configuration)
	for file, content := range map[string]string{"cosmosgate.yaml": text, "policy.yaml": policyText, "scim-token": scimToken} {
		w.must(os.WriteFile(filepath.Join(g.dir, file), []byte(content), 0o600))
	}
	return g
}

// start runs the binary and learns from its log where it listens.
func (g *gate) start() {
	path, err := binary()
	g.w.must(err)
	g.stderr = filepath.Join(g.dir, fmt.Sprintf("stderr-%d", time.Now().UnixNano()))
	out, err := os.Create(g.stderr)
	g.w.must(err)
	defer out.Close() //nolint:errcheck // the process has its own
	g.cmd = exec.Command(path, "serve", "--config", filepath.Join(g.dir, "cosmosgate.yaml"))
	g.cmd.Env = append(os.Environ(), "IDENTITY_ENDPOINT="+g.w.identity, "IDENTITY_HEADER="+identityKey)
	g.cmd.Stderr = out
	g.w.must(g.cmd.Start())
	exited, cmd := make(chan struct{}), g.cmd
	go func() {
		_ = cmd.Wait() // ProcessState keeps it
		close(exited)
	}()
	g.exited = exited
	g.w.eventually(g.name+" starts", g.learnAddresses)
}

func (g *gate) learnAddresses() bool {
	text, err := os.ReadFile(g.stderr)
	g.w.must(err)
	select {
	case <-g.exited:
		g.w.t.Fatalf("%s ended: %v\n%s", g.name, g.cmd.ProcessState, text)
	default:
	}
	for line := range strings.Lines(string(text)) {
		var entry struct{ Msg, Data, SCIM, Admin string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "gate started" {
			g.data, g.push, g.admin = entry.Data, entry.SCIM, entry.Admin
			return true
		}
	}
	return false
}

// kill ends the process as a power cut would.
func (g *gate) kill() {
	g.w.must(g.cmd.Process.Kill())
	<-g.exited
}

func (g *gate) stop() {
	if g.exited == nil {
		return // it never started
	}
	select {
	case <-g.exited:
	default:
		_ = g.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-g.exited:
		case <-time.After(patience):
			g.w.t.Errorf("%s does not end", g.name)
			_ = g.cmd.Process.Kill()
		}
	}
	if g.w.t.Failed() {
		text, _ := os.ReadFile(g.stderr)
		g.w.t.Logf("%s:\n%s", g.name, text[max(0, len(text)-4000):])
	}
}

func (g *gate) ready() bool {
	answer, err := http.Get("http://" + g.admin + "/readyz") //nolint:noctx // loopback, in a test
	if err != nil {
		return false
	}
	defer answer.Body.Close() //nolint:errcheck // it was not read
	return answer.StatusCode == http.StatusOK
}

// client returns connections of a caller's own to one of a gate's listeners.
func (g *gate) client(address string) *http.Client {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
		TLSClientConfig: &tls.Config{RootCAs: g.w.pool, ServerName: "localhost", MinVersion: tls.VersionTLS12},
	}
	g.w.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// token signs a person in with the authorization code flow.
func (w *world) token(i int) string {
	w.t.Helper()
	verifier := strings.Repeat("v", 64)
	challenge := sha256.Sum256([]byte(verifier))
	ask := url.Values{
		"client_id": {"cli"}, "response_type": {"code"}, "redirect_uri": {"http://127.0.0.1/callback"}, "scope": {"openid"}, "state": {"s"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"}, "login_hint": {personName(i)},
	}
	back, err := url.Parse(w.ask(http.MethodGet, w.provider.Issuer()+"/authorize?"+ask.Encode(), nil).Header().Get("Location"))
	w.must(err)
	form := url.Values{
		"grant_type": {"authorization_code"}, "client_id": {"cli"}, "code": {back.Query().Get("code")},
		"redirect_uri": {"http://127.0.0.1/callback"}, "code_verifier": {verifier},
	}
	answer := w.ask(http.MethodPost, w.provider.Issuer()+"/token", strings.NewReader(form.Encode()))
	var got struct {
		AccessToken string `json:"access_token"`
	}
	w.must(json.Unmarshal(answer.Body.Bytes(), &got))
	if got.AccessToken == "" {
		w.t.Fatalf("no token: %s", answer.Body)
	}
	return got.AccessToken
}

func (w *world) ask(method, target string, body io.Reader) *httptest.ResponseRecorder {
	request := httptest.NewRequestWithContext(context.Background(), method, target, body)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer := httptest.NewRecorder()
	w.provider.ServeHTTP(answer, request)
	return answer
}

// caller is a person at one gate, with a connection of its own.
type caller struct {
	client *http.Client
	token  string
}

func (g *gate) caller(token string) *caller { return &caller{g.client(g.data), token} }

// read reads one document and returns the status, zero for no answer.
func (c *caller) read() int {
	r, err := http.NewRequest(http.MethodGet, "https://"+gateHost+"/dbs/shop/colls/orders/docs/1", nil) //nolint:noctx // the client is bounded
	if err != nil {
		return 0
	}
	r.Header.Set("Authorization", url.QueryEscape("type=aad&ver=1.0&sig="+c.token))
	r.Header.Set("X-Ms-Version", "2020-07-15")
	r.Header.Set("X-Ms-Date", time.Now().UTC().Format(http.TimeFormat))
	r.Header.Set("X-Ms-Documentdb-Partitionkey", `["e"]`)
	answer, err := c.client.Do(r)
	if err != nil {
		return 0
	}
	defer answer.Body.Close()               //nolint:errcheck // read below
	_, _ = io.Copy(io.Discard, answer.Body) // for the connection's sake
	return answer.StatusCode
}

// scim sends a provider's request and returns status and body.
func (g *gate) scim(method, path, body string) (int, map[string]any) {
	return g.pushing(scimToken, method, path, body)
}

// pushing is scim with a token.
func (g *gate) pushing(token, method, path, body string) (int, map[string]any) {
	return g.provider().send(token, method, path, body)
}

// provider is one of an identity provider's workers, with connections of its own.
type provider struct{ client *http.Client }

func (g *gate) provider() provider { return provider{g.client(g.push)} }

func (p provider) send(token, method, path, body string) (int, map[string]any) {
	r, err := http.NewRequest(method, "https://"+gateHost+"/scim/v2/dev"+path, bytes.NewReader([]byte(body))) //nolint:noctx // as above
	if err != nil {
		return 0, nil
	}
	r.Header.Set("Content-Type", "application/scim+json")
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := p.client.Do(r)
	if err != nil {
		return 0, nil
	}
	defer answer.Body.Close() //nolint:errcheck // read below
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, nil
	}
	var got map[string]any
	_ = json.Unmarshal(text, &got)
	return answer.StatusCode, got
}

// hire makes a person known and returns the record's id.
func (g *gate) hire(i int) string {
	g.w.t.Helper()
	status, got := g.scim(http.MethodPost, "/Users", fmt.Sprintf(
		`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":%q,"externalId":%q,"active":true}`, personName(i), personID(i)))
	if status != http.StatusCreated {
		g.w.t.Fatalf("hiring: %d %v", status, got)
	}
	return text(got["id"])
}

// group makes a group with members.
func (g *gate) group(name string, members ...string) string {
	g.w.t.Helper()
	var list []string
	for _, m := range members {
		list = append(list, fmt.Sprintf(`{"value":%q}`, m))
	}
	status, got := g.scim(http.MethodPost, "/Groups", fmt.Sprintf(
		`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":%q,"externalId":%q,"members":[%s]}`, name, name, strings.Join(list, ",")))
	if status != http.StatusCreated {
		g.w.t.Fatalf("making group %s: %d %v", name, status, got)
	}
	return text(got["id"])
}

func (g *gate) patch(path, operations string) int {
	status, _ := g.scim(http.MethodPatch, path, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[`+operations+`]}`)
	return status
}

func (g *gate) setActive(id string, active bool) int {
	return g.patch("/Users/"+id, fmt.Sprintf(`{"op":"replace","path":"active","value":%t}`, active))
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

const configuration = `listen:
  data:  {address: "127.0.0.1:0", tls: {certificate: "CERT", key: "KEY"}}
  scim:  {address: "127.0.0.1:0", tls: {certificate: "CERT", key: "KEY"}}
  admin: {address: "127.0.0.1:0"}
trust: {upstream: "CA", issuers: "CA"}
accounts:
- name: shop
  public_url: https://` + gateHost + `/
  upstream: ACCOUNT/
  region: Local
  reader: data
  identities: {data: {managed_identity: {client_id: ` + dataID + `}}}
issuers:
- {name: dev, url: ISSUER, audiences: ["api://gate"], connection: dev, claim: oid, token_type: at+jwt, front_end_clients: [cli], insecure_loopback: true}
connections:
- {name: dev, issuer: dev, rate: {rps: 5000, burst: 5000}, tokens: [{value: {file: "DIR/scim-token"}, expires: 2099-01-01T00:00:00Z}]}
scim:      {public_url: "https://` + gateHost + `/"}
directory:
  path: "DIR/directory.db"
  cosmos: {endpoint: "LOG/", database: gate, container: directory, identity: {managed_identity: {client_id: ` + directoryID + `}}SETTINGS}
policy:    {path: "DIR/policy.yaml"}
audit:     {path: "DIR/audit.jsonl"}
limits:    {drain: 1s}
log:       {level: info, format: json}
`

const policyText = `kind: Role
name: careful
identity: data
rules: [{dataActions: [items/read, executeQuery], resources: [shop/shop/orders]}]
---
kind: RoleBinding
name: careful
role: careful
subjects: [{group: careful, connection: dev}]
---
kind: Role
name: patient
identity: data
staleness: best_effort
rules: [{dataActions: [items/read], resources: [shop/shop/orders]}]
---
kind: RoleBinding
name: patient
role: patient
subjects: [{group: patient, connection: dev}]
`
