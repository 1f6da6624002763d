package identity_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/cosmosgate/cosmosgate/identity"
	"github.com/cosmosgate/cosmosgate/internal/devidp"
)

// TestTheDevelopmentProviderSignsInThroughRealProtocols joins both ends over TLS: what one issues the other accepts, and nothing
// else that it issues.
func TestTheDevelopmentProviderSignsInThroughRealProtocols(t *testing.T) {
	t.Parallel()

	var provider *devidp.Provider

	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { provider.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)

	provider, err := devidp.New(devidp.Config{
		Issuer: server.URL + "/dev", Audience: corpAudience, Clock: time.Now, Logger: slog.New(slog.DiscardHandler),
		People: []devidp.Person{{Name: "ann", ID: annSubject, DisplayName: "Ann"}, {Name: "eve", ID: "00u-eve", DisplayName: "Eve"}},
		Clients: []devidp.Client{
			{ID: corpClient, RedirectURIs: []string{"http://127.0.0.1/callback"}}, {ID: "checkout", Secret: "secret"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}

	client := server.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	ctx := oidc.ClientContext(t.Context(), client)

	w := newWorld(t)
	w.config.Issuers = []identity.Issuer{{
		Name: "corp", URL: provider.Issuer(), Audiences: []string{corpAudience}, Connection: "corp", Claim: "oid",
		FrontEndClients: []string{corpClient}, HTTPClient: client,
	}}
	w.config.InsecureLoopbackIssuers = true
	w.running(t)

	discovered, err := oidc.NewProvider(ctx, provider.Issuer())
	if err != nil {
		t.Fatal(err)
	}

	signIn := func(name string) *oauth2.Token {
		verifier := oauth2.GenerateVerifier()
		config := oauth2.Config{
			ClientID: corpClient, Endpoint: discovered.Endpoint(), RedirectURL: "http://127.0.0.1:7/callback", Scopes: []string{"openid"},
		}

		request, err := http.NewRequestWithContext(ctx, http.MethodGet, config.AuthCodeURL("s",
			oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("login_hint", name)), nil)
		if err != nil {
			t.Fatal(err)
		}

		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()

		back, err := response.Location()
		if err != nil {
			t.Fatal(err)
		}

		token, err := config.Exchange(ctx, back.Query().Get("code"), oauth2.VerifierOption(verifier))
		if err != nil {
			t.Fatal(err)
		}

		return token
	}

	machine, err := (&clientcredentials.Config{
		ClientID: "checkout", ClientSecret: "secret", TokenURL: discovered.Endpoint().TokenURL,
	}).Token(ctx)
	if err != nil {
		t.Fatal(err)
	}

	linked, unlinked := signIn("ann"), signIn("eve")

	identityToken, ok := linked.Extra("id_token").(string)
	if !ok {
		t.Fatal("no ID token")
	}

	for _, row := range []struct {
		name, raw string
		want      any
	}{
		{"person", linked.AccessToken, "accepted"},
		{"person without a record", unlinked.AccessToken, 5013},
		{"the person's ID token", identityToken, 5008},
		{"application", machine.AccessToken, "accepted"},
		{"half a token", linked.AccessToken[:strings.LastIndex(linked.AccessToken, ".")], 5001},
	} {
		w.expect(t, row.name, row.raw, row.want)
	}

	if err := provider.RotateKeys(); err != nil {
		t.Fatal(err)
	}

	w.expect(t, "after a rotation, new key", signIn("ann").AccessToken, "accepted")
	w.expect(t, "after a rotation, old key", linked.AccessToken, "accepted")

	person, err := w.authenticate(t, linked.AccessToken)
	if err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff(ann().ID, person.Record); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
}
