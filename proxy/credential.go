package proxy

import (
	"errors"

	"github.com/cosmosgate/cosmosgate/cosmos"
	"github.com/cosmosgate/cosmosgate/identity"
)

const (
	headerDate  = "X-Ms-Date"
	headerProof = "Dpop"
)

// authenticate proves who is calling; the directory is read on every request.
func (p *Proxy) authenticate(c *call) error {
	c.recognised = p.policyHash()
	authorization, err := cosmos.ParseAuthorization(c.r.Header)
	if err != nil {
		return err
	}
	credential := identity.Credential{Scheme: identity.SchemeToken, Token: authorization.Token}
	switch {
	case authorization.Type == cosmos.Master:
		credential = identity.Credential{Scheme: identity.SchemeMasterKey, Signed: c.signed(authorization.Signature)}
	case c.keyID != "":
		return cosmos.MalformedCredential("a token at the host name of a key")
	default:
		credential.Proof = c.proof()
	}
	c.principal, err = p.authenticator.Authenticate(c.r.Context(), credential)
	if err != nil {
		c.refused = shutOut(err)
		return unauthenticated(err)
	}
	return nil
}

// signed is what an account key signed: the very tuple that will be forwarded, in every spelling that SDKs sign. A request that
// is none of the data plane's has no type and no link, and so no signature that fits.
func (c *call) signed(signature string) identity.SignedRequest {
	s := identity.SignedRequest{Signature: signature, Verb: c.r.Method, KeyID: c.keyID, Source: c.source}
	if c.request != nil {
		s.ResourceType, s.Links = c.request.SignedLinks()
	}
	if date := c.r.Header[headerDate]; len(date) == 1 {
		s.Date = date[0]
	}
	return s
}

// proof is what the request shows of keys that its token may be bound to.
func (c *call) proof() identity.Proof {
	var proof identity.Proof
	if c.r.TLS != nil && len(c.r.TLS.PeerCertificates) > 0 {
		proof.Certificate = c.r.TLS.PeerCertificates[0]
	}
	if sent := c.r.Header[headerProof]; len(sent) > 0 {
		proof.DPoP, proof.Several = sent[0], len(sent) > 1
		proof.Method, proof.URL = c.r.Method, "https://"+c.r.Host+c.r.URL.EscapedPath()
	}
	return proof
}

// shutOut is who was refused, if the credential told. The record wants to know.
func shutOut(err error) *identity.Principal {
	if refusal, ok := errors.AsType[*identity.Error](err); ok {
		return refusal.Refused
	}
	return nil
}

// unauthenticated is what the caller is told: a substatus, never a reason.
func unauthenticated(err error) error {
	var refusal *identity.Error
	if !errors.As(err, &refusal) || refusal.Unavailable {
		return cosmos.Unavailable("authenticating: " + err.Error())
	}
	var native *cosmos.Error
	switch refusal.Substatus {
	case identity.SubstatusMissing:
		native = cosmos.MissingCredential()
	case identity.SubstatusMalformed:
		native = cosmos.MalformedCredential(err.Error())
	case identity.SubstatusKeysDisabled:
		native = cosmos.KeysDisabled()
	default:
		native = cosmos.InvalidCredential(refusal.Substatus, err.Error())
	}
	if refusal.Hint != "" {
		native.Message += " " + refusal.Hint
	}
	native.Nonce = refusal.Nonce
	native.Reason = err.Error()
	return native
}
