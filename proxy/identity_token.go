package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azpolicy "github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

const (
	// refreshAhead is how long before its end a token is replaced.
	refreshAhead = 5 * time.Minute
	// tokenFetchTimeout bounds one exchange with the identity endpoint.
	tokenFetchTimeout = 60 * time.Second
	// tokenWait bounds how long a request waits when there is no token at all.
	tokenWait = 10 * time.Second
	// renewInterval bounds how often upstream's refusals make us ask again.
	renewInterval     = 15 * time.Second
	minRefreshBackoff = time.Second
	maxRefreshBackoff = 30 * time.Second
)

// identityTokens keeps the token of one upstream identity. All exchanges with the
// identity endpoint happen in run, one at a time; requests read what it left, and
// wait for it only while there is no token in force.
type identityTokens struct {
	account, identity string
	credential        azcore.TokenCredential
	now               func() time.Time
	logger            *slog.Logger
	failed            func()

	current atomic.Pointer[Token]
	wake    chan struct{}

	mu        sync.Mutex
	waiting   *tokenAttempt // what those who ask now are waiting for
	renewedAt time.Time
}

// tokenAttempt is one exchange with the identity endpoint and its outcome.
type tokenAttempt struct {
	done  chan struct{}
	err   error
	force bool // a token other than the credential's cached one is wanted
}

func newIdentityTokens(account, identity string, credential azcore.TokenCredential, cfg *Config) *identityTokens {
	return &identityTokens{
		account: account, identity: identity, credential: credential,
		now: cfg.Now, logger: cfg.Logger, failed: func() {},
		wake: make(chan struct{}, 1),
	}
}

// Token implements [TokenSource].
func (s *identityTokens) Token(ctx context.Context) (Token, error) {
	if token := s.inForce(); token != nil {
		return *token, nil
	}
	if err := s.ask(ctx, false); err != nil {
		return Token{}, err
	}
	if token := s.inForce(); token != nil {
		return *token, nil
	}
	return Token{}, fmt.Errorf("identity %s: token expired on arrival: %w", s.identity, ErrNoToken)
}

// Renew implements [TokenSource].
func (s *identityTokens) Renew(ctx context.Context, refused Token) (Token, error) {
	if token := s.inForce(); token != nil && !token.equal(refused) {
		return *token, nil
	}
	if !s.mayRenew() {
		return Token{}, fmt.Errorf("identity %s: asked too recently: %w", s.identity, ErrNotRenewed)
	}
	if err := s.ask(ctx, true); err != nil {
		return Token{}, fmt.Errorf("%w: %w", ErrNotRenewed, err)
	}
	if token := s.inForce(); token != nil && !token.equal(refused) {
		return *token, nil
	}
	return Token{}, fmt.Errorf("identity %s: same token again: %w", s.identity, ErrNotRenewed)
}

func (s *identityTokens) inForce() *Token {
	token := s.current.Load()
	if token == nil || !s.now().Before(token.expiry) {
		return nil
	}
	return token
}

// mayRenew lets the first refusal in an interval through, and those that arrive
// while its renewal is under way: they share its outcome.
func (s *identityTokens) mayRenew() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting != nil && s.waiting.force {
		return true
	}
	now := s.now()
	if !s.renewedAt.IsZero() && now.Sub(s.renewedAt) < renewInterval {
		return false
	}
	s.renewedAt = now
	return true
}

// ask joins the exchange under way, or makes run begin one, and waits for its end.
func (s *identityTokens) ask(ctx context.Context, force bool) error {
	s.mu.Lock()
	if s.waiting == nil {
		s.waiting = &tokenAttempt{done: make(chan struct{})}
	}
	attempt := s.waiting
	attempt.force = attempt.force || force
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
	timeout := time.NewTimer(tokenWait)
	defer timeout.Stop()
	select {
	case <-attempt.done:
		return attempt.err
	case <-timeout.C:
		return fmt.Errorf("identity %s: no answer within %v: %w", s.identity, tokenWait, ErrNoToken)
	case <-ctx.Done():
		return fmt.Errorf("waiting for identity %s: %w", s.identity, context.Cause(ctx))
	}
}

// run keeps the token fresh until ctx ends.
func (s *identityTokens) run(ctx context.Context) {
	backoff := minRefreshBackoff
	var failure error      // of the last exchange
	var patience time.Time // until then, who asks is told of it
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		asked := false
		select {
		case <-ctx.Done():
			attempt, _ := s.begin()
			s.finish(attempt, fmt.Errorf("identity %s: shutting down: %w", s.identity, ErrNoToken))
			return
		case <-timer.C:
		case <-s.wake:
			asked = true
		}
		attempt, force := s.begin()
		if asked && !force && s.inForce() != nil {
			// A request woke us for a token that has come in the meantime.
			s.finish(attempt, nil)
			continue
		}
		if asked && failure != nil && s.now().Before(patience) {
			s.finish(attempt, failure) // callers do not drive the identity endpoint
			continue
		}
		err := s.fetch(ctx, force)
		s.finish(attempt, err)
		failure, patience = err, s.now().Add(minRefreshBackoff)
		if err == nil {
			backoff = minRefreshBackoff
			timer.Reset(s.untilRefresh())
			continue
		}
		s.failed()
		s.logger.WarnContext(ctx, "upstream identity has no new token",
			"account", s.account, "identity", s.identity, "retry_in", backoff, "error", err)
		timer.Reset(backoff)
		backoff = min(2*backoff, maxRefreshBackoff) //nolint:mnd // doubling.
	}
}

// begin takes on what has been asked for. Who asks with force from now on joins an
// exchange that may bring the cached token, and is told that it was not renewed.
func (s *identityTokens) begin() (attempt *tokenAttempt, force bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting == nil {
		s.waiting = &tokenAttempt{done: make(chan struct{})}
	}
	return s.waiting, s.waiting.force
}

func (s *identityTokens) finish(attempt *tokenAttempt, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	attempt.err = err
	s.waiting = nil
	close(attempt.done)
}

func (s *identityTokens) fetch(ctx context.Context, force bool) error {
	ctx, cancel := context.WithTimeout(ctx, tokenFetchTimeout)
	defer cancel()
	options := azpolicy.TokenRequestOptions{Scopes: []string{CosmosScope}}
	if force {
		// A claims challenge is the one thing that makes azidentity skip its cache.
		options.Claims = `{"access_token":{"nbf":{"essential":true,"value":"` + strconv.FormatInt(s.now().Unix(), 10) + `"}}}`
	}
	got, err := s.credential.GetToken(ctx, options)
	if err != nil {
		return fmt.Errorf("identity %s: %w: %w", s.identity, ErrNoToken, err)
	}
	now := s.now()
	if got.Token == "" || !now.Before(got.ExpiresOn) {
		return fmt.Errorf("identity %s: identity endpoint sent an expired token: %w", s.identity, ErrNoToken)
	}
	token := NewToken(got.Token, now, got.ExpiresOn)
	s.current.Store(&token)
	return nil
}

// untilRefresh is refreshAhead before the token's end, and half of what is left
// when that is nearer: a credential may hand out its cached token once more.
func (s *identityTokens) untilRefresh() time.Duration {
	left := s.current.Load().expiry.Sub(s.now())
	return max(left-refreshAhead, left/2, minRefreshBackoff) //nolint:mnd // half.
}
