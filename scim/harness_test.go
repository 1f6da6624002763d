package scim_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/scim"
)

const (
	corp  = "corp"
	token = "scim_corp_secret"
)

// verifier opens one connection with one token.
type verifier func(connection, secret string) bool

func (v verifier) VerifyToken(connection, secret string) bool { return v(connection, secret) }

// gate is a SCIM server over a running directory.
type gate struct {
	*scim.Server

	directory *directory.Directory
}

// options alter the connection under test.
type options func(*scim.Config)

func strict(c *scim.Config) { c.Connections[0].Strict = true }

func dialect(name string) options {
	return func(c *scim.Config) { c.Connections[0].Dialect = name }
}

func newGate(tb testing.TB, change ...options) *gate {
	tb.Helper()
	return serverOver(tb, runDirectory(tb, filepath.Join(tb.TempDir(), "directory.db")), change...)
}

// runDirectory opens a file and runs the directory until the test ends.
func runDirectory(tb testing.TB, path string) *directory.Directory {
	tb.Helper()
	d, err := directory.Open(directory.Config{
		Path: path, Clock: time.Now, Random: rand.Reader, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, d.Close()); err != nil {
			tb.Error(err)
		}
	})
	return d
}

// again is another server over the same directory, as after a restart.
func (g *gate) again(tb testing.TB, change ...options) *gate {
	tb.Helper()
	return serverOver(tb, g.directory, change...)
}

func serverOver(tb testing.TB, d *directory.Directory, change ...options) *gate {
	tb.Helper()
	config := scim.Config{
		Directory:   d,
		Tokens:      verifier(func(c, s string) bool { return c == corp && s == token }),
		Connections: []scim.Connection{{Name: corp, Rate: 1e6, Burst: 1e6}},
		PublicURL:   &url.URL{Scheme: "https", Host: "gate.example"},
		Clock:       time.Now, Logger: slog.New(slog.DiscardHandler),
	}
	for _, c := range change {
		c(&config)
	}
	server, err := scim.New(config)
	if err != nil {
		tb.Fatal(err)
	}
	return &gate{Server: server, directory: d}
}

// do sends a request with the connection's token.
func (g *gate) do(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "https://elsewhere.example/scim/v2/corp"+path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/scim+json")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	return w
}

// want sends a request and fails unless it is answered with a status.
func (g *gate) want(tb testing.TB, status int, method, path, body string, headers ...string) map[string]any {
	tb.Helper()
	w := g.do(method, path, body, headers...)
	if w.Code != status {
		tb.Fatalf("%s %s %s: status %d, want %d: %s", method, path, body, w.Code, status, w.Body)
	}
	if w.Body.Len() == 0 {
		return nil
	}
	if got := w.Header().Get("Content-Type"); got != "application/scim+json" {
		tb.Errorf("%s %s: content type %q", method, path, got)
	}
	var object map[string]any
	if err := json.NewDecoder(io.TeeReader(w.Body, io.Discard)).Decode(&object); err != nil {
		tb.Fatalf("%s %s: %v", method, path, err)
	}
	return object
}

// user makes a user and returns its id.
func (g *gate) user(tb testing.TB, name string) string {
	tb.Helper()
	id, _ := g.want(tb, http.StatusCreated, http.MethodPost, "/Users", `{"userName":"`+name+`"}`)["id"].(string)
	return id
}

// group makes a group with members and returns its id.
func (g *gate) group(tb testing.TB, name string, members ...string) string {
	tb.Helper()
	list := make([]string, 0, len(members))
	for _, m := range members {
		list = append(list, `{"value":"`+m+`"}`)
	}
	id, _ := g.want(tb, http.StatusCreated, http.MethodPost, "/Groups",
		`{"displayName":"`+name+`","members":[`+strings.Join(list, ",")+`]}`)["id"].(string)
	return id
}

// members returns the ids of a group's members.
func (g *gate) members(tb testing.TB, group string) []string {
	tb.Helper()
	ids := []string{}
	list, _ := g.want(tb, http.StatusOK, http.MethodGet, "/Groups/"+group, "")["members"].([]any)
	for _, m := range list {
		object, _ := m.(map[string]any)
		id, _ := object["value"].(string)
		ids = append(ids, id)
	}
	return ids
}

func patchBody(operations ...string) string {
	return `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[` +
		strings.Join(operations, ",") + `]}`
}
