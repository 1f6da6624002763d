package scim_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/scim"
)

// secrets keeps client secrets in the directory, as the gate does.
type secrets struct{ directory *directory.Directory }

func (s secrets) FindSecret(connection, secret string) (string, bool) {
	t, ok := s.directory.FindToken("oauth."+connection, secret)
	return t.ID, ok
}

func (s secrets) SecretLives(connection, id string) bool {
	for _, t := range s.directory.Tokens("oauth." + connection) {
		if t.ID == id {
			return time.Now().Before(t.Expires)
		}
	}
	return false
}

// assertions accepts one text for one client.
type assertions struct{ err error }

func (a assertions) Assert(_ context.Context, client, assertion string, audiences []string) (string, error) {
	if a.err != nil || assertion != "good" || audiences[0] != "https://gate.example/scim/oauth/token" {
		return "", errors.Join(errors.New("no"), a.err)
	}
	if client == "" {
		client = corp
	}
	return client, nil
}

type undecided struct{ error }

func (undecided) CouldNotDecide() bool { return true }

// boundVerifier is an endpoint that is made later.
type boundVerifier func() *scim.OAuth

func (v boundVerifier) VerifyBound(r *http.Request, connection string) error {
	return v().VerifyBound(r, connection)
}
func (v boundVerifier) BoundLives(r *http.Request, connection string) bool {
	return v().BoundLives(r, connection)
}

// endpoint is the token endpoint beside a SCIM server that accepts its tokens.
type endpoint struct {
	*gate

	oauth  *scim.OAuth
	id     string // of the secret
	secret string
}

