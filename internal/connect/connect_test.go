package connect_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/internal/connect"
)

const (
	token   = "the-engineers-token"
	account = `{"id":"prod","writableLocations":[{"name":"Gate","databaseAccountEndpoint":"https://gate.example/"}],` +
		`"enableMultipleWriteLocations":false,"readableLocations":[{"name":"Gate","databaseAccountEndpoint":"https://gate.example/"}],"queryEngineConfiguration":"{\"a\":\"https://gate.example/\"}"}`
)

// house is a listener in front of a gate that keeps what it was sent.
type house struct {
	t      *testing.T
	gate   *httptest.Server
	server *connect.Server
	client *http.Client
	ended  chan error

	mu       sync.Mutex
	seen     []*http.Request
	bodies   []string
	answer   func(http.ResponseWriter, *http.Request)
	login    error
	tokenErr error
}

func newHouse(t *testing.T, edit func(*connect.Config)) *house {
	t.Helper()
	h := &house{t: t, ended: make(chan error, 1), client: &http.Client{Transport: &http.Transport{}}}
	h.gate = httptest.NewTLSServer(http.HandlerFunc(h.serve))
	t.Cleanup(h.gate.Close)
	gate, err := url.Parse(h.gate.URL)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := connect.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := connect.Config{
		Gate: gate, Transport: h.gate.Client().Transport, Listener: listener, Clock: time.Now,
		Token:    func(context.Context) (string, error) { h.mu.Lock(); defer h.mu.Unlock(); return token, h.tokenErr },
		SignedIn: func(context.Context) error { h.mu.Lock(); defer h.mu.Unlock(); return h.login },
		NewID:    func() string { return "5f3c1a52-7d0e-4a55-9a2f-0d6c8e9b1a11" }, Logger: slog.New(slog.DiscardHandler),
	}
	if edit != nil {
		edit(&c)
	}
	if h.server, err = connect.New(c); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { h.ended <- h.server.Run(ctx) }()
	t.Cleanup(func() { h.client.CloseIdleConnections(); cancel() })
	return h
}

func (h *house) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	h.mu.Lock()
	h.seen, h.bodies = append(h.seen, r), append(h.bodies, string(body))
	answer := h.answer
	h.mu.Unlock()
	switch {
	case answer != nil:
		answer(w, r)
	case r.URL.Path == "/":
		_, _ = io.WriteString(w, account)
	default:
		w.Header().Set("X-Ms-Request-Charge", "1.5")
		w.Header().Set("Set-Cookie", "gate=1")
		_, _ = io.WriteString(w, `{"id":"1"}`)
	}
}

// request is one that a tool with the key signs; link and kind are what it signs.
func (h *house) request(method, path, kind, link, body string) *http.Request {
	h.t.Helper()
	r, err := http.NewRequestWithContext(h.t.Context(), method, strings.TrimSuffix(h.server.Endpoint(), "/")+path, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	if body == "" {
		r.Body, r.ContentLength = http.NoBody, 0
	} else {
		r.Header.Set("Content-Type", "application/json")
	}
	sign(r, h.server.Key(), kind, link, time.Now())
	return r
}

func sign(r *http.Request, key, kind, link string, at time.Time) {
	secret, _ := base64.StdEncoding.DecodeString(key)
	date := at.UTC().Format(http.TimeFormat)
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(strings.ToLower(r.Method) + "\n" + kind + "\n" + link + "\n" + strings.ToLower(date) + "\n\n"))
	r.Header.Set("X-Ms-Date", date)
	r.Header.Set("Authorization", url.QueryEscape("type=master&ver=1.0&sig="+base64.StdEncoding.EncodeToString(mac.Sum(nil))))
}

func (h *house) item() *http.Request {
	return h.request(http.MethodGet, "/dbs/shop/colls/orders/docs/a%20b", "docs", "dbs/shop/colls/orders/docs/a b", "")
}

func (h *house) do(r *http.Request) (int, http.Header, string) {
	h.t.Helper()
	resp, err := h.client.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(body)
}

