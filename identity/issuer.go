package identity

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"
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
	// TokenTypeJWT is an issuer whose access tokens are plain JWTs (header typ JWT or none) with client_id and jti, and meant for
	// somebody else than their client; ZITADEL is one. Prefer at+jwt where the issuer can send it.
	TokenTypeJWT TokenType = "jwt"
	// TokenTypeWorkload is GitHub Actions or Kubernetes: plain JWTs that never stand for a person.
	TokenTypeWorkload TokenType = "workload"
	// TokenTypeSPIFFE is a SPIFFE trust domain: JWT-SVIDs, which never stand for a person.
	TokenTypeSPIFFE TokenType = "spiffe"
)

// defaultMaxLifetime admits managed identity tokens, which live for a day.
const defaultMaxLifetime = 25 * time.Hour

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
	// Delegation accepts the claim act (RFC 8693), as Okta and Auth0 issue it: its sub is a client of this issuer, which must be a
	// declared agent. False refuses such tokens. A person's token issued to an agent's client is a delegation without it.
	Delegation bool
	// Scopes says what the issuer's own scopes mean in the gate's: cosmos.read, cosmos.write, cosmos.execute. Delegated tokens are
	// narrowed to their scopes, and what is not mapped grants nothing.
	Scopes map[string][]string
	// Exchange says what else of this issuer the token service takes.
	Exchange Exchange
	// KeysURL and KeysFile say where the keys are, in place of discovery: for clusters whose discovery is not reachable, and for SPIFFE
	// trust domains. At most one. A file is read again every few minutes.
	KeysURL, KeysFile string
	// HTTPClient fetches discovery and keys; it and its Transport are required. Redirects are not followed, bodies are bounded.
	HTTPClient *http.Client
}

// issuer is an Issuer in use.
type issuer struct {
	Issuer

	tenant   string // Entra: the tid in URL
	verifier *oidc.Config
	keys     *keySet
	local    KeySource          // instead of keys: the gate's own service
	peers    map[string]*issuer // all issuers by URL
}

var (
	errNoName          = errors.New("name is required")
	errQuery           = errors.New("url: must have no query")
	errNoAudience      = errors.New("audiences: at least one is required")
	errCosmos          = errors.New("is Azure Cosmos DB's own audience, which the gate always refuses")
	errEntraAudience   = errors.New("tokens of Entra v2 carry the client id (a GUID) of the gate's app registration")
	errDefaultAudience = errors.New("is what every token of this issuer carries unless asked otherwise: choose the gate's own")

	errEmpty        = errors.New("is empty")
	errTokenType    = errors.New("is not one of at+jwt, entra, okta, keycloak, jwt, workload, spiffe")
	errAlgorithm    = errors.New("is not one of RS256, ES256, PS256, EdDSA")
	errKeysTwice    = errors.New("keys url and keys file: give one")
	errLifetime     = errors.New("max lifetime: must not be negative")
	errClient       = errors.New("http client: one with a transport is required")
	errLink         = errors.New("connection and claim go together")
	errMutableClaim = errors.New("can be reassigned to another person")
	errNoPeople     = errors.New("connection: a workload issuer has no people")
	errNobody       = errors.New("delegation and exchange: need a connection, whose people they are about")
	errNoClients    = errors.New("front-end clients: at least one is required with a connection")
	errEntraClaim   = errors.New("claim: Entra's immutable subject is oid; sub differs from application to application")
	errTenant       = errors.New("url: an Entra issuer needs one tenant's id in its path, never common or organizations")
)

// validate reports every fault of the declaration at once.
func (i Issuer) validate(loopback bool) error {
	faults := []error{i.validateAudiences(), i.validateLink()}

	if i.Name == "" {
		faults = append(faults, errNoName)
	}

	if i.TokenType == TokenTypeSPIFFE {
		faults = append(faults, i.validateSPIFFE())
	} else if err := checkURL(i.URL, loopback); err != nil {
		faults = append(faults, fmt.Errorf("url %q: %w", i.URL, err))
	}

	faults = append(faults, i.validateKeys(loopback))

	if strings.Contains(i.URL, "?") {
		faults = append(faults, errQuery)
	}

	switch i.TokenType {
	case "", TokenTypeRFC9068, TokenTypeOkta, TokenTypeKeycloak, TokenTypeJWT, TokenTypeWorkload, TokenTypeSPIFFE:
	case TokenTypeEntra:
		if entraTenant(i.URL) == "" {
			faults = append(faults, errTenant)
		}
	default:
		faults = append(faults, fmt.Errorf("token type %q: %w", i.TokenType, errTokenType))
	}

	for _, algorithm := range i.Algorithms {
		if !isAsymmetric(algorithm) {
			faults = append(faults, fmt.Errorf("algorithm %q: %w", algorithm, errAlgorithm))
		}
	}

	if i.MaxLifetime < 0 {
		faults = append(faults, errLifetime)
	}

	if i.HTTPClient == nil || i.HTTPClient.Transport == nil {
		faults = append(faults, errClient)
	}

	return errors.Join(faults...)
}

func (i Issuer) validateKeys(loopback bool) error {
	switch {
	case i.KeysURL != "" && i.KeysFile != "":
		return errKeysTwice
	case i.KeysURL != "":
		if err := checkURL(i.KeysURL, loopback); err != nil {
			return fmt.Errorf("keys url %q: %w", i.KeysURL, err)
		}
	}

	return nil
}

