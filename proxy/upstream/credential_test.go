package upstream_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/proxy/upstream"
)

const scope = "https://cosmos.azure.com/.default"

// unique is a name that no test had before: azidentity remembers the tokens of managed identities for as long as a process lives.
func unique(name string) string { return name + "-" + strings.ToLower(rand.Text()) }

func TestManagedIdentityAsksTheHostForTheIdentityItNames(t *testing.T) { //nolint:paralleltest // azidentity reads the environment.
	user := unique("client-orders-ro")
	for _, row := range []struct {
		name     string
		clientID string
		token    string
	}{
		{"the system-assigned identity sends no client id", "", "token-for-"},
		{"a user-assigned identity sends its client id", user, "token-for-" + user},
	} {
		t.Run(row.name, func(t *testing.T) {
			e := newEndpoint(t)
			t.Setenv("IDENTITY_ENDPOINT", e.URL+"/msi")
			t.Setenv("IDENTITY_HEADER", "proof-of-host")
			credential := build(t, upstream.Options{Kind: upstream.ManagedIdentity, ClientID: row.clientID, Transport: e.Client()})

			resource := unique("https://cosmos.azure.com") // the system-assigned identity has no name that could tell one run from another
			got, err := credential.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{resource + "/.default"}})
			if err != nil {
				t.Fatal(err)
			}

			if diff := cmp.Diff(row.token, got.Token); diff != "" {
				t.Errorf("token (-want +got):\n%s", diff)
			}
			want := tokenRequest{Path: "/msi", Identity: "proof-of-host", Form: map[string][]string{
				"resource": {resource}, "api-version": {"2019-08-01"},
			}}
			if row.clientID != "" {
				want.Form["client_id"] = []string{row.clientID}
			}
			if diff := cmp.Diff([]tokenRequest{want}, e.seen()); diff != "" {
				t.Errorf("requests to the identity endpoint (-want +got):\n%s", diff)
			}
		})
	}
}

func TestManagedIdentityReportsAnEndpointThatFails(t *testing.T) { //nolint:paralleltest // azidentity reads the environment.
	e := newEndpoint(t)
	e.fail(http.StatusInternalServerError)
	t.Setenv("IDENTITY_ENDPOINT", e.URL+"/msi")
	t.Setenv("IDENTITY_HEADER", "proof-of-host")
	unlucky := unique("client-unlucky")
	credential := build(t, upstream.Options{
		Kind: upstream.ManagedIdentity, ClientID: unlucky, Transport: e.Client(),
		Retry: policy.RetryOptions{MaxRetries: -1},
	})

	if _, err := credential.GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{scope}}); err == nil {
		t.Fatal("a token came from an endpoint that answers 500")
	}
	e.fail(http.StatusOK)
	if diff := cmp.Diff("token-for-"+unlucky, getToken(t, credential).Token); diff != "" {
		t.Errorf("token after recovery (-want +got):\n%s", diff)
	}
}

func TestClaimsGoPastTheCredentialsOwnCache(t *testing.T) { //nolint:paralleltest // azidentity reads the environment.
	e := newEndpoint(t)
	t.Setenv("IDENTITY_ENDPOINT", e.URL+"/msi")
	t.Setenv("IDENTITY_HEADER", "proof-of-host")
	credential := build(t, upstream.Options{Kind: upstream.ManagedIdentity, ClientID: unique("client-renewed"), Transport: e.Client()})

	getToken(t, credential)
	getToken(t, credential)
	if diff := cmp.Diff(1, len(e.seen())); diff != "" {
		t.Errorf("requests without claims (-want +got):\n%s", diff)
	}
	options := policy.TokenRequestOptions{Scopes: []string{scope}, Claims: `{"access_token":{"nbf":{"essential":true,"value":"1"}}}`}
	if _, err := credential.GetToken(context.Background(), options); err != nil {
		t.Fatalf("getting a token with claims: %v", err)
	}
	if diff := cmp.Diff(2, len(e.seen())); diff != "" {
		t.Errorf("requests with claims (-want +got):\n%s", diff)
	}
}

func TestWorkloadIdentitySendsTheProjectedToken(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("service-account-token"), 0o600); err != nil {
		t.Fatal(err)
	}
	credential := build(t, upstream.Options{
		Kind: upstream.WorkloadIdentity, ClientID: "client-workload", TenantID: tenant, TokenFile: file,
		AuthorityHost: e.URL, DisableInstanceDiscovery: true, Transport: e.Client(),
	})

	if diff := cmp.Diff("token-for-client-workload", getToken(t, credential).Token); diff != "" {
		t.Errorf("token (-want +got):\n%s", diff)
	}
	seen := e.seen()
	if len(seen) != 1 {
		t.Fatalf("token requests: %d, want 1", len(seen))
	}
	if diff := cmp.Diff("service-account-token", seen[0].Form.Get("client_assertion")); diff != "" {
		t.Errorf("assertion (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff("/"+tenant+"/oauth2/v2.0/token", seen[0].Path); diff != "" {
		t.Errorf("token endpoint (-want +got):\n%s", diff)
	}
}

