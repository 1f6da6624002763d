package server_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/cosmosgate/cosmosgate/internal/server"
)

// peer is an HTTP/2 client that may send what it likes.
type peer struct {
	conn    net.Conn
	framer  *http2.Framer
	encoder *hpack.Encoder
	block   bytes.Buffer
}

func newPeer(t *testing.T, told chan<- server.Unreadable, handler http.Handler) *peer {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	certificate, trust := lent(t)
	refuse := func(w http.ResponseWriter, u server.Unreadable) {
		u.Source = strings.Split(u.Source, ":")[0]
		told <- u
		if u.Status != 0 {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("X-Ms-Activity-Id", strings.Repeat("a", 200))
			w.WriteHeader(u.Status)
			_, _ = io.WriteString(w, `{"code":"c","message":"m"}`)
		}
	}
	start(t, server.Config{Listener: listener, TLS: certificate, Handler: handler, Refuse: refuse})
	settings := trust.Clone()
	settings.NextProtos, settings.ServerName = []string{"h2"}, "127.0.0.1"
	conn, err := tls.Dial("tcp", listener.Addr().String(), settings)
	if err != nil {
		t.Fatal(err)
	}
	return peerOver(t, conn)
}

func peerOver(t *testing.T, conn net.Conn) *peer {
	t.Helper()
	t.Cleanup(func() { _ = conn.Close() })
	p := &peer{conn: conn, framer: http2.NewFramer(conn, conn)}
	p.framer.AllowIllegalWrites = true
	p.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	p.encoder = hpack.NewEncoder(&p.block)
	return p
}

func (p *peer) greet(t *testing.T, settings ...http2.Setting) {
	t.Helper()
	if _, err := io.WriteString(p.conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	if err := p.framer.WriteSettings(settings...); err != nil {
		t.Fatal(err)
	}
}

// ask opens a stream; fields of the form "name: value" come after the usual four, or in their place.
func (p *peer) ask(stream uint32, end bool, fields ...string) {
	p.block.Reset()
	usual := [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "h"}, {":path", "/"}}
	for _, field := range usual {
		for i, own := range fields {
			if value, ok := strings.CutPrefix(own, field[0]+": "); ok {
				field[1], fields[i] = value, ""
			}
		}
		_ = p.encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]})
	}
	for _, field := range fields {
		if name, value, ok := strings.Cut(field, ": "); ok {
			_ = p.encoder.WriteField(hpack.HeaderField{Name: name, Value: value})
		}
	}
	_ = p.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: p.block.Bytes(), EndHeaders: true, EndStream: end})
}

// said is what the server said on a stream: "400 application/json {…}", "reset 1", or "goaway 9" for all of them.
func (p *peer) said(stream uint32) string {
	text := ""
	for {
		frame, err := p.framer.ReadFrame()
		if err != nil {
			return text + "closed"
		}
		if f, ok := frame.(*http2.GoAwayFrame); ok && f.ErrCode != http2.ErrCodeNo {
			return "goaway " + strconv.Itoa(int(f.ErrCode))
		}
		if frame.Header().StreamID != stream || stream == 0 {
			continue
		}
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			kind, length := "", ""
			for _, field := range f.RegularFields() {
				switch field.Name {
				case "content-type":
					kind = field.Value
				case "content-length":
					length = field.Value
				}
			}
			text = f.PseudoValue("status") + " " + kind + " "
			if f.StreamEnded() {
				return text + "of " + length
			}
		case *http2.DataFrame:
			text += string(f.Data())
			if f.StreamEnded() {
				return strings.TrimRight(text, " ")
			}
		case *http2.RSTStreamFrame:
			return "reset " + strconv.Itoa(int(f.ErrCode))
		}
	}
}