func newEndpoint(t *testing.T, change ...func(*scim.OAuthConfig)) *endpoint {
	t.Helper()
	e := &endpoint{}
	e.gate = newGate(t, func(c *scim.Config) {
		c.Connections = append(c.Connections, scim.Connection{Name: "other"})
		c.Tokens = verifier(func(connection, token string) bool { return e.oauth.VerifyToken(connection, token) })
		c.Bound = boundVerifier(func() *scim.OAuth { return e.oauth })
	})
	made, secret, err := e.directory.CreateToken(t.Context(), "oauth."+corp, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	e.id, e.secret = made.ID, secret
	c := scim.OAuthConfig{
		Directory: e.directory, Connections: []string{corp, "other"}, PublicURL: &url.URL{Scheme: "https", Host: "gate.example"},
		Secrets: secrets{e.directory}, Assertions: assertions{}, Clock: time.Now, Random: rand.Reader, Logger: slog.New(slog.DiscardHandler),
	}
	for _, f := range change {
		f(&c)
	}
	if e.oauth, err = scim.NewOAuth(c); err != nil {
		t.Fatal(err)
	}
	return e
}

func (e *endpoint) ask(form string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "https://gate.example"+scim.OAuthPath, strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	e.oauth.ServeHTTP(w, r)
	return w
}

// token gets an access token with the secret.
func (e *endpoint) token(t *testing.T) string {
	t.Helper()
	w := e.ask("grant_type=client_credentials&client_id=corp&client_secret=" + url.QueryEscape(e.secret))
	var answer struct {
		Token string `json:"access_token"`
		Type  string `json:"token_type"`
		Life  int    `json:"expires_in"`
		Scope string `json:"scope"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	if answer.Type != "Bearer" || answer.Life != 3600 || answer.Scope != "scim" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("answer = %+v, headers %v", answer, w.Header())
	}
	return answer.Token
}

func (e *endpoint) opens(connection, token string) int {
	r := httptest.NewRequest(http.MethodGet, "https://gate.example/scim/v2/"+connection+"/Users", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	return w.Code
}

func TestAnAccessTokenOpensItsConnectionAlone(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t)
	token := e.token(t)
	for what, row := range map[string]struct {
		connection, token string
		want              int
	}{
		"its own":                    {corp, token, http.StatusOK},
		"another":                    {"other", token, http.StatusUnauthorized},
		"a changed one":              {corp, token + "x", http.StatusUnauthorized},
		"the client secret":          {corp, e.secret, http.StatusUnauthorized},
		"what the directory holds":   {corp, e.directory.Entries("scim.oauth")[0].Name, http.StatusUnauthorized},
		"the same with the prefix":   {corp, "scim_at_" + e.directory.Entries("scim.oauth")[0].Name, http.StatusUnauthorized},
		"its name of the connection": {"other", strings.Replace(token, "_corp_", "_other_", 1), http.StatusUnauthorized},
	} {
		if got := e.opens(row.connection, row.token); got != row.want {
			t.Errorf("%s: %d, want %d", what, got, row.want)
		}
	}
	for _, entry := range e.directory.Entries("scim.oauth") {
		if strings.Contains(token, entry.Name) || strings.Contains(string(entry.Value), token) {
			t.Error("the directory holds the token itself")
		}
	}
}

func TestAccessTokensEndWithTheirSecretOrWhenTheyAreRevoked(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t)
	first, second := e.token(t), e.token(t)
	if found, err := e.oauth.Revoke(t.Context(), e.oauth.Tokens(corp)[0].ID); err != nil || !found {
		t.Fatalf("Revoke() = %v, %v", found, err)
	}
	if a, b := e.opens(corp, first), e.opens(corp, second); a+b != http.StatusOK+http.StatusUnauthorized {
		t.Errorf("after revoking one: %d, %d", a, b)
	}
	if err := e.directory.RevokeToken(t.Context(), e.id); err != nil {
		t.Fatal(err)
	}
	if a, b := e.opens(corp, first), e.opens(corp, second); a != http.StatusUnauthorized || b != http.StatusUnauthorized {
		t.Errorf("after revoking the secret: %d, %d", a, b)
	}
	if found, err := e.oauth.Revoke(t.Context(), "none"); found || err != nil {
		t.Errorf("Revoke(none) = %v, %v", found, err)
	}
}

func TestTheTokenEndpointTakesOneProofInTheBodyAndNothingTwice(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t)
	secret := "client_secret=" + url.QueryEscape(e.secret)
	const grant, id = "grant_type=client_credentials", "client_id=corp"
	const assertion = "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion="
	basic := func(name, secret string) string {
		r, _ := http.NewRequest(http.MethodPost, "/", nil)
		r.SetBasicAuth(name, secret)
		return r.Header.Get("Authorization")
	}
	form := func(parts ...string) string { return strings.Join(parts, "&") }
	for name, row := range map[string]struct {
		form    string
		headers []string
		status  int
		code    string
	}{
		"secret in the body":           {form(grant, id, secret), nil, 200, ""},
		"secret as Basic":              {grant, []string{"Authorization", basic(corp, url.QueryEscape(e.secret))}, 200, ""},
		"Basic and the same client_id": {form(grant, id), []string{"Authorization", basic(corp, e.secret)}, 200, ""},
		"assertion":                    {form(grant, id, assertion+"good"), nil, 200, ""},
		"assertion without client_id":  {form(grant, assertion+"good"), nil, 200, ""},
		"scope scim":                   {form(grant, id, secret, "scope=scim"), nil, 200, ""},
		"the resource":                 {form(grant, id, secret, "resource=https%3A%2F%2Fgate.example%2Fscim%2Fv2%2Fcorp"), nil, 200, ""},
		"an unknown parameter":         {form(grant, id, secret, "tenant=x"), nil, 200, ""},
		"Basic for another client_id":  {form(grant, "client_id=other"), []string{"Authorization", basic(corp, e.secret)}, 401, "invalid_client"},
		"no proof":                     {form(grant, id), nil, 401, "invalid_client"},
		"a wrong secret":               {form(grant, id, "client_secret=x"), nil, 401, "invalid_client"},
		"another's secret":             {form(grant, "client_id=other", secret), nil, 401, "invalid_client"},
		"an unknown client":            {form(grant, "client_id=nobody", secret), nil, 401, "invalid_client"},
		"a bad assertion":              {form(grant, id, assertion+"bad"), nil, 401, "invalid_client"},
		"an assertion of no known one": {form(grant, "client_id=nobody", assertion+"good"), nil, 401, "invalid_client"},
		"an assertion without type":    {form(grant, id, "client_assertion=good"), nil, 400, "invalid_request"},
		"two proofs":                   {form(grant, id, secret, assertion+"good"), nil, 400, "invalid_request"},
		"Basic and secret":             {form(grant, id, secret), []string{"Authorization", basic(corp, e.secret)}, 400, "invalid_request"},
		"a parameter twice":            {form(grant, id, secret, grant), nil, 400, "invalid_request"},
		"the secret twice":             {form(grant, id, secret, secret), nil, 400, "invalid_request"},
		"another grant":                {form("grant_type=password", id, secret), nil, 400, "unsupported_grant_type"},
		"another scope":                {form(grant, id, secret, "scope=cosmos.read"), nil, 400, "invalid_scope"},
		"another resource":             {form(grant, id, secret, "resource=https%3A%2F%2Fgate.example%2Fscim%2Fv2%2Fother"), nil, 400, "invalid_target"},
		"JSON":                         {`{}`, []string{"Content-Type", "application/json"}, 415, "invalid_request"},
		"a huge body":                  {form(grant, "x="+strings.Repeat("x", 1<<20)), nil, 413, "invalid_request"},
		"a broken body":                {"grant_type=%zz", nil, 400, "invalid_request"},
	} {
		w := e.ask(row.form, row.headers...)
		var answer struct {
			Code string `json:"error"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != row.status || answer.Code != row.code {
			t.Errorf("%s: %d %s, want %d %s", name, w.Code, w.Body, row.status, row.code)
		}
		if w.Header().Get("Cache-Control") != "no-store" || w.Code == http.StatusUnauthorized && w.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%s: headers %v", name, w.Header())
		}
	}
	r := httptest.NewRequest(http.MethodPost, scim.OAuthPath+"?"+secret, strings.NewReader(form(grant, id)))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	e.oauth.ServeHTTP(w, r)
	if w.Code != http.StatusBadRequest {
		t.Errorf("a secret in the URL: %d", w.Code)
	}
	w = httptest.NewRecorder()
	e.oauth.ServeHTTP(w, httptest.NewRequest(http.MethodGet, scim.OAuthPath, nil))
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != http.MethodPost {
		t.Errorf("GET: %d %v", w.Code, w.Header())
	}
}

