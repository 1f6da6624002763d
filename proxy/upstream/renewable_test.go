package upstream_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/cosmosgate/cosmosgate/proxy/upstream"
)

func renewable(e *endpoint) *upstream.Renewable {
	return upstream.NewRenewable(upstream.Options{
		Kind: upstream.ClientCertificate, ClientID: "client-certified", TenantID: tenant,
		AuthorityHost: e.URL, DisableInstanceDiscovery: true, Transport: e.Client(),
	})
}

// signedBy says whether the last assertion was signed by the key of a certificate.
func signedBy(t *testing.T, e *endpoint, content []byte) bool {
	t.Helper()
	seen := e.seen()
	assertion, err := jwt.ParseSigned(seen[len(seen)-1].Form.Get("client_assertion"), []jose.SignatureAlgorithm{jose.PS256, jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(content)
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return assertion.Claims(certificate.PublicKey, &map[string]any{}) == nil
}

func TestARenewedClientCertificateSignsTheNextAssertion(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t)
	identity := renewable(e)
	if _, err := identity.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{scope}}); err == nil {
		t.Error("a token without a certificate")
	}
	first, second := certificatePEM(t), certificatePEM(t)
	for _, content := range [][]byte{first, second} {
		expiry, err := identity.Renew(content)
		if err != nil {
			t.Fatal(err)
		}
		if until := time.Until(expiry); until <= 0 || until > time.Hour {
			t.Errorf("the certificate of an hour ends in %v", until)
		}
		getToken(t, identity)
		if !signedBy(t, e, content) {
			t.Error("another certificate signed")
		}
	}
	for name, content := range map[string][]byte{
		"junk": []byte("junk"), "a key alone": ecKeyPEM(t), "nothing": nil,
		"a certificate and the key of another": mixed(first, certificatePEM(t)),
	} {
		if _, err := identity.Renew(content); err == nil {
			t.Errorf("%s was put to use", name)
		}
	}
	getToken(t, identity)
	if !signedBy(t, e, second) {
		t.Error("what is not fit for it took the place of the certificate")
	}
}

// mixed is the certificate of one file with the key of another.
func mixed(of, other []byte) []byte {
	certificate, _ := pem.Decode(of)
	_, key := pem.Decode(other)
	return append(pem.EncodeToMemory(certificate), key...)
}

// The certificate is the one of the key, wherever it stands in the chain.
func TestTheEndOfAClientCertificateIsThatOfTheLeaf(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "authority"}, IsCA: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, authority, authority, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	content := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), certificatePEM(t)...)
	expiry, err := renewable(newEndpoint(t)).Renew(content)
	if err != nil {
		t.Fatal(err)
	}
	if time.Until(expiry) > time.Hour {
		t.Errorf("ends at %v, as the authority does", expiry)
	}
}

func TestACertificateIsRenewedWhileTokensAreAskedFor(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t)
	identity := renewable(e)
	content := certificatePEM(t)
	if _, err := identity.Renew(content); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			var got azcore.AccessToken
			var err error
			for range 20 {
				if got, err = identity.GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{scope}}); err != nil {
					break
				}
			}
			if err != nil || !strings.HasPrefix(got.Token, "token-for-") {
				t.Errorf("%q, %v", got.Token, err)
			}
		})
	}
	for range 5 {
		if _, err := identity.Renew(content); err != nil {
			t.Error(err)
		}
	}
	group.Wait()
}
