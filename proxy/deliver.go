package proxy

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/cosmos"
)

// maxErrorBytes bounds an upstream error that is passed on.
const maxErrorBytes = 64 << 10

var (
	errResponseTooLarge = errors.New("response is larger than its limit")
	errNamesUpstream    = errors.New("error response names the upstream")
	errEncoding         = errors.New("response has an unknown or broken encoding")
)

// answer is an upstream response that is being passed on.
type answer struct {
	*http.Response

	ctx      context.Context //nolint:containedctx // the context of this response.
	patience *time.Timer     // ends ctx when upstream does not go on
}

// deliver passes the answer on, or says in its place why it can't.
func (p *Proxy) deliver(c *call, from *answer) {
	c.substatus = substatusOf(from.Header)
	c.readCharge(from.Header)
	c.forgetRID(from.StatusCode)
	if refusal := cosmos.CheckResponse(from.StatusCode, from.Header); refusal != nil {
		p.replace(c, from, refusal)
		return
	}
	c.dropNaming(from.Header)
	if refusal := p.stands(c); refusal != nil {
		p.withhold(c, from, refusal)
		return
	}
	switch {
	case from.StatusCode >= http.StatusBadRequest && c.withholds(from.StatusCode):
		discard(from.Response)
		c.outcome = audit.Complete
		c.detail = "the text of an error is withheld under a role that redacts"
		p.refuse(c, rewrapped(from))
	case from.StatusCode >= http.StatusBadRequest:
		p.deliverError(c, from)
	case c.minimal:
		// Upstream was asked for no content. What the caller may not read is not left to its courtesy.
		if c.op.Type == cosmos.OpPatchItem {
			discard(from.Response)
		}
		p.deliverBare(c, from)
	case c.redacts():
		p.deliverRedacted(c, from)
	case filtered(c.op) && from.StatusCode == http.StatusOK:
		p.deliverFeed(c, from)
	case filtered(c.op): // what was not asked for, and would go by unfiltered
		p.replace(c, from, cosmos.Unavailable("upstream answered a list with status "+strconv.Itoa(from.StatusCode)))
	default:
		p.stream(c, from)
	}
}

// readCharge notes what the request has cost so far. What is no cost is as good as none.
func (c *call) readCharge(h http.Header) {
	sent := h[headerCharge]
	if len(sent) == 0 {
		return
	}
	if charge, err := strconv.ParseFloat(sent[0], 64); err == nil && charge >= 0 && !math.IsInf(charge, 1) {
		c.charge, c.charged = c.earlier+charge, true
	}
}

// replace sends an error of ours in place of an answer that must not reach the caller.
func (p *Proxy) replace(c *call, from *answer, refusal *cosmos.Error) {
	if identityRefused(from.StatusCode, substatusOf(from.Header)) {
		p.metrics.rejections.WithLabelValues(c.account.name, c.decision.Identity).Inc()
		p.logger.Error("upstream refused the gate's own identity",
			"account", c.account.name, "identity", c.decision.Identity, "role", c.decision.Role,
			"status", from.StatusCode, "substatus", substatusOf(from.Header), "activity_id", c.activityID)
	}
	c.outcome = audit.Complete
	if refusal.Status >= http.StatusInternalServerError {
		c.outcome = audit.UpstreamFailure
	}
	c.detail = "upstream answered " + strconv.Itoa(from.StatusCode) + "/" + strconv.Itoa(c.substatus) + ": " + refusal.Reason
	if maybeExecuted(from.StatusCode) && c.op.Actions&writes != 0 {
		refusal = cosmos.OutcomeUnknown(refusal.Reason)
	}
	p.refuse(c, refusal)
}

// maybeExecuted says whether a replaced answer leaves open what became of the request:
// a page where a document should be, or an intermediary that lost the service.
func maybeExecuted(status int) bool {
	return status < http.StatusBadRequest || status == http.StatusBadGateway || status == http.StatusGatewayTimeout
}

// deliverError passes a native error on, unless it would tell the caller where upstream is.
func (p *Proxy) deliverError(c *call, from *answer) {
	text, err := p.readResponse(c, from, maxErrorBytes)
	c.outcome = audit.Complete
	if err == nil {
		text, err = decoded(text, from.Header, maxErrorBytes)
	} else if !errors.Is(err, errResponseTooLarge) {
		c.outcome = audit.UpstreamFailure
	}
	if err == nil && c.account.named(string(text)) {
		err = errNamesUpstream
	}
	if err == nil && len(text) == 0 {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		c.detail = err.Error()
		p.refuse(c, rewrapped(from))
		return
	}
	h := c.w.Header()
	cosmos.FilterResponse(h, from.Header)
	h.Del("Content-Encoding")
	h["Content-Length"] = []string{strconv.Itoa(len(text))}
	p.write(c, from.StatusCode, text)
}

