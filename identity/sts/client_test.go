package sts_test

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/identity"
)

func TestClientsProveThemselvesOrAreRefused(t *testing.T) {
	t.Parallel()

	bare := func(form object, change ...func(*http.Request)) func(*testing.T, *world) reply {
		return func(t *testing.T, w *world) reply {
			t.Helper()

			return w.post("/oauth2/token", object{
				"grant_type": exchange, "subject_token": w.corp.sign(t, "at+jwt", w.person()), "subject_token_type": accessToken,
			}.with(form), change...)
		}
	}

	runAttacks(t, []attack{
		{"honest", asserting("JWT", nothing), "ok"},
		{"nothing", bare(nil), "invalid_client"},
		{"a name alone", bare(object{"client_id": "scout"}), "invalid_client"},
		{"a secret nobody gave out", bare(object{"client_id": "scout", "client_secret": "secret"}), "invalid_client"},
		{"an empty secret", bare(object{"client_id": "scout"}, func(r *http.Request) { r.SetBasicAuth("scout", "") }), "invalid_client"},
		{"a bearer token", bare(nil, func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }), "invalid_client"},
		{"two proofs", func(t *testing.T, w *world) reply {
			t.Helper()

			return w.post("/oauth2/token", w.exchange(t, "scout", "x").with(object{"client_secret": "x"}))
		}, "invalid_request"},
		{"an assertion of another kind", exchanging(nil, object{"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"}), "invalid_request"},
		{"another name than the proof's", exchanging(nil, object{"client_id": "chef"}), "invalid_client"},
		{"another subject", asserting("JWT", func(int64) object { return object{"sub": "chef"} }), "invalid_client"},
		{"another agent's name under its own key", asserting("JWT", func(int64) object { return object{"iss": "pod", "sub": "pod"} }), "invalid_client"},
		{"two audiences", asserting("JWT", func(int64) object { return object{"aud": []string{ownURL, "https://other.example"}} }), "invalid_client"},
		{"another audience", asserting("JWT", func(int64) object { return object{"aud": "https://other.example"} }), "invalid_client"},
		{"the data plane's audience", asserting("JWT", func(int64) object { return object{"aud": dataAud} }), "invalid_client"},
		{"no audience", asserting("JWT", func(int64) object { return object{"aud": nil} }), "invalid_client"},
		{"no id", asserting("JWT", func(int64) object { return object{"jti": nil} }), "invalid_client"},
		{"no end", asserting("JWT", func(int64) object { return object{"exp": nil} }), "invalid_client"},
		{"an end a day ahead", asserting("JWT", func(now int64) object { return object{"exp": now + 86400} }), "invalid_client"},
		{"expired 61 s ago", asserting("JWT", func(now int64) object { return object{"exp": now - 61} }), "invalid_client"},
		{"issued in 61 s", asserting("JWT", func(now int64) object { return object{"iat": now + 61} }), "invalid_client"},
		{"an access token for an assertion", asserting("at+jwt", nothing), "invalid_client"},
		{"a proof for an assertion", asserting("dpop+jwt", nothing), "invalid_client"},
		{"signed by a stranger", func(t *testing.T, w *world) reply {
			t.Helper()

			thief := newSigner(t, "scout-1")

			return exchanging(nil, object{"client_assertion": thief.sign(t, "JWT", w.assertion("scout"))})(t, w)
		}, "invalid_client"},
		{"twice", func(t *testing.T, w *world) reply {
			t.Helper()

			form := w.exchange(t, "scout", w.corp.sign(t, "at+jwt", w.person()))
			if r := w.post("/oauth2/token", form); r.code() != "ok" {
				t.Fatal(r.body)
			}

			return w.post("/oauth2/token", form)
		}, "invalid_client"},
		{"a person's token", func(t *testing.T, w *world) reply {
			t.Helper()

			return exchanging(nil, object{"client_assertion": w.corp.sign(t, "at+jwt", w.person())})(t, w)
		}, "invalid_client"},
		{"a token of ours", func(t *testing.T, w *world) reply {
			t.Helper()

			own := w.post("/oauth2/token", w.as(t, "scout", object{"grant_type": "client_credentials"}))

			return exchanging(nil, object{"client_assertion": own.token()})(t, w)
		}, "invalid_client"},
		{"a platform's token for somebody else", func(t *testing.T, w *world) reply {
			t.Helper()

			return exchanging(nil, object{"client_assertion": w.cluster.sign(t, "", w.pod("pod").with(object{"aud": "https://vault.example"}))})(t, w)
		}, "invalid_client"},
		{"a platform's token for two", func(t *testing.T, w *world) reply {
			t.Helper()

			return exchanging(nil, object{"client_assertion": w.cluster.sign(t, "", w.pod("pod").with(object{"aud": []string{ownURL, "https://vault.example"}}))})(t, w)
		}, "invalid_client"},
		{"a platform's token that is bound to a key", func(t *testing.T, w *world) reply {
			t.Helper()

			return exchanging(nil, object{"client_assertion": w.cluster.sign(t, "", w.pod("pod").with(object{"cnf": object{"jkt": aThumbprint}}))})(t, w)
		}, "invalid_client"},
		{"a platform's token of a workload nobody declared", func(t *testing.T, w *world) reply {
			t.Helper()

			return exchanging(nil, object{"client_assertion": w.cluster.sign(t, "", w.pod("stranger"))})(t, w)
		}, "invalid_client"},
	})
}

