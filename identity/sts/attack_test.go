package sts_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/identity"
)

// attack is one row: what is sent to the token endpoint, and the OAuth error that must come of it.
type attack struct {
	name string
	send func(t *testing.T, w *world) reply
	want string // "ok" or the error
}

func runAttacks(t *testing.T, rows []attack) {
	t.Helper()

	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, w *world) {
				t.Helper()

				r := row.send(t, w)
				if diff := cmp.Diff(row.want, r.code()); diff != "" {
					t.Fatalf("(-want +got):\n%s\n%d %v", diff, r.status, r.body)
				}

				if r.token() != "" && row.want != "ok" {
					t.Error("refused, and a token in the answer")
				}

				last := w.events[len(w.events)-1]
				if (row.want == "ok") != (last.Code == "") || last.Status != r.status || last.Time.IsZero() || last.ID == "" {
					t.Errorf("recorded %d %q, answered %d %q", last.Status, last.Code, r.status, r.code())
				}

				if row.want != "ok" && last.Issued.TokenID != "" {
					t.Errorf("recorded an issuance: %+v", last.Issued)
				}
			})
		})
	}
}

// exchanging sends ann's token, changed, by scout, with changes to the form.
func exchanging(claims, form object) func(*testing.T, *world) reply {
	return func(t *testing.T, w *world) reply {
		t.Helper()

		return w.post("/oauth2/token", w.exchange(t, "scout", w.corp.sign(t, "at+jwt", w.person().with(claims))).with(form))
	}
}

// chaining has agent exchange a token by which scout acts already.
func chaining(agent string, first, form object) func(*testing.T, *world) reply {
	return func(t *testing.T, w *world) reply {
		t.Helper()

		return w.post("/oauth2/token", w.exchange(t, agent, w.delegated(t, "scout", first)).with(form))
	}
}

// asserting proves scout with an assertion of these changes.
func asserting(typ string, changes func(now int64) object) func(*testing.T, *world) reply {
	return func(t *testing.T, w *world) reply {
		t.Helper()

		form := w.exchange(t, "scout", w.corp.sign(t, "at+jwt", w.person()))

		return w.post("/oauth2/token", form.with(object{
			"client_assertion": w.scout.sign(t, typ, w.assertion("scout").with(changes(time.Now().Unix()))),
		}))
	}
}

// granting sends an identity assertion, changed, by agent.
func granting(agent, typ string, changes func(now int64) object) func(*testing.T, *world) reply {
	return func(t *testing.T, w *world) reply {
		t.Helper()

		return w.post("/oauth2/token", w.as(t, agent, object{
			"grant_type": jwtBearer, "assertion": w.corp.sign(t, typ, w.jag().with(changes(time.Now().Unix()))),
		}))
	}
}

func nothing(int64) object { return nil }

