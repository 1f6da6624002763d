package identity

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	// maxProofBytes bounds a proof: a key, a few claims and a signature.
	maxProofBytes = 8 << 10
	// maxProofIDBytes bounds its jti.
	maxProofIDBytes = 256
	// proofAge is how far a proof's iat may be from our clock, either way.
	proofAge = time.Minute
)

// Proof is what a request brought to show that its sender holds the key that a token is bound to. The zero Proof shows nothing.
type Proof struct {
	// DPoP is the value of the request's one DPoP header (RFC 9449), and empty if there is none. Several are [Proof.Several].
	DPoP string
	// Several says that there were several DPoP headers, which is never accepted.
	Several bool
	// Method and URL are the request's: htm, and htu with scheme and host as the caller addresses them. A query is ignored.
	Method, URL string
	// Certificate is the client's certificate of the TLS connection (RFC 8705), nil if it showed none. Its chain needs no
	// authority: the token names the certificate.
	Certificate *x509.Certificate
}

// ProofConfig is everything a [ProofVerifier] needs.
type ProofConfig struct {
	// Spend uses up a proof's jti: the [Once.Spend] of a directory for rare requests, [Memory.Spend] on the data plane. Required.
	Spend func(ctx context.Context, use Use, issuer, id string, until time.Time) error
	// Nonces, if set, are demanded in every proof, so that none can be made ahead of its use.
	Nonces *Nonces
	// Clock tells the time. Required.
	Clock func() time.Time
}

// ProofVerifier checks that the sender of a request holds a key. It is safe for concurrent use.
type ProofVerifier struct{ cfg ProofConfig }

var errNoSpend = errors.New("identity: a memory of proofs is required")

// NewProofVerifier returns a verifier.
func NewProofVerifier(cfg ProofConfig) (*ProofVerifier, error) {
	if cfg.Spend == nil {
		return nil, errNoSpend
	}

	if cfg.Clock == nil {
		return nil, errNoClock
	}

	return &ProofVerifier{cfg: cfg}, nil
}

// Confirm checks that p shows every key that a token is bound to. token is the token itself, whose hash a proof carries (ath).
// A token that is bound to nothing needs no proof. The error is an *[Error]; where a server nonce was missing or is too old,
// its Nonce is the one to use.
func (v *ProofVerifier) Confirm(ctx context.Context, bound Confirmation, token string, p *Proof) error {
	if bound.Certificate != "" {
		if p.Certificate == nil {
			return refuseForNow(SubstatusScope, "bound to a client certificate (x5t#S256), and none was shown")
		}

		if CertificateThumbprint(p.Certificate) != bound.Certificate {
			return refuseForNow(SubstatusScope, "bound to another client certificate")
		}
	}

	if bound.Thumbprint == "" {
		return nil
	}

	thumbprint, err := v.Thumbprint(ctx, token, p)
	if err != nil {
		return err
	}

	if thumbprint != bound.Thumbprint {
		return refuseForNow(SubstatusScope, "proof is made with another key than the token is bound to")
	}

	return nil
}

// Thumbprint checks a DPoP proof and returns the thumbprint of its key: what a new token is bound to as cnf.jkt. token is empty
// where none is presented with the proof, as at a token endpoint.
func (v *ProofVerifier) Thumbprint(ctx context.Context, token string, p *Proof) (string, error) {
	now := v.cfg.Clock()

	parsed, err := parseProof(p)
	if err != nil {
		return "", err
	}

	if reason := parsed.mismatch(token, p, now); reason != "" {
		return "", refuseForNow(SubstatusScope, reason)
	}

	if _, err := parsed.jws.Verify(parsed.key.Key); err != nil {
		return "", refuseForNow(SubstatusSignature, "proof's signature is wrong")
	}

	if v.cfg.Nonces != nil && !v.cfg.Nonces.fresh(parsed.claims.text("nonce"), now) {
		return "", &Error{
			Substatus: SubstatusScope, Reason: "proof has no fresh server nonce", Nonce: v.cfg.Nonces.Next(), passing: true,
		}
	}

	sum, err := parsed.key.Thumbprint(crypto.SHA256)
	if err != nil {
		return "", refuseBecause(SubstatusSignature, "proof's key", err)
	}

	// In the key's own space: nobody can use up another's ids. Last, because only a proof that is good in all else counts.
	thumbprint := base64.RawURLEncoding.EncodeToString(sum)
	if err := v.spend(ctx, thumbprint, parsed.claims); err != nil {
		return "", err
	}

	return thumbprint, nil
}

func (v *ProofVerifier) spend(ctx context.Context, thumbprint string, c claims) error {
	issued, err := c.date("iat")
	if err != nil {
		return refuse(SubstatusScope, "proof's iat is not a date")
	}

	err = v.cfg.Spend(ctx, UseProof, thumbprint, c.text("jti"), issued.Add(proofAge))

	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrUsed), errors.Is(err, ErrOnceExpired):
		return refuseForNow(SubstatusScope, "proof was used before")
	default:
		return &Error{Unavailable: true, Reason: "remembering a proof", Err: err, passing: true}
	}
}

// proofToken is a parsed proof; nothing in it is proven yet.
type proofToken struct {
	jws    *jose.JSONWebSignature
	key    jose.JSONWebKey
	claims claims
}

