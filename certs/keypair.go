package certs

import (
	"crypto/tls"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

var errNoCertificate = errors.New("no certificate loaded")

// KeyPair is a certificate chain with its key, in its newest valid form. The zero KeyPair fails every handshake.
type KeyPair struct {
	current atomic.Pointer[tls.Certificate]
}

// GetCertificate returns the current certificate, for a server.
func (p *KeyPair) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return p.certificate()
}

// GetClientCertificate returns the current certificate, for a client.
func (p *KeyPair) GetClientCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return p.certificate()
}

func (p *KeyPair) certificate() (*tls.Certificate, error) {
	if certificate := p.current.Load(); certificate != nil {
		return certificate, nil
	}
	return nil, errNoCertificate
}

// set puts a new pair to use if certificate and key belong together and the certificate has not expired.
func (p *KeyPair) set(certPEM, keyPEM []byte, now time.Time) (time.Time, error) {
	certificate, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return time.Time{}, fmt.Errorf("reading key pair: %w", err)
	}
	expiry := certificate.Leaf.NotAfter
	if now.After(expiry) {
		return time.Time{}, fmt.Errorf("certificate of %s expired at %s", certificate.Leaf.Subject, expiry.UTC().Format(time.RFC3339))
	}
	p.current.Store(&certificate)
	return expiry, nil
}
