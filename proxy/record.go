package proxy

import (
	"cmp"
	"net/http"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/cosmos"
	"github.com/cosmosgate/cosmosgate/policy"
)

// record writes down what became of a call. It always runs, also when the handler
// panics: then nothing has said how the call ended, which is the gate's own failure.
func (p *Proxy) record(c *call) {
	p.leave(c)
	if c.lease != nil {
		p.budgets.settle(c.lease, c.cost(), c.sent, p.now())
	}
	if c.outcome == "" {
		c.outcome = audit.Internal
		c.verdict = audit.Error
	}
	ended := p.now()
	total := ended.Sub(c.start)
	gate := max(total-c.upstreamTime-c.callerTime, 0)
	status := c.status()
	p.metrics.count(c, status)
	p.metrics.gate.Observe(gate.Seconds())
	if c.upstreamTime > 0 {
		p.metrics.upstream.Observe(c.upstreamTime.Seconds())
	}
	if c.reservation == nil {
		return // refused with 503 for want of a place in the log, and counted.
	}
	r := audit.Record{
		Time: c.start, DecisionID: c.decisionID, ActivityID: c.activityID,
		UserAgent: c.r.UserAgent(), Method: c.r.Method,
		Decision: c.verdict, Reason: c.reason, Detail: c.detail,
		PolicyHash: cmp.Or(c.policyHash, p.policyHash()), Status: status, Substatus: c.substatus,
		UpstreamStatus: c.upstream, RequestCharge: c.charge, Redactions: c.redactions,
		BytesIn: c.body.read(), BytesOut: c.w.bytes, Outcome: c.outcome,
		Duration: total, GateDuration: gate, UpstreamDuration: c.upstreamTime,
	}
	if c.source.IsValid() {
		r.Source = c.source.String()
	}
	if c.account != nil {
		r.Account = c.account.name
	}
	c.describeCaller(&r)
	p.describeOperation(c, &r)
	c.reservation.Commit(r)
}

// cost is the charge of the call, or untold.
func (c *call) cost() float64 {
	if !c.charged {
		return untold
	}
	return c.charge
}

// status is what the caller got: 499 if it left before anything was sent.
func (c *call) status() int {
	switch {
	case c.w.status != 0:
		return c.w.status
	case c.outcome == audit.ClientAbort:
		return statusClientGone
	default:
		return http.StatusInternalServerError
	}
}

func (c *call) describeCaller(r *audit.Record) {
	from := &c.principal
	if c.refused != nil {
		from = c.refused
	}
	if from.Kind == 0 {
		return
	}
	r.Principal = audit.Principal{
		Kind: from.Kind.String(), Issuer: from.Issuer, Subject: from.Subject,
		Record: string(from.Record), UserName: from.User.UserName, Application: from.Application,
	}
	r.Credential = audit.Credential{Method: string(from.Method), TokenID: from.TokenID}
	r.Client = from.Client
	for _, actor := range from.Actors {
		r.Actors = append(r.Actors, audit.Actor{Issuer: actor.Issuer, Subject: actor.Subject, Name: actor.Agent})
	}
}

func (p *Proxy) describeOperation(c *call, r *audit.Record) {
	r.Role, r.Identity, r.Policies = c.decision.Role, c.decision.Identity, c.decision.Policies
	for i := range c.decision.Legs {
		r.Legs = append(r.Legs, recorded(&c.decision.Legs[i]))
	}
	if c.op == nil {
		r.Operation = c.guide
		if c.request != nil {
			r.Database, r.Container = c.request.Target()
		}
		return
	}
	r.Operation = c.op.Type.String()
	r.Actions = p.namesOf(c.op.Actions)
	r.PartitionKeys = c.keys
	r.Database, r.Container, r.Item = c.op.Database, c.op.Container, c.op.ID
}

func recorded(leg *policy.Leg) audit.Leg {
	effect := audit.Deny
	switch {
	case leg.Allow:
		effect = audit.Allow
	case undecided(leg.Reason):
		effect = audit.Error
	}
	return audit.Leg{
		Kind: leg.Kind, Name: leg.Name, Effect: effect, Reason: leg.Reason.String(), Role: leg.Role, Policies: leg.Policies,
	}
}

// actionBits is how many data actions there are.
const actionBits = 10

// namesOf returns the names of a set of actions, made once for each set.
func (p *Proxy) namesOf(actions cosmos.Actions) []string {
	if int(actions) >= len(p.actions) {
		return actions.Names()
	}
	if names := p.actions[actions].Load(); names != nil {
		return *names
	}
	names := actions.Names()
	p.actions[actions].Store(&names)
	return names
}

// count counts a call by operation, decision and class of status.
func (m *metrics) count(c *call, status int) {
	operation := "unknown"
	switch {
	case c.op != nil:
		operation = c.op.Type.String()
	case c.guide != "":
		operation = c.guide
	}
	m.requests.WithLabelValues(operation, string(c.verdict), class(status)).Inc()
}

func class(status int) string {
	const hundred = 100
	switch status / hundred {
	case 2: //nolint:mnd // 2xx.
		return "2xx"
	case 3: //nolint:mnd // 3xx.
		return "3xx"
	case 4: //nolint:mnd // 4xx.
		return "4xx"
	default:
		return "5xx"
	}
}
