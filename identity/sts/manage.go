package sts

import (
	"context"
	"net/http"
	"strings"

	"github.com/cosmosgate/cosmosgate/identity"
)

// revoke is RFC 7009: who holds a token, acts by it, or is the person that it is about, ends it, and with it what was exchanged for it.
func (s *Service) revoke(ctx context.Context, r *http.Request, client proven, f form, e *Event) (any, error) {
	if f["token"] == "" {
		return nil, refuse(codeInvalidRequest, "token is required")
	}

	person, err := s.person(ctx, r, client)
	if err != nil {
		return nil, s.failed(e.Source, err)
	}

	if person != nil {
		if wait := s.limits.client("person " + string(person.Record)); wait > 0 { // no client's name has a blank
			return nil, tooMany(wait)
		}
	}

	found, err := s.cfg.Authenticator.Inspect(ctx, f["token"], s.cfg.audiences())
	if err != nil {
		if fault := faultOf(err, codeInvalidRequest, "token"); fault.Status >= http.StatusInternalServerError {
			return nil, fault
		}

		return nil, nil //nolint:nilnil // A token that is not ours, or not one, is revoked already (section 2.2).
	}

	p := &found.Principal
	e.Subject, e.Actors = *p, p.Actors
	e.Issued = Issued{TokenID: p.TokenID, KeyID: p.KeyID, Audience: found.Audience, Scope: joinScopes(p.Scopes), Expires: p.Expiry}

	if !involves(client.Name, p) && (person == nil || p.Record == "" || person.Record != p.Record) {
		return nil, refuse(codeUnauthorized, "the token is another's")
	}

	by := client.Name
	if person != nil {
		by = "the person"
	}

	err = s.cfg.Revoke(ctx, identity.Revocation{
		Kind: identity.RevokeToken, Issuer: s.cfg.Issuer, Name: p.TokenID, Expires: p.Expiry, Reason: "revoked by its holder", By: by,
	})
	if err != nil {
		return nil, unavailable(err)
	}

	return nil, nil //nolint:nilnil // 200 without a body.
}

// bearerToken is the token of an Authorization header of that scheme, whose name has no case (RFC 9110 section 11.1).
func bearerToken(r *http.Request) (string, bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")

	return token, strings.EqualFold(scheme, "Bearer")
}

// person is who proves to be one with a token of theirs, in the absence of a client.
func (s *Service) person(ctx context.Context, r *http.Request, client proven) (*identity.Principal, error) {
	if client.Name != "" {
		return nil, nil //nolint:nilnil // No person.
	}

	token, _ := bearerToken(r)

	subject, err := s.cfg.Authenticator.Exchangeable(ctx, token, nil)
	if err != nil {
		return nil, faultOf(err, codeInvalidClient, "bearer token")
	}

	if p := &subject.Principal; p.Kind == identity.KindPerson && len(p.Actors) == 0 {
		return p, nil
	}

	return nil, invalidClient("the bearer token is not a person's own")
}

// inspection is an answer of RFC 7662 section 2.2.
type inspection struct {
	claims

	Active    bool   `json:"active"`
	TokenType string `json:"token_type,omitempty"`
}

// introspect is RFC 7662, for the parties of a token only: what it says about people is nobody else's business.
func (s *Service) introspect(ctx context.Context, _ *http.Request, client proven, f form, e *Event) (any, error) {
	if f["token"] == "" {
		return nil, refuse(codeInvalidRequest, "token is required")
	}

	found, err := s.cfg.Authenticator.Inspect(ctx, f["token"], s.cfg.audiences())
	if err != nil {
		if fault := faultOf(err, codeInvalidRequest, "token"); fault.Status >= http.StatusInternalServerError {
			return nil, fault
		}

		return map[string]bool{"active": false}, nil
	}

	p := &found.Principal
	e.Subject, e.Actors = *p, p.Actors
	e.Issued = Issued{TokenID: p.TokenID, KeyID: p.KeyID, Audience: found.Audience, Scope: joinScopes(p.Scopes), Expires: p.Expiry}

	if found.Fault != nil || !involves(client.Name, p) {
		if found.Fault != nil && faultOf(found.Fault, codeInvalidRequest, "token").Status >= http.StatusInternalServerError {
			return nil, unavailable(found.Fault)
		}

		return map[string]bool{"active": false}, nil
	}

	details, err := identity.MarshalDetails(p.Details)
	if err != nil {
		return nil, unavailable(err)
	}

	answer := inspection{Active: true, TokenType: "Bearer", claims: claims{
		Issuer: s.cfg.Issuer, Audience: found.Audience, Subject: string(p.Record), Client: p.Client, Act: actClaims(s.cfg.Issuer, p.Actors),
		Scope: joinScopes(p.Scopes), Details: details, TokenID: p.TokenID, IssuedAt: p.IssuedAt.Unix(), Before: p.IssuedAt.Unix(),
		Expires: p.Expiry.Unix(), Session: p.Session, ACR: p.ACR, Confirm: confirmClaim(p.Confirm),
		MayAct: actClaim(s.cfg.Issuer, found.MayAct),
	}}
	if p.Record == "" {
		answer.Subject = p.Application
	}

	if p.Confirm.Thumbprint != "" {
		answer.TokenType = "DPoP"
	}

	return answer, nil
}
