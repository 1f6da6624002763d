package devidp

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// The grants of the token endpoint.
const (
	grantCode    = "authorization_code"
	grantRefresh = "refresh_token"
	grantClient  = "client_credentials"
	grantDevice  = "urn:ietf:params:oauth:grant-type:device_code"
)

const (
	scopeOpenID  = "openid"
	scopeOffline = "offline_access"
)

// oauthError is an error of RFC 6749 section 5.2.
type oauthError struct {
	status      int
	code        string
	description string
}

func (e *oauthError) Error() string { return e.code + ": " + e.description }

func invalid(code, description string) *oauthError {
	return &oauthError{status: http.StatusBadRequest, code: code, description: description}
}

// session is one sign-in: what a token is made of.
type session struct {
	id     string
	client string
	person *Person // nil: the client itself
	scopes []string
	nonce  string
	signed time.Time
}

// family is all refresh tokens of one sign-in.
type family struct {
	revoked bool
}

// refreshToken is one link of a family; its shelf hands it out once, and remembers that it did.
type refreshToken struct {
	session session
	family  *family
	used    bool
}

// token answers the token endpoint.
func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	answered, expired := p.misbehave(w, r, EndpointToken)
	if answered {
		return
	}

	answer, err := p.grant(r, expired)
	if err != nil {
		writeOAuthError(w, err)

		return
	}

	writeJSON(w, http.StatusOK, answer)
}

