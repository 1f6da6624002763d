package identity

import (
	"fmt"
	"maps"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// MaxActors bounds a chain of delegation.
const MaxActors = 3

// Agent is software that acts for people, or for itself, as policy declares it.
type Agent struct {
	// Name is unique among agents and applications. It is the agent's client_id at the gate's token service.
	Name string
	// Issuer is the [Issuer.Name] whose tokens may be this agent; empty if it only proves Keys.
	Issuer string
	// Claims must all be present with exactly these values; a declaration without claims matches no token.
	Claims map[string]string
	// Attributes are handed to policy.
	Attributes map[string]string
	// Keys are the public keys it signs client assertions with (RFC 7523); none if it has no key of its own.
	Keys []jose.JSONWebKey
}

// matches reports whether every declared claim is in c with exactly the declared value.
func (a *Agent) matches(issuer string, c claims) bool {
	declared := Application{Name: a.Name, Issuer: a.Issuer, Claims: a.Claims}

	return declared.matches(issuer, c)
}

// namesClient reports whether the declaration pins the client that a token was issued to. Only then can it tell an agent from the
// person that a token is about.
func (a *Agent) namesClient() bool {
	_, blueprint := a.Claims["xms_par_app_azp"]

	return blueprint || slices.ContainsFunc(clientClaims(), func(name string) bool {
		_, pinned := a.Claims[name]

		return pinned
	})
}

// isClient reports whether the declaration pins the client that a token was issued to, and to this one.
func (a *Agent) isClient(client string) bool {
	pinned := false

	for _, name := range clientClaims() {
		want, found := a.Claims[name]
		if found && want != client {
			return false
		}

		pinned = pinned || found
	}

	return pinned
}

// declarations are what clients are recognised by. Lists are compared by identity, see [Config.Applications].
type declarations struct {
	applications []Application
	agents       []Agent
}

func (d declarations) same(other declarations) bool {
	return sameList(d.applications, other.applications) && sameList(d.agents, other.agents)
}

// agent returns the declaration of a name.
func (d declarations) agent(name string) (*Agent, bool) {
	i := slices.IndexFunc(d.agents, func(a Agent) bool { return a.Name == name })
	if i < 0 {
		return nil, false
	}

	return &d.agents[i], true
}

// application returns the declaration of a name.
func (d declarations) application(name string) (*Application, bool) {
	i := slices.IndexFunc(d.applications, func(a Application) bool { return a.Name == name })
	if i < 0 {
		return nil, false
	}

	return &d.applications[i], true
}

// matchAgent returns the one agent that c matches, nil if none does.
func (d declarations) matchAgent(issuer string, c claims, personless bool) (*Agent, error) {
	var match *Agent

	for i := range d.agents {
		candidate := &d.agents[i]
		if !candidate.matches(issuer, c) || (!personless && !candidate.namesClient()) {
			continue
		}

		if match != nil {
			return nil, refuseForNow(SubstatusScope, "matches the agents "+match.Name+" and "+candidate.Name)
		}

		match = candidate
	}

	return match, nil
}

// identifyAgent says whom a token stands for that was issued to an agent: a person, with the agent as actor, or the agent itself.
func (is *issuer) identifyAgent(c claims, agent *Agent, personless bool, client string, known declarations) (*verdict, error) {
	if !personless {
		v, err := is.identifyPerson(c, client)
		if err != nil {
			return nil, err
		}

		v.principal.Actors = []Actor{{Issuer: is.URL, Subject: client, Agent: agent.Name}}

		return v, nil
	}

	for i := range known.applications {
		if known.applications[i].matches(is.Name, c) {
			return nil, refuseForNow(SubstatusScope, "matches the agent "+agent.Name+" and the application "+known.applications[i].Name)
		}
	}

	return &verdict{principal: Principal{
		Kind:        KindAgent,
		Subject:     c.text("sub"),
		Application: agent.Name,
		Attributes:  agent.Attributes,
		Client:      client,
		Method:      MethodWorkload,
	}}, nil
}

// extendActors adds the parties that the claim act names (RFC 8693 section 4.1), outermost first, to the client that is an agent
// already. A client may be the outermost actor itself; then it counts once.
func (is *issuer) extendActors(p *Principal, c claims, known declarations) error {
	if !c.has("act") {
		return nil
	}

	if !is.Delegation {
		return refuse(SubstatusScope, "delegated (act), which the issuer is not declared to do")
	}

	if p.Kind != KindPerson {
		return refuse(SubstatusScope, "delegated (act) without a person behind it")
	}

	levels, err := actorLevels(c["act"])
	if err != nil {
		return err
	}

	chain := slices.Clone(p.Actors)

	for i, level := range levels {
		actor, err := is.actor(level, known)
		if err != nil {
			return err
		}

		if i == 0 && len(chain) > 0 && chain[0].Agent == actor.Agent {
			continue
		}

		chain = append(chain, actor)
	}

	p.Actors = chain

	return checkChain(chain)
}

// actorLevels unfolds nested act claims.
func actorLevels(act any) ([]claims, error) {
	var levels []claims

	for {
		level, ok := asClaims(act)
		if !ok || level.text("sub") == "" || (level.has("iss") && level.text("iss") == "") {
			return nil, refuse(SubstatusScope, "an actor (act) is not an object with sub")
		}

		if len(levels) == MaxActors {
			return nil, refuse(SubstatusScope, fmt.Sprintf("more than %d actors", MaxActors))
		}

		levels = append(levels, level)

		if !level.has("act") {
			return levels, nil
		}

		act = level["act"]
	}
}

// checkChain wants few actors, each once.
func checkChain(chain []Actor) error {
	if len(chain) > MaxActors {
		return refuse(SubstatusScope, fmt.Sprintf("more than %d actors", MaxActors))
	}

	for i := range chain {
		for _, earlier := range chain[:i] {
			if earlier.Agent == chain[i].Agent {
				return refuse(SubstatusScope, "actor "+chain[i].Agent+" acts twice")
			}
		}
	}

	return nil
}

// actor finds the declared agent behind one level of act, or behind may_act. Its iss defaults to the token's; its sub is a client
// of that issuer.
func (is *issuer) actor(level claims, known declarations) (Actor, error) {
	home := is

	if named := level.text("iss"); named != "" {
		peer, trusted := is.peers[named]
		if !trusted {
			return Actor{}, refuse(SubstatusScope, "actor of an issuer that is not trusted")
		}

		home = peer
	}

	subject := level.text("sub")

	if home.own() {
		agent, declared := known.agent(subject)
		if !declared {
			return Actor{}, refuseForNow(SubstatusScope, "actor is not a declared agent")
		}

		return Actor{Issuer: home.URL, Subject: subject, Agent: agent.Name}, nil
	}

	about := maps.Clone(level)
	delete(about, "act")

	for _, name := range clientClaims() {
		if !about.has(name) {
			about[name] = subject
		}
	}

	agent, err := known.matchAgent(home.Name, about, true)
	if err != nil {
		return Actor{}, err
	}

	if agent == nil {
		return Actor{}, refuseForNow(SubstatusScope, "actor is not a declared agent")
	}

	return Actor{Issuer: home.URL, Subject: subject, Agent: agent.Name}, nil
}

// asClaims returns a JSON object as claims.
func asClaims(value any) (claims, bool) {
	object, ok := value.(map[string]any)

	return object, ok && object != nil
}