func TestHTTP2RefusalsAreNativeOrTold(t *testing.T) {
	t.Parallel()
	const answer = `{"code":"c","message":"m"}`
	for name, test := range map[string]struct {
		fields []string
		said   string
		told   server.Unreadable // none: the handler answers
	}{
		"a connection header":        {[]string{"connection: close"}, "400 application/json " + answer, server.Unreadable{Status: 400, Reason: "not valid in HTTP/2", Room: 51}},
		"an upgrade":                 {[]string{"upgrade: h2c"}, "400 application/json " + answer, server.Unreadable{Status: 400, Reason: "not valid in HTTP/2", Room: 48}},
		"a transfer coding":          {[]string{"te: gzip"}, "400 application/json " + answer, server.Unreadable{Status: 400, Reason: "not valid in HTTP/2", Room: 53}},
		"an upgrade and no body":     {[]string{":method: HEAD", "upgrade: h2c"}, "400 application/json of 48", server.Unreadable{Status: 400, Reason: "not valid in HTTP/2", Room: 48}},
		"headers beyond the limit":   {[]string{"x: " + strings.Repeat("x", 12<<10)}, "431 application/json " + answer, server.Unreadable{Status: 431, Reason: "not valid in HTTP/2", Room: 63}},
		"no method":                  {[]string{":method: "}, "reset 1", server.Unreadable{Reason: "HTTP/2 stream error 1"}},
		"a name in upper case":       {[]string{"X-Y: z"}, "reset 1", server.Unreadable{Reason: "HTTP/2 stream error 1"}},
		"an escape that is none":     {[]string{":path: /%zz"}, "reset 1", server.Unreadable{Reason: "HTTP/2 stream error 1"}},
		"a handler's own refusal":    {[]string{":path: /refuse"}, "400 text/plain no", server.Unreadable{}},
		"a request that can be read": {nil, "200  of 0", server.Unreadable{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			told := make(chan server.Unreadable, 4)
			handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/refuse" {
					w.Header().Set("Content-Type", "text/plain")
					w.WriteHeader(http.StatusBadRequest)
					_, _ = io.WriteString(w, "no")
				}
			})
			p := newPeer(t, told, handler)
			p.greet(t)
			p.framer.SetMaxReadFrameSize(1 << 20)
			if strings.HasPrefix(test.said, "431") { // bigger than what is decoded, smaller than what ends the connection
				for range 11 {
					test.fields = append(test.fields, test.fields[0])
				}
			}
			p.askLong(test.fields)
			if diff := cmp.Diff(test.said, p.said(1)); diff != "" {
				t.Errorf("said (-want +got):\n%s", diff)
			}
			p.ask(3, true) // the connection goes on, and its header blocks can be read
			if got := p.said(3); got != "200  of 0" {
				t.Errorf("the next request: %s", got)
			}
			var got server.Unreadable
			select {
			case got = <-told:
				got.Source = ""
			default:
			}
			if diff := cmp.Diff(test.told, got); diff != "" {
				t.Errorf("told (-want +got):\n%s", diff)
			}
			if len(told) != 0 {
				t.Errorf("told twice: %v", <-told)
			}
		})
	}
}

// askLong opens stream 1 with a header block of several frames, if it needs them.
func (p *peer) askLong(fields []string) {
	long := 0
	for _, field := range fields {
		long += len(field)
	}
	if long < 1<<13 {
		p.ask(1, true, fields...)
		return
	}
	p.block.Reset()
	for _, field := range []string{":method: GET", ":scheme: https", ":authority: h", ":path: /"} {
		cut := strings.Index(field[1:], ": ") + 1
		_ = p.encoder.WriteField(hpack.HeaderField{Name: field[:cut], Value: field[cut+2:]})
	}
	for i, field := range fields {
		_, value, _ := strings.Cut(field, ": ")
		_ = p.encoder.WriteField(hpack.HeaderField{Name: "x" + strconv.Itoa(i), Value: value, Sensitive: true})
	}
	block := bytes.Clone(p.block.Bytes())
	const piece = 16 << 10
	for first := true; len(block) > 0; first = false {
		n := min(piece, len(block))
		last := n == len(block)
		if first {
			_ = p.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block[:n], EndHeaders: last, EndStream: true})
		} else {
			_ = p.framer.WriteContinuation(1, last, block[:n])
		}
		block = block[n:]
	}
}

func TestHTTP2ConnectionErrorsAreTold(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		send func(*testing.T, *peer)
		told string
	}{
		"a header block that cannot be decoded": {func(t *testing.T, p *peer) {
			t.Helper()
			p.greet(t)
			_ = p.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0xFF, 0xFF, 0xFF, 0xFF, 0x0F}, EndHeaders: true, EndStream: true})
		}, "HTTP/2 connection error 9"},
		"data on a stream that is not open": {func(t *testing.T, p *peer) {
			t.Helper()
			p.greet(t)
			_ = p.framer.WriteData(1, true, []byte("x"))
		}, "HTTP/2 connection error 1"},
		"HTTP/1.1 where HTTP/2 was agreed": {func(t *testing.T, p *peer) {
			t.Helper()
			_, _ = io.WriteString(p.conn, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		}, "client agreed on HTTP/2 and does not speak it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			told := make(chan server.Unreadable, 4)
			p := newPeer(t, told, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a handler was called") }))
			test.send(t, p)
			p.said(0)
			if diff := cmp.Diff(server.Unreadable{Reason: test.told, Source: "127.0.0.1"}, <-told); diff != "" {
				t.Errorf("told (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAResetOfAStreamThatAHandlerHasIsNotTold(t *testing.T) {
	t.Parallel()
	told := make(chan server.Unreadable, 4)
	reading := make(chan struct{})
	ended := make(chan error, 1)
	p := newPeer(t, told, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(reading)
		_, err := io.Copy(io.Discard, r.Body)
		ended <- err
	}))
	p.greet(t)
	p.ask(1, false, ":method: POST", "content-length: 9")
	<-reading
	_ = p.framer.WriteData(1, false, []byte("more than nine"))
	if got := p.said(1); got != "reset 1" {
		t.Errorf("said %s", got)
	}
	if err := <-ended; err == nil || errors.Is(err, io.EOF) {
		t.Errorf("the body ended with %v", err)
	}
	if len(told) != 0 {
		t.Errorf("told %v", <-told)
	}
}

// Trailers that come after the answer, for a stream that is forgotten by then, end the connection. The request has its record.
func TestTheEndOfAConnectionByLateTrailersIsNotTold(t *testing.T) {
	t.Parallel()
	told := make(chan server.Unreadable, 4)
	p := newPeer(t, told, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) }))
	p.greet(t)
	p.ask(1, false, ":method: POST")
	for forgotten := false; !forgotten; {
		frame, err := p.framer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		_, forgotten = frame.(*http2.RSTStreamFrame)
	}
	p.block.Reset()
	_ = p.encoder.WriteField(hpack.HeaderField{Name: "x-late", Value: "1"})
	_ = p.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: p.block.Bytes(), EndHeaders: true, EndStream: true})
	if got := p.said(0); got != "goaway 1" {
		t.Errorf("said %s", got)
	}
	if len(told) != 0 {
		t.Errorf("told %v", <-told)
	}
}

