package policy_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cosmosgate/cosmosgate/policy"
)

func TestAPolicyFolderBehindALinkIsRead(t *testing.T) {
	t.Parallel()
	// The form that Kubernetes gives a mounted ConfigMap: a hidden folder, a link to it, and a link for each file.
	dir := t.TempDir()
	version := filepath.Join(dir, "mount", "..2026_11_24")
	steps := []error{
		os.MkdirAll(version, 0o700),
		os.WriteFile(filepath.Join(version, "roles.yaml"), []byte("kind: Role\nname: reader\nidentity: ro\nrules:\n- dataActions: [items/read]\n  resources: [a/b/c]\n"), 0o600),
		os.Symlink("..2026_11_24", filepath.Join(dir, "mount", "..data")),
		os.Symlink(filepath.Join("..data", "roles.yaml"), filepath.Join(dir, "mount", "roles.yaml")),
		os.Symlink("mount", filepath.Join(dir, "policy")),
	}
	for _, err := range steps {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"mount", "policy"} {
		set, err := policy.Load([]string{filepath.Join(dir, path)}, policy.Options{})
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if got := set.Roles(); len(got) != 1 || got[0] != "reader" {
			t.Errorf("%s: roles = %v, want the one role, once", path, got)
		}
	}
}

func TestAnEmptyPolicyFolderIsAMistake(t *testing.T) {
	t.Parallel()
	_, err := policy.Load([]string{t.TempDir()}, policy.Options{})
	if err == nil || !strings.Contains(err.Error(), "holds no .yaml file") {
		t.Errorf("error = %v, want one that says the folder is empty", err)
	}
}
