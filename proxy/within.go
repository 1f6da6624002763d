package proxy

import (
	"slices"

	"github.com/cosmosgate/cosmosgate/policy"
)

// unnamed stands for every name that neither a policy nor a token mentions.
const unnamed = "cosmosgate-unnamed"

// within is what is left of the access of a caller under the token at hand: its role, its scopes and details, and the
// agents that act. What depends on the request besides is conditional.
func (p *Proxy) within(access []Reach, c *call) []Reach {
	who := &c.principal
	role := policy.RoleOfScopes(who.Scopes)
	if role != "" {
		access = slices.DeleteFunc(access, func(r Reach) bool { return r.Role != role })
	}
	if !narrowed(who) {
		return access
	}
	q := policy.Request{
		Principal: asked(who), Token: tokenOf(who),
		Context: policy.Context{SourceIP: c.source, Time: c.start, AuthenticationStrength: who.ACR},
	}
	for _, actor := range who.Actors {
		q.Actors = append(q.Actors, policy.Principal{ID: actor.Agent, Kind: policy.KindAgent})
	}
	var left []Reach
	for i := range access {
		left = append(left, p.narrow(access[i], q)...)
	}
	return left
}

// narrow splits one way to act on a container into what the token leaves of it for sure, and what it may leave.
func (p *Proxy) narrow(way Reach, q policy.Request) []Reach {
	q.Resource = policy.Resource{Account: named(way.Account), Database: named(way.Database), Container: named(way.Container)}
	if len(way.PartitionKey) > 0 {
		key := make([]string, len(way.PartitionKey))
		for i, component := range way.PartitionKey {
			key[i] = string(component)
		}
		q.PartitionKeys = [][]string{key}
	}
	all, err := policy.ParseActions(way.Actions...)
	if err != nil {
		return nil
	}
	if q.Actions = all; p.leaves(q) == surely {
		return []Reach{way}
	}
	sure, perhaps := way, way
	sure.Actions, perhaps.Actions, perhaps.Conditional = nil, nil, true
	for _, name := range way.Actions {
		if q.Actions, err = policy.ParseActions(name); err != nil {
			continue
		}
		switch p.leaves(q) {
		case surely:
			sure.Actions = append(sure.Actions, name)
		case possibly:
			perhaps.Actions = append(perhaps.Actions, name)
		case never:
		}
	}
	return slices.DeleteFunc([]Reach{sure, perhaps}, func(r Reach) bool { return len(r.Actions) == 0 })
}

func named(name string) string {
	if name == "*" {
		return unnamed
	}
	return name
}

// leave says how much of somebody's access is left.
type leave uint8

const (
	never leave = iota
	possibly
	surely
)

// leaves says whether the agents and the token let an action through, whatever the person's own access depends on.
func (p *Proxy) leaves(q policy.Request) leave {
	left := surely
	for i, leg := range p.authorizer.Decide(q).Legs {
		if i == 0 || leg.Allow { // the first is the person's own
			continue
		}
		switch leg.Reason {
		case policy.ReasonPartitionKey, policy.ReasonMissingAttribute, policy.ReasonGuardrail, policy.ReasonEvaluation:
			left = possibly
		case policy.ReasonScope:
			if !p.reachesElse(q) {
				return never
			}
			left = possibly
		default:
			return never
		}
	}
	return left
}

// reachesElse says whether the token might let through under another name, or another key, what it does not let through
// under these.
func (p *Proxy) reachesElse(q policy.Request) bool {
	wider := policy.Token{Scopes: q.Token.Scopes}
	for _, detail := range q.Token.Details {
		detail.PartitionKeys = nil
		if q.Resource.Account == unnamed || q.Resource.Database == unnamed || q.Resource.Container == unnamed {
			detail.Resources = []string{"*/*/*"}
		}
		wider.Details = append(wider.Details, detail)
	}
	q.Token, q.Actors = &wider, nil
	legs := p.authorizer.Decide(q).Legs
	return len(legs) > 0 && legs[len(legs)-1].Allow
}
