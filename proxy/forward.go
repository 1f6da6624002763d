package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/cosmos"
)

// maxDrain is how much of a response that nobody wants is read to keep its connection.
const maxDrain = 64 << 10

var (
	errUpstreamTimeout = errors.New("upstream did not go on in time")
	errTooSlow         = errors.New("response took longer than its bound")
)

// writes are the actions whose effect is unknown when the answer is lost.
const writes = cosmos.CreateItem | cosmos.ReplaceItem | cosmos.UpsertItem | cosmos.DeleteItem |
	cosmos.ExecuteStoredProcedure | cosmos.ManageConflicts

// forward does what was admitted: it answers from memory, or sends the operation
// upstream and passes the answer on.
func (p *Proxy) forward(c *call) {
	if c.op.Disposition != cosmos.Forward {
		p.answerAccount(c)
		return
	}
	ctx, cancel := context.WithCancelCause(c.r.Context())
	defer cancel(nil)
	patience := time.AfterFunc(p.limits.UpstreamTimeout, func() { cancel(errUpstreamTimeout) })
	defer patience.Stop()

	response, err := p.ask(ctx, c)
	if err != nil {
		p.refuse(c, p.unanswered(ctx, c, err))
		return
	}
	defer response.Body.Close() //nolint:errcheck // read to its end, or given up.
	c.answer = answer{Response: response, ctx: ctx, patience: patience}
	p.deliver(c, &c.answer)
}

// ask sends the request, and once more if upstream refused the token that signed it,
// the identity has another one, and the body can be sent again.
func (p *Proxy) ask(ctx context.Context, c *call) (*http.Response, error) {
	response, err := p.roundTrip(ctx, c)
	if err != nil || !tokenRefused(response) || !c.body.whole() {
		return response, err
	}
	began := p.now()
	renewed, err := c.tokens.Renew(ctx, c.token)
	c.upstreamTime += p.now().Sub(began)
	if err != nil {
		p.logger.WarnContext(ctx, "upstream refused the token and there is no other",
			"account", c.account.name, "identity", c.decision.Identity, "error", err)
		return response, nil // the refusal itself is the answer to judge
	}
	discard(response)
	c.token, c.sent = renewed, false // refused, nothing of it is under way
	return p.roundTrip(ctx, c)
}

// roundTrip builds the upstream request from the operation and sends it, unless so long has passed since it was decided
// that it is decided otherwise.
func (p *Proxy) roundTrip(ctx context.Context, c *call) (*http.Response, error) {
	if refusal := p.stands(c); refusal != nil {
		return nil, refusal
	}
	source, length := c.body.open()
	if c.body.stream != nil {
		c.body.stream.goOn = p.standsYet(c)
	}
	request := (&http.Request{
		Method: c.op.Method(), URL: c.account.target(c.op.UpstreamPath()), Host: c.account.upstream.Host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: p.upstreamHeader(c), Body: source, ContentLength: length,
	}).WithContext(ctx)
	if len(c.body.held) > 0 {
		// Lets the transport begin anew on another connection when it knows that
		// upstream saw nothing.
		request.GetBody = c.body.again
	}
	began := p.now()
	response, err := c.account.transport.RoundTrip(request)
	c.upstreamTime += p.now().Sub(began)
	c.sent = c.sent || err == nil || !neverSent(err)
	if err != nil {
		return nil, err //nolint:wrapcheck // judged by unanswered.
	}
	c.upstream = response.StatusCode
	return response, nil
}

func (p *Proxy) upstreamHeader(c *call) http.Header {
	date := p.date()
	header := c.op.UpstreamHeader(cosmos.UpstreamOptions{
		Authorization:    c.token.sign(c.op, date),
		Date:             date,
		ActivityID:       c.activityID,
		ReturnMinimal:    c.minimal,
		DedicatedGateway: c.account.dedicated,
		PriorityLevel:    c.decision.Obligations.Priority.String(),
		ThroughputBucket: bucketOf(c.decision.Obligations.ThroughputBucket),
	})
	switch limit := c.decision.Obligations.MaxItems; {
	case filtered(c.op):
		c.wholeList(header)
	case limit > 0:
		boundItems(header, limit)
	}
	if filtered(c.op) || c.redacts() || c.minimal {
		header["Accept-Encoding"] = []string{"identity"}
	}
	return header
}

// bucketOf writes a throughput bucket; 0 is none.
func bucketOf(bucket int) string {
	if bucket == 0 {
		return ""
	}
	return strconv.Itoa(bucket)
}

// second is a second of time, written as x-ms-date.
type second struct {
	unix int64
	text string
}

