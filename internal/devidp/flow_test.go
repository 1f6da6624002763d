package devidp_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"

	"github.com/cosmosgate/cosmosgate/internal/devidp"
)

const (
	audience  = "api://cosmosgate-dev"
	publicID  = "cosmosgate-cli"
	serviceID = "checkout"
	secret    = "a secret + of sorts"
	header    = "identity-header-secret"
	callback  = "http://127.0.0.1:51234/callback"
)

// clock can be moved forward.
type clock struct {
	mu     sync.Mutex
	offset time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()

	return time.Now().Add(c.offset)
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()

	c.offset += d
}

// house is a provider behind a real listener, and a client that trusts it.
type house struct {
	*devidp.Provider

	clock  *clock
	client *http.Client
	ctx    context.Context //nolint:containedctx // The test's own, with the client inside, as x/oauth2 wants it.
	oidc   *oidc.Provider
}

func newHouse(t *testing.T, identities ...devidp.ManagedIdentity) *house {
	t.Helper()

	h := &house{clock: &clock{}}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(w, r) }))
	base := "http://" + server.Listener.Addr().String()

	c := config(base+"/dev", h.clock)
	if identities != nil {
		c.Identities = identities
	}

	provider, err := devidp.New(c)
	if err != nil {
		t.Fatal(err)
	}

	h.Provider = provider

	server.Start()
	t.Cleanup(server.Close)

	h.client = server.Client()
	h.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	h.ctx = oidc.ClientContext(t.Context(), h.client)

	h.oidc, err = oidc.NewProvider(h.ctx, provider.Issuer())
	if err != nil {
		t.Fatal(err)
	}

	return h
}

func config(issuer string, c *clock) devidp.Config {
	return devidp.Config{
		Issuer: issuer, Audience: audience,
		People: []devidp.Person{
			{Name: "ann", ID: "00u-ann", DisplayName: "Ann <Ångström>"},
			{Name: "bob", ID: "00u-bob", DisplayName: "Bob"},
		},
		Clients: []devidp.Client{
			{ID: publicID, RedirectURIs: []string{"http://127.0.0.1/callback", "https://tool.example/back"}},
			{ID: serviceID, Secret: secret},
		},
		Identities:     []devidp.ManagedIdentity{{ObjectID: "object-system"}},
		IdentityHeader: header,
		Clock:          c.now,
		Logger:         slog.New(slog.DiscardHandler),
	}
}

func (h *house) config(scopes ...string) oauth2.Config {
	return oauth2.Config{ClientID: publicID, Endpoint: h.oidc.Endpoint(), RedirectURL: callback, Scopes: scopes}
}

// visit requests an address and returns the query it is redirected to, or the body if it is not.
func (h *house) visit(t *testing.T, method, address string, form url.Values) (url.Values, string) {
	t.Helper()

	request, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}

	if form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}

	response, err := h.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()

	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}

	if response.StatusCode != http.StatusSeeOther {
		return nil, string(body)
	}

	target, err := response.Location()
	if err != nil {
		t.Fatal(err)
	}

	return target.Query(), ""
}

// signIn runs the code flow for ann and returns the tokens.
func (h *house) signIn(t *testing.T, scopes ...string) *oauth2.Token {
	t.Helper()

	config, verifier := h.config(scopes...), oauth2.GenerateVerifier()
	address := config.AuthCodeURL("state-1", oauth2.S256ChallengeOption(verifier), oidc.Nonce("nonce-1"),
		oauth2.SetAuthURLParam("login_hint", "ann"))

	answer, body := h.visit(t, http.MethodGet, address, nil)
	if answer.Get("state") != "state-1" || answer.Get("iss") != h.Issuer() || answer.Get("code") == "" {
		t.Fatalf("redirected with %v; %s", answer, body)
	}

	token, err := config.Exchange(h.ctx, answer.Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}

	return token
}

