package agents_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/oauth2"
)

// patience bounds every wait: it ends a test that hangs, and measures nothing.
const patience = 60 * time.Second

const audience = "api://cosmosgate"

// buildGate builds the command once for all tests.
var buildGate = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "cosmosgate-agents-")
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "cosmosgate")
	build := exec.Command("go", "build", "-o", binary, "./cmd/cosmosgate")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return binary, nil
})

func binary(t *testing.T) string {
	t.Helper()
	path, err := buildGate()
	must(t, err)
	return path
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// run starts a program that is ended with the test.
func run(t *testing.T, env []string, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGINT)
		timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(name), out.String())
		}
	})
	return cmd
}

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for until := time.Now().Add(patience); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("%s: it did not happen", what)
		}
	}
}

// ready is what the development world writes about itself.
type ready struct {
	CA   string `json:"ca"`
	Gate struct {
		Endpoint string `json:"endpoint"`
	} `json:"gate"`
	TokenService string `json:"token_service"`
	Agent        struct {
		Name    string `json:"name"`
		KeyFile string `json:"key_file"`
	} `json:"agent"`
	Emulator struct {
		Endpoint string `json:"endpoint"`
	} `json:"emulator"`
	HostIdentity struct {
		Endpoint   string `json:"endpoint"`
		Header     string `json:"header"`
		Identities []struct {
			Name     string `json:"name"`
			ClientID string `json:"client_id"`
		} `json:"identities"`
	} `json:"host_identity"`
	Audit        string   `json:"audit"`
	TokenCommand []string `json:"token_command"`
}

// folder is a temporary one with a short name: a gate puts a socket into it, whose path must not be long.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gate-")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// develop starts `cosmosgate dev` and waits for it.
func develop(t *testing.T, flags ...string) (ready, string) {
	t.Helper()
	state := folder(t)
	file := filepath.Join(state, "ready.json")
	run(t, nil, binary(t), append([]string{"dev", "--port", "0", "--state", filepath.Join(state, "s"), "--ready-file", file}, flags...)...)
	var r ready
	eventually(t, "the development world is ready", func() bool {
		text, err := os.ReadFile(file)
		return err == nil && json.Unmarshal(text, &r) == nil
	})
	return r, filepath.Join(state, "s")
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	must(t, err)
	return port
}

// client trusts the development authority and keeps cookies, as a browser does.
func client(t *testing.T, ca string) *http.Client {
	t.Helper()
	pem, err := os.ReadFile(ca)
	must(t, err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	jar, err := cookiejar.New(nil)
	must(t, err)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}, Jar: jar, Timeout: patience}
}

// provider is where people sign in.
type provider struct {
	name, issuer, clientID string
	// signIn fills in whatever page the provider shows, and returns where that leads; nil if it shows none.
	signIn func(t *testing.T, c *http.Client, page *http.Response) *http.Response
}

// token is the authorization code flow with PKCE, by a browser of the test's.
func (p *provider) token(t *testing.T, ca, hint string) *oauth2.Token {
	t.Helper()
	browser := client(t, ca)
	redirect := "http://127.0.0.1/callback"
	var code string
	browser.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), redirect) {
			code = r.URL.Query().Get("code")
			return http.ErrUseLastResponse
		}
		return nil
	}
	endpoint := discover(t, browser, p.issuer)
	verifier := oauth2.GenerateVerifier()
	config := oauth2.Config{ClientID: p.clientID, Endpoint: endpoint, RedirectURL: redirect, Scopes: []string{"openid"}}
	page, err := browser.Get(config.AuthCodeURL("state", oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("login_hint", hint)))
	must(t, err)
	if code == "" && p.signIn != nil {
		page = p.signIn(t, browser, page)
	}
	text, _ := io.ReadAll(page.Body)
	page.Body.Close()
	if code == "" {
		t.Fatalf("%s gave no code: %s: %s", p.name, page.Status, text)
	}
	token, err := config.Exchange(context.WithValue(t.Context(), oauth2.HTTPClient, browser), code, oauth2.VerifierOption(verifier))
	must(t, err)
	return token
}

func discover(t *testing.T, c *http.Client, issuer string) oauth2.Endpoint {
	t.Helper()
	resp, err := c.Get(issuer + "/.well-known/openid-configuration")
	must(t, err)
	defer resp.Body.Close()
	var found struct {
		Authorization string `json:"authorization_endpoint"`
		Token         string `json:"token_endpoint"`
	}
	must(t, json.NewDecoder(resp.Body).Decode(&found))
	return oauth2.Endpoint{AuthURL: found.Authorization, TokenURL: found.Token, AuthStyle: oauth2.AuthStyleInParams}
}

// agentKey is the key of an agent, and its public part as a policy writes it.
func agentKey(t *testing.T) (jose.JSONWebKey, string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	key := jose.JSONWebKey{Key: private, Algorithm: string(jose.ES256), Use: "sig"}
	sum, err := key.Thumbprint(crypto.SHA256)
	must(t, err)
	key.KeyID = base64.RawURLEncoding.EncodeToString(sum)
	public, err := key.Public().MarshalJSON()
	must(t, err)
	return key, string(public)
}

// exchange has the agent exchange a token, and returns its own and the OAuth error.
func exchange(t *testing.T, c *http.Client, service, agent string, key jose.JSONWebKey, subject, kind string) (string, string) {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, nil)
	must(t, err)
	assertion, err := jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: agent, Subject: agent, Audience: jwt.Audience{service}, ID: rand.Text(), Expiry: jwt.NewNumericDate(time.Now().Add(time.Minute)),
	}).Serialize()
	must(t, err)
	resp, err := c.PostForm(service+"/oauth2/token", url.Values{
		"grant_type":            {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"subject_token":         {subject},
		"subject_token_type":    {"urn:ietf:params:oauth:token-type:" + kind},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {assertion},
	})
	must(t, err)
	defer resp.Body.Close()
	var answer struct {
		AccessToken string `json:"access_token"`
		Error       string `json:"error"`
	}
	must(t, json.NewDecoder(resp.Body).Decode(&answer))
	return answer.AccessToken, answer.Error
}

// read reads order 1001 through the gate, and returns the status and the substatus.
func read(t *testing.T, c *http.Client, gate, token string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, gate+"dbs/shop/colls/orders/docs/1001", nil)
	must(t, err)
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("X-Ms-Version", "2020-07-15")
	r.Header.Set("X-Ms-Documentdb-Partitionkey", `["emea"]`)
	resp, err := c.Do(r)
	must(t, err)
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return strings.TrimSuffix(fmt.Sprintf("%d/%s", resp.StatusCode, resp.Header.Get("X-Ms-Substatus")), "/")
}

// node returns the folder of the modules that the Makefile installed; without Node the test is skipped, or fails where everything is required.
func node(t *testing.T) string {
	t.Helper()
	cache := os.Getenv("XDG_CACHE_HOME")
	if cache == "" {
		home, err := os.UserHomeDir()
		must(t, err)
		cache = filepath.Join(home, ".cache")
	}
	modules := filepath.Join(cache, "cosmosgate", "agents", "node", "node_modules")
	_, errNode := exec.LookPath("node")
	if _, err := os.Stat(modules); err == nil && errNode == nil {
		return modules
	}
	if os.Getenv("REQUIRE_ALL") == "1" {
		t.Fatal("Node and its modules are not installed: run make")
	}
	t.Skip("Node and its modules are not installed: run make")
	return ""
}
