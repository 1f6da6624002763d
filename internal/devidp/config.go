package devidp

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"strings"
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
	// SessionLifetime is the life of refresh tokens; zero means 24 hours.
	SessionLifetime time.Duration
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

const (
	defaultLifetime = time.Hour
	defaultSession  = 24 * time.Hour
)

var (
	errIssuer         = errors.New("must be an http or https URL without user, query, fragment or trailing slash")
	errRedirect       = errors.New("redirect URI is not registered")
	errUnknownClient  = errors.New("client_id is unknown")
	errNotLoopback    = errors.New("must be on loopback: this provider signs in everybody")
	errNotDev         = errors.New(`must contain "dev", so that nobody mistakes it for a real one`)
	errRequired       = errors.New("is required")
	errTwice          = errors.New("is declared twice")
	errNegative       = errors.New("must not be negative")
	errIdentityHeader = errors.New("identity header: is required with identities")
)

// validate reports every fault at once.
func (c Config) validate() error {
	var faults []error

	if err := checkIssuer(c.Issuer); err != nil {
		faults = append(faults, fmt.Errorf("issuer %q: %w", c.Issuer, err))
	}

	for _, required := range []struct {
		name    string
		missing bool
	}{
		{"audience", c.Audience == ""},
		{"clock", c.Clock == nil},
		{"logger", c.Logger == nil},
	} {
		if required.missing {
			faults = append(faults, fmt.Errorf("%s: %w", required.name, errRequired))
		}
	}

	if c.TokenLifetime < 0 || c.SessionLifetime < 0 {
		faults = append(faults, fmt.Errorf("token lifetime: %w", errNegative))
	}

	if len(c.Identities) > 0 && c.IdentityHeader == "" {
		faults = append(faults, errIdentityHeader)
	}

	return errors.Join(append(faults, c.validateNames())...)
}

// validateNames checks that everybody and everything has a name of its own.
func (c Config) validateNames() error {
	var faults []error

	seen := map[string]bool{}
	check := func(kind, name string, emptyAllowed bool) {
		if name == "" && !emptyAllowed {
			faults = append(faults, fmt.Errorf("%s: %w", kind, errRequired))
		}

		key := kind + "\x00" + name
		if seen[key] {
			faults = append(faults, fmt.Errorf("%s %q: %w", kind, name, errTwice))
		}

		seen[key] = true
	}

	for _, person := range c.People {
		check("person's name", person.Name, false)
		check("person's id", person.ID, false)
	}

	for _, client := range c.Clients {
		check("client's id", client.ID, false)
	}

	for _, identity := range c.Identities {
		check("identity's client id", identity.ClientID, true)
		check("identity's object id", identity.ObjectID, false)
	}

	return errors.Join(faults...)
}

func checkIssuer(issuer string) error {
	u, err := url.Parse(issuer)
	if err != nil {
		return fmt.Errorf("parsing: %w", err)
	}

	switch {
	case u.Scheme != "http" && u.Scheme != "https", u.User != nil, u.RawQuery != "" || u.Fragment != "", strings.HasSuffix(issuer, "/"):
		return errIssuer
	case !isLoopback(u.Hostname()):
		return errNotLoopback
	case !strings.Contains(u.Host+u.Path, "dev"):
		return errNotDev
	default:
		return nil
	}
}

// isLoopback reports whether host can only mean this machine.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}

	address, err := netip.ParseAddr(host)

	return err == nil && address.Unmap().IsLoopback()
}
