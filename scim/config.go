package scim

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/prometheus/client_golang/prometheus"
)

// Config says what a server serves and with what.
type Config struct {
	// Directory holds the records. Required.
	Directory *directory.Directory
	// Tokens verifies a connection's bearer tokens. Required; a
	// [directory.Directory] is one.
	Tokens TokenVerifier
	// Connections are the identity providers that may push. At least one.
	Connections []Connection
	// PublicURL is the base that providers reach, for instance
	// https://gate.example; resource locations are built from it. Required.
	PublicURL *url.URL
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
	// Dialect hints at the provider: entra, okta, ping, … or empty.
	Dialect string
	// Strict refuses what the interoperability profiles forbid.
	Strict bool
	// Rate is the sustained number of requests per second; zero means 50,
	// values under 25 are refused.
	Rate float64
	// Burst is the number of requests above the rate taken at once; zero means 200.
	Burst int
}

// Server is the SCIM service provider, an [http.Handler] for /scim/v2/.
type Server struct{ config Config }

var errNotYet = errors.New("scim is being built")

// New checks the configuration and returns a server.
func New(config Config) (*Server, error) { return nil, errNotYet }

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	http.Error(w, "unavailable", http.StatusServiceUnavailable)
}

// Collectors returns the server's metrics.
func (s *Server) Collectors() []prometheus.Collector { return nil }
