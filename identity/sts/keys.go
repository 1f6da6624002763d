package sts

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/identity"
	"github.com/cosmosgate/cosmosgate/identity/seal"
)

// KeyEntries is the class of the directory's entry that holds the signing keys, sealed.
const KeyEntries = "sts-key"

const (
	keyClass = KeyEntries
	keyName  = "ring"

	// prePublication is how long a key is published before it signs, so that whoever remembers the key set has it by then.
	prePublication = 24 * time.Hour
	// defaultPeriod is how long a key signs.
	defaultPeriod = 30 * 24 * time.Hour
	// overlap is how long a key stays published after it signed last: a token's longest life, and the clocks' skew on both sides.
	overlap = identity.MaxOwnLifetime + 2*time.Minute
	// tendEvery is how often a gate looks whether something is due.
	tendEvery = time.Minute
	// keyAttempts bounds the races with other gates for one change.
	keyAttempts = 8
)

var (
	// ErrNoKey means that there is no key to sign with yet, or that it can't be opened: the gate's own trouble.
	ErrNoKey = errors.New("sts: no signing key")
	// ErrUnknownKey means that a key id is none of those in use.
	ErrUnknownKey = errors.New("sts: no such key")

	errKeysConfig = errors.New("sts: keys need entries, a sealer, randomness, a clock and a logger")
	errPeriod     = errors.New("sts: a key must sign for at least 48 hours")
	errContended  = errors.New("sts: the keys keep changing")
)

// KeysConfig is everything that [Keys] need.
type KeysConfig struct {
	// Entries keep the keys, for all gates of a directory. Required.
	Entries identity.Entries
	// Sealer seals private keys. Required.
	Sealer seal.Sealer
	// Period is how long a key signs; zero means 30 days.
	Period time.Duration
	// Random makes keys. Required.
	Random io.Reader
	// Clock tells the time. Required.
	Clock func() time.Time
	// Logger hears of rotations. Required.
	Logger *slog.Logger
}

// Keys are the signing keys of a token service: one that signs, the next, which is published long before, and the last, which is
// published until the last token that it signed has ended. They lie in the directory's log, private parts sealed. Safe for concurrent use.
type Keys struct {
	cfg KeysConfig

	current atomic.Pointer[ring]
	fault   atomic.Pointer[error] // why there is nothing to sign with, as of the last look
	mu      sync.Mutex            // one reader of the entry at a time
	signers sync.Map              // kid → *ecdsa.PrivateKey
}

// KeyInfo describes a key, for operators.
type KeyInfo struct {
	// ID is the kid, an RFC 7638 thumbprint.
	ID string
	// State is next, active or previous.
	State string
	// Created, Signs and Retires are when it was made, begins to sign, and is published no more (zero if that is not decided yet).
	Created, Signs, Retires time.Time
}

// NewKeys returns the keys that cfg.Entries hold. Nothing is made before [Keys.Run].
func NewKeys(cfg KeysConfig) (*Keys, error) {
	if cfg.Entries == nil || cfg.Sealer == nil || cfg.Random == nil || cfg.Clock == nil || cfg.Logger == nil {
		return nil, errKeysConfig
	}

	if cfg.Period == 0 {
		cfg.Period = defaultPeriod
	}

	if cfg.Period < 2*prePublication {
		return nil, errPeriod
	}

	return &Keys{cfg: cfg}, nil
}

