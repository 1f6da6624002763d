package identity_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/identity"
)

// golden is one file of testdata/tokens: a token as a real issuer shapes it, without its times, and what it must come to.
type golden struct {
	Header object `json:"header"`
	Claims object `json:"claims"`
	// Lifetime is exp-iat in seconds; an hour if absent, and no exp at all if negative.
	Lifetime  int64    `json:"lifetime"`
	Principal *summary `json:"principal"`
	Refused   int      `json:"refused"`
}

// summary is what a golden file says of a principal.
type summary struct {
	Kind        string   `json:"kind"`
	Issuer      string   `json:"issuer"` // name
	Subject     string   `json:"subject"`
	Application string   `json:"application"`
	Method      string   `json:"method"`
	Client      string   `json:"client"`
	Scopes      []string `json:"scopes"`
	Token       string   `json:"token"`
	Session     string   `json:"session"`
	ACR         string   `json:"acr"`
	Actors      []string `json:"actors"`
}

const (
	entraTenant  = "72f988bf-86f1-41af-91ab-2d7cd011db47"
	gateAudience = "https://gate.corp.example"
	clusterA     = "https://oidc.cluster-a.corp.example"
	clusterB     = "https://oidc.cluster-b.corp.example"
)

// foreignIssuers are the issuers of the golden files.
func foreignIssuers() []identity.Issuer {
	return []identity.Issuer{
		{
			Name: "entra-v2", URL: "https://login.microsoftonline.com/" + entraTenant + "/v2.0", TokenType: identity.TokenTypeEntra,
			Audiences: []string{"6e74172b-be56-4843-9ff4-e66a39bb12e3"}, Connection: "entra", Claim: "oid",
			FrontEndClients: []string{"04b07795-8ddb-461a-bbee-02f9e1bf7b46"},
		},
		{
			Name: "entra-v1", URL: "https://sts.windows.net/" + entraTenant + "/", TokenType: identity.TokenTypeEntra,
			Audiences: []string{corpAudience}, Connection: "entra", Claim: "oid",
			FrontEndClients: []string{"75dbe77f-10a3-4e59-85fd-8c127544f17c"},
		},
		{
			Name: "okta", URL: "https://corp.okta.com/oauth2/ausain6z9zIedDCxB0h7", TokenType: identity.TokenTypeOkta,
			Audiences: []string{corpAudience}, Connection: "okta", Claim: "uid", FrontEndClients: []string{"0oaain6z9zIedDCxB0h7"},
			Delegation: true,
		},
		{
			Name: "keycloak", URL: "https://keycloak.corp.example/realms/corp", TokenType: identity.TokenTypeKeycloak,
			Audiences: []string{"cosmosgate"}, Connection: "keycloak", Claim: "sub", FrontEndClients: []string{corpClient},
		},
		{
			Name: "zitadel", URL: "https://zitadel.corp.example", TokenType: identity.TokenTypeJWT,
			Audiences: []string{corpAudience}, Connection: "zitadel", Claim: "sub", FrontEndClients: []string{corpClient},
		},
		{
			Name: "github", URL: "https://token.actions.githubusercontent.com", TokenType: identity.TokenTypeWorkload,
			Audiences: []string{gateAudience}, MaxLifetime: 10 * time.Minute,
		},
		{Name: "cluster-a", URL: clusterA, TokenType: identity.TokenTypeWorkload, Audiences: []string{gateAudience}},
		{
			Name: "spiffe", URL: "spiffe://corp.example", TokenType: identity.TokenTypeSPIFFE, Audiences: []string{gateAudience},
			KeysURL: "https://spire.corp.example/keys",
		},
		{Name: "cluster-b", URL: clusterB, TokenType: identity.TokenTypeWorkload, Audiences: []string{gateAudience}},
	}
}

