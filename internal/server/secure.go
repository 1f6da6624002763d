package server

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	protocolHTTP2 = "h2"
	// acceptPause is how long accepting rests after a failure that may pass.
	acceptPause = 10 * time.Millisecond
)

// secureListener does the TLS handshakes, so that it can tell HTTP/1.1 from HTTP/2 before net/http sees a connection. Both are handed on
// as clear-text connections whose writes can be looked at: that is the only way to answer what net/http cannot read.
type secureListener struct {
	*limitedListener

	config  *tls.Config
	refuse  Refuse
	timeout time.Duration
	logger  *slog.Logger

	ready  chan net.Conn
	failed chan error      // holds why accepting ended
	closed context.Context //nolint:containedctx // Ends handshakes with the listener, whose life no function spans.
	close  context.CancelFunc
}

func newSecureListener(inner *limitedListener, settings *tls.Config, c Config) *secureListener {
	l := &secureListener{
		limitedListener: inner, config: settings, refuse: c.Refuse, timeout: c.ReadHeaderTimeout, logger: c.Logger.With("listener", c.Name),
		ready: make(chan net.Conn), failed: make(chan error, 1),
	}
	l.closed, l.close = context.WithCancel(context.Background())
	return l
}

// accept accepts and shakes hands until the listener is closed. It returns when no handshake is left.
func (l *secureListener) accept() {
	var handshakes sync.WaitGroup
	defer handshakes.Wait()
	for {
		conn, err := l.limitedListener.Accept()
		var temporary interface{ Temporary() bool }
		switch {
		case err == nil:
			handshakes.Go(func() { l.handshake(conn) })
		case errors.As(err, &temporary) && temporary.Temporary(): // out of file descriptors, say
			time.Sleep(acceptPause)
		default:
			l.failed <- err
			return
		}
	}
}

func (l *secureListener) handshake(conn net.Conn) {
	secured := tls.Server(conn, l.config)
	ctx, cancel := context.WithTimeout(l.closed, l.timeout)
	defer cancel()
	if err := secured.HandshakeContext(ctx); err != nil {
		l.metrics.handshakes.Inc()
		l.logger.Debug("TLS handshake failed", "source", conn.RemoteAddr().String(), "error", err)
		l.explain(err)
		_ = conn.Close() // whoever it was did not speak TLS with us
		return
	}
	state := secured.ConnectionState()
	var next net.Conn = &http1Conn{Conn: secured, state: &state, refuse: l.refuse}
	if state.NegotiatedProtocol == protocolHTTP2 {
		if !adequate(&state) {
			l.metrics.handshakes.Inc()
			_ = conn.Close() // as the RFC wants it
			return
		}
		next = newHTTP2Conn(secured, &state, l.refuse)
	}
	select {
	case l.ready <- next:
	case <-l.closed.Done():
		_ = next.Close() // nobody will serve it
	}
}

// explain tells a client that it sent HTTP where TLS is spoken.
func (l *secureListener) explain(err error) {
	var notTLS tls.RecordHeaderError
	if l.refuse == nil || !errors.As(err, &notTLS) || notTLS.Conn == nil || notTLS.RecordHeader[0] < 'A' || notTLS.RecordHeader[0] > 'Z' {
		return
	}
	_, _ = notTLS.Conn.Write(l.refuse.answer(Unreadable{
		Status: http.StatusBadRequest, Reason: "HTTP request to an HTTPS port", Source: notTLS.Conn.RemoteAddr().String(),
	}))
}

// Accept returns the next connection whose handshake is done.
func (l *secureListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.ready:
		return conn, nil
	case err := <-l.failed:
		l.failed <- err // for the next call
		return nil, err
	}
}

// Close stops accepting and gives up handshakes that are not done.
func (l *secureListener) Close() error {
	l.close()
	return l.limitedListener.Close() //nolint:wrapcheck // A plain decorator.
}

// http1Conn is a TLS connection that net/http takes for clear text.
type http1Conn struct {
	*tls.Conn
	handling

	state  *tls.ConnectionState
	refuse Refuse
}

// Write writes p, or another answer in the place of net/http's own refusal.
func (c *http1Conn) Write(p []byte) (int, error) {
	if c.on.Load() {
		return c.Conn.Write(p) //nolint:wrapcheck // A plain decorator.
	}
	return writeOr(c.Conn, p, c.refuse)
}

// stateKey is the key of a connection's TLS state in the contexts of its requests.
type stateKey struct{}

func rememberTLS(ctx context.Context, conn net.Conn) context.Context {
	ctx = rememberHandling(ctx, conn)
	switch secured := conn.(type) {
	case *http1Conn:
		return context.WithValue(ctx, stateKey{}, secured.state)
	case *http2Conn:
		return context.WithValue(ctx, stateKey{}, secured.state)
	default:
		return ctx
	}
}

// restoreTLS sets what net/http sets on connections that it knows to be TLS.
func restoreTLS(r *http.Request) {
	if r.TLS != nil {
		return
	}
	if state, ok := r.Context().Value(stateKey{}).(*tls.ConnectionState); ok {
		r.TLS = state
	}
}
