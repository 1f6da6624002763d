package proxy

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"runtime/debug"
	"time"

	"github.com/google/uuid"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/cosmos"
	"github.com/cosmosgate/cosmosgate/identity"
	"github.com/cosmosgate/cosmosgate/policy"
)

// Header names in canonical form, for direct use with [http.Header].
const (
	headerActivityID     = "X-Ms-Activity-Id"
	headerSubstatus      = "X-Ms-Substatus"
	headerCharge         = "X-Ms-Request-Charge"
	headerMaxItemCount   = "X-Ms-Max-Item-Count"
	headerContinuation   = "X-Ms-Continuation"
	headerRole           = "X-Cosmosgate-Role"
	guidLength           = 36
	statusClientGone     = 499 // nginx's number for a caller that left before an answer
	substatusTokenOld    = 5006
	substatusRevoked     = 5013
	substatusNoRight     = 5300
	substatusLastNoRight = 5399
)

//nolint:gochecknoglobals // a constant header value.
var jsonType = []string{"application/json"}

const outcomeAnswered = audit.Answered

// call is one request on its way through the stages. Each stage reads what the
// earlier ones left and adds its own.
type call struct {
	w countingWriter
	r *http.Request

	start      time.Time
	age        time.Duration // of what the directory knew at start
	stood      time.Time     // when the caller's standing was last asked for
	source     netip.Addr    // not valid if the server gave none
	activityID string
	decisionID string
	crowded    bool   // beyond the in-flight cap
	explained  bool   // a refusal tells what the policy says, for development
	guide      string // name of a request for people's tools; empty for the data plane

	role      string // that the caller asked for
	account   *account
	keyID     string // of the key that the host names; empty for most
	request   *cosmos.Request
	principal identity.Principal
	sharer    sharer // whose share the call counts in, once it has entered
	entered   bool
	refused   *identity.Principal // whom a genuine credential proved, and who is not let in
	op        *cosmos.Operation
	decision  policy.Decision
	// policyHash names the policy that decided, which may not be the one in force when the call ends.
	policyHash string
	recognised string      // the policy by which the caller was recognised
	minimal    bool        // the written item is taken out of the response
	listFrom   int         // how many entries of a list the caller has seen
	listAt     string      // where upstream goes on with the list
	keys       [][]string  // partition keys of op
	oneKey     [1][]string // where keys lie, if there are no more
	answer     answer
	body       body
	tokens     TokenSource
	token      Token

	lease       *lease // of the caller's budget
	redactions  int    // values taken out of the response
	reservation Reservation
	verdict     audit.Decision
	outcome     audit.Outcome
	reason      string
	detail      string
	substatus   int
	upstream    int // status
	charge      float64
	earlier     float64 // what earlier parts of a list were charged
	charged     bool    // upstream told the charge
	sent        bool    // upstream may have seen the request
	gone        bool    // the caller left
	late        bool    // the caller did not send its body in time
	broken      bool    // the response could not be finished

	upstreamTime time.Duration
	callerTime   time.Duration
}

// accept takes a request in. From here on it will be recorded.
func (p *Proxy) accept(w http.ResponseWriter, r *http.Request) *call {
	c := &call{
		w: countingWriter{ResponseWriter: w}, r: r,
		start: p.now(), decisionID: p.newID(), verdict: audit.Error,
		crowded: p.inFlight.Add(1) > int64(p.limits.MaxInFlight), explained: p.cfg.ExplainDenials,
	}
	if from, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		c.source = from.Addr().Unmap().WithZone("")
	}
	c.activityID = c.decisionID
	if sent := r.Header[headerActivityID]; len(sent) == 1 && len(sent[0]) == guidLength && uuid.Validate(sent[0]) == nil {
		c.activityID = sent[0]
	}
	return c
}

// clientGone notes that the caller left, or does not read any more.
func (c *call) clientGone(err error) {
	c.gone, c.broken = true, true
	c.outcome = audit.ClientAbort
	c.detail = err.Error()
}

// finish ends the response. A stage that failed in a way nobody foresaw becomes a
// native error if nothing has been sent; what was begun and can't be finished breaks
// the connection, so that the caller does not take a part for the whole.
func (p *Proxy) finish(c *call) {
	if cause := recover(); cause != nil {
		why := p.failed(c, cause)
		c.outcome, c.verdict, c.reason = audit.Internal, audit.Error, "InternalServerError"
		c.broken = c.w.status != 0
		if !c.broken {
			p.refuse(c, cosmos.Internal(why))
		}
	}
	if c.broken {
		panic(http.ErrAbortHandler) // the server's own way; it logs nothing.
	}
}

// failed logs a stage that failed in a way nobody foresaw, and returns what the record says of it.
func (p *Proxy) failed(c *call, cause any) string {
	p.logger.Error("request handler failed", "cause", cause, "activity_id", c.activityID, "stack", string(debug.Stack()))
	return "a stage failed; see the log"
}

// left says whether the caller has gone away.
func (c *call) left() bool {
	// The server ends the context also when the deadline of a read has passed, and
	// then the caller is still there.
	return c.gone || !c.late && errors.Is(context.Cause(c.r.Context()), context.Canceled)
}

// cut is why the server itself ended the request, as it does when it stops; nil if it did not.
func (c *call) cut() error {
	if cause := context.Cause(c.r.Context()); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause //nolint:wrapcheck // the server says itself why.
	}
	return nil
}

// cutOff is the answer to a request that the server ended while upstream worked on it. Neither the caller nor upstream
// is to blame.
func (c *call) cutOff(cause error) error {
	c.outcome = audit.Internal
	if c.op.Actions&writes != 0 {
		return cosmos.OutcomeUnknown(cause.Error())
	}
	return cosmos.Unavailable(cause.Error())
}

// countingWriter knows what has been sent.
type countingWriter struct {
	http.ResponseWriter

	status int
	bytes  int64
	// failed tells that HTTP/2 may still look at what was last to be written
	// (writeDataFromHandler, for a stream that was reset).
	failed bool
}

// WriteHeader implements [http.ResponseWriter].
func (w *countingWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (w *countingWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b) //nolint:gosec,nolintlint // G705, where gosec sees it: JSON of ours or of the service's, never a page.
	w.bytes += int64(n)
	w.failed = w.failed || err != nil
	return n, err //nolint:wrapcheck // the contract of io.Writer.
}

// Unwrap gives [http.ResponseController] the connection.
func (w *countingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
