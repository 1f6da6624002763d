package emulator

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/go-jose/go-jose/v4"
)

// KeySource returns the issuer's current signing keys. It is asked on every token, so it caches
// when asking is dear; keyID is the key the token names, so that it can look again for a new one.
type KeySource func(ctx context.Context, keyID string) (*jose.JSONWebKeySet, error)

// ErrKeySet means a key set could not be had.
var ErrKeySet = errors.New("no key set")

// maxKeySet bounds the size of a key set document.
const maxKeySet = 1 << 20

// JWKS returns a KeySource that reads a JSON Web Key Set from a URL (RFC 7517), keeps it, and reads
// it again when a token names a key it has not seen.
func JWKS(client *http.Client, url string) KeySource {
	var mu sync.Mutex
	var kept *jose.JSONWebKeySet
	return func(ctx context.Context, keyID string) (*jose.JSONWebKeySet, error) {
		mu.Lock()
		defer mu.Unlock()
		if kept != nil && len(kept.Key(keyID)) > 0 {
			return kept, nil
		}
		fetched, err := fetchKeys(ctx, client, url)
		if err != nil {
			return nil, err
		}
		kept = fetched
		return kept, nil
	}
}

func fetchKeys(ctx context.Context, client *http.Client, url string) (*jose.JSONWebKeySet, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("preparing the key set request: %w", err)
	}
	answer, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("fetching the key set: %w", err)
	}
	defer answer.Body.Close() //nolint:errcheck // nothing was written
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%w: status %d", ErrKeySet, answer.StatusCode)
	}
	var set jose.JSONWebKeySet
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxKeySet)).Decode(&set); err != nil {
		return nil, fmt.Errorf("reading the key set: %w", err)
	}
	return &set, nil
}

// claims are what the stand-in reads of a token.
type claims struct {
	Issuer   string          `json:"iss"`
	Audience json.RawMessage `json:"aud"`
	ObjectID string          `json:"oid"`
	Subject  string          `json:"sub"`
	Expiry   float64         `json:"exp"`
	NotYet   float64         `json:"nbf"`
}

func signatureAlgorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.ES256, jose.ES384, jose.EdDSA}
}

// verifyToken checks an Entra-style token: signature, issuer, audience and time.
func (x *exchange) verifyToken(text string) error {
	config := &x.emulator.config
	if config.AllowUnsignedTokens {
		return x.trustForged(text)
	}
	if config.Issuer == "" {
		return unauthorized(substatusTokenIssuer, "The account accepts no AAD tokens.")
	}
	parsed, err := jose.ParseSignedCompact(text, signatureAlgorithms())
	if err != nil || len(parsed.Signatures) != 1 {
		return unauthorized(substatusMalformedToken, "The AAD token could not be read.")
	}
	keyID := parsed.Signatures[0].Header.KeyID
	keys, err := config.Keys(x.request.Context(), keyID)
	if err != nil {
		return refuse(http.StatusServiceUnavailable, "The signing keys of the token's issuer are not available.")
	}
	payload, err := verifyWith(parsed, keys, keyID)
	if err != nil {
		return unauthorized(substatusTokenSignature, "The AAD token's signature is not valid.")
	}
	return x.accept(payload)
}

// verifyWith tries the keys of that id, or all keys when the token names none.
func verifyWith(parsed *jose.JSONWebSignature, keys *jose.JSONWebKeySet, keyID string) ([]byte, error) {
	candidates := keys.Keys
	if keyID != "" {
		candidates = keys.Key(keyID)
	}
	for i := range candidates {
		if payload, err := parsed.Verify(candidates[i].Public()); err == nil {
			return payload, nil
		}
	}
	return nil, ErrKeySet
}

// accept checks the claims of a token whose signature holds.
func (x *exchange) accept(payload []byte) error {
	var c claims
	if err := json.Unmarshal(payload, &c); err != nil {
		return unauthorized(substatusMalformedToken, "The AAD token's claims could not be read.")
	}
	now := float64(x.emulator.clock().Unix())
	const leeway = 300
	switch {
	case c.Issuer != x.emulator.config.Issuer:
		return unauthorized(substatusTokenIssuer, "The AAD token's issuer is not trusted.")
	case !c.meantFor(x.emulator.config.Audience):
		return unauthorized(substatusTokenAudience, "The AAD token's audience is not valid for this account.")
	case c.Expiry <= now:
		return unauthorized(substatusTokenExpired, "The AAD token is expired.")
	case c.NotYet > now+leeway:
		return unauthorized(substatusTokenExpired, "The AAD token is not valid yet.")
	case c.ObjectID == "":
		return unauthorized(substatusMalformedToken, "The AAD token has no oid.")
	}
	x.principal = c.ObjectID
	return nil
}

// meantFor compares the audience without regard to a slash at its end, which SDKs add.
func (c *claims) meantFor(audience string) bool {
	var one string
	var many []string
	if json.Unmarshal(c.Audience, &one) == nil {
		many = []string{one}
	} else if json.Unmarshal(c.Audience, &many) != nil {
		return false
	}
	for _, candidate := range many {
		if strings.TrimSuffix(candidate, "/") == strings.TrimSuffix(audience, "/") {
			return true
		}
	}
	return false
}

// trustForged takes the principal of a token nobody signed.
func (x *exchange) trustForged(text string) error {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return unauthorized(substatusMalformedToken, "The AAD token could not be read.")
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return unauthorized(substatusMalformedToken, "The AAD token could not be read.")
	}
	var c claims
	if err := json.Unmarshal(payload, &c); err != nil || c.ObjectID == "" {
		return unauthorized(substatusMalformedToken, "The AAD token's claims could not be read.")
	}
	if c.Expiry <= float64(x.emulator.clock().Unix()) {
		return unauthorized(substatusTokenExpired, "The AAD token is expired.")
	}
	x.principal, x.forged = c.ObjectID, true
	return nil
}
