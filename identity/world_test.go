package identity_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/identity"
)

const (
	corpURL      = "https://login.corp.example"
	corpAudience = "api://cosmosgate"
	corpClient   = "cosmosgate-cli"
	annSubject   = "00u-ann"
)

// signer is a private key and the name it is published under.
type signer struct {
	kid string
	alg jose.SignatureAlgorithm
	key crypto.Signer
}

func newSigner(tb testing.TB, kid string) signer {
	tb.Helper()

	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}

	return signer{kid: kid, alg: jose.ES256, key: key}
}

// rsaKey is shared: making one is slow.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey { //nolint:gochecknoglobals // A constant that must be computed.
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil
	}

	return key
})

func newRSASigner(kid string) signer { return signer{kid: kid, alg: jose.RS256, key: rsaKey()} }

func (s signer) public() jose.JSONWebKey {
	return jose.JSONWebKey{Key: s.key.Public(), KeyID: s.kid, Use: "sig"}
}

// object is a JSON object.
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

// sign makes a compact token. The header is alg, kid and typ at+jwt, as changed by header.
func (s signer) sign(tb testing.TB, header, claims object) string {
	tb.Helper()

	payload, err := json.Marshal(claims)
	if err != nil {
		tb.Fatal(err)
	}

	return s.signBytes(tb, header, payload)
}

func (s signer) signBytes(tb testing.TB, header object, payload []byte) string {
	tb.Helper()

	options := &jose.SignerOptions{}

	for name, value := range (object{"kid": s.kid, "typ": "at+jwt"}).with(header) {
		options.WithHeader(jose.HeaderKey(name), value)
	}

	signing, err := jose.NewSigner(jose.SigningKey{Algorithm: s.alg, Key: s.key}, options)
	if err != nil {
		tb.Fatal(err)
	}

	jws, err := signing.Sign(payload)
	if err != nil {
		tb.Fatal(err)
	}

	raw, err := jws.CompactSerialize()
	if err != nil {
		tb.Fatal(err)
	}

	return raw
}

// provider is an issuer without a network: an http.RoundTripper that serves discovery and keys, and counts.
type provider struct {
	url string

	mu       sync.Mutex
	keys     []jose.JSONWebKey
	fetches  int
	header   http.Header
	override func(*http.Request) (*http.Response, error)
}

func newProvider(url string, signers ...signer) *provider {
	p := &provider{url: url, header: http.Header{}}
	p.publish(signers...)

	return p
}

func (p *provider) publish(signers ...signer) {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.keys = []jose.JSONWebKey{}
	for _, s := range signers {
		p.keys = append(p.keys, s.public())
	}
}

// misbehave answers key requests with f from now on; nil heals.
func (p *provider) misbehave(f func(*http.Request) (*http.Response, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.override = f
}

// keyFetches counts the requests for keys so far.
func (p *provider) keyFetches() int {
	p.mu.Lock()
	defer p.mu.Unlock()

	return p.fetches
}

func (p *provider) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}

	p.mu.Lock()
	override, keys, header := p.override, p.keys, p.header.Clone()

	if strings.HasSuffix(r.URL.Path, "/keys") {
		p.fetches++
	}
	p.mu.Unlock()

	if override != nil {
		if response, err := override(r); response != nil || err != nil {
			return response, err
		}
	}

	header.Set("Content-Type", "application/json")

	if strings.HasSuffix(r.URL.Path, "/.well-known/openid-configuration") {
		return respond(http.StatusOK, header, object{
			"issuer": p.url, "jwks_uri": strings.TrimSuffix(p.url, "/") + "/keys",
			"authorization_endpoint": p.url, "token_endpoint": p.url,
		})
	}

	return respond(http.StatusOK, header, object{"keys": keys})
}

func respond(status int, header http.Header, body any) (*http.Response, error) {
	document, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}

	return respondBytes(status, header, document), nil
}

func respondBytes(status int, header http.Header, document []byte) *http.Response {
	return &http.Response{
		StatusCode: status, Header: header, Body: io.NopCloser(bytes.NewReader(document)), ContentLength: int64(len(document)),
	}
}

// people is a directory.
type people struct {
	mu     sync.Mutex
	linked map[directory.LinkKey]directory.UserView
	locked map[directory.Subject]*directory.Lock
}

