package identity

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// skew is how far an issuer's clock may be from ours.
const skew = time.Minute

// proof lets the library verify a token that is parsed already, with the keys of the one issuer that it names. It keeps the
// reason of a failure, which the library would turn into text.
type proof struct {
	token  *token
	issuer *issuer
	reason error
}

// VerifySignature implements oidc.KeySet.
func (p *proof) VerifySignature(ctx context.Context, _ string) ([]byte, error) {
	keys, err := p.issuer.find(ctx, p.token.kid, p.token.alg)
	if err != nil {
		p.reason = err

		return nil, err
	}

	for _, key := range keys {
		payload, err := p.token.jws.Verify(key.Key)
		if err == nil {
			return payload, nil
		}
	}

	p.reason = refuse(SubstatusSignature, "signature is wrong")

	return nil, p.reason
}

// prove checks the signature under the issuer's own keys. The library checks the issuer's algorithms before it asks for keys.
func (is *issuer) prove(ctx context.Context, t *token) error {
	attempt := &proof{token: t, issuer: is}

	_, err := oidc.NewVerifier(is.URL, attempt, is.verifier).Verify(ctx, t.raw)
	if attempt.reason != nil {
		return attempt.reason
	}

	if err != nil {
		return refuseBecause(SubstatusSignature, "token", err)
	}

	return nil
}

// judge decides what a proven token is worth. The order is identity.md's: audience, kind, client, times, binding.
func (is *issuer) judge(t *token, now time.Time, known declarations) (*verdict, error) {
	if err := is.checkAudience(t.claims); err != nil {
		return nil, err
	}

	return is.judgeKind(t, now, known)
}

// judgeKind is judge for a token whose audience is known to be right.
func (is *issuer) judgeKind(t *token, now time.Time, known declarations) (*verdict, error) {
	if err := is.checkKind(t); err != nil {
		return nil, err
	}

	proven, err := is.identifyAny(t.claims, known)
	if err != nil {
		return nil, err
	}

	proven.declared = known

	return proven, is.complement(proven, t, now)
}

// complement checks what is the same for everybody (times, binding) and notes what else the claims say.
func (is *issuer) complement(v *verdict, t *token, now time.Time) error {
	c := t.claims

	issued, expiry, err := is.checkTimes(c, now)
	if err != nil {
		return err
	}

	if v.principal.Confirm, err = c.confirmation(); err != nil {
		return err
	}

	if v.principal.Details, err = tokenDetails(c); err != nil {
		return err
	}

	v.issuer = is
	v.principal.Issuer = is.URL
	v.principal.IssuedAt, v.principal.Expiry = issued, expiry
	v.principal.Scopes = is.scopes(c)
	v.principal.TokenID = c.text("jti")
	v.principal.Session = c.text("sid")
	v.principal.ACR = c.text("acr")
	v.principal.KeyID = t.kid
	v.traces = tracesOf(&v.principal)

	return nil
}

// scopes are the token's scopes, and what they mean here.
func (is *issuer) scopes(c claims) []string {
	scopes := c.scopes()

	for _, scope := range slices.Clone(scopes) {
		for _, meant := range is.Scopes[scope] {
			if !slices.Contains(scopes, meant) {
				scopes = append(scopes, meant)
			}
		}
	}

	return scopes
}

// identifyAny says who a token stands for, and who acts for them.
func (is *issuer) identifyAny(c claims, known declarations) (*verdict, error) {
	identify := is.identify
	if is.own() {
		identify = is.identifyOwn
	}

	proven, err := identify(c, known)
	if err != nil {
		return nil, err
	}

	if err := is.extendActors(&proven.principal, c, known); err != nil {
		return nil, err
	}

	if actors := proven.principal.Actors; is.own() && len(actors) > 0 && actors[0].Agent != proven.principal.Client {
		return nil, refuse(SubstatusScope, "the outermost actor is not the client")
	}

	return proven, nil
}

