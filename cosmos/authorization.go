package cosmos

import (
	"net/http"
	"net/url"
	"strings"
)

// CredentialType is the kind of credential in an Authorization header. The zero value is none.
type CredentialType uint8

// The credentials that callers may present.
const (
	NoCredential CredentialType = iota
	// AAD is type=aad&ver=1.0&sig=<token>, as SDKs send it.
	AAD
	// Bearer is the plain RFC 6750 form, for curl and scripts.
	Bearer
	// DPoP is the RFC 9449 form of a token that is bound to a key; the proof has a header of its own.
	DPoP
	// Master is type=master&ver=1.0&sig=<signature>: a virtual key.
	Master
)

// String returns the name of the kind.
func (t CredentialType) String() string {
	switch t {
	case AAD:
		return "aad"
	case Bearer:
		return "bearer"
	case DPoP:
		return "dpop"
	case Master:
		return "master"
	case NoCredential:
		return "none"
	default:
		return "unknown"
	}
}

// Authorization is a parsed Authorization header. It prints without its secret.
type Authorization struct {
	Type CredentialType
	// Token is the access token of AAD, Bearer and DPoP.
	Token string
	// Signature is the base64 text of a Master signature.
	Signature string
}

// String names the kind and never the secret.
func (a Authorization) String() string { return a.Type.String() + " [redacted]" }

// GoString does as String, for %#v.
func (a Authorization) GoString() string { return a.String() }

// maxAuthorization is the longest Authorization header in bytes.
const maxAuthorization = 16 << 10

// ParseAuthorization reads the one Authorization header of h, which must have gone through [Sanitize] before, so that a
// header named by Connection is no longer there. Its error is an [*Error] with status 401.
func ParseAuthorization(h http.Header) (Authorization, error) {
	values := h["Authorization"]
	if len(values) == 0 || len(values) == 1 && values[0] == "" {
		return Authorization{}, MissingCredential()
	}

	if len(values) > 1 {
		return Authorization{}, MalformedCredential("several Authorization headers")
	}

	value := values[0]
	if len(value) > maxAuthorization {
		return Authorization{}, MalformedCredential("the Authorization header is longer than 16 KB")
	}

	switch scheme, token, _ := strings.Cut(value, " "); {
	case equalASCII(scheme, "bearer"):
		return credential(Bearer, token)
	case equalASCII(scheme, "dpop"):
		return credential(DPoP, token)
	default:
		return parseNative(value)
	}
}

// parseNative reads type=…&ver=1.0&sig=…, percent-encoded as a whole or not at all.
func parseNative(value string) (Authorization, error) {
	if strings.Contains(value, "%3D") || strings.Contains(value, "%3d") {
		// After the last escape, where a token is, there is nothing to decode.
		end := min(strings.LastIndexByte(value, '%')+len("%XX"), len(value))

		// A plus sign is data here: a form decoder would turn it into a space and spoil signatures.
		decoded, err := url.PathUnescape(value[:end])
		if err != nil {
			return Authorization{}, MalformedCredential("the Authorization header is badly percent-encoded")
		}

		value = decoded + value[end:]
	}

	kind, rest, _ := strings.Cut(value, "&")
	version, rest, _ := strings.Cut(rest, "&")

	secret, ok := strings.CutPrefix(rest, "sig=")
	if !ok || version != "ver=1.0" {
		return Authorization{}, MalformedCredential("the Authorization header is not type=…&ver=1.0&sig=…")
	}

	switch kind {
	case "type=aad":
		return credential(AAD, secret)
	case "type=master":
		return credential(Master, secret)
	default:
		return Authorization{}, MalformedCredential("the credential type is neither aad nor master")
	}
}

func credential(kind CredentialType, secret string) (Authorization, error) {
	if secret == "" || !isSecret(secret) {
		return Authorization{}, MalformedCredential("the credential is empty or holds characters that no token has")
	}

	if kind == Master {
		return Authorization{Type: kind, Signature: secret}, nil
	}

	return Authorization{Type: kind, Token: secret}, nil
}

// isSecret accepts the characters of RFC 6750's b64token, which also cover base64 signatures.
func isSecret(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case isUnreserved(c), c == '+', c == '/', c == '=':
		default:
			return false
		}
	}

	return true
}

// TokenAuthorization is the Authorization header for an Entra token, percent-encoded as the service expects it.
func TokenAuthorization(token string) string {
	const prefix = "type%3Daad%26ver%3D1.0%26sig%3D"

	value := append(make([]byte, 0, len(prefix)+len(token)), prefix...)

	return string(appendEscaped(value, token))
}
