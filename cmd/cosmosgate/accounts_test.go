package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cosmosgate/cosmosgate/certs"
	"github.com/cosmosgate/cosmosgate/internal/config"
)

// The certificate of an application stands beside the gate's own: it is read again with them, and a bad one is told by its name.
func TestTheCertificateOfAnUpstreamIdentityIsReadAgain(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "app.pem")
	g := &gate{}
	var err error
	if g.certs, err = certs.New(certs.Config{Clock: time.Now, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	c := config.Identity{ClientCertificate: &config.ClientCertificate{TenantID: "t", ClientID: "c", Certificate: file}}
	if _, err := g.credential("prod.mi-orders", c); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("no file: %v", err)
	}
	write := func(content []byte) {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(applicationPEM(t))
	if _, err := g.credential("prod.mi-orders", c); err != nil {
		t.Fatal(err)
	}
	write([]byte("junk"))
	if err := g.certs.Reload(); err == nil || !strings.Contains(err.Error(), `"prod.mi-orders"`) {
		t.Errorf("a bad file: %v", err)
	}
	write(applicationPEM(t))
	if err := g.certs.Reload(); err != nil {
		t.Errorf("a good one in its place: %v", err)
	}
}

// However small a gate is set, whoever waits before it is known who they are cannot fill it.
func TestWhoWaitsForKeysCannotFillTheGate(t *testing.T) {
	t.Parallel()
	for all, want := range map[int]int{1: 1, 8: 2, 1024: 256} {
		cfg := &config.Config{Limits: config.Limits{MaxInFlight: all}}
		if got := identityConfig(cfg, http.DefaultClient, slog.New(slog.DiscardHandler)).MaxWaiting; got != want {
			t.Errorf("of %d: %d, want %d", all, got, want)
		}
	}
}

// applicationPEM is a certificate with its key; Entra ID wants RSA.
func applicationPEM(t *testing.T) []byte {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
}
