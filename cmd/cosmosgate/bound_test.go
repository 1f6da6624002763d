package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// bound is a running gate with its real listeners, as an agent and a provider see it that hold keys.
type bound struct {
	*ready

	t      *testing.T
	agent  jose.JSONWebKey
	client *http.Client // shows no certificate
}

// TestBoundTokensNeedTheirKeys runs alone: a development gate tells its parts by the process's environment where tokens of managed identities are.
func TestBoundTokensNeedTheirKeys(t *testing.T) { //nolint:paralleltest // see above
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var log strings.Builder
	err := runDev(ctx, devOptions{host: "127.0.0.1", state: t.TempDir(), hostID: newHostID()}, &log, func(r *ready) error {
		defer stop()
		b := &bound{ready: r, t: t}
		var err error
		if b.agent, err = agentKey(r.Agent.KeyFile); err != nil {
			return err
		}
		if b.client, err = trustingClient(r.CA); err != nil {
			return err
		}
		for name, test := range map[string]func(*testing.T, *bound){
			"an agent's, by DPoP": anAgentsTokenBoundByDPoP, "an agent's, by certificate": anAgentsTokenBoundToACertificate,
			"a provider's": aProvidersBoundToken,
		} {
			t.Run(name, func(t *testing.T) { test(t, &bound{ready: r, t: t, agent: b.agent, client: b.client}) })
		}
		return nil
	})
	if err != nil {
		t.Errorf("%v\n%s", err, log.String())
	}
}

func newHolderKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// prove makes a DPoP proof; token and nonce may be empty.
func prove(t *testing.T, key *ecdsa.PrivateKey, method, address, token, nonce string) string {
	t.Helper()
	options := (&jose.SignerOptions{}).WithType("dpop+jwt").WithHeader("jwk", jose.JSONWebKey{Key: key.Public()})
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{"jti": rand.Text(), "htm": method, "htu": address, "iat": time.Now().Unix()}
	if token != "" {
		sum := sha256.Sum256([]byte(token))
		claims["ath"] = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	if nonce != "" {
		claims["nonce"] = nonce
	}
	proof, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return proof
}

// showing is a client that shows a certificate over key, signed by nobody else.
func (b *bound) showing(key crypto.Signer) *http.Client {
	b.t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		b.t.Fatal(err)
	}
	trusting, ok := b.client.Transport.(*http.Transport)
	if !ok {
		b.t.Fatalf("transport is a %T", b.client.Transport)
	}
	transport := trusting.Clone()
	transport.TLSClientConfig.Certificates = []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
	b.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: b.client.Timeout}
}

// answer is what the tests look at.
type answer struct {
	status           int
	challenge, nonce string
	body             string
}

func (b *bound) send(client *http.Client, method, address, body string, headers map[string]string) answer {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	for name, value := range headers {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	resp, err := client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header.Get("WWW-Authenticate"), resp.Header.Get("DPoP-Nonce"), string(text)}
}

// granted is an answer of a token endpoint.
type granted struct {
	Token string `json:"access_token"`
	Type  string `json:"token_type"`
	Error string `json:"error"`
}

func (b *bound) ask(client *http.Client, address, proof string, form url.Values) granted {
	b.t.Helper()
	a := b.send(client, http.MethodPost, address, form.Encode(), map[string]string{
		"Content-Type": "application/x-www-form-urlencoded", "DPoP": proof,
	})
	var g granted
	if err := json.Unmarshal([]byte(a.body), &g); err != nil {
		b.t.Fatalf("%d %s", a.status, a.body)
	}
	return g
}

