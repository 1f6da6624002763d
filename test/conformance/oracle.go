package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// oracleModule is whose own emulator tests are run, directly and through the gate.
const oracleModule = "github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

// oraclePorts are the ones that the tests insist on: the emulator's routing
// gateway and its compute gateway.
var oraclePorts = []string{"127.0.0.1:8081", "127.0.0.1:8903"}

// oracleExceptions are the tests that cannot pass through the gate, and why;
// docs/cosmos-coverage.md says the same to users.
var oracleExceptions = map[string]string{
	"TestItemIdEncodingRoutingGW": "expects that the key's signature over some item ids is refused; through the gate a token is sent, which signs no id",
	"TestItemIdEncodingComputeGW": "reads items whose ids hold control characters, which the gate refuses with 400, as the service's routing gateway does",
}

// oracleApplication is the client that the tests become on the gate's side.
const oracleApplication = "checkout"

// oraclePolicy gives it a contributor's role on everything.
const oraclePolicy = `kind: Application
name: checkout
match: {issuer: dev, claims: {client_id: checkout}}
---
kind: Role
name: contributor
identity: writer
rules:
- dataActions: ["*"]
  resources: ["dev/*/*"]
---
kind: RoleBinding
name: contributor
role: contributor
subjects: [{application: checkout}]
`

// runOracle runs the tests through the gate and reports whether one fails that
// is not known to. The direct run is TestOracleAzcosmosEmulatorTests of
// internal/emulator, where every test passes.
func runOracle(ctx context.Context, o options) (failed bool, err error) {
	folder, err := os.MkdirTemp("", "cosmosgate-oracle-")
	if err != nil {
		return false, fmt.Errorf("making a folder: %w", err)
	}
	defer os.RemoveAll(folder)
	t, stop, err := start(ctx, o.binary, folder, "--region", "South Central US", "--consistency", "Strong")
	if err != nil {
		return false, err
	}
	defer stop()
	token, err := t.contribute(ctx)
	if err != nil {
		return false, err
	}
	splitter, err := newSplitter(t, token)
	if err != nil {
		return false, err
	}
	defer splitter.close()
	passed, broken, output, err := goTests(ctx, filepath.Join(folder, "module"), splitter.authority)
	if err != nil {
		return false, err
	}
	fmt.Printf("azcosmos' own emulator tests through the gate: %d passed, %d failed\n", len(passed), len(broken))
	for _, name := range broken {
		reason, known := oracleExceptions[name]
		if known {
			fmt.Printf("- %s: %s\n", name, reason)
			continue
		}
		failed = true
		fmt.Printf("- %s FAILS\n%s", name, output[name])
	}
	for name := range oracleExceptions {
		if slices.Contains(passed, name) {
			failed = true
			fmt.Printf("- %s passes, though it is listed as an exception\n", name)
		}
	}
	return failed || len(passed) == 0, nil
}

// contribute makes the application a contributor, in the gate's policy and at
// the stand-in, and returns its token.
func (t *target) contribute(ctx context.Context) (string, error) {
	if err := t.control(ctx, http.MethodPost, "assignments", map[string]string{
		"identity": "writer", "role": contributorRole, "scope": "/",
	}, nil); err != nil {
		return "", err
	}
	const own = "contributor.yaml"
	if err := os.WriteFile(filepath.Join(t.Policy, own), []byte(oraclePolicy), 0o600); err != nil {
		return "", fmt.Errorf("writing the policy: %w", err)
	}
	others, err := filepath.Glob(filepath.Join(t.Policy, "*.yaml"))
	if err != nil {
		return "", fmt.Errorf("listing the policy: %w", err)
	}
	for _, name := range others {
		if filepath.Base(name) != own {
			err = errors.Join(err, os.Remove(name))
		}
	}
	if err != nil {
		return "", fmt.Errorf("replacing the policy: %w", err)
	}
	token, err := t.token(ctx, oracleApplication)
	if err != nil {
		return "", err
	}
	return token, t.awaitPolicy(ctx, token)
}

// contributorRole is the id of Azure's built-in data contributor.
const contributorRole = "00000000-0000-0000-0000-000000000002"

// awaitPolicy waits until the application may read what does not exist.
func (t *target) awaitPolicy(ctx context.Context, token string) error {
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); time.Sleep(pollInterval) {
		status, err := t.ask(ctx, token, "dbs/nowhere")
		if err != nil {
			return err
		}
		if status == http.StatusNotFound {
			return nil
		}
	}
	return errors.New("the gate does not obey the contributor's policy")
}

var emulatorTest = regexp.MustCompile(`(?m)^func (Test\w+)\(`)

// goTests copies the module to a folder, for it must not come into this one,
// and runs its emulator tests there.
func goTests(ctx context.Context, folder, authority string) (passed, failed []string, output map[string]string, err error) {
	located, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", oracleModule).Output()
	if err != nil {
		return nil, nil, nil, fmt.Errorf("locating %s: %w", oracleModule, err)
	}
	if err := os.CopyFS(folder, os.DirFS(strings.TrimSpace(string(located)))); err != nil {
		return nil, nil, nil, fmt.Errorf("copying %s: %w", oracleModule, err)
	}
	files, err := filepath.Glob(filepath.Join(folder, "emulator_cosmos_*_test.go"))
	if err != nil {
		return nil, nil, nil, fmt.Errorf("listing the tests: %w", err)
	}
	var names []string
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			return nil, nil, nil, fmt.Errorf("reading the tests: %w", err)
		}
		for _, found := range emulatorTest.FindAllSubmatch(source, -1) {
			names = append(names, "^"+string(found[1])+"$")
		}
	}
	command := exec.CommandContext(ctx, "go", "test", "-json", "-count=1", "-p=1", "-run", strings.Join(names, "|"), ".")
	command.Dir = folder
	command.Env = append(os.Environ(), "EMULATOR=true", "SSL_CERT_FILE="+authority, "GOFLAGS=-mod=mod", "GOWORK=off")
	events, _ := command.Output() // a test that fails is in its output
	passed, failed, output = outcomes(events)
	if len(passed)+len(failed) == 0 {
		return nil, nil, nil, fmt.Errorf("no test ran:\n%s", events)
	}
	return passed, failed, output, nil
}

// outcomes reads what `go test -json` says of top-level tests.
func outcomes(events []byte) (passed, failed []string, output map[string]string) {
	output = map[string]string{}
	for line := range bytes.Lines(events) {
		var event struct{ Action, Test, Output string }
		if json.Unmarshal(line, &event) != nil || event.Test == "" {
			continue
		}
		name, _, inner := strings.Cut(event.Test, "/")
		switch {
		case event.Action == "output" && strings.Contains(event.Output, "_test.go"):
			output[name] += event.Output
		case event.Action == "pass" && !inner:
			passed = append(passed, name)
		case event.Action == "fail" && !inner:
			failed = append(failed, name)
		}
	}
	slices.Sort(failed)
	return passed, failed, output
}
