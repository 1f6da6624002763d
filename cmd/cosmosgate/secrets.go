package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/cosmosgate/cosmosgate/identity"
	"github.com/cosmosgate/cosmosgate/identity/seal"
	"github.com/cosmosgate/cosmosgate/internal/config"
)

// newSealer opens the key-encryption keys, if the configuration names any.
func (g *gate) newSealer() error {
	if v := g.cfg.Secrets.Keys.Vault; v != nil {
		var err error
		g.sealer, err = g.newVaultSealer(v)
		return err
	}
	if g.cfg.Secrets.Keys.File == "" {
		return nil
	}
	ring, err := seal.ReadRing(g.cfg.Secrets.Keys.File, rand.Reader)
	if err != nil {
		return fmt.Errorf("secrets.keys: %w", err)
	}
	g.sealer = ring
	return nil
}

// newKeys prepares virtual keys, if they are accepted.
func (g *gate) newKeys() error {
	k := &g.cfg.Keys
	if !k.Enabled || g.sealer == nil {
		return nil
	}
	var err error
	g.keys, err = identity.NewKeys(identity.KeysConfig{
		Entries: g.directory, Owners: g.directory, Sealer: g.sealer, Applications: g.policy.declaredApplications,
		ByHost: k.ByHost, DateSkew: k.DateSkew, WarnBefore: k.WarnBefore, MaxWaiting: mostWaiting(&g.cfg.Limits),
		Clock: time.Now, Random: rand.Reader, Logger: g.log,
	})
	if err != nil {
		return fmt.Errorf("preparing virtual keys: %w", err)
	}
	return nil
}

// watchKeys warns of keys that end, until ctx does.
func (g *gate) watchKeys(ctx context.Context) error {
	if g.keys == nil {
		<-ctx.Done()
		return nil
	}
	return g.keys.Run(ctx) //nolint:wrapcheck // always nil
}

// newProofs prepares the check of proofs on the data plane. What was used is remembered by this process alone, to which its nonces
// tie a proof.
func newProofs(cfg *config.Config) (*identity.ProofVerifier, error) {
	c := identity.ProofConfig{Spend: identity.NewMemory(time.Now).Spend, Clock: time.Now}
	if !cfg.Proofs.InsecureWithoutNonce {
		nonces, err := identity.NewNonces(rand.Reader, time.Now)
		if err != nil {
			return nil, fmt.Errorf("preparing proofs: %w", err)
		}
		c.Nonces = nonces
	}
	v, err := identity.NewProofVerifier(c)
	if err != nil {
		return nil, fmt.Errorf("preparing proofs: %w", err)
	}
	return v, nil
}
