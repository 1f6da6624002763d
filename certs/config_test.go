package certs_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/cosmosgate/cosmosgate/certs"
)

// serve runs an HTTPS server with the settings on an address, and makes URLs of its port.
func serve(t *testing.T, address string, config *tls.Config) func(host string) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }),
		TLSConfig:         config,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
		ReadHeaderTimeout: time.Minute,
	}
	go func() { _ = s.ServeTLS(listener, "", "") }()
	t.Cleanup(func() { _ = s.Close() })
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return func(host string) string { return "https://" + net.JoinHostPort(host, port) }
}

// fetch returns the protocol that was spoken.
func fetch(t *testing.T, transport http.RoundTripper, url string) (string, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return "", fmt.Errorf("fetching: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

func TestTransportTrustsWhatTheBundleHoldsNow(t *testing.T) {
	t.Parallel()
	ours, theirs := authority(t), authority(t)
	store := newStore(t)
	pair, err := store.KeyPair("gate", ours.CertFile, ours.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	url := serve(t, "127.0.0.1", certs.ServerConfig(pair, nil))
	file := filepath.Join(t.TempDir(), "ca.pem")
	write(t, file, contentOf(t, theirs.CAFile))
	bundle, err := store.Bundle("upstream", file)
	if err != nil {
		t.Fatal(err)
	}
	transport := bundle.Transport()
	defer transport.CloseIdleConnections()
	var unknown x509.UnknownAuthorityError
	if _, err := fetch(t, transport, url("localhost")); !errors.As(err, &unknown) {
		t.Errorf("before: %v", err)
	}
	write(t, file, contentOf(t, ours.CAFile))
	if err := store.Reload(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time with a session to resume
		if proto, err := fetch(t, transport, url("127.0.0.1")); proto != "HTTP/2.0" || err != nil {
			t.Errorf("after: %q, %v", proto, err)
		}
		transport.CloseIdleConnections()
	}
	write(t, file, contentOf(t, theirs.CAFile))
	if err := store.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, err := fetch(t, transport, url("localhost")); !errors.As(err, &unknown) {
		t.Errorf("when the trust is gone: %v", err)
	}
}

func TestTransportChecksTheNameAndSpeaksWhatItIsTold(t *testing.T) {
	t.Parallel()
	a := authority(t)
	store := newStore(t)
	pair, err := store.KeyPair("gate", a.CertFile, a.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := store.Bundle("upstream", a.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	url := serve(t, "127.0.0.1", certs.ServerConfig(pair, nil))
	transport := bundle.Transport()
	transport.ForceAttemptHTTP2 = false
	defer transport.CloseIdleConnections()
	if proto, err := fetch(t, transport, url("localhost")); proto != "HTTP/1.1" || err != nil {
		t.Errorf("%q, %v", proto, err)
	}
	var name x509.HostnameError
	elsewhere := serve(t, "127.0.0.2", certs.ServerConfig(pair, nil))
	if _, err := fetch(t, transport, elsewhere("127.0.0.2")); !errors.As(err, &name) {
		t.Errorf("another address: %v", err)
	}
	if _, err := fetch(t, transport, "https://127.0.0.1:1/"); err == nil {
		t.Error("nobody listens there")
	}
}

func TestServerRefusesOldTLS(t *testing.T) {
	t.Parallel()
	a := authority(t)
	store := newStore(t)
	pair, err := store.KeyPair("gate", a.CertFile, a.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := store.Bundle("clients", a.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	url := serve(t, "127.0.0.1", certs.ServerConfig(pair, nil))
	tests := map[string]struct {
		max    uint16
		suites []uint16
		ok     bool
	}{
		"1.1":                          {tls.VersionTLS11, nil, false},
		"1.2":                          {tls.VersionTLS12, nil, true},
		"1.2 with a CBC suite only":    {tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}, false},
		"1.2 with a ChaCha suite only": {tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}, true},
		"1.3":                          {tls.VersionTLS13, nil, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			transport := &http.Transport{TLSClientConfig: &tls.Config{
				RootCAs: bundle.Pool(), MinVersion: tls.VersionTLS10, MaxVersion: test.max, CipherSuites: test.suites,
			}}
			defer transport.CloseIdleConnections()
			if _, err := fetch(t, transport, url("localhost")); (err == nil) != test.ok {
				t.Errorf("error: %v", err)
			}
		})
	}
}

func TestClientCertificatesAreCheckedAgainstWhatTheBundleHoldsNow(t *testing.T) {
	t.Parallel()
	a, other := authority(t), authority(t)
	store := newStore(t)
	pair, err := store.KeyPair("gate", a.CertFile, a.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "clients.pem")
	write(t, file, contentOf(t, other.CAFile))
	clients, err := store.Bundle("clients", file)
	if err != nil {
		t.Fatal(err)
	}
	url := serve(t, "127.0.0.1", certs.ServerConfig(pair, clients))
	ask := func(getCertificate func(*tls.CertificateRequestInfo) (*tls.Certificate, error)) error {
		transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, GetClientCertificate: getCertificate}}
		defer transport.CloseIdleConnections()
		_, err := fetch(t, transport, url("localhost"))
		return err
	}
	none := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &tls.Certificate{}, nil }
	if err := ask(none); err == nil {
		t.Error("a client without a certificate was served")
	}
	if err := ask(pair.GetClientCertificate); err == nil {
		t.Error("a certificate of another authority was accepted")
	}
	write(t, file, contentOf(t, a.CAFile))
	if err := store.Reload(); err != nil {
		t.Fatal(err)
	}
	// Its authority is trusted now, but the certificate is one for servers.
	if err := ask(pair.GetClientCertificate); err == nil {
		t.Error("a server's certificate was accepted from a client")
	}
}
