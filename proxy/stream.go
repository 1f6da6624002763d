package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/cosmos"
)

// stream passes a response on as it comes. Nothing is sent before its first bytes are
// there, so that a response that breaks off at once becomes a clean error.
func (p *Proxy) stream(c *call, from *answer) {
	if from.ContentLength > p.limits.MaxResponseBytes {
		p.refuse(c, c.upstreamFault(errResponseTooLarge))
		return
	}
	lent := p.lend()
	defer p.giveBack(c, lent)
	buffer := *lent

	n, err := p.next(c, from, buffer)
	if err != nil && !errors.Is(err, io.EOF) {
		p.refuse(c, p.brokenOff(c, from, err))
		return
	}
	if refusal := p.stands(c); refusal != nil { // its first bytes took time
		from.hold(buffer[:n])
		p.withhold(c, from, refusal)
		return
	}
	p.begin(c, from)
	flusher := http.NewResponseController(&c.w)
	for {
		if refusal := p.stands(c); refusal != nil {
			p.cutShort(c, from, refusal)
			c.detail = detailOf(refusal)
			return
		}
		if n > 0 && !p.pass(c, buffer[:n]) {
			return
		}
		switch {
		case errors.Is(err, io.EOF):
			c.outcome = audit.Complete
			return
		case err != nil:
			p.cutShort(c, from, err)
			return
		case c.w.bytes > p.limits.MaxResponseBytes:
			p.cutShort(c, from, errResponseTooLarge)
			return
		case p.now().Sub(c.start) > p.limits.UpstreamTimeout+p.limits.TransferTimeout:
			p.cutShort(c, from, errTooSlow)
			return
		case from.ContentLength < 0:
			// The length is unknown: what has come may be all for a while. A failure
			// shows in the next write.
			_ = flusher.Flush()
		}
		n, err = p.next(c, from, buffer)
	}
}

// next reads what upstream has to say, within its bound. A read that brings both bytes
// and an end returns both.
func (p *Proxy) next(c *call, from *answer, buffer []byte) (int, error) {
	from.patience.Reset(p.limits.UpstreamTimeout)
	began := p.now()
	n, err := from.Body.Read(buffer)
	c.upstreamTime += p.now().Sub(began)
	from.patience.Stop()
	if errors.Is(err, io.EOF) {
		err = from.ended()
	}
	return n, err
}

// hold puts what was read of the body back in front of it.
func (from *answer) hold(read []byte) {
	from.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(bytes.Clone(read)), from.Body), from.Body}
}

// ended is what the end of the body means: io.EOF, unless the request had been given up by then. Some servers end a
// response of unknown length in due form when its connection goes away, and it would pass for whole.
func (from *answer) ended() error {
	if from.ContentLength < 0 && from.ctx.Err() != nil {
		return context.Cause(from.ctx) //nolint:wrapcheck // says itself why.
	}
	return io.EOF
}

// begin sends the status and the headers.
func (p *Proxy) begin(c *call, from *answer) {
	h := c.w.Header()
	cosmos.FilterResponse(h, from.Header)
	if _, sent := h[headerActivityID]; !sent {
		h[headerActivityID] = []string{c.activityID}
	}
	if _, sent := h["Content-Length"]; !sent && from.ContentLength > 0 {
		h["Content-Length"] = []string{strconv.FormatInt(from.ContentLength, 10)}
	}
	p.boundWrite(c)
	c.w.WriteHeader(from.StatusCode)
}

// pass sends one piece on; false if the caller takes no more.
func (p *Proxy) pass(c *call, piece []byte) bool {
	began := p.now()
	_, err := c.w.Write(piece)
	c.callerTime += p.now().Sub(began)
	if err == nil {
		return true
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("caller reads too slowly: %w", err)
	}
	c.clientGone(err)
	return false
}

// brokenOff is the answer to a response of which nothing was passed on.
func (p *Proxy) brokenOff(c *call, from *answer, err error) error {
	answered := c.upstreamFault(err)
	if c.outcome == audit.UpstreamFailure && errors.Is(context.Cause(from.ctx), errUpstreamTimeout) {
		c.outcome = audit.UpstreamTimeout
	}
	return answered
}

// cutShort ends a response that has begun and can't be finished. The connection is
// broken, or the caller would take a part for the whole.
func (p *Proxy) cutShort(c *call, from *answer, err error) {
	c.broken = true
	if c.left() {
		c.clientGone(err)
		return
	}
	// What was written so far goes out, so that the record's status and bytes are true.
	_ = http.NewResponseController(&c.w).Flush()
	c.outcome = audit.Partial
	c.detail = err.Error()
	if cause := context.Cause(from.ctx); cause != nil {
		c.detail = cause.Error()
	}
	if c.cut() != nil {
		c.outcome = audit.Internal
	}
}
