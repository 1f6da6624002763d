package scim

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/cosmosgate/cosmosgate/directory"
)

const (
	// OAuthPath is where the token endpoint is.
	OAuthPath = "/scim/oauth/token"
	// MetadataPath is where its metadata is (RFC 8414 §3.1: the well-known part
	// goes before the issuer's path).
	MetadataPath = "/.well-known/oauth-authorization-server/scim/oauth"

	oauthIssuer = "/scim/oauth"
	oauthScope  = "scim"
	// accessLife is what Entra ID wants: one to six hours.
	accessLife = time.Hour
	// maxAccess bounds the live access tokens of a connection.
	maxAccess    = 256
	accessClass  = AccessEntries
	accessPrefix = "scim_at_"
	accessBytes  = 32
)

// AccessEntries is the class of the directory's entries that are hashes of
// access tokens.
const AccessEntries = "scim.oauth"

// OAuthConfig is what the token endpoint needs.
type OAuthConfig struct {
	// Directory keeps the hashes of access tokens. Required.
	Directory *directory.Directory
	// Connections are the names of clients and resources alike.
	Connections []string
	// PublicURL is the base that providers reach. Required.
	PublicURL *url.URL
	// Secrets finds the live client secret of a connection. Required.
	Secrets SecretFinder
	// Assertions proves clients by RFC 7523; nil if none has a key or a platform.
	Assertions AssertionVerifier
	// Proofs checks DPoP proofs; nil if none are taken.
	Proofs ProofVerifier
	// Pinned are the certificates of connections of which their providers must
	// show one, as in [Connection].
	Pinned map[string][][sha256.Size]byte
	// Certificates says in the metadata that the listener asks for client
	// certificates; what a client shows binds its access token in any case.
	Certificates bool
	// Clock tells the time, Random draws tokens, Logger is told of each token
	// that is issued. Required.
	Clock  func() time.Time
	Random io.Reader
	Logger *slog.Logger
}

// SecretFinder knows client secrets by their hashes.
type SecretFinder interface {
	// FindSecret returns the id of the connection's live secret that this is.
	FindSecret(connection, secret string) (id string, ok bool)
	// SecretLives reports whether the secret of an id is still good.
	SecretLives(connection, id string) bool
}

// AssertionVerifier proves a client by an assertion and returns its name; client
// may be empty.
type AssertionVerifier interface {
	Assert(ctx context.Context, client, assertion string, audiences []string) (name string, err error)
}

// OAuth is the token endpoint of SCIM connections: OAuth 2.0 client credentials,
// apart from any other token service. What it issues opens one connection for
// an hour and nothing else.
type OAuth struct {
	config    OAuthConfig
	known     map[string]*rate.Limiter
	strangers *rate.Limiter
	told      *rate.Limiter // refused clients in the log
	requests  *prometheus.CounterVec

	mu      sync.Mutex
	refused map[string]Unproven
}

// Unproven are the requests of clients that said they were a connection's and
// could not prove it, since the start.
type Unproven struct {
	Count  int       `json:"count"`
	Last   time.Time `json:"last"`
	Reason string    `json:"reason"` // of the last
}

// access is what the directory keeps of an access token, beside its hash.
type access struct {
	Connection string    `json:"connection"`
	ProofID    string    `json:"proof_id,omitempty"` // id of the client secret, empty for an assertion
	Issued     time.Time `json:"issued"`
	Bound      binding   `json:"cnf,omitzero"`
}

// AccessToken is a live access token, without the token.
type AccessToken struct {
	ID, Connection  string
	Issued, Expires time.Time
}

var errOAuthConfig = errors.New("SCIM token endpoint: directory, connections, public URL, secrets, clock, random and logger are required")

// NewOAuth checks the configuration and returns the endpoint.
func NewOAuth(c OAuthConfig) (*OAuth, error) {
	if c.Directory == nil || len(c.Connections) == 0 || c.PublicURL == nil || c.Secrets == nil || c.Clock == nil || c.Random == nil || c.Logger == nil {
		return nil, errOAuthConfig
	}
	const (
		each    = 1.0 / 2 // a provider needs one an hour
		burst   = 20
		alien   = 10
		telling = 10 * time.Second
	)
	o := &OAuth{
		config: c, known: map[string]*rate.Limiter{}, refused: map[string]Unproven{}, strangers: rate.NewLimiter(alien, alien*burst),
		told: rate.NewLimiter(rate.Every(telling), burst),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cosmosgate_scim_oauth_requests_total", Help: "Requests for access tokens by connection (empty if unproven) and result.",
		}, []string{"connection", "result"}),
	}
	for _, name := range c.Connections {
		o.known[name] = rate.NewLimiter(each, burst)
	}
	return o, nil
}

