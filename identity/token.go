package identity

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

const (
	// maxTokenBytes bounds the token before anything looks at it.
	maxTokenBytes = 16 << 10
	// maxKeyIDBytes bounds a kid, which is remembered when it is unknown.
	maxKeyIDBytes = 256
	// compactParts is header, payload and signature (RFC 7515 section 7.1).
	compactParts = 3
)

// token is a parsed token. Nothing in it is proven before issuer.prove has accepted it.
type token struct {
	raw    string
	jws    *jose.JSONWebSignature
	alg    string
	kid    string
	typ    string // lower case, without "application/"
	claims claims
}

// parseToken reads a compact JWS of at most maxTokenBytes with one signature by one of the algorithms that any issuer may use. The claims are decoded
// here, once, from the very bytes that the signature will be checked over. Key hints in the header (jku, jwk, x5u, x5c) are
// never used.
func parseToken(raw string) (*token, error) {
	if !isCompact(raw) {
		return nil, refuse(SubstatusMalformed, "not a compact signed token")
	}

	jws, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.PS256, jose.EdDSA})
	if err != nil {
		return nil, refuseBecause(SubstatusSignature, "token header", err)
	}

	protected := jws.Signatures[0].Protected

	kid := protected.KeyID
	if kid == "" || len(kid) > maxKeyIDBytes {
		return nil, refuse(SubstatusSignature, "kid is missing or too long")
	}

	if err := checkExtensions(protected); err != nil {
		return nil, err
	}

	typ, err := headerType(protected)
	if err != nil {
		return nil, err
	}

	decoded, err := decodeClaims(jws.UnsafePayloadWithoutVerification())
	if err != nil {
		return nil, refuseBecause(SubstatusSignature, "claims", err)
	}

	return &token{raw: raw, jws: jws, alg: protected.Algorithm, kid: kid, typ: typ, claims: decoded}, nil
}

// checkExtensions refuses crit and b64: an extension we must understand is one we don't (RFC 7515 section 4.1.11), and b64 would
// change what is signed (RFC 7797).
func checkExtensions(h jose.Header) error {
	for _, name := range []jose.HeaderKey{"crit", "b64"} {
		if _, found := h.ExtraHeaders[name]; found {
			return refuse(SubstatusSignature, "header has "+string(name))
		}
	}

	return nil
}

// headerType returns typ as a short lower-case media type (RFC 7515 section 4.1.9).
func headerType(h jose.Header) (string, error) {
	value, found := h.ExtraHeaders[jose.HeaderType]
	if !found {
		return "", nil
	}

	text, ok := value.(string)
	if !ok {
		return "", refuse(SubstatusSignature, "typ is not a string")
	}

	return strings.TrimPrefix(strings.ToLower(text), "application/"), nil
}

// isCompact reports whether raw is three non-empty parts of canonical, unpadded base64url. Other spellings of the same bytes
// would be the same token under another cache key.
func isCompact(raw string) bool {
	parts := 0

	for part := range strings.SplitSeq(raw, ".") {
		parts++
		if parts > compactParts || !isCanonicalBase64URL(part) {
			return false
		}
	}

	return parts == compactParts
}

// isCanonicalBase64URL reports whether part decodes in exactly one way: the alphabet only, no padding, unused bits zero.
func isCanonicalBase64URL(part string) bool {
	const (
		quantum  = 4    // characters for three bytes
		oneByte  = 2    // characters that end one byte
		twoBytes = 3    // characters that end two bytes
		fourBits = 0x0f // unused in the last character after one byte
		twoBits  = 0x03 // unused in the last character after two bytes
	)

	if part == "" {
		return false
	}

	last := 0

	for i := range len(part) {
		last = base64URLValue(part[i])
		if last < 0 {
			return false
		}
	}

	switch len(part) % quantum {
	case 0:
		return true
	case oneByte:
		return last&fourBits == 0
	case twoBytes:
		return last&twoBits == 0
	default:
		return false
	}
}

// base64URLValue returns the six bits that c stands for, or -1.
func base64URLValue(c byte) int {
	const (
		lower  = 26
		digits = 52
		dash   = 62
		line   = 63
	)

	switch {
	case 'A' <= c && c <= 'Z':
		return int(c - 'A')
	case 'a' <= c && c <= 'z':
		return int(c-'a') + lower
	case '0' <= c && c <= '9':
		return int(c-'0') + digits
	case c == '-':
		return dash
	case c == '_':
		return line
	default:
		return -1
	}
}

var (
	errNotUTF8     = errors.New("payload is not UTF-8")
	errTrailing    = errors.New("payload has data after the object")
	errEmptyObject = errors.New("payload is not an object")
)

// decodeClaims decodes one JSON object with case-sensitive names, refusing duplicate names at every depth.
func decodeClaims(payload []byte) (claims, error) {
	// A decoder would replace broken sequences, so that two subjects could become one.
	if !utf8.Valid(payload) {
		return nil, errNotUTF8
	}

	decoder := json.NewDecoder(bytes.NewReader(payload))
	decoder.SetNumberType(json.UnmarshalJSONNumber)

	var decoded claims
	if err := decoder.Decode(&decoded); err != nil {
		return nil, fmt.Errorf("decoding: %w", err)
	}

	if decoded == nil {
		return nil, errEmptyObject
	}

	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errTrailing
	}

	return decoded, nil
}
