package certs_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cosmosgate/cosmosgate/certs"
)

func TestDevelopmentAuthorityIsWrittenOnce(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "state", "tls")
	var previous []byte
	for range 2 {
		a, err := certs.DevelopmentAuthority(folder, []string{"gate.localhost", "127.0.0.9"}, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		all := bytes.Join([][]byte{contentOf(t, a.CAFile), contentOf(t, a.CertFile), contentOf(t, a.KeyFile)}, nil)
		if previous != nil && !bytes.Equal(previous, all) {
			t.Error("the second call changed a file")
		}
		previous = all
	}
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 4 {
		t.Errorf("%d files, %v", len(entries), err)
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", entry.Name(), info.Mode(), err)
		}
	}
	if info, err := os.Stat(folder); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder: %v, %v", info.Mode(), err)
	}
}

func TestDevelopmentServerIsTrustedUnderItsNames(t *testing.T) {
	t.Parallel()
	a := authority(t, "gate.localhost", "127.0.0.9")
	pair, err := tls.LoadX509KeyPair(a.CertFile, a.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(contentOf(t, a.CAFile))
	for name, ok := range map[string]bool{
		"localhost": true, "127.0.0.1": true, "::1": true, "gate.localhost": true, "127.0.0.9": true,
		"example.com": false, "127.0.0.2": false,
	} {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); (err == nil) != ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDevelopmentAuthorityCannotVouchForOtherSites(t *testing.T) {
	t.Parallel()
	a := authority(t)
	signer, err := tls.LoadX509KeyPair(a.CAFile, filepath.Join(filepath.Dir(a.CAFile), "ca-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(signer.Leaf)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]x509.Certificate{
		"another host":     {DNSNames: []string{"login.microsoftonline.com"}},
		"another address":  {IPAddresses: []net.IP{net.IPv4(192, 0, 2, 1)}},
		"a host and a own": {DNSNames: []string{"localhost", "example.com"}},
	}
	for name, template := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(1), time.Now(), time.Now().Add(time.Hour)
			der, err := x509.CreateCertificate(rand.Reader, &template, signer.Leaf, key.Public(), signer.PrivateKey)
			if err != nil {
				t.Fatal(err)
			}
			forged, err := x509.ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := forged.Verify(x509.VerifyOptions{Roots: roots}); err == nil {
				t.Error("the forged certificate is trusted")
			}
		})
	}
}

func TestDevelopmentServerIsRenewedByTheSameAuthority(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	tests := map[string]struct {
		later   time.Duration
		spoil   func(t *testing.T, a *certs.Authority)
		renewed bool
	}{
		"half way":            {180 * day, nil, false},
		"near its end":        {300 * day, nil, true},
		"after its end":       {400 * day, nil, true},
		"certificate damaged": {0, func(t *testing.T, a *certs.Authority) { t.Helper(); write(t, a.CertFile, []byte("damaged")) }, true},
		"key of another certificate": {0, func(t *testing.T, a *certs.Authority) {
			t.Helper()
			write(t, a.KeyFile, contentOf(t, authority(t).KeyFile))
		}, true},
		"certificate of another authority": {0, func(t *testing.T, a *certs.Authority) {
			t.Helper()
			copyPair(t, authority(t), a.CertFile, a.KeyFile)
		}, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := authority(t)
			ca, before := contentOf(t, a.CAFile), serialIn(t, a.CertFile)
			if test.spoil != nil {
				test.spoil(t, a)
			}
			now := time.Now().Add(test.later)
			if _, err := certs.DevelopmentAuthority(filepath.Dir(a.CAFile), nil, func() time.Time { return now }); err != nil {
				t.Fatal(err)
			}
			if got := serialIn(t, a.CertFile) != before; got != test.renewed {
				t.Errorf("renewed: %v", got)
			}
			if !bytes.Equal(ca, contentOf(t, a.CAFile)) {
				t.Error("the authority changed")
			}
			roots := x509.NewCertPool()
			roots.AppendCertsFromPEM(ca)
			pair, err := tls.LoadX509KeyPair(a.CertFile, a.KeyFile)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "localhost", CurrentTime: now}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestDevelopmentAuthorityRefusesWhatItCannotStandFor(t *testing.T) {
	t.Parallel()
	remove := func(name string) func(t *testing.T, folder string) {
		return func(t *testing.T, folder string) {
			t.Helper()
			if err := os.Remove(filepath.Join(folder, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	expose := func(name string, mode os.FileMode) func(t *testing.T, folder string) {
		return func(t *testing.T, folder string) {
			t.Helper()
			if err := os.Chmod(filepath.Join(folder, name), mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	tests := map[string]struct {
		prepare func(t *testing.T, folder string)
		names   []string
		later   time.Duration
		want    string
	}{
		"folder that others can read":       {expose(".", 0o755), nil, 0, "mode 0755"},
		"authority's key others can read":   {expose("ca-key.pem", 0o640), nil, 0, "mode 0640"},
		"server's key that others can read": {expose("server-key.pem", 0o604), nil, 0, "mode 0604"},
		"authority without its key":         {remove("ca-key.pem"), nil, 0, "delete the folder"},
		"authority without its certificate": {remove("ca.pem"), nil, 0, "delete the folder"},
		"a name that came later":            {nil, []string{"later.localhost"}, 0, "later.localhost"},
		"an address that came later":        {nil, []string{"127.0.0.7"}, 0, "127.0.0.7"},
		"authority near its end":            {nil, nil, 10 * 365 * 24 * time.Hour, "about to expire"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := filepath.Dir(authority(t).CAFile)
			if test.prepare != nil {
				test.prepare(t, folder)
			}
			clock := func() time.Time { return time.Now().Add(test.later) }
			if _, err := certs.DevelopmentAuthority(folder, test.names, clock); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q in it", err, test.want)
			}
		})
	}
}
