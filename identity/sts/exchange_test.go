package sts_test

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cosmosgate/cosmosgate/identity"
	"github.com/cosmosgate/cosmosgate/identity/sts"
)

func TestAnAgentGetsATokenByWhichItActsForAPerson(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		t.Helper()

		r := w.post("/oauth2/token", w.exchange(t, "scout", w.corp.sign(t, "at+jwt", w.person())).with(object{
			"scope": "cosmos.read", "resource": dataAud,
			"authorization_details": `[{"type":"cosmos","actions":["items/read"],"resources":["prod/shop/orders"],"partitionKeys":[["emea"]]}]`,
		}))

		now := time.Now()
		raw := r.token()
		delete(r.body, "access_token")

		if diff := cmp.Diff(object{
			"issued_token_type": accessToken, "token_type": "Bearer", "expires_in": 600.0, "scope": "cosmos.read",
			"authorization_details": []any{map[string]any{
				"type": "cosmos", "actions": []any{"items/read"}, "resources": []any{"prod/shop/orders"}, "partitionKeys": []any{[]any{"emea"}},
			}},
		}, r.body); diff != "" {
			t.Fatalf("answer (-want +got):\n%s", diff)
		}

		if got := r.header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("Cache-Control is %q", got)
		}

		at := func(d time.Duration) float64 { return float64(now.Add(d).Unix()) }
		got := claims(t, raw)
		delete(got, "jti")
		delete(got, "authorization_details")

		if diff := cmp.Diff(object{
			"iss": ownURL, "aud": dataAud, "sub": string(ann().ID), "client_id": "scout", "scope": "cosmos.read", "sid": "session-1", "acr": "mfa",
			"act": map[string]any{"iss": ownURL, "sub": "scout"}, "iat": at(0), "nbf": at(0), "exp": at(10 * time.Minute),
			"origin": map[string]any{
				"iss": corpURL, "sub": annSubject, "jti": "token-1", "client_id": portal, "kid": "corp-1", "iat": at(0), "exp": at(time.Hour),
			},
		}, got); diff != "" {
			t.Errorf("claims (-want +got):\n%s", diff)
		}

		p, err := w.authenticate(t, raw)
		check(t, err)

		if p.Kind != identity.KindPerson || p.Record != ann().ID || p.Actors[0].Agent != "scout" || len(p.Details) != 1 {
			t.Errorf("the data plane sees %+v", p)
		}

		want := []sts.Event{{
			Operation: "issueToken", Grant: exchange, Method: "private_key_jwt", Status: http.StatusOK, Source: "192.0.2.1",
			Actors: []identity.Actor{{Issuer: ownURL, Subject: "scout", Agent: "scout"}},
			Issued: sts.Issued{TokenID: p.TokenID, KeyID: p.KeyID, Audience: dataAud, Scope: "cosmos.read", Expires: now.Add(10 * time.Minute)},
		}}
		if diff := cmp.Diff(want, w.events, cmpopts.IgnoreFields(sts.Event{}, "Time", "ID", "Client", "Subject", "Duration")); diff != "" {
			t.Errorf("recorded (-want +got):\n%s", diff)
		}

		if e := w.events[0]; e.Client.Name != "scout" || e.Subject.Subject != annSubject || e.Subject.TokenID != "token-1" {
			t.Errorf("recorded %+v for %+v", e.Client, e.Subject)
		}
	})
}

func TestChainsNameEverybodyAndOnlyNarrow(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		t.Helper()

		first := w.delegated(t, "scout", object{"scope": "cosmos.read cosmos.write"})

		time.Sleep(time.Minute)

		r := w.post("/oauth2/token", w.exchange(t, "chef", first).with(object{"scope": "cosmos.read"}))

		c := claims(t, r.token())
		if diff := cmp.Diff(map[string]any{"iss": ownURL, "sub": "chef", "act": map[string]any{"iss": ownURL, "sub": "scout"}}, c["act"]); diff != "" {
			t.Errorf("act (-want +got):\n%s", diff)
		}

		if c["exp"] != claims(t, first)["exp"] {
			t.Error("the second token outlives the first")
		}

		p, err := w.authenticate(t, r.token())
		check(t, err)

		if diff := cmp.Diff([]string{"cosmos.read"}, p.Scopes); diff != "" {
			t.Errorf("scopes (-want +got):\n%s", diff)
		}

		if p.Origin.TokenID != "token-1" || len(p.Origin.Via) != 1 {
			t.Errorf("origin is %+v", p.Origin)
		}

		// Who ends the first ends the second.
		revoke := w.post("/oauth2/revoke", w.as(t, "scout", object{"token": first}))
		if revoke.status != http.StatusOK {
			t.Fatalf("%+v", revoke)
		}

		if _, err := w.authenticate(t, r.token()); err == nil {
			t.Error("what was exchanged for a revoked token is still good")
		}
	})
}

