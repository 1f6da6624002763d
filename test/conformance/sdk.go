package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// sdk is one official SDK: how to install its locked version outside the
// clone and how to start its runner.
type sdk struct {
	name    string
	version string
	tools   []string
	install func(ctx context.Context, folder string) error
	command func(ctx context.Context, folder string, p plan) ([]string, error)
}

// fixed is the command of a runner that needs nothing but its folder.
func fixed(line func(folder string) []string) func(context.Context, string, plan) ([]string, error) {
	return func(_ context.Context, folder string, _ plan) ([]string, error) { return line(folder), nil }
}

// sdks lists every SDK of the matrix in the order of its columns.
func sdks() []sdk {
	python := func(more ...string) func(context.Context, string, plan) ([]string, error) {
		return fixed(func(folder string) []string {
			return append([]string{filepath.Join(folder, "venv", "bin", "python"), source("python", "run.py")}, more...)
		})
	}
	return []sdk{
		{
			name: "go", version: "azcosmos " + locked("go.mod", "azcosmos v"), tools: []string{"go"}, install: installGo,
			command: fixed(func(folder string) []string { return []string{filepath.Join(folder, "golang")} }),
		},
		{
			name: "node", version: "@azure/cosmos " + locked("sdk/node/package.json", `"@azure/cosmos": "`),
			tools: []string{"node", "npm"}, install: installNode,
			command: fixed(func(folder string) []string { return []string{"node", filepath.Join(folder, "run.js")} }),
		},
		{
			name: "python", version: "azure-cosmos " + locked("sdk/python/requirements.txt", "azure-cosmos=="),
			tools: []string{"python3"}, install: installPython, command: python(),
		},
		{
			name: "python-aio", version: "azure-cosmos " + locked("sdk/python/requirements.txt", "azure-cosmos==") + " (aio)",
			tools: []string{"python3"}, install: installPython, command: python("--aio"),
		},
		{
			name: "java", version: "azure-cosmos for Java " + locked("sdk/java/pom.xml", "<artifactId>azure-cosmos</artifactId>\n      <version>"),
			tools: []string{"java", "keytool", "mvn"}, install: installJava, command: runJava,
		},
		{
			name: "rust", version: "azure_data_cosmos " + locked("sdk/rust/Cargo.toml", `azure_data_cosmos = { version = "=`),
			tools: []string{"cargo"}, install: installRust,
			command: fixed(func(folder string) []string { return []string{filepath.Join(folder, "target", "debug", "conformance")} }),
		},
	}
}

// source is the path of a runner's file.
func source(parts ...string) string {
	return filepath.Join(append([]string{"sdk"}, parts...)...)
}

// locked reads the version that follows the marker in a lock file.
func locked(file, marker string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return "unknown"
	}
	_, rest, _ := strings.Cut(string(text), marker)
	return rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789."))]
}

// missing names the first tool that this machine lacks.
func (s sdk) missing() string {
	for _, tool := range s.tools {
		if _, err := exec.LookPath(tool); err != nil {
			return tool
		}
	}
	return ""
}

// prepare installs the SDK unless its lock files are installed already.
func (s sdk) prepare(ctx context.Context) (folder string, err error) {
	cache, err := cacheFolder()
	if err != nil {
		return "", err
	}
	folder = filepath.Join(cache, family(s.name))
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", fmt.Errorf("making %s: %w", folder, err)
	}
	ctx, cancel := context.WithTimeout(ctx, installTimeout)
	defer cancel()
	return folder, s.install(ctx, folder)
}

// installTimeout bounds the installation of one SDK on a new machine.
const installTimeout = 10 * time.Minute

func installGo(ctx context.Context, folder string) error {
	return tool(ctx, ".", "go", "build", "-o", filepath.Join(folder, "golang"), "./sdk/golang")
}

func installNode(ctx context.Context, folder string) error {
	lock := []string{source("node", "package.json"), source("node", "package-lock.json"), source("node", ".npmrc")}
	for _, file := range append(lock, source("node", "run.js")) {
		if err := copyFile(file, filepath.Join(folder, filepath.Base(file))); err != nil {
			return err
		}
	}
	return once(folder, lock, func() error { return tool(ctx, folder, "npm", "ci", "--ignore-scripts") })
}

func installPython(ctx context.Context, folder string) error {
	lock := source("python", "requirements.txt")
	return once(folder, []string{lock}, func() error {
		venv := filepath.Join(folder, "venv")
		if err := tool(ctx, ".", "python3", "-m", "venv", "--clear", venv); err != nil {
			return err
		}
		return tool(ctx, ".", filepath.Join(venv, "bin", "python"), "-m", "pip", "install", "--quiet", "--requirement", lock)
	})
}

