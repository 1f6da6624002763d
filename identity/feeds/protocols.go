package feeds

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cosmosgate/cosmosgate/identity"
)

const (
	// requestAge bounds how long ago a request, or a logout token, was signed.
	requestAge = 10 * time.Minute
	// eventAge bounds how long ago an event was: transmitters send again what could not be delivered.
	eventAge = 7 * 24 * time.Hour
	// spendAge bounds how long the id of a message is remembered: a transmitter with much to say must not fill the memory that client
	// assertions need. A message that comes again later withdraws nothing new.
	spendAge = time.Hour
)

// The security events that revoke (CAEP 1.0), and the one that tests a stream (SSF 1.0 section 8.1.4).
const (
	caep                  = "https://schemas.openid.net/secevent/caep/event-type/"
	eventSessionRevoked   = caep + "session-revoked"
	eventCredentialChange = caep + "credential-change"
	eventClaimsChange     = caep + "token-claims-change"
	eventLogout           = "http://schemas.openid.net/event/backchannel-logout"
)

// send answers the provider.
func (x *exchange) send(answer reply) {
	header := x.w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")

	if answer.status == http.StatusServiceUnavailable {
		header.Set("Retry-After", "5")
	}

	if answer.body == nil {
		x.w.WriteHeader(answer.status)

		return
	}

	document, err := json.Marshal(answer.body)
	if err != nil {
		x.w.WriteHeader(http.StatusInternalServerError)

		return
	}

	header.Set("Content-Type", "application/json")
	x.w.WriteHeader(answer.status)
	_, _ = x.w.Write(document) // who has gone will send the message again
}

// plainRefusal is an OAuth error.
func plainRefusal(status int, code, description string) reply {
	return reply{status: status, body: map[string]string{"error": code, "error_description": description}, reason: code, detail: description}
}

// eventRefusal is an error of RFC 8935 section 2.3.
func eventRefusal(status int, code, description string) reply {
	return reply{status: status, body: map[string]string{"err": code, "description": description}, reason: code, detail: description}
}

// unavailable is our own trouble; the provider sends again.
func unavailable(refuse func(int, string, string) reply, err error) reply {
	answer := refuse(http.StatusServiceUnavailable, "unavailable", "try again later")
	answer.detail = err.Error()

	return answer
}

// globalRevocation is draft-parecki-oauth-global-token-revocation, authenticated as Okta does: a JWT signed by the provider.
func (x *exchange) globalRevocation(ctx context.Context) reply {
	scheme, raw, _ := strings.Cut(x.r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "bearer") || !x.choose(raw) {
		return x.unauthorized("no credential, or one of nobody who may revoke")
	}

	m, err := x.intake.cfg.Messages.Message(ctx, raw, identity.Expected{
		Transmitter: x.feed.Transmitter, Audiences: x.feed.Audiences, MaxAge: requestAge,
		Types: []string{"global-token-revocation+jwt", "jwt", ""},
	})
	if errors.Is(err, identity.ErrMessageUnavailable) {
		return unavailable(plainRefusal, err)
	}

	if err != nil {
		return x.unauthorized(err.Error())
	}

	x.record.ID = m.ID

	// The credential says nothing about whom: it must not serve for another body.
	switch err := x.spend(ctx, identity.UseRevocation, &m, requestAge); {
	case errors.Is(err, identity.ErrUsed), errors.Is(err, identity.ErrOnceExpired):
		return x.unauthorized(err.Error())
	case err != nil:
		return unavailable(plainRefusal, err)
	}

	body, err := identity.DecodeObject(x.body)
	if err != nil {
		return plainRefusal(http.StatusBadRequest, "invalid_request", "the body is not a JSON object")
	}

	subject, named := body["sub_id"]
	if !named {
		subject = body["subject"] // up to draft -02
	}

	targets, ok := x.targets(subject, m.IssuedAt)
	if !ok {
		return plainRefusal(http.StatusBadRequest, "invalid_request", "sub_id is missing, or of a format that is not known here")
	}

	if len(targets) == 0 {
		return plainRefusal(http.StatusNotFound, "not_found", "nobody is known by that subject")
	}

	if err := x.revoke(ctx, targets); err != nil {
		return unavailable(plainRefusal, err)
	}

	return reply{status: http.StatusNoContent}
}

func (x *exchange) unauthorized(detail string) reply {
	x.w.Header().Set("WWW-Authenticate", "Bearer")

	answer := plainRefusal(http.StatusUnauthorized, "invalid_token", "the request is not signed by a provider that may revoke here")
	answer.detail = detail

	return answer
}