// Whom a person's issuer keeps a token for is kept: the next agent of a chain is refused, and the one itself may narrow.
func TestWhoMayActIsCarriedOn(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		t.Helper()

		kept := w.corp.sign(t, "at+jwt", w.person().with(object{"may_act": object{"iss": ownURL, "sub": "scout"}}))
		first := w.post("/oauth2/token", w.exchange(t, "scout", kept)).token()
		second := w.post("/oauth2/token", w.exchange(t, "scout", first).with(object{"scope": "cosmos.read"})).token()

		for _, token := range []string{first, second} {
			want := map[string]any{"iss": ownURL, "sub": "scout"}
			if diff := cmp.Diff(want, claims(t, token)["may_act"]); diff != "" {
				t.Errorf("may_act (-want +got):\n%s", diff)
			}

			r := w.post("/oauth2/introspect", w.as(t, "scout", object{"token": token}))
			if diff := cmp.Diff(want, r.body["may_act"]); diff != "" {
				t.Errorf("introspected (-want +got):\n%s", diff)
			}

			if r := w.post("/oauth2/token", w.exchange(t, "chef", token)); r.code() != "invalid_request" {
				t.Errorf("another agent: %d %v", r.status, r.body)
			}
		}
	})
}

// An ID token that a person's provider gave to an agent is that agent's delegation, whoever brings it.
func TestAnIDTokenInAnAgentsHandsIsADelegation(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		t.Helper()

		now := time.Now().Unix()
		token := w.corp.sign(t, "JWT", object{"iss": corpURL, "aud": "chef-client", "sub": annSubject, "iat": now, "exp": now + 300})
		bring := func() reply {
			return w.post("/oauth2/token", w.exchange(t, "scout", token).with(object{"subject_token_type": idToken}))
		}

		want := map[string]any{"iss": ownURL, "sub": "scout", "act": map[string]any{"iss": ownURL, "sub": "chef"}}
		if diff := cmp.Diff(want, claims(t, bring().token())["act"]); diff != "" {
			t.Errorf("act (-want +got):\n%s", diff)
		}

		delete(w.grants, "chef")

		if r := bring(); r.code() != "access_denied" {
			t.Errorf("the first agent has no grant: %d %v", r.status, r.body)
		}
	})
}

// An ID token has few of the claims that an agent's access tokens are told by: its client is enough.
func TestAnIDTokenOfAnAgentsClientIsADelegationWhateverElseTheAgentIsDeclaredBy(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		t.Helper()

		w.agents = slices.Clone(w.agents)
		w.agents[1].Claims = map[string]string{"client_id": "chef-client", "dept": "kitchen"}

		now := time.Now().Unix()
		token := w.corp.sign(t, "JWT", object{"iss": corpURL, "aud": "chef-client", "sub": annSubject, "iat": now, "exp": now + 300})
		bring := func() reply {
			return w.post("/oauth2/token", w.exchange(t, "scout", token).with(object{"subject_token_type": idToken}))
		}

		want := map[string]any{"iss": ownURL, "sub": "scout", "act": map[string]any{"iss": ownURL, "sub": "chef"}}
		if diff := cmp.Diff(want, claims(t, bring().token())["act"]); diff != "" {
			t.Errorf("act (-want +got):\n%s", diff)
		}

		w.agents = append(slices.Clone(w.agents), identity.Agent{
			Name: "sous-chef", Issuer: "corp", Claims: map[string]string{"azp": "chef-client", "dept": "pantry"},
		})

		if r := bring(); r.status == http.StatusOK {
			t.Errorf("it may be either of two agents: %v", r.body)
		}
	})
}

