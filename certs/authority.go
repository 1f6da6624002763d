package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	authorityLife = 10 * 365 * 24 * time.Hour
	serverLife    = 365 * 24 * time.Hour
	renewBefore   = 90 * 24 * time.Hour
	backdate      = time.Hour // for clocks that are behind

	serialBits = 128

	folderMode fs.FileMode = 0o700
	anyoneElse fs.FileMode = 0o077
)

// Authority is a certificate authority for one developer's machine, with a server certificate that it signed.
type Authority struct {
	CAFile   string // certificate of the authority, for clients to trust
	CertFile string // certificate of the server
	KeyFile  string // key of the server
}

// DevelopmentAuthority returns the authority kept in dir, and creates what is missing: the folder (0700), the authority, and a server
// certificate for localhost, 127.0.0.1, ::1 and the names given (host names or addresses). Files are written once with mode 0600; the
// server certificate is written anew when it has less than 90 days left, lacks a name or does not fit its key. A folder or key that others
// can read is refused.
//
// The authority can only vouch for the names that it was created with (RFC 5280 §4.2.1.10), so that a developer who trusts it does
// not trust its key to stand for any other site. A name that came later is refused until the folder is deleted.
func DevelopmentAuthority(dir string, names []string, clock func() time.Time) (*Authority, error) {
	names = append([]string{"localhost", "127.0.0.1", "::1"}, names...)
	a := &Authority{
		CAFile:   filepath.Join(dir, "ca.pem"),
		CertFile: filepath.Join(dir, "server.pem"),
		KeyFile:  filepath.Join(dir, "server-key.pem"),
	}
	if err := a.prepare(dir, names, clock()); err != nil {
		return nil, fmt.Errorf("development authority in %s: %w", dir, err)
	}
	return a, nil
}

func (a *Authority) prepare(dir string, names []string, now time.Time) error {
	if err := os.MkdirAll(dir, folderMode); err != nil {
		return fmt.Errorf("creating folder: %w", err)
	}
	if err := private(dir); err != nil {
		return err
	}
	signer, err := loadOrCreateSigner(a.CAFile, filepath.Join(dir, "ca-key.pem"), names, now)
	if err != nil {
		return err
	}
	if err := signer.covers(names, now); err != nil {
		return err
	}
	current, err := loadPair(a.CertFile, a.KeyFile)
	switch {
	case errors.Is(err, errExposed):
		return err
	case err == nil && current.serves(names, now, signer.certificate):
		return nil
	default:
		return signer.issue(a.CertFile, a.KeyFile, names, now)
	}
}

// pair is a certificate and its key.
type pair struct {
	certificate *x509.Certificate
	key         any
}

// loadOrCreateSigner returns the authority's own pair.
func loadOrCreateSigner(certFile, keyFile string, names []string, now time.Time) (*pair, error) {
	_, certErr := os.Stat(certFile)
	_, keyErr := os.Stat(keyFile)
	if errors.Is(certErr, fs.ErrNotExist) && errors.Is(keyErr, fs.ErrNotExist) {
		if err := createSigner(certFile, keyFile, names, now); err != nil {
			return nil, err
		}
	}
	signer, err := loadPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("%w (delete the folder to start with a new authority, which clients must then trust anew)", err)
	}
	return signer, nil
}

func createSigner(certFile, keyFile string, names []string, now time.Time) error {
	template, err := newTemplate("cosmosgate development authority", now, authorityLife)
	if err != nil {
		return err
	}
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.MaxPathLenZero = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	template.PermittedDNSDomainsCritical = true
	hosts, addresses := split(names)
	template.PermittedDNSDomains = hosts
	for _, address := range addresses {
		template.PermittedIPRanges = append(template.PermittedIPRanges, exactly(address))
	}
	return writePair(certFile, keyFile, template, nil)
}