func TestClientCertificateSignsAnAssertion(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t)
	credential := build(t, upstream.Options{
		Kind: upstream.ClientCertificate, ClientID: "client-certified", TenantID: tenant, Certificate: certificatePEM(t),
		AuthorityHost: e.URL, DisableInstanceDiscovery: true, Transport: e.Client(),
	})

	if diff := cmp.Diff("token-for-client-certified", getToken(t, credential).Token); diff != "" {
		t.Errorf("token (-want +got):\n%s", diff)
	}
	seen := e.seen()
	if len(seen) != 1 {
		t.Fatalf("token requests: %d, want 1", len(seen))
	}
	if parts := strings.Count(seen[0].Form.Get("client_assertion"), "."); parts != 2 {
		t.Errorf("assertion has %d dots, want the 2 of a signed JWT", parts)
	}
}

func TestEveryFaultOfTheOptionsIsReported(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		options upstream.Options
		want    []error
	}{
		{"the zero value is refused", upstream.Options{}, []error{upstream.ErrUnknownKind}},
		{"an invented kind is refused", upstream.Options{Kind: "password"}, []error{upstream.ErrUnknownKind}},
		{
			"a managed identity has neither tenant nor token file",
			upstream.Options{Kind: upstream.ManagedIdentity, TenantID: tenant, TokenFile: "f"},
			[]error{upstream.ErrUselessOption},
		},
		{
			"a certificate identity lacks its parts and has one too many",
			upstream.Options{Kind: upstream.ClientCertificate, TokenFile: "f"},
			[]error{upstream.ErrMissingOption, upstream.ErrUselessOption},
		},
		{"a workload identity has no certificate", upstream.Options{Kind: upstream.WorkloadIdentity, Certificate: []byte("c")}, []error{upstream.ErrUselessOption}},
		{"the Azure CLI needs the insecure option", upstream.Options{Kind: upstream.AzureCLI}, []error{upstream.ErrAzureCLIRefused}},
		{"the Azure CLI has no client id", upstream.Options{Kind: upstream.AzureCLI, AllowAzureCLI: true, ClientID: "c"}, []error{upstream.ErrUselessOption}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			credential, err := upstream.New(row.options)
			if credential != nil {
				t.Errorf("a credential was built: %T", credential)
			}
			for _, want := range row.want {
				if !errors.Is(err, want) {
					t.Errorf("error %v is not %v", err, want)
				}
			}
		})
	}
}

func TestDeveloperLoginIsBuiltOnlyWhenAllowed(t *testing.T) {
	t.Parallel()
	if credential := build(t, upstream.Options{Kind: upstream.AzureCLI, AllowAzureCLI: true}); credential == nil {
		t.Error("no credential")
	}
}

func TestBrokenCertificateAndPlainAuthorityAreRefused(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		options upstream.Options
	}{
		{"bytes that are no certificate", upstream.Options{Kind: upstream.ClientCertificate, ClientID: "c", TenantID: tenant, Certificate: []byte("junk")}},
		{"an authority without https", upstream.Options{
			Kind: upstream.ClientCertificate, ClientID: "c", TenantID: tenant, Certificate: certificatePEM(t), AuthorityHost: "http://login.example",
		}},
		{"a key without its certificate", upstream.Options{Kind: upstream.ClientCertificate, ClientID: "c", TenantID: tenant, Certificate: ecKeyPEM(t)}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			if _, err := upstream.New(row.options); err == nil {
				t.Error("no error")
			}
		})
	}
}

func build(t *testing.T, options upstream.Options) azcore.TokenCredential {
	t.Helper()
	credential, err := upstream.New(options)
	if err != nil {
		t.Fatalf("building credential: %v", err)
	}
	return credential
}

func getToken(t *testing.T, credential azcore.TokenCredential) azcore.AccessToken {
	t.Helper()
	token, err := credential.GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{scope}})
	if err != nil {
		t.Fatalf("getting token: %v", err)
	}
	if !token.ExpiresOn.After(time.Now()) {
		t.Errorf("token expires at %v, which is past", token.ExpiresOn)
	}
	return token
}

func certificatePEM(t *testing.T) []byte {
	t.Helper()
	const bits = 2048
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "gate"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
}

func ecKeyPEM(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}