func TestAToolsRequestGoesToTheGateWithTheEngineersToken(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	r := h.item()
	r.Header.Set("X-Ms-Documentdb-Partitionkey", `["emea"]`)
	r.Header.Set("Cookie", "tool=1")
	r.Header.Set("X-Forwarded-For", "1.2.3.4")
	status, header, body := h.do(r)
	if status != http.StatusOK || body != `{"id":"1"}` || header.Get("X-Ms-Request-Charge") != "1.5" || header.Get("Set-Cookie") != "" {
		t.Errorf("answer: %d %v %s", status, header, body)
	}
	got := h.seen[0]
	want := map[string]string{
		"Authorization": "type%3Daad%26ver%3D1.0%26sig%3D" + token, "X-Ms-Documentdb-Partitionkey": `["emea"]`, "Cookie": "", "X-Forwarded-For": "",
		"X-Ms-Date": r.Header.Get("X-Ms-Date"),
	}
	for name, value := range want {
		if diff := cmp.Diff(value, got.Header.Get(name)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if diff := cmp.Diff("/dbs/shop/colls/orders/docs/a%20b", got.RequestURI); diff != "" {
		t.Errorf("path (-want +got):\n%s", diff)
	}
}

func TestBodiesGoThroughAsTheyAre(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	large := `{"id":"1","text":"` + strings.Repeat("x", 1<<20) + `"}`
	if status, _, body := h.do(h.request(http.MethodPost, "/dbs/shop/colls/orders/docs", "docs", "dbs/shop/colls/orders", large)); status != http.StatusOK {
		t.Fatalf("answer: %d %s", status, body)
	}
	if h.bodies[0] != large {
		t.Errorf("the gate got %d bytes, want %d", len(h.bodies[0]), len(large))
	}
}

func TestTheAccountsOnlyLocationIsTheListener(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	status, _, body := h.do(h.request(http.MethodGet, "/", "", "", ""))
	if status != http.StatusOK {
		t.Fatalf("answer: %d %s", status, body)
	}
	var got struct {
		ID       string `json:"id"`
		Writable []struct {
			Name     string `json:"name"`
			Endpoint string `json:"databaseAccountEndpoint"`
		} `json:"writableLocations"`
		Readable []struct {
			Name     string `json:"name"`
			Endpoint string `json:"databaseAccountEndpoint"`
		} `json:"readableLocations"`
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	for _, endpoint := range []string{got.Writable[0].Endpoint, got.Readable[0].Endpoint} {
		if diff := cmp.Diff(h.server.Endpoint(), endpoint); diff != "" {
			t.Errorf("location (-want +got):\n%s", diff)
		}
	}
	if got.ID != "prod" || got.Writable[0].Name != "Gate" {
		t.Errorf("document: %s", body)
	}
}

// TestNobodyElseGetsThrough plays what others on the machine, and web pages, may try. Nothing of it reaches the gate.
func TestNobodyElseGetsThrough(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		edit func(h *house, r *http.Request)
		want int
	}{
		{"no credential", func(_ *house, r *http.Request) { r.Header.Del("Authorization") }, 401},
		{"another key", func(_ *house, r *http.Request) {
			sign(r, "bm90IHRoZSBrZXk=", "docs", "dbs/shop/colls/orders/docs/a b", time.Now())
		}, 401},
		{"no key at all", func(_ *house, r *http.Request) { sign(r, "", "docs", "dbs/shop/colls/orders/docs/a b", time.Now()) }, 401},
		{"a signature for another item", func(h *house, r *http.Request) {
			sign(r, h.server.Key(), "docs", "dbs/shop/colls/orders/docs/other", time.Now())
		}, 401},
		{"a signature for another method", func(_ *house, r *http.Request) { r.Method = http.MethodDelete }, 401},
		{"a signature of yesterday", func(h *house, r *http.Request) {
			sign(r, h.server.Key(), "docs", "dbs/shop/colls/orders/docs/a b", time.Now().Add(-24*time.Hour))
		}, 401},
		{"another date than was signed", func(_ *house, r *http.Request) {
			r.Header.Set("X-Ms-Date", time.Now().Add(time.Minute).UTC().Format(http.TimeFormat))
		}, 401},
		{"no date", func(_ *house, r *http.Request) { r.Header.Del("X-Ms-Date") }, 401},
		{"a token in place of a signature", func(_ *house, r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }, 401},
		{"the key itself as a token", func(h *house, r *http.Request) { r.Header.Set("Authorization", "Bearer "+h.server.Key()) }, 401},
		{"a credential that Connection takes away", func(_ *house, r *http.Request) { r.Header.Set("Connection", "Authorization") }, 401},
		{"a name that was made to lead here", func(_ *house, r *http.Request) { r.Host = "rebound.example" }, 403},
		{"the right name with another port", func(_ *house, r *http.Request) { r.Host = "localhost:1" }, 403},
		{"no port", func(_ *house, r *http.Request) { r.Host = "127.0.0.1" }, 403},
		{"a web page", func(_ *house, r *http.Request) { r.Header.Set("Origin", "https://evil.example") }, 403},
		{"a web page without a name", func(_ *house, r *http.Request) { r.Header.Set("Origin", "null") }, 403},
		{"a web page of this machine", func(h *house, r *http.Request) { r.Header.Set("Origin", strings.TrimSuffix(h.server.Endpoint(), "/")) }, 403},
		{"a browser's cross-site request", func(_ *house, r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403},
		{"a browser's same-site request", func(_ *house, r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") }, 403},
		{"a browser's question whether it may", func(_ *house, r *http.Request) { r.Method = http.MethodOptions }, 403},
		{"a path that reads two ways", func(_ *house, r *http.Request) { r.URL.Path, r.URL.RawPath = "/dbs/../dbs/shop", "/dbs/../dbs/shop" }, 400},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, nil)
			r := h.item()
			row.edit(h, r)
			status, header, body := h.do(r)
			if diff := cmp.Diff(row.want, status); diff != "" {
				t.Errorf("status (-want +got):\n%s%s", diff, body)
			}
			for name := range header {
				if strings.HasPrefix(name, "Access-Control") {
					t.Errorf("answers a web page: %s", name)
				}
			}
			if len(h.seen) > 0 || strings.Contains(body, token) {
				t.Errorf("the gate was asked %d times; body %s", len(h.seen), body)
			}
		})
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the token went elsewhere: %v", r.Header)
	}))
	defer elsewhere.Close()
	h.answer = func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	}
	if status, _, body := h.do(h.item()); status != http.StatusServiceUnavailable || strings.Contains(body, elsewhere.URL) {
		t.Errorf("answer: %d %s", status, body)
	}
}