// event is a security event token by HTTP push (RFC 8935).
func (x *exchange) event(ctx context.Context) reply {
	raw := string(x.body)
	if !x.choose(raw) {
		return eventRefusal(http.StatusBadRequest, "invalid_issuer", "no stream of this issuer is declared")
	}

	m, err := x.intake.cfg.Messages.Message(ctx, raw, identity.Expected{
		Transmitter: x.feed.Transmitter, Audiences: x.feed.Audiences, MaxAge: eventAge, Types: []string{"secevent+jwt"},
	})

	switch {
	case err == nil:
	case errors.Is(err, identity.ErrMessageUnavailable):
		return unavailable(eventRefusal, err)
	case errors.Is(err, identity.ErrMessageKey):
		return eventRefusal(http.StatusBadRequest, "invalid_key", "the signature does not verify under the issuer's keys")
	case errors.Is(err, identity.ErrMessageAudience):
		return eventRefusal(http.StatusBadRequest, "invalid_audience", "aud does not name this receiver")
	default:
		return eventRefusal(http.StatusBadRequest, "invalid_request", "not a security event token that this receiver takes")
	}

	x.record.ID = m.ID

	targets, ok := x.eventTargets(&m)
	if !ok {
		return eventRefusal(http.StatusBadRequest, "invalid_request", "an event's subject is missing or malformed")
	}

	if err := x.revoke(ctx, targets); err != nil {
		return unavailable(eventRefusal, err)
	}

	// An event that comes again is acknowledged again: the transmitter has not seen the first answer. It withdrew nothing new.
	err = x.spend(ctx, identity.UseEvent, &m, eventAge)
	if err != nil && !errors.Is(err, identity.ErrUsed) && !errors.Is(err, identity.ErrOnceExpired) {
		return unavailable(eventRefusal, err)
	}

	return reply{status: http.StatusAccepted, ignored: len(targets) == 0 || err != nil}
}

// eventTargets reads the events of a token. Those of other types are nothing to us.
func (x *exchange) eventTargets(m *identity.Message) ([]identity.Revocation, bool) {
	events, ok := m.Claims["events"].(map[string]any)
	if !ok || len(events) == 0 {
		return nil, false
	}

	var all []identity.Revocation

	for _, kind := range []string{eventSessionRevoked, eventCredentialChange, eventClaimsChange} {
		content, there := events[kind]
		if !there {
			continue
		}

		event, ok := content.(map[string]any)
		if !ok {
			return nil, false
		}

		// A credential that somebody adds takes none away.
		if kind == eventCredentialChange && event["change_type"] == "create" {
			continue
		}

		subject, named := m.Claims["sub_id"]
		if !named {
			subject = event["subject"] // before SSF 1.0
		}

		targets, ok := x.targets(subject, m.IssuedAt)
		if !ok {
			return nil, false
		}

		all = append(all, targets...)
	}

	return all, true
}

// logout is OpenID Connect Back-Channel Logout 1.0, section 2.6.
func (x *exchange) logout(ctx context.Context) reply {
	form, err := url.ParseQuery(string(x.body))
	if err != nil || len(form["logout_token"]) != 1 {
		return plainRefusal(http.StatusBadRequest, "invalid_request", "give one logout_token")
	}

	raw := form.Get("logout_token")
	if !x.choose(raw) {
		return plainRefusal(http.StatusBadRequest, "invalid_request", "the issuer is none that may log out here")
	}

	m, err := x.intake.cfg.Messages.Message(ctx, raw, identity.Expected{
		Transmitter: x.feed.Transmitter, Audiences: x.feed.Audiences, MaxAge: requestAge, Types: []string{"logout+jwt", "jwt", ""},
	})
	if errors.Is(err, identity.ErrMessageUnavailable) {
		return unavailable(plainRefusal, err)
	}

	if err != nil {
		answer := plainRefusal(http.StatusBadRequest, "invalid_request", "the logout token is not valid")
		answer.detail = err.Error()

		return answer
	}

	x.record.ID = m.ID

	targets, ok := x.logoutTargets(&m)
	if !ok {
		return plainRefusal(http.StatusBadRequest, "invalid_request", "not a logout token: events, nonce, sub or sid is wrong")
	}

	if err := x.revoke(ctx, targets); err != nil {
		return unavailable(plainRefusal, err)
	}

	switch err := x.spend(ctx, identity.UseLogout, &m, requestAge); {
	case errors.Is(err, identity.ErrUsed), errors.Is(err, identity.ErrOnceExpired):
		return plainRefusal(http.StatusBadRequest, "invalid_request", "the logout token was used before")
	case err != nil:
		return unavailable(plainRefusal, err)
	}

	return reply{status: http.StatusOK}
}

// logoutTargets reads what only a logout token has: the event, no nonce (which an ID token would have), a subject or a session.
func (x *exchange) logoutTargets(m *identity.Message) ([]identity.Revocation, bool) {
	events, _ := m.Claims["events"].(map[string]any)
	_, isLogout := events[eventLogout].(map[string]any)
	_, hasNonce := m.Claims["nonce"]
	subject, session := text(m.Claims["sub"]), text(m.Claims["sid"])

	if !isLogout || hasNonce || (subject == "" && session == "") {
		return nil, false
	}

	var all []identity.Revocation

	if session != "" {
		all = append(all, x.marks(identity.RevokeSession, session, m.IssuedAt)...)
	}

	if subject != "" && (session == "" || !x.feed.SessionOnly) {
		all = append(all, x.marks(identity.RevokeSubject, subject, m.IssuedAt)...)
	}

	return all, true
}

// spend uses up the id of a message for as long as it would be accepted, an hour at most.
func (x *exchange) spend(ctx context.Context, use identity.Use, m *identity.Message, age time.Duration) error {
	until := m.IssuedAt.Add(age)
	if !m.Expiry.IsZero() && m.Expiry.Before(until) {
		until = m.Expiry
	}

	if latest := x.intake.cfg.Clock().Add(spendAge); latest.Before(until) {
		until = latest
	}

	return x.intake.cfg.Spend(ctx, use, m.Issuer, m.ID, until)
}
