package sts_test

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/identity"
	"github.com/cosmosgate/cosmosgate/identity/sts"
)

func random() io.Reader { return rand.Reader }

func serial() *big.Int { return big.NewInt(1) }

// dpop makes a proof with the key in its header.
func dpop(tb testing.TB, s signer, typ string, claims object) string {
	tb.Helper()

	options := (&jose.SignerOptions{}).WithHeader("jwk", jose.JSONWebKey{Key: s.key.Public()}).WithType(jose.ContentType(typ))

	signing, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: s.key}, options)
	check(tb, err)

	payload, err := json.Marshal(claims)
	check(tb, err)

	jws, err := signing.Sign(payload)
	check(tb, err)

	raw, err := jws.CompactSerialize()
	check(tb, err)

	return raw
}

// alone rules out everything a token of another resource could be taken for.
func TestATokenForAnotherResourceIsRefusedOnTheDataPlane(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		t.Helper()

		for _, row := range []struct {
			audience string
			ok       bool
		}{{dataAud, true}, {mcpAud, false}} {
			_, err := w.authenticate(t, w.delegated(t, "scout", object{"resource": row.audience}))
			if (err == nil) != row.ok {
				t.Errorf("%s: %v", row.audience, err)
			}
		}
	})
}

func TestRevocationCutsTheNextRequest(t *testing.T) {
	t.Parallel()

	for _, row := range []struct {
		name string
		send func(t *testing.T, w *world, token string) reply
		cut  bool
		code string
	}{
		{"by the client", func(t *testing.T, w *world, token string) reply {
			t.Helper()

			return w.post("/oauth2/revoke", w.as(t, "scout", object{"token": token, "token_type_hint": "access_token"}))
		}, true, "ok"},
		{"by the person", func(t *testing.T, w *world, token string) reply {
			t.Helper()

			return w.post("/oauth2/revoke", object{"token": token}, func(r *http.Request) {
				r.Header.Set("Authorization", "bearer "+w.corp.sign(t, "at+jwt", w.person())) // the scheme has no case
			})
		}, true, "ok"},
		{"by another client", func(t *testing.T, w *world, token string) reply {
			t.Helper()

			return w.post("/oauth2/revoke", w.as(t, "chef", object{"token": token}))
		}, false, "unauthorized_client"},
		{"by another person", func(t *testing.T, w *world, token string) reply {
			t.Helper()

			bob := ann()
			bob.ID = "01890a5d-ac96-774b-bcce-000000000b0b"
			w.people.linked[directory.LinkKey{Connection: "corp", ExternalID: "00u-bob"}] = bob

			return w.post("/oauth2/revoke", object{"token": token}, func(r *http.Request) {
				r.Header.Set("Authorization", "Bearer "+w.corp.sign(t, "at+jwt", w.person().with(object{"sub": "00u-bob"})))
			})
		}, false, "unauthorized_client"},
		{"by the token itself", func(_ *testing.T, w *world, token string) reply {
			return w.post("/oauth2/revoke", object{"token": token}, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) })
		}, false, "invalid_client"},
		{"by nobody", func(_ *testing.T, w *world, token string) reply {
			return w.post("/oauth2/revoke", object{"token": token})
		}, false, "invalid_client"},
		{"without a token", func(t *testing.T, w *world, _ string) reply {
			t.Helper()
			return w.post("/oauth2/revoke", w.as(t, "scout", nil))
		}, false, "invalid_request"},
		{"with something that is no token", func(t *testing.T, w *world, _ string) reply {
			t.Helper()

			return w.post("/oauth2/revoke", w.as(t, "scout", object{"token": "cosmos"}))
		}, false, "ok"},
		{"with a token of another issuer", func(t *testing.T, w *world, _ string) reply {
			t.Helper()

			return w.post("/oauth2/revoke", w.as(t, "scout", object{"token": w.corp.sign(t, "at+jwt", w.person())}))
		}, false, "ok"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				t.Helper()

				token := w.delegated(t, "scout", nil)
				if _, err := w.authenticate(t, token); err != nil {
					t.Fatal(err)
				}

				if r := row.send(t, w, token); r.code() != row.code {
					t.Errorf("%d %v, want %s", r.status, r.body, row.code)
				}

				if _, err := w.authenticate(t, token); (err != nil) != row.cut {
					t.Errorf("the next request: %v", err)
				}
			})
		})
	}
}

func TestIntrospectionTellsTheTokensPartiesOnly(t *testing.T) {
	t.Parallel()

	for _, row := range []struct {
		name   string
		change func(t *testing.T, w *world, token string)
		asker  string
		active bool
	}{
		{"its client", func(*testing.T, *world, string) {}, "scout", true},
		{"another client", func(*testing.T, *world, string) {}, "chef", false},
		{"once it is expired", func(*testing.T, *world, string) { time.Sleep(12 * time.Minute) }, "scout", false},
		{"once it is revoked", func(t *testing.T, w *world, token string) {
			t.Helper()

			w.post("/oauth2/revoke", w.as(t, "scout", object{"token": token}))
		}, "scout", false},
		{"once the person has left", func(_ *testing.T, w *world, _ string) { clear(w.people.linked) }, "scout", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				t.Helper()

				token := w.delegated(t, "scout", nil)
				row.change(t, w, token)

				r := w.post("/oauth2/introspect", w.as(t, row.asker, object{"token": token}))
				if r.status != http.StatusOK || r.body["active"] != row.active {
					t.Fatalf("%d %v", r.status, r.body)
				}

				if row.active && (r.body["client_id"] != "scout" || r.body["sub"] != string(ann().ID) || r.body["act"] == nil) {
					t.Errorf("%v", r.body)
				}

				if !row.active && len(r.body) != 1 {
					t.Errorf("says more than that it is not active: %v", r.body)
				}
			})
		})
	}
}

