package proxy

import (
	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/cosmos"
	"github.com/cosmosgate/cosmosgate/identity"
	"github.com/cosmosgate/cosmosgate/policy"
)

// authorize asks the policy about the caller, everyone who acts for it, and what its
// token was narrowed to; all must be allowed. The account document is for any authenticated caller.
func (p *Proxy) authorize(c *call) error {
	if c.op.Disposition != cosmos.Forward {
		c.verdict = audit.Allow
		return nil
	}
	decision, err := p.judge(c)
	if err != nil {
		return err
	}
	if !decision.Allow {
		return c.denied(decision)
	}
	c.decision = decision
	c.verdict = audit.Allow
	return nil
}

// judge asks the policy that recognised the caller. What an application or an agent is, is declared by a policy, and so is which
// clients of people are agents: when another came into force since, the caller is recognised again, so that nobody is taken for
// what one policy says and judged by the next.
func (p *Proxy) judge(c *call) (policy.Decision, error) {
	const most = 3
	for range most {
		question := c.question()
		decision := p.decideWithContent(c, &question)
		if c.recognised == c.policyHash {
			return decision, nil
		}
		if err := p.authenticate(c); err != nil {
			if len(c.r.Header[headerProof]) > 0 && c.refused == nil { // a proof counts once, and it was good
				err = cosmos.Unavailable("the policy changed while a proof was checked: " + err.Error())
			}
			return policy.Decision{}, err
		}
	}
	return policy.Decision{}, cosmos.Unavailable("the policy changes too fast")
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
	c.minimal = c.op.NoContent
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
func (c *call) question() policy.Request { return c.questionOf(&c.principal) }

// questionOf is what the policy is asked about a call whose caller is known as who.
func (c *call) questionOf(who *identity.Principal) policy.Request {
	q := policy.Request{
		Principal: asked(who),
		Actions:   policy.Actions(c.op.Actions),
		Resource:  policy.Resource{Account: c.account.name, Database: c.op.Database, Container: c.op.Container},
		Ranged:    c.op.Scope == cosmos.ScopeRange,
		NoData:    c.op.NoData,

		Injectable: c.op.TakesKey(),

		PartitionKeys: c.keys,

		Context: policy.Context{SourceIP: c.source, Time: c.start, AuthenticationStrength: who.ACR},
	}
	q.Role = c.role
	for _, actor := range who.Actors {
		q.Actors = append(q.Actors, policy.Principal{ID: actor.Agent, Kind: policy.KindAgent})
	}
	if narrowed(who) {
		q.Token = tokenOf(who)
	} else if q.Role == "" {
		q.Role = policy.RoleOfScopes(who.Scopes)
	}
	return q
}

// narrowed says whether the scopes of a credential are the gate's own words. Those of other
// issuers' tokens for people and applications are theirs, and narrow nothing here.
func narrowed(from *identity.Principal) bool {
	return from.Method == identity.MethodSTS || len(from.Actors) > 0 || len(from.Details) > 0
}

func tokenOf(from *identity.Principal) *policy.Token {
	token := &policy.Token{Scopes: from.Scopes}
	for _, detail := range from.Details {
		token.Details = append(token.Details, policy.Detail{
			Actions: detail.Actions, Resources: detail.Resources, PartitionKeys: detail.PartitionKeys,
		})
	}
	return token
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
	c.decision = policy.Decision{Policies: d.Policies, Reason: d.Reason, Legs: d.Legs}
	c.detail = d.Detail
	if undecided(d.Reason) {
		return cosmos.Unavailable("policy: " + d.Reason.String() + ": " + d.Detail)
	}
	c.reason = d.Reason.String()
	return c.forbidden(&d)
}

// forbidden is the native error of a denial.
func (c *call) forbidden(d *policy.Decision) *cosmos.Error {
	hint := c.hint(d.Reason)
	if c.explained {
		hint += " Shown for development: " + d.Reason.String() + ": " + d.Detail + "."
	}
	return cosmos.Denied(c.op, cosmos.Denial{
		Account: c.account.name, Principal: c.principal.Subject,
		Missing: cosmos.Actions(d.Missing), Hint: hint,
	})
}

// undecided says whether a decision could not be made.
func undecided(reason policy.Reason) bool {
	return reason == policy.ReasonNoPolicy || reason == policy.ReasonMalformed || reason == policy.ReasonEvaluation
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
	case policy.ReasonRedaction:
		return redactionHint + ask + c.decisionID + "."
	case policy.ReasonScope:
		return "The token was issued for less than this: ask for one with the scopes and details that the request needs."
	case policy.ReasonAgent:
		return "The agent was not granted this." + ask + c.decisionID + "."
	default:
		return "No role that you hold grants it." + ask + c.decisionID + "."
	}
}
