package server

import (
	"errors"
	"io"
	"net/http"
	"time"
)

const (
	// pieceBytes is the largest piece of a response for which a client gets the whole stall timeout.
	pieceBytes = 64 << 10
	// rearmFraction: a deadline is moved only after this fraction of the stall timeout, because moving it is not free.
	rearmFraction = 8
)

// patience bounds how long a client may keep a handler waiting, for each piece of a body instead of for the whole of it: a large
// document over a slow line is welcome, a client that stands still is not.
type patience struct {
	next  http.Handler
	stall time.Duration
}

// ServeHTTP gives the next handler a body and a writer that move the connection's deadlines along.
func (p *patience) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	restoreTLS(r)
	x := &exchange{ResponseWriter: w, control: http.NewResponseController(w), stall: p.stall}
	if r.Body != nil && r.Body != http.NoBody {
		x.body = r.Body
		r.Body = requestBody{x}
	}
	p.next.ServeHTTP(x, r)
	_ = x.awaitWrite() // net/http sends what it has buffered after the handler returned
}

// exchange is one request and its response. Like a ResponseWriter, it belongs to the handler's goroutine, but its body may be read by another.
type exchange struct {
	http.ResponseWriter

	control *http.ResponseController
	body    io.ReadCloser
	stall   time.Duration

	reading, writing time.Time // when the deadlines were last moved
}

// Unwrap is for http.ResponseController.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

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
		if err != nil || written == len(p) {
			return written, err //nolint:wrapcheck // A plain decorator.
		}
	}
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

func (x *exchange) awaitWrite() error {
	now := time.Now()
	if now.Sub(x.writing) < x.stall/rearmFraction {
		return nil
	}
	x.writing = now
	return unlessUnsupported(x.control.SetWriteDeadline(now.Add(x.stall)))
}

// requestBody is the body of an exchange.
type requestBody struct{ x *exchange }

// Read waits for the next piece of the body no longer than the stall timeout.
func (b requestBody) Read(p []byte) (int, error) {
	now := time.Now()
	if b.x.reading.IsZero() {
		// The first read may send "100 Continue", and the deadline of the connection's previous response may have passed.
		if err := unlessUnsupported(b.x.control.SetWriteDeadline(now.Add(b.x.stall))); err != nil {
			return 0, err
		}
	}
	if now.Sub(b.x.reading) >= b.x.stall/rearmFraction {
		b.x.reading = now
		if err := unlessUnsupported(b.x.control.SetReadDeadline(now.Add(b.x.stall))); err != nil {
			return 0, err
		}
	}
	n, err := b.x.body.Read(p)
	if errors.Is(err, io.EOF) {
		// From here on net/http reads ahead to notice a client that leaves; a deadline would look like one.
		if unset := unlessUnsupported(b.x.control.SetReadDeadline(time.Time{})); unset != nil {
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
