package sts

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cosmosgate/cosmosgate/identity"
)

// The endpoints, under the issuer.
const (
	pathToken      = "/oauth2/token" //nolint:gosec // G101: a path.
	pathRevoke     = "/oauth2/revoke"
	pathIntrospect = "/oauth2/introspect"
	pathKeys       = "/oauth2/jwks"
	pathMetadata   = "/.well-known/oauth-authorization-server"
	pathDiscovery  = "/.well-known/openid-configuration"
)

// The operations, as records name them.
const (
	opIssue   = "issueToken"
	opRevoke  = "revokeToken"
	opInspect = "inspectToken"
)

// Service is an http.Handler for the paths of [Paths]. It is safe for concurrent use.
type Service struct {
	cfg      Config
	mux      *http.ServeMux
	limits   *limits
	metadata []byte
	requests *prometheus.CounterVec
}

// Paths are what the service answers, as patterns of [http.ServeMux].
func Paths() []string {
	return []string{pathToken, pathRevoke, pathIntrospect, pathKeys, pathMetadata, pathDiscovery}
}

// New checks cfg, reporting every fault at once.
func New(cfg Config) (*Service, error) {
	cfg.complete()

	if err := cfg.validate(); err != nil {
		return nil, err
	}

	bounds, err := newLimits(cfg.Rate, cfg.Burst, cfg.Clock)
	if err != nil {
		return nil, err
	}

	s := &Service{
		cfg: cfg, mux: http.NewServeMux(), limits: bounds, metadata: metadata(&cfg),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cosmosgate_sts_requests_total", Help: "Requests to the token service, by operation and OAuth error (ok if there was none).",
		}, []string{"operation", "result"}),
	}
	// A counter that appears with its first failure has nothing to increase from.
	for _, operation := range []string{opIssue, opRevoke, opInspect} {
		s.requests.WithLabelValues(operation, codeUnavailable)
	}

	s.mux.HandleFunc("POST "+pathToken, s.serve(opIssue, s.token))
	s.mux.HandleFunc("POST "+pathRevoke, s.serve(opRevoke, s.revoke))
	s.mux.HandleFunc("POST "+pathIntrospect, s.serve(opInspect, s.introspect))
	s.mux.HandleFunc("GET "+pathKeys, s.keys)
	s.mux.HandleFunc("GET "+pathMetadata, s.describe)
	s.mux.HandleFunc("GET "+pathDiscovery, s.describe)

	return s, nil
}

// Collectors returns the metrics to register.
func (s *Service) Collectors() []prometheus.Collector { return []prometheus.Collector{s.requests} }

// ServeHTTP implements [http.Handler]. A request that a browser makes on behalf of another site is refused.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache") // RFC 6749 section 5.1
	h.Set("X-Content-Type-Options", "nosniff")

	if r.Method == http.MethodPost && r.Header.Get("Origin") != "" {
		writeError(w, &Error{Status: http.StatusForbidden, Code: codeInvalidRequest, Description: "browsers are no clients of this service"})

		return
	}

	s.mux.ServeHTTP(w, r)
}

// endpoint does the work of one request whose client is known, and returns the body to answer; nil for none.
type endpoint func(ctx context.Context, r *http.Request, client proven, f form, e *Event) (any, error)

// serve wraps an endpoint in what is the same for all: room for the record first, then the form, the caller's rate, and who it is.
func (s *Service) serve(operation string, do endpoint) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		e := Event{
			Time: s.cfg.Clock(), ID: s.cfg.NewID(), Operation: operation, Status: http.StatusOK,
			Source: source(r), UserAgent: r.UserAgent(),
		}

		commit, err := s.cfg.Record.Reserve()
		if err != nil {
			s.cfg.Logger.ErrorContext(r.Context(), "token service: nothing can be recorded", slog.Any("error", err))
			s.finish(w, nil, unavailable(err), &e)

			return
		}

		body, err := s.answer(w, r, do, &e)
		s.note(&e, err)
		commit(e) // before the answer: who holds a token must find it in the record
		s.finish(w, body, err, &e)
	}
}

func (s *Service) answer(w http.ResponseWriter, r *http.Request, do endpoint, e *Event) (any, error) {
	ctx := r.Context()

	f, err := readForm(w, r)
	if err != nil {
		return nil, s.failed(e.Source, err)
	}

	e.Grant = clip(f["grant_type"])

	client, err := s.authenticateFor(ctx, r, f, e.Operation)
	if err != nil {
		return nil, s.failed(e.Source, err)
	}

	e.Client, e.Method = client.Client, client.method

	if wait := s.limits.client(client.Name); client.Name != "" && wait > 0 {
		return nil, tooMany(wait)
	}

	return do(ctx, r, client, f, e)
}

// failed counts what an address could not prove. Once that is too much, it is told nothing more than to wait. Who does prove something is
// never kept waiting for it: behind a balancer, everybody has one address.
func (s *Service) failed(source string, err error) error {
	if asError(err).Status >= http.StatusInternalServerError {
		return err
	}

	if wait := s.limits.failed(source); wait > 0 {
		return tooMany(wait)
	}

	return err
}

// authenticateFor is authenticate, but for a person who revokes a token that is about them: they prove themselves with a token of theirs.
func (s *Service) authenticateFor(ctx context.Context, r *http.Request, f form, operation string) (proven, error) {
	if _, isBearer := bearerToken(r); isBearer && operation == opRevoke {
		return proven{}, nil // looked at in revoke
	}

	return s.authenticate(ctx, r, f)
}

