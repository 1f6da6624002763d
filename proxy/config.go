package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/identity"
	"github.com/cosmosgate/cosmosgate/policy"
)

// Authenticator proves who is calling. Its errors are [*identity.Error].
type Authenticator interface {
	Authenticate(ctx context.Context, c identity.Credential) (identity.Principal, error)
}

// Authorizer decides what a caller may do. The zero decision denies.
type Authorizer interface {
	Decide(r policy.Request) policy.Decision
}

// Reservation is a place in the audit log, taken before anything is forwarded.
type Reservation interface {
	Commit(r audit.Record)
}

// Recorder takes a place in the audit log for one request, or says why there is none.
type Recorder func() (Reservation, error)

// Account is one Cosmos DB account behind the gate.
type Account struct {
	// Name is what policies call the account, and its published id.
	Name string
	// PublicURL is the base that SDKs are pointed at and the only location that is
	// published. Its host selects the account.
	PublicURL string
	// Hosts are further host[:port] names that select the account.
	Hosts []string
	// Region is the name of the published location.
	Region string
	// Upstream is the account's endpoint, without a path.
	Upstream *url.URL
	// Transport carries requests to Upstream; see [NewTransport]. It must not follow
	// redirects, decompress, or repeat what is not safe to repeat.
	Transport http.RoundTripper
	// Identities are what roles forward under, by the name that policies use.
	Identities map[string]azcore.TokenCredential
	// Reader names the identity of the gate's own reads: the account document, and
	// the names behind RIDs. It needs readMetadata on the account.
	Reader string
	// InsecureMasterKey, if set, signs everything with an emulator's account key in
	// place of Identities.
	InsecureMasterKey string
}

// Limits bound one gate. A zero field means its default.
type Limits struct {
	// MaxInFlight is how many requests are served at once, of them no more for one caller than
	// three times what is free; further ones get 503. Default 1024.
	MaxInFlight int
	// UpstreamTimeout is how long upstream may take to begin its answer, and to go on
	// with it. At least, and less by default than SDKs wait (65 s): 70 s.
	UpstreamTimeout time.Duration
	// TransferTimeout is how long a caller may take to send a body or to read an answer. Default 5 min.
	TransferTimeout time.Duration
	// AccountRefresh is how often the account document is read again. Default 5 min.
	AccountRefresh time.Duration
	// MaxBufferedBytes is how much of all request bodies is held in memory at once;
	// what would exceed it, or what one caller may have of it likewise, gets 503. Most bodies are streamed; batches, patches
	// and small ones are held. Default 256 MiB.
	MaxBufferedBytes int64
	// MaxResponseBytes is the largest answer that is passed on. Default 16 MiB.
	MaxResponseBytes int64
}

// minUpstreamTimeout is what the SDKs themselves wait for an answer.
const minUpstreamTimeout = 65 * time.Second

func (l Limits) withDefaults() Limits {
	const (
		maxInFlight      = 1024
		upstreamTimeout  = 70 * time.Second
		transferTimeout  = 5 * time.Minute
		accountRefresh   = 5 * time.Minute
		maxBufferedBytes = 256 << 20
		maxResponseBytes = 16 << 20
	)
	if l.MaxInFlight == 0 {
		l.MaxInFlight = maxInFlight
	}
	if l.UpstreamTimeout == 0 {
		l.UpstreamTimeout = upstreamTimeout
	}
	if l.TransferTimeout == 0 {
		l.TransferTimeout = transferTimeout
	}
	if l.AccountRefresh == 0 {
		l.AccountRefresh = accountRefresh
	}
	if l.MaxBufferedBytes == 0 {
		l.MaxBufferedBytes = maxBufferedBytes
	}
	if l.MaxResponseBytes == 0 {
		l.MaxResponseBytes = maxResponseBytes
	}
	return l
}

