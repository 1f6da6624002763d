package server_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/internal/server"
)

// TestABodyThatLooksLikeARefusalIsDelivered: a piece of a document is not net/http's own answer, whatever it says.
func TestABodyThatLooksLikeARefusalIsDelivered(t *testing.T) {
	t.Parallel()
	first := strings.Repeat("a", 32<<10)
	second := "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n" + strings.Repeat("b", 32<<10)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	start(t, server.Config{Listener: listener, Refuse: refusals(make(chan server.Unreadable, 1)), Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "65624")
		_, _ = io.WriteString(w, first)
		_, _ = io.WriteString(w, second)
	})})
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err != nil {
		t.Errorf("reading: %v", err)
	}
	if diff := cmp.Diff(len(first+second), len(got)); diff != "" {
		t.Errorf("bytes (-want +got):\n%s", diff)
	}
}