func writeOAuthError(w http.ResponseWriter, err error) {
	var known *oauthError
	if !errors.As(err, &known) {
		known = &oauthError{status: http.StatusInternalServerError, code: "server_error", description: err.Error()}
	}

	if known.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="devidp"`)
	}

	writeJSON(w, known.status, map[string]string{"error": known.code, "error_description": known.description})
}

// grant authenticates the client and exchanges what it brought.
func (p *Provider) grant(r *http.Request, expired bool) (map[string]any, error) {
	form, err := readForm(r)
	if err != nil {
		return nil, err
	}

	client, err := p.authenticateClient(r, form)
	if err != nil {
		return nil, err
	}

	switch form.Get("grant_type") {
	case grantCode:
		return p.grantCode(client, form, expired)
	case grantDevice:
		return p.grantDevice(client, form, expired)
	case grantRefresh:
		return p.grantRefresh(client, form, expired)
	case grantClient:
		return p.grantClient(client, form, expired)
	default:
		return nil, invalid("unsupported_grant_type", "see grant_types_supported")
	}
}

// readForm reads the body's parameters, each of which may come once (RFC 6749 section 3.2).
func readForm(r *http.Request) (url.Values, error) {
	if err := r.ParseForm(); err != nil {
		return nil, invalid("invalid_request", "form can't be read")
	}

	if err := single(r.PostForm); err != nil {
		return nil, err
	}

	return r.PostForm, nil
}

func single(values url.Values) error {
	for name, several := range values {
		if len(several) > 1 {
			return invalid("invalid_request", name+" is given twice")
		}
	}

	return nil
}

// authenticateClient finds the client, and checks the secret of a confidential one (RFC 6749 section 2.3.1).
func (p *Provider) authenticateClient(r *http.Request, form url.Values) (*Client, error) {
	refused := &oauthError{status: http.StatusUnauthorized, code: "invalid_client", description: "unknown client or wrong secret"}
	id, secret := form.Get("client_id"), form.Get("client_secret")

	if basicID, basicSecret, ok := r.BasicAuth(); ok {
		var errID, errSecret error

		basicID, errID = url.QueryUnescape(basicID)

		basicSecret, errSecret = url.QueryUnescape(basicSecret)
		if errID != nil || errSecret != nil || secret != "" || (id != "" && id != basicID) {
			return nil, refused
		}

		id, secret = basicID, basicSecret
	}

	client := p.client(id)
	if client == nil || subtle.ConstantTimeCompare([]byte(client.Secret), []byte(secret)) != 1 {
		return nil, refused
	}

	return client, nil
}

func (p *Provider) client(id string) *Client {
	for i := range p.config.Clients {
		if p.config.Clients[i].ID == id && id != "" {
			return &p.config.Clients[i]
		}
	}

	return nil
}

func (p *Provider) person(name string) *Person {
	for i := range p.config.People {
		if p.config.People[i].Name == name && name != "" {
			return &p.config.People[i]
		}
	}

	return nil
}

// grantCode exchanges an authorization code, once, for whoever knows the PKCE verifier (RFC 7636 section 4.6).
func (p *Provider) grantCode(client *Client, form url.Values, expired bool) (map[string]any, error) {
	code, found := p.codes.take(form.Get("code"))
	if !found || code.session.client != client.ID || code.redirectURI != form.Get("redirect_uri") {
		return nil, invalid("invalid_grant", "code is unknown, used or another client's")
	}

	sum := sha256.Sum256([]byte(form.Get("code_verifier")))
	if base64.RawURLEncoding.EncodeToString(sum[:]) != code.challenge {
		return nil, invalid("invalid_grant", "code_verifier doesn't fit code_challenge")
	}

	return p.issueWithRefresh(code.session, &family{}, expired)
}

// grantRefresh rotates a refresh token.
func (p *Provider) grantRefresh(client *Client, form url.Values, expired bool) (map[string]any, error) {
	token, err := p.useRefresh(client, form.Get("refresh_token"))
	if err != nil {
		return nil, err
	}

	renewed := token.session

	// A narrower scope may be asked for, never a wider one (RFC 6749 section 6).
	if asked := strings.Fields(form.Get("scope")); len(asked) > 0 {
		for _, scope := range asked {
			if !slices.Contains(renewed.scopes, scope) {
				return nil, invalid("invalid_scope", scope+" was not granted")
			}
		}

		renewed.scopes = asked
	}

	answer, err := p.issue(renewed, expired)
	if err != nil {
		return nil, err
	}

	return p.addRefresh(answer, token.session, token.family)
}

// useRefresh marks a refresh token as used. One that was used before is stolen or replayed: its whole family dies (RFC 9700
// section 4.14.2).
func (p *Provider) useRefresh(client *Client, name string) (*refreshToken, error) {
	p.refresh.mu.Lock()
	defer p.refresh.mu.Unlock()

	token, found := p.refresh.live(name)
	if !found || token.session.client != client.ID {
		return nil, invalid("invalid_grant", "refresh token is unknown or expired")
	}

	if token.used {
		token.family.revoked = true
	}

	if token.family.revoked {
		return nil, invalid("invalid_grant", "refresh token was used before; sign in again")
	}

	token.used = true

	return token, nil
}

// revoke ends the session of a refresh token (RFC 7009). A token that is unknown is as good as revoked.
func (p *Provider) revoke(w http.ResponseWriter, r *http.Request) {
	form, err := readForm(r)
	if err != nil {
		writeOAuthError(w, err)

		return
	}

	client, err := p.authenticateClient(r, form)
	if err != nil {
		writeOAuthError(w, err)

		return
	}

	p.refresh.mu.Lock()
	defer p.refresh.mu.Unlock()

	if token, found := p.refresh.live(form.Get("token")); found && token.session.client == client.ID {
		token.family.revoked = true
	}

	w.WriteHeader(http.StatusOK)
}

// grantClient issues a token to a confidential client for itself (RFC 6749 section 4.4).
func (p *Provider) grantClient(client *Client, form url.Values, expired bool) (map[string]any, error) {
	if client.Secret == "" {
		return nil, invalid("unauthorized_client", "a public client has no credentials")
	}

	return p.issue(session{
		id: rand.Text(), client: client.ID, scopes: strings.Fields(form.Get("scope")), signed: p.config.Clock(),
	}, expired)
}

// issueWithRefresh adds a refresh token if offline_access was asked for.
func (p *Provider) issueWithRefresh(s session, f *family, expired bool) (map[string]any, error) {
	answer, err := p.issue(s, expired)
	if err != nil {
		return nil, err
	}

	return p.addRefresh(answer, s, f)
}

func (p *Provider) addRefresh(answer map[string]any, s session, f *family) (map[string]any, error) {
	if !slices.Contains(s.scopes, scopeOffline) {
		return answer, nil
	}

	token, err := p.refresh.put(&refreshToken{session: s, family: f}, p.config.SessionLifetime)
	if err != nil {
		return nil, err
	}

	answer["refresh_token"] = token

	return answer, nil
}

// issue makes the access token (RFC 9068 section 2.2), and the ID token of a person who asked for openid.
func (p *Provider) issue(s session, expired bool) (map[string]any, error) {
	now := p.config.Clock()
	if expired {
		now = now.Add(-p.config.TokenLifetime - time.Hour)
	}

	common := func(audience string) map[string]any {
		claims := map[string]any{
			"iss": p.config.Issuer, "aud": audience, "sub": s.client, "azp": s.client,
			"iat": now.Unix(), "exp": now.Add(p.config.TokenLifetime).Unix(),
		}

		if s.person != nil {
			claims["sub"], claims["oid"] = s.person.ID, s.person.ID
			claims["sid"], claims["auth_time"] = s.id, s.signed.Unix()
		}

		return claims
	}

	access := common(p.config.Audience)
	access["client_id"], access["jti"], access["nbf"] = s.client, rand.Text(), now.Unix()
	access["scope"] = strings.Join(s.scopes, " ")

	token, err := p.keys.sign("at+jwt", access)
	if err != nil {
		return nil, fmt.Errorf("access token: %w", err)
	}

	answer := map[string]any{
		"access_token": token, "token_type": "Bearer", "scope": access["scope"], "expires_in": int(p.config.TokenLifetime.Seconds()),
	}

	if s.person != nil && slices.Contains(s.scopes, scopeOpenID) {
		identity := common(s.client)
		identity["preferred_username"], identity["name"] = s.person.Name, s.person.DisplayName
		sum := sha256.Sum256([]byte(token))
		identity["at_hash"] = base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])

		if s.nonce != "" {
			identity["nonce"] = s.nonce
		}

		if answer["id_token"], err = p.keys.sign("JWT", identity); err != nil {
			return nil, fmt.Errorf("ID token: %w", err)
		}
	}

	p.config.Logger.Info("issued a token", slog.Any("sub", access["sub"]), slog.String("client", s.client))

	return answer, nil
}
