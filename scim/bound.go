package scim

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

const (
	schemeBearer = "Bearer"
	schemeDPoP   = "DPoP"
	headerProof  = "DPoP"
	headerNonce  = "DPoP-Nonce"
	challenge    = "WWW-Authenticate"
	// proofAlgorithms are what a proof may be signed with.
	proofAlgorithms = "ES256 RS256 PS256 EdDSA"
	// unprovenProof and missingNonce are the errors of RFC 9449 §5, §7.1 and §8.
	unprovenProof = "invalid_dpop_proof"
	missingNonce  = "use_dpop_nonce"
)

// Proof is the DPoP header of a request (RFC 9449), and what it must be about.
type Proof struct {
	// Header is the value of the one header; Several says that there were more.
	Header  string
	Several bool
	// Method and URL are htm and htu, the URL as providers address it.
	Method, URL string
}

// ProofVerifier checks proofs and returns the thumbprint of the key that made
// one (jkt). token is the access token that came with it, whose hash it must
// carry (ath), and empty at the token endpoint. It uses a proof up. The error is
// a [ProofError], or else the verifier could not decide.
type ProofVerifier interface {
	Thumbprint(ctx context.Context, token string, p Proof) (string, error)
}

// ProofError refuses a proof.
type ProofError struct {
	// Nonce, if set, is what the next proof must carry.
	Nonce string
	// Err says what was wrong, for the log.
	Err error
}

// Error implements error.
func (e *ProofError) Error() string { return "DPoP proof: " + e.Err.Error() }

// Unwrap returns the reason.
func (e *ProofError) Unwrap() error { return e.Err }

// binding is the cnf of an access token (RFC 7800): the keys whose holder alone
// may use it. The zero binding is a bearer token's.
type binding struct {
	Thumbprint  string `json:"jkt,omitempty"`
	Certificate string `json:"x5t#S256,omitempty"`
}

// BoundVerifier says whether a request opens a connection with an access token
// that is bound to a key, and shows the key. Its errors are the server's to
// answer; [OAuth] is one.
type BoundVerifier interface {
	VerifyBound(r *http.Request, connection string) error
	// BoundLives reports whether an access token that VerifyBound has taken for a
	// request is still good. It looks at no proof, which is used up.
	BoundLives(r *http.Request, connection string) bool
}

// errUnknownToken is said of a token that nobody here issued, or not yet.
var errUnknownToken = errors.New("a valid bearer token is required")

// challengeError refuses the use of a genuine access token.
type challengeError struct {
	scheme, code string
	nonce        string
	err          error
}

func (e *challengeError) Error() string { return e.err.Error() }
func (e *challengeError) Unwrap() error { return e.err }

// The reasons why a genuine access token is not taken.
var (
	errOtherScheme      = errors.New("the access token is used under another scheme than it was issued for")
	errOtherCertificate = errors.New("the access token is bound to another client certificate")
	errUnpinned         = errors.New("the connection takes credentials only together with a client certificate of its configuration")
	errOtherKey         = errors.New("the access token is bound to another key")
)

// bind returns what a new access token is bound to: the certificate that the
// client showed (RFC 8705 §3) and the key of its proof (RFC 9449 §5).
func (o *OAuth) bind(r *http.Request) (binding, error) {
	b := binding{Certificate: certificateOf(r)}
	proof, given := proofOf(r, o.address(OAuthPath))
	if !given {
		return b, nil
	}
	if o.config.Proofs == nil {
		return b, &oauthError{status: http.StatusBadRequest, Code: unprovenProof, Description: "proofs are not taken here"}
	}
	var err error
	b.Thumbprint, err = o.config.Proofs.Thumbprint(r.Context(), "", proof)
	refused, wrong := errors.AsType[*ProofError](err)
	switch {
	case err == nil:
		return b, nil
	case !wrong:
		return b, fmt.Errorf("checking a proof: %w", err)
	case refused.Nonce != "":
		return b, &oauthError{status: http.StatusBadRequest, Code: missingNonce, Description: "use the nonce of this answer", nonce: refused.Nonce}
	default:
		return b, &oauthError{status: http.StatusBadRequest, Code: unprovenProof, Description: "the proof is not good for this request"}
	}
}

// VerifyBound implements [BoundVerifier]. The token is looked up before the proof
// is, so that strangers cost no signature check, and may be looked up again. A nil
// OAuth knows no token.
func (o *OAuth) VerifyBound(r *http.Request, connection string) error {
	if o == nil {
		return errUnknownToken
	}
	scheme, token := presented(r)
	a, ok := o.find(connection, token)
	if !ok || a.Bound == (binding{}) {
		return errUnknownToken
	}
	if a.Bound.Certificate != "" && certificateOf(r) != a.Bound.Certificate {
		return &challengeError{scheme: scheme, code: "invalid_token", err: errOtherCertificate}
	}
	if a.Bound.Thumbprint == "" && scheme == schemeBearer {
		return nil
	}
	if a.Bound.Thumbprint == "" || scheme != schemeDPoP || o.config.Proofs == nil {
		return &challengeError{scheme: schemeDPoP, code: "invalid_token", err: errOtherScheme}
	}
	return o.confirm(r, token, a.Bound.Thumbprint)
}

