package sts

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/cosmosgate/cosmosgate/identity"
)

// The kinds of client assertions.
const (
	assertionJWT    = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	assertionSPIFFE = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"
)

// The methods of client authentication, as records name them.
const (
	methodKey      = "private_key_jwt"
	methodWorkload = "workload"
	methodTLS      = "self_signed_tls_client_auth"
	methodSecret   = "client_secret"
)

// proven is a client and how it proved itself.
type proven struct {
	identity.Client

	method      string
	certificate *x509.Certificate // that it proved itself with, or nil
}

// authenticate finds out which client asks. Exactly one proof is looked at: a second one is an error, so that nobody can believe that
// a weaker one did not count.
func (s *Service) authenticate(ctx context.Context, r *http.Request, f form) (proven, error) {
	offered := 0
	basic := r.Header.Get("Authorization") != ""

	for _, given := range []bool{f["client_assertion"] != "" || f["client_assertion_type"] != "", f["client_secret"] != "", basic} {
		if given {
			offered++
		}
	}

	var (
		client proven
		err    error
	)

	switch {
	case offered > 1:
		return proven{}, refuse(codeInvalidRequest, "the client proves itself in more than one way")
	case f["client_assertion"] != "" || f["client_assertion_type"] != "":
		client, err = s.byAssertion(ctx, f)
	case offered == 1:
		client, err = s.bySecret(r, f)
	default:
		client, err = s.byCertificate(r, f)
	}

	if err != nil {
		return proven{}, err
	}

	if id := f["client_id"]; id != "" && id != client.Name {
		return proven{}, invalidClient("client_id names another client than the proof")
	}

	return client, nil
}

// byAssertion checks a token: signed by the client itself, or by its platform.
func (s *Service) byAssertion(ctx context.Context, f form) (proven, error) {
	if kind := f["client_assertion_type"]; kind != assertionJWT && kind != assertionSPIFFE {
		return proven{}, refuse(codeInvalidRequest, "client_assertion_type is not "+assertionJWT)
	}

	client, err := s.cfg.Authenticator.Client(ctx, f["client_assertion"], s.assertionAudiences())
	if err != nil {
		return proven{}, faultOf(err, codeInvalidClient, "client_assertion")
	}

	if !client.Single {
		return proven{Client: client, method: methodWorkload}, nil
	}

	if err := s.spend(ctx, identity.UseAssertion, client.Issuer, client.TokenID, client.Expiry); err != nil {
		return proven{}, replayed(err, codeInvalidClient, "client_assertion")
	}

	return proven{Client: client, method: methodKey}, nil
}

// assertionAudiences are what a client assertion may be meant for: this service, by its name or by the endpoint.
func (s *Service) assertionAudiences() []string {
	return []string{s.cfg.Issuer, s.cfg.Issuer + pathToken}
}

// byCertificate recognises a client by the key of its TLS certificate (RFC 8705 section 2.2), which is one of those that it is
// declared with. Nobody has to have signed the certificate.
func (s *Service) byCertificate(r *http.Request, f form) (proven, error) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return proven{}, &Error{
			Status: http.StatusUnauthorized, Code: codeInvalidClient, challenge: true,
			Description: "the client proves nothing: send a client_assertion",
		}
	}

	certificate := r.TLS.PeerCertificates[0]
	now := s.cfg.Clock()

	client, keys, err := s.cfg.Authenticator.Declared(f["client_id"])
	if err != nil {
		return proven{}, faultOf(err, codeInvalidClient, "client_id")
	}

	switch {
	case now.Before(certificate.NotBefore) || now.After(certificate.NotAfter):
		return proven{}, invalidClient("the client certificate is expired or not valid yet")
	case !isAmong(certificate.PublicKey, keys):
		return proven{}, invalidClient("the client certificate has no key of this client")
	}

	return proven{Client: client, method: methodTLS, certificate: certificate}, nil
}

func isAmong(key crypto.PublicKey, keys []crypto.PublicKey) bool {
	for _, candidate := range keys {
		public, ok := candidate.(interface {
			Equal(other crypto.PublicKey) bool
		})
		if ok && public.Equal(key) {
			return true
		}
	}

	return false
}

// bySecret checks a shared secret, where the configuration insists on having them (RFC 6749 section 2.3.1).
func (s *Service) bySecret(r *http.Request, f form) (proven, error) {
	refused := &Error{
		Status: http.StatusUnauthorized, Code: codeInvalidClient, Description: "unknown client, or wrong secret", challenge: true,
	}
	id, secret := f["client_id"], f["client_secret"]

	if secret == "" {
		basicID, basicSecret, ok := r.BasicAuth()

		var errID, errSecret error

		id, errID = url.QueryUnescape(basicID)
		secret, errSecret = url.QueryUnescape(basicSecret)

		if !ok || errID != nil || errSecret != nil {
			return proven{}, refused
		}
	}

	want, known := s.cfg.Secrets[id]
	given, expected := sha256.Sum256([]byte(secret)), sha256.Sum256([]byte(want))

	if same := subtle.ConstantTimeCompare(given[:], expected[:]) == 1; !same || !known || want == "" {
		return proven{}, refused
	}

	client, _, err := s.cfg.Authenticator.Declared(id)
	if err != nil {
		return proven{}, faultOf(err, codeInvalidClient, "client_id")
	}

	return proven{Client: client, method: methodSecret}, nil
}

func (s *Service) spend(ctx context.Context, use identity.Use, issuer, id string, until time.Time) error {
	return s.cfg.Spend(ctx, use, issuer, id, until)
}

// replayed says that something was used before.
func replayed(err error, code, what string) *Error {
	if !errors.Is(err, identity.ErrUsed) && !errors.Is(err, identity.ErrOnceExpired) {
		return unavailable(err)
	}

	e := refuse(code, what+" was used before")
	e.Reason = err.Error()

	if code == codeInvalidClient {
		e.Status = http.StatusUnauthorized
	}

	return e
}
