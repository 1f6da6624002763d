package identity_test

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/identity"
)

const (
	ownURL      = "https://gate.corp.example"
	ownAudience = "https://cosmos.corp.example"
)

// ownKeys is the token service's key ring.
type ownKeys struct {
	signer     signer
	withdrawn  bool
	generation uint64
}

func (k *ownKeys) PublicKey(kid string) (jose.JSONWebKey, bool) {
	return k.signer.public(), kid == k.signer.kid && !k.withdrawn
}

func (k *ownKeys) Generation() uint64 { return k.generation }

// delegating is a world with the agents scout, chef and helper, a second issuer whose tokens name actors, and a token service.
type delegating struct {
	*world

	partner *provider
	own     *ownKeys
	agents  []identity.Agent
}

func newDelegating(tb testing.TB) *delegating {
	tb.Helper()

	d := &delegating{world: newWorld(tb), own: &ownKeys{signer: newSigner(tb, "own-1")}}
	d.partner = newProvider("https://auth.partner.example/", d.signer)
	d.agents = []identity.Agent{
		{Name: "scout", Issuer: "corp", Claims: map[string]string{"client_id": "scout-client"}, Attributes: map[string]string{"team": "search"}},
		{Name: "chef", Issuer: "partner", Claims: map[string]string{"azp": "chef-client"}},
		{Name: "helper", Issuer: "partner", Claims: map[string]string{"client_id": "helper-client"}},
		{Name: "fourth", Issuer: "partner", Claims: map[string]string{"client_id": "fourth-client"}},
		{Name: "everybody", Issuer: "corp", Claims: map[string]string{"acr": "mfa"}},
	}
	d.config.Issuers = append(d.config.Issuers, identity.Issuer{
		Name: "partner", URL: d.partner.url, Audiences: []string{corpAudience}, Connection: "partner", Claim: "sub",
		FrontEndClients: []string{"portal"}, Delegation: true, HTTPClient: &http.Client{Transport: d.partner},
	})
	d.config.Agents = func() []identity.Agent { return d.agents }
	d.config.Own = &identity.OwnIssuer{Name: "gate", URL: ownURL, Audience: ownAudience, Keys: d.own}
	d.people.linked[directory.LinkKey{Connection: "partner", ExternalID: "auth0|ann"}] = ann()

	return d
}

// delegated is ann's token at the partner, with scout's helper acting.
func (d *delegating) delegated() object {
	return d.person().with(object{
		"iss": d.partner.url, "sub": "auth0|ann", "client_id": "portal", "act": object{"sub": "helper-client"},
	})
}

// issued is a token of our own service by which scout acts for ann.
func (d *delegating) issued() object {
	now := time.Now().Unix()

	return object{
		"iss": ownURL, "aud": ownAudience, "sub": string(ann().ID), "client_id": "scout", "jti": "own-token", "scope": "cosmos.read",
		"act": object{"iss": ownURL, "sub": "scout"}, "iat": now, "nbf": now, "exp": now + 600, "sid": "session-1",
		"origin": object{"iss": corpURL, "sub": annSubject, "jti": "token-1", "exp": now + 3600},
	}
}

type delegation struct {
	name   string
	mint   func(t *testing.T, d *delegating) string
	want   any // substatus or "accepted"
	actors []string
}