func TestATokenIsNeverWiderThanWhatItWasMadeFrom(t *testing.T) {
	t.Parallel()

	const (
		wide   = `[{"type":"cosmos","actions":["*"],"resources":["*/*/*"]}]`
		orders = `[{"type":"cosmos","actions":["items/read","executeQuery"],"resources":["prod/shop/*"],"partitionKeys":[["emea"]]}]`
	)

	details := object{"authorization_details": orders}
	ask := func(text string) object { return object{"authorization_details": text} }

	runAttacks(t, []attack{
		{"honest", exchanging(nil, nil), "ok"},
		{"a narrower scope", chaining("chef", nil, object{"scope": "cosmos.read"}), "ok"},
		{"a wider scope", chaining("chef", object{"scope": "cosmos.read"}, object{"scope": "cosmos.read cosmos.write"}), "invalid_scope"},
		{"a scope of its own making", exchanging(nil, object{"scope": "cosmos.admin"}), "invalid_scope"},
		{"every scope", exchanging(nil, object{"scope": "*"}), "invalid_scope"},
		{"a scope of the issuer's, which means nothing here", exchanging(nil, object{"scope": "openid"}), "invalid_scope"},
		{"a wish for a role", exchanging(nil, object{"scope": "cosmos.read role:orders-reader"}), "ok"},
		{"a wish without a name", exchanging(nil, object{"scope": "role:"}), "invalid_scope"},
		{"a delegated token whose scopes are mapped", exchanging(object{"act": object{"sub": "chef-client"}, "scope": "orders"}, nil), "ok"},
		{"more than the mapping gives", exchanging(object{"act": object{"sub": "chef-client"}, "scope": "orders"}, object{"scope": "cosmos.write"}), "invalid_scope"},
		{"a delegated token whose scopes mean nothing here", exchanging(object{"act": object{"sub": "chef-client"}, "scope": "other"}, nil), "invalid_scope"},
		{"scopes that mean nothing, hidden behind the wish for a role", exchanging(
			object{"act": object{"sub": "chef-client"}, "scope": "other", "authorization_details": json.RawMessage(orders)},
			object{"scope": "role:orders-reader"}), "invalid_scope"},
		{"scopes that mean nothing, beside details", exchanging(object{"authorization_details": json.RawMessage(orders)}, nil), "invalid_scope"},
		{"details alone", exchanging(object{"scope": nil, "authorization_details": json.RawMessage(orders)}, nil), "ok"},
		{"scopes that mean nothing, hidden behind blanks", exchanging(
			object{"act": object{"sub": "chef-client"}, "scope": "other", "authorization_details": json.RawMessage(orders)}, object{"scope": " "}), "invalid_scope"},
		{"the same details", chaining("chef", details, ask(orders)), "ok"},
		{"narrower details", chaining("chef", details, ask(`[{"type":"cosmos","actions":["items/read"],"resources":["prod/shop/orders"],"partitionKeys":[["emea","x"]]}]`)), "ok"},
		{"wider details", chaining("chef", details, ask(wide)), "invalid_authorization_details"},
		{"another action", chaining("chef", details, ask(strings.Replace(orders, "executeQuery", "items/delete", 1))), "invalid_authorization_details"},
		{"another resource", chaining("chef", details, ask(strings.Replace(orders, "shop", "hr", 1))), "invalid_authorization_details"},
		{"another partition", chaining("chef", details, ask(strings.Replace(orders, "emea", "amer", 1))), "invalid_authorization_details"},
		{"a shorter key", chaining("chef", ask(strings.Replace(orders, `["emea"]`, `["emea","x"]`, 1)), ask(orders)), "invalid_authorization_details"},
		{"no key", chaining("chef", details, ask(strings.Replace(orders, `,"partitionKeys":[["emea"]]`, "", 1))), "invalid_authorization_details"},
		{"one detail inside and one outside", chaining("chef", details, ask(strings.Replace(orders, "]}]", "]},"+wide[1:], 1))), "invalid_authorization_details"},
		{"details of another type", exchanging(nil, ask(`[{"type":"payment","actions":["pay"]}]`)), "invalid_authorization_details"},
		{"an unknown member", exchanging(nil, ask(`[{"type":"cosmos","actions":["*"],"resources":["*/*/*"],"except":["hr"]}]`)), "invalid_authorization_details"},
		{"a member twice", exchanging(nil, ask(`[{"type":"cosmos","actions":["items/read"],"actions":["*"],"resources":["*/*/*"]}]`)), "invalid_authorization_details"},
		{"details that are no JSON", exchanging(nil, ask(`cosmos`)), "invalid_authorization_details"},
		{"another resource of ours", exchanging(nil, object{"resource": mcpAud}), "ok"},
		{"a resource that is not ours", exchanging(nil, object{"resource": "https://evil.example"}), "invalid_target"},
		{"the account itself", exchanging(nil, object{"audience": "https://cosmos.azure.com"}), "invalid_target"},
		{"SCIM", exchanging(nil, object{"resource": ownURL + "/scim/v2"}), "invalid_target"},
		{"this service itself", exchanging(nil, object{"resource": ownURL}), "invalid_target"},
		{"two resources", exchanging(nil, object{"resource": dataAud, "audience": mcpAud}), "invalid_target"},
		{"from the data plane to another resource", chaining("chef", nil, object{"resource": mcpAud}), "invalid_target"},
		{"from another resource to the data plane", chaining("chef", object{"resource": mcpAud}, object{"resource": dataAud}), "invalid_target"},
		{"one's own token, from the data plane to another resource", chaining("scout", object{"resource": dataAud}, object{"audience": mcpAud}), "invalid_target"},
		{"from another resource to the same", chaining("chef", object{"resource": mcpAud}, object{"resource": mcpAud}), "ok"},
	})
}

