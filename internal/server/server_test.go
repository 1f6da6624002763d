package server_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
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
		deaf    bool // to the end of its context
		want    string
		wantCut float64
	}{
		"a request that ends in time":         {20 * time.Second, false, "HTTP/1.1 200 OK", 0},
		"a request that takes too long":       {time.Hour, false, "HTTP/1.1 503 Service Unavailable", 1},
		"a request that can't be told to end": {time.Hour, true, "", 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				listener := newPipes()
				s, stop := start(t, server.Config{Listener: listener, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					told := r.Context().Done()
					if test.deaf {
						told = nil
					}
					select {
					case <-time.After(test.takes):
					case <-told:
						if errors.Is(context.Cause(r.Context()), server.ErrCut) {
							w.WriteHeader(http.StatusServiceUnavailable)
						}
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
				if test.deaf {
					time.Sleep(test.takes) // until the handler has ended
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