func TestCertificatesProveTheKeysThatAgentsAreDeclaredWith(t *testing.T) {
	t.Parallel()

	certified := func(agent string, from, to time.Duration, key func(t *testing.T, w *world) *ecdsa.PrivateKey) func(*testing.T, *world) reply {
		return func(t *testing.T, w *world) reply {
			t.Helper()

			private := key(t, w)
			template := &x509.Certificate{SerialNumber: serial(), NotBefore: time.Now().Add(from), NotAfter: time.Now().Add(to)}

			der, err := x509.CreateCertificate(random(), template, template, private.Public(), private)
			check(t, err)

			certificate, err := x509.ParseCertificate(der)
			check(t, err)

			r := w.post("/oauth2/token", object{
				"grant_type": exchange, "subject_token": w.corp.sign(t, "at+jwt", w.person()), "subject_token_type": accessToken, "client_id": agent,
			}, func(r *http.Request) {
				r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{certificate}}
			})
			if r.token() == "" {
				return r
			}

			// The token is bound to the certificate.
			if _, err := w.authenticate(t, r.token()); err == nil {
				t.Error("the data plane takes the token without the certificate")
			}

			proof := identity.Proof{Certificate: certificate}
			if _, err := w.gate.Authenticate(t.Context(), identity.Credential{Scheme: identity.SchemeToken, Token: r.token(), Proof: proof}); err != nil {
				t.Errorf("with the certificate: %v", err)
			}

			return r
		}
	}
	ours := func(_ *testing.T, w *world) *ecdsa.PrivateKey { return w.scout.key }
	stranger := func(t *testing.T, _ *world) *ecdsa.PrivateKey { t.Helper(); return newSigner(t, "x").key }

	runAttacks(t, []attack{
		{"its own", certified("scout", -time.Hour, time.Hour, ours), "ok"},
		{"a stranger's", certified("scout", -time.Hour, time.Hour, stranger), "invalid_client"},
		{"expired", certified("scout", -time.Hour, -time.Minute, ours), "invalid_client"},
		{"not valid yet", certified("scout", time.Minute, time.Hour, ours), "invalid_client"},
		{"of an agent without keys", certified("pod", -time.Hour, time.Hour, ours), "invalid_client"},
		{"of nobody", certified("nobody", -time.Hour, time.Hour, ours), "invalid_client"},
		{"without a name", certified("", -time.Hour, time.Hour, ours), "invalid_client"},
	})
}

