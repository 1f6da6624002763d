package credential_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/credential"
)

func sha(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// ring is a keyring in memory; down is why it does not answer.
type ring struct {
	mu      sync.Mutex
	secrets map[string]string
	down    error
}

func (r *ring) Get(_ context.Context, name string) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down != nil {
		return "", r.down
	}
	secret, found := r.secrets[name]
	if !found {
		return "", credential.ErrNoSession
	}
	return secret, nil
}

func (r *ring) Set(_ context.Context, name, secret string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down != nil {
		return r.down
	}
	r.secrets[name] = secret
	return nil
}

const text = `{"access_token":"very-secret"}`

func TestWhatIsKeptComesBack(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		keyring credential.Keyring
		sealed  bool
	}{
		{"without a keyring", nil, false},
		{"with a keyring", &ring{secrets: map[string]string{}}, true},
		{"with a keyring that does not answer", &ring{down: errors.New("no D-Bus")}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			folder := filepath.Join(t.TempDir(), "a", "sessions")
			s := credential.NewStore(folder, row.keyring)
			if _, err := s.Load(t.Context(), "one"); !errors.Is(err, credential.ErrNoSession) {
				t.Errorf("before: %v", err)
			}
			if err := s.Save(t.Context(), "one", []byte(text)); err != nil {
				t.Fatal(err)
			}
			got, err := credential.NewStore(folder, row.keyring).Load(t.Context(), "one")
			if err != nil || string(got) != text {
				t.Errorf("got %s, %v", got, err)
			}
			raw, err := os.ReadFile(filepath.Join(folder, "one.json"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(row.sealed, !strings.Contains(string(raw), "very-secret")); diff != "" {
				t.Errorf("sealed (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(row.sealed, s.UsesKeyring(t.Context())); diff != "" {
				t.Errorf("uses the keyring (-want +got):\n%s", diff)
			}
			for path, want := range map[string]os.FileMode{folder: 0o700, filepath.Join(folder, "one.json"): 0o600} {
				if info, err := os.Stat(path); runtime.GOOS != "windows" && (err != nil || info.Mode().Perm() != want) {
					t.Errorf("%s: %v %v, want mode %o", path, info.Mode(), err, want)
				}
			}
			if err := errors.Join(s.Delete(t.Context(), "one"), s.Delete(t.Context(), "one")); err != nil {
				t.Errorf("deleting, twice: %v", err)
			}
			if left, _ := filepath.Glob(folder + "/*"); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestASessionThatTheKeyringDoesNotSealIsKeptAndSaidToBeOnceAtTheSignIn(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		keyring credential.Keyring
		want    int
	}{
		{"a keyring that does not answer", &ring{down: errors.New("no D-Bus")}, 1},
		{"a keyring that holds something else", &ring{secrets: map[string]string{"session-key": "x"}}, 1},
		{"a keyring that seals", &ring{secrets: map[string]string{}}, 0},
		{"none, on purpose", nil, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			var said []error
			c := w.credential(func(o *credential.Options) {
				o.Store = credential.NewStore(w.folder, row.keyring)
				o.Warn = func(err error) { said = append(said, err) }
			})
			if _, err := subject(t, c); err != nil {
				t.Fatal(err)
			}
			w.advance(40 * time.Minute) // past half the token's life
			if got, err := subject(t, c); err != nil || got != "00u-ann" {
				t.Errorf("renewed: %q, %v", got, err)
			}
			if diff := cmp.Diff(row.want, len(said)); diff != "" {
				t.Fatalf("warnings (-want +got):\n%s\n%v", diff, said)
			}
			if row.want == 0 {
				return
			}
			unsealed, is := errors.AsType[*credential.UnsealedError](said[0])
			if !is || filepath.Dir(unsealed.Path) != w.folder {
				t.Errorf("said %v", said[0])
			}
			if info, err := os.Stat(unsealed.Path); runtime.GOOS != "windows" && (err != nil || info.Mode().Perm() != 0o600) {
				t.Errorf("%v: %v", info, err)
			}
		})
	}
}

// fallible is a keyring that fails whenever left is nought, and counts it down.
type fallible struct {
	*ring

	left *int
}

func (f fallible) Get(ctx context.Context, name string) (string, error) {
	if *f.left == 0 {
		return "", errors.New("the keyring was locked meanwhile")
	}
	*f.left--
	return f.ring.Get(ctx, name)
}

func TestASealedSessionThatLosesItsSealWhenItIsRenewedIsSaidToOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const enough = 100
	left := enough
	var said []error
	c := w.credential(func(o *credential.Options) {
		o.Store = credential.NewStore(w.folder, fallible{&ring{secrets: map[string]string{}}, &left})
		o.Warn = func(err error) { said = append(said, err) }
	})
	for _, step := range []struct {
		name  string
		gets  int
		warns int
	}{
		{"signed in and sealed", enough, 0},
		{"opened, and renewed while the keyring fails", 1, 1},
		{"renewed once more without a seal", 0, 1},
		{"renewed and sealed again", enough, 1},
		{"opened, and renewed while the keyring fails again", 1, 2},
	} {
		left = step.gets
		if got, err := subject(t, c); err != nil || got != "00u-ann" {
			t.Errorf("%s: %q, %v", step.name, got, err)
		}
		if len(said) != step.warns {
			t.Errorf("%s: %d warnings, want %d: %v", step.name, len(said), step.warns, said)
		}
		w.advance(40 * time.Minute) // past half the token's life
	}
	for _, err := range said {
		if _, is := errors.AsType[*credential.UnsealedError](err); !is {
			t.Errorf("said %v", err)
		}
	}
}

func TestWhatOthersMayReadIsRefused(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows keeps profiles apart without modes")
	}
	for _, row := range []struct {
		name   string
		expose func(folder, file string) error
	}{
		{"a file that the group may read", func(_, file string) error { return os.Chmod(file, 0o640) }},
		{"a file that everybody may read", func(_, file string) error { return os.Chmod(file, 0o604) }},
		{"a folder that others may list", func(folder, _ string) error { return os.Chmod(folder, 0o755) }},
		{"a link in place of the file", func(_, file string) error {
			return errors.Join(os.Rename(file, file+".real"), os.Symlink(file+".real", file))
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			folder := filepath.Join(t.TempDir(), "sessions")
			s := credential.NewStore(folder, nil)
			if err := s.Save(t.Context(), "one", []byte(text)); err != nil {
				t.Fatal(err)
			}
			if err := row.expose(folder, filepath.Join(folder, "one.json")); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Load(t.Context(), "one"); !errors.Is(err, credential.ErrExposed) {
				t.Errorf("error %v, want that it is open to others", err)
			}
		})
	}
}

func TestASealedSessionNeedsItsKey(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "sessions")
	keys := &ring{secrets: map[string]string{}}
	if err := credential.NewStore(folder, keys).Save(t.Context(), "one", []byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(folder, "one.json"), filepath.Join(folder, "two.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := credential.NewStore(folder, keys).Load(t.Context(), "two"); !errors.Is(err, credential.ErrSealed) {
		t.Errorf("put in place of another session: %v", err)
	}
	if err := os.Rename(filepath.Join(folder, "two.json"), filepath.Join(folder, "one.json")); err != nil {
		t.Fatal(err)
	}
	for name, k := range map[string]credential.Keyring{
		"no keyring": nil, "a silent keyring": &ring{down: errors.New("locked")}, "a keyring that lost it": &ring{secrets: map[string]string{}},
		"a keyring with another key": &ring{secrets: map[string]string{"session-key": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}},
		"a keyring with something":   &ring{secrets: map[string]string{"session-key": "x"}},
	} {
		if _, err := credential.NewStore(folder, k).Load(t.Context(), "one"); !errors.Is(err, credential.ErrSealed) {
			t.Errorf("%s: error %v, want that it is sealed", name, err)
		}
	}
}

func TestIDsCannotLeaveTheFolder(t *testing.T) {
	t.Parallel()
	s := credential.NewStore(t.TempDir(), nil)
	for _, id := range []string{"", "../x", "a/b", "A", "x.json", strings.Repeat("a", 65)} {
		if err := s.Save(t.Context(), id, []byte(text)); err == nil {
			t.Errorf("%q was accepted", id)
		}
	}
}

func TestALockIsWaitedForUntilTheCallerGivesUp(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "sessions")
	unlock, err := credential.NewStore(folder, nil).Lock(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := credential.NewStore(folder, nil).Lock(ctx, "one"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that the caller gave up", err)
	}
	unlock()
	again, err := credential.NewStore(folder, nil).Lock(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	again()
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(`{"version":1,"session":{}}`))
	f.Add([]byte(`{"version":1,"sealed":"AAAA"}`))
	f.Add([]byte(`{`))
	f.Fuzz(func(t *testing.T, content []byte) {
		folder := t.TempDir()
		if err := os.Chmod(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, "one.json"), content, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := credential.NewStore(folder, &ring{secrets: map[string]string{}}).Load(t.Context(), "one")
		if err != nil && !errors.Is(err, credential.ErrNoSession) && !errors.Is(err, credential.ErrSealed) {
			t.Errorf("%q: %s %v", content, got, err)
		}
	})
}
