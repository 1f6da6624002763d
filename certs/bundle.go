package certs

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Bundle is a set of trusted authorities, in its newest valid form. The zero Bundle trusts nobody.
type Bundle struct {
	current atomic.Pointer[x509.CertPool]
}

// Pool returns the current pool. It must not be changed.
func (b *Bundle) Pool() *x509.CertPool {
	if pool := b.current.Load(); pool != nil {
		return pool
	}
	return x509.NewCertPool() // crypto/tls would take nil for the system's trust store
}

// set puts the certificates of PEM files to use if every one of them can be read.
func (b *Bundle) set(contents [][]byte) (time.Time, error) {
	pool := x509.NewCertPool()
	var first time.Time
	for i, content := range contents {
		certificates, err := parseCertificates(content)
		if err != nil {
			return time.Time{}, fmt.Errorf("reading file %d: %w", i+1, err)
		}
		for _, certificate := range certificates {
			pool.AddCert(certificate)
			if first.IsZero() || certificate.NotAfter.Before(first) {
				first = certificate.NotAfter
			}
		}
	}
	b.current.Store(pool)
	return first, nil
}

func (b *Bundle) setSystem() error {
	pool, err := x509.SystemCertPool()
	if err != nil {
		return fmt.Errorf("loading the system's trust store: %w", err)
	}
	b.current.Store(pool)
	return nil
}

// parseCertificates reads every certificate of a PEM file. Text between blocks is allowed, as tools write it; other blocks, broken
// blocks and a file without certificates are not: a bundle that is silently smaller than its file would be found out too late.
func parseCertificates(content []byte) ([]*x509.Certificate, error) {
	var certificates []*x509.Certificate
	blocks := bytes.Count(content, []byte("-----BEGIN "))
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("a %q block is not a certificate", block.Type)
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("parsing certificate %d: %w", len(certificates)+1, err)
		}
		certificates = append(certificates, certificate)
	}
	switch {
	case len(certificates) == 0:
		return nil, errors.New("no certificates")
	case len(certificates) != blocks:
		return nil, fmt.Errorf("%d of %d certificates can be decoded", len(certificates), blocks)
	default:
		return certificates, nil
	}
}
