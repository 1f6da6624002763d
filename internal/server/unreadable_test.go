package server_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/internal/server"
)

// refusals answers in JSON and keeps what it was told.
func refusals(told chan<- server.Unreadable) server.Refuse {
	return func(w http.ResponseWriter, u server.Unreadable) {
		u.Source = strings.Split(u.Source, ":")[0]
		told <- u
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(u.Status)
		_, _ = io.WriteString(w, `{"code":"BadRequest","message":"m"}`)
	}
}

// lent is a certificate for 127.0.0.1, and what a client needs to trust it.
func lent(t *testing.T) (certificate, trust *tls.Config) {
	t.Helper()
	lender := httptest.NewTLSServer(http.NotFoundHandler())
	defer lender.Close()
	transport, ok := lender.Client().Transport.(*http.Transport)
	if !ok {
		t.Fatal("no transport")
	}
	return &tls.Config{Certificates: lender.TLS.Certificates, MinVersion: tls.VersionTLS12}, transport.TLSClientConfig
}

func TestRequestsThatCannotBeReadGetTheListenersOwnAnswer(t *testing.T) {
	t.Parallel()
	const host = "Host: h\r\n"
	tests := map[string]struct {
		request string
		want    server.Unreadable // none: the handler answers
	}{
		"an escape that is none":          {"GET /dbs/%zz HTTP/1.1\r\n" + host + "\r\n", server.Unreadable{Status: 400, Reason: "Bad Request"}},
		"not HTTP":                        {"hello\r\n\r\n", server.Unreadable{Status: 400, Reason: "Bad Request"}},
		"a header without a colon":        {"GET / HTTP/1.1\r\n" + host + "nonsense\r\n\r\n", server.Unreadable{Status: 400, Reason: "Bad Request"}},
		"two lengths":                     {"POST / HTTP/1.1\r\n" + host + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", server.Unreadable{Status: 400, Reason: "Bad Request"}},
		"no host":                         {"GET / HTTP/1.1\r\n\r\n", server.Unreadable{Status: 400, Reason: "Bad Request: missing required Host header"}},
		"an unknown transfer encoding":    {"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip\r\n\r\n", server.Unreadable{Status: 501, Reason: "Not Implemented"}},
		"a header that is too large":      {"GET / HTTP/1.1\r\n" + host + "X: " + strings.Repeat("x", 512<<10) + "\r\n\r\n", server.Unreadable{Status: 431, Reason: "Request Header Fields Too Large"}},
		"a version that does not exist":   {"GET / HTTP/3.7\r\n" + host + "\r\n", server.Unreadable{Status: 505, Reason: "HTTP Version Not Supported: unsupported protocol version"}},
		"an unknown expectation":          {"POST / HTTP/1.1\r\n" + host + "Expect: tea\r\nContent-Length: 1\r\n\r\nx", server.Unreadable{Status: 417, Reason: "Expectation Failed"}},
		"an old client's expectation":     {"POST / HTTP/1.0\r\n" + host + "Expect: tea\r\nContent-Length: 1\r\n\r\nx", server.Unreadable{Status: 417, Reason: "Expectation Failed"}},
		"a handler's own refusal":         {"GET /refuse HTTP/1.1\r\n" + host + "\r\n", server.Unreadable{}},
		"a request that can well be read": {"GET / HTTP/1.1\r\n" + host + "\r\n", server.Unreadable{}},
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refuse" { // as close to net/http's own as a handler can come
			w.Header()["Date"] = nil
			w.Header().Set("Connection", "close")
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, "400 Bad Request")
		}
	})
	certificate, trust := lent(t)
	for protocol, settings := range map[string]*tls.Config{"clear": nil, "TLS": certificate} {
		for name, test := range tests {
			t.Run(protocol+", "+name, func(t *testing.T) {
				t.Parallel()
				listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				told := make(chan server.Unreadable, 1)
				start(t, server.Config{Listener: listener, TLS: settings, Handler: handler, Refuse: refusals(told)})
				conn, err := dial(t, listener.Addr().String(), settings, trust)
				if err != nil {
					t.Fatal(err)
				}
				go func() { _, _ = io.WriteString(conn, test.request) }() // the server stops reading when it has seen enough
				response, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatal(err)
				}
				defer response.Body.Close()
				body, err := io.ReadAll(response.Body)
				if err != nil {
					t.Fatal(err)
				}
				var got server.Unreadable
				select {
				case got = <-told:
				default:
				}
				if test.want.Status == 0 {
					if diff := cmp.Diff(test.want, got); diff != "" || strings.HasPrefix(string(body), "{") {
						t.Errorf("the handler's answer was replaced (-want +got):\n%s", diff)
					}
					return
				}
				test.want.Source = "127.0.0.1"
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("told (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(`{"code":"BadRequest","message":"m"}`, string(body)); diff != "" || response.StatusCode != test.want.Status {
					t.Errorf("%s, body (-want +got):\n%s", response.Status, diff)
				}
				if !response.Close || response.ContentLength != int64(len(body)) || response.Header.Get("Content-Type") != "application/json" {
					t.Errorf("header: %v", response.Header)
				}
			})
		}
	}
}

// dial connects, with TLS if the server has it.
func dial(t *testing.T, address string, settings, trust *tls.Config) (net.Conn, error) {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = conn.Close() })
	if settings == nil {
		return conn, nil
	}
	own := trust.Clone()
	own.ServerName = "127.0.0.1"
	secured := tls.Client(conn, own)
	return secured, secured.HandshakeContext(t.Context())
}

func TestHTTPOnAnHTTPSPortIsExplained(t *testing.T) {
	t.Parallel()
	certificate, _ := lent(t)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan server.Unreadable, 1)
	s, stop := start(t, server.Config{Listener: listener, TLS: certificate, Handler: http.NotFoundHandler(), Refuse: refusals(told)})
	conn, err := dial(t, listener.Addr().String(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	send(t, conn, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	if code, body := answer(t, bufio.NewReader(conn)); code != http.StatusBadRequest || !strings.HasPrefix(body, "{") {
		t.Errorf("%d %s", code, body)
	}
	if diff := cmp.Diff(server.Unreadable{Status: 400, Reason: "HTTP request to an HTTPS port", Source: "127.0.0.1"}, <-told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if got := metric(t, s, "failed_handshakes_total"); got != 1 {
		t.Errorf("failed handshakes = %v", got)
	}
}

func TestHandshakesThatAreNotDoneDoNotDelayTheEnd(t *testing.T) {
	t.Parallel()
	certificate, _ := lent(t)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, stop := start(t, server.Config{Listener: listener, TLS: certificate, Handler: http.NotFoundHandler()})
	silent, err := dial(t, listener.Addr().String(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := silent.Read(make([]byte, 1)); errors.Is(err, nil) {
		t.Error("the connection is open")
	}
}
