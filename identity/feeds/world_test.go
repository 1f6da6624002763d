package feeds_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/identity"
	"github.com/cosmosgate/cosmosgate/identity/feeds"
)

const (
	corp     = "https://login.corp.example"
	org      = "https://org.example"
	endpoint = "https://gate.example"
	annSub   = "00u-ann"
)

type object map[string]any

// with returns a copy with the changes made; a nil value removes the member.
func (o object) with(changes object) object {
	changed := maps.Clone(o)

	for name, value := range changes {
		if value == nil {
			delete(changed, name)
		} else {
			changed[name] = value
		}
	}

	return changed
}

// provider signs, and serves its keys as an http.RoundTripper.
type provider struct {
	url string
	key *ecdsa.PrivateKey
}

func newProvider(tb testing.TB, url string) *provider {
	tb.Helper()

	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}

	return &provider{url: url, key: key}
}

func (p *provider) RoundTrip(r *http.Request) (*http.Response, error) {
	var body any = object{"keys": []jose.JSONWebKey{{Key: p.key.Public(), KeyID: "k1", Use: "sig"}}}
	if strings.Contains(r.URL.Path, "/.well-known/") {
		body = object{"issuer": p.url, "jwks_uri": p.url + "/keys", "authorization_endpoint": p.url, "token_endpoint": p.url}
	}

	document, err := json.Marshal(body)

	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(document)),
	}, err
}

func (p *provider) sign(tb testing.TB, typ string, claims object) string {
	tb.Helper()

	options := (&jose.SignerOptions{}).WithHeader("kid", "k1")
	if typ != "" {
		options.WithType(jose.ContentType(typ))
	}

	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: p.key}, options)
	if err != nil {
		tb.Fatal(err)
	}

	payload, err := json.Marshal(claims)
	if err != nil {
		tb.Fatal(err)
	}

	jws, err := signer.Sign(payload)
	if err != nil {
		tb.Fatal(err)
	}

	raw, err := jws.CompactSerialize()
	if err != nil {
		tb.Fatal(err)
	}

	return raw
}

// world is a gate with the people ann and her namesake, and three feeds.
type world struct {
	corp, org, stranger *provider
	directory           *directory.Directory
	table               *identity.Revocations
	intake              *feeds.Intake
	config              feeds.Config
	gate                *identity.Authenticator
	broken              error // what the directory answers to writes

	mu      sync.Mutex
	records []feeds.Record
}

func newWorld(tb testing.TB, adjust ...func(*feeds.Config)) *world {
	tb.Helper()

	w := &world{corp: newProvider(tb, corp), org: newProvider(tb, org), stranger: newProvider(tb, org)}
	w.directory = openDirectory(tb)

	once, err := identity.NewOnce(w.directory, time.Now)
	if err != nil {
		tb.Fatal(err)
	}

	if w.table, err = identity.NewRevocations(identity.RevocationConfig{Entries: w.directory, Clock: time.Now}); err != nil {
		tb.Fatal(err)
	}

	w.gate = w.authenticator(tb)
	issuers := []feeds.Issuer{{URL: corp, Connection: "corp"}}
	config := feeds.Config{
		Feeds: []feeds.Feed{
			{
				Name: "okta", Kind: feeds.GlobalRevocation, Transmitter: org, Issuers: issuers, SubjectIssuers: []string{"https://other.example"},
				Audiences: []string{endpoint + feeds.GlobalRevocationPath},
			},
			{Name: "caep", Kind: feeds.Events, Transmitter: org, Audiences: []string{endpoint + feeds.EventsPath}, Issuers: issuers},
			{Name: "logout", Kind: feeds.BackchannelLogout, Transmitter: corp, Audiences: []string{"cli"}, Issuers: issuers},
		},
		Messages: w.gate, ByEmail: w.directory.UsersByEmail, Clock: time.Now, Logger: slog.New(slog.DiscardHandler),
		Revoke: func(ctx context.Context, v identity.Revocation) error {
			return errors.Join(w.broken, w.table.Revoke(ctx, v))
		},
		Spend: once.Spend,
		Reserve: func() (func(feeds.Record), error) {
			return func(r feeds.Record) {
				w.mu.Lock()
				defer w.mu.Unlock()

				w.records = append(w.records, r)
			}, nil
		},
	}

	for _, change := range adjust {
		change(&config)
	}

	w.config = config
	if w.intake, err = feeds.New(config); err != nil {
		tb.Fatal(err)
	}

	return w
}

func openDirectory(tb testing.TB) *directory.Directory {
	tb.Helper()

	d, err := directory.Open(directory.Config{
		Path: filepath.Join(tb.TempDir(), "directory.db"), Clock: time.Now, Random: rand.Reader, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		tb.Fatal(err)
	}

	background(tb, d.Run, func() {
		if err := d.Close(); err != nil {
			tb.Error(err)
		}
	})

	for _, name := range []string{"ann", "anna"} {
		_, err := d.Apply(tb.Context(), "corp", directory.CreateUser{User: directory.User{
			UserName: name, ExternalID: "00u-" + name, Active: true, Emails: []string{"ann@corp.example"},
		}})
		if err != nil {
			tb.Fatal(err)
		}
	}

	return d
}

// background runs a part until the test ends.
func background(tb testing.TB, run func(context.Context) error, ended func()) {
	tb.Helper()

	ctx, cancel := context.WithCancel(context.Background())

	var running sync.WaitGroup

	running.Go(func() { _ = run(ctx) })
	tb.Cleanup(func() {
		cancel()
		running.Wait()
		ended()
	})
}

func (w *world) authenticator(tb testing.TB) *identity.Authenticator {
	tb.Helper()

	a, err := identity.New(identity.Config{
		Issuers: []identity.Issuer{{
			Name: "corp", URL: corp, Audiences: []string{"api://gate"}, Connection: "corp", Claim: "sub", FrontEndClients: []string{"cli"},
			HTTPClient: &http.Client{Transport: w.corp},
		}},
		Transmitters: []identity.Transmitter{
			{Name: "org", URL: org, KeysURL: org + "/keys", HTTPClient: &http.Client{Transport: w.org}},
			{Name: "corp", URL: corp, HTTPClient: &http.Client{Transport: w.corp}},
		},
		Directory: w.directory, Revocations: w.table, Clock: time.Now, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		tb.Fatal(err)
	}

	background(tb, a.Run, func() {})

	for _, p := range []*provider{w.corp, w.org} { // until their keys are there
		raw := p.sign(tb, "", object{"iss": p.url, "jti": "j"})

		for {
			_, err := a.Message(tb.Context(), raw, identity.Expected{Transmitter: p.url})
			if !errors.Is(err, identity.ErrMessageUnavailable) {
				break
			}

			time.Sleep(time.Millisecond)
		}
	}

	return a
}

// post sends a message and returns the answer.
func (w *world) post(tb testing.TB, path, media, authorization, body string) *httptest.ResponseRecorder {
	tb.Helper()

	r := httptest.NewRequest(http.MethodPost, endpoint+path, strings.NewReader(body))
	r.Header.Set("Content-Type", media)

	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}

	answer := httptest.NewRecorder()
	w.intake.ServeHTTP(answer, r)

	return answer
}

// revoked lists what is withdrawn, in words.
func (w *world) revoked() []string {
	var all []string
	for _, v := range w.table.List() {
		all = append(all, v.Kind.String()+" "+v.Name)
	}

	return all
}

func (w *world) last(tb testing.TB) feeds.Record {
	tb.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()

	if len(w.records) == 0 {
		tb.Fatal("nothing was recorded")
	}

	return w.records[len(w.records)-1]
}