func TestNobodyActsWhoMayNot(t *testing.T) {
	t.Parallel()
	runAttacks(t, []attack{
		{"an agent without a grant", func(t *testing.T, w *world) reply {
			t.Helper()

			return w.post("/oauth2/token", w.exchange(t, "loner", w.corp.sign(t, "at+jwt", w.person())))
		}, "access_denied"},
		{"an agent whose grant is gone", func(t *testing.T, w *world) reply {
			t.Helper()

			delete(w.grants, "scout")

			return exchanging(nil, nil)(t, w)
		}, "access_denied"},
		{"an agent before it in the chain without a grant", func(t *testing.T, w *world) reply {
			t.Helper()

			first := w.delegated(t, "scout", nil)
			delete(w.grants, "scout")

			return w.post("/oauth2/token", w.exchange(t, "chef", first))
		}, "access_denied"},
		{"an agent that may only act for itself, for itself", func(t *testing.T, w *world) reply {
			t.Helper()

			return w.post("/oauth2/token", w.as(t, "scout", object{"grant_type": "client_credentials"}))
		}, "ok"},
		{"an agent that may only act for people, for itself", func(t *testing.T, w *world) reply {
			t.Helper()

			return w.post("/oauth2/token", w.as(t, "chef", object{"grant_type": "client_credentials"}))
		}, "unauthorized_client"},
		{"an application for a person", func(t *testing.T, w *world) reply {
			t.Helper()

			return w.post("/oauth2/token", object{
				"grant_type": exchange, "subject_token": w.corp.sign(t, "at+jwt", w.person()), "subject_token_type": accessToken,
				"client_assertion_type": assertion, "client_assertion": w.cluster.sign(t, "", w.pod("checkout")),
			})
		}, "unauthorized_client"},
		{"an agent that is declared no more", func(t *testing.T, w *world) reply {
			t.Helper()

			form := w.exchange(t, "scout", w.corp.sign(t, "at+jwt", w.person()))
			w.agents = w.agents[1:]

			return w.post("/oauth2/token", form)
		}, "invalid_client"},
		{"an agent that is locked", func(t *testing.T, w *world) reply {
			t.Helper()

			w.people.locked[directory.Subject{Kind: directory.SubjectAgent, Name: "scout"}] = &directory.Lock{}

			return exchanging(nil, nil)(t, w)
		}, "invalid_client"},
		{"an agent and an application of one name", func(t *testing.T, w *world) reply {
			t.Helper()

			w.applications = append(w.applications, identity.Application{Name: "scout", Issuer: "cluster", Claims: map[string]string{"sub": "x"}})

			return exchanging(nil, nil)(t, w)
		}, "invalid_client"},
		{"for a person who has left", func(t *testing.T, w *world) reply {
			t.Helper()

			left := ann()
			left.Active = false
			w.people.linked[directory.LinkKey{Connection: "corp", ExternalID: annSubject}] = left

			return exchanging(nil, nil)(t, w)
		}, "invalid_request"},
		{"for a person nobody knows", exchanging(object{"sub": "00u-eve"}, nil), "invalid_request"},
		{"for an application", exchanging(object{"sub": "chef-client", "client_id": "chef-client"}, nil), "invalid_request"},
		{"the token names another actor (may_act)", exchanging(object{"may_act": object{"sub": "chef-client"}}, nil), "invalid_request"},
		{"the token names an actor that nobody declared", exchanging(object{"may_act": object{"sub": "somebody"}}, nil), "invalid_request"},
		{"the token names no actor at all", exchanging(object{"may_act": object{}}, nil), "invalid_request"},
		{"the token names an actor by text", exchanging(object{"may_act": "scout"}, nil), "invalid_request"},
		{"a loop", func(t *testing.T, w *world) reply {
			t.Helper()

			second := w.post("/oauth2/token", w.exchange(t, "chef", w.delegated(t, "scout", nil)))

			return w.post("/oauth2/token", w.exchange(t, "scout", second.token()))
		}, "invalid_request"},
		{"three actors", func(t *testing.T, w *world) reply { t.Helper(); return w.chain(t, "scout", "chef", "fourth") }, "ok"},
		{"four actors", func(t *testing.T, w *world) reply { t.Helper(); return w.chain(t, "scout", "chef", "fourth", "pod") }, "invalid_request"},
		{"an actor token of another agent", func(t *testing.T, w *world) reply {
			t.Helper()

			return w.post("/oauth2/token", w.exchange(t, "scout", w.corp.sign(t, "at+jwt", w.person())).with(object{
				"actor_token": w.scout.sign(t, "JWT", w.assertion("chef")), "actor_token_type": jwtToken,
			}))
		}, "invalid_request"},
		{"an actor token that a stranger signed", func(t *testing.T, w *world) reply {
			t.Helper()

			return w.post("/oauth2/token", w.exchange(t, "scout", w.corp.sign(t, "at+jwt", w.person())).with(object{
				"actor_token": w.corp.sign(t, "JWT", w.assertion("scout")), "actor_token_type": jwtToken,
			}))
		}, "invalid_request"},
		{"an actor token without its type", exchanging(nil, object{"actor_token": "x"}), "invalid_request"},
		{"re-exchange until the chain of tokens is too long", func(t *testing.T, w *world) reply {
			t.Helper()

			r := reply{body: object{"access_token": w.delegated(t, "scout", nil)}}
			for range 9 {
				r = w.post("/oauth2/token", w.exchange(t, "scout", r.token()))
			}

			return r
		}, "invalid_request"},
	})
}