func (p *people) Lookup(k directory.LinkKey) (directory.UserView, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()

	user, found := p.linked[k]

	return user, found
}

func (p *people) Locked(s directory.Subject) (*directory.Lock, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()

	lock, found := p.locked[s]

	return lock, found
}

func (p *people) set(k directory.LinkKey, user directory.UserView) {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.linked[k] = user
}

func (p *people) remove(k directory.LinkKey) {
	p.mu.Lock()
	defer p.mu.Unlock()

	delete(p.linked, k)
}

func (p *people) lock(s directory.Subject) {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.locked[s] = &directory.Lock{Subject: s, Message: "under investigation"}
}

func annKey() directory.LinkKey {
	return directory.LinkKey{Connection: "corp", ExternalID: annSubject}
}

func ann() directory.UserView {
	return directory.UserView{
		ID: "01890a5d-ac96-774b-bcce-b302099a8057", Connection: "corp", UserName: "ann@corp.example", Active: true,
		Attributes: map[string]string{"department": "emea"}, Generation: [2]uint64{1, 1},
	}
}

// world is one issuer "corp" with ann and the application checkout, and an authenticator that trusts it.
type world struct {
	signer   signer
	provider *provider
	people   *people
	config   identity.Config
	declared []identity.Application
	gate     *identity.Authenticator
}

func newWorld(tb testing.TB) *world {
	tb.Helper()

	w := &world{
		signer: newSigner(tb, "k1"),
		people: &people{
			linked: map[directory.LinkKey]directory.UserView{annKey(): ann()},
			locked: map[directory.Subject]*directory.Lock{},
		},
		declared: []identity.Application{{
			Name: "checkout", Issuer: "corp", Claims: map[string]string{"client_id": "checkout"},
			Attributes: map[string]string{"department": "shop"},
		}},
	}
	w.provider = newProvider(corpURL, w.signer)
	w.config = identity.Config{
		Issuers:      []identity.Issuer{w.corp()},
		Directory:    w.people,
		Applications: func() []identity.Application { return w.declared },
		Clock:        time.Now,
		Logger:       slog.New(slog.DiscardHandler),
	}

	return w
}

func (w *world) corp() identity.Issuer {
	return identity.Issuer{
		Name: "corp", URL: corpURL, Audiences: []string{corpAudience}, Connection: "corp", Claim: "sub",
		FrontEndClients: []string{corpClient}, HTTPClient: &http.Client{Transport: w.provider},
	}
}

// start runs the authenticator until the test ends and waits for its first fetch. Only inside a synctest bubble.
func (w *world) start(t *testing.T) *world {
	t.Helper()

	gate, err := identity.New(w.config)
	if err != nil {
		t.Fatal(err)
	}

	w.gate = gate

	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)

	go func() { _ = gate.Run(ctx) }()

	synctest.Wait()

	return w
}

// person is ann's access token now.
func (w *world) person() object {
	now := time.Now().Unix()

	return object{
		"iss": corpURL, "aud": corpAudience, "sub": annSubject, "client_id": corpClient, "jti": "token-1", "sid": "session-1",
		"scope": "openid cosmos.read", "iat": now, "exp": now + 3600, "acr": "mfa",
	}
}

// application is checkout's access token now.
func (w *world) application() object {
	return w.person().with(object{"sub": "checkout", "client_id": "checkout", "sid": nil})
}

func (w *world) authenticate(t *testing.T, raw string) (identity.Principal, error) {
	t.Helper()

	return w.gate.Authenticate(t.Context(), credential(raw))
}

func credential(raw string) identity.Credential {
	return identity.Credential{Scheme: identity.SchemeToken, Token: raw}
}

// verdictOf puts the outcome in a few words: "accepted", "unavailable" or the substatus.
func verdictOf(tb testing.TB, err error) any {
	tb.Helper()

	if err == nil {
		return "accepted"
	}

	var refusal *identity.Error
	if !errors.As(err, &refusal) {
		tb.Fatalf("%v (%T) is not an identity.Error", err, err)
	}

	if refusal.Unavailable {
		return "unavailable"
	}

	return refusal.Substatus
}

func asError(err error, target **identity.Error) bool { return errors.As(err, target) }

// aThumbprint is that of a key which nobody has: well-formed, or a token that is bound to it would be refused for that alone.
const aThumbprint = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
