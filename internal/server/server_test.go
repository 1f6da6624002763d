package server_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/cosmosgate/cosmosgate/internal/server"
)

// pipes is a listener whose connections are net.Pipe, so that tests can run on synctest's clock.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

func (p *pipes) dial(t *testing.T) net.Conn {
	t.Helper()
	client, accepted := net.Pipe()
	select {
	case p.conns <- accepted:
	case <-p.closed:
		t.Fatal("dialling a closed listener")
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// start runs a server and returns what ends it and returns Run's error.
func start(t *testing.T, config server.Config) (*server.Server, func() error) {
	t.Helper()
	config.Name, config.Logger = "test", slog.New(slog.DiscardHandler)
	s, err := server.New(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- s.Run(ctx) }()
	stop := sync.OnceValue(func() error { cancel(); return <-result })
	t.Cleanup(func() { _ = stop() })
	return s, stop
}

func send(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

// answer reads one response and its body.
func answer(t *testing.T, from *bufio.Reader) (int, string) {
	t.Helper()
	response, err := http.ReadResponse(from, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func metric(t *testing.T, s *server.Server, name string) float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(s.Collectors()...)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "cosmosgate_listener_"+name {
			m := family.GetMetric()[0]
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// readAll answers with the number of bytes in the body, or 418 if it could not be read.
func readAll(w http.ResponseWriter, r *http.Request) {
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		w.WriteHeader(http.StatusTeapot)
		return
	}
	_, _ = fmt.Fprint(w, n)
}

func TestBothProtocolsAreServedOverTLS(t *testing.T) {
	t.Parallel()
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			certificate, trust := lent(t)
			listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			s, _ := start(t, server.Config{
				Listener: listener,
				TLS:      certificate,
				Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.TLS == nil || !r.TLS.HandshakeComplete {
						t.Error("the request does not know that it came by TLS")
					}
					_, _ = io.WriteString(w, r.Proto)
					readAll(w, r)
				}),
			})
			transport := &http.Transport{TLSClientConfig: trust.Clone(), ForceAttemptHTTP2: http2}
			if !http2 {
				transport.TLSClientConfig.NextProtos = nil
			}
			defer transport.CloseIdleConnections()
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+s.Addr().String(), strings.NewReader("body"))
			if err != nil {
				t.Fatal(err)
			}
			response, err := transport.RoundTrip(request)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if diff := cmp.Diff(name+"4", string(body)); diff != "" || err != nil {
				t.Errorf("body (-want +got):\n%s\n%v", diff, err)
			}
		})
	}
}

func TestConnectionsBeyondTheLimitAreClosedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		listener := newPipes()
		s, _ := start(t, server.Config{Listener: listener, Handler: http.HandlerFunc(readAll), MaxConnections: 2})
		first := listener.dial(t)
		listener.dial(t)
		third := listener.dial(t)
		if _, err := third.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("third of two: %v", err)
		}
		if open, refused := metric(t, s, "open_connections"), metric(t, s, "refused_connections_total"); open != 2 || refused != 1 {
			t.Errorf("%v open, %v refused", open, refused)
		}
		_ = first.Close()
		synctest.Wait()
		fourth := listener.dial(t)
		send(t, fourth, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		if code, _ := answer(t, bufio.NewReader(fourth)); code != http.StatusOK {
			t.Errorf("after one had left: %d", code)
		}
	})
}

func TestClientsThatStandStillAreGivenUp(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		send string
		want string // what comes back before the connection is closed, as far as the status
	}{
		"before the headers":       {"", ""},
		"within the headers":       {"GET / HTTP/1.1\r\nHost: h\r\n", ""},
		"between requests":         {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200 OK"},
		"within the body":          {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nhalf", "HTTP/1.1 418 I'm a teapot"},
		"within a chunk":           {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf", "HTTP/1.1 418 I'm a teapot"},
		"before the promised body": {"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n", "HTTP/1.1 100 Continue"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				listener := newPipes()
				s, _ := start(t, server.Config{Listener: listener, Handler: http.HandlerFunc(readAll)})
				conn := listener.dial(t)
				send(t, conn, test.send)
				all, err := io.ReadAll(conn) // until the server closes it
				if err != nil {
					t.Fatal(err)
				}
				got, _, _ := strings.Cut(string(all), "\r\n")
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("status line (-want +got):\n%s", diff)
				}
				synctest.Wait()
				if open := metric(t, s, "open_connections"); open != 0 {
					t.Errorf("%v connections open", open)
				}
			})
		})
	}
}

