package emulator_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cosmosgate/cosmosgate/internal/emulator"
)

// oracleModule is whose emulator tests judge the stand-in.
const oracleModule = "github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

// oracleFailures are the tests of the oracle that are known to fail, and why.
func oracleFailures() map[string]string {
	return map[string]string{}
}

// TestOracleAzcosmosEmulatorTests runs the tests that azcosmos has against the official emulator.
// They insist on the ports 8081 and 8903 of this machine, so it runs only when asked to by
// COSMOSGATE_ORACLE=1. The module is copied to a temporary folder for the run.
func TestOracleAzcosmosEmulatorTests(t *testing.T) { //nolint:paralleltest // fixed ports
	if os.Getenv("COSMOSGATE_ORACLE") == "" {
		t.Skip("set COSMOSGATE_ORACLE=1 to run the azcosmos emulator tests on ports 8081 and 8903")
	}
	certificate, authority := developmentCertificate(t)
	serveOn(t, "127.0.0.1:8081", certificate, true)
	serveOn(t, "127.0.0.1:8903", certificate, false)

	folder := copyModule(t)
	run := exec.CommandContext(t.Context(), "go", "test", "-json", "-count=1", "-p=1", "-run", strings.Join(emulatorTestNames(t, folder), "|"), ".")
	run.Dir = folder
	run.Env = append(os.Environ(), "EMULATOR=true", "SSL_CERT_FILE="+authority, "GOFLAGS=-mod=mod", "GOWORK=off")
	output, err := run.Output()
	t.Logf("go test: %v", err)

	passed, failed := outcomes(t, output)
	t.Logf("%d passed, %d failed: %v", len(passed), len(failed), failed)
	for _, name := range failed {
		if _, known := oracleFailures()[name]; !known {
			t.Errorf("%s fails", name)
		}
	}
	const enough = 38
	if len(passed) < enough {
		t.Errorf("only %d tests of the oracle pass, want at least %d\n%s", len(passed), enough, output)
	}
}

// outcomes reads the stream of `go test -json` into the names of top-level tests.
func outcomes(t *testing.T, output []byte) (passed, failed []string) {
	t.Helper()
	lines := bufio.NewScanner(strings.NewReader(string(output)))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var event struct{ Action, Test, Output string }
		if json.Unmarshal(lines.Bytes(), &event) != nil || event.Test == "" || strings.Contains(event.Test, "/") {
			continue
		}
		switch event.Action {
		case "pass":
			passed = append(passed, event.Test)
		case "fail":
			failed = append(failed, event.Test)
		case "output":
			if strings.Contains(event.Output, "_test.go") {
				t.Logf("%s: %s", event.Test, strings.TrimSpace(event.Output))
			}
		}
	}
	slices.Sort(passed)
	return passed, failed
}

func copyModule(t *testing.T) string {
	t.Helper()
	located, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", oracleModule).Output()
	if err != nil {
		t.Fatalf("locating the oracle: %v", err)
	}
	folder := filepath.Join(t.TempDir(), "oracle")
	if err := os.CopyFS(folder, os.DirFS(strings.TrimSpace(string(located)))); err != nil {
		t.Fatalf("copying the oracle: %v", err)
	}
	return folder
}

// emulatorTestNames lists the tests of the files that need an emulator.
func emulatorTestNames(t *testing.T, folder string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "emulator_cosmos_*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.SplitSeq(string(source), "\n") {
			if rest, ok := strings.CutPrefix(line, "func Test"); ok {
				name, _, _ := strings.Cut(rest, "(")
				names = append(names, "^Test"+name+"$")
			}
		}
	}
	t.Logf("the oracle has %d tests", len(names))
	return names
}

func serveOn(t *testing.T, address string, certificate tls.Certificate, routing bool) {
	t.Helper()
	stand, err := emulator.New(emulator.Config{
		Account:     "localhost",
		Locations:   []emulator.Location{{Name: "South Central US", Endpoint: "https://" + address + "/"}},
		Consistency: "Strong", MasterKey: emulator.WellKnownKey, AllowUnsignedTokens: true, RoutingGateway: routing,
		Clock: time.Now, Random: rand.Reader,
	})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Skipf("the port is taken: %v", err)
	}
	server := &http.Server{
		Handler: stand, ReadHeaderTimeout: time.Minute,
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}},
	}
	go func() { _ = server.ServeTLS(listener, "", "") }()
	t.Cleanup(func() { _ = server.Shutdown(context.WithoutCancel(t.Context())) })
}

// developmentCertificate makes a certificate for this machine and the file that vouches for it.
func developmentCertificate(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "stand-in"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}