// chain has each agent exchange the token of the one before.
func (w *world) chain(t *testing.T, agents ...string) reply {
	t.Helper()

	r := reply{body: object{"access_token": w.corp.sign(t, "at+jwt", w.person())}}

	for _, agent := range agents {
		form := w.exchange(t, agent, r.token())
		if agent == "pod" {
			form["client_assertion"] = w.cluster.sign(t, "", w.pod("pod"))
		}

		r = w.post("/oauth2/token", form)
	}

	return r
}

func TestSubjectTokensAreCheckedLikeAllOthers(t *testing.T) {
	t.Parallel()

	raw := func(mint func(t *testing.T, w *world) string, kind string) func(*testing.T, *world) reply {
		return func(t *testing.T, w *world) reply {
			t.Helper()

			return w.post("/oauth2/token", w.exchange(t, "scout", mint(t, w)).with(object{"subject_token_type": kind}))
		}
	}
	id := func(changes object) func(*testing.T, *world) string {
		return func(t *testing.T, w *world) string {
			t.Helper()

			now := time.Now().Unix()

			return w.corp.sign(t, "JWT", object{"iss": corpURL, "aud": portal, "sub": annSubject, "iat": now, "exp": now + 300}.with(changes))
		}
	}

	runAttacks(t, []attack{
		{"expired", exchanging(object{"exp": time.Unix(1, 0).Unix()}, nil), "invalid_request"},
		{"for another audience", exchanging(object{"aud": "api://another"}, nil), "invalid_request"},
		{"for Cosmos DB itself", exchanging(object{"aud": "https://cosmos.azure.com"}, nil), "invalid_request"},
		{"of a client that is not declared", exchanging(object{"client_id": "stranger"}, nil), "invalid_request"},
		{"bound to a key", exchanging(object{"cnf": object{"jkt": aThumbprint}}, nil), "invalid_request"},
		{"signed by a stranger", raw(func(t *testing.T, w *world) string { t.Helper(); return w.scout.sign(t, "at+jwt", w.person()) }, accessToken), "invalid_request"},
		{"unsigned", exchanging(nil, object{"subject_token": "eyJhbGciOiJub25lIn0.e30."}), "invalid_request"},
		{"no token", exchanging(nil, object{"subject_token": "cosmos"}), "invalid_request"},
		{"17 KB", exchanging(nil, object{"subject_token": strings.Repeat("a", 17<<10)}), "invalid_request"},
		{"an ID token as access token", raw(id(nil), accessToken), "invalid_request"},
		{"an ID token", raw(id(nil), idToken), "ok"},
		{"an ID token of another client", raw(id(object{"aud": "other"}), idToken), "invalid_request"},
		{"an ID token for two", raw(id(object{"aud": []string{portal, "other"}}), idToken), "invalid_request"},
		{"an ID token for two, by its own client", raw(id(object{"aud": []string{portal, "other"}, "azp": portal}), idToken), "ok"},
		{"an ID token for two, by the other", raw(id(object{"aud": []string{portal, "other"}, "azp": "other"}), idToken), "invalid_request"},
		{"an ID token that another client asked for", raw(id(object{"azp": "other"}), idToken), "invalid_request"},
		{"an ID token with an actor", raw(id(object{"act": object{"sub": "chef-client"}}), idToken), "invalid_request"},
		{"an ID token bound to a key", raw(id(object{"cnf": object{"jkt": aThumbprint}}), idToken), "invalid_request"},
		{"an expired ID token", raw(id(object{"exp": time.Unix(1, 0).Unix()}), idToken), "invalid_request"},
		{"an access token as ID token", raw(func(t *testing.T, w *world) string {
			t.Helper()

			return w.corp.sign(t, "JWT", w.person().with(object{"aud": portal}))
		}, idToken), "invalid_request"},
		{"a logout token as ID token", raw(id(object{"events": object{}}), idToken), "invalid_request"},
		{"a logout token", raw(func(t *testing.T, w *world) string { t.Helper(); return w.corp.sign(t, "logout+jwt", w.person()) }, accessToken), "invalid_request"},
		{"a refresh token", exchanging(nil, object{"subject_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}), "invalid_request"},
		{"a SAML assertion", exchanging(nil, object{"subject_token_type": "urn:ietf:params:oauth:token-type:saml2"}), "invalid_request"},
		{"asking for a refresh token", exchanging(nil, object{"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}), "invalid_request"},
		{"asking for an ID token", exchanging(nil, object{"requested_token_type": idToken}), "invalid_request"},
		{"no type", exchanging(nil, object{"subject_token_type": nil}), "invalid_request"},
		{"no subject", exchanging(nil, object{"subject_token": nil}), "invalid_request"},
		{"a token of ours that was revoked", func(t *testing.T, w *world) reply {
			t.Helper()

			first := w.delegated(t, "scout", nil)
			w.post("/oauth2/revoke", w.as(t, "scout", object{"token": first}))

			return w.post("/oauth2/token", w.exchange(t, "chef", first))
		}, "invalid_request"},
		{"a token whose session was revoked", func(t *testing.T, w *world) reply {
			t.Helper()

			form := w.exchange(t, "scout", w.corp.sign(t, "at+jwt", w.person()))
			check(t, w.config.Revoke(t.Context(), identity.Revocation{Kind: identity.RevokeSession, Issuer: corpURL, Name: "session-1"}))

			return w.post("/oauth2/token", form)
		}, "invalid_request"},
		{"a token of ours under a key that is gone", func(t *testing.T, w *world) reply {
			t.Helper()

			first := w.delegated(t, "scout", nil)
			check(t, w.keys.Drop(t.Context(), w.keys.List()[0].ID))

			return w.post("/oauth2/token", w.exchange(t, "chef", first))
		}, "invalid_request"},
	})
}

func TestIdentityAssertionsAreGoodOnceForTheirClientHere(t *testing.T) {
	t.Parallel()

	const typ = "oauth-id-jag+jwt"

	runAttacks(t, []attack{
		{"honest", granting("scout", typ, nothing), "ok"},
		{"of another type", granting("scout", "JWT", nothing), "invalid_grant"},
		{"an access token", granting("scout", "at+jwt", nothing), "invalid_grant"},
		{"for another client", granting("chef", typ, nothing), "invalid_grant"},
		{"for no client", granting("scout", typ, func(int64) object { return object{"client_id": nil} }), "invalid_grant"},
		{"for another service", granting("scout", typ, func(int64) object { return object{"aud": "https://other.example"} }), "invalid_grant"},
		{"for this service and another", granting("scout", typ, func(int64) object {
			return object{"aud": []string{ownURL, "https://other.example"}}
		}), "invalid_grant"},
		{"for the endpoint", granting("scout", typ, func(int64) object { return object{"aud": ownURL + "/oauth2/token"} }), "invalid_grant"},
		{"without an id", granting("scout", typ, func(int64) object { return object{"jti": nil} }), "invalid_grant"},
		{"expired", granting("scout", typ, func(now int64) object { return object{"iat": now - 300, "exp": now - 61} }), "invalid_grant"},
		{"without a person", granting("scout", typ, func(int64) object { return object{"sub": nil} }), "invalid_grant"},
		{"for a person nobody knows", granting("scout", typ, func(int64) object { return object{"sub": "eve"} }), "invalid_grant"},
		{"for one resource, by way of a token, to another", func(t *testing.T, w *world) reply {
			t.Helper()

			first := granting("scout", typ, func(int64) object { return object{"resource": dataAud} })(t, w)

			return w.post("/oauth2/token", w.exchange(t, "chef", first.token()).with(object{"resource": mcpAud}))
		}, "invalid_target"},
		{"for one resource, by way of two tokens", func(t *testing.T, w *world) reply {
			t.Helper()

			first := granting("scout", typ, func(int64) object { return object{"resource": dataAud} })(t, w)
			second := w.post("/oauth2/token", w.exchange(t, "chef", first.token()))

			return w.post("/oauth2/token", w.exchange(t, "fourth", second.token()).with(object{"resource": mcpAud}))
		}, "invalid_target"},
		{"for a resource of ours", granting("scout", typ, func(int64) object { return object{"resource": mcpAud} }), "ok"},
		{"for a resource that is not ours", granting("scout", typ, func(int64) object { return object{"resource": "https://evil.example"} }), "invalid_target"},
		{"for scopes that mean nothing here", granting("scout", typ, func(int64) object { return object{"scope": "mail.read"} }), "invalid_scope"},
		{"with an actor", granting("scout", typ, func(int64) object { return object{"act": object{"sub": "chef-client"}} }), "invalid_grant"},
		{"bound to a key", granting("scout", typ, func(int64) object { return object{"cnf": object{"jkt": aThumbprint}} }), "invalid_grant"},
		{"narrowed, asking for more", func(t *testing.T, w *world) reply {
			t.Helper()

			return w.post("/oauth2/token", w.as(t, "scout", object{
				"grant_type": jwtBearer, "assertion": w.corp.sign(t, typ, w.jag()), "scope": "cosmos.write",
			}))
		}, "invalid_scope"},
		{"twice", func(t *testing.T, w *world) reply {
			t.Helper()

			raw := w.corp.sign(t, typ, w.jag())
			if r := w.post("/oauth2/token", w.as(t, "scout", object{"grant_type": jwtBearer, "assertion": raw})); r.code() != "ok" {
				t.Fatal(r.body)
			}

			return w.post("/oauth2/token", w.as(t, "scout", object{"grant_type": jwtBearer, "assertion": raw}))
		}, "invalid_grant"},
		{"twice, the second time as subject token", func(t *testing.T, w *world) reply {
			t.Helper()

			raw := w.corp.sign(t, typ, w.jag())
			w.post("/oauth2/token", w.as(t, "scout", object{"grant_type": jwtBearer, "assertion": raw}))

			return w.post("/oauth2/token", w.exchange(t, "scout", raw).with(object{"subject_token_type": idJAG}))
		}, "invalid_request"},
		{"none", func(t *testing.T, w *world) reply {
			t.Helper()

			return w.post("/oauth2/token", w.as(t, "scout", object{"grant_type": jwtBearer}))
		}, "invalid_request"},
		{"of an issuer whose assertions are not taken", func(t *testing.T, w *world) reply {
			t.Helper()

			raw := w.cluster.sign(t, typ, w.jag().with(object{"iss": clusterURL}))

			return w.post("/oauth2/token", w.as(t, "scout", object{"grant_type": jwtBearer, "assertion": raw}))
		}, "invalid_grant"},
	})
}
