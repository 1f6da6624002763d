package server_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/internal/server"
)

// TestNothingFollowsAnAmbiguousLength: what stands in front of the server may have taken the bytes behind such a request for its body.
func TestNothingFollowsAnAmbiguousLength(t *testing.T) {
	t.Parallel()
	const next = "GET /second HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
	for name, test := range map[string]struct {
		request string
		want    []string // paths that the handler saw
	}{
		"a length":            {"POST /first HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx", []string{"/first", "/second"}},
		"chunks":              {"POST /first HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []string{"/first"}},
		"chunks and a length": {"POST /first HTTP/1.1\r\nHost: h\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []string{"/first"}},
		"chunks in HTTP/1.0":  {"POST /first HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", []string{"/first"}},
		"OPTIONS *":           {"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", []string{"*", "/second"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			seen := make(chan string, 2)
			start(t, server.Config{Listener: listener, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				seen <- r.URL.Path
			})})
			conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, test.request+next); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, bufio.NewReader(conn)); err != nil {
				t.Logf("reading: %v", err)
			}
			close(seen)
			var got []string
			for path := range seen {
				got = append(got, path)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("requests served (-want +got):\n%s", diff)
			}
		})
	}
}
