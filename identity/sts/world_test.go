package sts_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/identity"
	"github.com/cosmosgate/cosmosgate/identity/seal"
	"github.com/cosmosgate/cosmosgate/identity/sts"
)

const (
	corpURL     = "https://login.corp.example"
	clusterURL  = "https://oidc.cluster.example"
	gateAud     = "api://cosmosgate"
	portal      = "portal"
	annSubject  = "00u-ann"
	ownURL      = "https://gate.corp.example"
	dataAud     = "https://cosmos.corp.example"
	mcpAud      = "https://mcp.corp.example"
	assertion   = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	exchange    = "urn:ietf:params:oauth:grant-type:token-exchange"
	jwtBearer   = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	accessToken = "urn:ietf:params:oauth:token-type:access_token"
	idToken     = "urn:ietf:params:oauth:token-type:id_token"
	idJAG       = "urn:ietf:params:oauth:token-type:id-jag"
	jwtToken    = "urn:ietf:params:oauth:token-type:jwt"
)

type object map[string]any

func (o object) with(changes object) object {
	changed := object{}
	maps.Copy(changed, o)

	for name, value := range changes {
		if value == nil {
			delete(changed, name)
		} else {
			changed[name] = value
		}
	}

	return changed
}

// signer is a private key and the name it is published under.
type signer struct {
	kid string
	key *ecdsa.PrivateKey
}

func newSigner(tb testing.TB, kid string) signer {
	tb.Helper()

	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}

	return signer{kid, key}
}

func (s signer) public() jose.JSONWebKey {
	return jose.JSONWebKey{Key: s.key.Public(), KeyID: s.kid, Use: "sig"}
}

func (s signer) sign(tb testing.TB, typ string, claims object) string {
	tb.Helper()

	options := (&jose.SignerOptions{}).WithHeader("kid", s.kid).WithType(jose.ContentType(typ))

	signing, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: s.key}, options)
	if err != nil {
		tb.Fatal(err)
	}

	payload, err := json.Marshal(claims)
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

func ann() directory.UserView {
	return directory.UserView{ID: "01890a5d-ac96-774b-bcce-b302099a8057", Connection: "corp", UserName: "ann", Active: true}
}

// world is a token service with the agents scout, chef, loner and pod, the application checkout, and ann, for whom all but loner may act.
type world struct {
	corp, cluster, scout signer
	people               *people
	shelf                *shelf
	agents               []identity.Agent
	applications         []identity.Application
	grants               map[string][]string // agent → people's records, "" for itself
	events               []sts.Event
	full                 error // of the record
	config               sts.Config
	identity             identity.Config
	gate                 *identity.Authenticator
	keys                 *sts.Keys
	service              *sts.Service
	ids                  int
}