func TestDelegatedTokensNameEveryParty(t *testing.T) {
	t.Parallel()

	corp := func(changes object) func(*testing.T, *delegating) string {
		return func(t *testing.T, d *delegating) string {
			t.Helper()

			return d.signer.sign(t, nil, d.person().with(changes))
		}
	}
	partner := func(changes object) func(*testing.T, *delegating) string {
		return func(t *testing.T, d *delegating) string {
			t.Helper()

			return d.signer.sign(t, nil, d.delegated().with(changes))
		}
	}
	own := func(changes object) func(*testing.T, *delegating) string {
		return func(t *testing.T, d *delegating) string {
			t.Helper()

			return d.own.signer.sign(t, nil, d.issued().with(changes))
		}
	}
	nested := object{"sub": "helper-client", "act": object{"sub": "chef-client", "act": object{"iss": corpURL, "sub": "scout-client"}}}

	runDelegations(t, []delegation{
		{"a person's token in an agent's hands", corp(object{"client_id": "scout-client"}), "accepted", []string{"scout"}},
		{"a person's own token is matched by no declaration that names no client", corp(nil), "accepted", nil},
		{"an actor of an issuer that names actors", partner(nil), "accepted", []string{"helper"}},
		{"an agent that is client and actor counts once", partner(object{"client_id": "helper-client"}), "accepted", []string{"helper"}},
		{"a client that is another agent acts, too", partner(object{"client_id": nil, "azp": "chef-client"}), "accepted", []string{"chef", "helper"}},
		{"three actors, one of another issuer", partner(object{"act": nested}), "accepted", []string{"helper", "chef", "scout"}},
		{"four actors", partner(object{"act": object{"sub": "fourth-client", "act": nested}}), 5009, nil},
		{"four with the client", partner(object{"client_id": "fourth-client", "act": nested}), 5009, nil},
		{"the same actor twice", partner(object{"act": object{"sub": "helper-client", "act": object{"sub": "helper-client"}}}), 5009, nil},
		{"an actor that nobody declared", partner(object{"act": object{"sub": "stranger"}}), 5009, nil},
		{"an actor of an issuer that nobody trusts", partner(object{"act": object{"iss": "https://evil.example", "sub": "helper-client"}}), 5009, nil},
		{"an actor of another issuer's declaration", partner(object{"act": object{"iss": corpURL, "sub": "helper-client"}}), 5009, nil},
		{"an actor without sub", partner(object{"act": object{"client_id": "helper-client"}}), 5009, nil},
		{"an actor that is text", partner(object{"act": "helper-client"}), 5009, nil},
		{"an actor that is nothing", partner(object{"act": object{}}), 5009, nil},
		{"an actor at an issuer that is not declared to name any", corp(object{"act": object{"sub": "scout-client"}}), 5009, nil},
		{"an actor without a person or an agent", partner(object{"sub": "chef-client", "client_id": "chef-client"}), 5009, nil},
		{"an agent of its own that another acts for", partner(object{"sub": "chef-client", "client_id": nil, "azp": "chef-client"}), 5009, nil},
		{"a person nobody knows", partner(object{"sub": "auth0|bob"}), 5013, nil},

		{"our own token", own(nil), "accepted", []string{"scout"}},
		{"our own token, chained", own(object{
			"client_id": "chef", "act": object{"iss": ownURL, "sub": "chef", "act": object{"iss": ownURL, "sub": "scout"}},
		}), "accepted", []string{"chef", "scout"}},
		{"our own token, details", own(object{
			"authorization_details": []object{{"type": "cosmos", "actions": []string{"items/read"}, "resources": []string{"prod/shop/orders"}}},
		}), "accepted", []string{"scout"}},
		{"our own token for another audience", own(object{"aud": "https://mcp.corp.example"}), 5008, nil},
		{"our own token for two audiences", own(object{"aud": []string{ownAudience, "https://mcp.corp.example"}}), 5008, nil},
		{"our own token that lives an hour", own(object{"exp": time.Now().Add(time.Hour).Unix()}), 5006, nil},
		{"our own token without actor", own(object{"act": nil}), 5009, nil},
		{"our own token without scope", own(object{"scope": nil}), 5009, nil},
		{"our own token without client", own(object{"client_id": nil}), 5009, nil},
		{"our own token whose client is not the actor", own(object{"client_id": "chef"}), 5009, nil},
		{"our own token of an agent that is gone", own(object{"client_id": "gone", "act": object{"iss": ownURL, "sub": "gone"}}), 5009, nil},
		{"our own token of an earlier record", own(object{"sub": "01890a5d-ac96-774b-bcce-000000000000"}), 5013, nil},
		{"our own token of an issuer that is gone", own(object{"origin": object{"iss": "https://gone.example", "sub": annSubject}}), 5009, nil},
		{"our own token with malformed details", own(object{"authorization_details": []object{{"type": "other"}}}), 5009, nil},
		{"our own token bound to a key", own(object{"cnf": object{"jkt": aThumbprint}}), 5009, nil},
		{"our own token signed by another issuer's key", func(t *testing.T, d *delegating) string {
			t.Helper()

			return d.signer.sign(t, nil, d.issued())
		}, 5004, nil},
		{"another issuer's claims signed by our key", func(t *testing.T, d *delegating) string {
			t.Helper()

			return d.own.signer.sign(t, nil, d.person())
		}, 5004, nil},
		{"our own token of another type", func(t *testing.T, d *delegating) string {
			t.Helper()

			return d.own.signer.sign(t, object{"typ": "JWT"}, d.issued())
		}, 5009, nil},
	})
}

func runDelegations(t *testing.T, rows []delegation) {
	t.Helper()

	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := newDelegating(t)
				d.start(t)

				p, err := d.authenticate(t, row.mint(t, d))
				if diff := cmp.Diff(row.want, verdictOf(t, err)); diff != "" {
					t.Fatalf("(-want +got):\n%s\n%v", diff, err)
				}

				var actors []string
				for _, actor := range p.Actors {
					actors = append(actors, actor.Agent)
				}

				if diff := cmp.Diff(row.actors, actors); diff != "" {
					t.Errorf("actors (-want +got):\n%s", diff)
				}

				if err == nil && (p.Kind != identity.KindPerson || p.Record != ann().ID) {
					t.Errorf("the principal is %s %s, not ann", p.Kind, p.Record)
				}
			})
		})
	}
}

