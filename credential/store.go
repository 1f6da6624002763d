package credential

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"time"

	"github.com/zalando/go-keyring"
)

// Keyring keeps small secrets where other users and backups do not see them.
type Keyring interface {
	// Get returns a secret, or an error that wraps [ErrNoSession] if there is none. Any other error means that the keyring
	// cannot be used.
	Get(ctx context.Context, name string) (string, error)
	// Set keeps a secret.
	Set(ctx context.Context, name, secret string) error
}

// Store keeps sessions: one file each, of mode 0600 in a folder of mode 0700. Where there is a keyring the file is sealed with
// a key that only the keyring has; without one it is not sealed. A file or folder that others may read is refused. The store is
// shared by all processes of a user and safe for concurrent use.
type Store struct {
	folder  string
	keyring Keyring
}

var (
	// ErrNoSession means that nothing is kept under the name.
	ErrNoSession = errors.New("there is no session")
	// ErrExposed means that somebody else may read or replace what is kept.
	ErrExposed = errors.New("is open to others")
	// ErrSealed means that a session is kept and cannot be opened, because the keyring does not answer or has lost the key.
	ErrSealed = errors.New("the session is sealed by the keyring, which does not open it")
)

// DefaultStore is the store in the user's configuration folder with the operating system's keyring.
func DefaultStore() (*Store, error) { return storeWith(SystemKeyring{}) }

// DefaultFileStore is the default store without a keyring. It cannot open what the other has sealed.
func DefaultFileStore() (*Store, error) { return storeWith(nil) }

func storeWith(k Keyring) (*Store, error) {
	folder, err := os.UserConfigDir()
	if err != nil {
		return nil, fmt.Errorf("finding the configuration folder: %w", err)
	}
	return NewStore(filepath.Join(folder, "cosmosgate", "sessions"), k), nil
}

// NewStore returns a store in a folder, which is made when something is kept. A nil keyring means none.
func NewStore(folder string, k Keyring) *Store { return &Store{folder: folder, keyring: k} }

// kept is the content of a file: Plain, or Sealed by the keyring's key.
type kept struct {
	Version int             `json:"version"`
	Plain   json.RawMessage `json:"session,omitempty"`
	Sealed  []byte          `json:"sealed,omitempty"`
}

// Load returns what is kept under an id, or an error that wraps [ErrNoSession], [ErrExposed] or [ErrSealed].
func (s *Store) Load(ctx context.Context, id string) ([]byte, error) {
	session, _, err := s.load(ctx, id)
	return session, err
}

// load says also whether the session was sealed.
func (s *Store) load(ctx context.Context, id string) (session []byte, sealed bool, err error) {
	path, err := s.path(id)
	if err != nil {
		return nil, false, err
	}
	text, err := s.read(path)
	if err != nil {
		return nil, false, err
	}
	var k kept
	if err := json.Unmarshal(text, &k); err != nil || k.Version != 1 {
		return nil, false, fmt.Errorf("%w that can be read in %s", ErrNoSession, path)
	}
	if k.Sealed == nil {
		return k.Plain, false, nil
	}
	session, err = s.open(ctx, id, k.Sealed)
	return session, true, err
}

// UnsealedError says that a session is kept, in a file that nothing but its mode protects, because the keyring did not do its part.
type UnsealedError struct {
	Path   string
	Reason error
}

func (e *UnsealedError) Error() string {
	return fmt.Sprintf("the session is kept unsealed in %s, protected by its mode alone: %s", e.Path, printable(e.Reason.Error()))
}

// Unwrap returns what the keyring said.
func (e *UnsealedError) Unwrap() error { return e.Reason }

// Save keeps a session, whole or not at all. It must be JSON. A session that the keyring does not seal is kept all the same.
func (s *Store) Save(ctx context.Context, id string, session []byte) error {
	_, err := s.save(ctx, id, session)
	return err
}

// save tells apart that the session is not kept, and that it is kept without the seal that it should have.
func (s *Store) save(ctx context.Context, id string, session []byte) (unsealed *UnsealedError, err error) {
	path, err := s.path(id)
	if err != nil {
		return nil, err
	}
	if err := s.prepare(); err != nil {
		return nil, err
	}
	k := kept{Version: 1}
	sealed, fault := s.seal(ctx, id, session)
	switch {
	case fault == nil:
		k.Sealed = sealed
	case s.keyring != nil:
		unsealed = &UnsealedError{Path: path, Reason: fault}
		fallthrough
	default:
		k.Plain = session
	}
	text, err := json.Marshal(k)
	if err != nil {
		return nil, fmt.Errorf("keeping the session: %w", err)
	}
	return unsealed, replace(path, text)
}

// Delete forgets a session. Forgetting none succeeds.
func (s *Store) Delete(_ context.Context, id string) error {
	path, err := s.path(id)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("deleting the session: %w", err)
	}
	return nil
}

// Lock waits until no other process holds the session, and keeps it until the returned function is called.
func (s *Store) Lock(ctx context.Context, id string) (unlock func(), err error) {
	path, err := s.path(id)
	if err != nil {
		return nil, err
	}
	if err := s.prepare(); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, ownerOnly)
	if err != nil {
		return nil, fmt.Errorf("opening the session's lock: %w", err)
	}
	const pause = 20 * time.Millisecond
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		taken, err := tryLock(f)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("locking the session: %w", err), f.Close())
		}
		if taken {
			return func() { _ = f.Close() }, nil // closing gives the lock back
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("waiting for the session's lock: %w", context.Cause(ctx)), f.Close())
		}
	}
}

// UsesKeyring says whether sessions are sealed on this machine.
func (s *Store) UsesKeyring(ctx context.Context) bool {
	if s.keyring == nil {
		return false
	}
	_, err := s.keyring.Get(ctx, keyName)
	return err == nil || errors.Is(err, ErrNoSession)
}