// checkAudience wants one of ours among aud, and in the gate's own tokens nothing else.
func (is *issuer) checkAudience(c claims) error {
	audiences := c.list("aud")
	if is.own() && len(audiences) != 1 {
		return refuse(SubstatusAudience, "not made for one resource")
	}

	for _, audience := range audiences {
		if slices.Contains(is.Audiences, audience) {
			return nil
		}
	}

	return refuse(SubstatusAudience, "audience is not this resource")
}

// checkKind wants an access token. What else an issuer signs (ID, logout, event, proof and grant tokens) has another header type
// or lacks what its access tokens have.
func (is *issuer) checkKind(t *token) error {
	if t.claims.has("events") || t.claims.has("at_hash") || t.claims.has("c_hash") {
		return refuse(SubstatusScope, "an ID or event token, not an access token")
	}

	if !is.isAccess(t) {
		return refuse(SubstatusScope, "not an access token of this issuer")
	}

	return nil
}

func isUntyped(t *token) bool { return t.typ == "" || t.typ == "jwt" }

func (is *issuer) isAccess(t *token) bool {
	untyped := isUntyped(t)

	switch is.TokenType {
	case TokenTypeRFC9068, TokenTypeGate:
		return t.typ == "at+jwt"
	case TokenTypeEntra:
		return t.typ == "jwt" && is.isEntraAccess(t.claims)
	case TokenTypeOkta:
		return untyped && isOktaAccess(t.claims)
	case TokenTypeKeycloak:
		return (t.typ == "jwt" || t.typ == "at+jwt") && t.claims.text("typ") == "Bearer"
	case TokenTypeSPIFFE:
		return is.isSVID(t)
	case TokenTypeJWT:
		return untyped && isPlainAccess(t.claims)
	case TokenTypeWorkload:
		return untyped && !t.claims.has("nonce")
	default:
		return false
	}
}

// isEntraAccess tells an Entra access token of the pinned tenant from an ID token of the same application, whose header is the
// same: it either delegates (scp) or is an application's own. Roles tell nothing: ID tokens have them too.
func (is *issuer) isEntraAccess(c claims) bool {
	return c.text("tid") == is.tenant && !c.has("nonce") && (c.text("scp") != "" || isAppOnly(c))
}

// isOktaAccess goes by the prefix of jti, which is ID. in Okta's ID tokens.
func isOktaAccess(c claims) bool {
	return strings.HasPrefix(c.text("jti"), "AT.") && c.text("cid") != "" && c.has("scp") && !c.has("nonce")
}

// isPlainAccess goes by what RFC 9068 wants of access tokens and ID tokens lack: client_id and jti. An ID token is meant for its
// client; a token that is meant for nobody else may be one.
func isPlainAccess(c claims) bool {
	client := c.text("client_id")

	return client != "" && c.text("jti") != "" && !c.has("nonce") && !c.has("auth_time") &&
		slices.ContainsFunc(c.list("aud"), func(audience string) bool { return audience != client })
}

// isAppOnly reports whether an Entra token was issued to an application for itself.
func isAppOnly(c claims) bool {
	if c.has("idtyp") {
		return c.text("idtyp") == "app"
	}

	return !c.has("scp") && c.text("oid") != "" && c.text("sub") == c.text("oid")
}

// checkTimes wants exp and iat, honours nbf, and bounds what the issuer may grant.
func (is *issuer) checkTimes(c claims, now time.Time) (time.Time, time.Time, error) {
	expiry, errExpiry := c.date("exp")
	issued, errIssued := c.date("iat")
	notBefore, errNotBefore := c.date("nbf")

	var reason string

	switch {
	case errExpiry != nil || errIssued != nil || errNotBefore != nil:
		reason = "exp, iat or nbf is not a date"
	case expiry.IsZero() || issued.IsZero():
		reason = "exp or iat is missing"
	case !now.Before(expiry.Add(skew)):
		reason = "expired"
	case issued.After(now.Add(skew)) || notBefore.After(now.Add(skew)):
		reason = "not valid yet"
	case expiry.Sub(issued) > is.MaxLifetime:
		reason = "lives longer than the issuer may grant"
	default:
		return issued, expiry, nil
	}

	return time.Time{}, time.Time{}, refuse(SubstatusExpired, reason)
}
