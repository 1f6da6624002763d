package seal_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/identity/seal"
)

const vaultURL = "https://corp.vault.azure.net"

// vaultServer answers as Key Vault's REST API does; its RSA is a XOR.
type vaultServer struct {
	version        atomic.Int64
	wraps, unwraps atomic.Int64
	down           atomic.Bool
}

func (v *vaultServer) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get("Authorization") == "" { // the SDK asks where to sign in first
		return answer(http.StatusUnauthorized, `{}`, http.Header{"Www-Authenticate": {
			`Bearer authorization="https://login.microsoftonline.com/tenant", resource="https://vault.azure.net"`,
		}}), nil
	}

	var asked struct {
		Alg   string `json:"alg"`
		Value string `json:"value"`
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		return nil, err
	}

	value, err := base64.RawURLEncoding.DecodeString(asked.Value)
	if err != nil {
		return nil, err
	}

	if asked.Alg != "RSA-OAEP-256" {
		return answer(http.StatusBadRequest, `{"error":{"code":"BadParameter"}}`, nil), nil
	}

	for i := range value {
		value[i] ^= 0x5a
	}

	version := strconv.FormatInt(v.version.Load(), 10)

	switch path := r.URL.Path; {
	case v.down.Load():
		return answer(http.StatusBadRequest, `{"error":{"code":"Down"}}`, nil), nil
	case strings.HasSuffix(path, "/wrapkey"):
		v.wraps.Add(1)
	case strings.HasSuffix(path, "/unwrapkey"):
		v.unwraps.Add(1)

		version = strings.Split(path, "/")[3]
	default:
		return answer(http.StatusNotFound, `{}`, nil), nil
	}

	return answer(http.StatusOK, `{"kid":"`+vaultURL+`/keys/gate/`+version+`","value":"`+base64.RawURLEncoding.EncodeToString(value)+`"}`, nil), nil
}

func answer(status int, body string, header http.Header) *http.Response {
	if header == nil {
		header = http.Header{}
	}

	header.Set("Content-Type", "application/json")

	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(bytes.NewBufferString(body))}
}

type credential struct{}

func (credential) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "token", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func newVault(tb testing.TB, server *vaultServer) *seal.Vault {
	tb.Helper()

	vault, err := seal.NewVault(seal.VaultConfig{
		URL: vaultURL, Key: "gate", Credential: credential{}, Random: rand.Reader, Transport: &http.Client{Transport: server},
	})
	if err != nil {
		tb.Fatal(err)
	}

	return vault
}

func TestTheVaultsKeyNeverLeavesIt(t *testing.T) {
	t.Parallel()

	server := &vaultServer{}
	writer := newVault(t, server)

	sealed, err := writer.Seal(t.Context(), []byte("secret"), []byte("purpose"))
	if err != nil {
		t.Fatal(err)
	}

	server.version.Add(1) // the key was rotated: the old version opens what it sealed

	reader := newVault(t, server)
	for range 2 {
		plain, err := reader.Open(t.Context(), sealed, []byte("purpose"))
		if err != nil {
			t.Fatal(err)
		}

		if diff := cmp.Diff("secret", string(plain)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}

	if server.wraps.Load() != 1 || server.unwraps.Load() != 1 {
		t.Errorf("%d wraps and %d unwraps, want one each", server.wraps.Load(), server.unwraps.Load())
	}

	if _, err := reader.Open(t.Context(), sealed, []byte("other")); !errors.Is(err, seal.ErrOpen) {
		t.Errorf("for another purpose: %v", err)
	}
}

func TestAnOutageOfTheVaultHurtsOnlyWhoStartsDuringIt(t *testing.T) {
	t.Parallel()

	server := &vaultServer{}
	running := newVault(t, server)

	sealed, err := running.Seal(t.Context(), []byte("secret"), nil)
	if err != nil {
		t.Fatal(err)
	}

	server.down.Store(true)

	if _, err := running.Open(t.Context(), sealed, nil); err != nil {
		t.Errorf("while it runs: %v", err)
	}

	_, err = newVault(t, server).Open(t.Context(), sealed, nil)
	if err == nil || errors.Is(err, seal.ErrOpen) {
		t.Errorf("at its start: %v", err)
	}
}

func TestOnlyAVersionOfTheKeyIsAskedFor(t *testing.T) {
	t.Parallel()

	server := &vaultServer{}
	vault := newVault(t, server)

	for _, version := range []string{"", "..", ".", "a/b", "a?b", "%2e", "ä", strings.Repeat("a", 65)} {
		sealed := append([]byte{2, 0, byte(len(version))}, version...)
		sealed = append(sealed, 0, 1, 'k')
		sealed = append(sealed, make([]byte, 64)...)

		if _, err := vault.Open(t.Context(), sealed, nil); !errors.Is(err, seal.ErrOpen) {
			t.Errorf("version %q: %v", version, err)
		}
	}

	if asked := server.unwraps.Load(); asked != 0 {
		t.Errorf("the vault was asked %d times", asked)
	}
}

func TestAVaultNeedsEverything(t *testing.T) {
	t.Parallel()

	if _, err := seal.NewVault(seal.VaultConfig{URL: vaultURL}); err == nil {
		t.Error("accepted")
	}
}
