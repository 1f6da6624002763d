package proxy

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/cosmos"
	"github.com/cosmosgate/cosmosgate/identity"
	"github.com/cosmosgate/cosmosgate/policy"
)

// Standing returns a caller who was admitted as they are known by now, or the [*identity.Error] by which they would be
// refused. It is asked before what took long to come is forwarded or answered, and while an answer is sent slowly, and must not wait.
type Standing func(*identity.Principal) (identity.Principal, error)

// standingEvery is how long an answer to it holds, counted first from the start of
// the request.
const standingEvery = 250 * time.Millisecond

// clockSkew is how far an issuer's clock may be from the gate's.
const clockSkew = time.Minute

const noStanding = "access was taken away while the request was under way"

// stands returns nil if a caller may have what is about to be forwarded or sent, else the refusal. It decides anew for the caller as
// they are now, by the policy and with the directory of now, but once it is forwarded at the time of the request: what ends
// by itself, as a binding or a token does, lets an answer that is under way end.
func (p *Proxy) stands(c *call) error {
	if p.cfg.Standing == nil {
		return nil
	}
	now := p.now()
	if c.stood.IsZero() {
		c.stood = c.start
	}
	if now.Sub(c.stood) < standingEvery {
		return nil
	}
	c.stood = now
	age := p.cfg.Freshness.age(now) // before anybody is looked up
	who, err := p.cfg.Standing(&c.principal)
	if err != nil {
		return unauthenticated(fmt.Errorf(noStanding+": %w", err))
	}
	question := c.questionOf(&who)
	if !c.sent { // nothing is under way yet that could be let end
		if !who.Expiry.IsZero() && now.Sub(who.Expiry) > clockSkew {
			return cosmos.InvalidCredential(identity.SubstatusExpired, "the credential ended before the request was forwarded")
		}
		question.Context.Time = now
	}
	if !c.minimal {
		question.Actions |= policy.Actions(c.op.ContentActions)
	}
	admitted := c.policyHash
	decision := p.decide(c, &question)
	judged := c.policyHash
	if decision.Allow {
		c.policyHash = admitted // which decided what is recorded
	}
	switch {
	case undecided(decision.Reason):
		return cosmos.Unavailable("policy: " + decision.Reason.String() + ": " + decision.Detail)
	case !decision.Allow:
		c.reason = decision.Reason.String()
		c.decision.Policies, c.decision.Legs = decision.Policies, decision.Legs // role and identity stay: under them it was forwarded
		refusal := c.forbidden(&decision)
		refusal.Reason = noStanding + ": " + decision.Detail
		return refusal
	case p.cfg.Freshness.refuses(age, decision.Obligations.Staleness):
		c.reason = reasonStale
		return stale(age)
	default:
		return c.asAsked(&who, &decision, judged)
	}
}

// asAsked returns nil if what is asked of upstream, and made of its answer, is what would be now, by the policy that judged. What is
// not under way yet goes up as it would if it came now, or not at all: the caller asks again, and is served under the role of then.
func (c *call) asAsked(who *identity.Principal, decision *policy.Decision, judged string) error {
	now := &decision.Obligations
	switch {
	case !c.sent && judged != c.policyHash: // it may take the caller for somebody else, as a client of another name or an agent
		return changed("the policy changed before the request was forwarded")
	case !c.sent && !c.decidedAlike(decision):
		return changed("the role that allows it, or what that role demands, changed before the request was forwarded")
	case !slices.EqualFunc(now.Redact, c.decision.Obligations.Redact, slices.Equal):
		return changed("what the role redacts changed while the request was under way")
	case now.PartitionKey != nil: // none was set, or there would be nothing to set
		return changed("the role confines to a partition since the request came, which it does not name")
	case filtered(c.op) && (judged != c.policyHash || who.User.Generation != c.principal.User.Generation):
		return changed("what the caller reaches may have changed while the list was read")
	default:
		return nil
	}
}

// decidedAlike says whether a decision forwards a request as the one that admitted it does: under the same identity, at the expense
// of the same budget and within the same limits.
func (c *call) decidedAlike(now *policy.Decision) bool {
	was, is := &c.decision.Obligations, &now.Obligations
	return now.Role == c.decision.Role && now.Identity == c.decision.Identity &&
		is.MaxItems == was.MaxItems && is.MaxRUPerSecond == was.MaxRUPerSecond && is.MaxBodyBytes == was.MaxBodyBytes &&
		is.Priority == was.Priority && is.ThroughputBucket == was.ThroughputBucket
}

// standsYet is stands for whoever sends the body on, at the same time as others look at the call: it changes nothing of it.
func (p *Proxy) standsYet(c *call) func() error {
	asked := *c
	return func() (refusal error) {
		defer func() {
			if cause := recover(); cause != nil { // the transport's goroutine: nobody else would catch it, and the gate would end
				refusal = cosmos.Internal(p.failed(c, cause))
			}
		}()
		return p.stands(&asked)
	}
}

// changed is the answer where the request would have to be asked again.
func changed(why string) *cosmos.Error {
	refusal := cosmos.Unavailable(why)
	refusal.RetryAfter = staleRetryAfter
	return refusal
}

// withhold refuses an answer to a caller whose access ended while it was made. What a write did is done, and its caller
// is told, but sees no document. The body is not read: it may be long in coming.
func (p *Proxy) withhold(c *call, from *answer, refusal error) {
	switch {
	case c.op.Actions&writes == 0:
		p.refuse(c, refusal)
		return
	case from.StatusCode >= http.StatusBadRequest:
		c.outcome, c.reason, c.detail = audit.Complete, "", detailOf(refusal)
		p.refuse(c, rewrapped(from))
		return
	}
	c.reason, c.detail = "", detailOf(refusal)
	p.deliverBare(c, from)
}

// detailOf is what the record says of a refusal that is not told.
func detailOf(refusal error) string {
	if native, ok := errors.AsType[*cosmos.Error](refusal); ok {
		return native.Reason
	}
	return refusal.Error()
}

// deliverBare sends what became of a write without the document that it wrote.
func (p *Proxy) deliverBare(c *call, from *answer) {
	var kept []byte
	if c.op.Type == cosmos.OpBatch || c.op.Type == cosmos.OpBulk {
		whole, err := p.readPlain(c, from)
		if err == nil {
			kept, err = c.op.WithoutContent(whole)
		}
		if err != nil {
			p.refuse(c, c.upstreamFault(err))
			return
		}
	}
	h := c.w.Header()
	cosmos.FilterResponse(h, from.Header)
	if len(kept) == 0 {
		h.Del("Content-Type")
	}
	setLength(h, from.StatusCode, len(kept))
	p.write(c, from.StatusCode, kept)
}

// setLength describes a body of ours in place of upstream's.
func setLength(h http.Header, status, length int) {
	h.Del("Content-Encoding")
	if status != http.StatusNoContent && status != http.StatusNotModified {
		h["Content-Length"] = []string{strconv.Itoa(length)}
	}
}
