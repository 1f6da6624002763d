package identity

import (
	"net/http"
	"time"
)

// TokenType says how access tokens of an issuer are told from its other tokens.
type TokenType string

// The token types.
const (
	// TokenTypeRFC9068 is the default: the header says typ at+jwt.
	TokenTypeRFC9068 TokenType = "at+jwt"
	// TokenTypeEntra is Microsoft Entra v1 or v2: a person's token has scp, an application's is app-only; tid is pinned to the URL.
	TokenTypeEntra TokenType = "entra"
	// TokenTypeOkta is an Okta custom authorization server: cid and scp, jti with the prefix "AT.".
	TokenTypeOkta TokenType = "okta"
	// TokenTypeKeycloak is Keycloak: claim typ is Bearer.
	TokenTypeKeycloak TokenType = "keycloak"
	// TokenTypeWorkload is GitHub Actions or Kubernetes: plain JWTs that never stand for a person.
	TokenTypeWorkload TokenType = "workload"
)

// Issuer is one trusted token issuer. Entra v1 and v2 are two issuers.
type Issuer struct {
	// Name is what policy and metrics call the issuer.
	Name string
	// URL is the exact iss, and the discovery base.
	URL string
	// Audiences are the accepted aud values of this resource; a Cosmos audience can't be one.
	Audiences []string
	// TokenType says how access tokens look; empty means [TokenTypeRFC9068].
	TokenType TokenType
	// Connection is the SCIM connection whose externalId equals Claim; both empty if the issuer has no people.
	Connection string
	// Claim is the immutable subject claim: oid for Entra, uid or sub elsewhere. Names that may be reassigned are refused.
	Claim string
	// FrontEndClients are the clients (azp, appid, cid, client_id) that carry people.
	FrontEndClients []string
	// Algorithms is the signature allow-list; empty means RS256 and ES256. PS256 and EdDSA may be added.
	Algorithms []string
	// MaxLifetime is the longest accepted exp-iat; zero means 25 hours.
	MaxLifetime time.Duration
	// HTTPClient fetches discovery and keys. Required. Redirects are never followed and bodies are bounded.
	HTTPClient *http.Client
}
