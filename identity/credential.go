package identity

import "log/slog"

// Scheme says which kind of credential a request carried. The zero Scheme means none at all and is refused.
type Scheme int

// The schemes of the Authorization header (cosmos-wire.md §7).
const (
	// SchemeToken is type=aad or Bearer: a signed token in compact form.
	SchemeToken Scheme = iota + 1
	// SchemeMasterKey is type=master: an HMAC made with an account key.
	SchemeMasterKey
)

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
}

// String hides the token.
func (Credential) String() string { return redacted }

// GoString hides the token.
func (Credential) GoString() string { return redacted }

// LogValue hides the token.
func (Credential) LogValue() slog.Value { return slog.StringValue(redacted) }
