package sts

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/cosmosgate/cosmosgate/identity"
)

// The grants of the token endpoint.
const (
	grantExchange = "urn:ietf:params:oauth:grant-type:token-exchange"
	grantBearer   = "urn:ietf:params:oauth:grant-type:jwt-bearer" //nolint:gosec // G101: a name of RFC 7523.
	grantClient   = "client_credentials"
)

// The token types of RFC 8693 section 3, and the identity assertion's.
const (
	typeAccess = "urn:ietf:params:oauth:token-type:access_token"
	typeJWT    = "urn:ietf:params:oauth:token-type:jwt"
	typeID     = "urn:ietf:params:oauth:token-type:id_token"
	typeJAG    = "urn:ietf:params:oauth:token-type:id-jag"
)

// maxVia bounds how often a token can be exchanged for another.
const maxVia = 8

// order is what a token is made of.
type order struct {
	client  proven
	subject *identity.Subject // nil: the client itself
	actors  []identity.Actor
	purpose narrowed
	confirm identity.Confirmation
}

// grant answers one request at the token endpoint.
func (s *Service) grant(ctx context.Context, client proven, f form, e *Event) (*order, error) {
	switch f["grant_type"] {
	case grantExchange:
		return s.exchange(ctx, client, f, e)
	case grantBearer:
		return s.bearer(ctx, client, f, e)
	case grantClient:
		return s.credentials(client, f, e)
	case "":
		return nil, refuse(codeInvalidRequest, "grant_type is missing")
	default:
		return nil, refuse(codeUnsupported, "grants are token-exchange, jwt-bearer and client_credentials")
	}
}

// exchange is RFC 8693: an agent brings a person's token and gets one by which it acts for that person.
func (s *Service) exchange(ctx context.Context, client proven, f form, e *Event) (*order, error) {
	switch requested := f["requested_token_type"]; requested {
	case "", typeAccess, typeJWT:
	default:
		return nil, refuse(codeInvalidRequest, "only access tokens are issued")
	}

	if f["subject_token"] == "" || f["subject_token_type"] == "" {
		return nil, refuse(codeInvalidRequest, "subject_token and subject_token_type are required")
	}

	if err := s.checkActorToken(ctx, client, f); err != nil {
		return nil, err
	}

	var (
		subject identity.Subject
		err     error
	)

	switch f["subject_token_type"] {
	case typeAccess, typeJWT:
		subject, err = s.cfg.Authenticator.Exchangeable(ctx, f["subject_token"], s.cfg.audiences())
	case typeID:
		subject, err = s.cfg.Authenticator.ExchangeableID(ctx, f["subject_token"])
	case typeJAG:
		return s.assertion(ctx, client, f, f["subject_token"], e)
	default:
		return nil, refuse(codeInvalidRequest, "subject_token_type is none that is exchanged here")
	}

	if err != nil {
		return nil, faultOf(err, codeInvalidGrant, "subject_token")
	}

	return s.delegate(client, &subject, f, false, e)
}

// bearer is RFC 7523 with an identity assertion (ID-JAG) for a grant.
func (s *Service) bearer(ctx context.Context, client proven, f form, e *Event) (*order, error) {
	if f["assertion"] == "" {
		return nil, refuse(codeInvalidRequest, "assertion is required")
	}

	return s.assertion(ctx, client, f, f["assertion"], e)
}

// assertion uses up an identity assertion: the last thing that is done with it, so that a refusal costs the client none.
func (s *Service) assertion(ctx context.Context, client proven, f form, raw string, e *Event) (*order, error) {
	subject, err := s.cfg.Authenticator.Grant(ctx, raw, s.cfg.Issuer, client.Name)
	if err != nil {
		return nil, faultOf(err, codeInvalidGrant, "assertion")
	}

	o, err := s.delegate(client, &subject, f, true, e)
	if err != nil {
		return nil, err
	}

	p := &subject.Principal
	if err := s.spend(ctx, identity.UseGrant, p.Issuer, p.TokenID, p.Expiry); err != nil {
		return nil, replayed(err, codeInvalidGrant, "assertion")
	}

	return o, nil
}

