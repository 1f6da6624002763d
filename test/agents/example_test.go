package agents_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	// What the Go program of the page imports: it is run in this module.
	_ "github.com/Azure/azure-sdk-for-go/sdk/azcore"
	_ "github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

const page = "../../docs/agents.md"

// block returns the first block of a language on the page that holds a text.
func block(t *testing.T, language, holds string) string {
	t.Helper()
	text, err := os.ReadFile(page)
	must(t, err)
	for i, part := range strings.Split("\n"+string(text), "\n```") {
		if kind, body, _ := strings.Cut(part, "\n"); i%2 == 1 && kind == language && strings.Contains(body, holds) {
			return body + "\n"
		}
	}
	t.Fatalf("%s has no %s block with %q", page, language, holds)
	return ""
}

func TestTheProgramsOfThePageDoWhatItSays(t *testing.T) {
	t.Parallel()
	r, _ := develop(t)
	for _, row := range []struct {
		name, want string
		command    func(t *testing.T) *exec.Cmd
	}{
		{"Go", block(t, "", "after giving the token back: refused with 401/5013"), func(t *testing.T) *exec.Cmd {
			t.Helper()
			dir, err := os.MkdirTemp(".", "example-")
			must(t, err)
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			must(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(block(t, "go", "package main")), 0o600))
			return exec.Command("go", "run", "./"+dir)
		}},
		{"JavaScript", `
for the person: order of Café Kraków
beyond the person: refused with 403
after giving the token back: refused with 401
`, func(t *testing.T) *exec.Cmd {
			t.Helper()
			modules := node(t)
			dir := t.TempDir()
			must(t, os.WriteFile(filepath.Join(dir, "agent.mjs"), []byte(block(t, "js", "CosmosClient")), 0o600))
			must(t, os.Symlink(modules, filepath.Join(dir, "node_modules")))
			return exec.Command("node", filepath.Join(dir, "agent.mjs"))
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			signIn := exec.Command(r.TokenCommand[0], append(r.TokenCommand[1:], "ann")...)
			person, err := signIn.Output()
			must(t, err)
			program := row.command(t)
			program.Env = append(os.Environ(),
				"GATE="+r.Gate.Endpoint, "TOKEN_SERVICE="+r.TokenService, "AGENT="+r.Agent.Name, "AGENT_KEY="+r.Agent.KeyFile,
				"PERSON_TOKEN="+strings.TrimSpace(string(person)), "SSL_CERT_FILE="+r.CA, "NODE_EXTRA_CA_CERTS="+r.CA)
			out, err := program.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if diff := cmp.Diff(strings.TrimSpace(row.want), strings.TrimSpace(string(out))); diff != "" {
				t.Errorf("printed (-want +got):\n%s", diff)
			}
		})
	}
}
