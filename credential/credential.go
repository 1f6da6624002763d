package credential

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"golang.org/x/oauth2"
)

var (
	// ErrSignInRequired means that there is no session, or that it has ended: a person has to sign in.
	ErrSignInRequired = errors.New("not signed in")
	// ErrSignInFailed means that a sign-in was begun and did not succeed.
	ErrSignInFailed = errors.New("sign-in failed")
)

const (
	// margin is how long before its end a token is no longer handed out, for clocks that differ and requests under way.
	margin = 30 * time.Second
	// retryRefresh is how long a token that still lives is used before a failed refresh is tried again.
	retryRefresh = 30 * time.Second
)

// Credential gets access tokens for one gate. It implements azcore.TokenCredential and is safe for concurrent use.
type Credential struct {
	options Options
	gate    *url.URL
	client  *http.Client
	clock   func() time.Time
	store   *Store

	mu      sync.Mutex
	flight  *flight
	current *session
	retryAt time.Time
	guide   *Guide
	issuer  *metadata
}

// New returns a credential. It opens nothing and contacts nobody: that happens with the first token.
func New(o Options) (*Credential, error) {
	if o.Flow == "" {
		o.Flow = Browser
	}
	if err := o.validate(); err != nil {
		return nil, err
	}
	gate, err := GateURL(o.Gate)
	if err != nil {
		return nil, err
	}
	c := &Credential{options: o, gate: gate, clock: o.Clock, store: o.Store}
	if c.clock == nil {
		c.clock = time.Now
	}
	if o.Transport == nil {
		transport, err := Transport(o.Authorities)
		if err != nil {
			return nil, err
		}
		c.options.Transport = transport
	}
	c.client = client(c.options.Transport)
	if c.store == nil && o.Flow.personal() {
		if c.store, err = DefaultStore(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// personal says whether sessions of the flow are a person's, which the store keeps.
func (f Flow) personal() bool { return f == Browser || f == Device || f == Cached }

// Endpoint is where SDKs are pointed: the gate.
func (c *Credential) Endpoint() string { return c.gate.String() }

// ClientOptions makes Azure SDK clients trust the gate's certificate.
func (c *Credential) ClientOptions() azcore.ClientOptions {
	return azcore.ClientOptions{Transport: &http.Client{
		Transport:     c.options.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// GetToken returns an access token for the gate. The scopes in the options are ignored: an SDK derives them from its endpoint,
// and the gate has said what its audience is.
func (c *Credential) GetToken(ctx context.Context, _ policy.TokenRequestOptions) (azcore.AccessToken, error) {
	s, err := c.token(ctx, false)
	if err != nil {
		return azcore.AccessToken{}, fmt.Errorf("credential: %w", err)
	}
	return azcore.AccessToken{Token: s.AccessToken, ExpiresOn: s.Expires, RefreshOn: s.refreshOn()}, nil
}

// SignIn signs a person in anew, whatever session there was, and returns who they are.
func (c *Credential) SignIn(ctx context.Context) (string, error) {
	s, err := c.token(ctx, true)
	if err != nil {
		return "", err
	}
	return s.Name, nil
}

// Expires returns when the current access token ends, and whether it can be renewed without a person; the zero time if there
// is none.
func (c *Credential) Expires() (at time.Time, renewable bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current == nil {
		return time.Time{}, false
	}
	return c.current.Expires, c.current.RefreshToken != "" || !c.options.Flow.personal()
}

// Guide returns what the gate publishes, read once.
func (c *Credential) Guide(ctx context.Context) (*Guide, error) {
	c.mu.Lock()
	known := c.guide
	c.mu.Unlock()
	if known != nil {
		return known, nil
	}
	g, err := ReadGuide(ctx, c.client, c.gate)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.guide = g
	return g, nil
}

// WhoAmI asks the gate who the holder of the current token is.
func (c *Credential) WhoAmI(ctx context.Context) (*WhoAmI, error) {
	s, err := c.token(ctx, false)
	if err != nil {
		return nil, err
	}
	return ReadWhoAmI(ctx, c.client, c.gate, s.AccessToken)
}

// flight is one attempt to get a token, which callers that come meanwhile wait for.
type flight struct {
	done  chan struct{}
	token *session
	err   error
}

// token returns a token that lives, getting one if need be. Callers that come together share what one of them gets, a failure
// too, so that nobody is asked to sign in twice.
func (c *Credential) token(ctx context.Context, anew bool) (*session, error) {
	for {
		c.mu.Lock()
		if s, fresh := c.known(); fresh && !anew {
			c.mu.Unlock()
			return s, nil
		}
		under := c.flight
		if under == nil {
			under = &flight{done: make(chan struct{})}
			c.flight = under
			c.mu.Unlock()
			c.fly(ctx, under, anew)
			return under.token, under.err
		}
		c.mu.Unlock()
		select {
		case <-under.done:
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for a token: %w", context.Cause(ctx))
		}
		if gaveUp := errors.Is(under.err, context.Canceled) || errors.Is(under.err, context.DeadlineExceeded); !gaveUp && !anew {
			return under.token, under.err
		}
	}
}

// fly makes the attempt and lets the others know.
func (c *Credential) fly(ctx context.Context, f *flight, anew bool) {
	next, err := c.get(ctx, anew)
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(f.done)
	c.flight = nil
	now := c.clock()
	switch {
	case err == nil && !next.lives(now):
		f.err = fmt.Errorf("%w: the token has ended already; compare this machine's clock with the issuer's", ErrSignInFailed)
	case err == nil:
		c.current, c.retryAt = next, time.Time{}
		f.token = next
	case c.current.lives(now) && !anew && !errors.Is(err, ErrSignInRequired):
		c.retryAt = now.Add(retryRefresh)
		f.token = c.current // it still does
	default:
		f.err = err
	}
}

// known returns the token in memory and whether it need not be renewed yet. The lock is held.
func (c *Credential) known() (*session, bool) {
	now := c.clock()
	fresh := c.current.lives(now) && (now.Before(c.current.refreshOn()) || now.Before(c.retryAt))
	return c.current, fresh
}

// get obtains a token by the flow.
func (c *Credential) get(ctx context.Context, anew bool) (*session, error) {
	switch c.options.Flow {
	case Exec:
		return c.runCommand(ctx)
	case WorkloadDirect:
		return c.readTokenFile()
	case PrivateKey, Workload:
		return c.clientCredentials(ctx)
	case Browser, Device, Cached:
		return c.personalSession(ctx, anew)
	default:
		return nil, fmt.Errorf("%q %w", c.options.Flow, errFlow)
	}
}

// place returns where to sign in and as whom: from the gate's guide, and from the options that replace it.
func (c *Credential) place(ctx context.Context) (*SignIn, error) {
	g, err := c.Guide(ctx)
	if err != nil {
		return nil, err
	}
	var chosen SignIn
	published, err := g.Choose(c.options.SignIn)
	switch {
	case err == nil:
		chosen = *published
	case c.options.Issuer == "":
		return nil, err
	}
	chosen = c.options.apply(chosen)
	return &chosen, nil
}

// metadata returns what the issuer publishes, read once.
func (c *Credential) metadata(ctx context.Context, s *SignIn) (*metadata, error) {
	c.mu.Lock()
	known := c.issuer
	c.mu.Unlock()
	if known != nil && known.Issuer == s.Issuer {
		return known, nil
	}
	m, err := discover(ctx, c.client, s.Issuer)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.issuer = m
	return m, nil
}

// oauthContext hands our transport to the oauth2 package.
func (c *Credential) oauthContext(ctx context.Context) context.Context {
	return context.WithValue(ctx, oauth2.HTTPClient, c.client)
}
