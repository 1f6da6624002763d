package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var errNotReady = errors.New("certs: not ready")

// Config configures a Store.
type Config struct {
	Poll   time.Duration    // how often files are looked at; 0 means 10 s
	Clock  func() time.Time // required
	Logger *slog.Logger     // required
}

// Store loads key pairs and bundles and reloads them when their files change.
type Store struct{}

// New returns an empty store.
func New(Config) (*Store, error) { return nil, errNotReady }

// KeyPair loads a certificate chain and its key from two PEM files, and watches them. The name labels metrics and log lines.
func (*Store) KeyPair(name, certFile, keyFile string) (*KeyPair, error) { return nil, errNotReady }

// Bundle loads trusted authorities from PEM files, and watches them. Without files it is the system's trust store.
func (*Store) Bundle(name string, files ...string) (*Bundle, error) { return nil, errNotReady }

// Reload loads everything again at once, as on SIGHUP. What fails keeps its old material; the error joins all failures.
func (*Store) Reload() error { return errNotReady }

// Run reloads what changes until ctx is done.
func (*Store) Run(context.Context) error { return errNotReady }

// Collectors returns the store's metrics.
func (*Store) Collectors() []prometheus.Collector { return nil }

// Source is where a server's certificates come from: a KeyPair, or an ACME client.
type Source interface {
	GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error)
}

// KeyPair is a certificate chain with its key, in its newest valid form.
type KeyPair struct{}

// GetCertificate returns the current certificate, for a server.
func (*KeyPair) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return nil, errNotReady
}

// GetClientCertificate returns the current certificate, for a client.
func (*KeyPair) GetClientCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return nil, errNotReady
}

// Bundle is a set of trusted authorities, in its newest valid form.
type Bundle struct{}

// Pool returns the current pool. It must not be changed.
func (*Bundle) Pool() *x509.CertPool { return nil }

// Transport returns a new HTTP transport that trusts what the bundle holds at the time of each connection. It uses no proxy and
// follows none of the process's defaults; the caller may set its limits and timeouts before first use.
func (*Bundle) Transport() *http.Transport { return nil }

// ServerConfig returns the TLS settings of a listener: TLS 1.2 or newer, HTTP/1.1 and 2. If clients is not nil, callers must
// present a certificate that chains to it.
func ServerConfig(source Source, clients *Bundle) *tls.Config { return nil }