// claims verifies a token of ours with the library and returns its claims.
func (h *house) claims(t *testing.T, raw string) map[string]any {
	t.Helper()

	verified, err := h.oidc.VerifierContext(h.ctx, &oidc.Config{SkipClientIDCheck: true, Now: h.clock.now}).Verify(h.ctx, raw)
	if err != nil {
		t.Fatal(err)
	}

	var claims map[string]any
	if err := verified.Claims(&claims); err != nil {
		t.Fatal(err)
	}

	for _, name := range []string{"iat", "nbf", "exp", "auth_time", "jti", "sid"} {
		if _, found := claims[name]; found {
			claims[name] = "set"
		}
	}

	return claims
}

// refusal returns the error code of the token endpoint.
func refusal(t *testing.T, err error) string {
	t.Helper()

	var retrieve *oauth2.RetrieveError
	if !errors.As(err, &retrieve) {
		t.Fatalf("%v is not an answer of the token endpoint", err)
	}

	return retrieve.ErrorCode
}

func TestCodeFlowSignsAPersonIn(t *testing.T) {
	t.Parallel()

	h := newHouse(t)
	token := h.signIn(t, "openid", "cosmos.read")

	want := map[string]any{
		"iss": h.Issuer(), "aud": audience, "sub": "00u-ann", "oid": "00u-ann", "azp": publicID, "client_id": publicID,
		"scope": "openid cosmos.read", "iat": "set", "nbf": "set", "exp": "set", "auth_time": "set", "jti": "set", "sid": "set",
	}
	if diff := cmp.Diff(want, h.claims(t, token.AccessToken)); diff != "" {
		t.Errorf("access token (-want +got):\n%s", diff)
	}

	if got := headerOf(t, token.AccessToken)["typ"]; got != "at+jwt" {
		t.Errorf("access token has typ %v", got)
	}

	raw, ok := token.Extra("id_token").(string)
	if !ok {
		t.Fatal("no ID token")
	}

	identity, err := h.oidc.VerifierContext(h.ctx, &oidc.Config{ClientID: publicID}).Verify(h.ctx, raw)
	if err != nil {
		t.Fatal(err)
	}

	if identity.Nonce != "nonce-1" || identity.Subject != "00u-ann" {
		t.Errorf("ID token has nonce %q and subject %q", identity.Nonce, identity.Subject)
	}

	if err := identity.VerifyAccessToken(token.AccessToken); err != nil {
		t.Errorf("at_hash: %v", err)
	}

	if token.RefreshToken != "" {
		t.Error("a refresh token that nobody asked for")
	}
}

func headerOf(t *testing.T, raw string) map[string]any {
	t.Helper()

	var header map[string]any
	if err := json.Unmarshal(decode(t, strings.Split(raw, ".")[0]), &header); err != nil {
		t.Fatal(err)
	}

	return header
}

func TestSignInPageOffersEverybodyAndTakesOne(t *testing.T) {
	t.Parallel()

	h := newHouse(t)
	config, verifier := h.config("openid"), oauth2.GenerateVerifier()
	address := config.AuthCodeURL("state-<2>", oauth2.S256ChallengeOption(verifier))

	_, body := h.visit(t, http.MethodGet, address, nil)
	for _, want := range []string{`value="ann"`, "Ann &lt;Ångström&gt;", `value="bob"`, `value="state-&lt;2&gt;"`} {
		if !strings.Contains(body, want) {
			t.Errorf("page lacks %s:\n%s", want, body)
		}
	}

	parsed, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}

	form := parsed.Query()
	form.Set("person", "bob")

	answer, _ := h.visit(t, http.MethodPost, h.oidc.Endpoint().AuthURL, form)

	token, err := config.Exchange(h.ctx, answer.Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}

	if got := h.claims(t, token.AccessToken)["sub"]; got != "00u-bob" {
		t.Errorf("signed in %v", got)
	}
}

