package sts

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"time"

	"github.com/cosmosgate/cosmosgate/identity"
)

const (
	// defaultLifetime leaves SDKs time: they ask for a new token five minutes before the end.
	defaultLifetime = 10 * time.Minute
	minLifetime     = 6 * time.Minute
	defaultRate     = 20
	defaultBurst    = 100
)

// Authenticator is what the service asks about tokens and clients; [*identity.Authenticator] is one.
type Authenticator interface {
	// Client returns who a token proves its bearer to be.
	Client(ctx context.Context, token string, audiences []string) (identity.Client, error)
	// Declared returns a client by its name, and its public keys.
	Declared(name string) (identity.Client, []crypto.PublicKey, error)
	// Exchangeable returns whom an access token stands for; one of this service may be for any of resources.
	Exchangeable(ctx context.Context, token string, resources []string) (identity.Subject, error)
	// ExchangeableID returns whom an ID token stands for.
	ExchangeableID(ctx context.Context, token string) (identity.Subject, error)
	// Grant returns whom an identity assertion for the client stands for.
	Grant(ctx context.Context, token, audience, client string) (identity.Subject, error)
	// Inspect reads a token of this service.
	Inspect(ctx context.Context, token string, audiences []string) (identity.Inspection, error)
}

// Config is everything a [Service] needs.
type Config struct {
	// Issuer is the iss of tokens and the base of the endpoints: https://host[:port], without a slash at the end. Required.
	Issuer string
	// Audience is the aud of tokens for the data plane. Required.
	Audience string
	// Others are further resources that a token can be asked for; each token is for one.
	Others []string
	// Lifetime of tokens; zero means 10 minutes, at most 15.
	Lifetime time.Duration
	// Authenticator knows tokens, people, clients and their state. Required.
	Authenticator Authenticator
	// MayActFor reports whether policy has a grant by which an agent may act for a person, or for itself if there is none. Required.
	MayActFor func(agent string, person *identity.Principal) bool
	// Spend uses up an id that is good once. Required.
	Spend func(ctx context.Context, use identity.Use, issuer, id string, until time.Time) error
	// Revoke withdraws tokens. Required.
	Revoke func(ctx context.Context, v identity.Revocation) error
	// Keys sign. Required.
	Keys *Keys
	// Record takes down what is done. Required.
	Record Recorder
	// Proofs check DPoP proofs at the token endpoint; nil means that none are taken.
	Proofs *identity.ProofVerifier
	// Certificates says that clients are asked for a certificate, so that metadata offers to take one.
	Certificates bool
	// Secrets are shared secrets of clients, by their name. For development: whoever knows one is the client.
	Secrets map[string]string
	// Rate and Burst bound the requests of each client a second, and those that prove no client from each address. Zero means 20 and 100.
	Rate  float64
	Burst int
	// NewID makes ids of tokens and records. Required.
	NewID func() string
	// Clock tells the time. Required.
	Clock func() time.Time
	// Logger hears of the service's own trouble. Required.
	Logger *slog.Logger
}

var (
	errIssuer   = errors.New("sts: issuer: must be https://host[:port], without path, query or slash at the end")
	errAudience = errors.New("sts: audiences must be given, and differ from each other")
	errLifetime = errors.New("sts: lifetime: must be between 6 and 15 minutes: SDKs renew 5 minutes ahead")
	errMissing  = errors.New("sts: authenticator, grants, single use, revocation, keys, record, ids, clock and logger are required")
	errRate     = errors.New("sts: rate and burst must not be negative")
)

// complete fills in defaults.
func (c *Config) complete() {
	if c.Lifetime == 0 {
		c.Lifetime = defaultLifetime
	}

	if c.Rate == 0 {
		c.Rate = defaultRate
	}

	if c.Burst == 0 {
		c.Burst = defaultBurst
	}
}

// validate reports every fault at once.
func (c *Config) validate() error {
	faults := []error{c.validateNames()}

	if c.Lifetime < minLifetime || c.Lifetime > identity.MaxOwnLifetime {
		faults = append(faults, errLifetime)
	}

	if slices.Contains([]bool{
		c.Authenticator == nil, c.MayActFor == nil, c.Spend == nil, c.Revoke == nil, c.Keys == nil, c.Record == nil,
		c.NewID == nil, c.Clock == nil, c.Logger == nil,
	}, true) {
		faults = append(faults, errMissing)
	}

	if c.Rate < 0 || c.Burst < 0 {
		faults = append(faults, errRate)
	}

	return errors.Join(faults...)
}

func (c *Config) validateNames() error {
	var faults []error

	if u, err := url.Parse(c.Issuer); err != nil || u.Scheme != "https" || u.Host == "" || c.Issuer != u.Scheme+"://"+u.Host {
		faults = append(faults, fmt.Errorf("%w: %q", errIssuer, c.Issuer))
	}

	seen := map[string]bool{"": true}
	for _, audience := range append([]string{c.Audience}, c.Others...) {
		if seen[audience] {
			faults = append(faults, errAudience)
		}

		seen[audience] = true
	}

	return errors.Join(faults...)
}

// audiences are all resources that tokens are made for.
func (c *Config) audiences() []string { return append([]string{c.Audience}, c.Others...) }
