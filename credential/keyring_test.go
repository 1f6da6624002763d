package credential_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/zalando/go-keyring"

	"github.com/cosmosgate/cosmosgate/credential"
)

// TestTheSystemsKeyringSealsSessions runs alone: the keyring package is told once for the whole process to pretend.
func TestTheSystemsKeyringSealsSessions(t *testing.T) {
	keyring.MockInit()
	if _, err := (credential.SystemKeyring{}).Get(t.Context(), "nothing"); !errors.Is(err, credential.ErrNoSession) {
		t.Errorf("nothing kept: %v", err)
	}
	s := credential.NewStore(filepath.Join(t.TempDir(), "sessions"), credential.SystemKeyring{})
	if err := s.Save(t.Context(), "one", []byte(text)); err != nil {
		t.Fatal(err)
	}
	got, err := s.Load(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(text, string(got)); diff != "" || !s.UsesKeyring(t.Context()) {
		t.Errorf("(-want +got):\n%s", diff)
	}

	keyring.MockInitWithError(errors.New("no Secret Service on this bus"))
	if _, err := s.Load(t.Context(), "one"); !errors.Is(err, credential.ErrSealed) || !strings.Contains(err.Error(), "no Secret Service") {
		t.Errorf("a keyring that has gone: %v", err)
	}
	if s.UsesKeyring(t.Context()) {
		t.Error("a keyring that has gone is used")
	}
}
