package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/cosmos"
)

const (
	// smallBody is the largest declared body that is read before it is forwarded,
	// although nothing in it matters to the gate.
	smallBody  = 64 << 10
	bufferSize = 32 << 10
)

var (
	errBodyTooLarge = errors.New("request body is larger than its limit")
	errBodyRead     = errors.New("request body could not be read")
	errLost         = errors.New("caller has lost access")
)

// lend returns a buffer to copy a response through; all are of one size.
func (p *Proxy) lend() *[]byte {
	if buffer, ok := p.buffers.Get().(*[]byte); ok {
		return buffer
	}
	return new(make([]byte, bufferSize))
}

// giveBack keeps a buffer for another call, unless this call's answer may still be
// sent from it.
func (p *Proxy) giveBack(c *call, buffer *[]byte) {
	if !c.w.failed {
		p.buffers.Put(buffer)
	}
}

// body is the body of a call: held whole, or streamed from the caller.
type body struct {
	source io.ReadCloser
	limit  int64
	length int64 // as declared; -1 unknown
	held   []byte
	stream *upload

	received bool  // to its end
	budgeted int64 // bytes taken from what may be held at once
}

// whole says whether the body can be sent once more.
func (b *body) whole() bool { return b.stream == nil }

// gone says whether all that was announced was passed on. Its end may still be to come, which HTTP/2 tells apart, while upstream has
// the whole and acts on it.
func (b *body) gone() bool { return b.stream != nil && b.stream.passedOn() == b.length }

// fault is why a body that was streamed could not be read to its end, as [upload.fault] has it; nil if it could.
func (b *body) fault(late bool) error {
	if b.stream == nil {
		return nil
	}
	return b.stream.fault(late)
}

// read is how many bytes the caller sent.
func (b *body) read() int64 {
	if b.stream != nil {
		return b.stream.count()
	}
	return int64(len(b.held))
}

// open returns what to send upstream: a reader, and its length.
func (b *body) open() (io.ReadCloser, int64) {
	switch {
	case len(b.held) > 0:
		return io.NopCloser(bytes.NewReader(b.held)), int64(len(b.held))
	case b.held != nil, b.length == 0:
		return http.NoBody, 0
	default:
		b.stream = &upload{source: b.source, left: b.limit}
		return b.stream, b.length
	}
}

// again returns the held body once more.
func (b *body) again() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(b.held)), nil
}

// readWhole reads the body into memory, as far as its limit allows.
func (p *Proxy) readWhole(c *call) error {
	size := c.body.length
	if size < 0 {
		size = c.body.limit
	}
	if !p.hold(c, size) {
		return cosmos.Busy(busyRetryAfter)
	}
	began := p.now()
	control := http.NewResponseController(&c.w)
	// A server that can't set deadlines, such as a test's, has no slow callers either.
	_ = control.SetReadDeadline(began.Add(p.limits.TransferTimeout))
	held, err := readBounded(c.body.source, c.body.length, c.body.limit)
	c.callerTime += p.now().Sub(began)
	switch {
	case err == nil:
		// Left in place, the deadline would end the request while upstream works on it.
		_ = control.SetReadDeadline(time.Time{})
		c.body.held, c.body.received = held, true
		return nil
	case errors.Is(err, errBodyTooLarge):
		return cosmos.TooLarge(c.body.limit)
	default:
		return c.unreadable(err)
	}
}

// unreadable is the answer to a body that ended early or came too slowly.
func (c *call) unreadable(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.late = true
		return &cosmos.Error{
			Status: http.StatusRequestTimeout, Code: "RequestTimeout",
			Message: "The request body was not received in time.", Reason: err.Error(),
		}
	}
	if c.left() {
		c.clientGone(err)
	}
	if cause := c.cut(); cause != nil {
		c.outcome, c.verdict = audit.Internal, audit.Error
		return cosmos.Unavailable(cause.Error())
	}
	refusal := cosmos.Malformed("the request body ended early or is malformed")
	refusal.Reason = err.Error()
	return refusal
}

func readBounded(from io.Reader, length, limit int64) ([]byte, error) {
	if length > limit {
		return nil, errBodyTooLarge
	}
	if length >= 0 {
		held := make([]byte, length)
		if _, err := io.ReadFull(from, held); err != nil {
			return nil, fmt.Errorf("%w: %w", errBodyRead, err)
		}
		return held, nil
	}
	held, err := io.ReadAll(io.LimitReader(from, limit+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBodyRead, err)
	}
	if int64(len(held)) > limit {
		return nil, errBodyTooLarge
	}
	return held, nil
}

// upload streams the caller's body upstream. The transport may still be reading it
// when the answer is there, so everything about it is behind a lock.
type upload struct {
	source io.ReadCloser
	goOn   func() error // asked before each part is passed on

	mu      sync.Mutex
	left    int64
	sent    int64
	passed  int64 // on to the transport
	waiting bool  // for the caller
	failed  error
}

// Read implements [io.Reader]. Reading past the limit fails, and so does reading on for
// a caller who has lost access meanwhile, which makes the transport give the request
// up: upstream does nothing with a part.
func (u *upload) Read(b []byte) (int, error) {
	u.await()
	n, err := u.source.Read(b)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.waiting = false
	u.sent += int64(n)
	u.left -= int64(n)
	switch {
	case u.left < 0:
		u.failed = errBodyTooLarge
		return 0, errBodyTooLarge
	case err != nil && !errors.Is(err, io.EOF):
		u.failed = fmt.Errorf("%w: %w", errBodyRead, err)
	default:
		if refusal := u.goOn(); refusal != nil {
			u.failed = fmt.Errorf("%w: %w", errLost, refusal)
			return 0, u.failed
		}
	}
	u.passed += int64(n)
	return n, err //nolint:wrapcheck // io.EOF must arrive as it is.
}

func (u *upload) await() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.waiting = true
}

// Close implements [io.Closer]. The server closes the caller's body itself.
func (*upload) Close() error { return nil }

func (u *upload) count() int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.sent
}

func (u *upload) passedOn() int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.passed
}

// fault is why the body could not be read to its end; nil if it could. When time has
// run out, a caller that has yet to send is to blame, not upstream.
func (u *upload) fault(late bool) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.failed == nil && u.waiting && late {
		return os.ErrDeadlineExceeded
	}
	return u.failed
}
