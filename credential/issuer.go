package credential

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// metadata is what an issuer publishes, by OpenID Connect Discovery or RFC 8414.
type metadata struct {
	Issuer      string   `json:"issuer"`
	Authorize   string   `json:"authorization_endpoint"`
	Token       string   `json:"token_endpoint"`
	DeviceAuth  string   `json:"device_authorization_endpoint"`
	Revoke      string   `json:"revocation_endpoint"`
	Keys        string   `json:"jwks_uri"`
	Algorithms  []string `json:"id_token_signing_alg_values_supported"`
	ReturnsIss  bool     `json:"authorization_response_iss_parameter_supported"`
	PKCEMethods []string `json:"code_challenge_methods_supported"`
}

var (
	errMetadata    = errors.New("publishes no metadata")
	errOtherIssuer = errors.New("publishes the metadata of another issuer")
	errEndpoint    = errors.New("has an endpoint that is not https")
	errUnsupported = errors.New("the issuer does not offer this way to sign in")
)

// discover reads an issuer's metadata.
func discover(ctx context.Context, c *http.Client, issuer string) (*metadata, error) {
	at, err := url.Parse(issuer)
	if err != nil || at.Scheme != "https" || at.Host == "" {
		return nil, fmt.Errorf("issuer %q %w", issuer, errEndpoint)
	}
	openID := strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration"
	oauth := (&url.URL{Scheme: at.Scheme, Host: at.Host, Path: "/.well-known/oauth-authorization-server" + strings.TrimSuffix(at.Path, "/")}).String()
	for _, place := range []string{openID, oauth} {
		status, body, err := get(ctx, c, place, "")
		if err != nil {
			return nil, fmt.Errorf("asking the issuer: %w", err)
		}
		m := new(metadata)
		if status != http.StatusOK || json.Unmarshal(body, m) != nil {
			continue
		}
		return m, m.check(issuer)
	}
	return nil, fmt.Errorf("issuer %s %w", issuer, errMetadata)
}

// check keeps one issuer from speaking for another, and every token on TLS.
func (m *metadata) check(issuer string) error {
	if m.Issuer != issuer {
		return fmt.Errorf("issuer %s %w: %s", issuer, errOtherIssuer, m.Issuer)
	}
	for _, endpoint := range []string{m.Authorize, m.Token, m.DeviceAuth, m.Revoke, m.Keys} {
		if endpoint != "" && !strings.HasPrefix(endpoint, "https://") {
			return fmt.Errorf("issuer %s %w: %s", issuer, errEndpoint, endpoint)
		}
	}
	return nil
}

func (m *metadata) oauth(s *SignIn) *oauth2.Config {
	return &oauth2.Config{
		ClientID: s.ClientID, Scopes: s.Scopes,
		Endpoint: oauth2.Endpoint{
			AuthURL: m.Authorize, TokenURL: m.Token, DeviceAuthURL: m.DeviceAuth, AuthStyle: oauth2.AuthStyleInParams,
		},
	}
}

// verifyIDToken checks the ID token that came with an access token, if the sign-in asked for one. The nonce ties it to the very
// sign-in that was begun; device sign-ins have none.
func (c *Credential) verifyIDToken(ctx context.Context, m *metadata, s *SignIn, token *oauth2.Token, nonce string) (who string, err error) {
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		if nonce != "" {
			return "", fmt.Errorf("%w: the issuer sent no ID token", ErrSignInFailed)
		}
		return "", nil
	}
	ctx = oidc.ClientContext(ctx, c.client)
	provider := (&oidc.ProviderConfig{IssuerURL: m.Issuer, TokenURL: m.Token, JWKSURL: m.Keys, Algorithms: m.Algorithms}).NewProvider(ctx)
	verified, err := provider.VerifierContext(ctx, &oidc.Config{ClientID: s.ClientID, Now: c.clock}).Verify(ctx, raw)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrSignInFailed, err)
	}
	if verified.Nonce != nonce {
		return "", fmt.Errorf("%w: the ID token is another sign-in's", ErrSignInFailed)
	}
	if verified.AccessTokenHash != "" {
		if err := verified.VerifyAccessToken(token.AccessToken); err != nil {
			return "", fmt.Errorf("%w: %w", ErrSignInFailed, err)
		}
	}
	var claims struct {
		Name string `json:"preferred_username"`
	}
	_ = verified.Claims(&claims) // a name is for people; without it the subject does
	if claims.Name == "" {
		claims.Name = verified.Subject
	}
	return claims.Name, nil
}