func installJava(ctx context.Context, folder string) error {
	files := []string{source("java", "pom.xml"), source("java", "src", "Main.java"), source("java", "src", "Steps.java")}
	if err := os.MkdirAll(filepath.Join(folder, "src"), 0o755); err != nil {
		return fmt.Errorf("making the source folder: %w", err)
	}
	for _, file := range files {
		relative, err := filepath.Rel(source("java"), file)
		if err != nil {
			return fmt.Errorf("copying: %w", err)
		}
		if err := copyFile(file, filepath.Join(folder, relative)); err != nil {
			return err
		}
	}
	return once(folder, files, func() error {
		return tool(ctx, folder, "mvn", "-q", "-B", "compile", "dependency:copy-dependencies", "-DoutputDirectory=target/dependency")
	})
}

// installRust builds the runner with Cargo's own folders beside it, so that
// nothing of it is in the clone.
func installRust(ctx context.Context, folder string) error {
	return tool(ctx, ".", "env", "CARGO_HOME="+filepath.Join(folder, "cargo"), "CARGO_TARGET_DIR="+filepath.Join(folder, "target"),
		"cargo", "build", "--quiet", "--locked", "--manifest-path", source("rust", "Cargo.toml"))
}

// runJava puts the authority into a trust store of the machine's own form.
func runJava(ctx context.Context, folder string, p plan) ([]string, error) {
	const password = "changeit" // protects public certificates only
	store := filepath.Join(folder, "trust.p12")
	if err := os.RemoveAll(store); err != nil {
		return nil, fmt.Errorf("removing the old trust store: %w", err)
	}
	if err := tool(ctx, folder, "keytool", "-importcert", "-noprompt", "-alias", "gate", "-file", p.CA,
		"-keystore", store, "-storetype", "PKCS12", "-storepass", password); err != nil {
		return nil, err
	}
	classes := filepath.Join(folder, "target", "classes") + string(os.PathListSeparator) + filepath.Join(folder, "target", "dependency", "*")
	return []string{
		"java", "-Djavax.net.ssl.trustStore=" + store, "-Djavax.net.ssl.trustStorePassword=" + password,
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=off", "-cp", classes, "Main",
	}, nil
}

// once runs the installation unless it was done for these very lock files.
func once(folder string, lock []string, install func() error) error {
	sum := sha256.New()
	for _, file := range lock {
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("reading a lock file: %w", err)
		}
		sum.Write(text)
	}
	want := hex.EncodeToString(sum.Sum(nil))
	mark := filepath.Join(folder, "installed")
	if have, err := os.ReadFile(mark); err == nil && string(have) == want {
		return nil
	}
	if err := install(); err != nil {
		return err
	}
	if err := os.WriteFile(mark, []byte(want), 0o644); err != nil {
		return fmt.Errorf("marking the installation: %w", err)
	}
	return nil
}

func copyFile(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("copying: %w", err)
	}
	if err := os.WriteFile(to, text, 0o644); err != nil {
		return fmt.Errorf("copying: %w", err)
	}
	return nil
}

// tool runs a command and returns its output as the error if it fails.
func tool(ctx context.Context, folder string, command ...string) error {
	run := exec.CommandContext(ctx, command[0], command[1:]...)
	run.Dir = folder
	if out, err := run.CombinedOutput(); err != nil {
		return fmt.Errorf("running %s: %w\n%s", strings.Join(command, " "), err, out)
	}
	return nil
}

// results is what one run of one SDK returned: steps by case.
type results map[string][]any

// runTimeout bounds one SDK's run over all cases.
const runTimeout = 5 * time.Minute

// run starts the SDK's runner with the plan and reads its results.
func (s sdk) run(ctx context.Context, folder string, p plan) (results, error) {
	input, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("writing the plan: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	line, err := s.command(ctx, folder, p)
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, line[0], line[1:]...)
	command.Env = append(os.Environ(),
		"SSL_CERT_FILE="+p.CA, "NODE_EXTRA_CA_CERTS="+p.CA, "PYTHONWARNINGS=ignore", "NODE_NO_WARNINGS=1",
		"NO_PROXY=localhost,127.0.0.1", "no_proxy=localhost,127.0.0.1")
	command.Stdin = bytes.NewReader(input)
	var out, problems bytes.Buffer
	command.Stdout, command.Stderr = &out, &problems
	runErr := command.Run()
	found, err := readResults(&out)
	if err = errors.Join(runErr, err); err != nil {
		return found, fmt.Errorf("running %s: %w\n%s", s.name, err, problems.String())
	}
	return found, nil
}

func readResults(out io.Reader) (results, error) {
	found := results{}
	decoder := json.NewDecoder(out)
	for {
		var line struct {
			Case  string `json:"case"`
			Steps []any  `json:"steps"`
		}
		err := decoder.Decode(&line)
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return found, fmt.Errorf("reading results: %w", err)
		}
		found[line.Case] = line.Steps
	}
}
