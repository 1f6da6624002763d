package scim

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/cosmosgate/cosmosgate/directory"
)

// Config says what a server serves and with what.
type Config struct {
	// Directory holds the records. Required.
	Directory *directory.Directory
	// Tokens verifies a connection's bearer tokens. Required; a
	// [directory.Directory] is one.
	Tokens TokenVerifier
	// Bound verifies access tokens that are bound to a key; nil if there are none.
	Bound BoundVerifier
	// Connections are the identity providers that may push. At least one.
	Connections []Connection
	// PublicURL is the base that providers reach, for instance
	// https://gate.example; resource locations are built from it, never from a
	// request. Required.
	PublicURL *url.URL
	// Record is told what each request changed, after it is durable, or may have
	// changed ([Written.OnSettled]); nil tells nobody. It must not wait.
	Record func(Written)
	// BodyTimeout is how long a request body may take to arrive; zero means
	// 30 seconds.
	BodyTimeout time.Duration
	// Clock tells the time. Required.
	Clock func() time.Time
	// Logger receives what an operator should know. Required.
	Logger *slog.Logger
}

// TokenVerifier says whether a bearer token opens a connection.
type TokenVerifier interface {
	VerifyToken(connection, secret string) bool
}

// Connection is one identity provider's entrance.
type Connection struct {
	// Name is the path segment: lower-case letters, digits and dashes.
	Name string
	// Dialect hints at the provider: entra, okta, onelogin, jumpcloud, ping,
	// google, sailpoint, or empty.
	Dialect string
	// Certificates are SHA-256 hashes of certificates of which the provider must
	// show one, in the TLS handshake, with every request; empty: none need be.
	Certificates [][sha256.Size]byte
	// Strict refuses what the interoperability profiles forbid.
	Strict bool
	// Rate is the sustained number of requests per second; zero means 50,
	// values under 25 are refused.
	Rate float64
	// Burst is the number of requests above the rate that are taken at once;
	// zero means 200.
	Burst int
	// SilentAfter is how long the provider may be silent before that is a
	// warning; zero means twice the usual interval of its dialect.
	SilentAfter time.Duration
	// Extensions are the administrator's own schemas for users.
	Extensions []Schema
}

// Limits of a connection's rate.
const (
	defaultRate  = 50
	leastRate    = 25
	defaultBurst = 200
)

// dialects are the known hints.
var dialects = []string{"", "entra", "okta", "onelogin", "jumpcloud", "ping", "google", "sailpoint"}

var errConfig = errors.New("invalid SCIM configuration")

// validate reports every fault at once.
func (c Config) validate() error {
	var faults []error
	fault := func(format string, arguments ...any) {
		faults = append(faults, fmt.Errorf("%w: "+format, append([]any{errConfig}, arguments...)...))
	}
	if c.Directory == nil || c.Tokens == nil || c.Clock == nil || c.Logger == nil {
		fault("Directory, Tokens, Clock and Logger are required")
	}
	if c.PublicURL == nil || c.PublicURL.Host == "" {
		fault("PublicURL is required")
	}
	if len(c.Connections) == 0 {
		fault("no connection")
	}
	seen := map[string]bool{}
	for i, connection := range c.Connections {
		if seen[connection.Name] {
			fault("connections[%d]: name %q is taken", i, connection.Name)
		}
		seen[connection.Name] = true
		for _, err := range connection.faults() {
			fault("connections[%d]: %w", i, err)
		}
	}
	return errors.Join(faults...)
}

// Faults of a connection's configuration.
var (
	errName      = errors.New("name needs lower-case letters, digits and dashes")
	errDialect   = errors.New("unknown dialect")
	errRate      = fmt.Errorf("rate must be at least %d requests per second", leastRate)
	errBurst     = errors.New("burst must not be negative")
	errSilent    = errors.New("SilentAfter must not be negative")
	errExtension = errors.New("an extension needs a URN of its own and named attributes, none twice, with policy names that no other attribute has")
)

func (c Connection) faults() []error {
	var faults []error
	if c.Name == "" || strings.Trim(c.Name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		faults = append(faults, errName)
	}
	known := false
	for _, d := range dialects {
		known = known || d == c.Dialect
	}
	if !known {
		faults = append(faults, errDialect)
	}
	if c.Rate != 0 && c.Rate < leastRate {
		faults = append(faults, errRate)
	}
	if c.Burst < 0 {
		faults = append(faults, errBurst)
	}
	if c.SilentAfter < 0 {
		faults = append(faults, errSilent)
	}
	return append(faults, c.schemaFaults()...)
}

// schemaFaults checks own schemas: each name must mean one thing.
func (c Connection) schemaFaults() []error {
	var faults []error
	taken := map[string]bool{"id": true}
	for _, names := range policyAttributes {
		for _, name := range names {
			taken[name] = true
		}
	}
	for _, schema := range c.Extensions {
		if !schema.sound() || taken[strings.ToLower(schema.ID)] || !schema.claim(taken) {
			faults = append(faults, errExtension)
		}
		taken[strings.ToLower(schema.ID)] = true
	}
	return faults
}

// claim takes the schema's policy names, and reports whether all were free.
func (s Schema) claim(taken map[string]bool) bool {
	free := true
	names := map[string]bool{}
	for _, a := range s.Attributes {
		if a == nil {
			continue
		}
		free = free && !names[strings.ToLower(a.Name)] && (a.Policy == "" || !taken[a.Policy])
		names[strings.ToLower(a.Name)], taken[a.Policy] = true, true
	}
	return free
}

// sound reports whether an own schema can be told apart from the RFC's.
func (s Schema) sound() bool {
	if !strings.HasPrefix(s.ID, "urn:") || strings.EqualFold(s.ID, urnUser) ||
		strings.EqualFold(s.ID, urnEnterprise) || strings.EqualFold(s.ID, urnGroup) || len(s.Attributes) == 0 {
		return false
	}
	for _, a := range s.Attributes {
		if a == nil || a.Name == "" || strings.Trim(strings.ToLower(a.Name), "abcdefghijklmnopqrstuvwxyz0123456789-_$") != "" {
			return false
		}
	}
	return true
}

// completed returns a copy of an own schema with the RFC's defaults filled in.
func (s Schema) completed() Schema {
	s.Attributes = completedAttributes(s.Attributes)
	if s.Name == "" {
		s.Name = s.ID[strings.LastIndexByte(s.ID, ':')+1:]
	}
	return s
}

func completedAttributes(attributes []*Attribute) []*Attribute {
	var done []*Attribute
	for _, a := range attributes {
		c := *a
		if c.Type == "" {
			c.Type = TypeString
		}
		c.Mutability, c.Returned, c.Uniqueness = readWrite, returnedDefault, uniqueNone
		c.Required = false
		c.SubAttributes = completedAttributes(c.SubAttributes)
		done = append(done, &c)
	}
	return done
}