// Config is everything a [Proxy] needs. The zero value is refused.
type Config struct {
	// Accounts are chosen by the host name of a request. At least one.
	Accounts []Account
	// KeyHosts gives every virtual key a host name, KEYID.keys.HOST, in place of trying all of them. The certificate and the
	// DNS of the gate must cover these names.
	KeyHosts bool
	// Authenticator and Authorizer judge every request. Required.
	Authenticator Authenticator
	Authorizer    Authorizer
	// PolicyHash names the policy in force, for the record. Required.
	PolicyHash func() string
	// ExplainDenials tells refused callers what the record says about the decision. For development: it tells the policy.
	ExplainDenials bool
	// Reserve takes a place in the audit log. Required.
	Reserve Recorder
	// Logger takes the operations log, which never holds a credential. Required.
	Logger *slog.Logger
	// Now tells the time. Required.
	Now func() time.Time
	// NewID makes a unique id, a UUID in text form. Required.
	NewID func() string
	// Limits bound the gate.
	Limits Limits
	// Freshness is about a directory that several gates share.
	Freshness Freshness
	// Standing ends answers to callers whose access ends meanwhile. Nil: what was allowed when it was asked for is answered.
	Standing Standing
	// Waiting returns how many callers the authenticator keeps waiting. They are under way, but in nobody's share. Nil: none.
	Waiting func() int
	// Guide is the JSON document at [GuidePath], for everybody to read. Nil: there is no guide, and no who-am-I.
	Guide []byte
	// Survey tells callers what they may do. Required with Guide.
	Survey Surveyor
}

// ErrConfig is wrapped by every fault of a [Config].
var ErrConfig = errors.New("invalid proxy configuration")

func (c *Config) validate() error {
	faults := []error{
		require("accounts", len(c.Accounts) > 0),
		require("authenticator", c.Authenticator != nil),
		require("authorizer", c.Authorizer != nil),
		require("policy hash", c.PolicyHash != nil),
		require("audit log", c.Reserve != nil),
		require("logger", c.Logger != nil),
		require("clock", c.Now != nil),
		require("id source", c.NewID != nil),
		require("surveyor", c.Survey != nil || c.Guide == nil),
	}
	if f := c.Freshness; f.Age != nil && (f.StaleAfter <= 0 || f.ServeAtMost < f.StaleAfter) {
		faults = append(faults, fault("freshness needs a stale age, and a serving age that is no less"))
	}
	l := c.Limits
	if l.UpstreamTimeout != 0 && l.UpstreamTimeout < minUpstreamTimeout {
		faults = append(faults, fault("upstream timeout %v is below the %v that SDKs wait", l.UpstreamTimeout, minUpstreamTimeout))
	}
	if l.MaxInFlight < 0 || l.TransferTimeout < 0 || l.AccountRefresh < 0 || l.MaxBufferedBytes < 0 || l.MaxResponseBytes < 0 {
		faults = append(faults, fault("a limit is negative"))
	}
	names := map[string]bool{}
	for i := range c.Accounts {
		faults = append(faults, c.Accounts[i].validate())
		if name := c.Accounts[i].Name; names[name] {
			faults = append(faults, fault("account %q: name is used twice", name))
		}
		names[c.Accounts[i].Name] = true
	}
	return errors.Join(faults...)
}

func (a *Account) validate() error {
	faults := []error{
		require("account name", a.Name != ""),
		require("account "+a.Name+": region", a.Region != ""),
		require("account "+a.Name+": transport", a.Transport != nil),
	}
	if a.Upstream == nil || a.Upstream.Host == "" || strings.Trim(a.Upstream.Path, "/") != "" || a.Upstream.RawQuery != "" {
		faults = append(faults, fault("account %q: upstream must be a URL with a host and no path", a.Name))
	} else if a.Upstream.Scheme != "https" && a.InsecureMasterKey == "" {
		faults = append(faults, fault("account %q: upstream must be https", a.Name))
	}
	if base, err := url.Parse(a.PublicURL); err != nil || base.Host == "" || strings.Trim(base.Path, "/") != "" {
		faults = append(faults, fault("account %q: public URL must have a host and no path", a.Name))
	}
	if a.InsecureMasterKey != "" {
		return errors.Join(faults...)
	}
	for name, credential := range a.Identities {
		faults = append(faults, require("account "+a.Name+": credential of identity "+name, credential != nil))
	}
	if a.Identities[a.Reader] == nil {
		faults = append(faults, fault("account %q: reader %q is not one of its identities", a.Name, a.Reader))
	}
	return errors.Join(faults...)
}

func require(what string, present bool) error {
	if present {
		return nil
	}
	return fault("%s is missing", what)
}

func fault(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrConfig}, args...)...)
}
