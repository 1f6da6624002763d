package identity

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cosmosgate/cosmosgate/directory"
)

// KeysConfig is everything that [Keys] need.
type KeysConfig struct {
	// Entries keep the keys, Owners answer for them, Sealer keeps their secrets. Required.
	Entries Entries
	Owners  Owners
	Sealer  Sealer
	// Applications returns the declared applications, as [Config.Applications] does. Required.
	Applications func() []Application
	// ByHost says that the host name of a request names the key that signed it; else every live key is tried, up to [MaxTriedKeys].
	ByHost bool
	// DateSkew is how far x-ms-date may be from our clock; zero means 5 minutes, at most 15, the service's own.
	DateSkew time.Duration
	// WarnBefore is how long before its end a key is warned of; zero means 14 days.
	WarnBefore time.Duration
	// MaxWaiting is how many callers may wait at once for keys that are opened anew; zero means 256.
	MaxWaiting int
	// Clock tells the time, Random makes secrets, Logger receives warnings. Required.
	Clock  func() time.Time
	Random io.Reader
	Logger *slog.Logger
}

// Sealer keeps secrets that are written down; package seal has some.
type Sealer interface {
	// Seal returns plain in a form that may be written down.
	Seal(ctx context.Context, plain, associated []byte) ([]byte, error)
	// Open returns what was sealed with the same associated data.
	Open(ctx context.Context, sealed, associated []byte) ([]byte, error)
}

const (
	defaultDateSkew   = 5 * time.Minute
	maxDateSkew       = 15 * time.Minute
	defaultWarnBefore = 14 * 24 * time.Hour
	// reopenAfter is how long a secret that did not open is left alone.
	reopenAfter = 10 * time.Second
	// openTimeout bounds how long opening all secrets may take, where that asks a key vault.
	openTimeout = 10 * time.Second
)

var (
	errKeysConfig = errors.New("identity: keys: entries, owners, sealer, applications, clock, random and logger are required")
	errDateSkew   = fmt.Errorf("identity: keys: date skew must be at most %v", maxDateSkew)
)

// Keys are the virtual keys of one directory: account keys that this gate alone accepts, for clients that speak nothing else.
// It is safe for concurrent use.
type Keys struct {
	cfg      KeysConfig
	ring     atomic.Pointer[keyRing]
	rebuild  chan struct{} // holds a token while somebody builds a ring
	waiting  *places       // for a ring that is built anew
	retrying atomic.Bool
	metrics  *keyMetrics
}

// NewKeys returns the keys that cfg.Entries hold.
func NewKeys(cfg KeysConfig) (*Keys, error) {
	if cfg.Entries == nil || cfg.Owners == nil || cfg.Sealer == nil || cfg.Applications == nil || cfg.Clock == nil ||
		cfg.Random == nil || cfg.Logger == nil {
		return nil, errKeysConfig
	}

	if cfg.DateSkew < 0 || cfg.DateSkew > maxDateSkew {
		return nil, errDateSkew
	}

	if cfg.DateSkew == 0 {
		cfg.DateSkew = defaultDateSkew
	}

	if cfg.WarnBefore == 0 {
		cfg.WarnBefore = defaultWarnBefore
	}

	k := &Keys{cfg: cfg, rebuild: make(chan struct{}, 1), waiting: newPlaces(cfg.MaxWaiting)}
	k.metrics = newKeyMetrics(k)

	return k, nil
}

