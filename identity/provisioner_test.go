package identity_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/cosmosgate/cosmosgate/identity"
)

const (
	tokenEndpoint  = "https://scim.corp.example/scim/oauth/token"
	entraURL       = "https://login.microsoftonline.com/ce5f061f-abe6-4e40-9615-301f87bcb7f0/v2.0"
	entraOther     = "https://login.microsoftonline.com/11111111-abe6-4e40-9615-301f87bcb7f0/v2.0"
	syncFabric     = "aaaaaaaa-c549-45b8-a143-f5b640669704"
	provisionerAud = "api://b5ba7a93-4452-4522-aeb4-a2b5da870c16"
)

// provisioning is two connections: okta, which signs with its own key, and entra, which its platform vouches for.
type provisioning struct {
	okta, entra signer
	platform    *provider
	clients     *identity.Provisioners
}

func newProvisioning(t *testing.T) *provisioning {
	t.Helper()

	w := newWorld(t).start(t)
	p := &provisioning{okta: newSigner(t, "okta-1"), entra: newRSASigner("entra-1")}
	p.platform = newProvider(entraURL, p.entra)

	once, err := identity.NewOnce(newLedger(), time.Now)
	if err != nil {
		t.Fatal(err)
	}

	p.clients, err = identity.NewProvisioners(identity.ProvisionersConfig{
		Provisioners: []identity.Provisioner{
			{Name: "okta", Keys: []jose.JSONWebKey{p.okta.public()}},
			{Name: "entra", Federated: &identity.Federated{Issuer: entraURL, Subject: syncFabric, Audience: provisionerAud}},
			{Name: "plain"},
		},
		Authenticator: w.gate, Once: once, HTTPClient: &http.Client{Transport: p.platform},
		Clock: time.Now, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}

	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)

	go func() { done <- p.clients.Run(ctx) }()

	t.Cleanup(func() {
		stop()

		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	synctest.Wait()

	return p
}

func ownClaims() object {
	now := time.Now()

	return object{"iss": "okta", "sub": "okta", "aud": tokenEndpoint, "jti": "a1", "iat": now.Unix(), "exp": now.Add(time.Minute).Unix()}
}

// entraClaims are those that Microsoft documents for its provisioning service.
func entraClaims() object {
	now := time.Now()

	return object{
		"aud": provisionerAud, "iss": entraURL, "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(65 * time.Minute).Unix(),
		"appid": "b5ba7a93-4452-4522-aeb4-a2b5da870c16", "appidacr": "2", "idp": entraURL, "oid": "d2f8ee76-c549-45b8-a143-f5b640669704",
		"sub": syncFabric, "tid": "ce5f061f-abe6-4e40-9615-301f87bcb7f0", "ver": "2.0",
	}
}

func TestAProvisionerIsProvenByItsOwnKeyOrItsPlatformAlone(t *testing.T) {
	t.Parallel()

	untyped := object{"typ": "JWT"}

	for name, row := range map[string]struct {
		client string
		header object
		own    object // changes to ownClaims
		entra  object // changes to entraClaims, instead
		want   string // empty: refused
	}{
		"own key":                             {"okta", untyped, object{}, nil, "okta"},
		"own key, client_id left to sub":      {"", untyped, object{}, nil, "okta"},
		"own key for another connection":      {"entra", untyped, object{}, nil, ""},
		"own key for a connection without":    {"plain", untyped, object{"iss": "plain", "sub": "plain"}, nil, ""},
		"own key about somebody else":         {"okta", untyped, object{"sub": "entra"}, nil, ""},
		"own key for another service":         {"okta", untyped, object{"aud": "https://elsewhere.example"}, nil, ""},
		"own key for several services":        {"okta", untyped, object{"aud": []string{tokenEndpoint, "https://elsewhere.example"}}, nil, ""},
		"own key without id":                  {"okta", untyped, object{"jti": nil}, nil, ""},
		"own key without end":                 {"okta", untyped, object{"exp": nil}, nil, ""},
		"own key, expired":                    {"okta", untyped, object{"exp": time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Unix() - 120}, nil, ""},
		"own key, good for a day":             {"okta", untyped, object{"exp": time.Date(2000, 1, 2, 0, 0, 0, 0, time.UTC).Unix()}, nil, ""},
		"an access token instead":             {"okta", object{}, object{}, nil, ""},
		"platform":                            {"entra", untyped, nil, object{}, "entra"},
		"platform without client_id":          {"", untyped, nil, object{}, ""},
		"platform for another connection":     {"okta", untyped, nil, object{}, ""},
		"platform, another subject":           {"entra", untyped, nil, object{"sub": "bbbbbbbb-c549-45b8-a143-f5b640669704"}, ""},
		"platform, another application":       {"entra", untyped, nil, object{"aud": "api://cccccccc-4452-4522-aeb4-a2b5da870c16"}, ""},
		"platform, two audiences":             {"entra", untyped, nil, object{"aud": []string{provisionerAud, "api://x"}}, ""},
		"platform, another tenant's tid":      {"entra", untyped, nil, object{"tid": "11111111-abe6-4e40-9615-301f87bcb7f0"}, ""},
		"platform, no tid":                    {"entra", untyped, nil, object{"tid": nil}, ""},
		"platform, another tenant":            {"entra", untyped, nil, object{"iss": entraOther}, ""},
		"platform, expired":                   {"entra", untyped, nil, object{"exp": time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Unix() - 120}, ""},
		"platform, not yet":                   {"entra", untyped, nil, object{"nbf": time.Date(2000, 1, 1, 1, 0, 0, 0, time.UTC).Unix()}, ""},
		"platform, a person's delegated one":  {"entra", untyped, nil, object{"scp": "user_impersonation"}, ""},
		"platform, with a key it is bound to": {"entra", untyped, nil, object{"cnf": object{"jkt": aThumbprint}}, ""},
		"platform, an ID token":               {"entra", untyped, nil, object{"nonce": "n"}, ""},
		"an unknown client":                   {"nobody", untyped, nil, object{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newProvisioning(t)

				assertion := p.okta.sign(t, row.header, ownClaims().with(row.own))
				if row.entra != nil {
					assertion = p.entra.sign(t, row.header, entraClaims().with(row.entra))
				}

				got, err := p.clients.Assert(t.Context(), row.client, assertion, []string{tokenEndpoint})
				if got != row.want || (err == nil) != (row.want != "") {
					t.Errorf("Assert() = %q, %v; want %q", got, err, row.want)
				}
			})
		})
	}
}