// rewrapped is a native error with the status of an upstream error whose text is not passed on.
func rewrapped(from *answer) *cosmos.Error {
	return &cosmos.Error{
		Status: from.StatusCode, Substatus: substatusOf(from.Header),
		Code:       strings.ReplaceAll(http.StatusText(from.StatusCode), " ", ""),
		Message:    "The service answered with an error whose text is withheld.",
		RetryAfter: retryAfter(from.Header),
	}
}

func retryAfter(h http.Header) time.Duration {
	ms, err := strconv.ParseInt(h.Get("X-Ms-Retry-After-Ms"), 10, 64)
	if err != nil {
		return 0
	}
	return time.Duration(ms) * time.Millisecond
}

// decoded is a text without its content coding, up to a limit.
func decoded(text []byte, h http.Header, limit int64) ([]byte, error) {
	switch encoding := h.Get("Content-Encoding"); strings.ToLower(encoding) {
	case "", "identity":
		return text, nil
	case "gzip":
		reader, err := gzip.NewReader(bytes.NewReader(text))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errEncoding, err)
		}
		plain, err := io.ReadAll(io.LimitReader(reader, limit+1))
		switch {
		case err != nil:
			return nil, fmt.Errorf("%w: %w", errEncoding, err)
		case int64(len(plain)) > limit:
			return nil, errResponseTooLarge
		default:
			return plain, nil
		}
	default:
		return nil, fmt.Errorf("%w: %s", errEncoding, encoding)
	}
}

// readResponse reads a response that is needed whole.
func (p *Proxy) readResponse(c *call, from *answer, limit int64) ([]byte, error) {
	began := p.now()
	from.patience.Reset(p.limits.UpstreamTimeout)
	whole, err := io.ReadAll(io.LimitReader(from.Body, limit+1))
	c.upstreamTime += p.now().Sub(began)
	if end := from.ended(); err == nil && int64(len(whole)) <= limit && !errors.Is(end, io.EOF) {
		err = end
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading response: %w", err)
	case int64(len(whole)) > limit:
		return nil, errResponseTooLarge
	default:
		return whole, nil
	}
}

// upstreamFault is the answer to a response that could not be read or understood.
func (c *call) upstreamFault(err error) error {
	if c.left() {
		c.clientGone(err)
		return err
	}
	if cause := c.cut(); cause != nil {
		return c.cutOff(cause)
	}
	c.outcome = audit.UpstreamFailure
	if c.op.Actions&writes != 0 {
		return cosmos.OutcomeUnknown(err.Error())
	}
	return cosmos.Unavailable(err.Error())
}

// write sends a whole body.
func (p *Proxy) write(c *call, status int, whole []byte) {
	p.boundWrite(c)
	c.outcome = audit.Complete
	began := p.now()
	c.w.Header()[headerActivityID] = []string{c.activityID}
	c.w.WriteHeader(status)
	_, err := c.w.Write(whole)
	c.callerTime += p.now().Sub(began)
	if err != nil {
		c.clientGone(err)
	}
}

// boundWrite bounds how long the caller may take to read what is sent, a refused body
// that the server still waits for included.
func (p *Proxy) boundWrite(c *call) {
	// A server that can't set deadlines, such as a test's, has no slow callers either.
	_ = http.NewResponseController(&c.w).SetWriteDeadline(p.now().Add(p.limits.TransferTimeout + lingerTimeout))
}

// forgetRID drops the names behind RIDs that upstream says are gone.
func (c *call) forgetRID(status int) {
	const (
		ownerGone = 1000
		recreated = 1024
	)
	if c.op.ContainerRID == "" && c.op.DatabaseRID == "" {
		return
	}
	gone := status == http.StatusNotFound ||
		status == http.StatusGone && c.substatus == ownerGone ||
		status == http.StatusBadRequest && c.substatus == recreated
	if !gone {
		return
	}
	for _, text := range []string{c.op.DatabaseRID, c.op.ContainerRID} {
		if rid, err := cosmos.ParseRID(text); err == nil {
			c.account.rids.forget(rid)
		}
	}
}

// dropNaming removes headers that would tell the caller where upstream is.
func (c *call) dropNaming(h http.Header) {
	for name, values := range h {
		if slices.ContainsFunc(values, c.account.named) {
			delete(h, name)
		}
	}
}