func TestOwnTokensStandForThePersonAndNameTheirOrigin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDelegating(t)
		d.start(t)

		p, err := d.authenticate(t, d.own.signer.sign(t, nil, d.issued()))
		if err != nil {
			t.Fatal(err)
		}

		want := identity.Principal{
			Kind: identity.KindPerson, Issuer: ownURL, Subject: annSubject, Record: ann().ID, User: ann(),
			Actors: []identity.Actor{{Issuer: ownURL, Subject: "scout", Agent: "scout"}}, Scopes: []string{"cosmos.read"},
			Client: "scout", TokenID: "own-token", Session: "session-1", KeyID: "own-1", Method: identity.MethodSTS,
			Origin:   identity.Origin{Issuer: corpURL, TokenID: "token-1", Expiry: time.Now().Add(time.Hour).UTC()},
			IssuedAt: time.Now().UTC(), Expiry: time.Now().Add(10 * time.Minute).UTC(),
		}
		if diff := cmp.Diff(want, p); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestAutonomousAgentsActForThemselves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDelegating(t)
		d.start(t)

		for name, raw := range map[string]string{
			"with a token of its issuer": d.signer.sign(t, nil, d.person().with(object{"sub": "scout-client", "client_id": "scout-client", "acr": nil})),
			"with a token of ours": d.own.signer.sign(t, nil,
				d.issued().with(object{"sub": "scout", "act": nil, "origin": nil})),
		} {
			p, err := d.authenticate(t, raw)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}

			if p.Kind != identity.KindAgent || p.Application != "scout" || p.Record != "" || p.Attributes["team"] != "search" {
				t.Errorf("%s: %+v", name, p)
			}
		}
	})
}

func TestStateOfEveryPartyIsReadOnEveryCall(t *testing.T) {
	t.Parallel()

	for _, row := range []struct {
		name   string
		change func(d *delegating)
		want   any
	}{
		{"the person is deactivated", func(d *delegating) {
			left := ann()
			left.Active = false
			d.people.set(annKey(), left)
		}, 5013},
		{"the person is deleted", func(d *delegating) { d.people.remove(annKey()) }, 5013},
		{"the person is deleted and hired again", func(d *delegating) {
			again := ann()
			again.ID = "01890a5d-ac96-774b-bcce-ffffffffffff"
			d.people.set(annKey(), again)
		}, 5013},
		{"the agent is locked", func(d *delegating) {
			d.people.lock(directory.Subject{Kind: directory.SubjectAgent, Name: "chef"})
		}, 5013},
		{"an earlier actor is locked", func(d *delegating) {
			d.people.lock(directory.Subject{Kind: directory.SubjectAgent, Name: "scout"})
		}, 5013},
		{"an agent is declared no more", func(d *delegating) { d.agents = d.agents[1:] }, 5009},
		{"the key is withdrawn", func(d *delegating) { d.own.withdrawn, d.own.generation = true, 1 }, 5004},
		{"the token expires", func(*delegating) { time.Sleep(11 * time.Minute) }, 5006},
		{"nothing", func(*delegating) {}, "accepted"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := newDelegating(t)
				d.start(t)

				raw := d.own.signer.sign(t, nil, d.issued().with(object{
					"client_id": "chef", "act": object{"iss": ownURL, "sub": "chef", "act": object{"iss": ownURL, "sub": "scout"}},
				}))
				if _, err := d.authenticate(t, raw); err != nil {
					t.Fatal(err)
				}

				row.change(d)

				_, err := d.authenticate(t, raw)
				if diff := cmp.Diff(row.want, verdictOf(t, err)); diff != "" {
					t.Errorf("(-want +got):\n%s\n%v", diff, err)
				}
			})
		})
	}
}

