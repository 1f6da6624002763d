package seal

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
)

// VaultConfig names a key of Azure Key Vault.
type VaultConfig struct {
	// URL is the vault's, such as https://corp.vault.azure.net. Required.
	URL string
	// Key is the name of an RSA key that the credential may wrap and unwrap with. Its newest version seals; older ones open what they
	// sealed. Required.
	Key string
	// Credential signs in to the vault. Required.
	Credential azcore.TokenCredential
	// Random makes data keys and nonces. Required.
	Random io.Reader
	// Transport reaches the vault; nil means the SDK's.
	Transport *http.Client
}

// maxOpened bounds the data keys that are kept after they were unwrapped once.
const maxOpened = 64

var errVault = errors.New("a vault needs url, key, credential and random")

// Vault seals under a key that never leaves Azure Key Vault: each secret has a data key of its own, which the vault wraps. Data keys
// that were unwrapped once are kept in memory, so that an outage of the vault hurts only who starts during it.
type Vault struct {
	client *azkeys.Client
	key    string
	random io.Reader

	mu     sync.Mutex
	opened map[[sha256.Size]byte][]byte
}

// NewVault returns a sealer for the key. It asks the vault nothing yet.
func NewVault(cfg VaultConfig) (*Vault, error) {
	if cfg.URL == "" || cfg.Key == "" || cfg.Credential == nil || cfg.Random == nil {
		return nil, errVault
	}

	options := &azkeys.ClientOptions{}
	if cfg.Transport != nil {
		options.Transport = cfg.Transport
	}

	client, err := azkeys.NewClient(cfg.URL, cfg.Credential, options)
	if err != nil {
		return nil, fmt.Errorf("preparing Key Vault: %w", err)
	}

	return &Vault{client: client, key: cfg.Key, random: cfg.Random, opened: map[[sha256.Size]byte][]byte{}}, nil
}

// Seal implements [Sealer].
func (v *Vault) Seal(ctx context.Context, plain, associated []byte) ([]byte, error) {
	key := make([]byte, KeyBytes)
	if _, err := io.ReadFull(v.random, key); err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}

	wrapped, err := v.client.WrapKey(ctx, v.key, "", azkeys.KeyOperationParameters{
		Algorithm: to.Ptr(azkeys.EncryptionAlgorithmRSAOAEP256), Value: key,
	}, nil)
	if err != nil {
		return nil, fmt.Errorf("wrapping under Key Vault: %w", err)
	}

	if wrapped.KID == nil {
		return nil, fmt.Errorf("wrapping under Key Vault: %w", errShort)
	}

	head, err := vaultHead(wrapped.KID.Version(), wrapped.Result)
	if err != nil {
		return nil, err
	}

	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}

	v.remember(head, key)

	return encrypt(aead, v.random, head, plain, associated)
}

// Open implements [Sealer].
func (v *Vault) Open(ctx context.Context, sealed, associated []byte) ([]byte, error) {
	head, version, wrapped, err := readVaultHead(sealed)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOpen, err)
	}

	key, err := v.unwrap(ctx, head, version, wrapped)
	if err != nil {
		return nil, err
	}

	aead, err := newAEAD(key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOpen, err)
	}

	return decrypt(aead, head, sealed[len(head):], associated)
}

// unwrap asks memory, then the vault.
func (v *Vault) unwrap(ctx context.Context, head []byte, version string, wrapped []byte) ([]byte, error) {
	v.mu.Lock()
	key := v.opened[sha256.Sum256(head)]
	v.mu.Unlock()

	if key != nil {
		return key, nil
	}

	answer, err := v.client.UnwrapKey(ctx, v.key, version, azkeys.KeyOperationParameters{
		Algorithm: to.Ptr(azkeys.EncryptionAlgorithmRSAOAEP256), Value: wrapped,
	}, nil)
	if err != nil {
		return nil, fmt.Errorf("unwrapping with Key Vault: %w", err)
	}

	v.remember(head, answer.Result)

	return answer.Result, nil
}

func (v *Vault) remember(head, key []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()

	if len(v.opened) >= maxOpened {
		clear(v.opened)
	}

	v.opened[sha256.Sum256(head)] = key
}

const maxVaultPart = 1 << 10

// vaultHead writes form, version and wrapped key.
func vaultHead(version string, wrapped []byte) ([]byte, error) {
	if !isVersion(version) || len(wrapped) > maxVaultPart || len(wrapped) == 0 {
		return nil, fmt.Errorf("wrapping under Key Vault: %w", errForm)
	}

	head := []byte{formVault}
	for _, part := range [][]byte{[]byte(version), wrapped} {
		head = append(head, byte(len(part)>>8), byte(len(part))) //nolint:gosec,mnd // G115: parts are at most 1 KB.
		head = append(head, part...)
	}

	return head, nil
}

// readVaultHead returns the head of what was sealed, and its parts.
func readVaultHead(sealed []byte) ([]byte, string, []byte, error) {
	if len(sealed) == 0 || sealed[0] != formVault {
		return nil, "", nil, errForm
	}

	const sizeBytes = 2

	var parts [2][]byte

	at := 1

	for i := range parts {
		if len(sealed) < at+sizeBytes {
			return nil, "", nil, errShort
		}

		size := int(sealed[at])<<8 | int(sealed[at+1]) //nolint:mnd // Two bytes, the greater first.
		at += sizeBytes

		if size > maxVaultPart || len(sealed) < at+size {
			return nil, "", nil, errShort
		}

		parts[i] = sealed[at : at+size]
		at += size
	}

	version := string(parts[0])
	if !isVersion(version) {
		return nil, "", nil, errForm
	}

	return sealed[:at:at], version, parts[1], nil
}

// maxVersion is far above the 32 characters of Key Vault's versions.
const maxVersion = 64

// isVersion tells whether text can be a version of a key: letters and digits. It becomes a segment of the path that the vault is asked
// with, where ".." would name another resource.
func isVersion(text string) bool {
	return text != "" && len(text) <= maxVersion && strings.IndexFunc(text, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) < 0
}
