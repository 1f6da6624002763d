package sts

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// ring is the entry, read.
type ring struct {
	Keys []ringKey `json:"keys"` // in the order in which they sign

	generation uint64
	revision   uint64
	public     map[string]jose.JSONWebKey
}

// ringKey is one key. Times are Unix seconds, because everybody who reads the entry must read the same.
type ringKey struct {
	ID      string          `json:"kid"`
	Public  jose.JSONWebKey `json:"public"`
	Private []byte          `json:"private"` // PKCS #8, sealed
	Created int64           `json:"created"`
	Signs   int64           `json:"signs"`             // from then on
	Retires int64           `json:"retires,omitempty"` // published until then; 0: while it signs
}

// maintain brings a ring up to date: retired keys go, the active one and the next are there.
func (k *Keys) maintain(ctx context.Context, r *ring, now int64) error {
	r.Keys = slices.DeleteFunc(r.Keys, func(key ringKey) bool { return key.retired(now) })

	if r.active(now) < 0 {
		// The first key of all signs at once: nobody has a key set to be surprised in.
		if err := k.add(ctx, r, now, now); err != nil {
			return err
		}
	}

	active := r.active(now)
	for i := range active {
		if r.Keys[i].Retires == 0 {
			r.Keys[i].Retires = max(now, r.Keys[i+1].Signs) + seconds(overlap)
		}
	}

	if active == len(r.Keys)-1 {
		signs := max(r.Keys[active].Signs+seconds(k.cfg.Period), now+seconds(prePublication))

		return k.add(ctx, r, now, signs)
	}

	return nil
}

// add makes a key that signs from then on.
func (k *Keys) add(ctx context.Context, r *ring, now, signs int64) error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), k.cfg.Random)
	if err != nil {
		return fmt.Errorf("making a key: %w", err)
	}

	public := jose.JSONWebKey{Key: private.Public(), Algorithm: string(jose.ES256), Use: "sig"}

	thumbprint, err := public.Thumbprint(crypto.SHA256)
	if err != nil {
		return fmt.Errorf("naming a key: %w", err)
	}

	public.KeyID = base64.RawURLEncoding.EncodeToString(thumbprint)

	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return fmt.Errorf("encoding a key: %w", err)
	}

	sealed, err := k.cfg.Sealer.Seal(ctx, der, purpose(public.KeyID))
	if err != nil {
		return fmt.Errorf("sealing a key: %w", err)
	}

	added := ringKey{ID: public.KeyID, Public: public, Private: sealed, Created: now, Signs: signs}

	i := slices.IndexFunc(r.Keys, func(key ringKey) bool { return key.Signs > signs })
	if i < 0 {
		i = len(r.Keys)
	}

	r.Keys = slices.Insert(r.Keys, i, added)
	k.cfg.Logger.InfoContext(ctx, "made a key for the token service", slog.String("kid", added.ID), slog.Time("signs", time.Unix(signs, 0)))

	return nil
}

// active is the index of the key that signs, -1 if there is none.
func (r *ring) active(now int64) int {
	active := -1

	for i, key := range r.Keys {
		if key.Signs <= now {
			active = i
		}
	}

	return active
}

func (key ringKey) retired(now int64) bool { return key.Retires != 0 && key.Retires <= now }

func (key ringKey) same(other ringKey) bool {
	return key.ID == other.ID && key.Signs == other.Signs && key.Retires == other.Retires
}

func (key ringKey) info(state string) KeyInfo {
	info := KeyInfo{ID: key.ID, State: state, Created: time.Unix(key.Created, 0).UTC(), Signs: time.Unix(key.Signs, 0).UTC()}
	if key.Retires != 0 {
		info.Retires = time.Unix(key.Retires, 0).UTC()
	}

	return info
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// purpose is what a sealed key belongs to.
func purpose(kid string) []byte { return []byte("cosmosgate token service key\x00" + kid) }

func sign(key *ecdsa.PrivateKey, kid, typ string, claims any) (string, error) {
	options := (&jose.SignerOptions{}).WithType(jose.ContentType(typ))

	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, options)
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
