package proxy

import (
	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/cosmos"
	"github.com/cosmosgate/cosmosgate/identity"
	"github.com/cosmosgate/cosmosgate/policy"
)

// authorize asks the policy about the caller and everyone who acts for it; all must
// be allowed. The account document is for any authenticated caller.
func (p *Proxy) authorize(c *call) error {
	if c.op.Disposition != cosmos.Forward {
		c.verdict = audit.Allow
		return nil
	}
	if len(c.principal.Details) > 0 {
		return cosmos.Unavailable("authorization details in a token are not supported")
	}
	question := c.question()
	decision := p.decideWithContent(c, &question)
	if !decision.Allow {
		return c.denied(decision)
	}
	for _, actor := range c.principal.Actors {
		leg := question
		leg.Principal = policy.Principal{ID: actor.Agent, Kind: policy.KindAgent}
		leg.Context.IsAgent, leg.Context.OnBehalfOf = true, question.Principal.ID
		if acting := p.decide(c, &leg); !acting.Allow {
			return c.denied(acting)
		}
	}
	c.decision = decision
	c.verdict = audit.Allow
	return nil
}

// decide asks the policy and notes which one answered: when another came into force meanwhile, it asks again.
func (p *Proxy) decide(c *call, question *policy.Request) policy.Decision {
	for {
		c.policyHash = p.policyHash()
		decision := p.authorizer.Decide(*question)
		if p.policyHash() == c.policyHash {
			return decision
		}
	}
}

// decideWithContent asks for the operation as it stands; if that is denied only for
// the content it returns, it asks again without, and the content is left out.
func (p *Proxy) decideWithContent(c *call, question *policy.Request) policy.Decision {
	if c.op.ContentActions == 0 {
		return p.decide(c, question)
	}
	needed := question.Actions
	question.Actions |= policy.Actions(c.op.ContentActions)
	if decision := p.decide(c, question); decision.Allow {
		return decision
	}
	question.Actions = needed
	c.minimal = true
	return p.decide(c, question)
}

// question is what the policy is asked about a call.
func (c *call) question() policy.Request {
	q := policy.Request{
		Principal: asked(&c.principal),
		Actions:   policy.Actions(c.op.Actions),
		Resource:  policy.Resource{Account: c.account.name, Database: c.op.Database, Container: c.op.Container},
		Ranged:    c.op.Scope == cosmos.ScopeRange,
		NoData:    c.op.NoData,

		PartitionKeys: c.keys,

		Context: policy.Context{SourceIP: c.source, Time: c.start, AuthenticationStrength: c.principal.ACR},
	}
	if roles := c.r.Header[headerRole]; len(roles) == 1 {
		q.Role = roles[0]
	}
	return q
}

func asked(from *identity.Principal) policy.Principal {
	switch from.Kind {
	case identity.KindPerson:
		to := policy.Principal{
			ID: string(from.Record), Kind: policy.KindPerson,
			Attributes: from.User.Attributes, Generation: from.User.Generation,
		}
		if len(from.User.Groups) > 0 {
			to.Groups = make([]policy.Group, len(from.User.Groups))
			for i, group := range from.User.Groups {
				to.Groups[i] = policy.Group{
					ID: string(group.ID), Connection: group.Connection,
					ExternalID: group.ExternalID, Name: group.DisplayName,
				}
			}
		}
		return to
	case identity.KindApplication:
		return policy.Principal{ID: from.Application, Kind: policy.KindApplication, Attributes: from.Attributes}
	case identity.KindAgent:
		return policy.Principal{ID: from.Application, Kind: policy.KindAgent, Attributes: from.Attributes}
	default:
		return policy.Principal{}
	}
}

// denied is the native answer to a decision against the caller. A decision that
// could not be made is the gate's own fault.
func (c *call) denied(d policy.Decision) error {
	c.decision = policy.Decision{Policies: d.Policies, Reason: d.Reason}
	c.detail = d.Detail
	switch d.Reason { //nolint:exhaustive // the rest are the caller's to know
	case policy.ReasonNoPolicy, policy.ReasonMalformed, policy.ReasonEvaluation:
		return cosmos.Unavailable("policy: " + d.Reason.String() + ": " + d.Detail)
	}
	refusal := cosmos.Denied(c.op, cosmos.Denial{
		Account: c.account.name, Principal: c.principal.Subject,
		Missing: cosmos.Actions(d.Missing), Hint: c.hint(d.Reason),
	})
	c.reason = d.Reason.String()
	return refusal
}

// hint tells the caller what would help, without telling the policy.
func (c *call) hint(reason policy.Reason) string {
	const ask = " Ask an administrator of the gate, naming decision "
	switch reason {
	case policy.ReasonPartitionKey:
		return "Set the partition key of the request to one that you may use: " +
			"your role is confined to partitions, and cross-partition requests are refused." + ask + c.decisionID + "."
	case policy.ReasonMissingAttribute:
		return "Your directory record lacks an attribute that your role depends on." + ask + c.decisionID + "."
	default:
		return "No role that you hold grants it." + ask + c.decisionID + "."
	}
}
