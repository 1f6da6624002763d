package scim

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// maxForm bounds the body of a token request; an assertion has at most 16 KiB.
	maxForm = 64 << 10
	// assertionType is the only client_assertion_type (RFC 7523 §2.2).
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
)

// oauthError is a refusal of RFC 6749 §5.2.
type oauthError struct {
	Code        string `json:"error"`
	Description string `json:"error_description,omitempty"`

	status int
	wait   time.Duration
	nonce  string
}

func (e *oauthError) Error() string { return e.Code + ": " + e.Description }

func invalidRequest(description string) error {
	return &oauthError{status: http.StatusBadRequest, Code: "invalid_request", Description: description}
}

// invalidClient says the same whatever was wrong.
func invalidClient() error {
	return &oauthError{status: http.StatusUnauthorized, Code: "invalid_client", Description: "the client is unknown, or not proven"}
}

// asOAuthError makes of anything else a fault of the gate's own.
func asOAuthError(err error) *oauthError {
	if e, ok := errors.AsType[*oauthError](err); ok {
		return e
	}
	return &oauthError{status: http.StatusServiceUnavailable, Code: "temporarily_unavailable", Description: "try again later"}
}

func (e *oauthError) write(w http.ResponseWriter) {
	if e.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="scim"`)
	}
	if e.nonce != "" {
		w.Header().Set(headerNonce, e.nonce)
	}
	if e.wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(e.wait.Seconds())+1))
	}
	if e.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", http.MethodPost)
	}
	writeOAuth(w, e.status, e)
}

// writeOAuth sends what no cache may keep (RFC 6749 §5.1).
func writeOAuth(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"error":"server_error"}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	w.WriteHeader(status)
	_, _ = w.Write(text) // a client that went away needs no answer
}

// readForm reads a bounded form in which nothing is given twice, and nothing in
// the URL, where it would end up in logs.
func readForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	if r.Method != http.MethodPost {
		return nil, &oauthError{status: http.StatusMethodNotAllowed, Code: "invalid_request", Description: "use POST"}
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, &oauthError{
			status: http.StatusUnsupportedMediaType, Code: "invalid_request", Description: "content type must be application/x-www-form-urlencoded",
		}
	}
	if r.URL.RawQuery != "" {
		return nil, invalidRequest("parameters belong in the body")
	}
	// A recorder in a test has no deadline to set; a real connection has.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(defaultBodyTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
	if _, over := errors.AsType[*http.MaxBytesError](err); over {
		return nil, &oauthError{status: http.StatusRequestEntityTooLarge, Code: "invalid_request", Description: "body is too large"}
	}
	if err != nil {
		return nil, invalidRequest("body was cut off")
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, invalidRequest("body can't be read")
	}
	for _, values := range form {
		if len(values) > 1 {
			return nil, invalidRequest("a parameter is given twice")
		}
	}
	return form, nil
}

// provenClient is a connection whose provider has proven itself.
type provenClient struct {
	name   string
	method string
	secret string // id of the secret, empty for an assertion
}

// authenticate proves the client by exactly one method (RFC 6749 §2.3).
func (o *OAuth) authenticate(r *http.Request, form url.Values) (provenClient, error) {
	lines := r.Header.Values("Authorization")
	basic, posted, asserted := len(lines) > 0, form.Has("client_secret"), form.Has("client_assertion") || form.Has("client_assertion_type")
	methods := 0
	for _, used := range []bool{basic, posted, asserted} {
		if used {
			methods++
		}
	}
	switch {
	case methods > 1 || len(lines) > 1:
		return provenClient{}, invalidRequest("use one method of client authentication")
	case basic:
		return o.byBasic(r, form.Get("client_id"))
	case posted:
		return o.bySecret(form.Get("client_id"), form.Get("client_secret"), "client_secret_post")
	case asserted:
		return o.byAssertion(r, form)
	default:
		return provenClient{}, invalidClient()
	}
}

// byBasic reads HTTP Basic, whose two parts are form-encoded (RFC 6749 §2.3.1).
func (o *OAuth) byBasic(r *http.Request, clientID string) (provenClient, error) {
	user, password, ok := r.BasicAuth()
	if !ok {
		return provenClient{}, invalidClient()
	}
	name, errName := url.QueryUnescape(user)
	secret, errSecret := url.QueryUnescape(password)
	if errName != nil || errSecret != nil || clientID != "" && clientID != name {
		return provenClient{}, invalidClient()
	}
	return o.bySecret(name, secret, "client_secret_basic")
}

func (o *OAuth) bySecret(name, secret, method string) (provenClient, error) {
	if o.known[name] == nil {
		return provenClient{}, o.unproven(name, method, "no connection has this name")
	}
	id, ok := o.config.Secrets.FindSecret(name, secret)
	if !ok {
		return provenClient{}, o.unproven(name, method, "not a live client secret of the connection")
	}
	return provenClient{name: name, method: method, secret: id}, nil
}

// claimed is whose an assertion says it is, for whoever looks into its refusal:
// nothing was verified, and nothing is decided by it.
func claimed(form url.Values) string {
	if client := form.Get("client_id"); client != "" {
		return client
	}
	var c struct {
		Subject string `json:"sub"`
	}
	_, rest, _ := strings.Cut(form.Get("client_assertion"), ".")
	payload, _, _ := strings.Cut(rest, ".")
	text, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil || json.Unmarshal(text, &c) != nil {
		return ""
	}
	return c.Subject
}

// unready is what a verifier's error says if it could not decide.
type unready interface{ CouldNotDecide() bool }

func (o *OAuth) byAssertion(r *http.Request, form url.Values) (provenClient, error) {
	if form.Get("client_assertion_type") != assertionType || form.Get("client_assertion") == "" {
		return provenClient{}, invalidRequest("client_assertion and client_assertion_type " + assertionType + " go together")
	}
	const method = "private_key_jwt"
	if o.config.Assertions == nil {
		return provenClient{}, o.unproven(form.Get("client_id"), method, "no connection has oauth.keys or oauth.federated")
	}
	name, err := o.config.Assertions.Assert(r.Context(), form.Get("client_id"), form.Get("client_assertion"), o.audiences())
	var undecided unready
	switch {
	case errors.As(err, &undecided) && undecided.CouldNotDecide():
		return provenClient{}, fmt.Errorf("proving an assertion: %w", err)
	case err != nil:
		return provenClient{}, o.unproven(claimed(form), method, err.Error())
	case o.known[name] == nil:
		return provenClient{}, invalidClient()
	}
	return provenClient{name: name, method: method}, nil
}
