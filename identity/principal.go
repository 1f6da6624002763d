package identity

import (
	"time"

	"github.com/cosmosgate/cosmosgate/directory"
)

// Kind says what sort of caller a [Principal] is. The zero Kind is no caller.
type Kind int

// The kinds of principal.
const (
	// KindPerson is a human being with a directory record.
	KindPerson Kind = iota + 1
	// KindApplication is a declared workload without a person behind it.
	KindApplication
	// KindAgent acts for a person or for itself under its own grant.
	KindAgent
)

// String returns "person", "application" or "agent", and "none" for any other value.
func (k Kind) String() string {
	switch k {
	case KindPerson:
		return "person"
	case KindApplication:
		return "application"
	case KindAgent:
		return "agent"
	default:
		return "none"
	}
}

// Method says how the caller proved who it is.
type Method string

// The methods of identity.md §1.
const (
	// MethodOIDC is a person's token from a configured issuer.
	MethodOIDC Method = "oidc"
	// MethodWorkload is an application's token from a configured issuer.
	MethodWorkload Method = "workload"
	// MethodVirtualKey is an account-key signature made with a key of the gate.
	MethodVirtualKey Method = "vkey"
	// MethodSTS is a token of the gate's own token service.
	MethodSTS Method = "sts"
)

// Principal is an authenticated caller. It is immutable: slices and maps inside are shared and must not be written.
// The zero Principal is nobody.
type Principal struct {
	// Kind is the sort of caller.
	Kind Kind
	// Issuer is the verified iss, Subject the immutable subject claim the caller is known by there.
	Issuer, Subject string
	// Record is the directory record; empty unless the caller is a person.
	Record directory.ID
	// User is the person's live directory view, read for this very call; zero unless the caller is a person.
	User directory.UserView
	// Application is the declared name and Attributes its declared attributes, if the caller is an application.
	Application string
	Attributes  map[string]string
	// Actors act on behalf of the subject, outermost first.
	Actors []Actor
	// Scopes are the token's scopes, in its order.
	Scopes []string
	// Details are the token's authorization_details of type "cosmos".
	Details []CosmosDetail
	// Client is azp, appid, cid or client_id; TokenID is jti; Session is sid.
	Client, TokenID, Session string
	// KeyID is the kid that the token was signed under, or the id of the virtual key.
	KeyID string
	// Origin names the token this one was exchanged for.
	Origin Origin
	// Method is how the caller authenticated here, ACR the issuer's authentication context class (acr), if it sent one.
	Method Method
	ACR    string
	// IssuedAt and Expiry are the token's iat and exp.
	IssuedAt, Expiry time.Time
	// Confirm binds the token to a key of the caller.
	Confirm Confirmation
}

// Actor is one party that acts for the subject (RFC 8693 section 4.1).
type Actor struct {
	// Issuer and Subject name the actor as its token did; Agent is its declared name.
	Issuer, Subject, Agent string
}

// Origin names the token that was exchanged for the present one.
type Origin struct {
	// Issuer and TokenID are its iss and jti, Client whom it was issued to, KeyID the kid that it was signed under.
	Issuer, TokenID, Client, KeyID string
	// IssuedAt and Expiry are its iat and exp.
	IssuedAt, Expiry time.Time
	// Via are the jti of the gate's own tokens in between, where a token was exchanged for another; ViaKeys are the kids that those
	// were signed under.
	Via, ViaKeys []string
}

// CosmosDetail narrows a token to actions, resources and partition keys (RFC 9396, type "cosmos").
type CosmosDetail struct {
	// Actions and Resources are policy patterns.
	Actions, Resources []string
	// PartitionKeys are lists of canonical JSON components.
	PartitionKeys [][]string
}

// Confirmation is a token's cnf (RFC 7800): the key its holder must prove to have.
type Confirmation struct {
	// Thumbprint is jkt (DPoP), Certificate is x5t#S256 (mutual TLS).
	Thumbprint, Certificate string
}
