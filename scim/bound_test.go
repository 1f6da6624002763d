package scim_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cosmosgate/cosmosgate/scim"
)

// proofs accepts a proof that says what it is about in plain text, once; nonces are demanded of requests with a token.
type proofs struct {
	used map[string]bool
	err  error
}

func provenBy(key, method, url, token, nonce, id string) string {
	return strings.Join([]string{key, method, url, token, nonce, id}, "|")
}

func (p *proofs) Thumbprint(_ context.Context, token string, proof scim.Proof) (string, error) {
	if p.err != nil {
		return "", p.err
	}
	parts := strings.Split(proof.Header, "|")
	if proof.Several || len(parts) != 6 || parts[1] != proof.Method || parts[2] != proof.URL || parts[3] != token {
		return "", &scim.ProofError{Err: errors.New("not about this request")}
	}
	if token != "" && parts[4] != "n1" {
		return "", &scim.ProofError{Err: errors.New("no fresh nonce"), Nonce: "n1"}
	}
	if p.used[proof.Header] {
		return "", &scim.ProofError{Err: errors.New("used")}
	}
	p.used[proof.Header] = true
	return parts[0], nil
}

const (
	tokenURL = "https://gate.example/scim/oauth/token"
	usersURL = "https://gate.example/scim/v2/corp/Users"
)

func newBoundEndpoint(t *testing.T) (*endpoint, *proofs) {
	t.Helper()
	p := &proofs{used: map[string]bool{}}
	return newEndpoint(t, func(c *scim.OAuthConfig) { c.Proofs, c.Certificates = p, true }), p
}