func TestAnAssertionIsGoodOnceAndAPlatformsTokenWhileItLives(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newProvisioning(t)
		audiences := []string{tokenEndpoint}

		for name, row := range map[string]struct {
			client, assertion string
			again             bool
		}{
			"own key":           {"okta", p.okta.sign(t, object{"typ": "JWT"}, ownClaims()), false},
			"platform, with id": {"entra", p.entra.sign(t, object{"typ": "JWT"}, entraClaims().with(object{"jti": "p1"})), false},
			"platform":          {"entra", p.entra.sign(t, object{"typ": "JWT"}, entraClaims()), true},
		} {
			if _, err := p.clients.Assert(t.Context(), row.client, row.assertion, audiences); err != nil {
				t.Errorf("%s: %v", name, err)
			}

			if _, err := p.clients.Assert(t.Context(), row.client, row.assertion, audiences); (err == nil) != row.again {
				t.Errorf("%s again: %v", name, err)
			}
		}
	})
}

func TestForgedAssertionsProveNothingAndCauseFewFetches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newProvisioning(t)
		forger := newRSASigner("entra-9")
		before := p.platform.keyFetches()

		for range 50 {
			if _, err := p.clients.Assert(t.Context(), "entra", forger.sign(t, object{"typ": "JWT"}, entraClaims()), []string{tokenEndpoint}); err == nil {
				t.Fatal("a forged assertion was accepted")
			}
		}

		if fetches := p.platform.keyFetches() - before; fetches > 1 {
			t.Errorf("%d fetches of keys, want at most 1", fetches)
		}
	})
}

func TestPublicKeysOfAClientMustBeUsable(t *testing.T) {
	t.Parallel()

	good := newSigner(t, "k1")
	document, err := json.Marshal(object{"keys": []jose.JSONWebKey{good.public()}})
	if err != nil {
		t.Fatal(err)
	}

	keys, err := identity.ParsePublicKeys(document)
	if err != nil || len(keys) != 1 || keys[0].KeyID != "k1" {
		t.Errorf("ParsePublicKeys() = %v, %v", keys, err)
	}

	for name, document := range map[string]string{
		"no keys": `{"keys":[]}`, "symmetric": `{"keys":[{"kty":"oct","kid":"k","k":"c2VjcmV0"}]}`, "no set": `{}`, "no JSON": `x`,
	} {
		if _, err := identity.ParsePublicKeys([]byte(document)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
