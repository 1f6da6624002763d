// Package connect is a listener on this machine in front of a gate, for tools that cannot sign in: it adds the engineer's token
// to what they send.
//
// What keeps others out: it binds loopback or a Unix socket of mode 0600 only; every request must be signed with a key made for
// this run; the Host must be the listener's own, and whatever a browser page sends is refused. It talks to one gate only, by
// verified TLS, and follows no redirect. The token is in memory and goes nowhere else; the tool's own credential ends here.
package connect

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
)

// Config is everything a [Server] needs.
type Config struct {
	// Gate is the base URL of the account at the gate, https only. Required.
	Gate *url.URL
	// Transport carries requests to the gate and verifies its certificate. It must neither follow redirects nor decompress.
	// Required.
	Transport http.RoundTripper
	// Token returns a token that lives. Required.
	Token func(ctx context.Context) (string, error)
	// SignedIn returns an error once the login has ended; it is asked every few seconds. Required.
	SignedIn func(ctx context.Context) error
	// Listener is from [Listen]. Required.
	Listener net.Listener
	// Certificate, if set, makes the listener speak TLS.
	Certificate *tls.Certificate
	// Idle ends the server when nothing has been asked for that long; 0 means never.
	Idle time.Duration
	// NewID makes the ids of answers of its own. Required.
	NewID func() string
	// Clock tells the time. Required.
	Clock func() time.Time
	// Logger receives one line a request, without any secret. Required.
	Logger *slog.Logger
}

var (
	// ErrIdle is why [Server.Run] ends when nothing was asked for long.
	ErrIdle = errors.New("nothing was asked for a while")

	errConfig   = errors.New("connect: gate, transport, token, login check, listener, ids, clock and logger are required")
	errGate     = errors.New("connect: the gate must be https")
	errLoopback = errors.New("is not loopback: whoever reaches the listener may try to act as you")
)

// Listen opens a loopback address, host:port with port 0 for a free one, or a Unix socket of mode 0600 for an address that begins
// with / or a dot. Any other address is refused.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	var lc net.ListenConfig
	if strings.HasPrefix(address, "/") || strings.HasPrefix(address, ".") {
		return listenUnix(ctx, &lc, address)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", address, err)
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("address %q %w", address, errLoopback)
	}
	l, err := lc.Listen(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, fmt.Errorf("opening the listener: %w", err)
	}
	return l, nil
}

// listenUnix makes the socket under another name first, so that nobody can connect to it before its mode is right.
func listenUnix(ctx context.Context, lc *net.ListenConfig, path string) (net.Listener, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("socket %s: %w", path, os.ErrExist)
	}
	folder, err := os.MkdirTemp(filepath.Dir(path), ".connect-") // of mode 0700
	if err != nil {
		return nil, fmt.Errorf("making the socket: %w", err)
	}
	defer os.Remove(folder) //nolint:errcheck // an empty folder harms nobody
	hidden := folder + "/socket"
	l, err := lc.Listen(ctx, "unix", hidden)
	if err != nil {
		return nil, fmt.Errorf("opening the socket: %w", err)
	}
	const ownerOnly = 0o600
	if err := errors.Join(os.Chmod(hidden, ownerOnly), os.Rename(hidden, path)); err != nil {
		return nil, errors.Join(fmt.Errorf("placing the socket: %w", err), l.Close())
	}
	return &unixListener{Listener: l, path: path}, nil
}

// unixListener removes the socket under its final name.
type unixListener struct {
	net.Listener

	path string
}

// Close implements [net.Listener].
func (l *unixListener) Close() error {
	err := os.Remove(l.path)
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return errors.Join(l.Listener.Close(), err)
}

// Server adds a token to what tools on this machine send. It is safe for concurrent use.
type Server struct {
	cfg      Config
	key      []byte
	endpoint string
	hosts    map[string]bool // acceptable Host headers; nil: any, on a Unix socket, which no browser reaches
	last     atomic.Int64    // Unix nanoseconds of the last request
	open     atomic.Int64    // requests under way
}

const keyBytes = 64 // as long as an account key

// New checks cfg, makes the key of this run, and returns a server that answers once it runs.
func New(cfg Config) (*Server, error) {
	if cfg.Gate == nil || cfg.Transport == nil || cfg.Token == nil || cfg.SignedIn == nil || cfg.Listener == nil ||
		cfg.NewID == nil || cfg.Clock == nil || cfg.Logger == nil {
		return nil, errConfig
	}
	if cfg.Gate.Scheme != "https" || cfg.Gate.Host == "" {
		return nil, errGate
	}
	s := &Server{cfg: cfg, key: make([]byte, keyBytes)}
	_, _ = rand.Read(s.key) // never fails: crypto/rand ends the process instead
	scheme := "http"
	if cfg.Certificate != nil {
		scheme = "https"
	}
	s.endpoint = scheme + "://localhost/"
	if a, ok := cfg.Listener.Addr().(*net.TCPAddr); ok {
		s.endpoint = scheme + "://" + a.String() + "/"
		s.hosts = map[string]bool{a.String(): true, fmt.Sprintf("localhost:%d", a.Port): true}
	}
	return s, nil
}

// Endpoint is where tools are pointed.
func (s *Server) Endpoint() string { return s.endpoint }

// Key is the key of this run, in the form of an account key.
func (s *Server) Key() string { return base64.StdEncoding.EncodeToString(s.key) }

// ConnectionString holds both, in the form that tools take.
func (s *Server) ConnectionString() string {
	return "AccountEndpoint=" + s.endpoint + ";AccountKey=" + s.Key() + ";"
}

// loginCheck is how often the login is looked after.
const loginCheck = 5 * time.Second

// Run serves until ctx ends, and returns nil then; until the login ends, and returns its error; or until nothing was asked for
// long, and returns [ErrIdle].
func (s *Server) Run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	s.last.Store(s.cfg.Clock().UnixNano())
	const headerPatience, maxHeader = 10 * time.Second, 64 << 10
	server := &http.Server{
		Handler: s, ReadHeaderTimeout: headerPatience, MaxHeaderBytes: maxHeader,
		ErrorLog:    slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	listener := s.cfg.Listener
	if s.cfg.Certificate != nil {
		listener = tls.NewListener(listener, &tls.Config{
			Certificates: []tls.Certificate{*s.cfg.Certificate}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
		})
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	watched := make(chan struct{})
	go func() { defer close(watched); s.watch(ctx, stop) }()

	var err error
	select {
	case err = <-served:
	case <-ctx.Done():
		if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
			err = cause
		}
	}
	stop(nil)
	<-watched
	return errors.Join(err, shut(server))
}

// shut lets answers under way end, for a moment.
func shut(server *http.Server) error {
	const drain = 3 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	if server.Shutdown(ctx) != nil {
		_ = server.Close() // what has not ended by now is cut
	}
	return nil
}

// watch ends the server with the login, or when it is idle.
func (s *Server) watch(ctx context.Context, stop context.CancelCauseFunc) {
	every := loginCheck
	if s.cfg.Idle > 0 {
		every = min(every, s.cfg.Idle)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		idle := s.cfg.Clock().Sub(time.Unix(0, s.last.Load()))
		if s.cfg.Idle > 0 && idle >= s.cfg.Idle && s.open.Load() == 0 {
			stop(ErrIdle)
			return
		}
		if err := s.cfg.SignedIn(ctx); err != nil && ctx.Err() == nil {
			stop(err)
			return
		}
	}
}
