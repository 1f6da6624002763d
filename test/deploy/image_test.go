package deploy_test

import (
	"debug/elf"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// built is the binary that the Dockerfile's own command makes from what .dockerignore lets through; made once for all tests.
var built = struct {
	sync.Once
	context, binary string
	err             error
	output          []byte
}{}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.context != "" {
		_ = os.RemoveAll(filepath.Dir(built.context)) // a temporary folder
	}
	os.Exit(code)
}

// binary builds as the image does, with /out elsewhere.
func binary(t *testing.T) string {
	t.Helper()
	run := load(t, root).Image
	built.Do(func() {
		var dir string
		if dir, built.err = os.MkdirTemp("", "cosmosgate-image-"); built.err != nil { //nolint:usetesting // outlives the test that asks first
			return
		}
		built.context = filepath.Join(dir, "context")
		if built.err = copyContext(root, built.context); built.err != nil {
			return
		}
		cmd := exec.Command("sh", "-c", strings.ReplaceAll(run.BuildRun, "/out", filepath.Join(dir, "out")))
		cmd.Dir = built.context
		built.output, built.err = cmd.CombinedOutput()
		built.binary = strings.Replace(run.Output(), "/out", filepath.Join(dir, "out"), 1)
	})
	if built.err != nil {
		t.Fatalf("building as the image does: %v\n%s", built.err, built.output)
	}
	return built.binary
}

// copyContext copies what the engine would be sent.
func copyContext(from, to string) error {
	rules, err := os.Open(filepath.Join(from, ".dockerignore"))
	if err != nil {
		return err
	}
	defer rules.Close()
	patterns, err := ignorefile.ReadAll(rules)
	if err != nil {
		return err
	}
	ignored, err := patternmatcher.New(patterns)
	if err != nil {
		return err
	}
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil || name == "." {
			return err
		}
		skip, err := ignored.MatchesOrParentMatches(name)
		switch {
		case err != nil:
			return err
		case skip && entry.IsDir():
			return fs.SkipDir
		case skip:
			return nil
		case entry.IsDir():
			return os.MkdirAll(filepath.Join(to, name), 0o700)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(to, name)), 0o700); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), text, 0o600)
	})
}

func TestTheImageBuildsFromItsContextAndIsStatic(t *testing.T) {
	t.Parallel()
	f, err := elf.Open(binary(t))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("the binary asks for a dynamic loader, which the empty base does not have")
		}
	}
}

func TestTheContextHoldsNothingButSources(t *testing.T) {
	t.Parallel()
	binary(t)
	err := filepath.WalkDir(built.context, func(path string, entry fs.DirEntry, err error) error {
		name := entry.Name()
		for _, unwanted := range []string{".git", ".env", ".state", "test", "docs", "testdata", "node_modules"} {
			if name == unwanted {
				t.Errorf("%s is in the build context", path)
			}
		}
		for _, suffix := range []string{"_test.go", ".pem", ".key", ".pfx", ".db", ".jsonl"} {
			if strings.HasSuffix(name, suffix) {
				t.Errorf("%s is in the build context", path)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAFolderMissingFromTheContextIsFound(t *testing.T) {
	t.Parallel()
	dir := breakTree(t, ".dockerignore", "!policy\n", "")
	to := filepath.Join(t.TempDir(), "context")
	for _, name := range []string{"cmd", "policy"} { // stand-ins for the tree
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "x.go"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := copyContext(dir, to); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(to, "cmd", "x.go")); err != nil {
		t.Error("cmd is not in the context:", err)
	}
	if _, err := os.Stat(filepath.Join(to, "policy")); err == nil {
		t.Error("policy is in the context, though .dockerignore does not let it in")
	}
}
