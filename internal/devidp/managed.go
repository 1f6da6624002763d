package devidp

import (
	"crypto/rand"
	"crypto/subtle"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

const (
	// identityVersion is the one version of the App Service identity endpoint that current SDKs speak.
	identityVersion = "2019-08-01"
	// identityLifetime is Azure's for managed identity tokens.
	identityLifetime = 24 * time.Hour
	// devTenant is the tenant of the pretended host.
	devTenant = "00000000-0000-4000-8000-000000000de5"
)

// managedIdentity answers as the identity endpoint of Azure App Service does
// (https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference), with a token shaped like
// Entra's v1 tokens for applications.
func (p *Provider) managedIdentity(w http.ResponseWriter, r *http.Request) {
	answered, expired := p.misbehave(w, r, EndpointManagedIdentity)
	if answered {
		return
	}

	query := r.URL.Query()
	identity := p.identity(query)
	resource, err := url.Parse(query.Get("resource"))

	header := []byte(r.Header.Get("X-IDENTITY-HEADER"))

	switch {
	case p.config.IdentityHeader == "" || subtle.ConstantTimeCompare(header, []byte(p.config.IdentityHeader)) != 1:
		writeIdentityError(w, http.StatusUnauthorized, "X-IDENTITY-HEADER is missing or wrong")
	case query.Get("api-version") != identityVersion:
		writeIdentityError(w, http.StatusBadRequest, "api-version must be "+identityVersion)
	case err != nil || resource.Scheme != "https" || resource.Host == "":
		writeIdentityError(w, http.StatusBadRequest, "resource must be an https URL")
	case identity == nil:
		writeIdentityError(w, http.StatusBadRequest, "No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId.")
	default:
		p.issueIdentity(w, identity, query.Get("resource"), expired)
	}
}

// identity finds the identity that is asked for: by client id, or the system-assigned one if there is no selector.
func (p *Provider) identity(query url.Values) *ManagedIdentity {
	if slices.ContainsFunc([]string{"object_id", "principal_id", "mi_res_id", "msi_res_id"}, query.Has) {
		return nil
	}

	for i := range p.config.Identities {
		if p.config.Identities[i].ClientID == query.Get("client_id") {
			return &p.config.Identities[i]
		}
	}

	return nil
}

func (p *Provider) issueIdentity(w http.ResponseWriter, identity *ManagedIdentity, resource string, expired bool) {
	now := p.config.Clock()
	if expired {
		now = now.Add(-identityLifetime - time.Hour)
	}

	expiry := now.Add(identityLifetime)

	token, err := p.keys.sign("JWT", map[string]any{
		"iss": p.config.Issuer, "aud": resource, "sub": identity.ObjectID, "oid": identity.ObjectID, "tid": devTenant,
		"appid": identity.ClientID, "appidacr": "2", "idtyp": "app", "ver": "1.0", "jti": rand.Text(),
		"iat": now.Unix(), "nbf": now.Unix(), "exp": expiry.Unix(),
	})
	if err != nil {
		writeIdentityError(w, http.StatusInternalServerError, err.Error())

		return
	}

	p.config.Logger.Info("issued a managed identity token",
		slog.String("oid", identity.ObjectID), slog.String("resource", resource))

	writeJSON(w, http.StatusOK, map[string]string{
		"access_token": token, "expires_on": strconv.FormatInt(expiry.Unix(), 10), "resource": resource,
		"token_type": "Bearer", "client_id": identity.ClientID,
	})
}

func writeIdentityError(w http.ResponseWriter, status int, message string) {
	writeJSON(w, status, map[string]any{"statusCode": status, "message": message})
}
