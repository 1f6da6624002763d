package identity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// maxFederatedLife bounds a platform's token that proves a provisioner; Entra's live for 65 minutes.
const maxFederatedLife = 25 * time.Hour

// Provisioner is an identity provider as a client of the gate's SCIM token endpoint. It proves itself by an assertion (RFC 7523) that it
// signed with a key of its own, or by a token that its platform issued to it. Neither says anything about people.
type Provisioner struct {
	// Name is its client_id: the SCIM connection.
	Name string
	// Keys are its own public keys; none if it has no key.
	Keys []jose.JSONWebKey
	// Federated is its identity at its platform; nil if it has none.
	Federated *Federated
}

// Federated is an identity at a platform, such as Entra's provisioning service in a tenant.
type Federated struct {
	// Issuer is the exact iss, and the discovery base. Entra's names the tenant, which tid must equal.
	Issuer string
	// Subject is the exact sub.
	Subject string
	// Audience is the exact and only aud.
	Audience string
}

// ProvisionersConfig is what [NewProvisioners] needs.
type ProvisionersConfig struct {
	// Provisioners are the clients, each name once.
	Provisioners []Provisioner
	// Authenticator lends the keys of issuers that it trusts anyway, and the metrics of key sets. Required.
	Authenticator *Authenticator
	// Once remembers the ids of assertions. Required.
	Once *Once
	// HTTPClient fetches keys of further issuers. Required.
	HTTPClient *http.Client
	// InsecureLoopback accepts issuers on loopback.
	InsecureLoopback bool
	// Clock tells the time. Required.
	Clock func() time.Time
	// Logger receives key set events. Required.
	Logger *slog.Logger
}

var (
	errProvisioners     = errors.New("identity: provisioners: authenticator, memory of ids, HTTP client, clock and logger are required")
	errProvisionerName  = errors.New("identity: provisioner: a name is required, and each is given once")
	errFederation       = errors.New("identity: provisioner: issuer, subject and audience go together")
	errNotAProvisioner  = errors.New("client has no key and no platform")
	errProvisionerToken = errors.New("client is not the one that the assertion is about")
)

// Provisioners proves identity providers at the SCIM token endpoint. It is safe for concurrent use.
type Provisioners struct {
	byName map[string]provisioner
	once   *Once
	clock  func() time.Time
	own    []*issuer // whose keys nobody else fetches
}

type provisioner struct {
	Provisioner

	platform *issuer // nil without one
}

// NewProvisioners checks cfg and returns the clients. Call [Provisioners.Run] to have keys fetched.
func NewProvisioners(cfg ProvisionersConfig) (*Provisioners, error) {
	if cfg.Authenticator == nil || cfg.Once == nil || cfg.HTTPClient == nil || cfg.Clock == nil || cfg.Logger == nil {
		return nil, errProvisioners
	}

	p := &Provisioners{byName: map[string]provisioner{}, once: cfg.Once, clock: cfg.Clock}

	for _, declared := range cfg.Provisioners {
		if _, twice := p.byName[declared.Name]; twice || declared.Name == "" {
			return nil, fmt.Errorf("%w: %q", errProvisionerName, declared.Name)
		}

		client := provisioner{Provisioner: declared}

		if declared.Federated != nil {
			var err error
			if client.platform, err = p.platform(cfg, declared); err != nil {
				return nil, fmt.Errorf("%s: %w", declared.Name, err)
			}
		}

		p.byName[declared.Name] = client
	}

	return p, nil
}

// platform returns the issuer of a provisioner's tokens: with the keys that the authenticator fetches anyway, or with a set of its own.
func (p *Provisioners) platform(cfg ProvisionersConfig, declared Provisioner) (*issuer, error) {
	f := declared.Federated
	if f.Issuer == "" || f.Subject == "" || f.Audience == "" {
		return nil, errFederation
	}

	if isCosmosAudience(f.Audience) {
		return nil, fmt.Errorf("audience %q: %w", f.Audience, errCosmos)
	}

	if err := checkURL(f.Issuer, cfg.InsecureLoopback); err != nil {
		return nil, fmt.Errorf("issuer %q: %w", f.Issuer, err)
	}

	platform := Issuer{Name: "scim " + declared.Name, URL: f.Issuer, Audiences: []string{f.Audience}, MaxLifetime: maxFederatedLife}.complete()
	platform.tenant = entraTenant(f.Issuer)

	if trusted, ok := cfg.Authenticator.byURL[f.Issuer]; ok && !trusted.own() {
		platform.keys = trusted.keys

		return platform, nil
	}

	for _, other := range p.own { // two connections of one platform fetch once
		if other.URL == f.Issuer {
			platform.keys = other.keys

			return platform, nil
		}
	}

	source := newFetcher(f.Issuer, fetchConfig{client: cfg.HTTPClient, loopback: cfg.InsecureLoopback, clock: cfg.Clock})

	var err error
	if platform.keys, err = newKeySet(source, cfg.Logger.With(slog.String("issuer", platform.Name)), cfg.Authenticator.metrics.issuer(platform.Name), newPlaces(maxWaiting)); err != nil {
		return nil, err
	}

	p.own = append(p.own, platform)

	return platform, nil
}