func TestDoubtfulAuthorizationRequestsAreRefused(t *testing.T) {
	t.Parallel()

	h := newHouse(t)
	config := h.config("openid")
	good, err := url.Parse(config.AuthCodeURL("state", oauth2.S256ChallengeOption(oauth2.GenerateVerifier()),
		oauth2.SetAuthURLParam("login_hint", "ann")))

	if err != nil {
		t.Fatal(err)
	}

	for _, row := range []struct {
		name   string
		change func(q url.Values)
		want   string // error sent back; "" for an answer here
	}{
		{"unknown client", func(q url.Values) { q.Set("client_id", "stranger") }, ""},
		{"no redirect", func(q url.Values) { q.Del("redirect_uri") }, ""},
		{"redirect elsewhere", func(q url.Values) { q.Set("redirect_uri", "https://evil.example/callback") }, ""},
		{"redirect to another path", func(q url.Values) { q.Set("redirect_uri", "http://127.0.0.1:1/other") }, ""},
		{"redirect to another loopback name", func(q url.Values) { q.Set("redirect_uri", "http://localhost:1/callback") }, ""},
		{"redirect with a user", func(q url.Values) { q.Set("redirect_uri", "http://127.0.0.1@evil.example/callback") }, ""},
		{"redirect with a fragment", func(q url.Values) { q.Set("redirect_uri", "http://127.0.0.1/callback#x") }, ""},
		{"other port of a site that is not loopback", func(q url.Values) { q.Set("redirect_uri", "https://tool.example:444/back") }, ""},
		{"state twice", func(q url.Values) { q.Add("state", "other") }, ""},
		{"no PKCE", func(q url.Values) { q.Del("code_challenge"); q.Del("code_challenge_method") }, "invalid_request"},
		{"plain PKCE", func(q url.Values) { q.Set("code_challenge_method", "plain") }, "invalid_request"},
		{"short challenge", func(q url.Values) { q.Set("code_challenge", "YWJj") }, "invalid_request"},
		{"implicit", func(q url.Values) { q.Set("response_type", "token") }, "unsupported_response_type"},
		{"nobody", func(q url.Values) { q.Set("login_hint", "eve") }, "access_denied"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			query := good.Query()
			row.change(query)

			answer, _ := h.visit(t, http.MethodGet, h.oidc.Endpoint().AuthURL+"?"+query.Encode(), nil)
			if diff := cmp.Diff(row.want, answer.Get("error")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}

			if answer.Get("code") != "" {
				t.Error("got a code")
			}
		})
	}
}

func TestACodeIsGoodOnceForItsClientAndVerifier(t *testing.T) {
	t.Parallel()

	h := newHouse(t)

	for _, row := range []struct {
		name   string
		change func(c *oauth2.Config, verifier *string)
		want   string
	}{
		{"honest", func(*oauth2.Config, *string) {}, ""},
		{"other verifier", func(_ *oauth2.Config, v *string) { *v = oauth2.GenerateVerifier() }, "invalid_grant"},
		{"no verifier", func(_ *oauth2.Config, v *string) { *v = "" }, "invalid_grant"},
		{"other redirect", func(c *oauth2.Config, _ *string) { c.RedirectURL = "http://127.0.0.1:1/callback" }, "invalid_grant"},
		{"other client", func(c *oauth2.Config, _ *string) { c.ClientID, c.ClientSecret = serviceID, secret }, "invalid_grant"},
		{"unknown client", func(c *oauth2.Config, _ *string) { c.ClientID = "stranger" }, "invalid_client"},
		{"secret of a public client", func(c *oauth2.Config, _ *string) { c.ClientSecret = "x" }, "invalid_client"},
		{"late", func(*oauth2.Config, *string) { h.clock.advance(time.Minute) }, "invalid_grant"},
	} {
		config, verifier := h.config("openid"), oauth2.GenerateVerifier()
		answer, _ := h.visit(t, http.MethodGet, config.AuthCodeURL("s", oauth2.S256ChallengeOption(verifier),
			oauth2.SetAuthURLParam("login_hint", "ann")), nil)

		row.change(&config, &verifier)

		_, err := config.Exchange(h.ctx, answer.Get("code"), oauth2.VerifierOption(verifier))
		if err == nil && row.want == "" {
			_, err = config.Exchange(h.ctx, answer.Get("code"), oauth2.VerifierOption(verifier))
			row.want = "invalid_grant" // the second time
		}

		if diff := cmp.Diff(row.want, refusal(t, err)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", row.name, diff)
		}
	}
}