func TestClientThatDoesNotSendABodyNobodyWaitsForIsGivenUp(t *testing.T) {
	t.Parallel()
	for name, respond := range map[string]http.HandlerFunc{
		"when the handler answers at once": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1<<20)) },
		"when the handler only returns":    func(http.ResponseWriter, *http.Request) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				listener := newPipes()
				s, _ := start(t, server.Config{Listener: listener, Handler: respond})
				conn := listener.dial(t)
				send(t, conn, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 40\r\n\r\nhalf")
				_, _ = io.Copy(io.Discard, conn) // until the server closes it
				synctest.Wait()
				if open := metric(t, s, "open_connections"); open != 0 {
					t.Errorf("%v connections open", open)
				}
			})
		})
	}
}

func TestClientThatDoesNotTakeItsResponseIsGivenUp(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"a small one": 10, "a large one": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				listener := newPipes()
				s, _ := start(t, server.Config{Listener: listener, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					_, _ = w.Write(make([]byte, size))
				})})
				send(t, listener.dial(t), "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
				time.Sleep(time.Minute)
				synctest.Wait()
				if open := metric(t, s, "open_connections"); open != 0 {
					t.Errorf("%v connections open", open)
				}
			})
		})
	}
}

func TestSlowButSteadyClientsAreServed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const pieces, pause, size = 10, 5 * time.Second, 1 << 20
		listener := newPipes()
		start(t, server.Config{Listener: listener, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if n, err := io.Copy(io.Discard, r.Body); n != pieces || err != nil {
				t.Errorf("read %d bytes: %v", n, err)
			}
			if n, err := w.Write(make([]byte, size)); n != size || err != nil {
				t.Errorf("wrote %d bytes: %v", n, err)
			}
		})})
		conn := listener.dial(t)
		send(t, conn, fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", pieces))
		for range pieces {
			time.Sleep(pause)
			send(t, conn, "x")
		}
		code, body := answer(t, bufio.NewReaderSize(slowReader{conn, pause}, 64<<10))
		if code != http.StatusOK || len(body) != size {
			t.Errorf("%d, %d bytes", code, len(body))
		}
	})
}

func TestHandlersOwnDeadlinesAreNotMoved(t *testing.T) {
	t.Parallel()
	const own = 10 * time.Second
	tests := map[string]struct {
		body    int
		handler http.HandlerFunc
	}{
		"for reading": {40, func(w http.ResponseWriter, r *http.Request) {
			if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(own)); err != nil {
				t.Error(err)
			}
			if _, err := io.Copy(io.Discard, r.Body); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("reading: %v", err)
			}
		}},
		"for writing": {0, func(w http.ResponseWriter, _ *http.Request) {
			if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(own)); err != nil {
				t.Error(err)
			}
			if _, err := w.Write(make([]byte, 16<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("writing: %v", err)
			}
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				listener := newPipes()
				begun := time.Now()
				ended := make(chan time.Duration, 1)
				start(t, server.Config{Listener: listener, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					test.handler(w, r)
					ended <- time.Since(begun)
				})})
				conn := listener.dial(t)
				send(t, conn, fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", test.body))
				var trickle sync.WaitGroup // steady, in both directions
				trickle.Go(func() {
					for range test.body {
						time.Sleep(time.Second)
						_, _ = io.WriteString(conn, "x")
					}
				})
				trickle.Go(func() { _, _ = io.Copy(io.Discard, slowReader{conn, time.Second}) })
				if took := <-ended; took != own {
					t.Errorf("ended after %v", took)
				}
				_ = conn.Close()
				trickle.Wait()
			})
		})
	}
}

// slowReader pauses before each read.
type slowReader struct {
	io.Reader

	pause time.Duration
}

