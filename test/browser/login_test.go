package browser_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestAPersonSignsInWithARealBrowser is login as a newcomer does it: the command opens the provider's page, the person picks who they
// are, the page leads to the loopback listener, and the command has its token.
func TestAPersonSignsInWithARealBrowser(t *testing.T) {
	t.Parallel()
	work := t.TempDir()
	binary := filepath.Join(work, "cosmosgate")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-C", "../..", "-o", binary, "./cmd/cosmosgate").CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	world := startWorld(t, binary, work)
	browser := startChromium(t, spki(t, filepath.Join(work, "state", "tls", "server.pem")))

	opener, opened := filepath.Join(work, "browser"), filepath.Join(work, "address")
	write(t, opener, "#!/bin/sh\nprintf %s \"$1\" >\""+opened+".new\" && mv \""+opened+".new\" \""+opened+"\"\n", 0o755)
	env := append(os.Environ(), "BROWSER="+opener, "COSMOSGATE_PROFILE="+filepath.Join(work, "profile.yaml"),
		"XDG_CONFIG_HOME="+filepath.Join(work, "config"), "HOME="+work, "COSMOSGATE_KEYRING=off")

	var said bytes.Buffer
	login := exec.CommandContext(t.Context(), binary, "login", "--gate", world.Gate.Endpoint, "--ca", world.CA)
	login.Env, login.Stderr = env, &said
	if err := login.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, opened)
	address, err := os.ReadFile(opened)
	if err != nil {
		t.Fatal(err)
	}

	browser.visit(string(address))
	if title := browser.value("document.title"); title != "Sign in to cosmosgate-cli" {
		t.Fatalf("the page is called %q", title)
	}
	browser.loads(func() {
		browser.send("Runtime.evaluate", map[string]any{"expression": `document.querySelector('button[value="ann"]').click()`})
	})
	if text := browser.value("document.body.innerText"); !strings.Contains(text, "You are signed in") {
		t.Errorf("the browser ends at %s with %q", browser.value("location.href"), text)
	}
	if at := browser.value("location.origin"); !strings.HasPrefix(at, "http://127.0.0.1:") {
		t.Errorf("the browser ends at %s", at)
	}

	if err := login.Wait(); err != nil || !strings.Contains(said.String(), "signed in as ann") {
		t.Fatalf("login: %v\n%s", err, said.String())
	}
	token := exec.CommandContext(t.Context(), binary, "token")
	token.Env = env
	if out, err := token.Output(); err != nil || !strings.HasPrefix(string(out), "eyJ") {
		t.Errorf("token: %v\n%s", err, out)
	}
}

// world is what the test needs of a running `cosmosgate dev`.
type world struct {
	Gate struct {
		Endpoint string `json:"endpoint"`
	} `json:"gate"`
	CA string `json:"ca"`
}

func startWorld(t *testing.T, binary, work string) *world {
	t.Helper()
	ready := filepath.Join(work, "ready.json")
	dev := exec.CommandContext(t.Context(), binary, "dev", "--port", "0", "--state", filepath.Join(work, "state"), "--ready-file", ready)
	dev.Env = append(os.Environ(), "XDG_CACHE_HOME="+filepath.Join(work, "cache"))
	dev.Cancel = func() error { return dev.Process.Signal(os.Interrupt) }
	if err := dev.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dev.Process.Signal(os.Interrupt); _ = dev.Wait() })
	await(t, ready)
	text, err := os.ReadFile(ready)
	if err != nil {
		t.Fatal(err)
	}
	w := new(world)
	if err := json.Unmarshal(text, w); err != nil {
		t.Fatal(err)
	}
	return w
}

// spki is the hash of the certificate's public key, as the browser takes it.
func spki(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(sum[:])
}

func await(t *testing.T, file string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(file); err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s did not appear", file)
		}
	}
}

func write(t *testing.T, file, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}