// covers says whether the authority can sign for names, now and for a certificate's life.
func (p *pair) covers(names []string, now time.Time) error {
	if now.Add(serverLife).After(p.certificate.NotAfter) {
		return errors.New("the authority is about to expire: delete the folder to start with a new one")
	}
	hosts, addresses := split(names)
	for _, host := range hosts {
		if !slices.Contains(p.certificate.PermittedDNSDomains, host) {
			return fmt.Errorf("the authority was not created for %s: delete the folder to start with a new one", host)
		}
	}
	for _, address := range addresses {
		same := func(n *net.IPNet) bool { return n.String() == exactly(address).String() }
		if !slices.ContainsFunc(p.certificate.PermittedIPRanges, same) {
			return fmt.Errorf("the authority was not created for %s: delete the folder to start with a new one", address)
		}
	}
	return nil
}

// serves says whether a server's certificate is good for names, signed by the authority, and has time left.
func (p *pair) serves(names []string, now time.Time, authority *x509.Certificate) bool {
	if now.Before(p.certificate.NotBefore) || now.Add(renewBefore).After(p.certificate.NotAfter) {
		return false
	}
	for _, name := range names {
		if p.certificate.VerifyHostname(name) != nil {
			return false
		}
	}
	return p.certificate.CheckSignatureFrom(authority) == nil
}

// issue signs and writes a server certificate with a new key.
func (p *pair) issue(certFile, keyFile string, names []string, now time.Time) error {
	template, err := newTemplate("cosmosgate development server", now, serverLife)
	if err != nil {
		return err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	template.DNSNames, template.IPAddresses = split(names)
	return writePair(certFile, keyFile, template, p)
}

func newTemplate(name string, now time.Time, life time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialBits))
	if err != nil {
		return nil, fmt.Errorf("drawing a serial number: %w", err)
	}
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-backdate),
		NotAfter:     now.Add(life),
	}, nil
}

// writePair makes a key, has the certificate signed (by its own key if signer is nil), and writes both.
func writePair(certFile, keyFile string, template *x509.Certificate, signer *pair) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("generating a key: %w", err)
	}
	if signer == nil {
		signer = &pair{certificate: template, key: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer.certificate, key.Public(), signer.key)
	if err != nil {
		return fmt.Errorf("signing a certificate: %w", err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encoding a key: %w", err)
	}
	if err := writePEM(keyFile, "PRIVATE KEY", secret); err != nil {
		return err
	}
	return writePEM(certFile, "CERTIFICATE", der)
}

// writePEM replaces a file in one step; os.CreateTemp gives it mode 0600.
func writePEM(path, block string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer os.Remove(f.Name()) //nolint:errcheck // Gone after the rename.
	err = errors.Join(pem.Encode(f, &pem.Block{Type: block, Bytes: content}), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

var errExposed = errors.New("others have access")

// private refuses what anyone but its owner may read or write.
func private(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("checking the mode: %w", err)
	}
	if mode := info.Mode().Perm(); mode&anyoneElse != 0 {
		return fmt.Errorf("%s has mode %04o: %w (chmod go-rwx %[1]s)", path, mode, errExposed)
	}
	return nil
}

func loadPair(certFile, keyFile string) (*pair, error) {
	if err := private(keyFile); err != nil {
		return nil, err
	}
	loaded, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("reading key pair: %w", err)
	}
	return &pair{certificate: loaded.Leaf, key: loaded.PrivateKey}, nil
}

func split(names []string) ([]string, []net.IP) {
	var hosts []string
	var addresses []net.IP
	for _, name := range names {
		if address := net.ParseIP(name); address != nil {
			addresses = append(addresses, address)
		} else {
			hosts = append(hosts, name)
		}
	}
	return hosts, addresses
}

// exactly is the network that holds one address.
func exactly(address net.IP) *net.IPNet {
	if short := address.To4(); short != nil {
		address = short
	}
	bits := len(address) * 8
	return &net.IPNet{IP: address, Mask: net.CIDRMask(bits, bits)}
}
