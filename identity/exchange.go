package identity

import (
	"context"
	"slices"
)

// Exchange says which tokens of an issuer the gate's token service takes besides access tokens that are meant for the gate.
type Exchange struct {
	// IDTokenClients are the clients whose ID tokens may be exchanged; none means no ID tokens.
	IDTokenClients []string
	// Grants accepts identity assertions (ID-JAG) of this issuer.
	Grants bool
	// Claim links the subject of ID tokens and grants; empty means [Issuer.Claim].
	Claim string
}

// Subject is somebody whose token may be exchanged.
type Subject struct {
	// Principal is the token's, as the directory knows them at this moment.
	Principal Principal
	// Reserved says that only the agent MayAct may act with the token (RFC 8693 section 4.4). MayAct is empty if it is none that is
	// declared.
	Reserved bool
	MayAct   string
	// Audiences are the only resources that something may be exchanged for it: those that a grant asks for, and the one that a token of
	// the gate's own service is for. None means any.
	Audiences []string
	// Scopeless says that the token is of a kind without scopes, so that their absence narrows nothing.
	Scopeless bool
}

// Exchangeable returns whom an access token stands for that is shown to be exchanged: every check of [Authenticator.Authenticate], and
// one more, since whoever exchanges a bound token proves nothing about its key. Tokens of the gate's own service may be for any one of
// resources, and are exchanged for that one alone.
func (a *Authenticator) Exchangeable(ctx context.Context, token string, resources []string) (Subject, error) {
	p, err := a.prove(ctx, token)
	if err != nil {
		return Subject{}, err
	}

	known := a.declared()
	audience := p.claims.list("aud")
	judge := p.issuer.judge

	if p.issuer.own() && len(audience) == 1 && slices.Contains(resources, audience[0]) {
		judge = p.issuer.judgeKind
	}

	v, err := judge(p.token, a.clock(), known)
	if err != nil {
		return Subject{}, err
	}

	s, err := a.subject(p, v, known)
	if p.issuer.own() {
		s.Audiences = audience
	}

	return s, err
}

// ExchangeableID returns whom an ID token stands for, if its issuer and client are declared for that.
func (a *Authenticator) ExchangeableID(ctx context.Context, token string) (Subject, error) {
	p, err := a.prove(ctx, token)
	if err != nil {
		return Subject{}, err
	}

	c := p.claims
	client := idTokenClient(c)

	switch {
	case client == "" || !slices.Contains(p.issuer.Exchange.IDTokenClients, client):
		return Subject{}, refuse(SubstatusAudience, "ID tokens of this client are not taken")
	case p.typ != "" && p.typ != "jwt":
		return Subject{}, refuse(SubstatusScope, "not an ID token")
	case c.has("events") || c.has("scp") || c.has("scope") || c.has("act") || p.issuer.isAccess(p.token):
		return Subject{}, refuse(SubstatusScope, "has what ID tokens have not")
	}

	actors, err := p.issuer.actingClient(client, a.declared())
	if err != nil {
		return Subject{}, err
	}

	s, err := a.person(p, client, actors)
	s.Scopeless = true

	return s, err
}

// actingClient is the agent that a client is, if it is one: a person's ID token in its hands is a delegation, as their access token is.
// What else the agent's access tokens are told by, an ID token need not have: the client alone decides.
func (is *issuer) actingClient(client string, known declarations) ([]Actor, error) {
	var acting *Agent

	for i := range known.agents {
		candidate := &known.agents[i]
		if candidate.Issuer != is.Name || !candidate.isClient(client) {
			continue
		}

		if acting != nil {
			return nil, refuseForNow(SubstatusScope, "client may be the agents "+acting.Name+" and "+candidate.Name)
		}

		acting = candidate
	}

	if acting == nil {
		return nil, nil
	}

	return []Actor{{Issuer: is.URL, Subject: client, Agent: acting.Name}}, nil
}

// idTokenClient is the client that an ID token was issued to: its one audience, or the one of several that azp names (OpenID Connect Core
// section 3.1.3.7).
func idTokenClient(c claims) string {
	audience := c.list("aud")
	party := c.text("azp")

	switch {
	case !c.has("azp") && len(audience) == 1:
		return audience[0]
	case party != "" && slices.Contains(audience, party):
		return party
	default:
		return ""
	}
}

