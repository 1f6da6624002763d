package devidp_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/cosmosgate/cosmosgate/internal/devidp"
)

func decode(t *testing.T, part string) []byte {
	t.Helper()

	decoded, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		t.Fatal(err)
	}

	return decoded
}

func TestItCannotBeConfiguredToBeMistakenForARealProvider(t *testing.T) {
	t.Parallel()

	for _, row := range []struct {
		name   string
		change func(c *devidp.Config)
		want   []string // parts of the fault; none: accepted
	}{
		{"as it should be", func(*devidp.Config) {}, nil},
		{"IPv6", func(c *devidp.Config) { c.Issuer = "https://[::1]:1/dev" }, nil},
		{"public host", func(c *devidp.Config) { c.Issuer = "https://idp.example/dev" }, []string{"loopback"}},
		{"all interfaces", func(c *devidp.Config) { c.Issuer = "https://0.0.0.0/dev" }, []string{"loopback"}},
		{"name that begins with localhost", func(c *devidp.Config) { c.Issuer = "https://localhost.example/dev" }, []string{"loopback"}},
		{"nothing says dev", func(c *devidp.Config) { c.Issuer = "https://localhost:1/idp" }, []string{`"dev"`}},
		{"trailing slash", func(c *devidp.Config) { c.Issuer += "/" }, []string{"trailing slash"}},
		{"not a URL", func(c *devidp.Config) { c.Issuer = "dev" }, []string{"URL"}},
		{"several faults", func(c *devidp.Config) { *c = devidp.Config{TokenLifetime: -1} },
			[]string{"issuer", "audience", "clock", "logger", "lifetime"}},
		{"identities without a header", func(c *devidp.Config) { c.IdentityHeader = "" }, []string{"identity header"}},
		{"one person twice", func(c *devidp.Config) { c.People = append(c.People, c.People[0]) }, []string{`name "ann"`, `id "00u-ann"`}},
		{"nameless client", func(c *devidp.Config) { c.Clients = append(c.Clients, devidp.Client{}) }, []string{"client's id"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			c := config("https://localhost:1/dev", &clock{})
			row.change(&c)

			_, err := devidp.New(c)
			if (err == nil) != (row.want == nil) {
				t.Fatalf("got %v, want a fault that names %v", err, row.want)
			}

			for _, part := range row.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("fault doesn't name %s:\n%v", part, err)
				}
			}
		})
	}
}

func TestOtherHostNamesAreRefused(t *testing.T) {
	t.Parallel()

	h := newHouse(t)

	for host, want := range map[string]int{
		"localhost:1": 200, "127.0.0.1": 200, "[::1]:1": 200, "evil.example": 421, "127.0.0.1.evil.example": 421, "": 421,
	} {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/dev/jwks", nil)
		request.Host = host

		recorder := httptest.NewRecorder()
		h.ServeHTTP(recorder, request)

		if diff := cmp.Diff(want, recorder.Code); diff != "" {
			t.Errorf("Host %q (-want +got):\n%s", host, diff)
		}
	}
}

func TestOtherSitesCannotPostForms(t *testing.T) {
	t.Parallel()

	h := newHouse(t)
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, h.Issuer()+"/device",
		strings.NewReader(url.Values{"user_code": {"x"}, "person": {"ann"}}.Encode()))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Sec-Fetch-Site", "cross-site")

	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, request)

	if diff := cmp.Diff(http.StatusForbidden, recorder.Code); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDiscoveryIsTheSameAtBothPlaces(t *testing.T) {
	t.Parallel()

	h := newHouse(t)
	base := strings.TrimSuffix(h.Issuer(), "/dev")

	_, one := h.visit(t, http.MethodGet, base+"/dev/.well-known/openid-configuration", nil)
	_, other := h.visit(t, http.MethodGet, base+"/.well-known/oauth-authorization-server/dev", nil)

	if diff := cmp.Diff(one, other); diff != "" {
		t.Errorf("(-OpenID Connect +RFC 8414):\n%s", diff)
	}

	var document map[string]any
	if err := json.Unmarshal([]byte(one), &document); err != nil {
		t.Fatal(err)
	}

	for _, endpoint := range []string{"authorization_endpoint", "token_endpoint", "device_authorization_endpoint", "jwks_uri"} {
		if address, _ := document[endpoint].(string); !strings.HasPrefix(address, h.Issuer()+"/") {
			t.Errorf("%s is %q", endpoint, address)
		}
	}
}

func TestRotationKeepsThePreviousKeyAndWithdrawsTheOneBefore(t *testing.T) {
	t.Parallel()

	h := newHouse(t)
	machine := clientcredentials.Config{ClientID: serviceID, ClientSecret: secret, TokenURL: h.oidc.Endpoint().TokenURL}

	token, err := machine.Token(h.ctx)
	if err != nil {
		t.Fatal(err)
	}

	for rotations, want := range []bool{true, true, false} {
		if rotations > 0 {
			if err := h.RotateKeys(); err != nil {
				t.Fatal(err)
			}
		}

		// A new verifier each time: it remembers keys.
		_, err := h.oidc.VerifierContext(h.ctx, &oidc.Config{SkipClientIDCheck: true}).Verify(h.ctx, token.AccessToken)
		if got := err == nil; got != want {
			t.Errorf("after %d rotations: accepted is %t, want %t (%v)", rotations, got, want, err)
		}
	}

	if diff := cmp.Diff(2, len(h.KeySet().Keys)); diff != "" {
		t.Errorf("published keys (-want +got):\n%s", diff)
	}
}

func TestInjectedFaultsHappenAndEnd(t *testing.T) {
	t.Parallel()

	h := newHouse(t)
	get := func() (int, string) {
		recorder := httptest.NewRecorder()
		h.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, h.Issuer()+"/jwks", nil))

		return recorder.Code, recorder.Body.String()
	}

	_, healthy := get()

	h.Inject(devidp.EndpointKeys, devidp.Fault{Status: http.StatusBadGateway, Times: 2})

	for range 2 {
		if status, _ := get(); status != http.StatusBadGateway {
			t.Errorf("got %d, want the fault", status)
		}
	}

	if _, body := get(); body != healthy {
		t.Errorf("the fault outlived its count: %s", body)
	}

	h.Inject(devidp.EndpointKeys, devidp.Fault{Malformed: true})

	for range 3 {
		if _, body := get(); json.Valid([]byte(body)) {
			t.Errorf("body is JSON: %s", body)
		}
	}

	h.Inject(devidp.EndpointKeys, devidp.Fault{Delay: time.Millisecond})

	if _, body := get(); body != healthy {
		t.Errorf("a slow answer is another answer: %s", body)
	}
}