func newWorld(tb testing.TB) *world {
	tb.Helper()

	w := &world{
		corp: newSigner(tb, "corp-1"), cluster: newSigner(tb, "cluster-1"), scout: newSigner(tb, "scout-1"),
		people: &people{
			linked: map[directory.LinkKey]directory.UserView{{Connection: "corp", ExternalID: annSubject}: ann()},
			locked: map[directory.Subject]*directory.Lock{},
		},
		shelf: newShelf(),
		applications: []identity.Application{
			{Name: "checkout", Issuer: "cluster", Claims: map[string]string{"sub": "system:serviceaccount:shop:checkout"}},
		},
	}
	record := string(ann().ID)
	w.grants = map[string][]string{"scout": {record, ""}, "chef": {record}, "pod": {record, ""}, "fourth": {record}}
	w.agents = []identity.Agent{
		{Name: "scout", Keys: []jose.JSONWebKey{w.scout.public()}},
		{Name: "chef", Issuer: "corp", Claims: map[string]string{"client_id": "chef-client"}, Keys: []jose.JSONWebKey{w.scout.public()}},
		{Name: "fourth", Keys: []jose.JSONWebKey{w.scout.public()}},
		{Name: "loner", Keys: []jose.JSONWebKey{w.scout.public()}},
		{Name: "pod", Issuer: "cluster", Claims: map[string]string{"sub": "system:serviceaccount:shop:pod"}},
	}
	w.identity = identity.Config{
		Issuers: []identity.Issuer{
			{
				Name: "corp", URL: corpURL, Audiences: []string{gateAud}, Connection: "corp", Claim: "sub", FrontEndClients: []string{portal},
				Delegation: true, Scopes: map[string][]string{"orders": {"cosmos.read"}},
				Exchange:   identity.Exchange{IDTokenClients: []string{portal, "chef-client"}, Grants: true},
				HTTPClient: &http.Client{Transport: provider{corpURL, []jose.JSONWebKey{w.corp.public()}}},
			},
			{
				Name: "cluster", URL: clusterURL, Audiences: []string{dataAud}, TokenType: identity.TokenTypeWorkload,
				HTTPClient: &http.Client{Transport: provider{clusterURL, []jose.JSONWebKey{w.cluster.public()}}},
			},
		},
		Directory: w.people, Applications: func() []identity.Application { return w.applications },
		Agents: func() []identity.Agent { return w.agents }, Clock: time.Now, Logger: slog.New(slog.DiscardHandler),
	}
	w.config = sts.Config{
		Issuer: ownURL, Audience: dataAud, Others: []string{mcpAud},
		MayActFor: func(agent string, person *identity.Principal) bool {
			record := ""
			if person != nil {
				record = string(person.Record)
			}

			return slices.Contains(w.grants[agent], record)
		},
		Record: w, NewID: func() string { w.ids++; return fmt.Sprintf("id-%d", w.ids) },
		Clock: time.Now, Logger: slog.New(slog.DiscardHandler),
	}

	return w
}

// Reserve implements sts.Recorder.
func (w *world) Reserve() (func(sts.Event), error) {
	return func(e sts.Event) { w.events = append(w.events, e) }, w.full
}

func newRing(tb testing.TB) *seal.Ring {
	tb.Helper()

	key := make([]byte, seal.KeyBytes)
	if _, err := rand.Read(key); err != nil {
		tb.Fatal(err)
	}

	ring, err := seal.NewRing(base64.StdEncoding.EncodeToString(key), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}

	return ring
}

// start builds everything and waits for the first keys. Only inside a synctest bubble.
func (w *world) start(tb testing.TB) *world {
	tb.Helper()

	var err error

	w.keys, err = sts.NewKeys(sts.KeysConfig{
		Entries: w.shelf, Sealer: newRing(tb), Random: rand.Reader, Clock: time.Now, Logger: slog.New(slog.DiscardHandler),
	})
	check(tb, err)

	revoked, err := identity.NewRevocations(identity.RevocationConfig{Entries: w.shelf, Clock: time.Now})
	check(tb, err)

	once, err := identity.NewOnce(w.shelf, time.Now)
	check(tb, err)

	proofs, err := identity.NewProofVerifier(identity.ProofConfig{Spend: once.Spend, Clock: time.Now})
	check(tb, err)

	w.identity.Revocations, w.identity.Proofs = revoked, proofs
	w.identity.Own = &identity.OwnIssuer{Name: "gate", URL: ownURL, Audience: dataAud, Keys: w.keys}
	w.gate, err = identity.New(w.identity)
	check(tb, err)

	w.config.Authenticator, w.config.Keys, w.config.Proofs = w.gate, w.keys, proofs
	w.config.Spend, w.config.Revoke = once.Spend, revoked.Revoke
	w.service, err = sts.New(w.config)
	check(tb, err)

	ctx, cancel := context.WithCancel(context.Background())
	tb.Cleanup(cancel)

	go func() { _ = w.gate.Run(ctx) }()
	go func() { _ = w.keys.Run(ctx) }()

	synctest.Wait()

	return w
}

func check(tb testing.TB, err error) {
	tb.Helper()

	if err != nil {
		tb.Fatal(err)
	}
}

// person are the claims of ann's own access token.
func (w *world) person() object {
	now := time.Now().Unix()

	return object{
		"iss": corpURL, "aud": gateAud, "sub": annSubject, "client_id": portal, "jti": "token-1", "sid": "session-1",
		"scope": "openid orders-app", "iat": now, "exp": now + 3600, "acr": "mfa",
	}
}

