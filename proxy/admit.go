package proxy

import (
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/cosmos"
)

// lingerTimeout bounds the wait for a body that is not wanted any more.
const lingerTimeout = 5 * time.Second

// busyRetryAfter is what callers beyond the in-flight cap are told.
const busyRetryAfter = time.Second

// admit takes a request through every check. A nil error means that it may be
// forwarded, or answered by the gate itself; any other ends it.
func (p *Proxy) admit(c *call) error {
	if c.crowded {
		return cosmos.Busy(busyRetryAfter)
	}
	if err := p.sanitize(c); err != nil {
		return err
	}
	c.age = p.cfg.Freshness.age(c.start)
	if err := p.authenticate(c); err != nil {
		return err
	}
	if err := p.enter(c); err != nil {
		return err
	}
	if err := p.classify(c); err != nil {
		return err
	}
	if err := p.resolve(c); err != nil {
		return err
	}
	if err := p.authorize(c); err != nil {
		return err
	}
	if err := p.fresh(c); err != nil {
		return err
	}
	if err := p.oblige(c); err != nil {
		return err
	}
	if err := p.collect(c); err != nil {
		return err
	}
	if err := p.exchange(c); err != nil {
		return err
	}
	return p.reserve(c)
}

// sanitize finds the account and reads the request as the one thing it can mean.
func (p *Proxy) sanitize(c *call) error {
	if c.account, c.keyID = p.accountOf(c.r.Host); c.account == nil {
		return cosmos.Malformed("the host name of the request belongs to no account")
	}
	request, err := cosmos.Sanitize(c.r)
	if err != nil {
		return err
	}
	c.request = request
	// Two of them would let a proxy in front and the gate read different ones.
	switch roles := c.r.Header[headerRole]; len(roles) {
	case 0:
	case 1:
		c.role = roles[0]
	default:
		return cosmos.Malformed("the header " + headerRole + " is given twice")
	}
	if stripped := request.Stripped(); len(stripped) > 0 {
		p.metrics.stripped.Add(float64(len(stripped)))
	}
	return nil
}

// classify says what the request does, reading the body only where that depends on it.
func (p *Proxy) classify(c *call) error {
	limit, inspect := c.request.BodyLimit()
	if limit > 0 && c.r.ContentLength > limit {
		return cosmos.TooLarge(limit)
	}
	c.body = body{source: c.r.Body, limit: limit, length: c.r.ContentLength}
	if inspect {
		if err := p.readWhole(c); err != nil {
			return err
		}
	}
	op, err := cosmos.Classify(c.request, c.body.held)
	if err != nil {
		return err
	}
	c.op = op
	if n := len(op.PartitionKeys); n > 0 {
		c.keys = slices.Grow(c.oneKey[:0], n)
		for _, key := range op.PartitionKeys {
			c.keys = append(c.keys, key)
		}
	}
	if op.Disposition != cosmos.Forward && op.Refusal != nil {
		return op.Refusal
	}
	if op.Disposition == cosmos.Forward || op.Type == cosmos.OpReadAccount {
		return nil
	}
	return cosmos.Unsupported(op.Type.String())
}

// collect reads the rest of what must be held whole before it is forwarded: a small
// body, so that upstream never sees half of one and a refused token costs nothing,
// and the text of a query whose answer will be filtered.
func (p *Proxy) collect(c *call) error {
	if err := p.checkFeedQuery(c); err != nil {
		return err
	}
	if c.body.held == nil && c.body.length > 0 && c.body.length <= smallBody {
		return p.readWhole(c)
	}
	return nil
}

// exchange swaps the caller's credential for the token of the deciding role's identity.
func (p *Proxy) exchange(c *call) error {
	if c.op.Disposition != cosmos.Forward {
		return nil
	}
	tokens, ok := c.account.tokensOf(c.decision.Identity)
	if !ok {
		return cosmos.Unavailable("the account has no identity " + c.decision.Identity)
	}
	token, err := tokens.Token(c.r.Context())
	if err != nil {
		return cosmos.Unavailable(err.Error())
	}
	c.tokens, c.token = tokens, token
	return nil
}

// reserve takes a place in the audit log: nothing happens that can't be recorded.
func (p *Proxy) reserve(c *call) error {
	if c.reservation != nil {
		return nil
	}
	reservation, err := p.reserveSlot()
	if err != nil {
		p.metrics.unrecorded.Inc()
		return cosmos.Unavailable("reserving audit record: " + err.Error())
	}
	c.reservation = reservation
	return nil
}

// refuse is the only place that writes an error.
func (p *Proxy) refuse(c *call, err error) {
	var native *cosmos.Error
	if !errors.As(err, &native) {
		native = cosmos.Internal(err.Error())
	}
	if c.reservation == nil {
		if unrecorded := p.reserve(c); unrecorded != nil {
			errors.As(unrecorded, &native)
		}
	}
	if c.reason == "" && !c.gone { // who leaves is refused nothing: the outcome says it all
		c.reason = native.Code
	}
	if c.detail == "" {
		c.detail = native.Reason
	}
	c.blame(native.Status)
	if c.left() {
		c.clientGone(err)
		return
	}
	c.substatus = native.Substatus
	p.boundWrite(c)
	if !c.body.received && !c.late && c.r.ContentLength != 0 {
		// The server reads a refused body before it sends the refusal; a caller that
		// never sends it must not hold the connection.
		_ = http.NewResponseController(&c.w).SetReadDeadline(p.now().Add(min(lingerTimeout, p.limits.TransferTimeout)))
	}
	native.Write(&c.w, c.activityID)
}

// blame says whose fault a refusal is, unless a later stage has said so already.
func (c *call) blame(status int) {
	if c.outcome != "" {
		return
	}
	c.outcome = audit.Refused
	switch {
	case c.op != nil && c.op.Disposition == cosmos.Answer:
		c.outcome = audit.Answered
		c.verdict = audit.Allow
	case status >= http.StatusInternalServerError:
		c.verdict = audit.Error
	default:
		c.verdict = audit.Deny
	}
}
