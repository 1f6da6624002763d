package upstream

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

var (
	errNoCertificate = errors.New("no client certificate was loaded")
	errOtherKey      = errors.New("none of the certificates belongs to the key")
)

// Renewable is a [ClientCertificate] identity whose certificate may be replaced while it is in use. It has none before the first
// [Renewable.Renew], and gets no token then.
type Renewable struct {
	options Options
	current atomic.Pointer[azcore.TokenCredential]
}

// NewRenewable returns the identity that o describes, whose Kind is [ClientCertificate] and whose Certificate is not read.
func NewRenewable(o Options) *Renewable { return &Renewable{options: o} }

// Renew puts a certificate chain with its private key to use, as PEM or PKCS #12, and returns when the certificate expires. If the
// content is not fit for it the error says why, and the former certificate stays in use.
func (r *Renewable) Renew(content []byte) (time.Time, error) {
	o := r.options
	o.Certificate = content
	credential, err := New(o)
	if err != nil {
		return time.Time{}, err
	}
	chain, key, err := azidentity.ParseCertificates(content, o.CertificatePassword)
	if err != nil {
		return time.Time{}, fmt.Errorf("parsing client certificate: %w", err)
	}
	at := slices.IndexFunc(chain, func(c *x509.Certificate) bool { return belongs(c, key) })
	if at < 0 {
		return time.Time{}, errOtherKey
	}
	r.current.Store(&credential)
	return chain[at].NotAfter, nil
}

// belongs says whether a certificate is of a key.
func belongs(c *x509.Certificate, key crypto.PrivateKey) bool {
	signer, ok := key.(crypto.Signer)
	if !ok {
		return false
	}
	public, ok := signer.Public().(publicKey)
	return ok && public.Equal(c.PublicKey)
}

// publicKey is what every public key of the standard library is.
type publicKey interface {
	Equal(other crypto.PublicKey) bool
}

// GetToken implements [azcore.TokenCredential].
func (r *Renewable) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	credential := r.current.Load()
	if credential == nil {
		return azcore.AccessToken{}, errNoCertificate
	}
	return (*credential).GetToken(ctx, o) //nolint:wrapcheck // azidentity names the kind itself.
}
