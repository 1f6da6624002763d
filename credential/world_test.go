package credential_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/cosmosgate/cosmosgate/credential"
	"github.com/cosmosgate/cosmosgate/internal/devidp"
)

const (
	audience = "api://gate-dev"
	clientID = "cli"
)

// world is a gate that publishes a guide, and its issuer, on one server.
type world struct {
	t        *testing.T
	server   *httptest.Server
	provider *devidp.Provider
	folder   string
	guide    credential.Guide

	mu       sync.Mutex
	advanced time.Duration
	edit     func(path string, body []byte) []byte // changes what the server says
	asked    map[string]int                        // requests by path
	forms    []url.Values                          // posted to the token endpoint
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, asked: map[string]int{}, folder: filepath.Join(t.TempDir(), "sessions")}
	w.server = httptest.NewUnstartedServer(w)
	w.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	w.server.StartTLS()
	t.Cleanup(w.server.Close)
	var err error
	w.provider, err = devidp.New(devidp.Config{
		Issuer: w.server.URL + "/dev", Audience: audience,
		People:  []devidp.Person{{Name: "ann", ID: "00u-ann", DisplayName: "Ann"}},
		Clients: []devidp.Client{{ID: clientID, RedirectURIs: []string{"http://127.0.0.1/callback"}}},
		Clock:   w.now, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.guide = credential.Guide{
		Version: 1, Accounts: []credential.Account{{Name: "prod", Endpoint: w.server.URL + "/"}},
		SignIn: []credential.SignIn{{
			Name: "corp", Issuer: w.server.URL + "/dev", ClientID: clientID, Audience: audience,
			Scopes: []string{"openid", "offline_access", "cosmos.read"},
		}},
	}
	return w
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.advanced)
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.advanced += d
}

// change puts a function between what the server would say and what it says.
func (w *world) change(edit func(path string, body []byte) []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.edit = edit
}

func (w *world) count(path string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked[path]
}

func (w *world) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	w.asked[r.URL.Path]++
	edit := w.edit
	w.mu.Unlock()
	recorder := httptest.NewRecorder()
	switch r.URL.Path {
	case credential.GuidePath:
		_ = json.NewEncoder(recorder).Encode(w.guide)
	case "/dev/token":
		body, _ := io.ReadAll(r.Body)
		form, _ := url.ParseQuery(string(body))
		w.mu.Lock()
		w.forms = append(w.forms, form)
		w.mu.Unlock()
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		w.provider.ServeHTTP(recorder, r)
	default:
		w.provider.ServeHTTP(recorder, r)
	}
	body := recorder.Body.Bytes()
	if edit != nil {
		body = edit(r.URL.Path, body)
	}
	if body == nil && edit != nil {
		panic(http.ErrAbortHandler)
	}
	maps.Copy(rw.Header(), recorder.Header())
	rw.WriteHeader(recorder.Code)
	_, _ = rw.Write(body)
}

func (w *world) authorities() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.server.Certificate().Raw})
}

// options are those of one process: its store is shared with the other processes of the world.
func (w *world) options() credential.Options {
	return credential.Options{
		Gate: w.server.URL, Authorities: w.authorities(), Store: credential.NewStore(w.folder, nil), Clock: w.now,
		LoginHint: "ann", Prompt: func(credential.Prompt) {}, OpenBrowser: w.browser(nil),
	}
}

func (w *world) credential(edit func(*credential.Options)) *credential.Credential {
	w.t.Helper()
	o := w.options()
	if edit != nil {
		edit(&o)
	}
	c, err := credential.New(o)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// browser follows the sign-in like a browser does; tamper may change the address of the redirect to the loopback listener.
func (w *world) browser(tamper func(*url.URL)) func(context.Context, string) error {
	return func(_ context.Context, address string) error {
		go w.visit(address, tamper)
		return nil
	}
}

func (w *world) visit(address string, tamper func(*url.URL)) {
	c := *w.server.Client()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := c.Get(address)
	if err != nil {
		return
	}
	_ = resp.Body.Close()
	back, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || back.Host == "" {
		return
	}
	if tamper != nil {
		tamper(back)
	}
	if resp, err = http.Get(back.String()); err == nil {
		_ = resp.Body.Close()
	}
}

// subject is who a token is for.
func subject(t *testing.T, c *credential.Credential) (string, error) {
	t.Helper()
	token, err := c.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://cosmos.azure.com/.default"}})
	if err != nil {
		return "", err
	}
	return claim(t, token.Token, "sub"), nil
}

func claim(t *testing.T, token, name string) string {
	t.Helper()
	claims := map[string]any{}
	if err := json.Unmarshal(decode(t, strings.Split(token, ".")[1]), &claims); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(claims[name])
}
