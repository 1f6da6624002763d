package server

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

const (
	// pieceBytes is the largest piece of a response for which a client gets the whole stall timeout.
	pieceBytes = 64 << 10
	// rearmFraction: a deadline is moved only after this fraction of the stall timeout, because moving it is not free.
	rearmFraction = 8
	// shortBytes is an answer that net/http sends when the handler has returned, and shortFraction the part of the stall timeout that a client
	// of HTTP/2 has to take it: it may ask for many without letting any of them through, before anybody knows who it is.
	shortBytes    = 4 << 10
	shortFraction = 6
)

// patience bounds how long a client may keep a handler waiting, for each piece of a body instead of for the whole of it: a large
// document over a slow line is welcome, a client that stands still is not. It takes 64 KiB of a response within the stall timeout.
type patience struct {
	next  http.Handler
	stall time.Duration
}

// ServeHTTP gives the next handler a body and a writer that move the connection's deadlines along.
func (p *patience) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	restoreTLS(r)
	handled(r)
	if endsConnection(r) {
		w.Header().Set("Connection", "close")
	}
	x := &exchange{ResponseWriter: w, control: *http.NewResponseController(w), stall: p.stall, received: true}
	if r.Body != nil && r.Body != http.NoBody {
		x.body, x.received = r.Body, false
		r.Body = requestBody{x}
	}
	defer x.end()
	p.next.ServeHTTP(x, r)
	x.finish(r.ProtoMajor)
}

// endsConnection says that nothing may follow the request on its connection. Whoever stands in front may have read its length otherwise: net/http
// hides a Content-Length beside chunks, after which RFC 9112 (section 6.1) wants the connection closed, and the chunks of HTTP/1.0.
func endsConnection(r *http.Request) bool {
	return r.ProtoMajor == 1 && (len(r.TransferEncoding) > 0 || r.ProtoMinor == 0)
}

// exchange is one request and its response. Like a ResponseWriter, it belongs to the handler's goroutine, but its body may be read by another.
type exchange struct {
	http.ResponseWriter

	control http.ResponseController
	body    io.ReadCloser
	stall   time.Duration
	written int64

	mu                 sync.Mutex
	received           bool      // the body, to its end
	over               bool      // the handler has returned
	reading, writing   time.Time // when the deadlines were last moved
	readTill, sendTill time.Time // the handler's own deadlines, which are kept; zero if it set none
}

// Unwrap is for http.ResponseController.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// SetReadDeadline sets a deadline of the handler's own, for http.ResponseController. Later pieces do not move it.
func (x *exchange) SetReadDeadline(at time.Time) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.readTill = at
	return x.control.SetReadDeadline(at) //nolint:wrapcheck // A plain decorator.
}

// SetWriteDeadline sets a deadline of the handler's own, for http.ResponseController. Later pieces do not move it.
func (x *exchange) SetWriteDeadline(at time.Time) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.sendTill = at
	return x.control.SetWriteDeadline(at) //nolint:wrapcheck // A plain decorator.
}

// Write writes p in pieces, each with time of its own.
func (x *exchange) Write(p []byte) (int, error) {
	written := 0
	for {
		if err := x.awaitWrite(); err != nil {
			return written, err
		}
		piece := p[written:]
		piece = piece[:min(len(piece), pieceBytes)]
		n, err := x.ResponseWriter.Write(piece)
		written += n
		x.written += int64(n)
		if err != nil || written == len(p) {
			return written, err //nolint:wrapcheck // A plain decorator.
		}
	}
}

// finish gives the client time to take what net/http has buffered, and sends now that the handler has returned.
func (x *exchange) finish(protocol int) {
	_ = x.awaitWrite()
	if protocol > 1 && x.written <= shortBytes {
		x.mu.Lock()
		defer x.mu.Unlock()
		_ = x.control.SetWriteDeadline(earlier(time.Now().Add(x.stall/shortFraction), x.sendTill)) // as awaitWrite does
	}
}

// end keeps who still reads the body, as a transport does whose answer came early, from moving deadlines. Over HTTP/2 there is no writer by
// then, and asking it would panic where nobody recovers; over HTTP/1 they are those of the next request.
func (x *exchange) end() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.over = true
}

// FlushError sends what is buffered.
func (x *exchange) FlushError() error {
	if err := x.awaitWrite(); err != nil {
		return err
	}
	return x.control.Flush() //nolint:wrapcheck // A plain decorator.
}

// Flush is FlushError for callers that look for http.Flusher.
func (x *exchange) Flush() { _ = x.FlushError() }

// awaitWrite gives the client time to take a piece of the response. Before the first of it, net/http reads what is left of the body:
// half the time is for that, so that the other half is left for the response.
func (x *exchange) awaitWrite() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	now := time.Now()
	if !x.received {
		if err := x.moveRead(now, x.stall/2); err != nil { //nolint:mnd // Half.
			return err
		}
	}
	if x.rests(x.writing, now) {
		return nil
	}
	return x.moveWrite(now)
}

// awaitRead gives the client time to send a piece of the body.
func (x *exchange) awaitRead() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over {
		return http.ErrBodyReadAfterClose
	}
	now := time.Now()
	if x.reading.IsZero() {
		// The first read may send "100 Continue", and the deadline of the connection's previous response may have passed.
		if err := x.moveWrite(now); err != nil {
			return err
		}
	}
	return x.moveRead(now, x.stall)
}

// finishRead says that nothing more of the body is to come. If that is because of its end, the bound on reading ends too: from here on
// net/http reads ahead to notice a client that leaves, and would take a deadline for one.
func (x *exchange) finishRead(why error) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.received = true
	if x.over || !errors.Is(why, io.EOF) {
		return nil
	}
	return unlessUnsupported(x.control.SetReadDeadline(time.Time{}))
}

// rests says that a deadline was moved so lately that it can stay.
func (x *exchange) rests(moved, now time.Time) bool { return now.Sub(moved) < x.stall/rearmFraction }

func (x *exchange) moveRead(now time.Time, bound time.Duration) error {
	if x.rests(x.reading, now) {
		return nil
	}
	x.reading = now
	return unlessUnsupported(x.control.SetReadDeadline(earlier(now.Add(bound), x.readTill)))
}

func (x *exchange) moveWrite(now time.Time) error {
	x.writing = now
	return unlessUnsupported(x.control.SetWriteDeadline(earlier(now.Add(x.stall), x.sendTill)))
}

// earlier is at, or the handler's own deadline if it has one and that comes first.
func earlier(at, own time.Time) time.Time {
	if !own.IsZero() && own.Before(at) {
		return own
	}
	return at
}

// requestBody is the body of an exchange.
type requestBody struct{ x *exchange }

// Read waits for the next piece of the body no longer than the stall timeout.
func (b requestBody) Read(p []byte) (int, error) {
	if err := b.x.awaitRead(); err != nil {
		return 0, err
	}
	n, err := b.x.body.Read(p)
	if err != nil {
		if unset := b.x.finishRead(err); unset != nil {
			return n, unset
		}
	}
	return n, err //nolint:wrapcheck // A plain decorator.
}

// Close closes the body.
func (b requestBody) Close() error { return b.x.body.Close() } //nolint:wrapcheck // A plain decorator.

// unlessUnsupported lets writers without deadlines pass, as in tests with a recorder.
func unlessUnsupported(err error) error {
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}