func TestIntrospectionWantsAClient(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		t.Helper()

		if r := w.post("/oauth2/introspect", object{"token": w.delegated(t, "scout", nil)}); r.code() != "invalid_client" || r.status != http.StatusUnauthorized {
			t.Errorf("%d %v", r.status, r.body)
		}

		person := w.corp.sign(t, "at+jwt", w.person())
		r := w.post("/oauth2/introspect", object{"token": person}, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+person) })

		if r.code() != "invalid_client" {
			t.Errorf("a person: %d %v", r.status, r.body)
		}
	})
}

func TestNothingIsIssuedThatCannotBeRecorded(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		t.Helper()

		form := w.exchange(t, "scout", w.corp.sign(t, "at+jwt", w.person()))
		w.full = errors.New("disk full")

		if r := w.post("/oauth2/token", form); r.status != http.StatusServiceUnavailable || r.token() != "" {
			t.Errorf("%d %v", r.status, r.body)
		}
	})
}

func TestTheGatesOwnTroubleIsNobodysFault(t *testing.T) {
	t.Parallel()

	for _, row := range []struct {
		name   string
		break_ func(w *world)
	}{
		{"ids cannot be used up", func(w *world) { w.shelf.broken = errors.New("no quorum") }},
		{"there is no key", func(w *world) {
			w.shelf.mu.Lock()
			clear(w.shelf.entries)
			w.shelf.generations["sts-key"]++
			w.shelf.mu.Unlock()
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				t.Helper()

				row.break_(w)

				r := exchanging(nil, nil)(t, w)
				if r.status != http.StatusServiceUnavailable || !w.events[0].Unavailable || r.header.Get("Retry-After") == "" {
					t.Errorf("%d %v", r.status, r.body)
				}
			})
		})
	}
}

func TestRatesAreBoundedPerClientAndPerStranger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.config.Rate, w.config.Burst = 1, 3
		w.start(t)

		form := object{"grant_type": "client_credentials"}
		codes := func(n int, send func() reply) []string {
			var all []string
			for range n {
				all = append(all, send().code())
			}

			return all
		}

		if diff := cmp.Diff([]string{"ok", "ok", "ok", "slow_down"}, codes(4, func() reply {
			return w.post("/oauth2/token", w.as(t, "scout", form))
		})); diff != "" {
			t.Errorf("one client (-want +got):\n%s", diff)
		}

		if r := w.post("/oauth2/token", form.with(object{"client_assertion_type": assertion, "client_assertion": w.cluster.sign(t, "", w.pod("checkout"))})); r.code() != "ok" {
			t.Errorf("another client pays for it: %v", r.body)
		}

		stranger := func() reply { return w.post("/oauth2/token", form) }
		if diff := cmp.Diff([]string{"invalid_client", "invalid_client", "invalid_client", "slow_down"}, codes(4, stranger)); diff != "" {
			t.Errorf("a stranger (-want +got):\n%s", diff)
		}

		// Behind the same address, who proves something is served.
		other := form.with(object{"client_assertion_type": assertion, "client_assertion": w.cluster.sign(t, "", w.pod("pod"))})
		if r := w.post("/oauth2/token", other); r.code() != "ok" {
			t.Errorf("a client pays for the strangers at its address: %v", r.body)
		}

		time.Sleep(2 * time.Second)

		if r := stranger(); r.code() != "invalid_client" {
			t.Errorf("later: %v", r.body)
		}
	})
}

func TestSecretsAreForWhereTheyAreConfigured(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.config.Secrets = map[string]string{"scout": "correct horse"}
		w.start(t)

		form := object{"grant_type": "client_credentials"}
		basic := func(id, secret string) func(*http.Request) {
			return func(r *http.Request) { r.SetBasicAuth(id, secret) }
		}

		for _, row := range []struct {
			name string
			r    reply
			want string
		}{
			{"in the form", w.post("/oauth2/token", form.with(object{"client_id": "scout", "client_secret": "correct horse"})), "ok"},
			{"in the header, encoded", w.post("/oauth2/token", form, basic("scout", "correct+horse")), "ok"},
			{"wrong", w.post("/oauth2/token", form, basic("scout", "wrong")), "invalid_client"},
			{"another's", w.post("/oauth2/token", form, basic("chef", "correct+horse")), "invalid_client"},
			{"both", w.post("/oauth2/token", form.with(object{"client_id": "scout", "client_secret": "correct horse"}), basic("scout", "correct+horse")), "invalid_request"},
		} {
			if row.r.code() != row.want {
				t.Errorf("%s: %d %v", row.name, row.r.status, row.r.body)
			}
		}
	})
}

