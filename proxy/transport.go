package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// Bounds of the connections to upstream.
const (
	dialTimeout         = 10 * time.Second
	tlsHandshakeTimeout = 10 * time.Second
	keepAliveInterval   = 30 * time.Second
	// upstreamIdleTimeout stays below the idle bound of Azure's load balancers,
	// so that a connection is dropped by us rather than under a request.
	upstreamIdleTimeout = 60 * time.Second
	// maxUpstreamHeaderBytes bounds the headers of one upstream response;
	// continuation and session tokens make up most of them.
	maxUpstreamHeaderBytes = 128 << 10
	upstreamBufferSize     = 16 << 10
)

// errNotConnected means that a request found no connection that it could be sent on.
var errNotConnected = errors.New("no trusted connection to upstream")

// TransportOptions tune the transport to one account.
type TransportOptions struct {
	// TLS is the client configuration, with the trust bundle for upstream. Required unless DialTLS is given.
	TLS *tls.Config
	// DialTLS connects and proves who upstream is, in place of TLS, where trust may change while the gate runs.
	DialTLS func(ctx context.Context, network, address string) (net.Conn, error)
	// MaxIdleConns is how many connections are kept for the next request. 0 means 256.
	MaxIdleConns int
	// MaxConns bounds the connections; further requests wait for one. 0 means no bound.
	MaxConns int
	// HTTP2 multiplexes requests over few connections instead of using one
	// connection for each request in flight. It costs about the same CPU for each
	// request (BenchmarkPointReadOverTLS) and saves connections, but one lost packet
	// or connection then concerns every request on it.
	HTTP2 bool
}

// NewTransport returns a transport for one account: no proxy from the environment,
// no transparent decompression, no redirects, bounded headers. It has no response
// timeout; the proxy keeps its own.
func NewTransport(o TransportOptions) *http.Transport {
	const defaultIdle = 256
	if o.MaxIdleConns <= 0 {
		o.MaxIdleConns = defaultIdle
	}
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: keepAliveInterval}
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(o.HTTP2)
	if dialTLS := o.DialTLS; dialTLS != nil {
		o.DialTLS = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialTLS(ctx, network, address)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", errNotConnected, err)
			}
			return conn, nil
		}
	}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		DialTLSContext:         o.DialTLS,
		TLSClientConfig:        o.TLS.Clone(),
		TLSHandshakeTimeout:    tlsHandshakeTimeout,
		DisableCompression:     true,
		MaxIdleConns:           o.MaxIdleConns,
		MaxIdleConnsPerHost:    o.MaxIdleConns,
		MaxConnsPerHost:        o.MaxConns,
		IdleConnTimeout:        upstreamIdleTimeout,
		MaxResponseHeaderBytes: maxUpstreamHeaderBytes,
		ReadBufferSize:         upstreamBufferSize,
		WriteBufferSize:        upstreamBufferSize,
		Protocols:              protocols,
		ForceAttemptHTTP2:      o.HTTP2,
	}
}
