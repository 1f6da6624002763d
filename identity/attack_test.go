package identity_test

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/identity"
)

// attack is one row: a token, and what must come of it.
type attack struct {
	name string
	mint func(t *testing.T, w *world) string
	want any // "accepted", "unavailable" or the substatus
}

// claimed makes a row's token from ann's claims.
func claimed(changes func(now int64) object) func(*testing.T, *world) string {
	return func(t *testing.T, w *world) string {
		t.Helper()

		return w.signer.sign(t, nil, w.person().with(changes(time.Now().Unix())))
	}
}

// headed makes a row's token from ann's claims under another header.
func headed(header object) func(*testing.T, *world) string {
	return func(t *testing.T, w *world) string {
		t.Helper()

		return w.signer.sign(t, header, w.person())
	}
}

// spelled makes a row's token by rewriting ann's.
func spelled(rewrite func(header, payload, signature string) string) func(*testing.T, *world) string {
	return func(t *testing.T, w *world) string {
		t.Helper()

		parts := strings.Split(w.signer.sign(t, nil, w.person()), ".")

		return rewrite(parts[0], parts[1], parts[2])
	}
}

func runAttacks(t *testing.T, rows []attack) {
	t.Helper()

	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t).start(t)
				raw := row.mint(t, w)

				_, err := w.authenticate(t, raw)
				if diff := cmp.Diff(row.want, verdictOf(t, err)); diff != "" {
					t.Errorf("first call (-want +got):\n%s\n%v", diff, err)
				}

				// Memory must not soften a verdict.
				_, err = w.authenticate(t, raw)
				if diff := cmp.Diff(row.want, verdictOf(t, err)); diff != "" {
					t.Errorf("second call (-want +got):\n%s\n%v", diff, err)
				}
			})
		})
	}
}