func TestOurOwnTroubleIsNoRefusalOfTheClient(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t, func(c *scim.OAuthConfig) { c.Assertions = assertions{undecided{errors.New("no keys")}} })
	w := e.ask("grant_type=client_credentials&client_id=corp&client_assertion=x&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer")
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "temporarily_unavailable") {
		t.Errorf("%d %s, want 503", w.Code, w.Body)
	}
}

func TestStrangersAreSlowedAndTheProviderIsNot(t *testing.T) {
	t.Parallel()
	now := time.Now()
	e := newEndpoint(t, func(c *scim.OAuthConfig) { c.Clock = func() time.Time { return now } })
	slowed := 0
	for range 300 {
		if w := e.ask("grant_type=client_credentials&client_id=corp&client_secret=guess"); w.Code == http.StatusTooManyRequests && w.Header().Get("Retry-After") != "" {
			slowed++
		}
	}
	if slowed != 100 {
		t.Errorf("%d of 300 guesses were slowed, want 100", slowed)
	}
	e.token(t)
	for range 19 {
		e.token(t)
	}
	if w := e.ask("grant_type=client_credentials&client_id=corp&client_secret=" + url.QueryEscape(e.secret)); w.Code != http.StatusTooManyRequests {
		t.Errorf("the 21st token at once: %d", w.Code)
	}
}

func TestTheTokenEndpointDescribesItself(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t)
	w := httptest.NewRecorder()
	e.oauth.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "https://gate.example"+scim.MetadataPath, nil))
	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"issuer": "https://gate.example/scim/oauth", "token_endpoint": "https://gate.example/scim/oauth/token",
		"token_endpoint_auth_methods_supported":            []any{"client_secret_basic", "client_secret_post", "private_key_jwt"},
		"token_endpoint_auth_signing_alg_values_supported": []any{"RS256", "ES256", "PS256", "EdDSA"},
		"grant_types_supported":                            []any{"client_credentials"},
		"response_types_supported":                         []any{}, "scopes_supported": []any{"scim"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
}

func FuzzTokenRequests(f *testing.F) {
	f.Add("grant_type=client_credentials&client_id=corp&client_secret=x", "")
	f.Add("", "Basic Y29ycDp4")
	f.Add("a=%zz&b;c", "Bearer x")
	f.Fuzz(func(t *testing.T, form, authorization string) {
		o, err := scim.NewOAuth(scim.OAuthConfig{
			Directory: new(directory.Directory), Connections: []string{corp}, PublicURL: &url.URL{Host: "x"},
			Secrets: none{}, Clock: time.Now, Random: rand.Reader, Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodPost, scim.OAuthPath, strings.NewReader(form))
		r.Header["Content-Type"] = []string{"application/x-www-form-urlencoded"}
		r.Header["Authorization"] = []string{authorization}
		w := httptest.NewRecorder()
		o.ServeHTTP(w, r)
		if w.Code == http.StatusOK || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%q %q: %d %s", form, authorization, w.Code, w.Body)
		}
	})
}

// none knows no secret.
type none struct{}

func (none) FindSecret(string, string) (string, bool) { return "", false }
func (none) SecretLives(string, string) bool          { return false }

func TestWhoCouldNotProveToBeAProviderIsCountedWithTheReason(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t)
	for _, form := range []string{
		"client_id=corp&client_secret=wrong",
		"client_id=nobody&client_secret=wrong",
		"client_assertion=x.eyJzdWIiOiJjb3JwIn0.x&client_assertion_type=" + url.QueryEscape("urn:ietf:params:oauth:client-assertion-type:jwt-bearer"), // sub is corp
		"client_id=other&client_assertion=bad&client_assertion_type=" + url.QueryEscape("urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
	} {
		if w := e.ask("grant_type=client_credentials&" + form); w.Code != http.StatusUnauthorized || strings.Contains(w.Body.String(), "live") {
			t.Errorf("%s: status %d: %s", form, w.Code, w.Body)
		}
	}
	if got := e.oauth.Unproven("other"); got.Count != 1 || got.Reason != "no" {
		t.Errorf("other: %+v", got)
	}
	if w := e.ask("grant_type=client_credentials&client_id=other&client_secret=wrong"); w.Code != http.StatusUnauthorized {
		t.Errorf("status %d", w.Code)
	}
	if got := e.oauth.Unproven(corp); got.Count != 2 || got.Last.IsZero() || got.Reason != "no" {
		t.Errorf("corp: %+v", got)
	}
	if got := e.oauth.Unproven("other"); got.Count != 2 || got.Reason != "not a live client secret of the connection" {
		t.Errorf("other, again: %+v", got)
	}
	if got := e.oauth.Unproven("nobody"); got.Count != 0 {
		t.Errorf("a connection that there is not: %+v", got)
	}
}