// Mint makes a key and returns its secret, in base64 as an account key is written. It is shown once and kept sealed only.
// Errors: [ErrKeyLimit], [ErrKeyOwner], [ErrKeyDeclared], [ErrKeyLife], [ErrKeyNetworks], joined, and the directory's.
func (k *Keys) Mint(ctx context.Context, m Minting) (Key, string, error) {
	if m.Life == 0 {
		m.Life = DefaultKeyLife
	}

	faults := []error{m.check()}
	if k.declared(m.Application) == nil {
		faults = append(faults, ErrKeyDeclared)
	}

	now := k.cfg.Clock()
	if owned := (&ownership{owner: m.Owner}); !owned.alive(k.cfg.Owners, now) {
		faults = append(faults, ErrKeyOwner)
	}

	if err := errors.Join(faults...); err != nil {
		return Key{}, "", err
	}

	if k.countLive(now) >= k.limit() {
		return Key{}, "", ErrKeyLimit
	}

	stored, secret, err := k.draw(ctx, m, now)
	if err != nil {
		return Key{}, "", err
	}

	if err := k.place(ctx, stored, now); err != nil {
		return Key{}, "", err
	}

	return stored.key(), secret, nil
}

func (k *Keys) limit() int {
	if k.cfg.ByHost {
		return maxNamedKeys
	}

	return MaxTriedKeys
}

func (k *Keys) countLive(now time.Time) int {
	live := 0

	for _, stored := range k.stored() {
		if key := stored.key(); key.alive(now) {
			live++
		}
	}

	return live
}

// draw makes a key and seals its secret.
func (k *Keys) draw(ctx context.Context, m Minting, now time.Time) (*storedKey, string, error) {
	random := make([]byte, keyIDBytes+keyBytes)
	if _, err := io.ReadFull(k.cfg.Random, random); err != nil {
		return nil, "", fmt.Errorf("drawing a key: %w", err)
	}

	id, secret := random[:keyIDBytes], random[keyIDBytes:]
	sum := sha256.Sum256(secret)
	stored := &storedKey{
		ID:          strings.ToLower(base32.StdEncoding.EncodeToString(id)),
		Fingerprint: hex.EncodeToString(sum[:fingerprintBytes]),
		Application: m.Application, Owner: m.Owner, Networks: m.Networks,
		Created: now.UTC().Truncate(time.Second), By: clipText(m.By), Expires: now.Add(m.Life).UTC().Truncate(time.Second),
	}

	var err error
	if stored.Sealed, err = k.cfg.Sealer.Seal(ctx, secret, stored.associated()); err != nil {
		return nil, "", fmt.Errorf("sealing a key: %w", err)
	}

	return stored, base64.StdEncoding.EncodeToString(secret), nil
}

// place puts a new key into one of its application's places: one that is free, or whose key is dead. The places are entries of
// fixed names, so that two gates can't make a third key together.
func (k *Keys) place(ctx context.Context, stored *storedKey, now time.Time) error {
	for n := range keysPerApplication {
		name := stored.Application + "/" + strconv.Itoa(n)
		condition := directory.CreateOnly

		if taken, found := k.cfg.Entries.Entry(classKeys, name); found {
			before, err := decodeStoredKey(taken.Value)
			if err != nil {
				return err
			}

			if key := before.key(); key.alive(now) {
				continue
			}

			condition = taken.Revision
		}

		err := k.put(ctx, name, stored, condition)
		if errors.Is(err, directory.ErrExists) || errors.Is(err, directory.ErrRevision) {
			continue // somebody else was faster
		}

		return err
	}

	return ErrKeyLimit
}

func (k *Keys) put(ctx context.Context, name string, stored *storedKey, condition uint64) error {
	value, err := json.Marshal(stored)
	if err != nil {
		return fmt.Errorf("encoding a key: %w", err)
	}

	entry := directory.Entry{Class: classKeys, Name: name, Expires: stored.Expires.Add(keyMemory), Value: value}
	if _, err := k.cfg.Entries.PutEntry(ctx, entry, condition); err != nil {
		return fmt.Errorf("writing a key: %w", err)
	}

	return nil
}

