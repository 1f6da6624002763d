package credential

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

const (
	patience       = 30 * time.Second // for one answer of gate or issuer
	idleConnection = 90 * time.Second
)

// Transport returns a transport that trusts the system's authorities and those in PEM form. It speaks TLS 1.2 and above.
func Transport(authorities []byte) (*http.Transport, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // a system without any, as in a container
	}
	if len(authorities) > 0 && !pool.AppendCertsFromPEM(authorities) {
		return nil, fmt.Errorf("credential: %w", errNoPEM)
	}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, IdleConnTimeout: idleConnection,
		TLSHandshakeTimeout: patience, ResponseHeaderTimeout: 3 * patience, //nolint:mnd // longer than the SDKs wait for Cosmos DB
		TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
	}, nil
}

// client returns a client for documents and tokens. It follows no redirect: a token must not be sent to where one leads.
func client(transport http.RoundTripper) *http.Client {
	return &http.Client{
		Transport: transport, Timeout: patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

var (
	errFingerprint = errors.New("is not 64 hexadecimal digits")
	errNotPinned   = errors.New("publishes no authority with that fingerprint")
)

// FetchAuthority returns the authority, in PEM form, that a gate publishes, if it has the SHA-256 fingerprint that somebody was
// told on another way. Until then nothing that the gate says is believed; no credential is sent.
func FetchAuthority(ctx context.Context, gate *url.URL, fingerprint string) ([]byte, error) {
	want, err := hex.DecodeString(fingerprint)
	if err != nil || len(want) != sha256.Size {
		return nil, fmt.Errorf("fingerprint %q %w", fingerprint, errFingerprint)
	}
	unproven := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, TLSHandshakeTimeout: patience,
		//nolint:gosec // G402: what is read counts only if it has the fingerprint, which the caller had from elsewhere
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, gate.JoinPath(GuidePath).String(), nil)
	if err != nil {
		return nil, fmt.Errorf("asking for the authority: %w", err)
	}
	resp, err := client(unproven).Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking for the authority: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	var guide Guide
	if err := json.NewDecoder(io.LimitReader(resp.Body, largestAnswer)).Decode(&guide); err != nil || guide.CertificateAuthority == nil {
		return nil, fmt.Errorf("%s %w", gate.Host, errNotPinned)
	}
	block, _ := pem.Decode([]byte(guide.CertificateAuthority.PEM))
	if block == nil || block.Type != "CERTIFICATE" || sha256.Sum256(block.Bytes) != [sha256.Size]byte(want) {
		return nil, fmt.Errorf("%s %w", gate.Host, errNotPinned)
	}
	return pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes}), nil
}
