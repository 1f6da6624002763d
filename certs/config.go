package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	dialTimeout      = 10 * time.Second
	handshakeTimeout = 10 * time.Second
	keepAlive        = 30 * time.Second
	idleTimeout      = 90 * time.Second
	idlePerHost      = 64
	resumable        = 64 // servers whose sessions are remembered
)

const (
	protocolHTTP2 = "h2"
	protocolHTTP1 = "http/1.1"
)

// Source is where a server's certificates come from: a KeyPair, or an ACME client.
type Source interface {
	GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error)
}

// ServerConfig returns the TLS settings of a listener: TLS 1.2 or newer, HTTP/1.1 and 2. If clients is not nil, callers must
// present a certificate that chains to what the bundle holds at the time of their connection.
func ServerConfig(source Source, clients *Bundle) *tls.Config {
	config := settings(protocolHTTP2, protocolHTTP1)
	config.GetCertificate = source.GetCertificate
	if clients == nil {
		return config
	}
	config.ClientAuth = tls.RequireAndVerifyClientCert
	config.ClientCAs = clients.Pool()
	config.SessionTicketsDisabled = true // a resumed session would carry a client past a change of the bundle
	live := &perPool{build: func(pool *x509.CertPool) *tls.Config {
		own := config.Clone()
		own.ClientCAs = pool
		own.GetConfigForClient = nil
		return own
	}}
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return live.config(clients.Pool()), nil }
	return config
}

// Transport returns a new HTTP transport that trusts what the bundle holds at the time of each connection. It uses no proxy and
// follows none of the process's defaults. The caller may change its limits and timeouts before first use, and set ForceAttemptHTTP2
// to false for HTTP/1.1 only; its TLSClientConfig and TLSHandshakeTimeout are not used.
func (b *Bundle) Transport() *http.Transport {
	transport := &http.Transport{
		DialContext:           (&net.Dialer{Timeout: dialTimeout, KeepAlive: keepAlive}).DialContext,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   idlePerHost,
		IdleConnTimeout:       idleTimeout,
		ExpectContinueTimeout: time.Second,
	}
	http1 := &perPool{build: clientConfig(protocolHTTP1)}
	http2 := &perPool{build: clientConfig(protocolHTTP2, protocolHTTP1)}
	transport.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		settings := http1
		if transport.ForceAttemptHTTP2 {
			settings = http2
		}
		conn, err := transport.DialContext(ctx, network, address)
		if err != nil {
			return nil, fmt.Errorf("connecting to %s: %w", address, err)
		}
		return handshake(ctx, conn, address, settings.config(b.Pool()))
	}
	return transport
}

// handshake owns the connection: it closes it if the handshake fails.
func handshake(ctx context.Context, conn net.Conn, address string, config *tls.Config) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reading address %q: %w", address, err), conn.Close())
	}
	own := config.Clone()
	own.ServerName = host
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	secured := tls.Client(conn, own)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("TLS handshake with %s: %w", host, err), conn.Close())
	}
	return secured, nil
}

func clientConfig(protocols ...string) func(*x509.CertPool) *tls.Config {
	return func(pool *x509.CertPool) *tls.Config {
		config := settings(protocols...)
		config.RootCAs = pool
		// A cache per pool: a session agreed on under the old trust must not be resumed under the new one.
		config.ClientSessionCache = tls.NewLRUClientSessionCache(resumable)
		return config
	}
}

// perPool keeps the settings made for a pool until the pool is replaced. Settings are shared by connections, so that sessions can be
// resumed, and never changed once made.
type perPool struct {
	build  func(*x509.CertPool) *tls.Config
	cached atomic.Pointer[pooled]
}

type pooled struct {
	pool   *x509.CertPool
	config *tls.Config
}

func (p *perPool) config(pool *x509.CertPool) *tls.Config {
	if cached := p.cached.Load(); cached != nil && cached.pool == pool {
		return cached.config
	}
	made := &pooled{pool: pool, config: p.build(pool)}
	p.cached.Store(made)
	return made.config
}

// settings are common to both sides. TLS 1.3 suites are not configurable and all good; those of 1.2 are the ones with forward secrecy
// and authenticated encryption (RFC 9325 §4.2).
func settings(protocols ...string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: protocols,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
			tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
	}
}