func (i Issuer) validateAudiences() error {
	var faults []error

	if len(i.Audiences) == 0 {
		faults = append(faults, errNoAudience)
	}

	for _, audience := range i.Audiences {
		if audience == "" {
			faults = append(faults, fmt.Errorf("audience %q: %w", audience, errEmpty))
		}

		if isCosmosAudience(audience) {
			faults = append(faults, fmt.Errorf("audience %q: %w", audience, errCosmos))
		}

		if err := i.checkAudienceRule(audience); err != nil {
			faults = append(faults, fmt.Errorf("audience %q: %w", audience, err))
		}
	}

	return errors.Join(faults...)
}

// checkAudienceRule refuses audiences that tokens of this kind of issuer never have, or that every token of it has.
func (i Issuer) checkAudienceRule(audience string) error {
	switch {
	case i.TokenType == TokenTypeEntra && strings.HasSuffix(i.URL, "/v2.0") && uuid.Validate(audience) != nil:
		return errEntraAudience
	case i.isGitHub() && strings.HasPrefix(audience, "https://github.com/"):
		return errDefaultAudience
	case i.TokenType == TokenTypeWorkload && strings.HasPrefix(audience, "https://kubernetes.default.svc"):
		return errDefaultAudience
	default:
		return nil
	}
}

// validateLink checks how the issuer's people are found in the directory.
func (i Issuer) validateLink() error {
	var faults []error

	if (i.Connection == "") != (i.Claim == "") {
		faults = append(faults, errLink)
	}

	for _, claim := range []string{i.Claim, i.Exchange.Claim} {
		if isMutableClaim(claim) {
			faults = append(faults, fmt.Errorf("claim %q: %w", claim, errMutableClaim))
		}
	}

	if i.TokenType == TokenTypeEntra && i.Claim != "" && i.Claim != "oid" {
		faults = append(faults, errEntraClaim)
	}

	if i.Connection != "" && (i.TokenType == TokenTypeWorkload || i.TokenType == TokenTypeSPIFFE) {
		faults = append(faults, errNoPeople)
	}

	if i.Connection != "" && len(i.FrontEndClients) == 0 {
		faults = append(faults, errNoClients)
	}

	if slices.Contains(i.FrontEndClients, "") {
		faults = append(faults, fmt.Errorf("front-end client %w", errEmpty))
	}

	return errors.Join(append(faults, i.validateDelegation())...)
}

// validateDelegation checks what is taken of the issuer besides access tokens of its people themselves.
func (i Issuer) validateDelegation() error {
	var faults []error

	if i.Connection == "" && (i.Delegation || i.Exchange.Grants || len(i.Exchange.IDTokenClients) > 0) {
		faults = append(faults, errNobody)
	}

	if slices.Contains(i.Exchange.IDTokenClients, "") {
		faults = append(faults, fmt.Errorf("client of ID tokens %w", errEmpty))
	}

	return errors.Join(faults...)
}

// isMutableClaim reports whether a claim names people by what can change or be given to somebody else: an address, a login name, a number.
// Of a claim that is a URI or has a prefix, its last part tells. The configuration has the same rule, with the line that breaks it.
func isMutableClaim(claim string) bool {
	last := strings.ToLower(claim[strings.LastIndexAny(claim, "/:.#")+1:])

	return strings.HasSuffix(last, "upn") || strings.HasPrefix(last, "login") || strings.HasSuffix(last, "name") || strings.Contains(last, "mail") ||
		strings.Contains(last, "phone")
}

// compatible reports a clash with another issuer. One connection's externalIds are one namespace, so that two issuers could each
// name the other's people; only Entra's two issuers of a tenant are one authority.
func (i Issuer) compatible(other Issuer) error {
	var faults []error

	if i.Name == other.Name {
		faults = append(faults, fmt.Errorf("name %q: %w", i.Name, errTwice))
	}

	if i.URL == other.URL {
		faults = append(faults, fmt.Errorf("url %q: %w", i.URL, errTwice))
	}

	sameTenant := i.TokenType == TokenTypeEntra && other.TokenType == TokenTypeEntra && i.Claim == other.Claim &&
		entraTenant(i.URL) == entraTenant(other.URL)
	if i.Connection != "" && i.Connection == other.Connection && !sameTenant {
		faults = append(faults, fmt.Errorf("connection %q: %w", i.Connection, errShared))
	}

	return errors.Join(faults...)
}

func isAsymmetric(algorithm string) bool {
	switch jose.SignatureAlgorithm(algorithm) {
	case jose.RS256, jose.ES256, jose.PS256, jose.EdDSA:
		return true
	default:
		return false
	}
}

// entraTenant returns the tenant id in an Entra issuer, https://sts.windows.net/{tid}/ (v1) or
// https://login.microsoftonline.com/{tid}/v2.0 (v2); "" if there is none.
func entraTenant(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil {
		return ""
	}

	tenant, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	if id, err := uuid.Parse(tenant); err != nil || id.String() != tenant {
		return ""
	}

	return tenant
}

// complete fills in the defaults of a valid declaration.
func (i Issuer) complete() *issuer {
	if i.TokenType == "" {
		i.TokenType = TokenTypeRFC9068
	}

	if len(i.Algorithms) == 0 {
		i.Algorithms = []string{string(jose.RS256), string(jose.ES256)}
	}

	if i.MaxLifetime == 0 {
		i.MaxLifetime = defaultMaxLifetime
	}

	completed := &issuer{
		Issuer: i,
		// The library checks signature and issuer. Audiences are several and times have a skew, which it can't express: ours.
		verifier: &oidc.Config{
			SupportedSigningAlgs: i.Algorithms, SkipClientIDCheck: true, SkipExpiryCheck: true,
			SkipIssuerCheck: i.TokenType == TokenTypeSPIFFE, // the trust domain of sub selects the issuer
		},
	}

	if i.TokenType == TokenTypeEntra {
		completed.tenant = entraTenant(i.URL)
	}

	return completed
}
