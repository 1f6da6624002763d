package devidp

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/go-jose/go-jose/v4"
)

// maxBodyBytes bounds the forms of the token, device and sign-in endpoints.
const maxBodyBytes = 64 << 10

// Provider is an http.Handler. It is safe for concurrent use.
type Provider struct {
	config  Config
	handler http.Handler
	keys    keyRing
	faults  faults
	codes   *shelf[authorization]
	devices *shelf[*device]
	refresh *shelf[*refreshToken]
}

// New checks cfg, reporting every fault at once, and makes the first signing key.
func New(cfg Config) (*Provider, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("devidp: %w", err)
	}

	if cfg.TokenLifetime == 0 {
		cfg.TokenLifetime = defaultLifetime
	}

	if cfg.SessionLifetime == 0 {
		cfg.SessionLifetime = defaultSession
	}

	base, err := url.Parse(cfg.Issuer)
	if err != nil {
		return nil, fmt.Errorf("devidp: issuer: %w", err)
	}

	p := &Provider{
		config:  cfg,
		faults:  faults{injected: map[Endpoint]Fault{}},
		codes:   newShelf[authorization](cfg.Clock),
		devices: newShelf[*device](cfg.Clock),
		refresh: newShelf[*refreshToken](cfg.Clock),
	}
	p.handler = p.routes(base.Path)

	if err := p.keys.rotate(); err != nil {
		return nil, fmt.Errorf("devidp: %w", err)
	}

	return p, nil
}

// The endpoints, under the path of the issuer.
const (
	pathDiscovery = "/.well-known/openid-configuration"
	pathMetadata  = "/.well-known/oauth-authorization-server" // before the path of the issuer (RFC 8414 section 3.1)
	pathKeys      = "/jwks"
	pathAuthorize = "/authorize"
	pathToken     = "/token"
	pathDevice    = "/device"
	pathDeviceAsk = "/device_authorization"
	pathRevoke    = "/revoke"
	pathIdentity  = "/msi/token"
)

func (p *Provider) routes(base string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+base+pathDiscovery, p.discovery)
	mux.HandleFunc("GET "+pathMetadata+base, p.discovery)
	mux.HandleFunc("GET "+base+pathKeys, p.jwks)
	mux.HandleFunc("GET "+base+pathAuthorize, p.authorize)
	mux.HandleFunc("POST "+base+pathAuthorize, p.authorize)
	mux.HandleFunc("POST "+base+pathToken, p.token)
	mux.HandleFunc("POST "+base+pathRevoke, p.revoke)
	mux.HandleFunc("POST "+base+pathDeviceAsk, p.deviceAuthorization)
	mux.HandleFunc("GET "+base+pathDevice, p.devicePage)
	mux.HandleFunc("POST "+base+pathDevice, p.deviceAnswer)
	mux.HandleFunc("GET "+base+pathIdentity, p.managedIdentity)

	return http.NewCrossOriginProtection().Handler(mux)
}

// ServeHTTP answers every endpoint. Requests whose Host is not loopback are refused, so that no other site's name can be made to
// lead here.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host := (&url.URL{Host: r.Host}).Hostname()
	if !isLoopback(host) {
		http.Error(w, "loopback only", http.StatusMisdirectedRequest)

		return
	}

	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")

	r.Body = http.MaxBytesReader(w, r.Body, maxBodyBytes)
	p.handler.ServeHTTP(w, r)
}

// Issuer returns the configured issuer.
func (p *Provider) Issuer() string { return p.config.Issuer }

// IdentityEndpoint returns the URL for the environment variable IDENTITY_ENDPOINT.
func (p *Provider) IdentityEndpoint() string { return p.config.Issuer + pathIdentity }

// KeySet returns the public keys in force.
func (p *Provider) KeySet() jose.JSONWebKeySet { return p.keys.published() }

// RotateKeys signs with a fresh key from now on. The previous one stays published; the one before it is withdrawn.
func (p *Provider) RotateKeys() error { return p.keys.rotate() }

// discovery answers OpenID Connect Discovery and RFC 8414, which agree on these members.
func (p *Provider) discovery(w http.ResponseWriter, _ *http.Request) {
	issuer := p.config.Issuer

	writeJSON(w, http.StatusOK, map[string]any{
		"issuer":                                         issuer,
		"authorization_endpoint":                         issuer + pathAuthorize,
		"token_endpoint":                                 issuer + pathToken,
		"device_authorization_endpoint":                  issuer + pathDeviceAsk,
		"revocation_endpoint":                            issuer + pathRevoke,
		"jwks_uri":                                       issuer + pathKeys,
		"response_types_supported":                       []string{"code"},
		"response_modes_supported":                       []string{"query"},
		"grant_types_supported":                          []string{grantCode, grantRefresh, grantClient, grantDevice},
		"subject_types_supported":                        []string{"public"},
		"id_token_signing_alg_values_supported":          []string{string(jose.RS256)},
		"token_endpoint_auth_methods_supported":          []string{"none", "client_secret_basic", "client_secret_post"},
		"code_challenge_methods_supported":               []string{"S256"},
		"scopes_supported":                               []string{"openid", "profile", "offline_access"},
		"authorization_response_iss_parameter_supported": true,
	})
}

func (p *Provider) jwks(w http.ResponseWriter, r *http.Request) {
	if answered, _ := p.misbehave(w, r, EndpointKeys); answered {
		return
	}

	writeJSON(w, http.StatusOK, p.KeySet())
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) //nolint:errchkjson // Nothing to tell a caller who has gone.
}
