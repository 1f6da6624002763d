package sts_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/cosmosgate/cosmosgate/identity"
)

func TestASPIFFEIdentityProvesAnAgent(t *testing.T) {
	t.Parallel()

	const domain = "spiffe://corp.example"

	svid := func(changes object) object {
		now := time.Now().Unix()

		return object{"sub": domain + "/agents/weaver", "aud": ownURL, "iat": now, "exp": now + 300}.with(changes)
	}

	for _, row := range []struct {
		name    string
		changes object
		want    string
	}{
		{"its SVID", nil, "ok"},
		{"of another agent", object{"sub": domain + "/agents/other"}, "invalid_client"},
		{"of a trust domain with a suffix", object{"sub": domain + ".evil/agents/weaver"}, "invalid_client"},
		{"for another audience", object{"aud": "https://vault.example"}, "invalid_client"},
		{"for two audiences", object{"aud": []string{ownURL, "https://vault.example"}}, "invalid_client"},
		{"expired", object{"iat": 1, "exp": 2}, "invalid_client"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				key := newSigner(t, "spire-1")
				published := key.public()
				published.Use = "jwt-svid"
				w.identity.Issuers = append(w.identity.Issuers, identity.Issuer{
					Name: "domain", URL: domain, TokenType: identity.TokenTypeSPIFFE, Audiences: []string{dataAud}, KeysURL: "https://spire.corp.example/keys",
					HTTPClient: &http.Client{Transport: provider{domain, []jose.JSONWebKey{published}}},
				})
				w.agents = append(w.agents, identity.Agent{Name: "weaver", Issuer: "domain", Claims: map[string]string{"sub": domain + "/agents/weaver"}})
				w.grants["weaver"] = w.grants["chef"]
				w.start(t)

				r := w.post("/oauth2/token", object{
					"grant_type": exchange, "subject_token": w.corp.sign(t, "at+jwt", w.person()), "subject_token_type": accessToken,
					"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe",
					"client_assertion":      key.sign(t, "JWT", svid(row.changes)),
				})
				if r.code() != row.want {
					t.Errorf("%d %v (%s)", r.status, r.body, w.events[0].Reason)
				}
			})
		})
	}
}