// Grant returns whom an identity assertion (ID-JAG) stands for: one that is meant for audience alone and for client.
func (a *Authenticator) Grant(ctx context.Context, token, audience, client string) (Subject, error) {
	p, err := a.prove(ctx, token)
	if err != nil {
		return Subject{}, err
	}

	c := p.claims

	switch {
	case !p.issuer.Exchange.Grants:
		return Subject{}, refuse(SubstatusScope, "grants of this issuer are not taken")
	case p.typ != "oauth-id-jag+jwt":
		return Subject{}, refuse(SubstatusScope, "not an identity assertion grant")
	case !slices.Equal(c.list("aud"), []string{audience}):
		return Subject{}, refuse(SubstatusAudience, "grant is not meant for this service alone")
	case c.text("client_id") != client:
		return Subject{}, refuse(SubstatusScope, "grant is another client's")
	case c.text("jti") == "":
		return Subject{}, refuse(SubstatusScope, "grant has no jti")
	case c.has("act") || c.has("events"):
		return Subject{}, refuse(SubstatusScope, "has what grants have not")
	case c.has("resource") && c.list("resource") == nil:
		return Subject{}, refuse(SubstatusScope, "resource is malformed")
	}

	return a.person(p, client, nil)
}

// person links the subject of an ID token or grant, for whom actors act already.
func (a *Authenticator) person(p *signed, client string, actors []Actor) (Subject, error) {
	is := p.issuer

	if is.TokenType == TokenTypeEntra && p.claims.text("tid") != is.tenant {
		return Subject{}, refuse(SubstatusScope, "of another tenant")
	}

	linked := *is
	if is.Exchange.Claim != "" {
		linked.Claim = is.Exchange.Claim
	}

	v, err := linked.identifyPerson(p.claims, client)
	if err != nil {
		return Subject{}, err
	}

	v.principal.Actors = actors

	if err := is.complement(v, p.token, a.clock()); err != nil {
		return Subject{}, err
	}

	return a.subject(p, v, a.declared())
}

// subject reads what may have changed since the token was issued, and who may act with it.
func (a *Authenticator) subject(p *signed, v *verdict, known declarations) (Subject, error) {
	if v.principal.Confirm != (Confirmation{}) {
		return Subject{}, refuse(SubstatusScope, "bound to a key: can't be exchanged")
	}

	principal, err := a.admit(v)
	if err != nil {
		return Subject{}, err
	}

	return Subject{
		Principal: principal, Audiences: p.claims.list("resource"),
		Reserved: p.claims.has("may_act"), MayAct: p.issuer.mayAct(p.claims, known),
	}, nil
}

// mayAct is the declared agent that may_act names, "" if it names none.
func (is *issuer) mayAct(c claims, known declarations) string {
	named, ok := asClaims(c["may_act"])
	if !ok || named.text("sub") == "" {
		return ""
	}

	actor, err := is.actor(named, known)
	if err != nil {
		return ""
	}

	return actor.Agent
}

// Inspection is a token of the gate's own service, looked at by the service itself.
type Inspection struct {
	// Principal is whom it names. What depends on the directory is filled in only if Fault is nil.
	Principal Principal
	// Audience is its aud.
	Audience string
	// MayAct is the one agent that may act with it, empty if it is not kept for one.
	MayAct string
	// Fault says why it is not, or no longer, good; nil if it is.
	Fault error
}

// Inspect reads a token of the gate's own service. The error says that it is none.
func (a *Authenticator) Inspect(ctx context.Context, token string, audiences []string) (Inspection, error) {
	p, err := a.prove(ctx, token)
	if err != nil {
		return Inspection{}, err
	}

	if !p.issuer.own() || p.typ != "at+jwt" {
		return Inspection{}, refuse(SubstatusScope, "not a token of this service")
	}

	v := &verdict{principal: Principal{Client: p.claims.text("client_id"), TokenID: p.claims.text("jti"), Issuer: p.issuer.URL}}
	known := a.declared()
	found := Inspection{Principal: v.principal}

	audience := p.claims.list("aud")
	if len(audience) != 1 || !slices.Contains(audiences, audience[0]) {
		found.Fault = refuse(SubstatusAudience, "meant for no resource of ours")

		return found, nil
	}

	found.Audience = audience[0]

	v, err = p.issuer.identifyAny(p.claims, known)
	if err == nil {
		err = p.issuer.complement(v, p.token, a.clock())
	}

	if err != nil {
		found.Fault = err
		found.Principal.Expiry, _ = p.claims.date("exp") // ours are dates, and the fault says what matters

		return found, nil //nolint:nilerr // The fault is part of the answer.
	}

	found.Principal = v.principal
	found.Principal.Record = v.record // as the token says: whoever revokes it again is told that it is done

	principal, err := a.admit(v)
	if err != nil {
		found.Fault = err

		return found, nil //nolint:nilerr // The fault is part of the answer.
	}

	found.Principal, found.MayAct = principal, p.issuer.mayAct(p.claims, known)

	return found, nil
}