// Run makes the first keys and rotates them when that is due, until ctx ends. It returns nil then.
func (k *Keys) Run(ctx context.Context) error {
	ticker := time.NewTicker(tendEvery)
	defer ticker.Stop()

	for {
		err := errors.Join(k.Tend(ctx), k.usable(ctx))
		k.fault.Store(&err)

		if err != nil && ctx.Err() == nil {
			k.cfg.Logger.ErrorContext(ctx, "the token service's keys could not be tended", slog.Any("error", err))
		}

		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// usable reports why the active key can't be opened; opened once, it stays so, and an outage of a vault hurts nobody.
func (k *Keys) usable(ctx context.Context) error {
	r, err := k.read()
	if err != nil || r == nil {
		return err
	}

	if active := r.active(k.cfg.Clock().Unix()); active >= 0 {
		_, err = k.open(ctx, r.Keys[active])
	}

	return err
}

// Healthy returns why no token can be signed, or why the keys can't be rotated; nil if all is well.
func (k *Keys) Healthy() error {
	if err := k.fault.Load(); err != nil {
		return *err
	}

	return ErrNoKey
}

// Tend does what is due now: it makes a key that is missing, and drops one that has retired.
func (k *Keys) Tend(ctx context.Context) error {
	return k.change(ctx, func(*ring, int64) error { return nil })
}

// Rotate has the next key sign as soon as it has been published for a day, and returns its id and when that is.
func (k *Keys) Rotate(ctx context.Context) (KeyInfo, error) {
	var next ringKey

	err := k.change(ctx, func(r *ring, now int64) error {
		i := slices.IndexFunc(r.Keys, func(key ringKey) bool { return key.Signs > now })
		if i < 0 {
			return ErrNoKey
		}

		r.Keys[i].Signs = min(r.Keys[i].Signs, max(now, r.Keys[i].Created+seconds(prePublication)))
		next = r.Keys[i]

		return nil
	})
	if err != nil {
		return KeyInfo{}, err
	}

	return next.info("next"), nil
}

// Drop takes a key away that has become known to others: nothing that it signed is accepted from the next request on. If it was the
// one that signs, the next one signs at once, whoever has not read the key set meanwhile.
func (k *Keys) Drop(ctx context.Context, kid string) error {
	err := k.change(ctx, func(r *ring, now int64) error {
		i := slices.IndexFunc(r.Keys, func(key ringKey) bool { return key.ID == kid })
		if i < 0 {
			return ErrUnknownKey
		}

		wasActive := i == r.active(now)
		r.Keys = slices.Delete(r.Keys, i, i+1)

		if next := r.active(now) + 1; wasActive && next < len(r.Keys) {
			r.Keys[next].Signs = now
		}

		return nil
	})
	if err != nil {
		return err
	}

	k.signers.Delete(kid)
	k.cfg.Logger.WarnContext(ctx, "a key of the token service was dropped", slog.String("kid", kid))

	return nil
}

// List describes the keys in the order in which they sign.
func (k *Keys) List() []KeyInfo {
	r, err := k.read()
	if err != nil || r == nil {
		return nil
	}

	now := k.cfg.Clock().Unix()
	active := r.active(now)

	var list []KeyInfo

	for i, key := range r.Keys {
		if key.retired(now) {
			continue
		}

		state := "previous"
		if i == active {
			state = "active"
		} else if i > active {
			state = "next"
		}

		list = append(list, key.info(state))
	}

	return list
}

// Published are the public keys of all of them (RFC 7517).
func (k *Keys) Published() jose.JSONWebKeySet {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}

	r, err := k.read()
	if err != nil || r == nil {
		return set
	}

	now := k.cfg.Clock().Unix()
	for _, key := range r.Keys {
		if !key.retired(now) {
			set.Keys = append(set.Keys, key.Public)
		}
	}

	return set
}

// PublicKey implements [identity.KeySource].
func (k *Keys) PublicKey(kid string) (jose.JSONWebKey, bool) {
	r, err := k.read()
	if err != nil || r == nil {
		return jose.JSONWebKey{}, false
	}

	key, found := r.public[kid]
	if !found {
		return jose.JSONWebKey{}, false
	}

	now := k.cfg.Clock().Unix()

	return key, !slices.ContainsFunc(r.Keys, func(key ringKey) bool { return key.ID == kid && key.retired(now) })
}

// Generation implements [identity.KeySource].
func (k *Keys) Generation() uint64 { return k.cfg.Entries.EntryGeneration(keyClass) }

// Sign returns claims as a compact token of the active key, and the key's id.
func (k *Keys) Sign(ctx context.Context, typ string, claims any) (string, string, error) {
	r, err := k.read()
	if err != nil {
		return "", "", err
	}

	active := -1
	if r != nil {
		active = r.active(k.cfg.Clock().Unix())
	}

	if active < 0 {
		return "", "", ErrNoKey
	}

	key := r.Keys[active]

	private, err := k.open(ctx, key)
	if err != nil {
		return "", "", err
	}

	token, err := sign(private, key.ID, typ, claims)

	return token, key.ID, err
}

// read returns the keys as the directory has them now; nil if there are none.
func (k *Keys) read() (*ring, error) {
	generation := k.Generation()
	if r := k.current.Load(); r != nil && r.generation == generation {
		return r, nil
	}

	k.mu.Lock()
	defer k.mu.Unlock()

	generation = k.Generation()
	if r := k.current.Load(); r != nil && r.generation == generation {
		return r, nil
	}

	entry, found := k.cfg.Entries.Entry(keyClass, keyName)
	if !found {
		return nil, nil //nolint:nilnil // None is an answer.
	}

	r := &ring{generation: generation, revision: entry.Revision, public: map[string]jose.JSONWebKey{}}
	if err := json.Unmarshal(entry.Value, r); err != nil {
		return nil, fmt.Errorf("%w: reading them: %w", ErrNoKey, err)
	}

	for _, key := range r.Keys {
		r.public[key.ID] = key.Public
	}

	k.current.Store(r)

	return r, nil
}

// change applies f and what is due, and writes what came of it, again if another gate was faster.
func (k *Keys) change(ctx context.Context, f func(r *ring, now int64) error) error {
	for range keyAttempts {
		before, err := k.read()
		if err != nil {
			return err
		}

		condition := directory.CreateOnly
		next := &ring{}

		if before != nil {
			condition = before.revision
			next.Keys = slices.Clone(before.Keys)
		}

		now := k.cfg.Clock().Unix()
		if err := f(next, now); err != nil {
			return err
		}

		if err := k.maintain(ctx, next, now); err != nil {
			return err
		}

		if before != nil && slices.EqualFunc(before.Keys, next.Keys, ringKey.same) {
			return nil
		}

		value, err := json.Marshal(next)
		if err != nil {
			return fmt.Errorf("encoding keys: %w", err)
		}

		_, err = k.cfg.Entries.PutEntry(ctx, directory.Entry{Class: keyClass, Name: keyName, Value: value}, condition)

		switch {
		case err == nil:
			return nil
		case errors.Is(err, directory.ErrExists), errors.Is(err, directory.ErrRevision):
		default:
			return fmt.Errorf("keeping keys: %w", err)
		}
	}

	return errContended
}

// open returns the private part of a key.
func (k *Keys) open(ctx context.Context, key ringKey) (*ecdsa.PrivateKey, error) {
	if known, found := k.signers.Load(key.ID); found {
		if private, ok := known.(*ecdsa.PrivateKey); ok {
			return private, nil
		}
	}

	der, err := k.cfg.Sealer.Open(ctx, key.Private, purpose(key.ID))
	if err != nil {
		return nil, fmt.Errorf("%w: opening %s: %w", ErrNoKey, key.ID, err)
	}

	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("%w: reading %s: %w", ErrNoKey, key.ID, err)
	}

	private, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !private.PublicKey.Equal(key.Public.Key) {
		return nil, fmt.Errorf("%w: %s is another key", ErrNoKey, key.ID)
	}

	k.signers.Clear() // only the active one is ever needed
	k.signers.Store(key.ID, private)

	return private, nil
}
