package certs_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cosmosgate/cosmosgate/certs"
)

// authority makes a development authority in a folder of its own.
func authority(t *testing.T, names ...string) *certs.Authority {
	t.Helper()
	a, err := certs.DevelopmentAuthority(filepath.Join(t.TempDir(), "tls"), names, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newStore(t *testing.T) *certs.Store {
	t.Helper()
	store, err := certs.New(certs.Config{Clock: time.Now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func contentOf(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// copyPair puts a server's certificate and key where a store looks for them.
func copyPair(t *testing.T, from *certs.Authority, certFile, keyFile string) {
	t.Helper()
	write(t, certFile, contentOf(t, from.CertFile))
	write(t, keyFile, contentOf(t, from.KeyFile))
}

// serial identifies the certificate in use.
func serial(t *testing.T, pair *certs.KeyPair) string {
	t.Helper()
	certificate, err := pair.GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	return certificate.Leaf.SerialNumber.String()
}

// serialIn reads it from a file.
func serialIn(t *testing.T, path string) string {
	t.Helper()
	block, _ := pem.Decode(contentOf(t, path))
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return certificate.SerialNumber.String()
}

func metric(t *testing.T, store *certs.Store, name, label string) float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(store.Collectors()...)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			for _, pair := range m.GetLabel() {
				if family.GetName() == "cosmosgate_tls_"+name && pair.GetValue() == label {
					return m.GetGauge().GetValue() + m.GetCounter().GetValue()
				}
			}
		}
	}
	t.Fatalf("no metric %s of %s", name, label)
	return 0
}

func TestBadFilesLeaveTheOldKeyPairInUse(t *testing.T) {
	t.Parallel()
	old, other := authority(t), authority(t)
	tests := map[string]func(t *testing.T, certFile, keyFile string){
		"certificate of another key": func(t *testing.T, certFile, _ string) {
			t.Helper()
			write(t, certFile, contentOf(t, other.CertFile))
		},
		"no certificate": func(t *testing.T, certFile, _ string) { t.Helper(); write(t, certFile, nil) },
		"half a certificate": func(t *testing.T, certFile, _ string) {
			t.Helper()
			write(t, certFile, contentOf(t, old.CertFile)[:200])
		},
		"key gone": func(t *testing.T, _, keyFile string) {
			t.Helper()
			if err := os.Remove(keyFile); err != nil {
				t.Fatal(err)
			}
		},
		"expired certificate": func(t *testing.T, certFile, keyFile string) {
			t.Helper()
			expired, err := certs.DevelopmentAuthority(filepath.Join(t.TempDir(), "tls"), nil,
				func() time.Time { return time.Now().Add(-2 * 365 * 24 * time.Hour) })
			if err != nil {
				t.Fatal(err)
			}
			copyPair(t, expired, certFile, keyFile)
		},
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			certFile, keyFile := filepath.Join(t.TempDir(), "tls.crt"), filepath.Join(t.TempDir(), "tls.key")
			copyPair(t, old, certFile, keyFile)
			store := newStore(t)
			pair, err := store.KeyPair("gate", certFile, keyFile)
			if err != nil {
				t.Fatal(err)
			}
			before := serial(t, pair)
			spoil(t, certFile, keyFile)
			if err := store.Reload(); err == nil || !strings.Contains(err.Error(), `key_pair "gate"`) {
				t.Errorf("reloading: %v", err)
			}
			if serial(t, pair) != before {
				t.Error("the certificate changed")
			}
			if got := metric(t, store, "reload_success", "gate"); got != 0 {
				t.Errorf("reload_success = %v", got)
			}
			copyPair(t, other, certFile, keyFile)
			if err := store.Reload(); err != nil {
				t.Fatal(err)
			}
			if serial(t, pair) != serialIn(t, other.CertFile) {
				t.Error("the mended files are not in use")
			}
			if got := metric(t, store, "reload_success", "gate"); got != 1 {
				t.Errorf("reload_success = %v", got)
			}
		})
	}
}

func TestAKeyThatEverybodyMayReadIsSaidTo(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("modes say nothing there")
	}
	for mode, want := range map[os.FileMode]bool{0o600: false, 0o640: false, 0o644: true} {
		certFile, keyFile := filepath.Join(t.TempDir(), "tls.crt"), filepath.Join(t.TempDir(), "tls.key")
		copyPair(t, authority(t), certFile, keyFile)
		if err := os.Chmod(keyFile, mode); err != nil {
			t.Fatal(err)
		}
		var log strings.Builder
		store, err := certs.New(certs.Config{Poll: time.Second, Clock: time.Now, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		said := func(err error) {
			t.Helper()
			if got := strings.Contains(log.String(), "can be read by every user"); err != nil || got != want {
				t.Errorf("%04o: said: %t, want %t, %v\n%s", mode, got, want, err, log.String())
			}
			log.Reset()
		}
		_, err = store.KeyPair("gate", certFile, keyFile)
		said(err)
		said(store.Identity("prod.mi-orders", keyFile, func([]byte) (time.Time, error) { return time.Now(), nil }))
	}
}

func TestBadFilesAreRefusedAtTheStart(t *testing.T) {
	t.Parallel()
	good := authority(t)
	folder := t.TempDir()
	key := contentOf(t, good.KeyFile)
	certificate := contentOf(t, good.CAFile)
	for name, content := range map[string][]byte{
		"a key among the authorities": append(append([]byte{}, certificate...), key...),
		"nothing":                     nil,
		"text only":                   []byte("no certificates here\n"),
		"a broken second certificate": append(append([]byte{}, certificate...), certificate[:len(certificate)-40]...),
		"garbage in a certificate":    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("garbage")}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(folder, name)
			write(t, file, content)
			if _, err := newStore(t).Bundle("issuers", good.CAFile, file); err == nil {
				t.Error("accepted")
			}
		})
	}
	if _, err := newStore(t).Bundle("issuers", filepath.Join(folder, "missing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := newStore(t).KeyPair("gate", good.KeyFile, good.CertFile); err == nil {
		t.Error("key and certificate the wrong way round were accepted")
	}
	if _, err := certs.New(certs.Config{}); err == nil {
		t.Error("a store without a clock was made")
	}
}

