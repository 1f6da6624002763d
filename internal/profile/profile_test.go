package profile_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/internal/profile"
)

func TestWhatWasSavedIsLoaded(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "cosmosgate", "profile.yaml")
	p, err := profile.Load(path)
	if err != nil || len(p.Gates) != 0 {
		t.Fatalf("a file that does not exist: %v, %v", p, err)
	}
	p.Use(profile.Gate{URL: "https://one/"})
	p.Use(profile.Gate{URL: "https://two/", SignIn: "corp", Authorities: "-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n"})
	p.Use(profile.Gate{URL: "https://one/", SignIn: "other"})
	if err := p.Save(path); err != nil {
		t.Fatal(err)
	}
	got, err := profile.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p, got); diff != "" {
		t.Errorf("(-saved +loaded):\n%s", diff)
	}
	if diff := cmp.Diff("https://one/ 2 other", got.Current+" "+string(rune('0'+len(got.Gates)))+" "+got.Find("https://one/").SignIn); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got.Find("https://three/") != nil {
		t.Error("a gate was found that nobody used")
	}
	if left, _ := filepath.Glob(filepath.Dir(path) + "/.profile-*"); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestAFaultyFileIsRefusedByItsName(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"an unknown key": "token: x\n", "no YAML": "a: [", "too large": strings.Repeat("#", 2<<20),
	} {
		path := filepath.Join(t.TempDir(), "profile.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := profile.Load(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v, want one naming the file", name, err)
		}
	}
}