// obtain asks for an access token with a proof and a certificate, either of which may be missing.
func (e *endpoint) obtain(t *testing.T, proof string, certificate *x509.Certificate, kind string) string {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, tokenURL, strings.NewReader("grant_type=client_credentials&client_id=corp&client_secret="+url.QueryEscape(e.secret)))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.TLS = shown(certificate)
	if proof != "" {
		r.Header.Set("DPoP", proof)
	}
	w := httptest.NewRecorder()
	e.oauth.ServeHTTP(w, r)
	var answer struct {
		Token string `json:"access_token"`
		Type  string `json:"token_type"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusOK || answer.Type != kind {
		t.Fatalf("%d %s, want a %s token", w.Code, w.Body, kind)
	}
	return answer.Token
}

func shown(c *x509.Certificate) *tls.ConnectionState {
	if c == nil {
		return &tls.ConnectionState{}
	}
	return &tls.ConnectionState{PeerCertificates: []*x509.Certificate{c}}
}

func newCertificate(t *testing.T) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestABoundAccessTokenOpensItsConnectionForTheHolderOfItsKeyAlone(t *testing.T) {
	t.Parallel()
	e, _ := newBoundEndpoint(t)
	mine, others := newCertificate(t), newCertificate(t)
	free := e.token(t)
	keyed := e.obtain(t, provenBy("k", "POST", tokenURL, "", "", "1"), nil, "DPoP")
	certified := e.obtain(t, "", mine, "Bearer")
	both := e.obtain(t, provenBy("k", "POST", tokenURL, "", "", "2"), mine, "DPoP")
	good := func(token, id string) string { return provenBy("k", "GET", usersURL, token, "n1", id) }

	const key, certificate = `DPoP realm="scim", error="invalid_token"`, `Bearer realm="scim", error="invalid_token"`
	const proof, nonce, unknown = `DPoP realm="scim", error="invalid_dpop_proof"`, `DPoP realm="scim", error="use_dpop_nonce"`, `Bearer realm="scim"`
	for _, row := range []struct {
		name, authorization string
		proofs              []string
		certificate         *x509.Certificate
		want                string // beginning of the challenge, empty if it opens
	}{
		{"with a proof", "DPoP " + keyed, []string{good(keyed, "a")}, nil, ""},
		{"scheme in lower case", "dpop " + keyed, []string{good(keyed, "b")}, nil, ""},
		{"without proof", "DPoP " + keyed, nil, nil, proof},
		{"as a bearer token", "Bearer " + keyed, nil, nil, key},
		{"as a bearer token, with a proof", "Bearer " + keyed, []string{good(keyed, "c")}, nil, key},
		{"a proof again", "DPoP " + keyed, []string{good(keyed, "a")}, nil, proof},
		{"two proofs", "DPoP " + keyed, []string{good(keyed, "d"), good(keyed, "e")}, nil, proof},
		{"another key", "DPoP " + keyed, []string{provenBy("z", "GET", usersURL, keyed, "n1", "f")}, nil, key},
		{"another method", "DPoP " + keyed, []string{provenBy("k", "PUT", usersURL, keyed, "n1", "g")}, nil, proof},
		{"another URL", "DPoP " + keyed, []string{provenBy("k", "GET", usersURL+"/x", keyed, "n1", "h")}, nil, proof},
		{"another token", "DPoP " + keyed, []string{good(both, "i")}, nil, proof},
		{"no nonce", "DPoP " + keyed, []string{provenBy("k", "GET", usersURL, keyed, "", "j")}, nil, nonce},
		{"an unbound token, with a proof", "DPoP " + free, []string{good(free, "k")}, nil, unknown},
		{"the certificate", "Bearer " + certified, nil, mine, ""},
		{"another certificate", "Bearer " + certified, nil, others, certificate},
		{"no certificate", "Bearer " + certified, nil, nil, certificate},
		{"the certificate under DPoP", "DPoP " + certified, []string{good(certified, "l")}, mine, key},
		{"bound to both, showing both", "DPoP " + both, []string{good(both, "m")}, mine, ""},
		{"bound to both, showing the key", "DPoP " + both, []string{good(both, "n")}, nil, key},
		{"bound to both, showing the certificate", "Bearer " + both, nil, mine, key},
		{"a token that nobody issued", "DPoP scim_at_corp_x", []string{good("scim_at_corp_x", "o")}, mine, unknown},
		{"the configured kind of token under DPoP", "DPoP " + token, []string{good(token, "p")}, nil, unknown},
	} {
		r := httptest.NewRequest(http.MethodGet, usersURL+"?count=0", nil)
		r.Header.Set("Authorization", row.authorization)
		r.TLS = shown(row.certificate)
		r.Header["Dpop"] = row.proofs
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		status := http.StatusOK
		if row.want != "" {
			status = http.StatusUnauthorized
		}
		if got := w.Header().Get("WWW-Authenticate"); w.Code != status || !strings.HasPrefix(got, row.want) {
			t.Errorf("%s: %d %s, want %d %s", row.name, w.Code, got, status, row.want)
		}
		if got := w.Header().Get("DPoP-Nonce"); (got == "n1") != (row.want == nonce) {
			t.Errorf("%s: nonce %q", row.name, got)
		}
	}
}

// TestAPinnedConnectionTakesItsCredentialsFromTheHolderOfItsCertificateAlone tries what a thief of each credential would.
func TestAPinnedConnectionTakesItsCredentialsFromTheHolderOfItsCertificateAlone(t *testing.T) {
	t.Parallel()
	mine, others := newCertificate(t), newCertificate(t)
	pinned := [][sha256.Size]byte{sha256.Sum256([]byte("retired")), sha256.Sum256(mine.Raw)}
	g := newGate(t, func(c *scim.Config) { c.Connections[0].Certificates = pinned })
	e := newEndpoint(t, func(c *scim.OAuthConfig) { c.Pinned = map[string][][sha256.Size]byte{corp: pinned} })
	for _, row := range []struct {
		name        string
		certificate *x509.Certificate
		opens       bool
	}{{"its certificate", mine, true}, {"another", others, false}, {"none", nil, false}} {
		ask := func(h http.Handler, method, target, authorization, body string) int {
			r := httptest.NewRequest(method, target, strings.NewReader(body))
			r.Header.Set("Authorization", authorization)
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.TLS = shown(row.certificate)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w.Code
		}
		want := http.StatusUnauthorized
		if row.opens {
			want = http.StatusOK
		}
		if got := ask(g, http.MethodGet, usersURL, "Bearer "+token, ""); got != want {
			t.Errorf("a bearer token with %s: %d", row.name, got)
		}
		if got := ask(g, http.MethodGet, strings.TrimSuffix(usersURL, "Users")+"Schemas", "", ""); got != http.StatusOK {
			t.Errorf("what is open to everybody, with %s: %d", row.name, got)
		}
		basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(corp+":"+url.QueryEscape(e.secret)))
		if got := ask(e.oauth, http.MethodPost, tokenURL, basic, "grant_type=client_credentials"); got != want {
			t.Errorf("a client secret with %s: %d", row.name, got)
		}
	}
}

// interrupted is a body before which something happens.
type interrupted struct {
	io.Reader

	before func()
}

func (i *interrupted) Read(p []byte) (int, error) {
	if i.before != nil {
		i.before()
		i.before = nil
	}
	return i.Reader.Read(p)
}

// TestATokenThatIsRevokedWhileItsRequestIsUnderWayChangesNothing revokes each kind of token when the body is read: what was decided before no
// longer holds, however long the body took.
func TestATokenThatIsRevokedWhileItsRequestIsUnderWayChangesNothing(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, scheme string
		obtain       func(*testing.T, *endpoint) string
	}{
		{"an access token", "Bearer", func(t *testing.T, e *endpoint) string { t.Helper(); return e.token(t) }},
		{"one bound to a key", "DPoP", func(t *testing.T, e *endpoint) string {
			t.Helper()
			return e.obtain(t, provenBy("k", "POST", tokenURL, "", "", "1"), nil, "DPoP")
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			e, _ := newBoundEndpoint(t)
			access := row.obtain(t, e)
			create := func(name string, before func()) int {
				r := httptest.NewRequest(http.MethodPost, usersURL, &interrupted{strings.NewReader(`{"userName":"` + name + `"}`), before})
				r.Header.Set("Authorization", row.scheme+" "+access)
				r.Header.Set("Content-Type", "application/scim+json")
				r.Header.Set("DPoP", provenBy("k", "POST", usersURL, access, "n1", name))
				w := httptest.NewRecorder()
				e.ServeHTTP(w, r)
				return w.Code
			}
			if got := create("before", nil); got != http.StatusCreated {
				t.Errorf("with a live token: %d", got)
			}
			revoke := func() {
				if err := e.directory.RevokeToken(t.Context(), e.id); err != nil {
					t.Error(err)
				}
			}
			if got := create("meanwhile", revoke); got != http.StatusUnauthorized {
				t.Errorf("with a token that was revoked meanwhile: %d", got)
			}
			if got := e.directory.Counts(corp).Users; got != 1 {
				t.Errorf("%d people", got)
			}
		})
	}
}

func TestBadProofsGetNoAccessToken(t *testing.T) {
	t.Parallel()
	e, p := newBoundEndpoint(t)
	form := "grant_type=client_credentials&client_id=corp&client_secret=" + url.QueryEscape(e.secret)
	for _, row := range []struct {
		name, proof, code string
		err               error
		status            int
	}{
		{"another URL", provenBy("k", "POST", usersURL, "", "", "1"), "invalid_dpop_proof", nil, 400},
		{"no proof at all", "x", "invalid_dpop_proof", nil, 400},
		{"a nonce is wanted", "x", "use_dpop_nonce", &scim.ProofError{Err: errors.New("nonce"), Nonce: "n2"}, 400},
		{"our own trouble", "x", "temporarily_unavailable", errors.New("disk full"), 503},
	} {
		p.err = row.err
		w := e.ask(form, "DPoP", row.proof)
		if w.Code != row.status || !strings.Contains(w.Body.String(), `"error":"`+row.code+`"`) {
			t.Errorf("%s: %d %s", row.name, w.Code, w.Body)
		}
		if got := w.Header().Get("DPoP-Nonce"); (got == "n2") != (row.code == "use_dpop_nonce") {
			t.Errorf("%s: nonce %q", row.name, got)
		}
	}
	if got := e.oauth.Tokens(corp); len(got) != 0 {
		t.Errorf("issued %v", got)
	}

	// And where the gate takes no proofs one is refused, not passed over.
	plain := newEndpoint(t)
	w := plain.ask("grant_type=client_credentials&client_id=corp&client_secret="+url.QueryEscape(plain.secret), "DPoP", "x")
	if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "invalid_dpop_proof") {
		t.Errorf("where none are taken: %d %s", w.Code, w.Body)
	}
}

func TestABoundTokenIsNotRefusedForOurOwnTrouble(t *testing.T) {
	t.Parallel()
	e, p := newBoundEndpoint(t)
	keyed := e.obtain(t, provenBy("k", "POST", tokenURL, "", "", "1"), nil, "DPoP")
	p.err = errors.New("disk full")
	r := httptest.NewRequest(http.MethodGet, usersURL, nil)
	r.Header.Set("Authorization", "DPoP "+keyed)
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("%d %s, want 503", w.Code, w.Body)
	}
}

func TestTheTokenEndpointSaysHowItBinds(t *testing.T) {
	t.Parallel()
	e, _ := newBoundEndpoint(t)
	w := httptest.NewRecorder()
	e.oauth.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "https://gate.example"+scim.MetadataPath, nil))
	var about struct {
		Algorithms  []string `json:"dpop_signing_alg_values_supported"`
		Certificate bool     `json:"tls_client_certificate_bound_access_tokens"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &about); err != nil || len(about.Algorithms) != 4 || !about.Certificate {
		t.Errorf("%s", w.Body)
	}
}
