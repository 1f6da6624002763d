package proxy

import (
	"strconv"

	"github.com/cosmosgate/cosmosgate/cosmos"
)

// oblige does to an allowed request what its role demands before it is forwarded:
// the partition key that it lacks, the sizes that it may have, what it must not name
// because it is redacted, and the request units that its caller may use.
func (p *Proxy) oblige(c *call) error {
	o := &c.decision.Obligations
	if o.PartitionKey != nil {
		if !c.op.SetKey(o.PartitionKey) {
			return cosmos.Unavailable("policy: the partition key cannot be set")
		}
		c.keys = [][]string{o.PartitionKey}
	}
	if err := c.boundBody(o.MaxBodyBytes); err != nil {
		return err
	}
	if err := p.checkRedaction(c); err != nil {
		return err
	}
	return p.spend(c)
}

// boundBody holds the body of a request to the size that the role allows.
func (c *call) boundBody(limit int64) error {
	if limit == 0 || c.op.Disposition != cosmos.Forward {
		return nil
	}
	if c.body.length > limit || int64(len(c.body.held)) > limit {
		return cosmos.TooLarge(limit)
	}
	c.body.limit = min(c.body.limit, limit)
	return nil
}

// spend takes a request out of the caller's budget, as long as there is one.
func (p *Proxy) spend(c *call) error {
	limit := c.decision.Obligations.MaxRUPerSecond
	if limit == 0 {
		return nil
	}
	spender := spender{account: c.account.name, role: c.decision.Role, kind: c.principal.Kind, caller: string(c.principal.Record)}
	if spender.caller == "" {
		spender.caller = c.principal.Application
	}
	if len(c.principal.Actors) > 0 {
		spender.agent = c.principal.Actors[0].Agent
	}
	lease, wait := p.budgets.take(spender, float64(limit), p.now())
	if lease == nil {
		c.reason = reasonBudget
		return cosmos.Throttled(wait, "the role allows "+strconv.Itoa(limit)+" request units a second")
	}
	c.lease = lease
	return nil
}

// reasonBudget is what the record says of a caller that used up its request units.
const reasonBudget = "maxRUPerSecond"
