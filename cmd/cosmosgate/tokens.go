package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/internal/config"
	"github.com/cosmosgate/cosmosgate/scim"
)

// connectionTokens opens a SCIM connection to the bearer tokens of the configuration file, and to those the directory keeps.
type connectionTokens struct {
	configured map[string][]*configuredToken
	kept       keptTokens
	oauth      *scim.OAuth // nil until there is a token endpoint
	clock      func() time.Time
	ends       *prometheus.Desc
}

// keptTokens are those that the directory keeps.
type keptTokens interface {
	scim.TokenVerifier
	FindToken(owner, secret string) (directory.Token, bool)
	Tokens(owner string) []directory.Token
}

type configuredToken struct {
	hash    [sha256.Size]byte
	expires time.Time
	used    atomic.Int64 // Unix milliseconds
}

func newConnectionTokens(cfg *config.Config, kept keptTokens, clock func() time.Time) (*connectionTokens, error) {
	t := &connectionTokens{configured: map[string][]*configuredToken{}, kept: kept, clock: clock, ends: prometheus.NewDesc(
		"cosmosgate_scim_token_expires_timestamp_seconds",
		"When the last live bearer token or client secret of a connection ends, Unix time, 0 if none is live.", []string{"connection", "kind"}, nil)}
	for i := range cfg.Connections {
		c := &cfg.Connections[i]
		t.configured[c.Name] = nil
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
	return open == 1 || t.kept.VerifyToken(connection, secret) || t.oauth != nil && t.oauth.VerifyToken(connection, secret)
}

// VerifyBound implements [scim.BoundVerifier]: only the token endpoint binds.
func (t *connectionTokens) VerifyBound(r *http.Request, connection string) error {
	return t.oauth.VerifyBound(r, connection) //nolint:wrapcheck // for scim to answer
}

// BoundLives implements [scim.BoundVerifier].
func (t *connectionTokens) BoundLives(r *http.Request, connection string) bool {
	return t.oauth.BoundLives(r, connection)
}

// FindSecret implements [scim.SecretFinder].
func (t *connectionTokens) FindSecret(connection, secret string) (string, bool) {
	found, ok := t.kept.FindToken(oauthOwner(connection), secret)
	return found.ID, ok
}

// SecretLives implements [scim.SecretFinder].
func (t *connectionTokens) SecretLives(connection, id string) bool {
	return slices.ContainsFunc(t.kept.Tokens(oauthOwner(connection)), func(kept directory.Token) bool {
		return kept.ID == id && t.clock().Before(kept.Expires)
	})
}

// list describes all tokens of a connection, ended ones too.
func (t *connectionTokens) list(connection string) []tokenEntry {
	entries := t.listConfigured(connection)
	for _, kept := range t.kept.Tokens(connection) {
		entries = append(entries, t.entry(connection, kindBearer, kept))
	}
	for _, kept := range t.kept.Tokens(oauthOwner(connection)) {
		entries = append(entries, t.entry(connection, kindSecret, kept))
	}
	if t.oauth == nil {
		return entries
	}
	for _, a := range t.oauth.Tokens(connection) {
		entries = append(entries, tokenEntry{
			Connection: connection, Kind: kindAccess, ID: a.ID, Source: "token endpoint", Created: a.Issued, Expires: a.Expires, Live: true,
		})
	}
	return entries
}

func (t *connectionTokens) entry(connection, kind string, d directory.Token) tokenEntry {
	return tokenEntry{
		Connection: connection, Kind: kind, ID: d.ID, Source: "command", Created: d.Created, Expires: d.Expires, LastUsed: d.LastUsed,
		Live: t.clock().Before(d.Expires),
	}
}

// Describe implements [prometheus.Collector].
func (t *connectionTokens) Describe(out chan<- *prometheus.Desc) { out <- t.ends }

// Collect implements [prometheus.Collector].
func (t *connectionTokens) Collect(out chan<- prometheus.Metric) {
	for connection := range t.configured {
		last := map[string]float64{kindBearer: 0}
		for _, e := range t.list(connection) {
			if ends := float64(e.Expires.Unix()); e.Live && e.Kind != kindAccess && ends > last[e.Kind] {
				last[e.Kind] = ends
			}
		}
		for kind, ends := range last {
			out <- prometheus.MustNewConstMetric(t.ends, prometheus.GaugeValue, ends, connection, kind)
		}
	}
}

func (t *connectionTokens) listConfigured(connection string) []tokenEntry {
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
