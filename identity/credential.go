package identity

import (
	"log/slog"
	"net/netip"
)

// Scheme says which kind of credential a request carried. The zero Scheme means none at all and is refused.
type Scheme int

// The schemes of the Authorization header (cosmos-wire.md §7).
const (
	// SchemeToken is type=aad or Bearer: a signed token in compact form.
	SchemeToken Scheme = iota + 1
	// SchemeMasterKey is type=master: an HMAC made with an account key.
	SchemeMasterKey
)

// SignedRequest is a request that an account key signed (cosmos-wire.md §7).
type SignedRequest struct {
	// Signature is the HMAC in base64.
	Signature string
	// Verb is the HTTP method, ResourceType the last keyword of the path.
	Verb, ResourceType string
	// Links are the spellings of the resource link that a client may have signed for this very path: once-decoded first.
	Links []string
	// Date is x-ms-date as it was sent.
	Date string
	// KeyID is the key that the host name of the request names; empty if it names none.
	KeyID string
	// Source is where the request came from; not valid if that is not known.
	Source netip.Addr
}

// String hides the signature.
func (SignedRequest) String() string { return redacted }

// GoString hides the signature.
func (SignedRequest) GoString() string { return redacted }

const redacted = "[redacted]"

// Credential is what the caller presented, already taken out of its header.
// It never prints its secret.
type Credential struct {
	// Scheme is the kind of credential.
	Scheme Scheme
	// Token is the compact JWS of SchemeToken.
	Token string
	// Proof shows that the sender holds the key that Token is bound to, if it is.
	Proof Proof
	// Signed is what SchemeMasterKey signed.
	Signed SignedRequest
}

// String hides the token.
func (Credential) String() string { return redacted }

// GoString hides the token.
func (Credential) GoString() string { return redacted }

// LogValue hides the token.
func (Credential) LogValue() slog.Value { return slog.StringValue(redacted) }
