package devidp

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const codeLifetime = time.Minute

// authorization is what a code stands for.
type authorization struct {
	session     session
	redirectURI string
	challenge   string
}

// authorize answers the authorization endpoint (RFC 6749 section 4.1): a page to pick a person, and no page if login_hint names
// one. What makes the redirect itself doubtful is answered here; other errors go back to the client.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	client, back, err := p.readAuthorize(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)

		return
	}

	if refusal := checkAuthorize(r.Form); refusal != nil {
		p.sendBack(w, r, back, url.Values{"error": {refusal.code}, "error_description": {refusal.description}})

		return
	}

	name := r.Form.Get("login_hint")
	if r.Method == http.MethodPost {
		name = r.PostForm.Get("person")
	}

	if name == "" {
		p.showPeople(w, page{Title: "Sign in to " + client.ID, Action: p.config.Issuer + pathAuthorize, Hidden: r.Form})

		return
	}

	person := p.person(name)
	if person == nil {
		p.sendBack(w, r, back, url.Values{"error": {"access_denied"}, "error_description": {"nobody of that name"}})

		return
	}

	code, err := p.codes.put(authorization{
		session: session{
			id: rand.Text(), client: client.ID, person: person, scopes: strings.Fields(r.Form.Get("scope")),
			nonce: r.Form.Get("nonce"), signed: p.config.Clock(),
		},
		redirectURI: r.Form.Get("redirect_uri"),
		challenge:   r.Form.Get("code_challenge"),
	}, codeLifetime)
	if err != nil {
		p.sendBack(w, r, back, url.Values{"error": {"temporarily_unavailable"}, "error_description": {err.Error()}})

		return
	}

	p.sendBack(w, r, back, url.Values{"code": {code}})
}

// readAuthorize returns who asks and where the answer may go.
func (p *Provider) readAuthorize(r *http.Request) (*Client, *url.URL, error) {
	if err := r.ParseForm(); err != nil {
		return nil, nil, fmt.Errorf("reading the form: %w", err)
	}

	if err := single(r.Form); err != nil {
		return nil, nil, err
	}

	client := p.client(r.Form.Get("client_id"))
	if client == nil {
		return nil, nil, errUnknownClient
	}

	back, err := redirectTarget(client, r.Form.Get("redirect_uri"))

	return client, back, err
}

// checkAuthorize wants a code flow with PKCE S256.
func checkAuthorize(form url.Values) *oauthError {
	challenge, err := base64.RawURLEncoding.DecodeString(form.Get("code_challenge"))

	switch {
	case form.Get("response_type") != "code":
		return invalid("unsupported_response_type", "only code")
	case form.Get("code_challenge_method") != "S256" || err != nil || len(challenge) != sha256.Size:
		return invalid("invalid_request", "PKCE with S256 is required")
	default:
		return nil
	}
}

// redirectTarget returns the registered redirect URI that uri is: the same one, or the same loopback one with another port (RFC
// 8252 section 7.3).
func redirectTarget(client *Client, uri string) (*url.URL, error) {
	target, err := url.Parse(uri)
	if err != nil || target.Fragment != "" || target.User != nil {
		return nil, errRedirect
	}

	for _, registered := range client.RedirectURIs {
		if registered == uri {
			return target, nil
		}

		known, err := url.Parse(registered)
		if err != nil || known.Scheme != "http" || !isLoopback(known.Hostname()) {
			continue
		}

		anyPort := *target
		anyPort.Host, known.Host = target.Hostname(), known.Hostname()

		if anyPort.String() == known.String() {
			return target, nil
		}
	}

	return nil, errRedirect
}

// sendBack redirects to the client with state and iss (RFC 9207).
func (p *Provider) sendBack(w http.ResponseWriter, r *http.Request, back *url.URL, answer url.Values) {
	query := back.Query()
	maps.Copy(query, answer)

	query.Set("iss", p.config.Issuer)

	if state := r.Form.Get("state"); state != "" {
		query.Set("state", state)
	}

	target := *back
	target.RawQuery = query.Encode()

	http.Redirect(w, r, target.String(), http.StatusSeeOther) //nolint:gosec // redirectTarget has matched it with a registered one.
}
