package identity

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/cosmosgate/cosmosgate/directory"
)

// KeyIssuer is the Issuer of principals that sign with a virtual key. No token can have it: it is no URL of an issuer.
const KeyIssuer = "urn:cosmosgate:key"

const (
	// DefaultKeyLife is how long a key lives unless told otherwise.
	DefaultKeyLife = 90 * 24 * time.Hour
	// MaxKeyLife is how long a key may live.
	MaxKeyLife = 365 * 24 * time.Hour
	// MaxTriedKeys bounds the live keys where the host name does not say which one signed, so that each is tried.
	MaxTriedKeys = 64
	// maxNamedKeys bounds them where it does.
	maxNamedKeys = 1024
	// keysPerApplication lets one replace the other without a gap.
	keysPerApplication = 2
	// keyMemory is how long a dead key stays in listings, if its place is not needed.
	keyMemory = 30 * 24 * time.Hour
	// keyBytes is the length of an account key, keyIDBytes of its id, fingerprintBytes of what tells keys apart in records.
	keyBytes         = 64
	keyIDBytes       = 10
	fingerprintBytes = 4
	// maxKeyNetworks bounds the networks of one key.
	maxKeyNetworks = 16

	classKeys = KeyEntries
)

// KeyEntries is the class of the directory's entries that are virtual keys.
const KeyEntries = "key"

// KeyState says whether a key opens anything, and why not.
type KeyState string

// The states of a key.
const (
	KeyLive        KeyState = "live"
	KeyExpired     KeyState = "expired"
	KeyRevoked     KeyState = "revoked"
	KeyLocked      KeyState = "locked"
	KeyOwnerless   KeyState = "owner gone"
	KeyUndeclared  KeyState = "application not declared"
	KeyUnreadable  KeyState = "sealed under another key"
	KeySuperfluous KeyState = "too many keys"
)

// KeyOwner answers for a key: a person, or a group. When the person is deactivated, deleted or locked, or the group has no active
// member that could sign in, the key is dead.
type KeyOwner struct {
	// Kind is "user" or "group".
	Kind string `json:"kind"`
	// Connection owns the record; ID is the record's, for ever.
	Connection string       `json:"connection"`
	ID         directory.ID `json:"id"`
	// ExternalID is the person's link; empty for a group.
	ExternalID string `json:"external_id,omitempty"`
	// Name is what the owner was called when the key was made.
	Name string `json:"name"`
}

// The kinds of owner.
const (
	OwnerUser  = "user"
	OwnerGroup = "group"
)

// Key is a virtual key without its secret.
type Key struct {
	// ID names the key in host names, listings and records. It is a DNS label.
	ID string
	// Fingerprint tells secrets apart without telling them: hexadecimal, short.
	Fingerprint string
	// Application is the declared application whose requests the key signs.
	Application string
	Owner       KeyOwner
	// Networks are where requests may come from; none means anywhere.
	Networks []netip.Prefix
	// Created and By say when and by whom it was made; it ends at Expires.
	Created time.Time
	By      string
	Expires time.Time
	// Revoked and RevokedBy are set once it was revoked.
	Revoked   time.Time
	RevokedBy string
	// State is as of the listing, LastUsed as far as this process knows.
	State    KeyState
	LastUsed time.Time
}

// alive reports whether the key itself may be used at now; its owner and application are another matter.
func (k *Key) alive(now time.Time) bool { return k.Revoked.IsZero() && now.Before(k.Expires) }

// storedKey is what an entry holds.
type storedKey struct {
	ID          string         `json:"id"`
	Fingerprint string         `json:"fingerprint"`
	Application string         `json:"application"`
	Owner       KeyOwner       `json:"owner"`
	Networks    []netip.Prefix `json:"networks,omitempty"`
	Created     time.Time      `json:"created"`
	By          string         `json:"by,omitempty"`
	Expires     time.Time      `json:"expires"`
	Revoked     time.Time      `json:"revoked,omitzero"`
	RevokedBy   string         `json:"revoked_by,omitempty"`
	// Sealed is the secret under the key-encryption key, bound to id, application and owner; nil once revoked.
	Sealed []byte `json:"sealed,omitempty"`
}

func (s *storedKey) key() Key {
	return Key{
		ID: s.ID, Fingerprint: s.Fingerprint, Application: s.Application, Owner: s.Owner, Networks: s.Networks,
		Created: s.Created, By: s.By, Expires: s.Expires, Revoked: s.Revoked, RevokedBy: s.RevokedBy,
	}
}

// associated is what the secret is bound to: a sealed secret that is moved to another key, application or owner does not open.
func (s *storedKey) associated() []byte {
	return []byte(strings.Join([]string{
		"cosmosgate virtual key", s.ID, s.Application, s.Owner.Kind, s.Owner.Connection, string(s.Owner.ID),
	}, "\x00"))
}

func decodeStoredKey(value []byte) (*storedKey, error) {
	var s storedKey
	if err := json.Unmarshal(value, &s); err != nil {
		return nil, fmt.Errorf("decoding a key: %w", err)
	}

	return &s, nil
}

// Faults of keys, to be told with errors.Is.
var (
	ErrKeyLimit    = errors.New("too many live keys: revoke one first")
	ErrNoKey       = errors.New("no such key")
	ErrKeyOwner    = errors.New("owner is not an active person or a group with one who can sign in")
	ErrKeyDeclared = errors.New("application is not declared with virtualKeys: true")
	ErrKeyLife     = errors.New("a key lives for at least a minute and at most 365 days")
	ErrKeyNetworks = fmt.Errorf("a key has at most %d networks, each a valid prefix", maxKeyNetworks)
	ErrKeyDead     = errors.New("key is expired or revoked")
)

// Minting is an order for a key.
type Minting struct {
	// Application is the declared application. Owner answers for it. Both are required.
	Application string
	Owner       KeyOwner
	// Life is how long it lives; zero means [DefaultKeyLife].
	Life time.Duration
	// Networks are where its requests may come from; none means anywhere.
	Networks []netip.Prefix
	// By names who asked, for listings.
	By string
}

// check reports every fault of the order itself at once.
func (m *Minting) check() error {
	var faults []error

	if m.Life < time.Minute || m.Life > MaxKeyLife {
		faults = append(faults, ErrKeyLife)
	}

	valid := len(m.Networks) <= maxKeyNetworks
	for _, network := range m.Networks {
		valid = valid && network.IsValid()
	}

	if !valid {
		faults = append(faults, ErrKeyNetworks)
	}

	if m.Owner.Kind != OwnerUser && m.Owner.Kind != OwnerGroup {
		faults = append(faults, ErrKeyOwner)
	}

	return errors.Join(faults...)
}