func tooMany(wait time.Duration) *Error {
	return &Error{
		Status: http.StatusTooManyRequests, Code: codeSlowDown, Description: "too many requests; come back in " +
			strconv.Itoa(int(wait/time.Second)+1) + " s",
	}
}

// note completes the record.
func (s *Service) note(e *Event, err error) {
	e.Duration = s.cfg.Clock().Sub(e.Time)

	if err == nil {
		return
	}

	fault := asError(err)
	e.Status, e.Code, e.Unavailable = fault.Status, fault.Code, fault.Status >= http.StatusInternalServerError
	e.Reason = fault.Description

	if fault.Reason != "" {
		e.Reason += ": " + fault.Reason
	}

	if e.Subject.Kind == 0 {
		e.Subject = fault.who
	}
}

// finish writes the answer.
func (s *Service) finish(w http.ResponseWriter, body any, err error, e *Event) {
	w.Header().Set("X-Cosmosgate-Decision", e.ID)

	if err != nil {
		fault := asError(err)
		s.requests.WithLabelValues(e.Operation, fault.Code).Inc()

		if fault.Status >= http.StatusInternalServerError {
			s.cfg.Logger.Error("token service", slog.String("operation", e.Operation), slog.String("id", e.ID), slog.Any("error", err))
		}

		writeError(w, fault)

		return
	}

	s.requests.WithLabelValues(e.Operation, "ok").Inc()
	writeJSON(w, http.StatusOK, body)
}

func writeError(w http.ResponseWriter, e *Error) {
	h := w.Header()

	if e.nonce != "" {
		h.Set("DPoP-Nonce", e.nonce)
	}

	if e.challenge {
		h.Set("WWW-Authenticate", `Basic realm="oauth2"`)
	}

	if e.Status == http.StatusTooManyRequests || e.Status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "2")
	}

	writeJSON(w, e.Status, map[string]string{"error": e.Code, "error_description": e.Description})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	if body == nil {
		w.WriteHeader(status)

		return
	}

	text, err := json.Marshal(body)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)

		return
	}

	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(text) // nothing to tell a caller who has gone
}

// token is the token endpoint.
func (s *Service) token(ctx context.Context, r *http.Request, client proven, f form, e *Event) (any, error) {
	// Before the grant, which may use up an assertion: a client makes another proof by itself, but not another grant.
	confirm, err := s.confirm(ctx, r, client)
	if err != nil {
		return nil, err
	}

	o, err := s.grant(ctx, client, f, e)
	if err != nil {
		return nil, asGrant(f["grant_type"], err)
	}

	o.confirm = confirm

	a, err := s.issue(ctx, o, e)
	if err != nil {
		return nil, asGrant(f["grant_type"], err)
	}

	return a, nil
}

// asGrant gives what is wrong with the tokens of an exchange the one code that RFC 8693 section 2.2.2 has for it.
func asGrant(grant string, err error) error {
	if fault, ok := errors.AsType[*Error](err); ok && grant == grantExchange && fault.Code == codeInvalidGrant {
		fault.Code = codeInvalidRequest
	}

	return err
}

// confirm is the key that the new token is bound to: the certificate that the client proved itself with, and the key of a DPoP proof
// (RFC 9449 section 5).
func (s *Service) confirm(ctx context.Context, r *http.Request, client proven) (identity.Confirmation, error) {
	var c identity.Confirmation

	if client.certificate != nil {
		c.Certificate = identity.CertificateThumbprint(client.certificate)
	}

	proofs := r.Header.Values("DPoP")
	if len(proofs) == 0 {
		return c, nil
	}

	if s.cfg.Proofs == nil {
		return c, refuse(codeInvalidProof, "DPoP proofs are not taken here")
	}

	var err error

	c.Thumbprint, err = s.cfg.Proofs.Thumbprint(ctx, "", &identity.Proof{
		DPoP: proofs[0], Several: len(proofs) > 1, Method: r.Method, URL: s.cfg.Issuer + pathToken,
	})
	if err == nil {
		return c, nil
	}

	fault := faultOf(err, codeInvalidProof, "DPoP proof")

	if refusal, ok := errors.AsType[*identity.Error](err); ok && refusal.Nonce != "" {
		fault.Code, fault.Description, fault.nonce = codeUseNonce, "use the nonce of this answer", refusal.Nonce
	}

	return c, fault
}

// keys publishes the public keys. They may be kept for an hour: each is published a day before it signs.
func (s *Service) keys(w http.ResponseWriter, _ *http.Request) {
	set := s.cfg.Keys.Published()
	if len(set.Keys) == 0 {
		writeError(w, unavailable(ErrNoKey))

		return
	}

	w.Header().Del("Pragma")
	w.Header().Set("Cache-Control", "public, max-age=3600")
	writeJSON(w, http.StatusOK, set)
}

// involves reports whether a client is a party to a token: it was issued to it, or the client acts in its chain.
func involves(client string, p *identity.Principal) bool {
	return client != "" && (p.Client == client ||
		slices.ContainsFunc(p.Actors, func(actor identity.Actor) bool { return actor.Agent == client }))
}

// clip bounds a text that is recorded.
func clip(s string) string {
	const enough = 100
	if len(s) > enough {
		return strings.ToValidUTF8(s[:enough], "") + "…"
	}

	return s
}