func TestRequestsAreReadStrictly(t *testing.T) {
	t.Parallel()

	form := func(body string, change ...func(*http.Request)) func(*testing.T, *world) reply {
		return func(t *testing.T, w *world) reply {
			t.Helper()

			return w.postBody("/oauth2/token", body, change...)
		}
	}

	runAttacks(t, []attack{
		{"a parameter twice", form("grant_type=client_credentials&scope=cosmos.read&scope=cosmos.write"), "invalid_request"},
		{"a parameter twice, once empty", form("grant_type=client_credentials&scope=&scope=cosmos.write"), "invalid_request"},
		{"a broken escape", form("grant_type=%zz"), "invalid_request"},
		{"a semicolon", form("grant_type=client_credentials;scope=x"), "invalid_request"},
		{"a control character", form("grant_type=client%00credentials"), "invalid_request"},
		{"too much", form("grant_type=" + strings.Repeat("a", 64<<10)), "invalid_request"},
		{"JSON", form(`{"grant_type":"client_credentials"}`, func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }), "invalid_request"},
		{"in the query", form("", func(r *http.Request) { r.URL.RawQuery = "grant_type=client_credentials" }), "invalid_request"},
		{"nothing", form(""), "invalid_client"},
		{"no grant", func(t *testing.T, w *world) reply { t.Helper(); return w.post("/oauth2/token", w.as(t, "scout", nil)) }, "invalid_request"},
		{"a password", func(t *testing.T, w *world) reply {
			t.Helper()

			return w.post("/oauth2/token", w.as(t, "scout", object{"grant_type": "password"}))
		}, "unsupported_grant_type"},
		{"a refresh token", func(t *testing.T, w *world) reply {
			t.Helper()

			return w.post("/oauth2/token", w.as(t, "scout", object{"grant_type": "refresh_token"}))
		}, "unsupported_grant_type"},
	})
}

func TestProofsBindTheTokenToAKey(t *testing.T) {
	t.Parallel()

	prove := func(claims object, typ string) func(*testing.T, *world) reply {
		return func(t *testing.T, w *world) reply {
			t.Helper()

			raw := dpop(t, w.scout, typ, object{
				"htm": http.MethodPost, "htu": ownURL + "/oauth2/token", "iat": time.Now().Unix(), "jti": "proof-1",
			}.with(claims))
			form := w.exchange(t, "scout", w.corp.sign(t, "at+jwt", w.person()))

			r := w.post("/oauth2/token", form, func(r *http.Request) { r.Header.Set("DPoP", raw) })
			if r.token() == "" {
				return r
			}

			want := map[string]any{"jkt": thumbprint(t, jose.JSONWebKey{Key: w.scout.key.Public()})}
			if diff := cmp.Diff(want, dpopClaims(t, r)); diff != "" || r.body["token_type"] != "DPoP" {
				t.Errorf("%v (-want +got):\n%s", r.body["token_type"], diff)
			}

			if _, err := w.authenticate(t, r.token()); err == nil {
				t.Error("the data plane takes the token without a proof")
			}

			return r
		}
	}

	runAttacks(t, []attack{
		{"honest", prove(nil, "dpop+jwt"), "ok"},
		{"for another endpoint", prove(object{"htu": ownURL + "/oauth2/revoke"}, "dpop+jwt"), "invalid_dpop_proof"},
		{"for another method", prove(object{"htm": "GET"}, "dpop+jwt"), "invalid_dpop_proof"},
		{"old", prove(object{"iat": 1}, "dpop+jwt"), "invalid_dpop_proof"},
		{"of another type", prove(nil, "JWT"), "invalid_dpop_proof"},
		{"without an id", prove(object{"jti": nil}, "dpop+jwt"), "invalid_dpop_proof"},
	})
}

func TestABadProofCostsNoGrant(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		t.Helper()

		grant := object{"grant_type": jwtBearer, "assertion": w.corp.sign(t, "oauth-id-jag+jwt", w.jag())}

		r := w.post("/oauth2/token", w.as(t, "scout", grant), func(r *http.Request) { r.Header.Set("DPoP", "broken") })
		if r.code() != "invalid_dpop_proof" {
			t.Fatalf("%+v", r)
		}

		if r := w.post("/oauth2/token", w.as(t, "scout", grant)); r.code() != "ok" {
			t.Errorf("the grant is used up without a token: %+v", r)
		}
	})
}

func dpopClaims(t *testing.T, r reply) any {
	t.Helper()

	return claims(t, r.token())["cnf"]
}
