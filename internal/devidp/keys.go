package devidp

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/go-jose/go-jose/v4"
)

const rsaBits = 2048

// keyRing signs with its newest key and publishes that and the one before.
type keyRing struct {
	mu      sync.Mutex
	private jose.JSONWebKey
	public  []jose.JSONWebKey // newest first, at most two
}

// rotate makes a fresh key and forgets the one before the last.
func (r *keyRing) rotate() error {
	key, err := rsa.GenerateKey(rand.Reader, rsaBits)
	if err != nil {
		return fmt.Errorf("making a signing key: %w", err)
	}

	private := jose.JSONWebKey{Key: key, Algorithm: string(jose.RS256), Use: "sig"}

	thumbprint, err := private.Thumbprint(crypto.SHA256)
	if err != nil {
		return fmt.Errorf("naming a signing key: %w", err)
	}

	private.KeyID = base64.RawURLEncoding.EncodeToString(thumbprint)

	r.mu.Lock()
	defer r.mu.Unlock()

	published := []jose.JSONWebKey{private.Public()}
	if len(r.public) > 0 {
		published = append(published, r.public[0])
	}

	r.private, r.public = private, published

	return nil
}

// published returns the public keys in force.
func (r *keyRing) published() jose.JSONWebKeySet {
	r.mu.Lock()
	defer r.mu.Unlock()

	return jose.JSONWebKeySet{Keys: r.public}
}

// sign returns a compact token with the header type typ.
func (r *keyRing) sign(typ string, claims map[string]any) (string, error) {
	r.mu.Lock()
	key := r.private
	r.mu.Unlock()

	options := (&jose.SignerOptions{}).WithType(jose.ContentType(typ))

	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, options)
	if err != nil {
		return "", fmt.Errorf("making a signer: %w", err)
	}

	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encoding claims: %w", err)
	}

	jws, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("signing: %w", err)
	}

	token, err := jws.CompactSerialize()
	if err != nil {
		return "", fmt.Errorf("serializing: %w", err)
	}

	return token, nil
}