// Collectors returns the endpoint's metrics.
func (o *OAuth) Collectors() []prometheus.Collector { return []prometheus.Collector{o.requests} }

// ServeHTTP answers the token endpoint and its metadata.
func (o *OAuth) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == MetadataPath {
		o.metadata(w, r)
		return
	}
	if r.URL.Path != OAuthPath {
		notFound().write(w)
		return
	}
	connection, granted, err := o.token(w, r)
	if err != nil {
		refused := asOAuthError(err)
		if refused.status == http.StatusServiceUnavailable {
			o.config.Logger.Error("scim access token not issued", "connection", connection, "error", err)
		}
		o.requests.WithLabelValues(connection, refused.Code).Inc()
		refused.write(w)
		return
	}
	o.requests.WithLabelValues(connection, "issued").Inc()
	writeOAuth(w, http.StatusOK, granted)
}

// grant is a successful answer (RFC 6749 §5.1).
type grant struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in"`
	Scope       string `json:"scope"`
}

// token proves the client first and counts afterwards, so that strangers cannot
// use up what a provider may ask for. The connection it returns is proven.
func (o *OAuth) token(w http.ResponseWriter, r *http.Request) (connection string, _ grant, _ error) {
	form, err := readForm(w, r)
	if err != nil {
		return "", grant{}, o.limited(o.strangers, err)
	}
	client, err := o.authenticate(r, form)
	if err == nil && !shows(r, o.config.Pinned[client.name]) {
		err = o.unproven(client.name, client.method, "shows none of the connection's certificates")
	}
	if err != nil {
		return "", grant{}, o.limited(o.strangers, err)
	}
	if err := o.limited(o.known[client.name], nil); err != nil {
		return client.name, grant{}, err
	}
	if err := o.admissible(form, client.name); err != nil {
		return client.name, grant{}, err
	}
	bound, err := o.bind(r)
	if err != nil {
		return client.name, grant{}, err
	}
	token, err := o.issue(r.Context(), client, bound)
	if err != nil {
		return client.name, grant{}, err
	}
	kind := schemeBearer
	if bound.Thumbprint != "" {
		kind = schemeDPoP
	}
	return client.name, grant{AccessToken: token, TokenType: kind, ExpiresIn: int(accessLife.Seconds()), Scope: oauthScope}, nil
}

// limited returns err, or that there were too many requests.
func (o *OAuth) limited(l *rate.Limiter, err error) error {
	if wait := delay(l, o.config.Clock()); wait > 0 {
		return &oauthError{status: http.StatusTooManyRequests, Code: "slow_down", Description: "too many requests", wait: wait}
	}
	return err
}

// admissible checks what a proven client asks for.
func (o *OAuth) admissible(form url.Values, connection string) error {
	scopes := strings.Fields(form.Get("scope"))
	resource := form.Get("resource")
	switch {
	case form.Get("grant_type") != "client_credentials":
		return &oauthError{status: http.StatusBadRequest, Code: "unsupported_grant_type", Description: "only client_credentials is supported"}
	case len(scopes) > 0 && !slices.Contains(scopes, oauthScope):
		return &oauthError{status: http.StatusBadRequest, Code: "invalid_scope", Description: "the only scope is scim"}
	case resource != "" && strings.TrimSuffix(resource, "/") != o.address(pathPrefix+connection):
		return &oauthError{status: http.StatusBadRequest, Code: "invalid_target", Description: "the resource is not this client's connection"}
	default:
		return nil
	}
}

// issue draws an access token and keeps its hash.
func (o *OAuth) issue(ctx context.Context, client provenClient, bound binding) (string, error) {
	now := o.config.Clock()
	if len(o.Tokens(client.name)) >= maxAccess {
		return "", &oauthError{status: http.StatusTooManyRequests, Code: "slow_down", Description: "too many live access tokens", wait: time.Minute}
	}
	random := make([]byte, accessBytes)
	if _, err := io.ReadFull(o.config.Random, random); err != nil {
		return "", fmt.Errorf("drawing an access token: %w", err)
	}
	token := accessPrefix + client.name + "_" + base64.RawURLEncoding.EncodeToString(random)
	value, err := json.Marshal(access{Connection: client.name, ProofID: client.secret, Issued: now, Bound: bound})
	if err != nil {
		return "", fmt.Errorf("encoding an access token: %w", err)
	}
	entry := directory.Entry{Class: accessClass, Name: accessName(token), Expires: now.Add(accessLife), Value: value}
	if _, err := o.config.Directory.PutEntry(ctx, entry, directory.CreateOnly); err != nil {
		return "", fmt.Errorf("keeping an access token: %w", err)
	}
	o.config.Logger.Info("scim access token issued", "connection", client.name, "method", client.method, "expires", entry.Expires,
		"bound", bound != binding{})
	return token, nil
}