// checkActorToken wants an actor_token, if there is one, to be the client's own: the actor is who proved itself, and nobody else.
func (s *Service) checkActorToken(ctx context.Context, client proven, f form) error {
	token, kind := f["actor_token"], f["actor_token_type"]
	if token == "" && kind == "" {
		return nil
	}

	if token == "" || (kind != typeJWT && kind != typeAccess) {
		return refuse(codeInvalidRequest, "actor_token and actor_token_type (jwt or access_token) go together")
	}

	actor, err := s.cfg.Authenticator.Client(ctx, token, s.assertionAudiences())
	if err != nil {
		return faultOf(err, codeInvalidRequest, "actor_token")
	}

	if actor.Name != client.Name || actor.Kind != client.Kind {
		return refuse(codeInvalidRequest, "actor_token is another client's than the one that asks")
	}

	return nil
}

// delegate checks that the client may act for the subject, after everybody who does so already.
func (s *Service) delegate(client proven, subject *identity.Subject, f form, isGrant bool, e *Event) (*order, error) {
	p := &subject.Principal
	e.Subject = *p

	switch {
	case client.Kind != identity.KindAgent:
		return nil, refuse(codeUnauthorized, "only a declared agent acts for people")
	case p.Kind != identity.KindPerson:
		return nil, refuse(codeInvalidGrant, "the subject's token is not a person's")
	case subject.Reserved && subject.MayAct != client.Name:
		return nil, refuse(codeInvalidGrant, "the subject's token names another actor (may_act)")
	}

	actors, err := s.chain(client, p)
	if err != nil {
		return nil, err
	}

	e.Actors = actors

	for _, actor := range actors {
		if !s.cfg.MayActFor(actor.Agent, p) {
			denied := refuse(codeAccessDenied, "no AgentGrant lets the agent act for this person")
			denied.Reason = "agent " + actor.Agent

			return nil, denied
		}
	}

	if len(p.Origin.Via) >= maxVia {
		return nil, refuse(codeInvalidGrant, "the token was exchanged too often: begin with the person's own")
	}

	purpose, err := s.narrow(f, ceilingOf(subject, isGrant))
	if err != nil {
		return nil, err
	}

	return &order{client: client, subject: subject, actors: actors, purpose: purpose}, nil
}

// chain puts the client in front of those who act already. A client that is the outermost actor narrows its own token.
func (s *Service) chain(client proven, p *identity.Principal) ([]identity.Actor, error) {
	if len(p.Actors) > 0 && p.Actors[0].Agent == client.Name {
		return p.Actors, nil
	}

	if slices.ContainsFunc(p.Actors, func(actor identity.Actor) bool { return actor.Agent == client.Name }) {
		return nil, refuse(codeInvalidGrant, "the agent acts in this chain already")
	}

	if len(p.Actors) >= identity.MaxActors {
		return nil, refuse(codeInvalidGrant, "the chain of actors is too long")
	}

	return append([]identity.Actor{{Issuer: s.cfg.Issuer, Subject: client.Name, Agent: client.Name}}, p.Actors...), nil
}

// credentials is RFC 6749 section 4.4: an application, or an agent that acts for itself.
func (s *Service) credentials(client proven, f form, e *Event) (*order, error) {
	e.Subject = identity.Principal{
		Kind: client.Kind, Issuer: s.cfg.Issuer, Subject: client.Name, Application: client.Name, Client: client.Name, Method: identity.MethodSTS,
	}

	if client.Kind == identity.KindAgent && !s.cfg.MayActFor(client.Name, nil) {
		return nil, refuse(codeUnauthorized, "no AgentGrant lets the agent act for itself (onBehalfOf: none)")
	}

	purpose, err := s.narrow(f, ceiling{scopes: everyScope()})
	if err != nil {
		return nil, err
	}

	return &order{client: client, purpose: purpose}, nil
}

// expiry is when a token ends: soon, and never after what it was made from.
func (o *order) expiry(now time.Time, lifetime time.Duration) time.Time {
	end := now.Add(lifetime)

	if o.subject == nil {
		return end
	}

	for _, bound := range []time.Time{o.subject.Principal.Expiry, o.subject.Principal.Origin.Expiry} {
		if !bound.IsZero() && bound.Before(end) {
			end = bound
		}
	}

	return end
}

// actClaim names an agent by its declared name at this service; nil for none.
func actClaim(issuer, agent string) map[string]any {
	if agent == "" {
		return nil
	}

	return map[string]any{"iss": issuer, "sub": agent}
}

// actClaims nests the actors (RFC 8693 section 4.1).
func actClaims(issuer string, actors []identity.Actor) map[string]any {
	var act map[string]any

	for _, actor := range slices.Backward(actors) {
		level := actClaim(issuer, actor.Agent)
		if act != nil {
			level["act"] = act
		}

		act = level
	}

	return act
}

func joinScopes(scopes []string) string { return strings.Join(scopes, " ") }
