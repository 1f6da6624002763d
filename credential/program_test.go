package credential_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/credential"
)

func TestProgramsProveThemselvesWithAKeyOrTheirPlatformsToken(t *testing.T) {
	t.Parallel()
	_, edKey, _ := ed25519.GenerateKey(rand.Reader)
	ecKey, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	rsaKey, _ := rsa.GenerateKey(rand.Reader, 2048)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("platform-token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name   string
		edit   func(*credential.Options)
		verify func(*testing.T, string)
	}{
		{"Ed25519", func(o *credential.Options) { o.Flow, o.Key, o.KeyID = credential.PrivateKey, edKey, "k1" }, signedBy(edKey.Public(), jose.EdDSA)},
		{"ECDSA", func(o *credential.Options) { o.Flow, o.Key, o.KeyID = credential.PrivateKey, ecKey, "k1" }, signedBy(ecKey.Public(), jose.ES256)},
		{"RSA", func(o *credential.Options) { o.Flow, o.Key, o.KeyID = credential.PrivateKey, rsaKey, "k1" }, signedBy(rsaKey.Public(), jose.RS256)},
		{"the platform's token", func(o *credential.Options) { o.Flow, o.TokenFile = credential.Workload, file }, func(t *testing.T, assertion string) {
			t.Helper()
			if diff := cmp.Diff("platform-token", assertion); diff != "" {
				t.Errorf("assertion (-want +got):\n%s", diff)
			}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.change(func(path string, body []byte) []byte {
				if path == "/dev/token" { // the development provider takes secrets only; what it got is looked at below
					return []byte(`{"access_token":"program-token","token_type":"Bearer","expires_in":600}`)
				}
				return body
			})
			c := w.credential(func(o *credential.Options) {
				o.ClientID = "checkout"
				o.Transport = accepting{w.server.Client().Transport}
				row.edit(o)
			})
			token, err := c.GetToken(t.Context(), policy.TokenRequestOptions{})
			if err != nil || token.Token != "program-token" {
				t.Fatalf("token %q, %v", token.Token, err)
			}
			form := w.forms[0]
			row.verify(t, form.Get("client_assertion"))
			form.Del("client_assertion")
			want := url.Values{
				"grant_type": {"client_credentials"}, "client_id": {"checkout"}, "scope": {"cosmos.read"},
				"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
			}
			if diff := cmp.Diff(want, form); diff != "" {
				t.Errorf("form (-want +got):\n%s", diff)
			}
		})
	}
}

// accepting turns refusals of the token endpoint into 200.
type accepting struct{ http.RoundTripper }

func (a accepting) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := a.RoundTripper.RoundTrip(r)
	if err == nil && r.URL.Path == "/dev/token" {
		resp.StatusCode = http.StatusOK
	}
	return resp, err
}

func signedBy(public any, algorithm jose.SignatureAlgorithm) func(*testing.T, string) {
	return func(t *testing.T, assertion string) {
		t.Helper()
		parsed, err := jose.ParseSignedCompact(assertion, []jose.SignatureAlgorithm{algorithm})
		if err != nil {
			t.Fatal(err)
		}
		text, err := parsed.Verify(public)
		if err != nil {
			t.Fatal(err)
		}
		claims := map[string]any{}
		if err := json.Unmarshal(text, &claims); err != nil {
			t.Fatal(err)
		}
		issuer, _ := claims["aud"].(string)
		lasts := claims["exp"].(float64) - claims["iat"].(float64)
		if claims["iss"] != "checkout" || claims["sub"] != "checkout" || !strings.HasSuffix(issuer, "/dev/token") || lasts != 60 ||
			claims["jti"] == "" || parsed.Signatures[0].Header.KeyID != "k1" {
			t.Errorf("assertion: %v, %v", parsed.Signatures[0].Header, claims)
		}
	}
}

func TestTheTokenFileIsReadAgainForEveryToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	file := filepath.Join(t.TempDir(), "token")
	c := w.credential(func(o *credential.Options) { o.Flow, o.TokenFile = credential.WorkloadDirect, file })
	for _, name := range []string{"one", "two"} {
		token := unsigned(map[string]any{"sub": name, "exp": w.now().Add(time.Hour).Unix()})
		if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := subject(t, c); err != nil || got != name {
			t.Errorf("got %q, %v, want %q", got, err, name)
		}
		w.advance(31 * time.Minute)
	}
	if w.count(credential.GuidePath) != 0 {
		t.Error("a token that is presented as it is needs no guide")
	}
}

func unsigned(claims map[string]any) string {
	text, _ := json.Marshal(claims)
	return "e30." + base64.RawURLEncoding.EncodeToString(text) + ".c2ln"
}

func TestACommandPrintsTheToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	later := w.now().Add(time.Hour).UTC().Format(time.RFC3339)
	for _, row := range []struct{ name, prints, token, want string }{
		{"a token alone", "echo abc.def.ghi", "abc.def.ghi", ""},
		{"JSON with a life", `echo '{"access_token":"t1","expires_in":3600}'`, "t1", ""},
		{"JSON with a life as text", `echo '{"access_token":"t1","expires_in":"3600"}'`, "t1", ""},
		{"JSON with an end", `echo '{"access_token":"t2","expires_on":"` + later + `"}'`, "t2", ""},
		{"which gate it is asked for", `printf %s "$COSMOSGATE_GATE" | tr / _`, "https:__" + strings.TrimPrefix(w.server.URL, "https://") + "_", ""},
		{"nothing", "true", "", "neither a token"},
		{"prose", "echo please sign in", "", "neither a token"},
		{"JSON without a token", "echo '{}'", "", "neither a token"},
		{"a failure", "echo no such user >&2; exit 3", "", "exit status 3: no such user"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			c := w.credential(func(o *credential.Options) { o.Flow, o.Command = credential.Exec, []string{"sh", "-c", row.prints} })
			token, err := c.GetToken(t.Context(), policy.TokenRequestOptions{})
			if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
				t.Fatalf("error %v, want %q", err, row.want)
			}
			if diff := cmp.Diff(row.token, token.Token); diff != "" {
				t.Errorf("token (-want +got):\n%s", diff)
			}
		})
	}
}
