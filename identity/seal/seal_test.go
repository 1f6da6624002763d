package seal_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/identity/seal"
)

// newKey returns a line of a key file.
func newKey(tb testing.TB) string {
	tb.Helper()

	key := make([]byte, seal.KeyBytes)
	if _, err := rand.Read(key); err != nil {
		tb.Fatal(err)
	}

	return base64.StdEncoding.EncodeToString(key) + "\n"
}

func newRing(tb testing.TB, text string) *seal.Ring {
	tb.Helper()

	ring, err := seal.NewRing(text, rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}

	return ring
}

func TestWhatIsSealedOpensForItsPurposeOnly(t *testing.T) {
	t.Parallel()

	ring := newRing(t, newKey(t))

	sealed, err := ring.Seal(t.Context(), []byte("secret"), []byte("sts key 1"))
	if err != nil {
		t.Fatal(err)
	}

	plain, err := ring.Open(t.Context(), sealed, []byte("sts key 1"))
	if err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff("secret", string(plain)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	if _, err := ring.Open(t.Context(), sealed, []byte("sts key 2")); !errors.Is(err, seal.ErrOpen) {
		t.Errorf("for another purpose: %v", err)
	}

	for i := range sealed {
		altered := bytes.Clone(sealed)
		altered[i] ^= 1

		if _, err := ring.Open(t.Context(), altered, []byte("sts key 1")); !errors.Is(err, seal.ErrOpen) {
			t.Errorf("byte %d altered: %v", i, err)
		}

		if _, err := ring.Open(t.Context(), sealed[:i], []byte("sts key 1")); !errors.Is(err, seal.ErrOpen) {
			t.Errorf("cut after %d bytes: %v", i, err)
		}
	}
}

func TestKeysAreReplacedWithoutLosingWhatTheySealed(t *testing.T) {
	t.Parallel()

	first, second := newKey(t), newKey(t)

	old, err := newRing(t, first).Seal(t.Context(), []byte("old"), nil)
	if err != nil {
		t.Fatal(err)
	}

	both := newRing(t, "# the new one first\n"+second+"\n"+first)
	if plain, err := both.Open(t.Context(), old, nil); err != nil || string(plain) != "old" {
		t.Errorf("with both keys: %q, %v", plain, err)
	}

	again, err := both.Seal(t.Context(), []byte("new"), nil)
	if err != nil {
		t.Fatal(err)
	}

	last := newRing(t, second)
	if plain, err := last.Open(t.Context(), again, nil); err != nil || string(plain) != "new" {
		t.Errorf("sealed under the new key: %q, %v", plain, err)
	}

	if _, err := last.Open(t.Context(), old, nil); !errors.Is(err, seal.ErrOpen) {
		t.Errorf("the old key is gone: %v", err)
	}
}

func TestKeyFilesThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()

	key := newKey(t)

	for name, text := range map[string]string{
		"empty": "", "only a comment": "# key\n", "short": base64.StdEncoding.EncodeToString([]byte("short")),
		"no base64": strings.Repeat("!", 44), "the same twice": key + key,
	} {
		if _, err := seal.NewRing(text, rand.Reader); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestAKeyFileThatOthersMayReadIsRefused(t *testing.T) {
	t.Parallel()

	path := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(path, []byte(newKey(t)), 0o600); err != nil {
		t.Fatal(err)
	}

	if _, err := seal.ReadRing(path, rand.Reader); err != nil {
		t.Fatal(err)
	}

	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}

	if _, err := seal.ReadRing(path, rand.Reader); err == nil {
		t.Error("accepted")
	}
}

func TestKeysDoNotPrint(t *testing.T) {
	t.Parallel()

	key := newKey(t)
	ring := newRing(t, key)

	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if diff := cmp.Diff("[redacted]", fmt.Sprintf(verb, ring)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", verb, diff)
		}
	}
}

func FuzzOpen(f *testing.F) {
	ring := newRing(f, newKey(f))

	sealed, err := ring.Seal(f.Context(), []byte("secret"), []byte("purpose"))
	if err != nil {
		f.Fatal(err)
	}

	f.Add(sealed)
	f.Add([]byte{1})
	f.Add([]byte{2, 0, 1, 'v', 0, 1, 'k'})
	f.Add([]byte{2, 0, 2, '.', '.', 0, 1, 'k'})

	vault := newVault(f, &vaultServer{})

	f.Fuzz(func(t *testing.T, altered []byte) {
		if bytes.Equal(altered, sealed) {
			return
		}

		if _, err := ring.Open(t.Context(), altered, []byte("purpose")); err == nil {
			t.Error("opened")
		}

		if _, err := vault.Open(t.Context(), altered, []byte("purpose")); err == nil {
			t.Error("the vault opened it")
		}
	})
}