// A provider tells of a revocation after the fact: what was exchanged in between goes with it, however often it is exchanged again.
func TestARevocationReachesWhatWasExchangedBeforeItArrived(t *testing.T) {
	t.Parallel()

	for name, mark := range map[string]identity.Revocation{
		"subject": {Kind: identity.RevokeSubject, Name: annSubject},
		"session": {Kind: identity.RevokeSession, Name: "session-1"},
		"client":  {Kind: identity.RevokeClient, Name: portal},
		"key":     {Kind: identity.RevokeKey, Name: "corp-1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				t.Helper()

				stolen := w.corp.sign(t, "at+jwt", w.person())

				time.Sleep(time.Second)

				mark.Issuer, mark.Before = corpURL, time.Now()

				time.Sleep(time.Second)

				first := w.post("/oauth2/token", w.exchange(t, "scout", stolen)).token()
				second := w.post("/oauth2/token", w.exchange(t, "chef", first)).token()

				for _, token := range []string{first, second} {
					_, err := w.authenticate(t, token)
					check(t, err)
				}

				check(t, w.config.Revoke(context.Background(), mark))

				for _, token := range []string{first, second} {
					if _, err := w.authenticate(t, token); err == nil {
						t.Error("a token that comes from a revoked one is still good")
					}
				}

				if r := w.post("/oauth2/token", w.exchange(t, "scout", first)); r.code() != "invalid_request" {
					t.Errorf("and is exchanged: %+v", r)
				}

				signedInAgain := w.corp.sign(t, "at+jwt", w.person())
				if r := w.post("/oauth2/token", w.exchange(t, "scout", signedInAgain)); r.code() != "ok" && name != "key" {
					t.Errorf("a new sign-in is no use: %+v", r)
				}
			})
		})
	}
}

func TestEveryWayToProveAClientWorks(t *testing.T) {
	t.Parallel()

	for _, row := range []struct {
		name   string
		form   func(t *testing.T, w *world, form object) object
		method string
	}{
		{"its own key", func(t *testing.T, w *world, form object) object { t.Helper(); return w.as(t, "scout", form) }, "private_key_jwt"},
		{"its own key, meant for the endpoint", func(t *testing.T, w *world, form object) object {
			t.Helper()

			claims := w.assertion("scout").with(object{"aud": ownURL + "/oauth2/token"})

			return form.with(object{"client_assertion_type": assertion, "client_assertion": w.scout.sign(t, "client-authentication+jwt", claims)})
		}, "private_key_jwt"},
		{"its platform's token", func(t *testing.T, w *world, form object) object {
			t.Helper()

			return form.with(object{"client_assertion_type": assertion, "client_assertion": w.cluster.sign(t, "", w.pod("pod"))})
		}, "workload"},
		{"its platform's token, by SPIFFE's type", func(t *testing.T, w *world, form object) object {
			t.Helper()

			return form.with(object{
				"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe", "client_id": "pod",
				"client_assertion": w.cluster.sign(t, "", w.pod("pod")),
			})
		}, "workload"},
		{"its provider's token for the gate", func(t *testing.T, w *world, form object) object {
			t.Helper()

			return form.with(object{
				"client_assertion_type": assertion,
				"client_assertion":      w.corp.sign(t, "at+jwt", w.person().with(object{"sub": "chef-client", "client_id": "chef-client"})),
			})
		}, "workload"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				t.Helper()

				form := object{"grant_type": exchange, "subject_token": w.corp.sign(t, "at+jwt", w.person()), "subject_token_type": jwtToken}

				r := w.post("/oauth2/token", row.form(t, w, form))
				if r.code() != "ok" || w.events[0].Method != row.method {
					t.Errorf("%d %v by %q", r.status, r.body, w.events[0].Method)
				}
			})
		})
	}
}

