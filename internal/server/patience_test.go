package server_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2"

	"github.com/cosmosgate/cosmosgate/internal/server"
)

// readAll answers with the number of bytes in the body, or 418 if it could not be read.
func readAll(w http.ResponseWriter, r *http.Request) {
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		w.WriteHeader(http.StatusTeapot)
		return
	}
	_, _ = fmt.Fprint(w, n)
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

// Over HTTP/2 a client can ask for much and let nothing through.
func TestAShortAnswerThatIsNotTakenIsGivenUpSoonerThanALongOne(t *testing.T) {
	t.Parallel()
	certificate, trust := lent(t)
	synctest.Test(t, func(t *testing.T) {
		listener := newPipes()
		start(t, server.Config{Listener: listener, TLS: certificate, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/long" {
				_, _ = w.Write(make([]byte, 1<<20))
				return
			}
			_, _ = io.WriteString(w, "no")
		})})
		settings := trust.Clone()
		settings.NextProtos, settings.ServerName = []string{"h2"}, "127.0.0.1"
		p := peerOver(t, tls.Client(listener.dial(t), settings))
		began := time.Now()
		go func() {
			p.greet(t, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
			p.ask(1, true, ":path: /long")
			p.ask(3, true)
		}()
		for _, row := range []struct {
			stream uint32
			after  time.Duration
		}{{3, 5 * time.Second}, {1, 30 * time.Second}} {
			said, after := p.said(row.stream), time.Since(began)
			if !strings.HasPrefix(said, "reset") || after != row.after {
				t.Errorf("stream %d: %s after %s, want a reset after %s", row.stream, said, after, row.after)
			}
		}
	})
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

// A transport may still read the body when the handler has answered and returned. Nobody would recover a panic there.
func TestABodyThatIsReadAfterItsHandlerReturnedMovesNoDeadline(t *testing.T) {
	t.Parallel()
	certificate, trust := lent(t)
	for _, after := range []time.Duration{time.Second, time.Minute} {
		t.Run(after.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ended := make(chan any, 1)
				listener := newPipes()
				start(t, server.Config{Listener: listener, TLS: certificate, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					body := r.Body
					_, _ = io.ReadFull(body, make([]byte, 4))
					go func() {
						defer func() { ended <- recover() }()
						time.Sleep(after)
						_, _ = io.Copy(io.Discard, body)
					}()
					_, _ = io.WriteString(w, "early")
				})})
				settings := trust.Clone()
				settings.NextProtos, settings.ServerName = []string{"h2"}, "127.0.0.1"
				p := peerOver(t, tls.Client(listener.dial(t), settings))
				go func() {
					p.greet(t)
					p.ask(1, false, ":method: POST")
					_ = p.framer.WriteData(1, true, []byte("half"))
				}()
				if said := p.said(1); !strings.HasSuffix(said, "early") {
					t.Errorf("answered %s", said)
				}
				go p.said(0)
				if cause := <-ended; cause != nil {
					t.Errorf("who read the body panicked: %v", cause)
				}
			})
		})
	}
}