// Rotate makes a key in place of another, for the same application, owner and networks; the other one ends after overlap. Errors:
// those of [Keys.Mint], [ErrNoKey], [ErrKeyDead].
func (k *Keys) Rotate(ctx context.Context, id string, overlap, life time.Duration, by string) (Key, string, error) {
	name, entry, old, err := k.find(id)
	if err != nil {
		return Key{}, "", err
	}

	now := k.cfg.Clock()
	if key := old.key(); !key.alive(now) {
		return Key{}, "", ErrKeyDead
	}

	key, secret, err := k.Mint(ctx, Minting{Application: old.Application, Owner: old.Owner, Networks: old.Networks, Life: life, By: by})
	if err != nil {
		return Key{}, "", err
	}

	if end := now.Add(max(overlap, 0)).UTC(); end.Before(old.Expires) {
		old.Expires = end
	}

	if err := k.put(ctx, name, old, entry.Revision); err != nil {
		return key, secret, fmt.Errorf("key %s was made, but %s keeps its end: %w", key.ID, id, err)
	}

	return key, secret, nil
}

// Revoke ends a key at once and for good. Errors: [ErrNoKey], the directory's.
func (k *Keys) Revoke(ctx context.Context, id, by string) (Key, error) {
	name, entry, stored, err := k.find(id)
	if err != nil {
		return Key{}, err
	}

	if !stored.Revoked.IsZero() {
		return stored.key(), nil
	}

	stored.Revoked, stored.RevokedBy, stored.Sealed = k.cfg.Clock().UTC().Truncate(time.Second), clipText(by), nil

	return stored.key(), k.put(ctx, name, stored, entry.Revision)
}

func (k *Keys) find(id string) (string, directory.Entry, *storedKey, error) {
	for _, e := range k.cfg.Entries.Entries(classKeys) {
		stored, err := decodeStoredKey(e.Value)
		if err == nil && stored.ID == id {
			return e.Name, e, stored, nil
		}
	}

	return "", directory.Entry{}, nil, ErrNoKey
}

func (k *Keys) stored() []*storedKey {
	var all []*storedKey

	for _, e := range k.cfg.Entries.Entries(classKeys) {
		if stored, err := decodeStoredKey(e.Value); err == nil {
			all = append(all, stored)
		}
	}

	return all
}

// List returns all keys, dead ones too for a while, with their states, by application and age.
func (k *Keys) List(ctx context.Context) []Key {
	ring := k.latest(ctx, true)
	now := k.cfg.Clock()

	var list []Key

	for _, stored := range k.stored() {
		key := stored.key()
		key.State = k.stateOf(ring, &key, now)

		if live := ring.byID[key.ID]; live != nil {
			if used := live.used.Load(); used != 0 {
				key.LastUsed = time.Unix(used, 0).UTC()
			}
		}

		list = append(list, key)
	}

	slices.SortFunc(list, func(a, b Key) int {
		return cmp.Or(cmp.Compare(a.Application, b.Application), a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})

	return list
}

// stateOf says whether a key opens anything.
func (k *Keys) stateOf(ring *keyRing, key *Key, now time.Time) KeyState {
	live := ring.byID[key.ID]

	switch {
	case !key.Revoked.IsZero():
		return KeyRevoked
	case !now.Before(key.Expires):
		return KeyExpired
	case live == nil:
		return KeyUnreadable
	case ring.extra[key.ID]:
		return KeySuperfluous
	}

	if _, locked := k.cfg.Owners.Locked(directory.Subject{Kind: directory.SubjectKey, Name: key.ID}); locked {
		return KeyLocked
	}

	switch {
	case k.declared(key.Application) == nil:
		return KeyUndeclared
	case !live.owned.alive(k.cfg.Owners, now):
		return KeyOwnerless
	default:
		return KeyLive
	}
}

// declared returns the declaration of an application that may have keys, nil if there is none.
func (k *Keys) declared(name string) *Application {
	all := k.cfg.Applications()
	for i := range all {
		if all[i].Name == name && all[i].VirtualKeys {
			return &all[i]
		}
	}

	return nil
}

// Collectors returns the metrics to register.
func (k *Keys) Collectors() []prometheus.Collector {
	return []prometheus.Collector{k.metrics.requests, k.metrics}
}