func TestSubjectsOfEveryKindAreExchanged(t *testing.T) {
	t.Parallel()

	for _, row := range []struct {
		name string
		form func(t *testing.T, w *world) object
	}{
		{"an ID token of a client that is declared for it", func(t *testing.T, w *world) object {
			t.Helper()

			now := time.Now().Unix()
			raw := w.corp.sign(t, "JWT", object{"iss": corpURL, "aud": portal, "sub": annSubject, "iat": now, "exp": now + 300, "nonce": "n", "at_hash": "x"})

			return object{"grant_type": exchange, "subject_token": raw, "subject_token_type": idToken}
		}},
		{"an identity assertion", func(t *testing.T, w *world) object {
			t.Helper()

			return object{"grant_type": jwtBearer, "assertion": w.corp.sign(t, "oauth-id-jag+jwt", w.jag())}
		}},
		{"an identity assertion as subject token", func(t *testing.T, w *world) object {
			t.Helper()

			return object{"grant_type": exchange, "subject_token": w.corp.sign(t, "oauth-id-jag+jwt", w.jag()), "subject_token_type": idJAG}
		}},
		{"a token that is the agent's already", func(t *testing.T, w *world) object {
			t.Helper()

			return object{
				"grant_type": exchange, "subject_token_type": accessToken,
				"subject_token": w.corp.sign(t, "at+jwt", w.person().with(object{"client_id": "chef-client", "scope": "orders"})),
			}
		}},
		{"a token that names the agent (may_act)", func(t *testing.T, w *world) object {
			t.Helper()

			return object{
				"grant_type": exchange, "subject_token_type": accessToken,
				"subject_token": w.corp.sign(t, "at+jwt", w.person().with(object{"may_act": object{"iss": ownURL, "sub": "scout"}})),
			}
		}},
		{"with an actor token of the client's own", func(t *testing.T, w *world) object {
			t.Helper()

			return object{
				"grant_type": exchange, "subject_token": w.corp.sign(t, "at+jwt", w.person()), "subject_token_type": accessToken,
				"actor_token": w.scout.sign(t, "JWT", w.assertion("scout")), "actor_token_type": jwtToken,
			}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				t.Helper()

				r := w.post("/oauth2/token", w.as(t, "scout", row.form(t, w)))
				if r.code() != "ok" {
					t.Fatalf("%d %v (%s)", r.status, r.body, w.events[0].Reason)
				}

				p, err := w.authenticate(t, r.token())
				check(t, err)

				if p.Record != ann().ID || p.Actors[0].Agent != "scout" {
					t.Errorf("stands for %s with %+v", p.Record, p.Actors)
				}
			})
		})
	}
}

func TestClientsGetTokensForThemselves(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		t.Helper()

		form := object{"grant_type": "client_credentials", "scope": "cosmos.read"}

		agent := w.post("/oauth2/token", w.as(t, "scout", form))
		application := w.post("/oauth2/token", form.with(object{
			"client_assertion_type": assertion, "client_assertion": w.cluster.sign(t, "", w.pod("checkout")),
		}))

		for _, row := range []struct {
			name string
			r    reply
			kind identity.Kind
		}{{"scout", agent, identity.KindAgent}, {"checkout", application, identity.KindApplication}} {
			p, err := w.authenticate(t, row.r.token())
			if err != nil {
				t.Fatalf("%s: %v %v", row.name, row.r.body, err)
			}

			if p.Kind != row.kind || p.Application != row.name || p.Method != identity.MethodSTS || len(p.Actors) != 0 {
				t.Errorf("%s is %+v", row.name, p)
			}
		}
	})
}

func TestATokenEndsWithWhatItWasMadeFrom(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		t.Helper()

		short := w.corp.sign(t, "at+jwt", w.person().with(object{"exp": time.Now().Unix() + 120}))

		r := w.post("/oauth2/token", w.exchange(t, "scout", short))
		if got := r.body["expires_in"]; got != 120.0 {
			t.Errorf("expires_in is %v, want 120", got)
		}

		time.Sleep(130 * time.Second) // within the skew, in which the subject's token is still accepted

		if r := w.post("/oauth2/token", w.exchange(t, "scout", short)); r.code() != "invalid_request" {
			t.Errorf("%d %v", r.status, r.body)
		}
	})
}
