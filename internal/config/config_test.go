package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/cosmosgate/cosmosgate/internal/config"
)

func TestEveryFaultIsReportedAtOnceWithItsPlace(t *testing.T) {
	t.Parallel()
	archive, err := txtar.ParseFile("testdata/faults.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range archive.Files {
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			src, want, _ := strings.Cut(string(f.Data), "---\n")
			c, err := config.Parse("config.yaml", []byte(src))
			if err == nil {
				t.Fatal("the file was accepted")
			}
			if diff := cmp.Diff(strings.TrimSpace(want), withoutDefaults(err.Error(), src)); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(config.Config{}, c); diff != "" {
				t.Errorf("a refused file still yields settings:\n%s", diff)
			}
		})
	}
}

// withoutDefaults drops what a short file is told about the sections it leaves out, unless the row is the whole file.
func withoutDefaults(got, src string) string {
	if strings.Contains(src, "accounts:") {
		return got
	}
	var kept []string
	for l := range strings.Lines(got) {
		if !strings.Contains(l, "is required") && !strings.Contains(l, "is empty: name") {
			kept = append(kept, strings.TrimSpace(l))
		}
	}
	return strings.Join(kept, "\n")
}

func TestACompleteFileIsReadWithItsDefaults(t *testing.T) {
	t.Parallel()
	c, err := config.Load("testdata/valid.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Errorf("a loaded file must validate: %v", err)
	}
	if diff := cmp.Diff(config.Default().Limits, c.Limits); diff != "" {
		t.Errorf("limits (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"cosmos.corp.example"}, c.Accounts[0].AllHosts()); diff != "" {
		t.Errorf("hosts (-want +got):\n%s", diff)
	}
	if got, want := c.Connections[0].Tokens[0].Expires, time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC); !got.Equal(want) {
		t.Errorf("token expires %v, want %v", got, want)
	}
}

func TestAMissingFileSaysWhich(t *testing.T) {
	t.Parallel()
	if _, err := config.Load("testdata/none.yaml"); err == nil || !strings.Contains(err.Error(), "testdata/none.yaml") {
		t.Errorf("error = %v, want one naming the file", err)
	}
}

func TestAnOversizedFileIsRefusedUnread(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "huge.yaml")
	if err := os.WriteFile(path, make([]byte, 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(path); err == nil || !strings.Contains(err.Error(), "larger than 1 MiB") {
		t.Errorf("error = %v, want one about the size", err)
	}
}

func TestASecretIsAReferenceUntilResolved(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := config.Secret{File: path}
	if got := s.String() + s.LogValue().String(); strings.Contains(got, "hunter2") {
		t.Errorf("printing shows the secret: %s", got)
	}
	got, err := s.Resolve()
	if err != nil || got != "hunter2" {
		t.Errorf("Resolve() = %q, %v; want the file's line", got, err)
	}
	for _, empty := range []config.Secret{{}, {Env: "COSMOSGATE_TEST_UNSET"}, {File: path + ".absent"}} {
		if got, err := empty.Resolve(); err == nil {
			t.Errorf("%q resolves to %q, want an error", empty, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	valid, err := os.ReadFile("testdata/valid.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(valid)
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("listen: {data: {tls: [1]}}"))
	f.Fuzz(func(t *testing.T, src []byte) {
		c, err := config.Parse("fuzz.yaml", src)
		if err != nil {
			return
		}
		if err := c.Validate(); err != nil {
			t.Errorf("accepted by Parse, refused by Validate: %v", err)
		}
	})
}
