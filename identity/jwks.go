package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

const (
	// maxKeyDocumentBytes bounds discovery and key documents.
	maxKeyDocumentBytes = 1 << 20
	// maxKeys is far above what any issuer publishes.
	maxKeys = 100
	// maxKeysPerID bounds the signature checks that one token can cause.
	maxKeysPerID = 4

	minRSABits = 2048
	maxRSABits = 8192
)

// keysByID are the usable public keys of one document. It is never written once built.
type keysByID map[string][]jose.JSONWebKey

var (
	errNoKeysMember    = errors.New("document has no keys array")
	errTooManyKeys     = fmt.Errorf("document has more than %d keys", maxKeys)
	errTooManyOfOneKID = fmt.Errorf("document has more than %d keys under one kid", maxKeysPerID)
)

// parseKeys decodes a JWK set (RFC 7517 section 5), skipping what can't verify tokens here: private and symmetric keys, keys for
// other uses, other types and curves, keys without kid. An empty set is valid: the issuer has withdrawn everything.
func parseKeys(document []byte) (keysByID, error) { return parseKeysFor(document, "") }

// parseKeysFor is parseKeys for keys of a special use, which they must state; "" means sig or none stated.
func parseKeysFor(document []byte, use string) (keysByID, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}

	if err := json.Unmarshal(document, &set); err != nil {
		return nil, fmt.Errorf("decoding key set: %w", clip(err))
	}

	if set.Keys == nil {
		return nil, errNoKeysMember
	}

	if len(set.Keys) > maxKeys {
		return nil, errTooManyKeys
	}

	keys := make(keysByID, len(set.Keys))

	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		// One key we can't read must not take the others with it (RFC 7517 section 5).
		if err := json.Unmarshal(raw, &key); err != nil {
			continue
		}

		if use != "" && key.Use == use {
			key.Use = "sig"
		} else if use != "" {
			continue
		}

		if !isVerificationKey(key) {
			continue
		}

		if len(keys[key.KeyID]) == maxKeysPerID {
			return nil, errTooManyOfOneKID
		}

		keys[key.KeyID] = append(keys[key.KeyID], key)
	}

	return keys, nil
}

var errNoUsableKey = errors.New("document has no public key with a kid that can verify signatures: RSA of 2048 bits or more, P-256, Ed25519")

// ParsePublicKeys reads the public keys of a client from a JWK set (RFC 7517 section 5). Unlike a published key set, which may hold keys
// for others, one without a usable key is an error.
func ParsePublicKeys(document []byte) ([]jose.JSONWebKey, error) {
	byID, err := parseKeys(document)
	if err != nil {
		return nil, err
	}

	var keys []jose.JSONWebKey
	for _, kid := range slices.Sorted(maps.Keys(byID)) {
		keys = append(keys, byID[kid]...)
	}

	if len(keys) == 0 {
		return nil, errNoUsableKey
	}

	return keys, nil
}

// isVerificationKey reports whether key is a public signature key of a size we accept.
func isVerificationKey(key jose.JSONWebKey) bool {
	return key.KeyID != "" && len(key.KeyID) <= maxKeyIDBytes && isPublicKeyOfUse(key)
}

// isPublicKeyOfUse reports whether key is a public key for signatures of a kind and size we accept.
func isPublicKeyOfUse(key jose.JSONWebKey) bool {
	if key.Use != "" && key.Use != "sig" {
		return false
	}

	switch public := key.Key.(type) {
	case *rsa.PublicKey:
		return public.N.BitLen() >= minRSABits && public.N.BitLen() <= maxRSABits
	case *ecdsa.PublicKey:
		return public.Curve == elliptic.P256()
	case ed25519.PublicKey:
		return len(public) == ed25519.PublicKeySize
	default:
		return false
	}
}

// fits reports whether key may verify a signature by alg, so that no key is ever used under another algorithm. Entra's keys
// carry no alg; a key that does must carry this one.
func fits(key jose.JSONWebKey, alg string) bool {
	if key.Algorithm != "" && key.Algorithm != alg {
		return false
	}

	switch key.Key.(type) {
	case *rsa.PublicKey:
		return alg == string(jose.RS256) || alg == string(jose.PS256)
	case *ecdsa.PublicKey:
		return alg == string(jose.ES256)
	case ed25519.PublicKey:
		return alg == string(jose.EdDSA)
	default:
		return false
	}
}

// keeps reports whether every key of old is still in k unchanged.
func (k keysByID) keeps(old keysByID) bool {
	for kid, before := range old {
		for _, key := range before {
			if !k.contains(kid, key) {
				return false
			}
		}
	}

	return true
}

// contains reports whether key is among the keys under kid, with the same material and the same alg.
func (k keysByID) contains(kid string, key jose.JSONWebKey) bool {
	for _, candidate := range k[kid] {
		if candidate.Algorithm == key.Algorithm && equalKeys(candidate.Key, key.Key) {
			return true
		}
	}

	return false
}

// equalKeys compares public keys of the types that isVerificationKey lets in.
func equalKeys(a, b crypto.PublicKey) bool {
	public, ok := a.(interface {
		Equal(other crypto.PublicKey) bool
	})

	return ok && public.Equal(b)
}