func encode(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

func TestTokensOfTheWrongShapeAreRefused(t *testing.T) {
	t.Parallel()
	runAttacks(t, []attack{
		{"empty", func(*testing.T, *world) string { return "" }, 5001},
		{"not a token", func(*testing.T, *world) string { return "hunter2" }, 5001},
		{"two parts", spelled(func(h, p, _ string) string { return h + "." + p }), 5001},
		{"four parts", spelled(func(h, p, s string) string { return h + "." + p + "." + s + "." + s }), 5001},
		{"no signature", spelled(func(h, p, _ string) string { return h + "." + p + "." }), 5001},
		{"leading space", spelled(func(h, p, s string) string { return " " + h + "." + p + "." + s }), 5001},
		{"newline inside", spelled(func(h, p, s string) string { return h + ".\n" + p + "." + s }), 5001},
		{"padded base64", spelled(func(h, p, s string) string { return h + "." + p + "." + s + "==" }), 5001},
		{"standard alphabet", spelled(func(h, p, s string) string { return h + "." + p + ".+" + s[1:] }), 5001},
		{"unused bits set", spelled(func(h, p, s string) string { return h + "." + p + "." + s[:len(s)-1] + "B" }), 5001},
		{"JSON serialization", func(t *testing.T, w *world) string {
			t.Helper()

			jws, err := jose.ParseSignedCompact(w.signer.sign(t, nil, w.person()), []jose.SignatureAlgorithm{jose.ES256})
			if err != nil {
				t.Fatal(err)
			}

			return jws.FullSerialize()
		}, 5001},
		{"17 KB", claimed(func(int64) object { return object{"padding": strings.Repeat("x", 17<<10)} }), 5001},
		{"12 KB", claimed(func(int64) object { return object{"padding": strings.Repeat("x", 8<<10)} }), "accepted"},
		{"payload is an array", func(t *testing.T, w *world) string {
			t.Helper()

			return w.signer.signBytes(t, nil, []byte(`[]`))
		}, 5004},
		{"payload is null", func(t *testing.T, w *world) string {
			t.Helper()

			return w.signer.signBytes(t, nil, []byte(`null`))
		}, 5004},
		{"payload is not UTF-8", func(t *testing.T, w *world) string {
			t.Helper()

			return w.signer.signBytes(t, nil, []byte("{\"iss\":\""+corpURL+"\",\"sub\":\"\xff\"}"))
		}, 5004},
		{"data after the payload", func(t *testing.T, w *world) string {
			t.Helper()

			payload, err := json.Marshal(w.person())
			if err != nil {
				t.Fatal(err)
			}

			return w.signer.signBytes(t, nil, append(payload, `{"sub":"root"}`...))
		}, 5004},
	})
}

func TestTokensWithAForgedHeaderAreRefused(t *testing.T) {
	t.Parallel()
	runAttacks(t, []attack{
		{"honest", headed(nil), "accepted"},
		{"alg none", spelled(func(_, p, _ string) string {
			return encode(`{"alg":"none","kid":"k1","typ":"at+jwt"}`) + "." + p + ".AA"
		}), 5004},
		{"alg in odd case", spelled(func(_, p, s string) string {
			return encode(`{"alg":"es256","kid":"k1","typ":"at+jwt"}`) + "." + p + "." + s
		}), 5004},
		{"duplicate alg", spelled(func(_, p, s string) string {
			return encode(`{"alg":"none","alg":"ES256","kid":"k1","typ":"at+jwt"}`) + "." + p + "." + s
		}), 5004},
		{"HS256 with the public key as secret", hmacWithPublicKey, 5004},
		{"PS256, which the issuer was not given", func(t *testing.T, w *world) string {
			t.Helper()

			s := newRSASigner("rsa")
			w.provider.publish(w.signer, s)
			s.alg = jose.PS256

			return s.sign(t, nil, w.person())
		}, 5004},
		{"own key embedded", func(t *testing.T, w *world) string {
			t.Helper()

			thief := newSigner(t, "k1")

			return thief.sign(t, object{"jwk": thief.public()}, w.person())
		}, 5004},
		{"own key set linked", func(t *testing.T, w *world) string {
			t.Helper()

			return newSigner(t, "k1").sign(t, object{"jku": "https://evil.example/keys", "x5u": "https://evil.example/cert"}, w.person())
		}, 5004},
		{"own certificate chain", headed(object{"x5c": []string{"bm90IGEgY2VydGlmaWNhdGU="}}), 5004},
		{"honest key beside a linked set is judged by our key", headed(object{"jku": "https://evil.example/keys"}), "accepted"},
		{"no kid", spelled(func(_, p, s string) string { return encode(`{"alg":"ES256","typ":"at+jwt"}`) + "." + p + "." + s }), 5004},
		{"kid is a path", headed(object{"kid": "../../etc/passwd"}), 5004},
		{"kid is a query", headed(object{"kid": "' OR 1=1 --"}), 5004},
		{"kid is huge", headed(object{"kid": strings.Repeat("k", 4096)}), 5004},
		{"kid is a number", headed(object{"kid": 1}), 5004},
		{"typ is a number", headed(object{"typ": 1}), 5004},
		{"critical extension", headed(object{"crit": []string{"exp"}, "exp": 1}), 5004},
		{"unencoded payload", headed(object{"crit": []string{"b64"}, "b64": true}), 5004},
		{"signature of other claims", func(t *testing.T, w *world) string {
			t.Helper()

			honest := strings.Split(w.signer.sign(t, nil, w.person()), ".")
			other := strings.Split(w.signer.sign(t, nil, w.person().with(object{"sub": "root"})), ".")

			return honest[0] + "." + other[1] + "." + honest[2]
		}, 5004},
		{"own key under the issuer's kid", func(t *testing.T, w *world) string {
			t.Helper()

			return newSigner(t, "k1").sign(t, nil, w.person())
		}, 5004},
	})
}

// hmacWithPublicKey signs with HS256 and the issuer's RSA public key, which everybody knows.
func hmacWithPublicKey(t *testing.T, w *world) string {
	t.Helper()

	s := newRSASigner("rsa")
	w.provider.publish(w.signer, s)

	der, err := x509.MarshalPKIXPublicKey(s.key.Public())
	if err != nil {
		t.Fatal(err)
	}

	secret := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})

	options := (&jose.SignerOptions{}).WithHeader("kid", "rsa").WithType("at+jwt")

	signing, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: secret}, options)
	if err != nil {
		t.Fatal(err)
	}

	payload, err := json.Marshal(w.person())
	if err != nil {
		t.Fatal(err)
	}

	jws, err := signing.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}

	raw, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}

	return raw
}