// parseProof reads a proof and the public key in its header (RFC 9449 section 4.2).
func parseProof(p *Proof) (*proofToken, error) {
	switch {
	case p.Several:
		return nil, refuseForNow(SubstatusScope, "several proofs")
	case p.DPoP == "":
		return nil, refuseForNow(SubstatusScope, "bound to a key (jkt), and no proof was given")
	case len(p.DPoP) > maxProofBytes || !isCompact(p.DPoP):
		return nil, refuseForNow(SubstatusScope, "proof is not a compact signed token of at most 8 KB")
	}

	jws, err := jose.ParseSignedCompact(p.DPoP, []jose.SignatureAlgorithm{jose.ES256, jose.RS256, jose.PS256, jose.EdDSA})
	if err != nil {
		return nil, refuseBecause(SubstatusScope, "proof's header", err)
	}

	header := jws.Signatures[0].Protected

	typ, err := headerType(header)
	if err != nil || typ != "dpop+jwt" {
		return nil, refuseForNow(SubstatusScope, "proof's typ is not dpop+jwt")
	}

	if err := checkExtensions(header); err != nil {
		return nil, err
	}

	key := header.JSONWebKey
	if key == nil || !key.IsPublic() || !key.Valid() || !isPublicKeyOfUse(*key) || !fits(*key, header.Algorithm) {
		return nil, refuseForNow(SubstatusScope, "proof's key is missing, private, of a kind or size that is not accepted")
	}

	decoded, err := decodeClaims(jws.UnsafePayloadWithoutVerification())
	if err != nil {
		return nil, refuseBecause(SubstatusScope, "proof's claims", err)
	}

	return &proofToken{jws: jws, key: *key, claims: decoded}, nil
}

// mismatch says in what the proof is not about this request and token, now; "" if it is.
func (t *proofToken) mismatch(token string, p *Proof, now time.Time) string {
	issued, err := t.claims.date("iat")
	id := t.claims.text("jti")

	switch {
	case id == "" || len(id) > maxProofIDBytes:
		return "proof's jti is missing or too long"
	case t.claims.text("htm") != p.Method:
		return "proof is for another method (htm)"
	case !sameTarget(t.claims.text("htu"), p.URL):
		return "proof is for another URL (htu)"
	case err != nil || issued.IsZero() || now.Sub(issued).Abs() > proofAge:
		return "proof is not of this minute (iat)"
	case token == "" && t.claims.has("ath"):
		return "proof is for a token that is not here (ath)"
	case token != "" && t.claims.text("ath") != hashText(token):
		return "proof is for another token (ath)"
	default:
		return ""
	}
}

// CertificateThumbprint is x5t#S256 of a certificate (RFC 8705 section 3.1).
func CertificateThumbprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)

	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func hashText(s string) string {
	sum := digestOf(s)

	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// confirmation reads cnf (RFC 7800). A token bound in a way that can't be checked here is refused: ignoring it would unbind it.
func (c claims) confirmation() (Confirmation, error) {
	if !c.has("cnf") {
		return Confirmation{}, nil
	}

	members, ok := c["cnf"].(map[string]any)
	bound := Confirmation{Thumbprint: claims(members).text("jkt"), Certificate: claims(members).text("x5t#S256")}
	known := 0

	for _, thumbprint := range []string{bound.Thumbprint, bound.Certificate} {
		if thumbprint == "" {
			continue
		}

		if raw, err := base64.RawURLEncoding.Strict().DecodeString(thumbprint); err != nil || len(raw) != sha256.Size {
			return Confirmation{}, refuse(SubstatusScope, "cnf holds what is no SHA-256 thumbprint")
		}

		known++
	}

	if !ok || known == 0 || known != len(members) {
		return Confirmation{}, refuse(SubstatusScope, "bound to a key (cnf) in a way that is not known here")
	}

	return bound, nil
}

// sameTarget compares two URLs without query and fragment after syntax-based normalization (RFC 9449 section 4.3, RFC 3986
// section 6.2.2), dot segments excepted: the data plane has none.
func sameTarget(a, b string) bool {
	x, okX := target(a)
	y, okY := target(b)

	return okX && okY && x == y
}

// target is a normalized scheme://host[:port]/path.
func target(address string) (string, bool) {
	address, _, _ = strings.Cut(address, "#")
	address, _, _ = strings.Cut(address, "?")

	scheme, rest, found := strings.Cut(address, "://")
	scheme = strings.ToLower(scheme)

	if !found || (scheme != "https" && scheme != "http") {
		return "", false
	}

	host, path, _ := strings.Cut(rest, "/")
	if host == "" || strings.Contains(host, "@") {
		return "", false
	}

	host = strings.ToLower(host)
	if scheme == "https" {
		host = strings.TrimSuffix(host, ":443")
	} else {
		host = strings.TrimSuffix(host, ":80")
	}

	return scheme + "://" + host + "/" + normalizeEscapes(path), true
}

// normalizeEscapes decodes escaped unreserved characters and writes the other escapes in upper case.
func normalizeEscapes(path string) string {
	if !strings.Contains(path, "%") {
		return path
	}

	const escape = 3

	var b strings.Builder

	for i := 0; i < len(path); i++ {
		if path[i] != '%' || i+escape > len(path) {
			b.WriteByte(path[i])

			continue
		}

		value, ok := unhex(path[i+1], path[i+2])
		if ok && isUnreserved(value) {
			b.WriteByte(value)
		} else {
			b.WriteString(strings.ToUpper(path[i : i+escape]))
		}

		i += escape - 1
	}

	return b.String()
}

func unhex(high, low byte) (byte, bool) {
	const digits, letters = "0123456789abcdef", 4

	h, l := strings.IndexByte(digits, lowerLetter(high)), strings.IndexByte(digits, lowerLetter(low))
	if h < 0 || l < 0 {
		return 0, false
	}

	return byte(h<<letters | l), true //nolint:gosec // G115: two hexadecimal digits.
}

func lowerLetter(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}

	return c
}

func isUnreserved(c byte) bool {
	return base64URLValue(c) >= 0 || c == '.' || c == '~'
}