// BoundLives implements [BoundVerifier].
func (o *OAuth) BoundLives(r *http.Request, connection string) bool {
	if o == nil {
		return false
	}
	_, token := presented(r)
	_, ok := o.find(connection, token)
	return ok
}

// confirm checks that the request was made by whoever has the key.
func (o *OAuth) confirm(r *http.Request, token, key string) error {
	// The query is no part of htu.
	proof, _ := proofOf(r, o.address(r.URL.EscapedPath()))
	thumbprint, err := o.config.Proofs.Thumbprint(r.Context(), token, proof)
	refused, wrong := errors.AsType[*ProofError](err)
	switch {
	case err != nil && !wrong:
		return &Error{Status: http.StatusServiceUnavailable, Detail: "the proof can't be checked; try again later"}
	case wrong && refused.Nonce != "":
		return &challengeError{scheme: schemeDPoP, code: missingNonce, nonce: refused.Nonce, err: refused}
	case wrong:
		return &challengeError{scheme: schemeDPoP, code: unprovenProof, err: refused}
	case thumbprint != key:
		return &challengeError{scheme: schemeDPoP, code: "invalid_token", err: errOtherKey}
	default:
		return nil
	}
}

// proofOf reads the proof of a request to an address.
func proofOf(r *http.Request, address string) (Proof, bool) {
	lines := r.Header.Values(headerProof)
	p := Proof{Several: len(lines) > 1, Method: r.Method, URL: address}
	if len(lines) > 0 {
		p.Header = lines[0]
	}
	return p, len(lines) > 0
}

// certificateOf is x5t#S256 of the certificate whose key the client has shown in
// the TLS handshake (RFC 8705 §3.1), empty for none. Nobody has to have signed it.
func certificateOf(r *http.Request) string {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return ""
	}
	return thumbprint(r.TLS.PeerCertificates[0])
}

func thumbprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// shows reports whether the client has shown the key of one of some
// certificates; of none, it need not.
func shows(r *http.Request, pinned [][sha256.Size]byte) bool {
	if len(pinned) == 0 {
		return true
	}
	return r.TLS != nil && len(r.TLS.PeerCertificates) > 0 && slices.Contains(pinned, sha256.Sum256(r.TLS.PeerCertificates[0].Raw))
}

// presented returns scheme and token of an Authorization header: both empty
// without exactly one header of a known scheme.
func presented(r *http.Request) (scheme, token string) {
	lines := r.Header.Values("Authorization")
	if len(lines) != 1 {
		return "", ""
	}
	given, token, _ := strings.Cut(lines[0], " ")
	for _, known := range []string{schemeBearer, schemeDPoP} {
		if token = strings.TrimSpace(token); token != "" && strings.EqualFold(given, known) {
			return known, token
		}
	}
	return "", ""
}

// open reports whether the request's token opens the connection; nil if it does.
func (s *Server) open(r *http.Request, c *connection) error {
	scheme, token := presented(r)
	switch {
	case token == "":
		return errUnknownToken
	case !shows(r, c.Certificates):
		return &challengeError{scheme: schemeBearer, code: "invalid_token", err: errUnpinned}
	case scheme == schemeBearer && s.config.Tokens.VerifyToken(c.Name, token):
		return nil
	case s.config.Bound == nil:
		return errUnknownToken
	default:
		return s.config.Bound.VerifyBound(r, c.Name) //nolint:wrapcheck // answered by refuse
	}
}

// stillOpen reports whether what opened the connection still does.
func (s *Server) stillOpen(r *http.Request, c *connection) bool {
	scheme, token := presented(r)
	return scheme == schemeBearer && s.config.Tokens.VerifyToken(c.Name, token) ||
		s.config.Bound != nil && s.config.Bound.BoundLives(r, c.Name)
}

// refuse answers that a request opens nothing, and how one would (RFC 6750 §3,
// RFC 9449 §7.1).
func (s *Server) refuse(w http.ResponseWriter, err error) error {
	h := w.Header()
	wrong, known := errors.AsType[*challengeError](err)
	switch {
	case known && wrong.scheme == schemeDPoP:
		if wrong.nonce != "" {
			h.Set(headerNonce, wrong.nonce)
		}
		h.Set(challenge, fmt.Sprintf(`DPoP realm="scim", error=%q, algs=%q`, wrong.code, proofAlgorithms))
	case known:
		h.Set(challenge, fmt.Sprintf(`Bearer realm="scim", error=%q`, wrong.code))
	case errors.Is(err, errUnknownToken):
		h.Set(challenge, `Bearer realm="scim"`)
		if s.config.Bound != nil {
			h.Add(challenge, fmt.Sprintf(`DPoP realm="scim", algs=%q`, proofAlgorithms))
		}
	default:
		return err
	}
	detail := errUnknownToken.Error()
	if known && wrong.code != unprovenProof && wrong.code != missingNonce {
		detail = err.Error()
	} else if known {
		detail = "a fresh DPoP proof of this request is required"
	}
	return &Error{Status: http.StatusUnauthorized, Detail: detail}
}