// A body that goes on after its answer is reset by net/http at any time, also while the next request is on its way to its handler.
func TestAResetOfAStreamThatWasAnsweredIsNotTold(t *testing.T) {
	t.Parallel()
	told := make(chan server.Unreadable, 1024)
	p := newPeer(t, told, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	p.greet(t)
	const last = 401
	var both bytes.Buffer
	p.framer = http2.NewFramer(&both, p.conn)
	p.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	for stream := uint32(1); stream <= last; stream += 2 {
		p.ask(stream, false, ":method: POST")
		if stream > 1 {
			_ = p.framer.WriteData(stream-2, true, []byte("late"))
		}
		if _, err := both.WriteTo(p.conn); err != nil {
			t.Fatal(err)
		}
		if got := p.said(stream); got != "403  of 0" {
			t.Fatalf("said %q on %d", got, stream)
		}
	}
	p.ask(last+2, true, ":method: ")
	_, _ = both.WriteTo(p.conn)
	if got := p.said(last + 2); !strings.HasPrefix(got, "reset") {
		t.Errorf("said %q to a request that is not valid", got)
	}
	want := server.Unreadable{Reason: "HTTP/2 stream error 1", Source: "127.0.0.1"}
	if diff := cmp.Diff(want, <-told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

// TestFramesOfManyStreamsPassWhole sends refusals among large answers: what the handlers write must arrive byte for byte.
func TestFramesOfManyStreamsPassWhole(t *testing.T) {
	t.Parallel()
	certificate, trust := lent(t)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	start(t, server.Config{
		Listener: listener, TLS: certificate, Refuse: refusals(make(chan server.Unreadable, 1000)),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n, _ := strconv.Atoi(r.URL.Query().Get("n"))
			w.Header().Set("X-N", strconv.Itoa(n))
			_, _ = w.Write(pattern(n))
		}),
	})
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: trust, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	var asking sync.WaitGroup
	for i := range 40 {
		asking.Go(func() {
			n := i * i * 997
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("https://%s/?n=%d", listener.Addr(), n), http.NoBody)
			if err != nil {
				t.Error(err)
				return
			}
			response, err := client.Do(request)
			if err != nil {
				t.Error(err)
				return
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if err != nil || !bytes.Equal(body, pattern(n)) || response.ProtoMajor != 2 || response.Header.Get("X-N") != strconv.Itoa(n) {
				t.Errorf("%d bytes of %d: %v", len(body), n, err)
			}
		})
	}
	asking.Wait()
}

// pattern is text that depends on its number and on the place in it.
func pattern(n int) []byte {
	text := make([]byte, n)
	for i := range text {
		text[i] = byte(n + i*7 + i>>8)
	}
	return text
}

func TestCiphersThatHTTP2BarsAreRefused(t *testing.T) {
	t.Parallel()
	certificate, trust := lent(t)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	certificate.MaxVersion = tls.VersionTLS12
	start(t, server.Config{Listener: listener, TLS: certificate, Handler: http.NotFoundHandler()})
	for cipher, want := range map[uint16]bool{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: true, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA: false} {
		settings := trust.Clone()
		settings.NextProtos, settings.ServerName, settings.CipherSuites = []string{"h2"}, "127.0.0.1", []uint16{cipher}
		conn, err := tls.Dial("tcp", listener.Addr().String(), settings)
		if err != nil {
			t.Fatal(err)
		}
		framer := http2.NewFramer(conn, conn)
		_, _ = io.WriteString(conn, http2.ClientPreface)
		_ = framer.WriteSettings()
		if _, err = framer.ReadFrame(); (err == nil) != want {
			t.Errorf("%s: %v", tls.CipherSuiteName(cipher), err)
		}
		_ = conn.Close()
	}
}