func TestTokensWithForgedClaimsAreRefused(t *testing.T) {
	t.Parallel()

	const day, year = 86400, 365 * 86400

	duplicated := func(extra string) func(*testing.T, *world) string {
		return func(t *testing.T, w *world) string {
			t.Helper()

			payload, err := json.Marshal(w.person())
			if err != nil {
				t.Fatal(err)
			}

			return w.signer.signBytes(t, nil, []byte("{"+extra+","+string(payload[1:])))
		}
	}

	runAttacks(t, []attack{
		{"honest", claimed(func(int64) object { return nil }), "accepted"},
		{"unknown issuer", claimed(func(int64) object { return object{"iss": "https://evil.example"} }), 5004},
		{"issuer with a slash more", claimed(func(int64) object { return object{"iss": corpURL + "/"} }), 5004},
		{"issuer in upper case", claimed(func(int64) object { return object{"iss": strings.ToUpper(corpURL)} }), 5004},
		{"no issuer", claimed(func(int64) object { return object{"iss": nil} }), 5004},
		{"issuer is a list", claimed(func(int64) object { return object{"iss": []string{corpURL}} }), 5004},
		{"duplicate sub", duplicated(`"sub":"root"`), 5004},
		{"duplicate inside", duplicated(`"ext":{"a":1,"a":2}`), 5004},
		{"second spelling of sub is not read", duplicated(`"Sub":"root"`), "accepted"},
		{"second spelling of iss, which the library reads", duplicated(`"ISS":"` + corpURL + `"`), "accepted"},
		{"aud in odd case only", claimed(func(int64) object { return object{"aud": nil, "Aud": corpAudience} }), 5008},
		{"exp in odd case only", claimed(func(now int64) object { return object{"exp": nil, "EXP": now + 60} }), 5006},
		{"other audience", claimed(func(int64) object { return object{"aud": "api://another"} }), 5008},
		{"audience with our prefix", claimed(func(int64) object { return object{"aud": corpAudience + ".evil"} }), 5008},
		{"no audience", claimed(func(int64) object { return object{"aud": nil} }), 5008},
		{"audience list with something else", claimed(func(int64) object { return object{"aud": []any{corpAudience, 1}} }), 5004},
		{"ours among several audiences", claimed(func(int64) object { return object{"aud": []string{"x", corpAudience}} }), "accepted"},
		{"undeclared client", claimed(func(int64) object { return object{"client_id": "stranger"} }), 5009},
		{"client in upper case", claimed(func(int64) object { return object{"client_id": strings.ToUpper(corpClient)} }), 5009},
		{"no client", claimed(func(int64) object { return object{"client_id": nil} }), 5009},
		{"two clients", claimed(func(int64) object { return object{"azp": "stranger"} }), 5009},
		{"client is a list", claimed(func(int64) object { return object{"client_id": []string{corpClient}} }), 5009},
		{"same client twice", claimed(func(int64) object { return object{"azp": corpClient} }), "accepted"},
		{"no exp", claimed(func(int64) object { return object{"exp": nil} }), 5006},
		{"exp is a string", claimed(func(int64) object { return object{"exp": "soon"} }), 5004},
		{"no iat", claimed(func(int64) object { return object{"iat": nil} }), 5006},
		{"exp ten years ahead", claimed(func(now int64) object { return object{"exp": now + 10*year} }), 5006},
		{"exp beyond every calendar", claimed(func(int64) object { return object{"exp": 1e300} }), 5006},
		{"exp is negative", claimed(func(int64) object { return object{"exp": -1} }), 5006},
		{"lives 25 hours", claimed(func(now int64) object { return object{"exp": now + 25*3600} }), "accepted"},
		{"lives a second longer than 25 hours", claimed(func(now int64) object { return object{"exp": now + 25*3600 + 1} }), 5006},
		{"backdated to pass the lifetime", claimed(func(now int64) object { return object{"iat": now - day, "exp": now + 2*day} }), 5006},
		{"expired 59 s ago", claimed(func(now int64) object { return object{"iat": now - 100, "exp": now - 59} }), "accepted"},
		{"expired 60 s ago", claimed(func(now int64) object { return object{"iat": now - 100, "exp": now - 60} }), 5006},
		{"valid in 60 s", claimed(func(now int64) object { return object{"nbf": now + 60} }), "accepted"},
		{"valid in 61 s", claimed(func(now int64) object { return object{"nbf": now + 61} }), 5006},
		{"nbf beyond every calendar", claimed(func(int64) object { return object{"nbf": 1 << 62} }), 5006},
		{"nbf is negative", claimed(func(int64) object { return object{"nbf": -1} }), 5006},
		{"nbf is a string", claimed(func(int64) object { return object{"nbf": "later"} }), 5004},
		{"issued in 61 s", claimed(func(now int64) object { return object{"iat": now + 61} }), 5006},
		{"bound to a key, without proof", claimed(func(int64) object { return object{"cnf": object{"jkt": aThumbprint}} }), 5009},
		{"bound to nothing", claimed(func(int64) object { return object{"cnf": object{}} }), 5009},
		{"delegated", claimed(func(int64) object { return object{"act": object{"sub": "bot"}} }), 5009},
		{"issued to an Entra agent", claimed(func(int64) object { return object{"xms_par_app_azp": "bot"} }), 5009},
		{"narrowed by details", claimed(func(int64) object { return object{"authorization_details": []object{}} }), 5009},
	})
}

