// Package seal keeps small secrets at rest: signing keys of the token service and secrets of virtual keys lie sealed in the
// directory, and only who holds the key-encryption key can open them.
//
// A [Ring] seals under keys of a file that is for the gate's user alone. A [Vault] seals under a key that never leaves Azure Key Vault.
// Both bind what is sealed to associated data, which says what it belongs to: what was sealed for one purpose does not open for
// another. Neither ever writes a key, and no value of this package prints one.
package seal

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
)

// Sealer seals and opens small secrets. It is safe for concurrent use.
type Sealer interface {
	// Seal returns plain in a form that may be written down.
	Seal(ctx context.Context, plain, associated []byte) ([]byte, error)
	// Open returns what was sealed with the same associated data. The error is [ErrOpen], wrapped, if that is not what it is, or if
	// the key is not there any more; any other error may pass.
	Open(ctx context.Context, sealed, associated []byte) ([]byte, error)
}

// KeyBytes is the size of a key: AES-256.
const KeyBytes = 32

const (
	formRing  = 1 // form, key id, nonce, ciphertext
	formVault = 2 // form, size and text of the key's version, size and bytes of the wrapped key, nonce, ciphertext
	idBytes   = 8
)

var (
	// ErrOpen means that something can't be opened, now or later: altered, sealed for another purpose, or under a key that is gone.
	ErrOpen = errors.New("can't be opened")

	errMode  = errors.New("is readable by others: make it 0600")
	errNone  = errors.New("holds no key")
	errKey   = errors.New("is not 32 bytes in base64")
	errTwice = errors.New("is there twice")
	errShort = errors.New("too short")
	errForm  = errors.New("of another form")
	errGone  = errors.New("its key is not in the file")
)

// Ring seals under the first of several keys and opens under all of them, so that keys can be replaced: put a new one first, and
// take the old one away when everything has been sealed again.
type Ring struct {
	random io.Reader
	keys   []ringKey
}

type ringKey struct {
	id   [idBytes]byte
	aead cipher.AEAD
}

// ReadRing reads a file of keys, each 32 random bytes in base64 on a line of its own. A file that others may read is refused.
func ReadRing(path string, random io.Reader) (*Ring, error) {
	const othersMayRead = 0o077

	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading keys: %w", err)
	}

	if info.Mode().Perm()&othersMayRead != 0 {
		return nil, fmt.Errorf("%s %w", path, errMode)
	}

	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading keys: %w", err)
	}

	ring, err := NewRing(string(text), random)
	if err != nil {
		return nil, fmt.Errorf("%s %w", path, err)
	}

	return ring, nil
}

// NewRing returns the keys of a text. Empty lines and lines that begin with # mean nothing.
func NewRing(text string, random io.Reader) (*Ring, error) {
	ring := &Ring{random: random}

	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}

		key, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(key) != KeyBytes {
			return nil, fmt.Errorf("key %d %w", len(ring.keys)+1, errKey)
		}

		if err := ring.add(key); err != nil {
			return nil, err
		}
	}

	if len(ring.keys) == 0 {
		return nil, errNone
	}

	return ring, nil
}

func (r *Ring) add(key []byte) error {
	aead, err := newAEAD(key)
	if err != nil {
		return err
	}

	// The id tells keys apart and nothing about them.
	sum := sha256.Sum256(append([]byte("cosmosgate key id\x00"), key...))
	added := ringKey{id: [idBytes]byte(sum[:]), aead: aead}

	for _, there := range r.keys {
		if there.id == added.id {
			return fmt.Errorf("key %d %w", len(r.keys)+1, errTwice)
		}
	}

	r.keys = append(r.keys, added)

	return nil
}

// String hides the keys.
func (*Ring) String() string { return "[redacted]" }

// GoString hides the keys.
func (*Ring) GoString() string { return "[redacted]" }

// LogValue hides the keys.
func (*Ring) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// Seal implements [Sealer].
func (r *Ring) Seal(_ context.Context, plain, associated []byte) ([]byte, error) {
	key := r.keys[0]

	return encrypt(key.aead, r.random, append([]byte{formRing}, key.id[:]...), plain, associated)
}

// Open implements [Sealer].
func (r *Ring) Open(_ context.Context, sealed, associated []byte) ([]byte, error) {
	const headBytes = 1 + idBytes

	if len(sealed) < headBytes {
		return nil, fmt.Errorf("%w: %w", ErrOpen, errShort)
	}

	if sealed[0] != formRing {
		return nil, fmt.Errorf("%w: %w", ErrOpen, errForm)
	}

	for _, key := range r.keys {
		if [idBytes]byte(sealed[1:headBytes]) == key.id {
			return decrypt(key.aead, sealed[:headBytes], sealed[headBytes:], associated)
		}
	}

	return nil, fmt.Errorf("%w: %w", ErrOpen, errGone)
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("preparing AES: %w", err)
	}

	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("preparing GCM: %w", err)
	}

	return aead, nil
}

// encrypt returns head, a random nonce and the ciphertext, which vouches for head and associated, too.
func encrypt(aead cipher.AEAD, random io.Reader, head, plain, associated []byte) ([]byte, error) {
	nonce := make([]byte, aead.NonceSize())
	if _, err := io.ReadFull(random, nonce); err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}

	bound := bind(head, associated)

	return aead.Seal(append(head, nonce...), nonce, plain, bound), nil
}

func decrypt(aead cipher.AEAD, head, body, associated []byte) ([]byte, error) {
	if len(body) < aead.NonceSize() {
		return nil, fmt.Errorf("%w: %w", ErrOpen, errShort)
	}

	nonce, text := body[:aead.NonceSize()], body[aead.NonceSize():]

	plain, err := aead.Open(nil, nonce, text, bind(head, associated))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOpen, err)
	}

	return plain, nil
}

// bind joins head and associated so that no other two join to the same.
func bind(head, associated []byte) []byte {
	bound := make([]byte, 0, 1+len(head)+len(associated))
	bound = append(bound, byte(len(head)>>8), byte(len(head))) //nolint:gosec,mnd // G115: heads are shorter than 64 KB.
	bound = append(bound, head...)

	return append(bound, associated...)
}