func foreignApplications() []identity.Application {
	return []identity.Application{
		{Name: "entra-app", Issuer: "entra-v2", Claims: map[string]string{"azp": "b1d2c3e4-0000-4000-8000-00000000c0de"}},
		{Name: "entra-identity", Issuer: "entra-v1", Claims: map[string]string{"oid": "5f5f5f5f-0000-4000-8000-00000000bbbb"}},
		{Name: "okta-app", Issuer: "okta", Claims: map[string]string{"cid": "0oaservice6z9zIedDCx"}},
		{Name: "keycloak-batch", Issuer: "keycloak", Claims: map[string]string{"azp": "batch", "sub": "8f7e6d5c-0000-4000-8000-000000000002"}},
		{Name: "keycloak-report", Issuer: "keycloak", Claims: map[string]string{"azp": "report"}},
		{Name: "deploy", Issuer: "github", Claims: map[string]string{
			"repository_owner_id": "65", "repository_id": "74", "environment": "production",
		}},
		{Name: "release", Issuer: "github", Claims: map[string]string{
			"repository_owner_id": "65", "repository_id": "74", "ref": "refs/heads/release/*",
		}},
		{Name: "whole-owner", Issuer: "github", Claims: map[string]string{"repository_owner_id": "99"}},
		{Name: "svid", Issuer: "spiffe", Claims: map[string]string{"sub": "spiffe://corp.example/ns/shop/sa/orders"}},
		{Name: "svid-batch", Issuer: "spiffe", Claims: map[string]string{"sub": "spiffe://corp.example/batch/*"}},
		{Name: "by-uid", Issuer: "cluster-a", Claims: map[string]string{
			"sub": "system:serviceaccount:shop:carts", "/kubernetes.io/serviceaccount/uid": "2e2e2e2e",
		}},
		{Name: "namespace", Issuer: "cluster-b", Claims: map[string]string{"/kubernetes.io/namespace": "ops"}},
		{Name: "certified", Issuer: "entra-v2", Claims: map[string]string{"azp": "b1d2c3e4-0000-4000-8000-0000000cert", "azpacr": "2"}},
		{Name: "proven", Issuer: "entra-v2", Claims: map[string]string{"azp": "b1d2c3e4-0000-4000-8000-0000000000a2", "azpacr": ">=1"}},
		{Name: "orders", Issuer: "cluster-a", Claims: map[string]string{"sub": "system:serviceaccount:shop:orders"}},
		{Name: "twice", Issuer: "cluster-a", Claims: map[string]string{"sub": "system:serviceaccount:shop:twice"}},
		{Name: "twice-again", Issuer: "cluster-a", Claims: map[string]string{"sub": "system:serviceaccount:shop:twice"}},
	}
}

func foreignAgents() []identity.Agent {
	return []identity.Agent{
		{Name: "entra-obo", Issuer: "entra-v2", Claims: map[string]string{"azp": "c0ffee00-0000-4000-8000-0000000000a1"}},
		{Name: "entra-agent", Issuer: "entra-v2", Claims: map[string]string{"xms_par_app_azp": "a9e47000-0000-4000-8000-00000000b1e1"}},
		{Name: "okta-agent", Issuer: "okta", Claims: map[string]string{"cid": "0oaagent6z9zIedDCxB"}},
	}
}

// foreignPeople has one person for each issuer that has people.
func foreignPeople() *people {
	linked := map[directory.LinkKey]directory.UserView{}

	for _, key := range []directory.LinkKey{
		{Connection: "entra", ExternalID: "690222be-ff1a-4d56-abd1-7e4f7d38e474"},
		{Connection: "okta", ExternalID: "00uain6z9zIedDCxB0h7"},
		{Connection: "keycloak", ExternalID: "f:1234:ann"},
		{Connection: "zitadel", ExternalID: "zitadel-ann"},
	} {
		linked[key] = ann()
	}

	return &people{linked: linked}
}

func TestTokensOfRealIssuersMeanWhatTheyMeanThere(t *testing.T) {
	t.Parallel()

	files, err := filepath.Glob("testdata/tokens/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}

	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()

			document, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}

			var g golden
			if err := json.Unmarshal(document, &g); err != nil {
				t.Fatal(err)
			}

			synctest.Test(t, func(t *testing.T) { g.check(t) })
		})
	}
}

func (g golden) check(t *testing.T) {
	t.Helper()

	s := newRSASigner("k1")
	names := map[string]string{}
	declared, agents := foreignApplications(), foreignAgents()
	issuers := foreignIssuers()

	for i := range issuers {
		provider := newProvider(issuers[i].URL, s)
		if issuers[i].TokenType == identity.TokenTypeSPIFFE {
			provider.keys[0].Use = "jwt-svid"
		}

		issuers[i].HTTPClient = &http.Client{Transport: provider}
		names[issuers[i].URL] = issuers[i].Name
	}

	w := &world{config: identity.Config{
		Issuers: issuers, Directory: foreignPeople(), Applications: func() []identity.Application { return declared },
		Agents: func() []identity.Agent { return agents },
		Clock:  time.Now, Logger: slog.New(slog.DiscardHandler),
	}}
	w.start(t)

	now := time.Now().Unix()
	claims := g.Claims.with(object{"iat": now, "nbf": now})

	switch {
	case g.Lifetime == 0:
		claims["exp"] = now + 3600
	case g.Lifetime > 0:
		claims["exp"] = now + g.Lifetime
	}

	p, err := w.authenticate(t, s.sign(t, object{"typ": nil}.with(g.Header), claims))
	if g.Principal == nil {
		if diff := cmp.Diff(any(g.Refused), verdictOf(t, err)); diff != "" {
			t.Errorf("(-want +got):\n%s\n%v", diff, err)
		}

		return
	}

	if err != nil {
		t.Fatal(err)
	}

	got := &summary{
		Kind: p.Kind.String(), Issuer: names[p.Issuer], Subject: p.Subject, Application: p.Application, Method: string(p.Method),
		Client: p.Client, Scopes: p.Scopes, Token: p.TokenID, Session: p.Session, ACR: p.ACR,
	}
	for _, actor := range p.Actors {
		got.Actors = append(got.Actors, actor.Agent)
	}

	if diff := cmp.Diff(g.Principal, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	if (p.Kind == identity.KindPerson) != (p.Record == ann().ID && p.User.Active) {
		t.Errorf("record is %q and view %+v", p.Record, p.User)
	}
}
