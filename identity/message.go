package identity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

// Transmitter signs messages about people (security events, requests to revoke) without being the issuer of their tokens. No token of
// it lets anybody in.
type Transmitter struct {
	// Name is what metrics call it.
	Name string
	// URL is its exact iss.
	URL string
	// KeysURL is where its keys are; empty means where its discovery document says.
	KeysURL string
	// Algorithms is the signature allow-list; empty means RS256 and ES256.
	Algorithms []string
	// HTTPClient fetches the keys; it and its Transport are required.
	HTTPClient *http.Client
}

func (t Transmitter) validate(loopback bool) error {
	var faults []error

	if t.Name == "" {
		faults = append(faults, errNoName)
	}

	if err := checkURL(t.URL, loopback); err != nil {
		faults = append(faults, fmt.Errorf("url %q: %w", t.URL, err))
	}

	if t.KeysURL != "" {
		if err := checkURL(t.KeysURL, loopback); err != nil {
			faults = append(faults, fmt.Errorf("keys url %q: %w", t.KeysURL, err))
		}
	}

	for _, algorithm := range t.Algorithms {
		if !isAsymmetric(algorithm) {
			faults = append(faults, fmt.Errorf("algorithm %q: %w", algorithm, errAlgorithm))
		}
	}

	if t.HTTPClient == nil || t.HTTPClient.Transport == nil {
		faults = append(faults, errClient)
	}

	return errors.Join(faults...)
}

// complete returns an issuer of nothing but messages.
func (t Transmitter) complete() *issuer {
	if len(t.Algorithms) == 0 {
		t.Algorithms = []string{string(jose.RS256), string(jose.ES256)}
	}

	return &issuer{
		Issuer:   Issuer{Name: t.Name, URL: t.URL, KeysURL: t.KeysURL, Algorithms: t.Algorithms, HTTPClient: t.HTTPClient},
		verifier: &oidc.Config{SupportedSigningAlgs: t.Algorithms, SkipClientIDCheck: true, SkipExpiryCheck: true},
	}
}

// addTransmitters gives each transmitter its keys. One that is an issuer, too, has that issuer's.
func (a *Authenticator) addTransmitters(cfg Config) error {
	for _, declared := range cfg.Transmitters {
		if _, twice := a.transmitters[declared.URL]; twice {
			continue
		}

		if is, known := a.byURL[declared.URL]; known && declared.KeysURL == "" {
			a.transmitters[declared.URL] = is

			continue
		}

		is := declared.complete()

		var err error

		source := newFetcher(is.URL, fetchConfig{
			client: is.HTTPClient, loopback: cfg.InsecureLoopbackIssuers, clock: cfg.Clock, keysURL: is.KeysURL,
		})
		if is.keys, err = newKeySet(source, cfg.Logger.With(slog.String("transmitter", is.Name)), a.metrics.issuer(is.Name), a.waiting); err != nil {
			return err
		}

		a.transmitters[is.URL] = is
		a.messengers = append(a.messengers, is)
	}

	return nil
}

// Expected says which messages are taken.
type Expected struct {
	// Transmitter is the iss, one of [Config.Transmitters].
	Transmitter string
	// Audiences are the values of aud that mean this gate; one must be there.
	Audiences []string
	// Types are the accepted header types, in lower case and without "application/"; "" stands for none.
	Types []string
	// MaxAge bounds how long ago iat may be.
	MaxAge time.Duration
}

// Message is a proven message.
type Message struct {
	// Issuer, ID (jti) and IssuedAt are always there, Expiry only if the message has one.
	Issuer, ID       string
	IssuedAt, Expiry time.Time
	// Claims are all claims; numbers are json.Number. They are not to be changed.
	Claims map[string]any
}

// Errors of messages whose kind a transmitter may be told (RFC 8935 section 2.4). Everything else is an invalid request.
var (
	ErrMessageIssuer   = errors.New("message of another issuer")
	ErrMessageKey      = errors.New("message is not signed with a key of its issuer")
	ErrMessageAudience = errors.New("message is not meant for this gate")
	ErrMessage         = errors.New("message is malformed, of another type, or not of its time")
	// ErrMessageUnavailable is the gate's own trouble: it has no keys to check the message with.
	ErrMessageUnavailable = errors.New("keys of the transmitter are not available")
)

// Message checks a signed message like a token: shape, issuer, signature, audience, type, time. It spends nothing.
func (a *Authenticator) Message(ctx context.Context, raw string, want Expected) (Message, error) {
	if len(raw) > maxTokenBytes {
		return Message{}, ErrMessage
	}

	t, err := parseToken(raw)
	if err != nil {
		return Message{}, fmt.Errorf("%w: %w", ErrMessage, err)
	}

	is, known := a.transmitters[want.Transmitter]
	if !known || t.claims.text("iss") != want.Transmitter {
		return Message{}, ErrMessageIssuer
	}

	if err := is.prove(ctx, t); err != nil {
		if refusal := (*Error)(nil); errors.As(err, &refusal) && refusal.Unavailable {
			return Message{}, fmt.Errorf("%w: %w", ErrMessageUnavailable, err)
		}

		return Message{}, fmt.Errorf("%w: %w", ErrMessageKey, err)
	}

	if !slices.ContainsFunc(t.claims.list("aud"), func(audience string) bool { return slices.Contains(want.Audiences, audience) }) {
		return Message{}, ErrMessageAudience
	}

	if !slices.Contains(want.Types, t.typ) {
		return Message{}, fmt.Errorf("%w: type %q", ErrMessage, t.typ)
	}

	return readMessage(t, want, a.clock())
}

// readMessage checks the times of a proven message.
func readMessage(t *token, want Expected, now time.Time) (Message, error) {
	issued, errIssued := t.claims.date("iat")
	expiry, errExpiry := t.claims.date("exp")
	notBefore, errNotBefore := t.claims.date("nbf")
	id := t.claims.text("jti")

	switch {
	case errors.Join(errIssued, errExpiry, errNotBefore) != nil || issued.IsZero() || id == "":
		return Message{}, fmt.Errorf("%w: jti or iat is missing, or a date is none", ErrMessage)
	case issued.After(now.Add(skew)) || notBefore.After(now.Add(skew)) || now.Sub(issued) > want.MaxAge+skew:
		return Message{}, fmt.Errorf("%w: too old, or from the future", ErrMessage)
	case !expiry.IsZero() && !now.Before(expiry.Add(skew)):
		return Message{}, fmt.Errorf("%w: expired", ErrMessage)
	}

	return Message{Issuer: want.Transmitter, ID: id, IssuedAt: issued, Expiry: expiry, Claims: t.claims}, nil
}

// MessageIssuer reads iss from a message without proving anything, to find who may have sent it; "" if it can't be read.
func MessageIssuer(raw string) string {
	if len(raw) > maxTokenBytes {
		return ""
	}

	t, err := parseToken(raw)
	if err != nil {
		return ""
	}

	return t.claims.text("iss")
}

// DecodeObject decodes one JSON object as tokens are decoded: names are case-sensitive, duplicates are refused at every depth, numbers
// are json.Number.
func DecodeObject(document []byte) (map[string]any, error) { return decodeClaims(document) }
