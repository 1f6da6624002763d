package server

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var errNotReady = errors.New("server: not ready")

// Config configures a Server. Zero limits mean the defaults named at each field.
type Config struct {
	Name     string       // labels metrics and log lines; required
	Listener net.Listener // required; the server closes it
	TLS      *tls.Config  // nil serves in clear text
	Handler  http.Handler // required
	Logger   *slog.Logger // required

	MaxConnections    int           // further ones are closed at once; 0 means 16384
	MaxHeaderBytes    int           // hard limit, answered by net/http itself; the handler should refuse earlier. 0 means 256 KiB
	ReadHeaderTimeout time.Duration // 0 means 10 s
	IdleTimeout       time.Duration // between requests on a connection; 0 means 2 min
	StallTimeout      time.Duration // longest wait for one read of a request body or one write of a response; 0 means 30 s
	DrainTimeout      time.Duration // for requests in flight when Run's context ends; 0 means 25 s
}

// Server serves HTTP on one listener.
type Server struct{}

// New checks the configuration and returns a server that does not accept yet.
func New(Config) (*Server, error) { return nil, errNotReady }

// Addr returns the address that the server listens on.
func (*Server) Addr() net.Addr { return nil }

// Run serves until ctx is done, then stops accepting, lets requests in flight finish within DrainTimeout, and cuts the rest.
// The error is nil after an orderly end, also if requests had to be cut (which is logged and counted).
func (*Server) Run(context.Context) error { return errNotReady }

// Collectors returns the server's metrics.
func (*Server) Collectors() []prometheus.Collector { return nil }
