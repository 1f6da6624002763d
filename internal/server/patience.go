package server

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
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

	reading, writing       time.Time    // when the deadlines were last moved
	readBefore, doneBefore atomic.Int64 // the handler's own deadlines in Unix ns, which are kept; 0 if it set none
}

// SetReadDeadline sets a deadline of the handler's own, for http.ResponseController. Later pieces do not move it.
func (x *exchange) SetReadDeadline(at time.Time) error {
	keep(&x.readBefore, at)
	return x.control.SetReadDeadline(at) //nolint:wrapcheck // A plain decorator.
}

// SetWriteDeadline sets a deadline of the handler's own, for http.ResponseController. Later pieces do not move it.
func (x *exchange) SetWriteDeadline(at time.Time) error {
	keep(&x.doneBefore, at)
	return x.control.SetWriteDeadline(at) //nolint:wrapcheck // A plain decorator.
}

func keep(deadline *atomic.Int64, at time.Time) {
	if at.IsZero() {
		deadline.Store(0)
		return
	}
	deadline.Store(at.UnixNano())
}

// moved is the deadline for a piece that begins now.
func (x *exchange) moved(now time.Time, own *atomic.Int64) time.Time {
	next := now.Add(x.stall)
	if before := own.Load(); before != 0 && before < next.UnixNano() {
		return time.Unix(0, before)
	}
	return next
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
	return unlessUnsupported(x.control.SetWriteDeadline(x.moved(now, &x.doneBefore)))
}

// requestBody is the body of an exchange.
type requestBody struct{ x *exchange }

// Read waits for the next piece of the body no longer than the stall timeout.
func (b requestBody) Read(p []byte) (int, error) {
	now := time.Now()
	if b.x.reading.IsZero() {
		// The first read may send "100 Continue", and the deadline of the connection's previous response may have passed.
		if err := unlessUnsupported(b.x.control.SetWriteDeadline(b.x.moved(now, &b.x.doneBefore))); err != nil {
			return 0, err
		}
	}
	if now.Sub(b.x.reading) >= b.x.stall/rearmFraction {
		b.x.reading = now
		if err := unlessUnsupported(b.x.control.SetReadDeadline(b.x.moved(now, &b.x.readBefore))); err != nil {
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