func TestAGateThatIsNotTrustedGetsNoToken(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(c *connect.Config) { c.Transport = &http.Transport{} })
	if status, _, body := h.do(h.item()); status != http.StatusServiceUnavailable || len(h.seen) != 0 {
		t.Errorf("answer: %d %s, the gate saw %d", status, body, len(h.seen))
	}
}

func TestAnAnswerThatBreaksOffDoesNotPassForWhole(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	h.answer = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "part")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	resp, err := h.client.Do(h.item())
	if err != nil {
		return // it broke before the header
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("%q passes for whole", body)
	}
}

func TestItEndsWithTheLogin(t *testing.T) {
	t.Parallel()
	over := errors.New("signed out")
	h := newHouse(t, func(c *connect.Config) { c.Idle = time.Hour })
	h.mu.Lock()
	h.login, h.tokenErr = over, over
	h.mu.Unlock()
	if status, _, body := h.do(h.item()); status != http.StatusUnauthorized || !strings.Contains(body, "cosmosgate login") {
		t.Errorf("meanwhile: %d %s", status, body)
	}
	if err := <-h.ended; !errors.Is(err, over) {
		t.Errorf("ended with %v", err)
	}
}

func TestItEndsWhenNothingIsAsked(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(c *connect.Config) { c.Idle = 30 * time.Millisecond })
	if err := <-h.ended; !errors.Is(err, connect.ErrIdle) {
		t.Errorf("ended with %v", err)
	}
}

func TestOnlyLoopbackIsBound(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "example.com:0", "127.0.0.1.example.com:0", "127.0.0.1"} {
		if l, err := connect.Listen(t.Context(), address); err == nil {
			_ = l.Close()
			t.Errorf("%s was bound", address)
		}
	}
	for _, address := range []string{"localhost:0", "127.0.0.1:0"} {
		l, err := connect.Listen(t.Context(), address)
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		_ = l.Close()
	}
}

func TestASocketIsItsOwnersAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	listener, err := connect.Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v, want mode 0600", info.Mode(), err)
	}
	if _, err := connect.Listen(t.Context(), path); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second listener: %v", err)
	}
	h := newHouse(t, func(c *connect.Config) { _ = c.Listener.Close(); c.Listener = listener })
	h.client.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}
	if status, _, body := h.do(h.item()); status != http.StatusOK {
		t.Errorf("answer: %d %s", status, body)
	}
	_ = listener.Close() // the server ends with it
	<-h.ended
	if left, _ := filepath.Glob(filepath.Dir(path) + "/*"); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestTLSWithACertificateOfThisRun(t *testing.T) {
	t.Parallel()
	certificate, pem, err := connect.LocalCertificate(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	h := newHouse(t, func(c *connect.Config) { c.Certificate = certificate })
	if !strings.HasPrefix(h.server.ConnectionString(), "AccountEndpoint=https://127.0.0.1:") {
		t.Errorf("connection string %s", h.server.ConnectionString())
	}
	h.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool(t, pem)}}
	for _, host := range []string{"127.0.0.1", "localhost"} {
		r := h.item()
		r.URL.Host = strings.Replace(r.URL.Host, "127.0.0.1", host, 1)
		r.Host = ""
		if status, _, body := h.do(r); status != http.StatusOK {
			t.Errorf("%s: answer: %d %s", host, status, body)
		}
	}
}

func TestIncompleteConfigurationsAreRefused(t *testing.T) {
	t.Parallel()
	if _, err := connect.New(connect.Config{}); err == nil {
		t.Error("nothing at all was accepted")
	}
}

//nolint:paralleltest // the working folder is the process's
func TestASocketWithoutAFolderIsInTheWorkingFolder(t *testing.T) {
	folder := t.TempDir()
	t.Chdir(folder)
	listener, err := connect.Listen(t.Context(), ".gate")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() //nolint:errcheck // the folder goes with the test
	if _, err := os.Lstat(filepath.Join(folder, ".gate")); err != nil {
		t.Error(err)
	}
}
