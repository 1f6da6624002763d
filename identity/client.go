package identity

import (
	"context"
	"crypto"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/cosmosgate/cosmosgate/directory"
)

// maxAssertionLife bounds a client assertion (RFC 7523 section 3): it is made for one request.
const maxAssertionLife = 10 * time.Minute

// Client is an application or agent that has proven itself to the gate's token service.
type Client struct {
	// Kind is KindApplication or KindAgent, Name the declared name.
	Kind Kind
	Name string
	// Issuer, Subject and TokenID are those of the token that it proved itself with, empty without one.
	Issuer, Subject, TokenID string
	// Single says that the token must be used once only, until Expiry.
	Single bool
	Expiry time.Time
}

// Client returns the application or agent that a token proves: an assertion that it signed with a key of its own (private_key_jwt), or a
// token of its platform (Kubernetes, SPIFFE, Entra …). The token has one audience: one of audiences, or, if a platform issued it, one of
// those that the issuer is declared with. A client assertion is good for one use, which the caller has to see to.
func (a *Authenticator) Client(ctx context.Context, token string, audiences []string) (Client, error) {
	if len(token) > maxTokenBytes {
		return Client{}, refuse(SubstatusMalformed, "token is larger than 16 KB")
	}

	t, err := parseToken(token)
	if err != nil {
		return Client{}, err
	}

	issuer := t.claims.text("iss")

	if _, foreign := a.byURL[issuer]; !foreign {
		if agent, declared := a.declared().agent(issuer); declared && len(agent.Keys) > 0 {
			return a.asserted(t, agent, audiences)
		}
	}

	return a.platform(ctx, token, audiences)
}

// asserted checks an assertion that an agent signed itself.
func (a *Authenticator) asserted(t *token, agent *Agent, audiences []string) (Client, error) {
	expiry, err := t.assertedBy(agent.Name, agent.Keys, audiences, a.clock())
	if err != nil {
		return Client{}, err
	}

	client, _, err := a.Declared(agent.Name)
	if err != nil {
		return Client{}, err
	}

	client.Issuer, client.Subject, client.TokenID = agent.Name, agent.Name, t.claims.text("jti")
	client.Single, client.Expiry = true, expiry

	return client, nil
}

// assertedBy checks an assertion (RFC 7523) that a client made with one of its keys for one of audiences, and returns when it expires. It
// has an id, which must be spent by whoever accepts it.
func (t *token) assertedBy(name string, keys []jose.JSONWebKey, audiences []string, now time.Time) (time.Time, error) {
	c := t.claims

	switch audience := c.list("aud"); {
	case !slices.ContainsFunc(keys, t.signedBy):
		return time.Time{}, refuse(SubstatusSignature, "assertion is signed by no key of "+name)
	case t.typ != "" && t.typ != "jwt" && t.typ != "client-authentication+jwt":
		return time.Time{}, refuse(SubstatusScope, "not a client assertion")
	case c.text("sub") != name:
		return time.Time{}, refuse(SubstatusScope, "assertion is about somebody else")
	case len(audience) != 1 || !slices.Contains(audiences, audience[0]):
		return time.Time{}, refuse(SubstatusAudience, "assertion is not meant for this service alone")
	case c.text("jti") == "":
		return time.Time{}, refuse(SubstatusScope, "assertion has no jti")
	}

	return checkAssertionTimes(c, now)
}

// signedBy reports whether the signature is by a key of this id.
func (t *token) signedBy(key jose.JSONWebKey) bool {
	if key.KeyID != t.kid || !isVerificationKey(key) || !fits(key, t.alg) {
		return false
	}

	_, err := t.jws.Verify(key.Key)

	return err == nil
}

// checkAssertionTimes returns exp, which must be near; iat and nbf are optional.
func checkAssertionTimes(c claims, now time.Time) (time.Time, error) {
	expiry, errExpiry := c.date("exp")
	issued, errIssued := c.date("iat")
	notBefore, errNotBefore := c.date("nbf")

	switch {
	case errExpiry != nil || errIssued != nil || errNotBefore != nil || expiry.IsZero():
		return time.Time{}, refuse(SubstatusExpired, "exp is missing, or exp, iat or nbf is not a date")
	case !now.Before(expiry.Add(skew)):
		return time.Time{}, refuse(SubstatusExpired, "assertion is expired")
	case expiry.After(now.Add(maxAssertionLife + skew)):
		return time.Time{}, refuse(SubstatusExpired, "assertion is good for more than 10 minutes")
	case issued.After(now.Add(skew)) || notBefore.After(now.Add(skew)):
		return time.Time{}, refuse(SubstatusExpired, "assertion is not valid yet")
	default:
		return expiry, nil
	}
}

// platform checks a token that a trusted issuer gave to a workload.
func (a *Authenticator) platform(ctx context.Context, raw string, audiences []string) (Client, error) {
	p, err := a.prove(ctx, raw)
	if err != nil {
		return Client{}, err
	}

	is := p.issuer
	if is.own() {
		return Client{}, refuse(SubstatusScope, "a token of this service proves no client to it")
	}

	audience := p.claims.list("aud")
	if len(audience) != 1 || (!slices.Contains(audiences, audience[0]) && !slices.Contains(is.Audiences, audience[0])) {
		return Client{}, refuse(SubstatusAudience, "token is not meant for this service alone")
	}

	if err := is.checkKind(p.token); err != nil {
		return Client{}, err
	}

	v, err := is.identifyAny(p.claims, a.declared())
	if err != nil {
		return Client{}, err
	}

	if v.principal.Kind != KindApplication && v.principal.Kind != KindAgent {
		return Client{}, refuse(SubstatusScope, "a person's token proves no client")
	}

	if err := is.complement(v, p.token, a.clock()); err != nil {
		return Client{}, err
	}

	if v.principal.Confirm != (Confirmation{}) {
		return Client{}, refuse(SubstatusScope, "bound to a key, and proves no client without it")
	}

	principal, err := a.admit(v)
	if err != nil {
		return Client{}, err
	}

	return Client{
		Kind: principal.Kind, Name: principal.Application, Issuer: principal.Issuer, Subject: principal.Subject,
		TokenID: principal.TokenID, Expiry: principal.Expiry,
	}, nil
}

// Declared returns the declaration of a client of the token service by its name, an application or an agent, as if it had proven
// itself, and the public keys that it may prove itself with. A name that both have is nobody's.
func (a *Authenticator) Declared(name string) (Client, []crypto.PublicKey, error) {
	known := a.declared()
	agent, isAgent := known.agent(name)
	_, isApplication := known.application(name)

	client := Client{Kind: KindApplication, Name: name}
	kind := directory.SubjectApplication

	switch {
	case isAgent && isApplication:
		return Client{}, nil, refuseForNow(SubstatusScope, "both an agent and an application are called "+name)
	case isAgent:
		client.Kind, kind = KindAgent, directory.SubjectAgent
	case !isApplication:
		return Client{}, nil, refuseForNow(SubstatusScope, "client is not declared")
	}

	if lock, locked := a.directory.Locked(directory.Subject{Kind: kind, Name: name}); locked {
		return Client{}, nil, shutOut(Principal{Kind: client.Kind, Application: name}, "locked: "+lock.Message)
	}

	var keys []crypto.PublicKey

	if isAgent {
		for _, key := range agent.Keys {
			keys = append(keys, key.Key)
		}
	}

	return client, keys, nil
}
