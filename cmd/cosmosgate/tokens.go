package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cosmosgate/cosmosgate/internal/config"
	"github.com/cosmosgate/cosmosgate/scim"
)

// connectionTokens opens a SCIM connection to the bearer tokens of the configuration file, and to those the directory keeps.
type connectionTokens struct {
	configured map[string][]*configuredToken
	kept       scim.TokenVerifier
	clock      func() time.Time
}

type configuredToken struct {
	hash    [sha256.Size]byte
	expires time.Time
	used    atomic.Int64 // Unix milliseconds
}

func newConnectionTokens(cfg *config.Config, kept scim.TokenVerifier, clock func() time.Time) (*connectionTokens, error) {
	t := &connectionTokens{configured: map[string][]*configuredToken{}, kept: kept, clock: clock}
	for i := range cfg.Connections {
		c := &cfg.Connections[i]
		for n := range c.Tokens {
			secret, err := c.Tokens[n].Value.Resolve()
			if err != nil {
				return nil, fmt.Errorf("connections[%d].tokens[%d]: %w", i, n, err)
			}
			t.configured[c.Name] = append(t.configured[c.Name], &configuredToken{hash: sha256.Sum256([]byte(secret)), expires: c.Tokens[n].Expires})
		}
	}
	return t, nil
}

// VerifyToken reports whether secret is a live token of the connection. Every token is compared, whichever fits.
func (t *connectionTokens) VerifyToken(connection, secret string) bool {
	hash, now, open := sha256.Sum256([]byte(secret)), t.clock(), 0
	for _, c := range t.configured[connection] {
		same := subtle.ConstantTimeCompare(hash[:], c.hash[:])
		if now.Before(c.expires) {
			open |= same
		}
		if same == 1 {
			c.used.Store(now.UnixMilli())
		}
	}
	return open == 1 || t.kept.VerifyToken(connection, secret)
}

// list describes the tokens of the configuration file.
func (t *connectionTokens) list(connection string) []tokenEntry {
	var entries []tokenEntry
	for _, c := range t.configured[connection] {
		e := tokenEntry{Connection: connection, Kind: kindBearer, Source: "configuration", Expires: c.expires, Live: t.clock().Before(c.expires)}
		if used := c.used.Load(); used != 0 {
			e.LastUsed = time.UnixMilli(used).UTC()
		}
		entries = append(entries, e)
	}
	return entries
}