const (
	ownerOnly       = 0o600
	ownerOnlyFolder = 0o700
	everybodyElse   = 0o077
	keyName         = "session-key"
	keyBytes        = 32
)

var (
	idForm = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)
	errID  = errors.New("is not the id of a session")
)

func (s *Store) path(id string) (string, error) {
	if !idForm.MatchString(id) {
		return "", fmt.Errorf("%q %w", id, errID)
	}
	return filepath.Join(s.folder, id+".json"), nil
}

// prepare makes the folder, and refuses one that others may look into.
func (s *Store) prepare() error {
	if err := os.MkdirAll(s.folder, ownerOnlyFolder); err != nil {
		return fmt.Errorf("making the folder of sessions: %w", err)
	}
	info, err := os.Stat(s.folder)
	if err != nil {
		return fmt.Errorf("looking at the folder of sessions: %w", err)
	}
	return exposed(s.folder, info)
}

// exposed refuses what others may read. Windows keeps a profile's files from others by itself, without modes.
func exposed(path string, info fs.FileInfo) error {
	if runtime.GOOS != "windows" && info.Mode().Perm()&everybodyElse != 0 {
		return fmt.Errorf("%s %w: mode %04o; chmod go= it", path, ErrExposed, info.Mode().Perm())
	}
	return nil
}

func (s *Store) read(path string) ([]byte, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, ErrNoSession
	case err != nil:
		return nil, fmt.Errorf("reading the session: %w", err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s %w: it is no plain file", path, ErrExposed)
	case info.Size() > largestAnswer:
		return nil, fmt.Errorf("%w that can be read in %s", ErrNoSession, path)
	}
	if folder, err := os.Stat(s.folder); err == nil {
		if err := exposed(s.folder, folder); err != nil {
			return nil, err
		}
	}
	if err := exposed(path, info); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the session: %w", err)
	}
	return text, nil
}

// replace puts a file in place at once, so that a reader finds the old one or the new one.
func replace(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // of mode 0600
	if err != nil {
		return fmt.Errorf("keeping the session: %w", err)
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("keeping the session: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

// seal encrypts a session for one id with the keyring's key, which is made on first use.
func (s *Store) seal(ctx context.Context, id string, session []byte) ([]byte, error) {
	if s.keyring == nil {
		return nil, ErrSealed
	}
	key, err := s.keyring.Get(ctx, keyName)
	if errors.Is(err, ErrNoSession) {
		fresh := make([]byte, keyBytes)
		_, _ = rand.Read(fresh) // never fails: crypto/rand ends the process instead
		key = base64.StdEncoding.EncodeToString(fresh)
		if err = s.keyring.Set(ctx, keyName, key); err == nil {
			key, err = s.keyring.Get(ctx, keyName) // another process may have been as fast
		}
	}
	if err != nil {
		return nil, err //nolint:wrapcheck // the keyring's own words are what a person needs
	}
	box, err := newBox(key)
	if err != nil {
		return nil, err
	}
	return box.Seal(nil, nil, session, []byte(id)), nil //nolint:gosec // G407: this AEAD makes its own nonce
}

func (s *Store) open(ctx context.Context, id string, sealed []byte) ([]byte, error) {
	if s.keyring == nil {
		return nil, ErrSealed
	}
	key, err := s.keyring.Get(ctx, keyName)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSealed, err)
	}
	box, err := newBox(key)
	if err != nil {
		return nil, err
	}
	session, err := box.Open(nil, nil, sealed, []byte(id))
	if err != nil {
		return nil, fmt.Errorf("%w: another key sealed it", ErrSealed)
	}
	return session, nil
}

func newBox(key string) (cipher.AEAD, error) {
	secret, err := base64.StdEncoding.DecodeString(key)
	if err != nil || len(secret) != keyBytes {
		return nil, fmt.Errorf("%w: the keyring holds something else", ErrSealed)
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSealed, err)
	}
	box, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSealed, err)
	}
	return box, nil
}

// SystemKeyring is the operating system's: Keychain, Credential Manager, or the Secret Service on D-Bus.
type SystemKeyring struct{}

const (
	keyringService = "cosmosgate"
	// keyringPatience is how long a keyring may take: one that waits for a person to unlock it must not hang a script.
	keyringPatience = 15 * time.Second
)

var errKeyringSilent = errors.New("the keyring does not answer")

// Get implements [Keyring].
func (SystemKeyring) Get(ctx context.Context, name string) (string, error) {
	secret, err := inTime(ctx, func() (string, error) { return keyring.Get(keyringService, name) })
	if errors.Is(err, keyring.ErrNotFound) {
		return "", fmt.Errorf("%w: %w", ErrNoSession, err)
	}
	return secret, err
}

// Set implements [Keyring].
func (SystemKeyring) Set(ctx context.Context, name, secret string) error {
	_, err := inTime(ctx, func() (string, error) { return "", keyring.Set(keyringService, name, secret) })
	return err
}

// inTime gives up on a call that cannot be cancelled; the call itself ends with the process at the latest.
func inTime(ctx context.Context, call func() (string, error)) (string, error) {
	type result struct {
		secret string
		err    error
	}
	done := make(chan result, 1)
	go func() {
		secret, err := call()
		done <- result{secret, err}
	}()
	timer := time.NewTimer(keyringPatience)
	defer timer.Stop()
	select {
	case r := <-done:
		return r.secret, r.err
	case <-timer.C:
		return "", errKeyringSilent
	case <-ctx.Done():
		return "", fmt.Errorf("waiting for the keyring: %w", context.Cause(ctx))
	}
}