// date is the time as x-ms-date; it is written once a second.
func (p *Proxy) date() string {
	now := p.now()
	if last := p.lastDate.Load(); last != nil && last.unix == now.Unix() {
		return last.text
	}
	written := &second{unix: now.Unix(), text: now.UTC().Format(http.TimeFormat)}
	p.lastDate.Store(written)
	return written.text
}

// boundItems forces the page size down to a limit; -1 and absence mean upstream's own choice.
func boundItems(header http.Header, limit int) {
	if sent := header.Get(headerMaxItemCount); sent != "" {
		if n, err := strconv.Atoi(sent); err == nil && n > 0 && n <= limit {
			return
		}
	}
	header[headerMaxItemCount] = []string{strconv.Itoa(limit)}
}

// target is the URL of an escaped path.
func (a *account) target(escaped string) *url.URL {
	to := &url.URL{Scheme: a.upstream.Scheme, Host: a.upstream.Host, Path: escaped}
	if !strings.Contains(escaped, "%") {
		return to
	}
	if path, err := url.PathUnescape(escaped); err == nil {
		to.Path, to.RawPath = path, escaped
	}
	return to
}

// unanswered is the answer to a request that got none from upstream. A write that
// may have been carried out is not called failed.
func (p *Proxy) unanswered(ctx context.Context, c *call, err error) error {
	done := c.op.Actions&writes != 0 && c.body.gone() // what a read did nobody has to know
	if fault := c.body.fault(false); !done && errors.Is(fault, errLost) {
		return p.lost(c, fault)
	}
	if native, ok := errors.AsType[*cosmos.Error](err); ok && !done {
		return native
	}
	if c.left() {
		c.clientGone(err)
		return err
	}
	if cause := c.cut(); cause != nil {
		return c.cutOff(cause)
	}
	late := errors.Is(context.Cause(ctx), errUpstreamTimeout)
	if fault := c.body.fault(late); !done && fault != nil {
		// What was decided stays: the caller was let in, and then sent a body that nobody can carry out.
		c.outcome = audit.RequestBroken
		if errors.Is(fault, errBodyTooLarge) {
			return cosmos.TooLarge(c.body.limit)
		}
		return c.unreadable(fault)
	}
	c.outcome = audit.UpstreamFailure
	if late {
		c.outcome = audit.UpstreamTimeout
		err = errUpstreamTimeout
	}
	if c.op.Actions&writes != 0 && !neverSent(err) {
		return cosmos.OutcomeUnknown(err.Error())
	}
	return cosmos.Unavailable(err.Error())
}

// lost is the answer to a body that was given up because of why its caller may not have it sent on.
func (p *Proxy) lost(c *call, why error) error {
	sent := c.sent
	c.sent, c.stood = false, time.Time{} // asked as it was when the body was given up
	refusal := p.stands(c)
	c.sent = sent
	if refusal != nil {
		return refusal
	}
	if failed, ok := errors.AsType[*cosmos.Error](why); ok && failed.Status == http.StatusInternalServerError {
		c.outcome, c.verdict = audit.Internal, audit.Error // a stage failed: nothing was taken away
		return failed
	}
	return changed(noStanding) // they may come back
}

// neverSent says whether an error proves that upstream saw nothing of the request:
// there never was a connection that it trusted.
func neverSent(err error) bool {
	var dial *net.OpError
	var untrusted *tls.CertificateVerificationError
	return errors.Is(err, errNotConnected) || errors.As(err, &untrusted) || errors.As(err, &dial) && dial.Op == "dial"
}

// tokenRefused says whether upstream refused the token in a way that another may cure.
func tokenRefused(response *http.Response) bool {
	switch response.StatusCode {
	case http.StatusUnauthorized:
		substatus := substatusOf(response.Header)
		return substatus == substatusTokenOld || substatus == substatusRevoked
	case http.StatusForbidden:
		return substatusOf(response.Header) == substatusNoRight
	default:
		return false
	}
}

// identityRefused says whether upstream refused the gate's own identity.
func identityRefused(status, substatus int) bool {
	return status == http.StatusUnauthorized ||
		status == http.StatusForbidden && substatus >= substatusNoRight && substatus <= substatusLastNoRight
}

func substatusOf(h http.Header) int {
	sent := h[headerSubstatus]
	if len(sent) == 0 {
		return 0
	}
	substatus, err := strconv.Atoi(sent[0])
	if err != nil {
		return 0
	}
	return substatus
}

// discard reads the rest of a small response, so that its connection can serve again.
func discard(response *http.Response) {
	_, _ = io.CopyN(io.Discard, response.Body, maxDrain)
	_ = response.Body.Close()
}
