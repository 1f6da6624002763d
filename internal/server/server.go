package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	defaultMaxConnections    = 16384
	defaultMaxHeaderBytes    = 128 << 10
	defaultReadHeaderTimeout = 10 * time.Second
	defaultIdleTimeout       = 2 * time.Minute
	defaultStallTimeout      = 30 * time.Second
	defaultDrainTimeout      = 25 * time.Second

	// maxStreams bounds the requests in flight on one HTTP/2 connection.
	maxStreams = 250
	// cutGrace is how long handlers may take to answer and record what the end of the drain time cut off.
	cutGrace = time.Second
	// pingAfter is the silence after which an HTTP/2 connection is asked whether anybody is there.
	pingAfter = 45 * time.Second
)

// ErrCut is the cause of the end of a request's context when the drain time has passed: the server cut the request off, and the
// client may still be there. A client that leaves ends the context with context.Canceled.
var ErrCut = errors.New("cut off at the end of the drain time")

// Config configures a Server. Zero limits mean the defaults named at each field.
type Config struct {
	Name     string       // labels metrics and log lines; required
	Listener net.Listener // required; the server closes it
	TLS      *tls.Config  // nil serves in clear text
	Handler  http.Handler // required
	Logger   *slog.Logger // required

	MaxConnections    int           // further ones are closed at once; 0 means 16384
	MaxHeaderBytes    int           // of a request; 0 means 128 KiB. Larger ones get 431 through Refuse
	ReadHeaderTimeout time.Duration // also bounds the TLS handshake; 0 means 10 s
	IdleTimeout       time.Duration // between requests on a connection; 0 means 2 min
	// StallTimeout is the longest wait for a piece of a request's body, or for a client to take a piece of a response, of which a short one
	// over HTTP/2 has a sixth. 0 means 30 s.
	StallTimeout time.Duration
	DrainTimeout time.Duration // for requests in flight when Run's context ends; 0 means 25 s

	// Refuse answers requests that net/http cannot read, over HTTP/1.1. Over HTTP/2, net/http resets the stream, and answers
	// a header that is too large with HTML. Nil leaves all of them to net/http, which answers in plain text.
	Refuse Refuse
}

func (c Config) validate() error {
	var errs []error
	if c.Name == "" || c.Listener == nil || c.Handler == nil || c.Logger == nil {
		errs = append(errs, errors.New("name, listener, handler and logger are required"))
	}
	if c.MaxConnections < 0 || c.MaxHeaderBytes < 0 || min(c.ReadHeaderTimeout, c.IdleTimeout, c.StallTimeout, c.DrainTimeout) < 0 {
		errs = append(errs, errors.New("limits must not be negative"))
	}
	if len(errs) > 0 {
		return fmt.Errorf("configuring server %q: %w", c.Name, errors.Join(errs...))
	}
	return nil
}

// Server serves HTTP/1.1 and, over TLS that offers it, HTTP/2 on one listener.
type Server struct {
	config   Config
	listener *limitedListener
	secure   *secureListener // nil in clear text
	http     *http.Server
	cut      context.CancelCauseFunc // ends all requests
	metrics  *metrics
}

// New checks the configuration and returns a server that does not accept yet.
func New(config Config) (*Server, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	config.MaxConnections = orElse(config.MaxConnections, defaultMaxConnections)
	config.MaxHeaderBytes = orElse(config.MaxHeaderBytes, defaultMaxHeaderBytes)
	config.ReadHeaderTimeout = orElse(config.ReadHeaderTimeout, defaultReadHeaderTimeout)
	config.IdleTimeout = orElse(config.IdleTimeout, defaultIdleTimeout)
	config.StallTimeout = orElse(config.StallTimeout, defaultStallTimeout)
	config.DrainTimeout = orElse(config.DrainTimeout, defaultDrainTimeout)

	m := newMetrics(config.Name)
	requests, cut := context.WithCancelCause(context.Background())
	s := &Server{
		config:   config,
		cut:      cut,
		listener: &limitedListener{Listener: config.Listener, limit: int64(config.MaxConnections), metrics: m},
		metrics:  m,
		http: &http.Server{
			Handler:           &patience{next: config.Handler, stall: config.StallTimeout},
			BaseContext:       func(net.Listener) context.Context { return requests },
			ConnContext:       rememberTLS,
			ConnState:         rested,
			MaxHeaderBytes:    config.MaxHeaderBytes,
			ReadHeaderTimeout: config.ReadHeaderTimeout,
			IdleTimeout:       config.IdleTimeout,
			// "OPTIONS *" is the handler's to judge, like everything else.
			DisableGeneralOptionsHandler: true,
			// Handshakes that fail and clients that speak nonsense are everyday on an open port.
			ErrorLog: slog.NewLogLogger(config.Logger.With("listener", config.Name).Handler(), slog.LevelDebug),
			HTTP2: &http.HTTP2Config{
				MaxConcurrentStreams: maxStreams,
				SendPingTimeout:      pingAfter,
				WriteByteTimeout:     config.StallTimeout,

				MaxEncoderHeaderTableSize: statelessHeaders,
			},
		},
	}
	if config.TLS == nil {
		s.listener.refuse = config.Refuse
	} else {
		// The listener ends TLS: to net/http, HTTP/2 is in clear text too.
		s.http.Protocols = new(http.Protocols)
		s.http.Protocols.SetHTTP1(true)
		s.http.Protocols.SetUnencryptedHTTP2(true)
		settings := config.TLS.Clone()
		if len(settings.NextProtos) == 0 {
			settings.NextProtos = []string{protocolHTTP2, "http/1.1"}
		}
		s.secure = newSecureListener(s.listener, settings, config)
	}
	return s, nil
}

// Addr returns the address that the server listens on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Run serves until ctx is done, then stops accepting, lets requests in flight finish within DrainTimeout, and cuts the rest: their
// contexts end with ErrCut, and a second later their connections are closed.
// The error is nil after an orderly end, also if requests had to be cut (which is logged and counted). A server runs once.
func (s *Server) Run(ctx context.Context) error {
	failed := make(chan error, 1)
	go func() { failed <- s.serve() }()
	s.config.Logger.Info("listening", "listener", s.config.Name, "address", s.Addr().String(), "tls", s.config.TLS != nil)
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	s.drain(context.WithoutCancel(ctx))
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (s *Server) serve() error {
	var listener net.Listener = s.listener
	if s.secure != nil {
		listener = s.secure
		var accepting sync.WaitGroup
		accepting.Go(s.secure.accept)
		defer accepting.Wait()
	}
	err := s.http.Serve(listener)
	return fmt.Errorf("serving %s: %w", s.config.Name, err)
}

func (s *Server) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, s.config.DrainTimeout)
	defer cancel()
	if err := s.http.Shutdown(ctx); err == nil {
		return
	}
	open := s.listener.open.Load()
	s.metrics.cut.Add(float64(open))
	s.config.Logger.Warn("connections cut at the end of the drain time", "listener", s.config.Name, "connections", open)
	s.cut(ErrCut)
	grace, end := context.WithTimeout(context.WithoutCancel(ctx), cutGrace)
	defer end()
	if s.http.Shutdown(grace) == nil {
		return
	}
	if err := s.http.Close(); err != nil {
		s.config.Logger.Warn("closing connections", "listener", s.config.Name, "error", err)
	}
}

// Collectors returns the server's metrics.
func (s *Server) Collectors() []prometheus.Collector { return s.metrics.collectors() }

func orElse[T comparable](value, other T) T {
	var zero T
	if value == zero {
		return other
	}
	return value
}
