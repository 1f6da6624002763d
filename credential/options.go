package credential

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Flow is how a [Credential] gets its tokens.
type Flow string

// The flows.
const (
	// Browser is the authorization code flow with PKCE on a loopback redirect (RFC 8252), the default. A session in the store is
	// used first; the browser opens only where a person has to sign in.
	Browser Flow = "browser"
	// Device is the device authorization grant (RFC 8628), for shells on other machines.
	Device Flow = "device"
	// Cached uses the session in the store and never asks anybody: without one it fails with [ErrSignInRequired].
	Cached Flow = "cached"
	// PrivateKey is client credentials with a signed assertion (RFC 7523, private_key_jwt).
	PrivateKey Flow = "private-key"
	// Workload is client credentials with the token in a file as assertion (RFC 7523), as Kubernetes and others project it.
	Workload Flow = "workload"
	// WorkloadDirect presents the token in a file to the gate as it is; the gate must trust its issuer.
	WorkloadDirect Flow = "workload-direct"
	// Exec runs a command that prints a token.
	Exec Flow = "exec"
)

// Options say which gate, and how to sign in. Only Gate is always required.
type Options struct {
	// Gate is the base URL of an account behind the gate, such as https://cosmos.corp.example/.
	Gate string
	// Flow is how to sign in; [Browser] if empty.
	Flow Flow
	// SignIn names one of the gate's places to sign in; the usual one if empty.
	SignIn string
	// Issuer, ClientID and Scopes replace what the gate publishes; programs that are clients of their own need them.
	Issuer, ClientID string
	Scopes           []string
	// LoginHint tells the issuer who is about to sign in.
	LoginHint string

	// Key signs the assertions of [PrivateKey]: RSA, ECDSA P-256 or Ed25519. KeyID is its kid at the issuer.
	Key   crypto.Signer
	KeyID string
	// TokenFile holds the token of [Workload] and [WorkloadDirect]. It is read anew for every token.
	TokenFile string
	// Command is run by [Exec]. It prints a token alone, or JSON with access_token and expires_in or expires_on.
	Command []string

	// Authorities are PEM certificates to trust besides the system's, for the gate and the issuer.
	Authorities []byte
	// Store keeps sessions of people; nil means [DefaultStore].
	Store *Store
	// Prompt tells a person what to do; nil writes to standard error.
	Prompt func(Prompt)
	// Warn is told of what weakens the session, an [UnsealedError], when somebody has signed in or the session is renewed and was sealed
	// until then. Nil writes to standard error.
	Warn func(error)
	// OpenBrowser opens a URL; nil uses the desktop's way. An error means that the person has to open it.
	OpenBrowser func(ctx context.Context, url string) error
	// Transport replaces the one made from Authorities.
	Transport http.RoundTripper
	// Clock tells the time; nil means time.Now.
	Clock func() time.Time
}

// Prompt is what a person has to do to sign in.
type Prompt struct {
	// URL is to be opened. Opened says that a browser was asked to do so already.
	URL    string
	Opened bool
	// Code is to be entered there, for [Device].
	Code string
	// Issuer is where they sign in, Audience for what.
	Issuer, Audience string
}

var (
	errFlow      = errors.New("is not a flow: browser, device, cached, private-key, workload, workload-direct, exec")
	errKey       = errors.New("private-key needs Key and ClientID")
	errTokenFile = errors.New("needs TokenFile")
	errCommand   = errors.New("exec needs Command")
	errClient    = errors.New("workload needs ClientID")
	errNoPEM     = errors.New("authorities hold no certificate")
)

// validate reports every fault at once.
func (o *Options) validate() error {
	var faults []error
	if _, err := GateURL(o.Gate); err != nil {
		faults = append(faults, err)
	}
	switch o.Flow {
	case Browser, Device, Cached:
	case PrivateKey:
		if o.Key == nil || o.ClientID == "" {
			faults = append(faults, errKey)
		}
	case Workload, WorkloadDirect:
		if o.TokenFile == "" {
			faults = append(faults, fmt.Errorf("%s %w", o.Flow, errTokenFile))
		}
		if o.Flow == Workload && o.ClientID == "" {
			faults = append(faults, errClient)
		}
	case Exec:
		if len(o.Command) == 0 || o.Command[0] == "" {
			faults = append(faults, errCommand)
		}
	default:
		faults = append(faults, fmt.Errorf("%q %w", o.Flow, errFlow))
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("credential: %w", err)
	}
	return nil
}

// apply puts what the options replace over what the gate publishes.
func (o *Options) apply(s SignIn) SignIn {
	s.Scopes = slices.Clone(s.Scopes)
	if o.Issuer != "" {
		s.Issuer = o.Issuer
	}
	if o.ClientID != "" {
		s.ClientID = o.ClientID
	}
	if len(o.Scopes) > 0 {
		s.Scopes = slices.Clone(o.Scopes)
	}
	return s
}

// programScopes are the scopes for a program: those of OpenID Connect concern people only.
func programScopes(scopes []string) []string {
	return slices.DeleteFunc(slices.Clone(scopes), func(s string) bool {
		return strings.EqualFold(s, "openid") || strings.EqualFold(s, "profile") || strings.EqualFold(s, "offline_access") || strings.EqualFold(s, "email")
	})
}
