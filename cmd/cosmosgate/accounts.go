package main

import (
	"crypto/rand"
	"fmt"
	"net/url"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/google/uuid"

	"github.com/cosmosgate/cosmosgate/internal/config"
	"github.com/cosmosgate/cosmosgate/proxy"
	"github.com/cosmosgate/cosmosgate/proxy/upstream"
)

func (g *gate) newProxy() (*proxy.Proxy, error) {
	bundle, err := g.bundle("upstream", g.cfg.Trust.Upstream)
	if err != nil {
		return nil, err
	}
	trusting := bundle.Transport()
	trusting.ForceAttemptHTTP2 = false // offers HTTP/1.1 only, which is what the account's transport speaks
	limits := proxy.Limits{
		MaxInFlight: g.cfg.Limits.MaxInFlight, UpstreamTimeout: g.cfg.Limits.UpstreamTimeout, AccountRefresh: g.cfg.Limits.AccountRefresh,
	}
	guide, err := newGuide(&g.cfg)
	if err != nil {
		return nil, err
	}
	c := proxy.Config{
		Guide: guide, Survey: newSurveyor(g.policy.engine.Set).survey,
		KeyHosts: g.cfg.Keys.Enabled && g.cfg.Keys.ByHost, Authenticator: g.identity, Authorizer: g.policy.engine,
		PolicyHash: func() string { return g.policy.engine.Set().Hash() }, ExplainDenials: g.cfg.Policy.InsecureExplainDenials,
		Reserve: func() (proxy.Reservation, error) {
			r, err := g.audit.Reserve()
			if err != nil {
				return nil, err //nolint:wrapcheck // a nil *Reservation must not become a non-nil interface; the proxy names the cause
			}
			return r, nil
		},
		Logger: g.log, Now: time.Now, NewID: newID, Limits: limits, Freshness: g.freshness(),
		Standing: g.identity.Recheck, Waiting: g.identity.Waiting,
	}
	for i := range g.cfg.Accounts {
		a, err := g.account(&g.cfg.Accounts[i])
		if err != nil {
			return nil, fmt.Errorf("accounts[%d]: %w", i, err)
		}
		a.Transport = proxy.NewTransport(proxy.TransportOptions{DialTLS: trusting.DialTLSContext})
		c.Accounts = append(c.Accounts, a)
	}
	p, err := proxy.New(c)
	if err != nil {
		return nil, fmt.Errorf("preparing the data path: %w", err)
	}
	return p, nil
}

// newID makes the ids of requests and decisions.
func newID() string {
	var b uuid.UUID
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return b.String()
}

func (g *gate) account(c *config.Account) (proxy.Account, error) {
	a := proxy.Account{
		Name: c.Name, PublicURL: c.PublicURL, Hosts: c.Hosts, Region: c.Region, Reader: c.Reader,
		Identities: map[string]azcore.TokenCredential{},
	}
	var err error
	if a.Upstream, err = url.Parse(c.Upstream); err != nil {
		return a, fmt.Errorf("upstream: %w", err)
	}
	if c.InsecureMasterKey.Set() {
		if a.InsecureMasterKey, err = c.InsecureMasterKey.Resolve(); err != nil {
			return a, fmt.Errorf("insecure_master_key: %w", err)
		}
	}
	for name := range c.Identities {
		if a.Identities[name], err = g.credential(c.Name+"."+name, c.Identities[name]); err != nil {
			return a, fmt.Errorf("identities.%s: %w", name, err)
		}
	}
	return a, nil
}

// credential is that of an identity upstream; its name labels what is told of its certificate, which is read again when it changes.
func (g *gate) credential(name string, c config.Identity) (azcore.TokenCredential, error) {
	options, err := identityOptions(c)
	if err != nil {
		return nil, err
	}
	if options.Kind != upstream.ClientCertificate {
		return upstream.New(options) //nolint:wrapcheck // names the kind itself
	}
	renewable := upstream.NewRenewable(options)
	if err := g.certs.Identity(name, c.ClientCertificate.Certificate, renewable.Renew); err != nil {
		return nil, err //nolint:wrapcheck // names the file itself
	}
	return renewable, nil
}

func identityOptions(c config.Identity) (upstream.Options, error) {
	switch {
	case c.ManagedIdentity != nil:
		return upstream.Options{Kind: upstream.ManagedIdentity, ClientID: c.ManagedIdentity.ClientID}, nil
	case c.WorkloadIdentity != nil:
		w := c.WorkloadIdentity
		return upstream.Options{Kind: upstream.WorkloadIdentity, TenantID: w.TenantID, ClientID: w.ClientID, TokenFile: w.TokenFile}, nil
	case c.ClientCertificate != nil:
		return upstream.Options{Kind: upstream.ClientCertificate, TenantID: c.ClientCertificate.TenantID, ClientID: c.ClientCertificate.ClientID}, nil
	case c.InsecureAzureCLI != nil:
		return upstream.Options{Kind: upstream.AzureCLI, TenantID: c.InsecureAzureCLI.TenantID, AllowAzureCLI: true}, nil
	default:
		return upstream.Options{}, upstream.ErrUnknownKind
	}
}
