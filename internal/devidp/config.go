package devidp

import (
	"log/slog"
	"time"
)

// Config is everything a [Provider] needs.
type Config struct {
	// Issuer is the base URL, such as https://localhost:8443/dev: a loopback host, with "dev" in it, without a trailing slash.
	Issuer string
	// Audience is the aud of access tokens.
	Audience string
	// People may sign in.
	People []Person
	// Clients may ask for tokens.
	Clients []Client
	// Identities are the managed identities of the pretended host.
	Identities []ManagedIdentity
	// IdentityHeader is the secret that the managed identity endpoint wants in X-IDENTITY-HEADER. Required with Identities.
	IdentityHeader string
	// TokenLifetime is the life of access and ID tokens; zero means 1 hour. Managed identity tokens live 24 hours.
	TokenLifetime time.Duration
	// Clock tells the time. Required.
	Clock func() time.Time
	// Logger receives one line per token issued, without the token. Required.
	Logger *slog.Logger
}

// Person is somebody who can be picked on the sign-in page.
type Person struct {
	// Name is the login_hint, and preferred_username in ID tokens.
	Name string
	// ID is sub and oid, the externalId of the directory record.
	ID string
	// DisplayName is shown on the page.
	DisplayName string
}

// Client is an application known to the provider.
type Client struct {
	// ID is client_id and azp.
	ID string
	// Secret makes the client confidential and allows client credentials. Empty means public.
	Secret string
	// RedirectURIs are accepted exactly; a loopback one matches with any port (RFC 8252 section 7.3).
	RedirectURIs []string
}

// ManagedIdentity is one identity of the pretended host.
type ManagedIdentity struct {
	// ClientID selects it; empty is the system-assigned identity.
	ClientID string
	// ObjectID is the oid of its tokens.
	ObjectID string
}
