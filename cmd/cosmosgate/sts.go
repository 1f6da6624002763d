package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/identity"
	"github.com/cosmosgate/cosmosgate/identity/seal"
	"github.com/cosmosgate/cosmosgate/identity/sts"
	"github.com/cosmosgate/cosmosgate/internal/config"
	"github.com/cosmosgate/cosmosgate/internal/control"
	"github.com/cosmosgate/cosmosgate/policy"
)

// newSigningKeys prepares the keys of the token service, if there is to be one, before the authenticator that trusts them.
func (g *gate) newSigningKeys() error {
	t := &g.cfg.TokenService
	if !t.Enabled() || g.sealer == nil {
		return nil
	}
	var err error
	g.signing, err = sts.NewKeys(sts.KeysConfig{
		Entries: g.directory, Sealer: g.sealer, Period: t.RotateEvery, Random: rand.Reader, Clock: time.Now, Logger: g.log,
	})
	if err != nil {
		return fmt.Errorf("token_service: %w", err)
	}
	return nil
}

// ownIssuer is the token service as the authenticator sees it: keys at hand, no request to itself.
func (g *gate) ownIssuer() *identity.OwnIssuer {
	if g.signing == nil {
		return nil
	}
	return &identity.OwnIssuer{Name: config.OwnIssuer, URL: g.cfg.TokenService.Issuer, Audience: g.cfg.DataAudience(), Keys: g.signing}
}

// newTokenService prepares the token service's endpoints.
func (g *gate) newTokenService() error {
	if g.signing == nil {
		return nil
	}
	once, err := identity.NewOnce(g.directory, time.Now)
	if err != nil {
		return fmt.Errorf("token_service: %w", err)
	}
	// Proofs here are rare, so that the directory remembers them for all gates.
	proofs, err := identity.NewProofVerifier(identity.ProofConfig{Spend: once.Spend, Clock: time.Now})
	if err != nil {
		return fmt.Errorf("token_service: %w", err)
	}
	t := &g.cfg.TokenService
	c := sts.Config{
		Issuer: t.Issuer, Audience: g.cfg.DataAudience(), Others: t.FurtherAudiences, Lifetime: t.Lifetime,
		Authenticator: g.identity, MayActFor: g.mayActFor, Spend: once.Spend, Revoke: g.revoked.Revoke, Keys: g.signing,
		Record: tokenRecorder{g.audit}, Proofs: proofs, Rate: t.RequestsPerSecond, Burst: t.Burst,
		Certificates: g.cfg.Listen.SCIM.ClientCertificates,
		NewID:        newID, Clock: time.Now, Logger: g.log,
	}
	var faults []error
	for name, secret := range t.InsecureClientSecrets {
		value, err := secret.Resolve()
		if err != nil {
			faults = append(faults, fmt.Errorf("token_service.insecure_client_secrets.%s: %w", name, err))
			continue
		}
		if c.Secrets == nil {
			c.Secrets = map[string]string{}
		}
		c.Secrets[name] = value
	}
	if err := errors.Join(faults...); err != nil {
		return err
	}
	if g.sts, err = sts.New(c); err != nil {
		return fmt.Errorf("token_service: %w", err)
	}
	return nil
}

// mayActFor asks the policy in force whether an agent may act for a person at all.
func (g *gate) mayActFor(agent string, person *identity.Principal) bool {
	set := g.policy.engine.Set()
	if person == nil {
		return set.MayActFor(agent, nil, time.Now())
	}
	who := policy.Principal{ID: string(person.Record), Kind: policy.KindPerson}
	for _, group := range person.User.Groups {
		who.Groups = append(who.Groups, policy.Group{
			ID: string(group.ID), Connection: group.Connection, ExternalID: group.ExternalID, Name: group.DisplayName,
		})
	}
	return set.MayActFor(agent, &who, time.Now())
}

// services are what the services listener answers: the token service at its own paths, SCIM at all others.
func (g *gate) services(push http.Handler) http.Handler {
	if g.sts == nil {
		return push
	}
	paths := sts.Paths()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if slices.Contains(paths, r.URL.Path) {
			g.sts.ServeHTTP(w, r)
			return
		}
		push.ServeHTTP(w, r)
	})
}

// watchSigning makes and rotates the signing keys until ctx ends.
func (g *gate) watchSigning(ctx context.Context) error {
	if g.signing == nil {
		<-ctx.Done()
		return nil
	}
	return g.signing.Run(ctx) //nolint:wrapcheck // always nil
}

// signingHealthy says why the token service cannot sign; nil also if there is none.
func (g *gate) signingHealthy() error {
	if g.signing == nil {
		return nil
	}
	return g.signing.Healthy() //nolint:wrapcheck // says itself whose trouble it is
}