// Run keeps the platforms' keys fresh until ctx ends. It returns nil then.
func (p *Provisioners) Run(ctx context.Context) error {
	var loops sync.WaitGroup

	for _, is := range p.own {
		loops.Go(func() { is.keys.run(ctx) })
	}

	loops.Wait()

	<-ctx.Done()

	return nil
}

// Assert returns the name of the provisioner that an assertion proves; client is the client_id that came with it, and may be empty if the
// assertion is signed with the client's own key. Such an assertion has one of audiences as its only aud, and is good for one use. A
// platform's token is good for several while it lives, unless it has a jti.
func (p *Provisioners) Assert(ctx context.Context, client, assertion string, audiences []string) (string, error) {
	if len(assertion) > maxTokenBytes {
		return "", refuse(SubstatusMalformed, "assertion is larger than 16 KB")
	}

	t, err := parseToken(assertion)
	if err != nil {
		return "", err
	}

	if client == "" {
		client = t.claims.text("sub")
	}

	known, ok := p.byName[client]

	switch issuer := t.claims.text("iss"); {
	case !ok:
		return "", refuseBecause(SubstatusScope, "assertion", errNotAProvisioner)
	case issuer == client && len(known.Keys) > 0:
		err = p.ownKey(ctx, &known, t, audiences)
	case known.platform != nil && issuer == known.platform.URL:
		err = p.federated(ctx, &known, t)
	default:
		err = refuseBecause(SubstatusScope, "assertion", errProvisionerToken)
	}

	if err != nil {
		return "", err
	}

	return known.Name, nil
}

// ownKey checks an assertion that the provisioner signed itself.
func (p *Provisioners) ownKey(ctx context.Context, known *provisioner, t *token, audiences []string) error {
	expiry, err := t.assertedBy(known.Name, known.Keys, audiences, p.clock())
	if err != nil {
		return err
	}

	return p.spend(ctx, known.Name, t.claims.text("jti"), expiry)
}

// federated checks a token of the provisioner's platform.
func (p *Provisioners) federated(ctx context.Context, known *provisioner, t *token) error {
	is, c := known.platform, t.claims
	if err := is.prove(ctx, t); err != nil {
		return err
	}

	switch {
	case t.typ != "" && t.typ != "jwt" && t.typ != "at+jwt":
		return refuse(SubstatusScope, "not a token that proves a client")
	case !slices.Equal(c.list("aud"), is.Audiences):
		return refuse(SubstatusAudience, "not meant for this service alone")
	case c.text("sub") != known.Federated.Subject:
		return refuse(SubstatusScope, "about another subject")
	case is.tenant != "" && c.text("tid") != is.tenant:
		return refuse(SubstatusScope, "of another tenant")
	case c.has("events") || c.has("nonce") || c.has("scp") || c.has("cnf"):
		return refuse(SubstatusScope, "has what a client's own token has not")
	}

	_, expiry, err := is.checkTimes(c, p.clock())
	if err != nil || c.text("jti") == "" {
		return err
	}

	return p.spend(ctx, is.URL, c.text("jti"), expiry)
}

// spend uses up the id of an assertion.
func (p *Provisioners) spend(ctx context.Context, issuer, id string, expiry time.Time) error {
	err := p.once.Spend(ctx, UseAssertion, "scim "+issuer, id, expiry)

	switch {
	case errors.Is(err, ErrUsed), errors.Is(err, ErrOnceExpired):
		return refuseBecause(SubstatusScope, "assertion", err)
	case err != nil:
		return unavailable(err)
	default:
		return nil
	}
}
