package deploy_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/cosmosgate/cosmosgate/internal/emulator"
	"github.com/cosmosgate/cosmosgate/test/deploy"
)

// stack is the compose stack without containers: the gate's own command line, with the shipped configuration, certificates, policy
// and realm; stand-ins take the places of the emulator and of Keycloak, under their own certificates.
type stack struct {
	d        *deploy.Deployment
	made     string // what certificates.sh made
	dir      string
	binary   string
	config   string
	policy   string
	client   *http.Client
	cosmos   *emulator.Emulator
	upstream *httptest.Server
	keycloak *httptest.Server
	key      *rsa.PrivateKey
	addr     map[string]string // data, scim, admin
}

func newStack(t *testing.T) *stack {
	t.Helper()
	s := &stack{d: load(t, root), made: certificates(t, root), dir: t.TempDir(), binary: binary(t)}
	ca, err := os.ReadFile(filepath.Join(s.made, "gate", "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	s.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
	s.startUpstream(t)
	s.startKeycloak(t)
	s.rewrite(t)
	return s
}

func serveTLS(t *testing.T, h http.Handler, certificate tls.Certificate) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// names wants a certificate to be good for the names under which a service is reached.
func names(t *testing.T, certificate tls.Certificate, hosts ...string) {
	t.Helper()
	leaf, err := x509.ParseCertificate(certificate.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range hosts {
		if err := leaf.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
}

func (s *stack) environment(service, name string) string {
	if v := s.d.Compose.Services[service].Environment[name]; v != nil {
		return *v
	}
	return ""
}

func (s *stack) startUpstream(t *testing.T) {
	t.Helper()
	file, err := s.d.HostPath("cosmos", s.environment("cosmos", "CERT_PATH"), s.made)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := exec.CommandContext(t.Context(), "openssl", "pkcs12", "-in", file, "-nodes", "-passin",
		"pass:"+s.environment("cosmos", "CERT_SECRET")).Output()
	if err != nil {
		t.Fatal("opening the emulator's certificate with CERT_SECRET:", err)
	}
	pair, err := tls.X509KeyPair(pem, pem)
	if err != nil {
		t.Fatal(err)
	}
	names(t, pair, "cosmos")
	s.cosmos, err = emulator.New(emulator.Config{
		Account: "emulator", Locations: []emulator.Location{{Name: "Local"}},
		MasterKey: emulator.WellKnownKey, Clock: time.Now, Random: rand.Reader,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.upstream = serveTLS(t, s.cosmos, pair)
}

func (s *stack) startKeycloak(t *testing.T) {
	t.Helper()
	folder := filepath.Join(s.made, "keycloak")
	pair, err := tls.LoadX509KeyPair(filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key"))
	if err != nil {
		t.Fatal(err)
	}
	if s.key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	path := "/realms/" + s.d.Realm.Name
	mux := http.NewServeMux()
	s.keycloak = serveTLS(t, mux, pair)
	answer := func(v any) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(v) // the gate may have gone
		}
	}
	mux.Handle("GET "+path+"/.well-known/openid-configuration", answer(map[string]any{
		"issuer": s.issuer(), "jwks_uri": s.issuer() + "/certs", "id_token_signing_alg_values_supported": []string{"RS256"},
	}))
	mux.Handle("GET "+path+"/certs", answer(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: s.key.Public(), KeyID: "k1", Algorithm: "RS256", Use: "sig"},
	}}))
}

func local(url string) string { return strings.Replace(url, "127.0.0.1", "localhost", 1) }

func (s *stack) issuer() string { return local(s.keycloak.URL) + "/realms/" + s.d.Realm.Name }

// rewrite puts this machine's paths and addresses in the place of the network's.
func (s *stack) rewrite(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.d.Root, "deploy", "compose", "cosmosgate.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	policy, err := s.d.HostPath("gate", s.d.Config.Policy.Path, s.made)
	if err != nil {
		t.Fatal(err)
	}
	s.policy = filepath.Join(s.dir, "policy") // a copy, to break
	if err := os.CopyFS(s.policy, os.DirFS(policy)); err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(s.dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	config := string(text)
	for _, change := range [][2]string{
		{"/etc/cosmosgate/policy", s.policy},
		{"/run/cosmosgate", filepath.Join(s.made, "gate")},
		{"/var/lib/cosmosgate", state},
		{`":8443"`, `"127.0.0.1:0"`}, {`":8444"`, `"127.0.0.1:0"`}, {`":9090"`, `"127.0.0.1:0"`},
		{s.d.Config.Accounts[0].Upstream, local(s.upstream.URL) + "/"},
		{s.d.Config.Issuers[0].URL, s.issuer()},
	} {
		if !strings.Contains(config, change[0]) {
			t.Errorf("the configuration does not hold %q", change[0])
		}
		config = strings.ReplaceAll(config, change[0], change[1])
	}
	s.config = filepath.Join(s.dir, "cosmosgate.yaml")
	if err := os.WriteFile(s.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
}

// command is a command line of a service with the rewritten file, and with the service's environment.
func (s *stack) command(ctx context.Context, args ...string) *exec.Cmd {
	line := slices.Clone(args)
	for i := range line {
		if line[i] == "/etc/cosmosgate/cosmosgate.yaml" {
			line[i] = s.config
		}
	}
	cmd := exec.CommandContext(ctx, s.binary, line...)
	cmd.Env = []string{"COSMOS_EMULATOR_KEY=" + s.environment("gate", "COSMOS_EMULATOR_KEY")}
	return cmd
}

// serve runs the compose file's command line and returns when the gate says where it listens; stop ends it as an engine would.
func (s *stack) serve(t *testing.T) (stop func()) {
	t.Helper()
	cmd := s.command(context.Background(), s.d.Compose.Services["gate"].Command...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	started, ended := make(chan map[string]string, 1), make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			log.Write(append(lines.Bytes(), '\n'))
			line := map[string]any{}
			if json.Unmarshal(lines.Bytes(), &line) == nil && line["msg"] == "gate started" {
				at := map[string]string{}
				for _, name := range []string{"data", "scim", "admin"} {
					at[name], _ = line[name].(string)
				}
				started <- at
			}
		}
	}()
	stop = func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		<-ended
		if err := cmd.Wait(); err != nil {
			t.Errorf("the gate ended with %v:\n%s", err, log.String())
		}
	}
	select {
	case s.addr = <-started:
	case <-ended:
		_ = cmd.Wait() // the log says why
		t.Fatalf("the gate did not start:\n%s", log.String())
	}
	return stop
}

// poll asks until an answer satisfies, or the test's time is over.
func (s *stack) poll(t *testing.T, url string, enough func(status int, body string) bool) {
	t.Helper()
	var status int
	var body string
	for ctx := t.Context(); ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
		if status, body = s.get(t, url, nil); enough(status, body) {
			return
		}
		if deadline, ok := t.Deadline(); ok && time.Until(deadline) < 30*time.Second {
			break
		}
	}
	t.Fatalf("%s: %d %s", url, status, body)
}

func (s *stack) get(t *testing.T, url string, header map[string]string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	r.Host = header["Host"]
	answer, err := s.client.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// token is what Keycloak would give a person of the realm through its client.
func (s *stack) token(t *testing.T, person string) string {
	t.Helper()
	i := slices.IndexFunc(s.d.Realm.Users, func(u deploy.RealmUser) bool { return u.Username == person })
	if i < 0 {
		t.Fatalf("the realm has no %s", person)
	}
	client := &s.d.Realm.Clients[0]
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: s.key, KeyID: "k1"}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	raw, err := jwt.Signed(signer).Claims(map[string]any{
		"iss": s.issuer(), "sub": s.d.Realm.Users[i].ID, "azp": client.ClientID, "typ": "Bearer",
		"aud": client.Mapped("oidc-audience-mapper", "included.custom.audience"),
		"iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
	}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// read asks the gate for a document, under the name that the account is published with.
func (s *stack) read(t *testing.T, person, path, partition string) int {
	t.Helper()
	status, _ := s.get(t, "https://"+s.addr["data"]+path, map[string]string{
		"Authorization": "Bearer " + s.token(t, person), "X-Ms-Version": "2020-07-15",
		"X-Ms-Documentdb-Partitionkey": `["` + partition + `"]`, "Host": "localhost:8443",
	})
	return status
}
