package identity

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"github.com/cosmosgate/cosmosgate/directory"
)

// TokenTypeGate is the gate's own token service; see [OwnIssuer].
const TokenTypeGate TokenType = "gate"

// MaxOwnLifetime is the longest life of a token of the gate's own service.
const MaxOwnLifetime = 15 * time.Minute

// OwnIssuer is the gate's own token service, whose keys are asked for in process.
type OwnIssuer struct {
	// Name is what policy and metrics call it.
	Name string
	// URL is its iss.
	URL string
	// Audience is the aud of tokens for the data plane.
	Audience string
	// Keys are its public keys. Required.
	Keys KeySource
}

// KeySource hands out the keys of the gate's own service.
type KeySource interface {
	// PublicKey returns the published key of that id.
	PublicKey(kid string) (jose.JSONWebKey, bool)
	// Generation moves whenever a key is gone: what was verified before is verified again.
	Generation() uint64
}

var (
	errOwnName  = errors.New("identity: own issuer: name, url, audience and keys are required")
	errOwnTaken = errors.New("identity: own issuer: its name or url is that of another issuer")
)

func (o *OwnIssuer) validate(others []Issuer) error {
	var faults []error

	if o.Name == "" || o.URL == "" || o.Audience == "" || o.Keys == nil {
		faults = append(faults, errOwnName)
	}

	if slices.ContainsFunc(others, func(i Issuer) bool { return i.Name == o.Name || i.URL == o.URL }) {
		faults = append(faults, errOwnTaken)
	}

	if isCosmosAudience(o.Audience) {
		faults = append(faults, errCosmos)
	}

	return errors.Join(faults...)
}

func (o *OwnIssuer) complete() *issuer {
	algorithms := []string{string(jose.ES256)}

	return &issuer{
		Issuer: Issuer{
			Name: o.Name, URL: o.URL, Audiences: []string{o.Audience}, TokenType: TokenTypeGate,
			Algorithms: algorithms, MaxLifetime: MaxOwnLifetime, Delegation: true,
		},
		verifier: &oidc.Config{SupportedSigningAlgs: algorithms, SkipClientIDCheck: true, SkipExpiryCheck: true},
		local:    o.Keys,
	}
}

// own reports whether this is the gate's own service.
func (is *issuer) own() bool { return is.local != nil }

// generation moves when a key that served is gone.
func (is *issuer) generation() uint64 {
	if is.own() {
		return is.local.Generation()
	}

	return is.keys.generation.Load()
}

// find returns the keys that may verify a token.
func (is *issuer) find(ctx context.Context, kid, alg string) ([]jose.JSONWebKey, error) {
	if !is.own() {
		return is.keys.find(ctx, kid, alg)
	}

	key, published := is.local.PublicKey(kid)
	if !published || !fits(key, alg) {
		return nil, refuseForNow(SubstatusSignature, "kid is not, or no longer, one of ours")
	}

	return []jose.JSONWebKey{key}, nil
}

// identifyOwn says who a token of the gate's own service stands for: a person with the agents that act for them, or a client itself.
// The person's sub is the id of their directory record; origin says who they are at home.
func (is *issuer) identifyOwn(c claims, known declarations) (*verdict, error) {
	client := c.text("client_id")
	if client == "" || len(c.scopes()) == 0 {
		return nil, refuse(SubstatusScope, "client_id or scope is missing")
	}

	if !c.has("origin") {
		return identifyOwnClient(c, client, known)
	}

	origin, ok := asClaims(c["origin"])
	if !ok || origin.text("iss") == "" || origin.text("sub") == "" || !c.has("act") {
		return nil, refuse(SubstatusScope, "origin or act is malformed")
	}

	home, trusted := is.peers[origin.text("iss")]
	if !trusted || home.Connection == "" {
		return nil, refuse(SubstatusScope, "the person's own issuer is not trusted any more")
	}

	expiry, errExpiry := origin.date("exp")
	issued, errIssued := origin.date("iat")

	if err := errors.Join(errExpiry, errIssued); err != nil {
		return nil, refuseBecause(SubstatusScope, "origin", err)
	}

	return &verdict{
		link:   directory.LinkKey{Connection: home.Connection, ExternalID: origin.text("sub")},
		record: directory.ID(c.text("sub")),
		principal: Principal{
			Kind:    KindPerson,
			Subject: origin.text("sub"),
			Client:  client,
			Method:  MethodSTS,
			Origin: Origin{
				Issuer: home.URL, TokenID: origin.text("jti"), Client: origin.text("client_id"), KeyID: origin.text("kid"),
				IssuedAt: issued, Expiry: expiry, Via: origin.list("via"), ViaKeys: origin.list("via_kids"),
			},
		},
	}, nil
}

// identifyOwnClient returns the application or agent that a token was issued to for itself.
func identifyOwnClient(c claims, client string, known declarations) (*verdict, error) {
	if c.text("sub") != client || c.has("act") {
		return nil, refuse(SubstatusScope, "neither a delegation nor a client's own token")
	}

	p := Principal{Kind: KindApplication, Subject: client, Application: client, Client: client, Method: MethodSTS}

	application, isApplication := known.application(client)
	agent, isAgent := known.agent(client)

	switch {
	case isApplication && !isAgent:
		p.Attributes = application.Attributes
	case isAgent && !isApplication:
		p.Kind, p.Attributes = KindAgent, agent.Attributes
	default:
		return nil, refuseForNow(SubstatusScope, "client is not, or no longer, declared exactly once")
	}

	return &verdict{principal: p}, nil
}
