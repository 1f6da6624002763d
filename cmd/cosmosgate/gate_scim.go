package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/cosmosgate/cosmosgate/identity"
	"github.com/cosmosgate/cosmosgate/internal/config"
	"github.com/cosmosgate/cosmosgate/scim"
)

func (g *gate) newSCIMServer() (http.Handler, error) {
	var err error
	if g.tokens, err = newConnectionTokens(&g.cfg, g.directory, time.Now); err != nil {
		return nil, err
	}
	if len(g.cfg.Connections) == 0 {
		return g.withFeeds(http.NotFoundHandler())
	}
	public, err := url.Parse(g.cfg.SCIM.PublicURL)
	if err != nil {
		return nil, fmt.Errorf("scim.public_url: %w", err)
	}
	g.unrecorded = newUnrecorded()
	c := scim.Config{
		Directory: g.directory, Tokens: g.tokens, Bound: g.tokens, PublicURL: public, Clock: time.Now, Logger: g.log, Record: g.recordWrite,
	}
	for i := range g.cfg.Connections {
		x := &g.cfg.Connections[i]
		pinned, err := x.Fingerprints()
		if err != nil {
			return nil, fmt.Errorf("connections[%d].certificates: %w", i, err)
		}
		c.Connections = append(c.Connections, scim.Connection{
			Name: x.Name, Certificates: pinned, Dialect: x.Dialect, Strict: x.Strict, Rate: x.Rate.RPS, Burst: x.Rate.Burst,
			SilentAfter: x.SilentAfter, Extensions: ownSchemas(g.cfg.SCIM.Schemas),
		})
	}
	if g.scim, err = scim.New(c); err != nil {
		return nil, fmt.Errorf("preparing SCIM: %w", err)
	}
	if g.tokens.oauth, err = g.newSCIMOAuth(public); err != nil {
		return nil, err
	}
	return g.withFeeds(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == scim.OAuthPath || r.URL.Path == scim.MetadataPath {
			g.tokens.oauth.ServeHTTP(w, r)
			return
		}
		g.scim.ServeHTTP(w, r)
	}))
}

// newSCIMOAuth prepares the token endpoint of connections. It shares nothing with the gate's token service: what it issues opens
// one connection, and nothing else accepts it.
func (g *gate) newSCIMOAuth(public *url.URL) (*scim.OAuth, error) {
	bundle, err := g.bundle("issuers", g.cfg.Trust.Issuers)
	if err != nil {
		return nil, err
	}
	once, err := identity.NewOnce(g.directory, time.Now)
	if err != nil {
		return nil, fmt.Errorf("preparing the SCIM token endpoint: %w", err)
	}
	const patience = 10 * time.Second
	p := identity.ProvisionersConfig{
		Authenticator: g.identity, Once: once, HTTPClient: &http.Client{Transport: bundle.Transport(), Timeout: patience},
		Clock: time.Now, Logger: g.log,
	}
	c := scim.OAuthConfig{
		Directory: g.directory, PublicURL: public, Secrets: g.tokens, Clock: time.Now, Random: rand.Reader, Logger: g.log,
		Certificates: g.cfg.Listen.SCIM.ClientCertificates, Pinned: map[string][][sha256.Size]byte{},
	}
	if c.Proofs, err = newSCIMProofs(&g.cfg, once); err != nil {
		return nil, err
	}
	for i := range g.cfg.Issuers {
		p.InsecureLoopback = p.InsecureLoopback || g.cfg.Issuers[i].InsecureLoopback
	}
	for i := range g.cfg.Connections {
		x := &g.cfg.Connections[i]
		c.Connections = append(c.Connections, x.Name)
		if c.Pinned[x.Name], err = x.Fingerprints(); err != nil {
			return nil, fmt.Errorf("connections[%d].certificates: %w", i, err)
		}
		one, err := provisioner(x)
		if err != nil {
			return nil, fmt.Errorf("connections[%d].oauth.keys: %w", i, err)
		}
		p.Provisioners = append(p.Provisioners, one)
	}
	if g.provisioners, err = identity.NewProvisioners(p); err != nil {
		return nil, fmt.Errorf("preparing the SCIM token endpoint: %w", err)
	}
	c.Assertions = g.provisioners
	o, err := scim.NewOAuth(c)
	if err != nil {
		return nil, fmt.Errorf("preparing the SCIM token endpoint: %w", err)
	}
	return o, nil
}

// scimProofs checks the proofs of identity providers. At the token endpoint they are rare, so that the directory remembers them for all
// gates; in use this process does, to which its nonces tie them.
type scimProofs struct{ issue, use *identity.ProofVerifier }

func newSCIMProofs(cfg *config.Config, once *identity.Once) (scimProofs, error) {
	issue, err := identity.NewProofVerifier(identity.ProofConfig{Spend: once.Spend, Clock: time.Now})
	if err != nil {
		return scimProofs{}, fmt.Errorf("preparing the SCIM token endpoint: %w", err)
	}
	use, err := newProofs(cfg)
	return scimProofs{issue: issue, use: use}, err
}

// Thumbprint implements [scim.ProofVerifier].
func (s scimProofs) Thumbprint(ctx context.Context, token string, p scim.Proof) (string, error) {
	verifier := s.use
	if token == "" {
		verifier = s.issue
	}
	thumbprint, err := verifier.Thumbprint(ctx, token, &identity.Proof{DPoP: p.Header, Several: p.Several, Method: p.Method, URL: p.URL})
	if refused, ok := errors.AsType[*identity.Error](err); ok && !refused.Unavailable {
		return "", &scim.ProofError{Nonce: refused.Nonce, Err: refused}
	}
	return thumbprint, err //nolint:wrapcheck // scim says what could not be decided
}

// provisioner is what the configuration says about a provider's assertions.
func provisioner(x *config.Connection) (identity.Provisioner, error) {
	p := identity.Provisioner{Name: x.Name}
	if f := x.OAuth.Federated; f != nil {
		p.Federated = &identity.Federated{Issuer: f.Issuer, Subject: f.Subject, Audience: f.Audience}
	}
	if x.OAuth.Keys == "" {
		return p, nil
	}
	document, err := os.ReadFile(x.OAuth.Keys)
	if err != nil {
		return p, fmt.Errorf("reading keys: %w", err)
	}
	p.Keys, err = identity.ParsePublicKeys(document)
	if err != nil {
		return p, fmt.Errorf("%s: %w", x.OAuth.Keys, err)
	}
	return p, nil
}

// ownSchemas are the attributes of people that the configuration adds to the RFC's.
func ownSchemas(configured []config.Schema) []scim.Schema {
	var all []scim.Schema
	for i := range configured {
		s := scim.Schema{ID: configured[i].URN, Name: configured[i].Name, Description: configured[i].Description}
		for _, a := range configured[i].Attributes {
			s.Attributes = append(s.Attributes, &scim.Attribute{
				Name: a.Name, Type: scim.Type(a.Type), MultiValued: a.MultiValued, CaseExact: a.CaseExact, Description: a.Description, Policy: a.Policy,
			})
		}
		all = append(all, s)
	}
	return all
}

// watchSCIM looks after the connections until ctx ends.
func (g *gate) watchSCIM(ctx context.Context) error {
	if g.scim == nil {
		<-ctx.Done()
		return nil
	}
	stage, stop := start(ctx, func() {}, g.scim.Run, g.provisioners.Run)
	<-ctx.Done()
	return end(stage, stop)
}
