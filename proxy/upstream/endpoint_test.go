package upstream_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"
)

// tenant is a well-formed tenant id that no Entra tenant has.
const tenant = "11111111-2222-3333-4444-555555555555"

// endpoint imitates the two token endpoints that azidentity speaks to: the App
// Service managed identity endpoint and an Entra token authority.
type endpoint struct {
	*httptest.Server

	mu       sync.Mutex
	requests []tokenRequest
	lifetime time.Duration
	status   int
}

// tokenRequest is what one request for a token carried.
type tokenRequest struct {
	Path     string
	Form     url.Values
	Identity string // X-IDENTITY-HEADER
}

func newEndpoint(t *testing.T) *endpoint {
	t.Helper()
	e := &endpoint{lifetime: time.Hour, status: http.StatusOK}
	e.Server = httptest.NewTLSServer(e)
	t.Cleanup(e.Close)
	return e
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path == "/"+tenant+"/v2.0/.well-known/openid-configuration" {
		writeJSON(w, map[string]any{
			"issuer":                 e.URL + "/" + tenant + "/v2.0",
			"authorization_endpoint": e.URL + "/" + tenant + "/authorize",
			"token_endpoint":         e.URL + "/" + tenant + "/oauth2/v2.0/token",
		})
		return
	}
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.requests = append(e.requests, tokenRequest{Path: r.URL.Path, Form: r.Form, Identity: r.Header.Get("X-Identity-Header")})
	if e.status != http.StatusOK {
		w.WriteHeader(e.status)
		writeJSON(w, map[string]any{"error": "unavailable"})
		return
	}
	token := "token-for-" + r.Form.Get("client_id")
	if r.URL.Path == "/msi" {
		writeJSON(w, map[string]any{
			"access_token": token, "token_type": "Bearer", "resource": r.Form.Get("resource"),
			"expires_on": time.Now().Add(e.lifetime).Unix(),
		})
		return
	}
	writeJSON(w, map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": int(e.lifetime.Seconds())})
}

// seen returns the token requests received so far.
func (e *endpoint) seen() []tokenRequest {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]tokenRequest(nil), e.requests...)
}

func (e *endpoint) fail(status int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.status = status
}

func writeJSON(w http.ResponseWriter, v any) {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}