// assertion are the claims by which an agent proves itself.
func (w *world) assertion(agent string) object {
	now := time.Now().Unix()
	w.ids++

	return object{
		"iss": agent, "sub": agent, "aud": ownURL, "jti": fmt.Sprintf("assertion-%d", w.ids), "iat": now, "exp": now + 60,
	}
}

// jag are the claims of an identity assertion for ann, in scout's hands.
func (w *world) jag() object {
	now := time.Now().Unix()

	return object{
		"iss": corpURL, "aud": ownURL, "sub": annSubject, "client_id": "scout", "jti": "jag-1", "iat": now, "exp": now + 300, "scope": "cosmos.read",
	}
}

// pod are the claims of a Kubernetes service account token.
func (w *world) pod(name string) object {
	now := time.Now().Unix()

	return object{
		"iss": clusterURL, "aud": ownURL, "sub": "system:serviceaccount:shop:" + name, "jti": "pod-1", "iat": now, "exp": now + 3600,
	}
}

// as adds the proof of an agent to a form.
func (w *world) as(tb testing.TB, agent string, form object) object {
	tb.Helper()

	return form.with(object{"client_assertion_type": assertion, "client_assertion": w.scout.sign(tb, "JWT", w.assertion(agent))})
}

// exchange is the form by which an agent exchanges a token.
func (w *world) exchange(tb testing.TB, agent, subject string) object {
	tb.Helper()

	return w.as(tb, agent, object{"grant_type": exchange, "subject_token": subject, "subject_token_type": accessToken})
}

// reply is an answer of the service.
type reply struct {
	status int
	header http.Header
	body   object
}

// code is the OAuth error, or "ok".
func (r reply) code() string {
	if r.status == http.StatusOK {
		return "ok"
	}

	code, _ := r.body["error"].(string)

	return code
}

func (r reply) token() string {
	token, _ := r.body["access_token"].(string)

	return token
}

func (w *world) post(path string, form object, change ...func(*http.Request)) reply {
	values := url.Values{}
	for name, value := range form {
		values.Set(name, fmt.Sprint(value))
	}

	return w.postBody(path, values.Encode(), change...)
}

func (w *world) postBody(path, body string, change ...func(*http.Request)) reply {
	r := httptest.NewRequest(http.MethodPost, ownURL+path, strings.NewReader(body))
	r.TLS.PeerCertificates = nil
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")

	for _, f := range change {
		f(r)
	}

	return w.do(r)
}

func (w *world) do(r *http.Request) reply {
	recorder := httptest.NewRecorder()
	w.service.ServeHTTP(recorder, r)

	answer := reply{status: recorder.Code, header: recorder.Header()}
	_ = json.Unmarshal(recorder.Body.Bytes(), &answer.body)

	return answer
}

// delegated is a token by which agent acts for ann.
func (w *world) delegated(tb testing.TB, agent string, narrowing object) string {
	tb.Helper()

	r := w.post("/oauth2/token", w.exchange(tb, agent, w.corp.sign(tb, "at+jwt", w.person())).with(narrowing))
	if r.token() == "" {
		tb.Fatalf("%d %v", r.status, r.body)
	}

	return r.token()
}

// authenticate is what the data plane says of a token.
func (w *world) authenticate(tb testing.TB, raw string) (identity.Principal, error) {
	tb.Helper()

	return w.gate.Authenticate(context.Background(), identity.Credential{Scheme: identity.SchemeToken, Token: raw})
}

// claims reads a token without checking it.
func claims(tb testing.TB, raw string) object {
	tb.Helper()

	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		tb.Fatalf("%q is no token", raw)
	}

	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	check(tb, err)

	var c object

	check(tb, json.Unmarshal(payload, &c))

	return c
}

func inBubble(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newWorld(t).start(t)) })
}

func thumbprint(tb testing.TB, key jose.JSONWebKey) string {
	tb.Helper()

	sum, err := key.Thumbprint(crypto.SHA256)
	check(tb, err)

	return base64.RawURLEncoding.EncodeToString(sum)
}

// aThumbprint is that of a key which nobody has: well-formed, or a token that is bound to it would be refused for that alone.
const aThumbprint = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