func TestDetailsAreReadStrictly(t *testing.T) {
	t.Parallel()

	for _, row := range []struct {
		name, text string
		ok         bool
	}{
		{"everything", `[{"type":"cosmos","actions":["items/read"],"resources":["prod/shop/*"],"partitionKeys":[["emea"],["t1",5,null]]}]`, true},
		{"another type", `[{"type":"payment","actions":["pay"]}]`, false},
		{"another type beside ours", `[{"type":"cosmos","actions":["items/read"]},{"type":"payment"}]`, false},
		{"an unknown member", `[{"type":"cosmos","actions":["items/read"],"locations":["https://x"]}]`, false},
		{"an odd spelling", `[{"type":"cosmos","Actions":["items/read"]}]`, false},
		{"a duplicate", `[{"type":"cosmos","actions":["items/read"],"actions":["*"]}]`, false},
		{"no narrowing", `[{"type":"cosmos"}]`, false},
		{"no resources", `[{"type":"cosmos","actions":["items/read"]}]`, false},
		{"no actions", `[{"type":"cosmos","resources":["prod/shop/*"]}]`, false},
		{"empty actions", `[{"type":"cosmos","actions":[]}]`, false},
		{"a number for an action", `[{"type":"cosmos","actions":[1]}]`, false},
		{"an object for a key", `[{"type":"cosmos","partitionKeys":[[{}]]}]`, false},
		{"a bare key", `[{"type":"cosmos","partitionKeys":["emea"]}]`, false},
		{"four components", `[{"type":"cosmos","partitionKeys":[[1,2,3,4]]}]`, false},
		{"an endless number", `[{"type":"cosmos","partitionKeys":[[1e999]]}]`, false},
		{"an object", `{"type":"cosmos","actions":["items/read"]}`, false},
		{"an empty list", `[]`, false},
		{"null", `null`, false},
		{"two documents", `[{"type":"cosmos","actions":["items/read"]}][]`, false},
		{"no JSON", `cosmos`, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			details, err := identity.ParseDetails([]byte(row.text))
			if (err == nil) != row.ok {
				t.Fatalf("%+v, %v", details, err)
			}

			if err != nil {
				return
			}

			text, err := identity.MarshalDetails(details)
			if err != nil {
				t.Fatal(err)
			}

			if diff := cmp.Diff(row.text, string(text)); diff != "" {
				t.Errorf("written again (-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzDetails(f *testing.F) {
	f.Add(`[{"type":"cosmos","actions":["items/read"],"resources":["prod/shop/*"],"partitionKeys":[["emea"],["t1",5e-7,null]]}]`)
	f.Add(`[{"type":"cosmos","actions":["*"],"resources":["*/*/*"],"partitionKeys":[["\u2028<\ud800"]]}]`)
	f.Fuzz(func(t *testing.T, text string) {
		details, err := identity.ParseDetails([]byte(text))
		if err != nil {
			return
		}

		written, err := identity.MarshalDetails(details)
		if err != nil {
			t.Fatal(err)
		}

		again, err := identity.ParseDetails(written)
		if err != nil {
			t.Fatalf("%s: %v", written, err)
		}

		if diff := cmp.Diff(details, again); diff != "" {
			t.Errorf("read again (-want +got):\n%s", diff)
		}
	})
}

// A token of ours is exchanged if it is for one resource alone: one that is for several would open another by the exchange.
func TestOurOwnTokenForSeveralResourcesIsNotExchanged(t *testing.T) {
	t.Parallel()

	const other = "https://mcp.corp.example"

	synctest.Test(t, func(t *testing.T) {
		d := newDelegating(t)
		d.start(t)

		for name, row := range map[string]struct {
			audience any
			good     bool
		}{
			"one":          {ownAudience, true},
			"another":      {other, true},
			"two":          {[]string{other, ownAudience}, false},
			"none of ours": {"https://stranger.example", false},
		} {
			raw := d.own.signer.sign(t, nil, d.issued().with(object{"aud": row.audience}))
			if _, err := d.gate.Exchangeable(t.Context(), raw, []string{ownAudience, other}); (err == nil) != row.good {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func FuzzActors(f *testing.F) {
	f.Add(`{"sub":"helper-client","act":{"sub":"chef-client"}}`)
	f.Add(`{"sub":"helper-client","act":{"sub":"chef-client","act":{"iss":"https://login.corp.example","sub":"scout-client","act":{"sub":"fourth-client"}}}}`)
	f.Add(`{"iss":"https://gate.corp.example","sub":"scout"}`)
	f.Add(`[{"sub":"helper-client"}]`)

	d := newDelegating(f)

	gate, err := identity.New(d.config)
	if err != nil {
		f.Fatal(err)
	}

	ctx, cancel := context.WithCancel(context.Background())
	f.Cleanup(cancel)

	go func() { _ = gate.Run(ctx) }()

	f.Fuzz(func(t *testing.T, act string) {
		if !json.Valid([]byte(act)) {
			return
		}

		claims, err := json.Marshal(d.delegated())
		if err != nil {
			t.Fatal(err)
		}

		var changed object
		if err := json.Unmarshal(claims, &changed); err != nil {
			t.Fatal(err)
		}

		changed["act"] = json.RawMessage(act)

		p, err := gate.Authenticate(t.Context(), credential(d.signer.sign(t, nil, changed)))
		if err != nil {
			return
		}

		seen := map[string]bool{}
		for _, actor := range p.Actors {
			if actor.Agent == "" || seen[actor.Agent] {
				t.Errorf("%s: actors %+v", act, p.Actors)
			}

			seen[actor.Agent] = true
		}

		if len(p.Actors) == 0 || len(p.Actors) > identity.MaxActors || p.Record != ann().ID {
			t.Errorf("%s: %+v acts for %s", act, p.Actors, p.Record)
		}
	})
}
