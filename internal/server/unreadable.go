package server

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
)

// Unreadable is a request that net/http could not read, and therefore never showed to a handler: a malformed request line or header,
// an escape in the path that is none, a header beyond MaxHeaderBytes, an expectation that nobody can meet, malformed HTTP/2.
type Unreadable struct {
	Status int    // what net/http would answer: 400, 417, 431 or 501; 0 if it resets the stream or ends the connection without an answer
	Reason string // what it would say, a text of its own without anything from the request
	Source string // network address of the client, with its port
	Room   int    // how long the answer's body may be at most; 0: as long as it likes
}

// Refuse answers a request that could not be read. Content-Length and Connection are added to the header.
type Refuse func(http.ResponseWriter, Unreadable)

// net/http writes its own refusals in a single write, as a status line, these headers, and the text once more.
// No response of a handler looks like it: those have a Date.
const refusalHeaders = "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"

// handling says that a connection's bytes are a handler's, who may send whatever text there is, or net/http's own.
type handling struct{ on atomic.Bool }

func (h *handling) set(on bool) { h.on.Store(on) }

// handlingKey is the key of a connection's handling in the contexts of its requests.
type handlingKey struct{}

func rememberHandling(ctx context.Context, conn net.Conn) context.Context {
	if h, ok := conn.(interface{ set(on bool) }); ok {
		return context.WithValue(ctx, handlingKey{}, h)
	}
	return ctx
}

// handled says that a handler has got the request: until the connection rests, no byte on it is a refusal of net/http.
func handled(r *http.Request) {
	if h, ok := r.Context().Value(handlingKey{}).(interface{ set(on bool) }); ok {
		h.set(true)
	}
}

// rested is the hook of http.Server for connections that wait for their next request.
func rested(conn net.Conn, state http.ConnState) {
	if h, ok := conn.(interface{ set(on bool) }); ok && state == http.StateIdle {
		h.set(false)
	}
}

// replace returns what to write instead of p if p is net/http's own refusal, and nil if it is not. To an expectation that it does not know,
// net/http answers 417 as a handler would, with a Date; p is never a handler's.
func (refuse Refuse) replace(p []byte, source string) []byte {
	const version = len("HTTP/1.x ")
	if refuse == nil || len(p) < version || !bytes.HasPrefix(p, []byte("HTTP/1.")) {
		return nil
	}
	rest := p[version:]
	line, _, ok := bytes.Cut(rest, []byte("\r\n"))
	if !ok || !bytes.HasPrefix(rest[len(line):], []byte(refusalHeaders)) && !bytes.HasPrefix(line, []byte("417 ")) {
		return nil
	}
	code, text, _ := strings.Cut(string(line), " ")
	status, err := strconv.Atoi(code)
	if err != nil {
		return nil
	}
	return refuse.answer(Unreadable{Status: status, Reason: text, Source: source})
}

// answer returns the bytes of a whole response.
func (refuse Refuse) answer(u Unreadable) []byte {
	r := refusal{status: u.Status, header: make(http.Header)}
	refuse(&r, u)
	r.header.Set("Content-Length", strconv.Itoa(r.body.Len()))
	r.header.Set("Connection", "close")
	var all bytes.Buffer
	all.WriteString("HTTP/1.1 " + strconv.Itoa(r.status) + " " + http.StatusText(r.status) + "\r\n")
	_ = r.header.Write(&all) // a buffer never fails
	all.WriteString("\r\n")
	all.Write(r.body.Bytes())
	return all.Bytes()
}

// refusal is a response in memory.
type refusal struct {
	status int
	header http.Header
	body   bytes.Buffer
}

// Header returns the response's header.
func (r *refusal) Header() http.Header { return r.header }

// WriteHeader sets the status.
func (r *refusal) WriteHeader(status int) { r.status = status }

// Write adds to the body.
func (r *refusal) Write(p []byte) (int, error) { return r.body.Write(p) } //nolint:wrapcheck // A buffer never fails.