func TestChangedFilesAreLoadedWhileRunning(t *testing.T) {
	t.Parallel()
	first, second := authority(t), authority(t)
	tests := map[string]func(t *testing.T, folder string) (certFile, keyFile string, change func()){
		"files written over": func(t *testing.T, folder string) (string, string, func()) {
			t.Helper()
			certFile, keyFile := filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")
			copyPair(t, first, certFile, keyFile)
			return certFile, keyFile, func() { copyPair(t, second, certFile, keyFile) }
		},
		// A secret's volume: ..data points to a folder, files point through ..data, and an update swaps ..data.
		"symbolic link swapped, as Kubernetes does": func(t *testing.T, folder string) (string, string, func()) {
			t.Helper()
			point := func(version string, at *certs.Authority) {
				target := filepath.Join(folder, version)
				err := os.Mkdir(target, 0o700)
				copyPair(t, at, filepath.Join(target, "tls.crt"), filepath.Join(target, "tls.key"))
				next := filepath.Join(folder, "..data_tmp")
				if err := errors.Join(err, os.Symlink(version, next), os.Rename(next, filepath.Join(folder, "..data"))); err != nil {
					t.Fatal(err)
				}
			}
			point("..v1", first)
			for _, name := range []string{"tls.crt", "tls.key"} {
				if err := os.Symlink(filepath.Join("..data", name), filepath.Join(folder, name)); err != nil {
					t.Fatal(err)
				}
			}
			return filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key"), func() { point("..v2", second) }
		},
	}
	for name, prepare := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				certFile, keyFile, change := prepare(t, t.TempDir())
				// The bubble's clock starts in the year 2000, when these certificates are not valid yet, which is no reason to refuse them.
				store := newStore(t)
				pair, err := store.KeyPair("gate", certFile, keyFile)
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error)
				go func() { ended <- store.Run(ctx) }()
				change()
				time.Sleep(11 * time.Second)
				synctest.Wait()
				if serial(t, pair) != serialIn(t, second.CertFile) {
					t.Error("the old certificate is in use")
				}
				time.Sleep(time.Minute)
				if got := metric(t, store, "loads_total", "success"); got != 2 {
					t.Errorf("loaded %v times", got)
				}
				cancel()
				if err := <-ended; err != nil {
					t.Errorf("Run returned %v", err)
				}
			})
		})
	}
}