func accessName(token string) string {
	hash := sha256.Sum256([]byte(token))
	return hex.EncodeToString(hash[:])
}

// VerifyToken implements [TokenVerifier] for access tokens that are bound to
// nothing; the others are for [OAuth.VerifyBound].
func (o *OAuth) VerifyToken(connection, token string) bool {
	a, ok := o.find(connection, token)
	return ok && a.Bound == binding{}
}

// find returns what is kept of a live access token of the connection.
func (o *OAuth) find(connection, token string) (access, bool) {
	var a access
	if !strings.HasPrefix(token, accessPrefix) {
		return a, false
	}
	entry, ok := o.config.Directory.Entry(accessClass, accessName(token))
	if !ok || json.Unmarshal(entry.Value, &a) != nil || a.Connection != connection {
		return access{}, false
	}
	return a, a.ProofID == "" || o.config.Secrets.SecretLives(connection, a.ProofID)
}

// Unproven returns what was refused of clients that named a connection.
func (o *OAuth) Unproven(connection string) Unproven {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.refused[connection]
}

// unproven notes and logs why a client was not let in, and says none of it to it.
func (o *OAuth) unproven(client, method, reason string) error {
	now := o.config.Clock()
	if o.told.AllowN(now, 1) {
		o.config.Logger.Warn("scim client refused", "client", clip(client), "method", method, "reason", reason)
	}
	if o.known[client] != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.refused[client] = Unproven{Count: o.refused[client].Count + 1, Last: now, Reason: reason}
	}
	return invalidClient()
}

// Tokens lists the live access tokens of a connection.
func (o *OAuth) Tokens(connection string) []AccessToken {
	const shown = 12
	var tokens []AccessToken
	for _, entry := range o.config.Directory.Entries(accessClass) {
		var a access
		if json.Unmarshal(entry.Value, &a) == nil && a.Connection == connection {
			tokens = append(tokens, AccessToken{ID: entry.Name[:shown], Connection: connection, Issued: a.Issued, Expires: entry.Expires})
		}
	}
	return tokens
}

// Revoke ends the access token with an id at once, and reports whether there
// was one.
func (o *OAuth) Revoke(ctx context.Context, id string) (bool, error) {
	for _, entry := range o.config.Directory.Entries(accessClass) {
		if id == "" || !strings.HasPrefix(entry.Name, id) {
			continue
		}
		if err := o.config.Directory.DeleteEntry(ctx, accessClass, entry.Name, directory.AnyRevision); err != nil {
			return false, fmt.Errorf("revoking an access token: %w", err)
		}
		return true, nil
	}
	return false, nil
}

// address is an absolute URL of this server.
func (o *OAuth) address(path string) string {
	return strings.TrimSuffix(o.config.PublicURL.String(), "/") + path
}

// audiences are what an assertion may be meant for: the endpoint, or its issuer.
func (o *OAuth) audiences() []string {
	return []string{o.address(OAuthPath), o.address(oauthIssuer)}
}

// metadata answers RFC 8414.
func (o *OAuth) metadata(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	about := map[string]any{
		"issuer": o.address(oauthIssuer), "token_endpoint": o.address(OAuthPath),
		"token_endpoint_auth_methods_supported":            []string{"client_secret_basic", "client_secret_post", "private_key_jwt"},
		"token_endpoint_auth_signing_alg_values_supported": []string{"RS256", "ES256", "PS256", "EdDSA"},
		"grant_types_supported":                            []string{"client_credentials"},
		"response_types_supported":                         []string{},
		"scopes_supported":                                 []string{oauthScope},
	}
	if o.config.Proofs != nil {
		about["dpop_signing_alg_values_supported"] = strings.Fields(proofAlgorithms)
	}
	if o.config.Certificates {
		about["tls_client_certificate_bound_access_tokens"] = true
	}
	writeOAuth(w, http.StatusOK, about)
}
