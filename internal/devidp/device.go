package devidp

import (
	"crypto/rand"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	deviceLifetime = 10 * time.Minute
	// pollInterval is what devices are told, and held to (RFC 8628 section 3.5).
	pollInterval = 5 * time.Second
)

// device is one pending device sign-in.
type device struct {
	userCode string

	mu      sync.Mutex
	session session // its person is nil until somebody has answered
	polled  time.Time
}

// poll returns the session once somebody has signed in.
func (d *device) poll(now time.Time) (session, error) {
	d.mu.Lock()
	defer d.mu.Unlock()

	tooFast := now.Sub(d.polled) < pollInterval
	d.polled = now

	switch {
	case d.session.person != nil:
		return d.session, nil
	case tooFast:
		return session{}, invalid("slow_down", "poll every 5 seconds")
	default:
		return session{}, invalid("authorization_pending", "nobody has signed in yet")
	}
}

// answer signs person in, unless somebody else was faster.
func (d *device) answer(person *Person, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()

	if d.session.person != nil {
		return false
	}

	d.session.person, d.session.signed = person, now

	return true
}

// newUserCode returns eight letters in two groups, without vowels and look-alikes (RFC 8628 section 6.1).
func newUserCode() (string, error) {
	const (
		letters = "BCDFGHJKLMNPQRSTVWXZ"
		length  = 8
	)

	code := make([]byte, 0, length+1)

	for i := range length {
		if i == length/2 {
			code = append(code, '-')
		}

		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(letters))))
		if err != nil {
			return "", fmt.Errorf("making a user code: %w", err)
		}

		code = append(code, letters[n.Int64()])
	}

	return string(code), nil
}

// deviceAuthorization hands out the codes (RFC 8628 section 3.1).
func (p *Provider) deviceAuthorization(w http.ResponseWriter, r *http.Request) {
	form, err := readForm(r)
	if err != nil {
		writeOAuthError(w, err)

		return
	}

	client, err := p.authenticateClient(r, form)
	if err != nil {
		writeOAuthError(w, err)

		return
	}

	userCode, err := newUserCode()
	if err != nil {
		writeOAuthError(w, err)

		return
	}

	pending := &device{
		userCode: userCode,
		session:  session{id: rand.Text(), client: client.ID, scopes: strings.Fields(form.Get("scope"))},
	}

	deviceCode, err := p.devices.put(pending, deviceLifetime)
	if err != nil {
		writeOAuthError(w, err)

		return
	}

	page := p.config.Issuer + pathDevice

	writeJSON(w, http.StatusOK, map[string]any{
		"device_code": deviceCode, "user_code": userCode,
		"verification_uri": page, "verification_uri_complete": page + "?user_code=" + url.QueryEscape(userCode),
		"expires_in": int(deviceLifetime.Seconds()), "interval": int(pollInterval.Seconds()),
	})
}

// devicePage asks the person at the browser for the code and who they are.
func (p *Provider) devicePage(w http.ResponseWriter, r *http.Request) {
	shown := page{Title: "Sign in a device", Action: p.config.Issuer + pathDevice}
	if code := r.URL.Query().Get("user_code"); code != "" {
		shown.Title = "Sign in the device that shows " + code
		shown.Hidden = url.Values{"user_code": {code}}
	} else {
		shown.AskUserCode = true
	}

	p.showPeople(w, shown)
}

// deviceAnswer signs the chosen person in on the device.
func (p *Provider) deviceAnswer(w http.ResponseWriter, r *http.Request) {
	form, err := readForm(r)
	if err != nil {
		writeOAuthError(w, err)

		return
	}

	code := strings.ToUpper(strings.TrimSpace(form.Get("user_code")))
	person := p.person(form.Get("person"))
	pending, found := p.devices.find(func(d *device) bool { return d.userCode == code })

	if person == nil || !found || !pending.answer(person, p.config.Clock()) {
		http.Error(w, "no such code, or nobody of that name", http.StatusBadRequest)

		return
	}

	p.showPeople(w, page{Title: "Signed in", Done: "You can close this page and go back to the device."})
}

// grantDevice answers the device's polls (RFC 8628 section 3.4).
func (p *Provider) grantDevice(client *Client, form url.Values, expired bool) (map[string]any, error) {
	code := form.Get("device_code")

	pending, found := p.devices.get(code)
	if !found || pending.session.client != client.ID {
		return nil, invalid("expired_token", "device code is unknown, used or expired")
	}

	signedIn, err := pending.poll(p.config.Clock())
	if err != nil {
		return nil, err
	}

	if _, first := p.devices.take(code); !first {
		return nil, invalid("expired_token", "device code is used")
	}

	return p.issueWithRefresh(signedIn, &family{}, expired)
}
