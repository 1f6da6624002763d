package devidp_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

func TestRefreshRotatesAndAReplayKillsTheFamily(t *testing.T) {
	t.Parallel()

	h := newHouse(t)
	first := h.signIn(t, "openid", "offline_access")
	config := h.config()

	renew := func(refresh string) (*oauth2.Token, error) {
		return config.TokenSource(h.ctx, &oauth2.Token{RefreshToken: refresh}).Token()
	}

	second, err := renew(first.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}

	if second.RefreshToken == first.RefreshToken {
		t.Error("the refresh token was not rotated")
	}

	if diff := cmp.Diff(h.claims(t, first.AccessToken), h.claims(t, second.AccessToken)); diff != "" {
		t.Errorf("renewed token (-first +second):\n%s", diff)
	}

	_, err = renew(first.RefreshToken)
	if diff := cmp.Diff("invalid_grant", refusal(t, err)); diff != "" {
		t.Errorf("replay (-want +got):\n%s", diff)
	}

	_, err = renew(second.RefreshToken)
	if diff := cmp.Diff("invalid_grant", refusal(t, err)); diff != "" {
		t.Errorf("the replayed token's heir (-want +got):\n%s", diff)
	}
}

func TestRefreshMayNarrowScopeNotWidenIt(t *testing.T) {
	t.Parallel()

	h := newHouse(t)
	token := h.signIn(t, "openid", "offline_access", "cosmos.read")

	ask := func(scope, refresh string) (string, string) {
		_, body := h.visit(t, http.MethodPost, h.oidc.Endpoint().TokenURL, url.Values{
			"grant_type": {"refresh_token"}, "client_id": {publicID}, "refresh_token": {refresh}, "scope": {scope},
		})

		var answer struct {
			Error   string `json:"error"`
			Scope   string `json:"scope"`
			Refresh string `json:"refresh_token"`
		}
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			t.Fatal(err)
		}

		return answer.Error + answer.Scope, answer.Refresh
	}

	narrowed, refresh := ask("cosmos.read", token.RefreshToken)
	if diff := cmp.Diff("cosmos.read", narrowed); diff != "" {
		t.Errorf("narrower (-want +got):\n%s", diff)
	}

	widened, _ := ask("cosmos.read cosmos.write", refresh)
	if diff := cmp.Diff("invalid_scope", widened); diff != "" {
		t.Errorf("wider (-want +got):\n%s", diff)
	}
}

func TestClientCredentialsAreForConfidentialClients(t *testing.T) {
	t.Parallel()

	h := newHouse(t)

	for _, row := range []struct {
		name   string
		config clientcredentials.Config
		want   string
	}{
		{"basic", clientcredentials.Config{ClientID: serviceID, ClientSecret: secret, AuthStyle: oauth2.AuthStyleInHeader}, ""},
		{"post", clientcredentials.Config{ClientID: serviceID, ClientSecret: secret, AuthStyle: oauth2.AuthStyleInParams}, ""},
		{"wrong secret", clientcredentials.Config{ClientID: serviceID, ClientSecret: "x", AuthStyle: oauth2.AuthStyleInHeader}, "invalid_client"},
		{"no secret", clientcredentials.Config{ClientID: serviceID, AuthStyle: oauth2.AuthStyleInParams}, "invalid_client"},
		{"public client", clientcredentials.Config{ClientID: publicID, AuthStyle: oauth2.AuthStyleInParams}, "unauthorized_client"},
		{"nobody", clientcredentials.Config{AuthStyle: oauth2.AuthStyleInParams}, "invalid_client"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			row.config.TokenURL = h.oidc.Endpoint().TokenURL

			token, err := row.config.Token(h.ctx)
			if row.want != "" {
				if diff := cmp.Diff(row.want, refusal(t, err)); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}

				return
			}

			if err != nil {
				t.Fatal(err)
			}

			want := map[string]any{
				"iss": h.Issuer(), "aud": audience, "sub": serviceID, "azp": serviceID, "client_id": serviceID, "scope": "",
				"iat": "set", "nbf": "set", "exp": "set", "jti": "set",
			}
			if diff := cmp.Diff(want, h.claims(t, token.AccessToken)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestDeviceFlowWaitsForThePerson(t *testing.T) {
	t.Parallel()

	h := newHouse(t)
	config := h.config("openid", "offline_access")

	device, err := config.DeviceAuth(h.ctx)
	if err != nil {
		t.Fatal(err)
	}

	poll := func() (*oauth2.Token, string) {
		_, body := h.visit(t, http.MethodPost, h.oidc.Endpoint().TokenURL, url.Values{
			"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "client_id": {publicID}, "device_code": {device.DeviceCode},
		})

		var answer struct {
			oauth2.Token

			Error string `json:"error"`
		}
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			t.Fatal(err)
		}

		return &answer.Token, answer.Error
	}

	steps := []struct {
		name string
		do   func()
		want string
	}{
		{"first poll", func() {}, "authorization_pending"},
		{"impatient", func() {}, "slow_down"},
		{"patient", func() { h.clock.advance(6 * time.Second) }, "authorization_pending"},
		{"stranger answers", func() {
			h.clock.advance(6 * time.Second)
			h.visit(t, http.MethodPost, device.VerificationURI, url.Values{"user_code": {device.UserCode}, "person": {"eve"}})
		}, "authorization_pending"},
		{"ann answers", func() {
			h.visit(t, http.MethodPost, device.VerificationURI, url.Values{"user_code": {strings.ToLower(device.UserCode)}, "person": {"ann"}})
		}, ""},
		{"code used", func() {}, "expired_token"},
	}
	for _, step := range steps {
		step.do()

		token, got := poll()
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Fatalf("%s (-want +got):\n%s", step.name, diff)
		}

		if got == "" && h.claims(t, token.AccessToken)["sub"] != "00u-ann" {
			t.Errorf("%s: somebody else was signed in", step.name)
		}
	}

	_, page := h.visit(t, http.MethodGet, device.VerificationURIComplete, nil)
	if !strings.Contains(page, device.UserCode) {
		t.Errorf("page lacks the code:\n%s", page)
	}
}