// newVaultSealer seals under a key of Azure Key Vault.
func (g *gate) newVaultSealer(v *config.KeyVault) (seal.Sealer, error) {
	credential, err := g.credential("secrets.keys.vault", v.Identity)
	if err != nil {
		return nil, fmt.Errorf("secrets.keys.vault.identity: %w", err)
	}
	vault, err := seal.NewVault(seal.VaultConfig{URL: v.URL, Key: v.Key, Credential: credential, Random: rand.Reader})
	if err != nil {
		return nil, fmt.Errorf("secrets.keys.vault: %w", err)
	}
	return vault, nil
}

// tokenRecorder writes what the token service does into the audit log.
type tokenRecorder struct{ log *audit.Log }

// Reserve implements sts.Recorder.
func (r tokenRecorder) Reserve() (func(sts.Event), error) {
	place, err := r.log.Reserve()
	if err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	return func(e sts.Event) { place.Commit(tokenRecord(&e)) }, nil
}

// tokenRecord is an act of the token service as docs/audit.md describes it.
func tokenRecord(e *sts.Event) audit.Record {
	r := audit.Record{
		Event: audit.Tokens, Time: e.Time, DecisionID: e.ID, Source: e.Source, UserAgent: e.UserAgent,
		Client: e.Client.Name, Method: http.MethodPost, Operation: e.Operation,
		Decision: audit.Allow, Reason: e.Code, Detail: e.Reason, Status: e.Status, Outcome: audit.Answered,
		Duration: e.Duration, GateDuration: e.Duration,
		Token: audit.Token{
			Grant: e.Grant, ClientMethod: e.Method, TokenID: e.Issued.TokenID, KeyID: e.Issued.KeyID,
			Audience: e.Issued.Audience, Scope: e.Issued.Scope, Expires: e.Issued.Expires,
			Bound: e.Issued.Confirm.Thumbprint + e.Issued.Confirm.Certificate,
		},
	}
	if p := &e.Subject; p.Kind != 0 {
		r.Principal = audit.Principal{
			Kind: p.Kind.String(), Issuer: p.Issuer, Subject: p.Subject,
			Record: string(p.Record), UserName: p.User.UserName, Application: p.Application,
		}
		r.Credential = audit.Credential{Method: string(p.Method), TokenID: p.TokenID}
	}
	for _, a := range e.Actors {
		r.Actors = append(r.Actors, audit.Actor{Issuer: a.Issuer, Subject: a.Subject, Name: a.Agent})
	}
	switch {
	case e.Unavailable:
		r.Decision, r.Outcome = audit.Error, audit.Refused
	case e.Code != "":
		r.Decision, r.Outcome = audit.Deny, audit.Refused
	}
	return r
}

// The acts of this family.
const (
	actSTSKeys   = "sts.keys"
	actSTSRotate = "sts.rotate"
)

// stsKey is a signing key, as commands print it.
type stsKey struct {
	ID      string    `json:"kid"`
	State   string    `json:"state"`
	Created time.Time `json:"created"`
	Signs   time.Time `json:"signs"`
	Retires time.Time `json:"retires,omitzero"`
}

// stsRotation asks for the next key, or with Compromised for the end of one that others know.
type stsRotation struct {
	Compromised string `json:"compromised,omitempty"`
}

func (g *gate) stsActs(m *control.Mux) {
	control.Handle(m, actSTSKeys, func(context.Context, *control.Call, struct{}) ([]stsKey, error) {
		if g.signing == nil {
			return nil, errNoTokenService()
		}
		return g.stsKeys(), nil
	})
	control.Handle(m, actSTSRotate, g.rotateSigning)
}

func (g *gate) rotateSigning(ctx context.Context, c *control.Call, in stsRotation) ([]stsKey, error) {
	if g.signing == nil {
		return nil, errNoTokenService()
	}
	if in.Compromised == "" {
		next, err := g.signing.Rotate(ctx)
		if err != nil {
			return nil, directoryFault(err)
		}
		c.Target("key %s", next.ID)
		return g.stsKeys(), nil
	}
	c.Target("key %s", in.Compromised)
	// First the mark, so that nothing that the key signed is accepted even where its end is not known yet.
	err := g.revoked.Revoke(ctx, identity.Revocation{
		Kind: identity.RevokeKey, Issuer: g.cfg.TokenService.Issuer, Name: in.Compromised, Reason: "compromised", By: c.Peer.User(),
	})
	if err == nil {
		err = g.signing.Drop(ctx, in.Compromised)
	}
	if errors.Is(err, sts.ErrUnknownKey) {
		return nil, control.NotFound(fmt.Sprintf("there is no signing key %q", in.Compromised), "cosmosgate sts keys lists them")
	}
	if err != nil {
		return nil, directoryFault(err)
	}
	return g.stsKeys(), nil
}

func (g *gate) stsKeys() []stsKey {
	keys := []stsKey{}
	for _, k := range g.signing.List() {
		keys = append(keys, stsKey{ID: k.ID, State: k.State, Created: k.Created, Signs: k.Signs, Retires: k.Retires})
	}
	return keys
}

func errNoTokenService() error {
	return control.Conflict("this gate has no token service", "set token_service.issuer and secrets.keys in its configuration")
}