// exchange is what the agent asks for: Ann's token for one of its own. It proves itself by its key, or by the certificate that client shows.
func (b *bound) exchange(byAssertion bool) url.Values {
	b.t.Helper()
	person, err := devToken(b.t.Context(), b.client, b.ready, "ann")
	if err != nil {
		b.t.Fatal(err)
	}
	form := url.Values{
		"grant_type":    {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"subject_token": {person.AccessToken}, "subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
		"client_id": {b.Agent.Name},
	}
	if byAssertion {
		assertion, err := clientAssertion(b.agent, b.Agent.Name, b.TokenService)
		if err != nil {
			b.t.Fatal(err)
		}
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", assertion)
	}
	return form
}

func (b *bound) item() string { return b.Gate.Endpoint + "dbs/shop/colls/orders/docs/1001" }

// read reads an item of the data plane.
func (b *bound) read(client *http.Client, authorization, proof string) answer {
	b.t.Helper()
	return b.send(client, http.MethodGet, b.item(), "", map[string]string{
		"Authorization": authorization, "DPoP": proof, "X-Ms-Version": "2020-07-15", "X-Ms-Documentdb-Partitionkey": `["emea"]`,
	})
}

func anAgentsTokenBoundByDPoP(t *testing.T, b *bound) {
	t.Helper()
	mine, others, endpoint := newHolderKey(t), newHolderKey(t), b.TokenService+"/oauth2/token"

	wrong := b.ask(b.client, endpoint, prove(t, mine, http.MethodPost, b.TokenService, "", ""), b.exchange(true))
	if wrong.Error != "invalid_dpop_proof" || wrong.Token != "" {
		t.Errorf("a proof of another URL at the token service: %+v", wrong)
	}
	got := b.ask(b.client, endpoint, prove(t, mine, http.MethodPost, endpoint, "", ""), b.exchange(true))
	if got.Token == "" || got.Type != "DPoP" {
		t.Fatalf("exchange: %+v", got)
	}
	authorization := "DPoP " + got.Token

	first := b.read(b.client, authorization, prove(t, mine, http.MethodGet, b.item(), got.Token, ""))
	if first.status != http.StatusUnauthorized || first.nonce == "" || first.challenge != `DPoP error="use_dpop_nonce"` {
		t.Fatalf("without a nonce: %+v", first)
	}
	good := prove(t, mine, http.MethodGet, b.item(), got.Token, first.nonce)
	for _, row := range []struct {
		name, authorization, proof string
		want                       int
	}{
		{"with a proof", authorization, good, http.StatusOK},
		{"the same proof again", authorization, good, http.StatusUnauthorized},
		{"without a proof", authorization, "", http.StatusUnauthorized},
		{"as a bearer token", "Bearer " + got.Token, "", http.StatusUnauthorized},
		{"in the SDKs' form", url.QueryEscape("type=aad&ver=1.0&sig=" + got.Token), "", http.StatusUnauthorized},
		{"another's key", authorization, prove(t, others, http.MethodGet, b.item(), got.Token, first.nonce), http.StatusUnauthorized},
		{"another URL", authorization, prove(t, mine, http.MethodGet, b.item()+"x", got.Token, first.nonce), http.StatusUnauthorized},
		{"another method", authorization, prove(t, mine, http.MethodPut, b.item(), got.Token, first.nonce), http.StatusUnauthorized},
		{"another token", authorization, prove(t, mine, http.MethodGet, b.item(), got.Token+"x", first.nonce), http.StatusUnauthorized},
		{"an invented nonce", authorization, prove(t, mine, http.MethodGet, b.item(), got.Token, first.nonce+"x"), http.StatusUnauthorized},
		{"with a second proof", authorization, prove(t, mine, http.MethodGet, b.item(), got.Token, first.nonce), http.StatusOK},
	} {
		if a := b.read(b.client, row.authorization, row.proof); a.status != row.want {
			t.Errorf("%s: %+v, want %d", row.name, a, row.want)
		}
	}
}

func anAgentsTokenBoundToACertificate(t *testing.T, b *bound) {
	t.Helper()
	endpoint := b.TokenService + "/oauth2/token"
	signer, ok := b.agent.Key.(crypto.Signer)
	if !ok {
		t.Fatalf("the agent's key is a %T", b.agent.Key)
	}
	mine, again, others := b.showing(signer), b.showing(signer), b.showing(newHolderKey(t))

	for name, client := range map[string]*http.Client{"no certificate": b.client, "another's certificate": others} {
		if got := b.ask(client, endpoint, "", b.exchange(false)); got.Error != "invalid_client" || got.Token != "" {
			t.Errorf("%s at the token service: %+v", name, got)
		}
	}
	got := b.ask(mine, endpoint, "", b.exchange(false))
	if got.Token == "" || got.Type != "Bearer" {
		t.Fatalf("exchange: %+v", got)
	}
	for _, row := range []struct {
		name   string
		client *http.Client
		want   int
	}{
		{"the certificate", mine, http.StatusOK},
		{"no certificate", b.client, http.StatusUnauthorized},
		{"another's certificate", others, http.StatusUnauthorized},
		{"another certificate over the same key", again, http.StatusUnauthorized},
		{"the certificate once more", mine, http.StatusOK},
	} {
		if a := b.read(row.client, "Bearer "+got.Token, ""); a.status != row.want {
			t.Errorf("%s: %+v, want %d", row.name, a, row.want)
		}
	}
}

func aProvidersBoundToken(t *testing.T, b *bound) {
	t.Helper()
	var secret, errors strings.Builder
	if code := run(t.Context(), []string{"scim", "token", "create", devConnection, "--client-secret", "--config", b.Config}, &secret, &errors); code != exitOK {
		t.Fatalf("exit code %d: %s", code, &errors)
	}
	endpoint, users := strings.TrimSuffix(b.SCIM.URL, "/scim/v2/"+devConnection)+"/scim/oauth/token", b.SCIM.URL+"/Users"
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {devConnection}, "client_secret": {strings.TrimSpace(secret.String())},
	}
	mine, others := newHolderKey(t), newHolderKey(t)
	list := func(client *http.Client, authorization, proof string) answer {
		return b.send(client, http.MethodGet, users+"?count=0", "", map[string]string{"Authorization": authorization, "DPoP": proof})
	}

	keyed := b.ask(b.client, endpoint, prove(t, mine, http.MethodPost, endpoint, "", ""), form)
	if keyed.Type != "DPoP" {
		t.Fatalf("%+v", keyed)
	}
	authorization := "DPoP " + keyed.Token
	first := list(b.client, authorization, prove(t, mine, http.MethodGet, users, keyed.Token, ""))
	if first.status != http.StatusUnauthorized || first.nonce == "" || !strings.Contains(first.challenge, "use_dpop_nonce") {
		t.Fatalf("without a nonce: %+v", first)
	}
	good := prove(t, mine, http.MethodGet, users, keyed.Token, first.nonce)
	for _, row := range []struct {
		name, authorization, proof string
		want                       int
	}{
		{"with a proof", authorization, good, http.StatusOK},
		{"the same proof again", authorization, good, http.StatusUnauthorized},
		{"as a bearer token", "Bearer " + keyed.Token, "", http.StatusUnauthorized},
		{"another's key", authorization, prove(t, others, http.MethodGet, users, keyed.Token, first.nonce), http.StatusUnauthorized},
		{"another URL", authorization, prove(t, mine, http.MethodGet, b.item(), keyed.Token, first.nonce), http.StatusUnauthorized},
	} {
		if a := list(b.client, row.authorization, row.proof); a.status != row.want {
			t.Errorf("%s: %+v, want %d", row.name, a, row.want)
		}
	}

	holder, stranger := b.showing(mine), b.showing(others)
	certified := b.ask(holder, endpoint, "", form)
	for name, row := range map[string]struct {
		client *http.Client
		want   int
	}{
		"the certificate": {holder, http.StatusOK}, "another": {stranger, http.StatusUnauthorized}, "none": {b.client, http.StatusUnauthorized},
	} {
		if a := list(row.client, "Bearer "+certified.Token, ""); a.status != row.want {
			t.Errorf("%s: %+v, want %d", name, a, row.want)
		}
	}
}