func (r slowReader) Read(p []byte) (int, error) {
	time.Sleep(r.pause)
	return r.Reader.Read(p)
}

func TestHandlerMayThinkLongerThanAClientMayStall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		listener := newPipes()
		start(t, server.Config{Listener: listener, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				t.Errorf("reading: %v", err)
			}
			time.Sleep(5 * time.Minute)
			if err := r.Context().Err(); err != nil {
				t.Errorf("context: %v", err)
			}
			_, _ = io.WriteString(w, "thought")
		})})
		conn := listener.dial(t)
		replies := bufio.NewReader(conn)
		for range 2 { // the second time on a connection whose deadlines have passed
			send(t, conn, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody")
			if code, body := answer(t, replies); code != http.StatusOK || body != "thought" {
				t.Errorf("%d %q", code, body)
			}
			time.Sleep(time.Minute)
		}
	})
}

func TestContinueIsSentOnAConnectionThatWasIdle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		listener := newPipes()
		start(t, server.Config{Listener: listener, Handler: http.HandlerFunc(readAll)})
		conn := listener.dial(t)
		replies := bufio.NewReader(conn)
		for range 2 {
			send(t, conn, "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
			if line, err := replies.ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" || err != nil {
				t.Fatalf("%q, %v", line, err)
			}
			if _, err := replies.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			send(t, conn, "body")
			if code, body := answer(t, replies); code != http.StatusOK || body != "4" {
				t.Errorf("%d %q", code, body)
			}
			time.Sleep(time.Minute)
		}
	})
}

func TestHandlerSeesLargeHeadersUpToTheHardLimit(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		bytes int
		want  int
	}{
		"100 KiB, for the handler to judge":       {100 << 10, http.StatusOK},
		"512 KiB, refused before they are stored": {512 << 10, http.StatusRequestHeaderFieldsTooLarge},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				listener := newPipes()
				start(t, server.Config{Listener: listener, Handler: http.HandlerFunc(readAll)})
				conn := listener.dial(t)
				go func() { // the server stops reading when it has seen enough
					_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: h\r\nX: "+strings.Repeat("x", test.bytes)+"\r\n\r\n")
				}()
				if code, _ := answer(t, bufio.NewReader(conn)); code != test.want {
					t.Errorf("%d, want %d", code, test.want)
				}
			})
		})
	}
}

func TestDrainFinishesWhatIsInFlightWithinItsBound(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		takes   time.Duration
		want    string
		wantCut float64
	}{
		"a request that ends in time":   {20 * time.Second, "HTTP/1.1 200 OK", 0},
		"a request that takes too long": {time.Hour, "", 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				listener := newPipes()
				s, stop := start(t, server.Config{Listener: listener, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					select {
					case <-time.After(test.takes):
					case <-r.Context().Done():
					}
				})})
				idle, busy := listener.dial(t), listener.dial(t)
				send(t, busy, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
				synctest.Wait()
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					if err := stop(); err != nil {
						t.Errorf("Run returned %v", err)
					}
				}()
				all, _ := io.ReadAll(busy)
				got, _, _ := strings.Cut(string(all), "\r\n")
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("status line (-want +got):\n%s", diff)
				}
				if _, err := idle.Read(make([]byte, 1)); err == nil {
					t.Error("an idle connection stays open")
				}
				<-ended
				if cut := metric(t, s, "cut_connections_total"); cut != test.wantCut {
					t.Errorf("cut = %v", cut)
				}
				if _, err := listener.Accept(); !errors.Is(err, net.ErrClosed) {
					t.Errorf("the listener is open: %v", err)
				}
			})
		})
	}
}

func TestRunReportsAListenerThatFails(t *testing.T) {
	t.Parallel()
	listener := newPipes()
	_ = listener.Close()
	s, err := server.New(server.Config{
		Name: "test", Listener: listener, Handler: http.NotFoundHandler(), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Run returned %v", err)
	}
}

func TestNewRefusesAConfigurationWithFaults(t *testing.T) {
	t.Parallel()
	_, err := server.New(server.Config{StallTimeout: -1})
	for _, want := range []string{"required", "negative"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not mention %q", err, want)
		}
	}
}
