package identity_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/identity"
)

func TestUnsafeConfigurationsAreRefused(t *testing.T) {
	t.Parallel()

	issuer := func(change func(i *identity.Issuer)) func(c *identity.Config) {
		return func(c *identity.Config) { change(&c.Issuers[0]) }
	}
	second := func(change func(i *identity.Issuer)) func(c *identity.Config) {
		return func(c *identity.Config) {
			other := c.Issuers[0]
			other.Name, other.URL, other.Connection, other.Claim = "other", "https://other.example", "other", "sub"
			change(&other)
			c.Issuers = append(c.Issuers, other)
		}
	}
	entra := func(url, claim string) func(c *identity.Config) {
		return issuer(func(i *identity.Issuer) {
			i.TokenType, i.URL, i.Claim, i.Audiences = identity.TokenTypeEntra, url, claim, []string{"6e74172b-be56-4843-9ff4-e66a39bb12e3"}
		})
	}

	workload := func(url, audience string) func(c *identity.Config) {
		return issuer(func(i *identity.Issuer) {
			*i = identity.Issuer{Name: "w", URL: url, TokenType: identity.TokenTypeWorkload, Audiences: []string{audience}, HTTPClient: i.HTTPClient}
		})
	}
	spiffe := func(domain, keys string) func(c *identity.Config) {
		return issuer(func(i *identity.Issuer) {
			*i = identity.Issuer{
				Name: "s", URL: domain, TokenType: identity.TokenTypeSPIFFE, Audiences: []string{"gate"}, KeysURL: keys, HTTPClient: i.HTTPClient,
			}
		})
	}

	for _, row := range []struct {
		name   string
		change func(c *identity.Config)
		want   []string // parts of the fault; none: accepted
	}{
		{"as it should be", func(*identity.Config) {}, nil},
		{"zero value", func(c *identity.Config) { *c = identity.Config{} }, []string{"issuers", "directory", "clock", "logger"}},
		{"zero issuer", issuer(func(i *identity.Issuer) { *i = identity.Issuer{} }), []string{"name", "url", "audiences", "http client"}},
		{"client without a transport", issuer(func(i *identity.Issuer) { i.HTTPClient = &http.Client{} }), []string{"transport"}},
		{"plain http", issuer(func(i *identity.Issuer) { i.URL = "http://login.corp.example" }), []string{"https"}},
		{"loopback", issuer(func(i *identity.Issuer) { i.URL = "https://localhost:1/dev" }), []string{"loopback"}},
		{"loopback by address", issuer(func(i *identity.Issuer) { i.URL = "https://127.8.8.8/dev" }), []string{"loopback"}},
		{"loopback by mapped address", issuer(func(i *identity.Issuer) { i.URL = "https://[::ffff:127.0.0.1]/dev" }), []string{"loopback"}},
		{"loopback by trailing dot", issuer(func(i *identity.Issuer) { i.URL = "https://LOCALHOST./dev" }), []string{"loopback"}},
		{"loopback in development", func(c *identity.Config) {
			c.InsecureLoopbackIssuers, c.Issuers[0].URL = true, "http://127.0.0.1:1/dev"
		}, nil},
		{"plain http elsewhere in development", func(c *identity.Config) {
			c.InsecureLoopbackIssuers, c.Issuers[0].URL = true, "http://login.corp.example"
		}, []string{"loopback only"}},
		{"query", issuer(func(i *identity.Issuer) { i.URL += "?p=1" }), []string{"query"}},
		{"user", issuer(func(i *identity.Issuer) { i.URL = "https://a:b@login.corp.example" }), []string{"user"}},
		{"Cosmos audience", issuer(func(i *identity.Issuer) { i.Audiences = []string{"https://cosmos.azure.com"} }), []string{"Cosmos"}},
		{"account audience", issuer(func(i *identity.Issuer) { i.Audiences = []string{"https://a.documents.azure.com:443/"} }), []string{"Cosmos"}},
		{"empty audience", issuer(func(i *identity.Issuer) { i.Audiences = []string{""} }), []string{"empty"}},
		{"HS256", issuer(func(i *identity.Issuer) { i.Algorithms = []string{"HS256"} }), []string{"HS256"}},
		{"none", issuer(func(i *identity.Issuer) { i.Algorithms = []string{"none"} }), []string{"none"}},
		{"opted-in algorithms", issuer(func(i *identity.Issuer) { i.Algorithms = []string{"PS256", "EdDSA"} }), nil},
		{"unknown token type", issuer(func(i *identity.Issuer) { i.TokenType = "opaque" }), []string{"token type"}},
		{"negative lifetime", issuer(func(i *identity.Issuer) { i.MaxLifetime = -1 }), []string{"lifetime"}},
		{"negative cache", func(c *identity.Config) { c.CacheSize = -1 }, []string{"cache size"}},
		{"e-mail as link", issuer(func(i *identity.Issuer) { i.Claim = "email" }), []string{"reassigned"}},
		{"an address under a URI as link", issuer(func(i *identity.Issuer) { i.Claim = "https://corp.example/claims/emailAddress" }), []string{"reassigned"}},
		{"a login name in capitals as link", issuer(func(i *identity.Issuer) { i.Claim = "sAMAccountName" }), []string{"reassigned"}},
		{"UPN as link", issuer(func(i *identity.Issuer) { i.Claim = "upn" }), []string{"reassigned"}},
		{"connection without a claim", issuer(func(i *identity.Issuer) { i.Claim = "" }), []string{"together"}},
		{"claim without a connection", issuer(func(i *identity.Issuer) { i.Connection = "" }), []string{"together"}},
		{"people without a front-end client", issuer(func(i *identity.Issuer) { i.FrontEndClients = nil }), []string{"front-end"}},
		{"empty front-end client", issuer(func(i *identity.Issuer) { i.FrontEndClients = []string{""} }), []string{"front-end"}},
		{"people of a workload issuer", issuer(func(i *identity.Issuer) { i.TokenType = identity.TokenTypeWorkload }), []string{"no people"}},
		{"Entra of every tenant", entra("https://login.microsoftonline.com/common/v2.0", "oid"), []string{"tenant"}},
		{"Entra of organizations", entra("https://login.microsoftonline.com/organizations/v2.0", "oid"), []string{"tenant"}},
		{"Entra in braces", entra("https://login.microsoftonline.com/{"+entraTenant+"}/v2.0", "oid"), []string{"tenant"}},
		{"Entra linked by sub", entra("https://login.microsoftonline.com/"+entraTenant+"/v2.0", "sub"), []string{"oid"}},
		{"Entra of one tenant", entra("https://login.microsoftonline.com/"+entraTenant+"/v2.0", "oid"), nil},
		{"Entra v2 by App ID URI", issuer(func(i *identity.Issuer) {
			i.TokenType, i.URL, i.Claim = identity.TokenTypeEntra, "https://login.microsoftonline.com/"+entraTenant+"/v2.0", "oid"
		}), []string{"client id"}},
		{"GitHub's default audience", workload("https://token.actions.githubusercontent.com", "https://github.com/corp"), []string{"gate's own"}},
		{"Kubernetes' default audience", workload("https://cluster.example", "https://kubernetes.default.svc.cluster.local"), []string{"gate's own"}},
		{"keys at two places", issuer(func(i *identity.Issuer) { i.KeysURL, i.KeysFile = "https://x.example/k", "k" }), []string{"give one"}},
		{"keys over plain http", issuer(func(i *identity.Issuer) { i.KeysURL = "http://x.example/k" }), []string{"https"}},
		{"trust domain", spiffe("spiffe://corp.example", "https://x.example/bundle"), nil},
		{"trust domain with a path", spiffe("spiffe://corp.example/ns", "https://x.example/bundle"), []string{"trust domain"}},
		{"trust domain as a web address", spiffe("https://corp.example", "https://x.example/bundle"), []string{"trust domain"}},
		{"trust domain without keys", spiffe("spiffe://corp.example", ""), []string{"keys file"}},
		{"transmitter without a name", func(c *identity.Config) { c.Transmitters = make([]identity.Transmitter, 1) }, []string{"transmitter", "name", "http client"}},
		{"second issuer", second(func(*identity.Issuer) {}), nil},
		{"same name", second(func(i *identity.Issuer) { i.Name = "corp" }), []string{"twice"}},
		{"same URL", second(func(i *identity.Issuer) { i.URL = corpURL }), []string{"twice"}},
		{"same connection", second(func(i *identity.Issuer) { i.Connection = "corp" }), []string{"one issuer"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			config := newWorld(t).config
			row.change(&config)

			_, err := identity.New(config)
			if (err == nil) != (row.want == nil) {
				t.Fatalf("got %v, want a fault that names %v", err, row.want)
			}

			for _, part := range row.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("fault doesn't name %q:\n%v", part, err)
				}
			}
		})
	}
}