func TestMetadataDescribesWhatThereIs(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		t.Helper()

		for _, path := range []string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"} {
			r := w.do(httptest.NewRequest(http.MethodGet, ownURL+path, nil))
			if r.body["issuer"] != ownURL || r.body["token_endpoint"] != ownURL+"/oauth2/token" || r.body["jwks_uri"] != ownURL+"/oauth2/jwks" {
				t.Errorf("%s: %v", path, r.body)
			}

			methods, _ := r.body["token_endpoint_auth_methods_supported"].([]any)
			if slices.ContainsFunc(methods, func(m any) bool { return strings.HasPrefix(m.(string), "client_secret") }) {
				t.Errorf("%s offers secrets that there are not: %v", path, methods)
			}

			if slices.Contains(methods, "self_signed_tls_client_auth") || r.body["tls_client_certificate_bound_access_tokens"] != false {
				t.Errorf("%s offers to take certificates, for which nobody is asked: %v", path, methods)
			}
		}
	})
}

func TestMethodsAndBrowsersAreRefused(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		t.Helper()

		if r := w.do(httptest.NewRequest(http.MethodGet, ownURL+"/oauth2/token", nil)); r.status != http.StatusMethodNotAllowed {
			t.Errorf("GET: %d", r.status)
		}

		r := w.post("/oauth2/token", w.as(t, "scout", object{"grant_type": "client_credentials"}), func(r *http.Request) {
			r.Header.Set("Origin", "https://evil.example")
		})
		if r.status != http.StatusForbidden || len(w.events) != 0 {
			t.Errorf("a browser: %d", r.status)
		}
	})
}

func TestAServiceNeedsEverything(t *testing.T) {
	t.Parallel()

	_, err := sts.New(sts.Config{Issuer: "http://gate/path", Audience: "a", Others: []string{"a"}, Lifetime: time.Hour, Rate: -1})
	if err == nil {
		t.Fatal("accepted")
	}

	for _, want := range []string{"issuer", "audiences", "lifetime", "rate", "required"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("says nothing of %s: %v", want, err)
		}
	}
}

func FuzzTokenEndpoint(f *testing.F) {
	f.Add("grant_type=client_credentials&client_assertion=a.b.c&client_assertion_type="+assertion, "application/x-www-form-urlencoded")
	f.Add("grant_type="+exchange+"&subject_token=x&subject_token_type="+accessToken+"&scope=cosmos.read", "application/x-www-form-urlencoded; charset=utf-8")
	f.Add("authorization_details=%5B%7B%22type%22%3A%22cosmos%22%7D%5D", "text/plain")

	w := newWorld(f)
	w.identity.Issuers = w.identity.Issuers[:1]

	keys, err := sts.NewKeys(sts.KeysConfig{Entries: w.shelf, Sealer: newRing(f), Random: rand.Reader, Clock: time.Now, Logger: w.config.Logger})
	check(f, err)
	check(f, keys.Tend(f.Context()))

	once, err := identity.NewOnce(w.shelf, time.Now)
	check(f, err)

	revoked, err := identity.NewRevocations(identity.RevocationConfig{Entries: w.shelf, Clock: time.Now})
	check(f, err)

	w.identity.Own = &identity.OwnIssuer{Name: "gate", URL: ownURL, Audience: dataAud, Keys: keys}
	w.gate, err = identity.New(w.identity)
	check(f, err)

	w.config.Rate, w.config.Burst = 1e9, 1e9
	w.config.Authenticator, w.config.Keys, w.config.Spend, w.config.Revoke = w.gate, keys, once.Spend, revoked.Revoke
	w.service, err = sts.New(w.config)
	check(f, err)

	f.Fuzz(func(t *testing.T, body, media string) {
		for _, path := range []string{"/oauth2/token", "/oauth2/revoke", "/oauth2/introspect"} {
			w.events = nil

			r := w.postBody(path, body, func(r *http.Request) { r.Header.Set("Content-Type", media) })
			if r.status == http.StatusOK || r.status >= http.StatusInternalServerError || r.body["error"] == nil {
				t.Errorf("%s: %d %v", path, r.status, r.body)
			}

			if len(w.events) != 1 || w.events[0].Code == "" {
				t.Errorf("%s: recorded %+v", path, w.events)
			}
		}
	})
}

func TestAPersonWhoRevokesWithoutEndIsSlowedDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.config.Rate, w.config.Burst = 1, 2
		w.start(t)

		token := w.delegated(t, "scout", nil)
		revoke := func() reply {
			return w.post("/oauth2/revoke", object{"token": token}, func(r *http.Request) {
				r.Header.Set("Authorization", "Bearer "+w.corp.sign(t, "at+jwt", w.person()))
			})
		}

		for i, want := range []int{http.StatusOK, http.StatusOK, http.StatusTooManyRequests} {
			if r := revoke(); r.status != want {
				t.Errorf("request %d: %+v", i, r)
			}
		}
	})
}