func TestTokensOfAnotherKindAreRefused(t *testing.T) {
	t.Parallel()
	runAttacks(t, []attack{
		{"access token", headed(object{"typ": "at+jwt"}), "accepted"},
		{"access token, long type", headed(object{"typ": "application/at+jwt"}), "accepted"},
		{"access token, upper case", headed(object{"typ": "AT+JWT"}), "accepted"},
		{"ID token by header", headed(object{"typ": "JWT"}), 5009},
		{"no type", headed(object{"typ": nil}), 5009},
		{"logout token", headed(object{"typ": "logout+jwt"}), 5009},
		{"security event", headed(object{"typ": "secevent+jwt"}), 5009},
		{"DPoP proof", headed(object{"typ": "dpop+jwt"}), 5009},
		{"ID-JAG", headed(object{"typ": "oauth-id-jag+jwt"}), 5009},
		{"ID token with the access header", claimed(func(int64) object { return object{"at_hash": "x"} }), 5009},
		{"event with the access header", claimed(func(int64) object { return object{"events": object{}} }), 5009},
	})
}

func TestAnotherIssuersKeyIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		other := newSigner(t, "k2")
		partner := newProvider("https://login.partner.example", other)
		w.config.Issuers = append(w.config.Issuers, identity.Issuer{
			Name: "partner", URL: partner.url, Audiences: []string{corpAudience}, HTTPClient: &http.Client{Transport: partner},
		})
		w.start(t)

		_, err := w.authenticate(t, other.sign(t, nil, w.person()))
		if diff := cmp.Diff(any(5004), verdictOf(t, err)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestCosmosAudienceIsRefusedWithAnExplanationWhoeverSigned(t *testing.T) {
	t.Parallel()

	for _, audience := range []any{
		"https://cosmos.azure.com", "https://cosmos.azure.com/", "HTTPS://Cosmos.Azure.Com", "cosmos.azure.com", "https://cosmos.azure.us",
		"https://prod.documents.azure.com", "https://prod.documents.azure.com:443/", "https://prod.documents.azure.cn",
		"a232010e-820c-4083-83bb-3ace5fc29d0b", []string{corpAudience, "https://cosmos.azure.com"},
	} {
		for _, issuer := range []string{corpURL, "https://sts.windows.net/not-one-of-ours/"} {
			t.Run(strings.ReplaceAll(issuer, "/", "_"), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t).start(t)

					_, err := w.authenticate(t, w.signer.sign(t, nil, w.person().with(object{"aud": audience, "iss": issuer})))
					if diff := cmp.Diff(any(5008), verdictOf(t, err)); diff != "" {
						t.Fatalf("%v (-want +got):\n%s", audience, diff)
					}

					var refusal *identity.Error
					if !asError(err, &refusal) || !strings.Contains(refusal.Hint, "AZURE_COSMOS_AAD_SCOPE_OVERRIDE") {
						t.Errorf("%v: hint %q doesn't name the way out", audience, refusal.Hint)
					}
				})
			})
		}
	}
}

func TestOtherRefusalsCarryNoText(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t).start(t)

		_, err := w.authenticate(t, w.signer.sign(t, nil, w.person().with(object{"aud": "api://another"})))

		var refusal *identity.Error
		if !asError(err, &refusal) || refusal.Hint != "" || refusal.Reason == "" {
			t.Errorf("got %+v, want a reason for the record and nothing for the caller", refusal)
		}
	})
}

func TestOtherCredentialsAreRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t).start(t)
		token := w.signer.sign(t, nil, w.person())

		for _, row := range []struct {
			name       string
			credential identity.Credential
			want       any
		}{
			{"none", identity.Credential{}, 5000},
			{"a token without a scheme", identity.Credential{Token: token}, 5000},
			{"an account key", identity.Credential{Scheme: identity.SchemeMasterKey, Token: token}, 5202},
		} {
			_, err := w.gate.Authenticate(t.Context(), row.credential)
			if diff := cmp.Diff(row.want, verdictOf(t, err)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", row.name, diff)
			}
		}
	})
}

func TestTokenIsNeverPrinted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t).start(t)
		raw := w.signer.sign(t, nil, w.person().with(object{"aud": "https://cosmos.azure.com"}))
		presented := credential(raw)

		_, err := w.gate.Authenticate(t.Context(), presented)

		var record strings.Builder
		slog.New(slog.NewJSONHandler(&record, nil)).Info("refused", "credential", presented, "error", err)

		printed := err.Error() + fmt.Sprintf("%v %+v %#v", presented, presented, presented) + record.String()
		for part := range strings.SplitSeq(raw, ".") {
			if strings.Contains(printed, part) {
				t.Errorf("a part of the token is printed: %s", printed)
			}
		}
	})
}