func TestPrincipalTellsAllThatTheTokenProves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t).start(t)
		issued := time.Now().UTC().Truncate(time.Second)

		person, err := w.authenticate(t, w.signer.sign(t, nil, w.person()))
		if err != nil {
			t.Fatal(err)
		}

		want := identity.Principal{
			Kind: identity.KindPerson, Issuer: corpURL, Subject: annSubject, Record: ann().ID, User: ann(),
			Scopes: []string{"openid", "cosmos.read"}, Client: corpClient, TokenID: "token-1",
			KeyID: "k1", Session: "session-1", Method: identity.MethodOIDC, ACR: "mfa", IssuedAt: issued, Expiry: issued.Add(time.Hour),
		}
		if diff := cmp.Diff(want, person); diff != "" {
			t.Errorf("person (-want +got):\n%s", diff)
		}

		application, err := w.authenticate(t, w.signer.sign(t, nil, w.application()))
		if err != nil {
			t.Fatal(err)
		}

		want = identity.Principal{
			Kind: identity.KindApplication, Issuer: corpURL, Subject: "checkout", Application: "checkout",
			Attributes: map[string]string{"department": "shop"}, Scopes: []string{"openid", "cosmos.read"}, Client: "checkout",
			TokenID: "token-1", KeyID: "k1", Method: identity.MethodWorkload, ACR: "mfa", IssuedAt: issued, Expiry: issued.Add(time.Hour),
		}
		if diff := cmp.Diff(want, application); diff != "" {
			t.Errorf("application (-want +got):\n%s", diff)
		}
	})
}