func TestAnIdentitysFileIsLoadedAgainWhenItChanges(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "app.pem")
	write(t, file, []byte("first"))
	store := newStore(t)
	var used []string
	ends := time.Unix(4_000_000_000, 0)
	use := func(content []byte) (time.Time, error) {
		if string(content) == "bad" {
			return time.Time{}, errors.New("bad")
		}
		used = append(used, string(content))
		return ends, nil
	}
	if err := store.Identity("prod.mi-orders", file, use); err != nil {
		t.Fatal(err)
	}
	write(t, file, []byte("bad"))
	if err := store.Reload(); err == nil || metric(t, store, "reload_success", "prod.mi-orders") != 0 {
		t.Errorf("a bad file is not told: %v", err)
	}
	write(t, file, []byte("second"))
	if err := store.Reload(); err != nil {
		t.Error(err)
	}
	if got := strings.Join(used, " "); got != "first second" {
		t.Errorf("used: %s", got)
	}
	if got := metric(t, store, "not_after_timestamp_seconds", "prod.mi-orders"); got != float64(ends.Unix()) {
		t.Errorf("ends at %v", got)
	}
	if err := store.Identity("prod.mi-other", filepath.Join(t.TempDir(), "none.pem"), use); err == nil {
		t.Error("a file that is not there was loaded")
	}
}

func TestBadFileIsReportedOnceAndNotAtEachLook(t *testing.T) {
	t.Parallel()
	a := authority(t)
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "ca.pem")
		write(t, file, contentOf(t, a.CAFile))
		store := newStore(t)
		bundle, err := store.Bundle("upstream", file)
		if err != nil {
			t.Fatal(err)
		}
		before := bundle.Pool()
		go func() { _ = store.Run(t.Context()) }()
		write(t, file, []byte("spoiled"))
		time.Sleep(time.Hour)
		if got := metric(t, store, "loads_total", "failure"); got != 1 {
			t.Errorf("reported %v times", got)
		}
		if !bundle.Pool().Equal(before) {
			t.Error("the pool changed")
		}
	})
}

func TestMetricsTellWhenTheFirstCertificateExpires(t *testing.T) {
	t.Parallel()
	a := authority(t)
	store := newStore(t)
	if _, err := store.Bundle("upstream", a.CAFile, a.CertFile); err != nil { // the server's ends first
		t.Fatal(err)
	}
	block, _ := pem.Decode(contentOf(t, a.CertFile))
	server, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if got := metric(t, store, "not_after_timestamp_seconds", "upstream"); got != float64(server.NotAfter.Unix()) {
		t.Errorf("expiry = %v, want %v", got, server.NotAfter.Unix())
	}
}

func TestZeroMaterialRefuses(t *testing.T) {
	t.Parallel()
	var bundle certs.Bundle
	if !bundle.Pool().Equal(x509.NewCertPool()) {
		t.Error("the zero bundle trusts somebody")
	}
	var pair certs.KeyPair
	if _, err := pair.GetCertificate(nil); err == nil {
		t.Error("the zero key pair has a certificate")
	}
	if _, err := pair.GetClientCertificate(nil); err == nil {
		t.Error("the zero key pair has a client certificate")
	}
}

func TestBundleWithoutFilesIsTheSystemsTrustStore(t *testing.T) {
	t.Parallel()
	want, err := x509.SystemCertPool()
	if err != nil {
		t.Skip("this system has no trust store")
	}
	bundle, err := newStore(t).Bundle("issuers")
	if err != nil {
		t.Fatal(err)
	}
	if !bundle.Pool().Equal(want) {
		t.Error("another pool")
	}
}
