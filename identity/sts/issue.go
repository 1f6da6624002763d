package sts

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/cosmosgate/cosmosgate/identity"
)

// claims are those of RFC 9068 with act and may_act (RFC 8693), authorization_details (RFC 9396), cnf (RFC 7800) and our own origin.
type claims struct {
	Issuer   string            `json:"iss"`
	Audience string            `json:"aud"`
	Subject  string            `json:"sub"`
	Client   string            `json:"client_id"`
	Act      map[string]any    `json:"act,omitempty"`
	MayAct   map[string]any    `json:"may_act,omitempty"`
	Scope    string            `json:"scope"`
	Details  json.RawMessage   `json:"authorization_details,omitempty"`
	TokenID  string            `json:"jti"`
	IssuedAt int64             `json:"iat"`
	Before   int64             `json:"nbf"`
	Expires  int64             `json:"exp"`
	Session  string            `json:"sid,omitempty"`
	ACR      string            `json:"acr,omitempty"`
	Confirm  map[string]string `json:"cnf,omitempty"`
	Origin   *origin           `json:"origin,omitempty"`
}

// origin says which token all this began with, and whose it was.
type origin struct {
	Issuer  string   `json:"iss"`
	Subject string   `json:"sub"`
	TokenID string   `json:"jti,omitempty"`
	Client  string   `json:"client_id,omitempty"`
	KeyID   string   `json:"kid,omitempty"`
	Issued  int64    `json:"iat"` // a revocation up to then withdraws what was exchanged for it later, too
	Expires int64    `json:"exp"`
	Via     []string `json:"via,omitempty"`      // our own tokens in between
	Keys    []string `json:"via_kids,omitempty"` // and what they were signed under
}

// answer is a successful answer of the token endpoint (RFC 8693 section 2.2.1).
type answer struct {
	Token      string          `json:"access_token"`
	IssuedType string          `json:"issued_token_type,omitempty"`
	Type       string          `json:"token_type"`
	ExpiresIn  int64           `json:"expires_in"`
	Scope      string          `json:"scope"`
	Details    json.RawMessage `json:"authorization_details,omitempty"`
}

// issue signs the token that was ordered.
func (s *Service) issue(ctx context.Context, o *order, e *Event) (*answer, error) {
	now := s.cfg.Clock()
	end := o.expiry(now, s.cfg.Lifetime)

	if !now.Before(end) {
		return nil, refuse(codeInvalidGrant, "the subject's token ends now")
	}

	details, err := identity.MarshalDetails(o.purpose.details)
	if err != nil {
		return nil, unavailable(err)
	}

	c := claims{
		Issuer: s.cfg.Issuer, Audience: o.purpose.audience, Subject: o.client.Name, Client: o.client.Name,
		Scope: joinScopes(o.purpose.scopes), Details: details, TokenID: s.cfg.NewID(),
		IssuedAt: now.Unix(), Before: now.Unix(), Expires: end.Unix(), Confirm: confirmClaim(o.confirm),
	}

	if o.subject != nil {
		p := &o.subject.Principal
		c.Subject, c.Session, c.ACR = string(p.Record), p.Session, p.ACR
		c.Act, c.Origin = actClaims(s.cfg.Issuer, o.actors), originOf(p)
		// Whom the person's issuer keeps the token for is kept, or the next in the chain could be anybody.
		c.MayAct = actClaim(s.cfg.Issuer, o.subject.MayAct)
	}

	token, kid, err := s.cfg.Keys.Sign(ctx, "at+jwt", c)
	if err != nil {
		return nil, unavailable(fmt.Errorf("issuing: %w", err))
	}

	e.Issued = Issued{TokenID: c.TokenID, KeyID: kid, Audience: c.Audience, Scope: c.Scope, Expires: end, Confirm: o.confirm}

	a := &answer{Token: token, Type: "Bearer", ExpiresIn: c.Expires - c.IssuedAt, Scope: c.Scope, Details: details}
	if o.confirm.Thumbprint != "" {
		a.Type = "DPoP"
	}

	if o.subject != nil {
		a.IssuedType = typeAccess
	}

	return a, nil
}

// originOf is the origin of a token that is exchanged for p's: p's own, if it was exchanged already.
func originOf(p *identity.Principal) *origin {
	if p.Method != identity.MethodSTS {
		return &origin{
			Issuer: p.Issuer, Subject: p.Subject, TokenID: p.TokenID, Client: p.Client, KeyID: p.KeyID,
			Issued: p.IssuedAt.Unix(), Expires: p.Expiry.Unix(),
		}
	}

	from := &p.Origin
	keys := slices.Clone(from.ViaKeys)

	if !slices.Contains(keys, p.KeyID) {
		keys = append(keys, p.KeyID)
	}

	return &origin{
		Issuer: from.Issuer, Subject: p.Subject, TokenID: from.TokenID, Client: from.Client, KeyID: from.KeyID,
		Issued: from.IssuedAt.Unix(), Expires: from.Expiry.Unix(), Via: append([]string{p.TokenID}, from.Via...), Keys: keys,
	}
}

func confirmClaim(c identity.Confirmation) map[string]string {
	claim := map[string]string{}
	if c.Thumbprint != "" {
		claim["jkt"] = c.Thumbprint
	}

	if c.Certificate != "" {
		claim["x5t#S256"] = c.Certificate
	}

	return claim
}