func TestClaimsMatchExactlyOrNotAtAll(t *testing.T) {
	t.Parallel()

	for _, row := range []struct {
		name     string
		claims   map[string]string // of the declaration
		presents object
		want     any
	}{
		{"string", map[string]string{"env": "prod"}, object{"env": "prod"}, "accepted"},
		{"number", map[string]string{"id": "74"}, object{"id": 74}, "accepted"},
		{"huge number, to the last digit", map[string]string{"id": "9007199254740993"}, object{"id": int64(9007199254740993)}, "accepted"},
		{"huge number, one off", map[string]string{"id": "9007199254740992"}, object{"id": int64(9007199254740993)}, 5009},
		{"boolean", map[string]string{"ok": "true"}, object{"ok": true}, "accepted"},
		{"other boolean", map[string]string{"ok": "true"}, object{"ok": false}, 5009},
		{"all of two", map[string]string{"env": "prod", "id": "1"}, object{"env": "prod", "id": "1"}, "accepted"},
		{"one of two", map[string]string{"env": "prod", "id": "1"}, object{"env": "prod"}, 5009},
		{"other case", map[string]string{"env": "prod"}, object{"env": "Prod"}, 5009},
		{"prefix", map[string]string{"env": "prod"}, object{"env": "production"}, 5009},
		{"star is a star", map[string]string{"env": "*"}, object{"env": "prod"}, 5009},
		{"in a list", map[string]string{"env": "prod"}, object{"env": []string{"prod"}}, 5009},
		{"pull request", map[string]string{"env": "prod"}, object{"env": "prod", "event_name": "pull_request"}, 5009},
		{"pull request of the base's code", map[string]string{"env": "prod"}, object{"env": "prod", "event_name": "pull_request_target"}, 5009},
		{"pull request, declared", map[string]string{"event_name": "pull_request"}, object{"event_name": "pull_request"}, "accepted"},
		{"push", map[string]string{"env": "prod"}, object{"env": "prod", "event_name": "push"}, "accepted"},
		{"declared empty", map[string]string{"env": ""}, object{"env": ""}, 5009},
		{"declared without claims", nil, object{}, 5009},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.declared = []identity.Application{{Name: "job", Issuer: "corp", Claims: row.claims}}
				w.start(t)

				_, err := w.authenticate(t, w.signer.sign(t, nil, w.application().with(row.presents)))
				if diff := cmp.Diff(row.want, verdictOf(t, err)); diff != "" {
					t.Errorf("(-want +got):\n%s\n%v", diff, err)
				}
			})
		})
	}
}
