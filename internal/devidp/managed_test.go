package devidp_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/cosmosgate/cosmosgate/internal/devidp"
)

const cosmosScope = "https://cosmos.azure.com/.default"

// host pretends to be an App Service with n identities, through the environment that azidentity reads. The identities are new
// each time, because that library keeps tokens per client id for the whole process.
func host(t *testing.T, n int) (*house, []devidp.ManagedIdentity) {
	t.Helper()

	identities := make([]devidp.ManagedIdentity, n)
	for i := range identities {
		identities[i] = devidp.ManagedIdentity{ClientID: uuid.NewString(), ObjectID: uuid.NewString()}
	}

	h := newHouse(t, identities...)

	t.Setenv("IDENTITY_ENDPOINT", h.IdentityEndpoint())
	t.Setenv("IDENTITY_HEADER", header)

	return h, identities
}

func getToken(t *testing.T, client *http.Client, id azidentity.ManagedIDKind) (azcore.AccessToken, error) {
	t.Helper()

	credential, err := azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{
		ClientOptions: policy.ClientOptions{Transport: client, Retry: policy.RetryOptions{MaxRetries: -1}}, ID: id,
	})
	if err != nil {
		t.Fatal(err)
	}

	return credential.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{cosmosScope}})
}

func TestAzidentityGetsATokenPerClientID(t *testing.T) {
	h, identities := host(t, 2)

	for _, identity := range identities {
		token, err := getToken(t, h.client, azidentity.ClientID(identity.ClientID))
		if err != nil {
			t.Fatal(err)
		}

		want := map[string]any{
			"iss": h.Issuer(), "aud": "https://cosmos.azure.com", "sub": identity.ObjectID, "oid": identity.ObjectID,
			"tid": "00000000-0000-4000-8000-000000000de5", "appid": identity.ClientID, "appidacr": "2", "idtyp": "app", "ver": "1.0",
			"iat": "set", "nbf": "set", "exp": "set", "jti": "set",
		}
		if diff := cmp.Diff(want, h.claims(t, token.Token)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}

		if got := headerOf(t, token.Token); got["typ"] != "JWT" || got["alg"] != "RS256" {
			t.Errorf("header is %v", got)
		}

		if left := token.ExpiresOn.Sub(h.clock.now()); left < 23*time.Hour || left > 24*time.Hour {
			t.Errorf("expires in %s, want a day", left)
		}
	}
}

func TestAzidentityMeetsTheFaultsThatAHostHas(t *testing.T) {
	rows := []struct {
		name  string
		fault devidp.Fault
		want  string // "token", "expired token" or "error"
	}{
		{"none", devidp.Fault{}, "token"},
		{"500", devidp.Fault{Status: http.StatusInternalServerError}, "error"},
		{"429", devidp.Fault{Status: http.StatusTooManyRequests}, "error"},
		{"malformed", devidp.Fault{Malformed: true}, "error"},
		{"slow", devidp.Fault{Delay: time.Millisecond}, "token"},
		{"expired", devidp.Fault{Expired: true}, "expired token"},
		{"and healthy again", devidp.Fault{}, "token"},
	}

	h, identities := host(t, len(rows))

	for i, row := range rows {
		h.Inject(devidp.EndpointManagedIdentity, row.fault)

		token, err := getToken(t, h.client, azidentity.ClientID(identities[i].ClientID))

		got := "token"

		switch {
		case err != nil:
			got = "error"
		case token.ExpiresOn.Before(h.clock.now()):
			got = "expired token"
		}

		if diff := cmp.Diff(row.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s\n%v", row.name, diff, err)
		}
	}
}

func TestAzidentityIsRefusedIdentitiesThatTheHostLacks(t *testing.T) {
	h, identities := host(t, 2)

	for name, id := range map[string]azidentity.ManagedIDKind{
		"unknown client id":         azidentity.ClientID(uuid.NewString()),
		"object id":                 azidentity.ObjectID(identities[0].ObjectID),
		"no system-assigned at all": nil,
	} {
		if _, err := getToken(t, h.client, id); err == nil {
			t.Errorf("%s: got a token", name)
		}
	}

	t.Setenv("IDENTITY_HEADER", "wrong")

	if _, err := getToken(t, h.client, azidentity.ClientID(identities[1].ClientID)); err == nil {
		t.Error("wrong header: got a token")
	}
}

func TestIdentityEndpointChecksItsRequest(t *testing.T) {
	t.Parallel()

	h := newHouse(t)

	for _, row := range []struct {
		name, header, query string
		want                int
	}{
		{"as azidentity asks", header, "?api-version=2019-08-01&resource=https%3A%2F%2Fcosmos.azure.com", http.StatusOK},
		{"no header", "", "?api-version=2019-08-01&resource=https%3A%2F%2Fcosmos.azure.com", http.StatusUnauthorized},
		{"no version", header, "?resource=https%3A%2F%2Fcosmos.azure.com", http.StatusBadRequest},
		{"old version", header, "?api-version=2017-09-01&resource=https%3A%2F%2Fcosmos.azure.com", http.StatusBadRequest},
		{"no resource", header, "?api-version=2019-08-01", http.StatusBadRequest},
		{"the gate's own audience", header, "?api-version=2019-08-01&resource=api%3A%2F%2Fcosmosgate-dev", http.StatusBadRequest},
	} {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, h.IdentityEndpoint()+row.query, nil)
		request.Header.Set("X-Identity-Header", row.header)

		recorder := httptest.NewRecorder()
		h.ServeHTTP(recorder, request)

		if diff := cmp.Diff(row.want, recorder.Code); diff != "" {
			t.Errorf("%s (-want +got):\n%s%s", row.name, diff, recorder.Body)
		}
	}
}
