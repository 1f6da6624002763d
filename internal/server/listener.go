package server

import (
	"net"
	"sync"
	"sync/atomic"
)

// limitedListener closes connections beyond a limit as soon as they come. Leaving them in the kernel's queue instead would let clients wait
// for a turn that idle connections may never give up; a refusal sends them to another replica.
type limitedListener struct {
	net.Listener

	limit   int64
	refuse  Refuse // nil if the connections' bytes are TLS
	open    atomic.Int64
	metrics *metrics
}

// Accept returns the next connection within the limit.
func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err //nolint:wrapcheck // net/http compares it.
		}
		if l.open.Add(1) <= l.limit {
			l.metrics.open.Inc()
			return &countedConn{Conn: conn, listener: l}, nil
		}
		l.open.Add(-1)
		l.metrics.refused.Inc()
		_ = conn.Close() // refused: there is nobody to tell
	}
}

type countedConn struct {
	net.Conn
	handling

	listener *limitedListener
	closed   sync.Once
}

// Write writes p, or another answer in the place of net/http's own refusal.
func (c *countedConn) Write(p []byte) (int, error) {
	if c.on.Load() {
		return c.Conn.Write(p) //nolint:wrapcheck // A plain decorator.
	}
	return writeOr(c.Conn, p, c.listener.refuse)
}

// Close closes the connection and gives its place to another.
func (c *countedConn) Close() error {
	c.closed.Do(func() {
		c.listener.open.Add(-1)
		c.listener.metrics.open.Dec()
	})
	return c.Conn.Close() //nolint:wrapcheck // A plain decorator.
}

// writeOr writes p, or another answer in the place of net/http's own refusal.
func writeOr(conn net.Conn, p []byte, refuse Refuse) (int, error) {
	other := refuse.replace(p, conn.RemoteAddr().String())
	if other == nil {
		return conn.Write(p) //nolint:wrapcheck // A plain decorator.
	}
	if _, err := conn.Write(other); err != nil {
		return 0, err //nolint:wrapcheck // A plain decorator.
	}
	return len(p), nil
}
