package credential

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// The paths of a gate's own documents.
const (
	// GuidePath is where a gate tells how to sign in.
	GuidePath = "/.well-known/cosmosgate"
	// WhoAmIPath is where a gate tells callers who they are.
	WhoAmIPath = GuidePath + "/whoami"
)

// Guide is what a gate tells everybody about signing in. It holds no secret.
type Guide struct {
	// Version is 1. It changes only when a member is removed or changes its meaning.
	Version int `json:"version"`
	// SignIn lists where people sign in, the usual place first.
	SignIn []SignIn `json:"sign_in"`
	// Accounts are the Cosmos DB accounts behind the gate.
	Accounts []Account `json:"accounts"`
	// CertificateAuthority is the authority of the gate's certificate, if it is a private one.
	CertificateAuthority *CertificateAuthority `json:"certificate_authority,omitempty"`
	// Services is the base of the SCIM and token services; empty if there are none.
	Services string `json:"services,omitempty"`
}

// SignIn is how people sign in at one issuer.
type SignIn struct {
	// Name is what the gate's records call the issuer.
	Name string `json:"name"`
	// Issuer is its URL, ClientID the public client of the command line.
	Issuer   string `json:"issuer"`
	ClientID string `json:"client_id"`
	// Audience is the aud that tokens need, Scopes what to ask for.
	Audience string   `json:"audience"`
	Scopes   []string `json:"scopes"`
}

// Account is one Cosmos DB account as callers see it.
type Account struct {
	// Name is what policies call it, Endpoint where SDKs are pointed.
	Name     string `json:"name"`
	Endpoint string `json:"endpoint"`
}

// CertificateAuthority is a certificate to trust, to be compared by its fingerprint first.
type CertificateAuthority struct {
	Subject string `json:"subject"`
	// SHA256 is the fingerprint of the certificate in lower-case hexadecimal.
	SHA256 string `json:"sha256"`
	PEM    string `json:"pem"`
}

var (
	errNoGuide   = errors.New("is no gate, or one that publishes nothing for engineers")
	errVersion   = errors.New("speaks a newer version than this program")
	errNoSignIn  = errors.New("the gate names no place to sign in")
	errWhichSign = errors.New("the gate has no sign-in of that name")
	errGateURL   = errors.New("is not https://host[:port]/")
)

// GateURL returns the base URL that text means, with https:// and / added where they lack. Only https is accepted.
func GateURL(text string) (*url.URL, error) {
	if text != "" && !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" ||
		u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("gate %q %w", text, errGateURL)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/"}, nil
}

// ReadGuide reads a gate's guide. The client must trust the gate's certificate.
func ReadGuide(ctx context.Context, client *http.Client, gate *url.URL) (*Guide, error) {
	status, body, err := get(ctx, client, gate.JoinPath(GuidePath).String(), "")
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", gate.Host, err)
	}
	g := new(Guide)
	if status != http.StatusOK || json.Unmarshal(body, g) != nil || g.Version == 0 {
		return nil, fmt.Errorf("%s %w", gate.Host, errNoGuide)
	}
	if g.Version > 1 {
		return nil, fmt.Errorf("%s %w", gate.Host, errVersion)
	}
	return g, nil
}

// Choose returns the sign-in of that name, or the usual one for an empty name.
func (g *Guide) Choose(name string) (*SignIn, error) {
	for i := range g.SignIn {
		if name == "" || g.SignIn[i].Name == name {
			return &g.SignIn[i], nil
		}
	}
	if name == "" {
		return nil, errNoSignIn
	}
	known := make([]string, len(g.SignIn))
	for i := range g.SignIn {
		known[i] = g.SignIn[i].Name
	}
	return nil, fmt.Errorf("%w: %q (it has %s)", errWhichSign, name, strings.Join(known, ", "))
}

// WhoAmI is what a gate tells a caller about themselves.
type WhoAmI struct {
	// Known says whether the caller is let in; if not, Refused says why.
	Known   bool     `json:"known"`
	Refused *Refused `json:"refused,omitempty"`
	Kind    string   `json:"kind"`
	Name    string   `json:"name,omitempty"`
	Issuer  string   `json:"issuer"`
	Subject string   `json:"subject"`
	Record  string   `json:"record,omitempty"`
	// Actors act for the caller. Each narrows the access below to what it may do itself.
	Actors    []string   `json:"actors,omitempty"`
	Groups    []Group    `json:"groups,omitempty"`
	Roles     []string   `json:"roles,omitempty"`
	Access    []Reach    `json:"access,omitempty"`
	Truncated bool       `json:"truncated,omitempty"`
	Token     TokenState `json:"token"`
}

// Refused says why a genuine sign-in is not let in: Code is no_record, inactive, locked or revoked.
type Refused struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint"`
}

// Group is a group that the caller effectively belongs to.
type Group struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Reach is one way to act on a container. A * stands for every name that the policy does not mention.
type Reach struct {
	Account      string            `json:"account"`
	Database     string            `json:"database"`
	Container    string            `json:"container"`
	Actions      []string          `json:"actions"`
	PartitionKey []json.RawMessage `json:"partition_key,omitempty"`
	Role         string            `json:"role"`
	// Conditional says that it also depends on the request: its time, network or sign-in.
	Conditional bool      `json:"conditional,omitempty"`
	Expires     time.Time `json:"expires,omitzero"`
}

// TokenState is how long the presented token lives, by the gate's clock.
type TokenState struct {
	ID               string    `json:"id,omitempty"`
	Client           string    `json:"client,omitempty"`
	IssuedAt         time.Time `json:"issued_at,omitzero"`
	Expires          time.Time `json:"expires,omitzero"`
	RemainingSeconds int64     `json:"remaining_seconds"`
}

// GateError is a gate's refusal.
type GateError struct {
	Status  int    `json:"-"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Error returns the gate's words without the activity id.
func (e *GateError) Error() string {
	message, _, _ := strings.Cut(e.Message, "\r\n")
	if message == "" {
		message = http.StatusText(e.Status)
	}
	return fmt.Sprintf("the gate answered %d: %s", e.Status, printable(message))
}

// ReadWhoAmI asks a gate who the bearer of an access token is. Somebody whom the gate does not let in gets an answer too.
func ReadWhoAmI(ctx context.Context, client *http.Client, gate *url.URL, token string) (*WhoAmI, error) {
	status, body, err := get(ctx, client, gate.JoinPath(WhoAmIPath).String(), token)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", gate.Host, err)
	}
	w := new(WhoAmI)
	if err := json.Unmarshal(body, w); err == nil && w.Kind != "" {
		return w, nil
	}
	refusal := &GateError{Status: status}
	_ = json.Unmarshal(body, refusal) // without a text the status has to do
	return nil, refusal
}

// largestAnswer bounds every document that is read from a gate or an issuer.
const largestAnswer = 4 << 20

func get(ctx context.Context, client *http.Client, address, token string) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, nil, fmt.Errorf("making the request: %w", err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err //nolint:wrapcheck // says method and URL itself
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	body, err := io.ReadAll(io.LimitReader(resp.Body, largestAnswer))
	if err != nil {
		return 0, nil, fmt.Errorf("reading the answer: %w", err)
	}
	return resp.StatusCode, body, nil
}
