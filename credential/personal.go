package credential

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"golang.org/x/oauth2"
)

// sessionID names the session of one gate, issuer and client in the store.
func (c *Credential) sessionID(s *SignIn) string {
	sum := sha256.Sum256([]byte(c.gate.String() + "\x00" + s.Issuer + "\x00" + s.ClientID))
	const enough = 16
	return hex.EncodeToString(sum[:enough])
}

// personalSession takes the stored session, renews it if it is due, and has the person sign in if there is none.
func (c *Credential) personalSession(ctx context.Context, anew bool) (*session, error) {
	s, err := c.place(ctx)
	if err != nil {
		return nil, err
	}
	id := c.sessionID(s)
	if !anew {
		kept, err := c.resume(ctx, s, id)
		if err == nil || !errors.Is(err, ErrSignInRequired) || c.options.Flow == Cached {
			return kept, err
		}
	}
	next, err := c.interact(ctx, s)
	if err != nil {
		return nil, err
	}
	unlock, err := c.store.Lock(ctx, id)
	if err != nil {
		return nil, err
	}
	defer unlock()
	unsealed, err := c.keep(ctx, id, next)
	if err == nil && unsealed != nil {
		c.warn(unsealed)
	}
	return next, err
}

// warn says what is weaker than it should be, when it becomes so: whoever renews a session that is kept without a seal was told before.
func (c *Credential) warn(err error) {
	if c.options.Warn != nil {
		c.options.Warn(err)
		return
	}
	_, _ = fmt.Fprintln(os.Stderr, "warning:", err) // nothing is left to tell a broken stderr
}

func (c *Credential) interact(ctx context.Context, s *SignIn) (*session, error) {
	m, err := c.metadata(ctx, s)
	if err != nil {
		return nil, err
	}
	switch c.options.Flow {
	case Browser:
		return c.browse(ctx, m, s)
	case Device:
		return c.askDevice(ctx, m, s)
	default:
		return nil, ErrSignInRequired
	}
}

// resume returns the stored session, renewed if it is past half its life. Meanwhile it holds the session's lock, so that a refresh
// token is used once, and other processes find its heir.
func (c *Credential) resume(ctx context.Context, s *SignIn, id string) (*session, error) {
	unlock, err := c.store.Lock(ctx, id)
	if err != nil {
		return nil, err
	}
	defer unlock()
	text, sealed, err := c.store.load(ctx, id)
	switch {
	case errors.Is(err, ErrNoSession):
		return nil, ErrSignInRequired
	case errors.Is(err, ErrSealed):
		return nil, fmt.Errorf("%w: %w", ErrSignInRequired, err)
	case err != nil:
		return nil, err
	}
	kept := new(session)
	if err := json.Unmarshal(text, kept); err != nil {
		return nil, fmt.Errorf("%w: the stored session cannot be read", ErrSignInRequired)
	}
	now := c.clock()
	if kept.lives(now) && now.Before(kept.refreshOn()) {
		return kept, nil
	}
	next, err := c.refresh(ctx, s, kept)
	switch {
	case err == nil:
		unsealed, err := c.keep(ctx, id, next)
		if err == nil && sealed && unsealed != nil {
			c.warn(unsealed)
		}
		return next, err
	case errors.Is(err, ErrSignInRequired):
		_ = c.store.Delete(ctx, id) // it is of no use any more
		return nil, err
	case kept.lives(now):
		return kept, nil
	default:
		return nil, err
	}
}

// refresh renews a session. A refusal by the issuer ends it; any other fault leaves it for the next attempt.
func (c *Credential) refresh(ctx context.Context, s *SignIn, old *session) (*session, error) {
	if old.RefreshToken == "" {
		return nil, fmt.Errorf("%w: the session has ended", ErrSignInRequired)
	}
	m, err := c.metadata(ctx, s)
	if err != nil {
		return nil, err
	}
	token, err := m.oauth(s).TokenSource(c.oauthContext(ctx), &oauth2.Token{RefreshToken: old.RefreshToken}).Token()
	var refusal *oauth2.RetrieveError
	if errors.As(err, &refusal) && refusal.ErrorCode == "invalid_grant" {
		return nil, fmt.Errorf("%w: the session has ended or was revoked", ErrSignInRequired)
	}
	if err != nil {
		return nil, fmt.Errorf("renewing the session: %w", clean(err))
	}
	next := c.newSession(token)
	next.Name = old.Name
	if next.RefreshToken == "" {
		next.RefreshToken = old.RefreshToken
	}
	return next, nil
}

func (c *Credential) keep(ctx context.Context, id string, s *session) (*UnsealedError, error) {
	text, err := json.Marshal(s) //nolint:gosec // G117: the store is where the tokens belong
	if err != nil {
		return nil, fmt.Errorf("encoding the session: %w", err)
	}
	return c.store.save(ctx, id, text)
}

// clean keeps what an issuer answered, which may quote tokens, out of error texts; its error code is enough.
func clean(err error) error {
	var refusal *oauth2.RetrieveError
	if !errors.As(err, &refusal) {
		return err
	}
	status := "an answer that cannot be read"
	if refusal.Response != nil {
		status = refusal.Response.Status
	}
	if refusal.ErrorCode == "" {
		return fmt.Errorf("%w: the issuer answered %s", ErrSignInFailed, status)
	}
	return fmt.Errorf("%w: the issuer answered %s", ErrSignInFailed, printable(refusal.ErrorCode+": "+refusal.ErrorDescription))
}

// SignedIn returns nil while the store holds the session, and [ErrSignInRequired] once somebody has signed out, whatever lives on in
// this process' memory.
func (c *Credential) SignedIn(ctx context.Context) error {
	if !c.options.Flow.personal() {
		return nil
	}
	s, err := c.place(ctx)
	if err != nil {
		return err
	}
	if _, err := c.store.Load(ctx, c.sessionID(s)); errors.Is(err, ErrNoSession) {
		return ErrSignInRequired
	}
	return nil
}

// SignOut revokes the refresh token at the issuer (RFC 7009) and deletes the session. The session is deleted also if the issuer
// cannot be told; the error says so then.
func (c *Credential) SignOut(ctx context.Context) error {
	if !c.options.Flow.personal() {
		return nil
	}
	s, err := c.place(ctx)
	if err != nil {
		return err
	}
	id := c.sessionID(s)
	unlock, err := c.store.Lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	text, err := c.store.Load(ctx, id)
	if errors.Is(err, ErrNoSession) {
		return ErrSignInRequired
	}
	var kept session
	if err == nil && json.Unmarshal(text, &kept) == nil && kept.RefreshToken != "" {
		err = c.revoke(ctx, s, kept.RefreshToken)
	}
	c.mu.Lock()
	c.current = nil
	c.mu.Unlock()
	return errors.Join(err, c.store.Delete(ctx, id))
}

var errNotRevoked = errors.New("the issuer did not revoke the session; it ends by itself")

func (c *Credential) revoke(ctx context.Context, s *SignIn, token string) error {
	m, err := c.metadata(ctx, s)
	if err != nil {
		return fmt.Errorf("revoking the session: %w", err)
	}
	if m.Revoke == "" {
		return fmt.Errorf("%w: it has no revocation endpoint", errNotRevoked)
	}
	form := url.Values{"token": {token}, "token_type_hint": {"refresh_token"}, "client_id": {s.ClientID}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.Revoke, strings.NewReader(form.Encode()))
	if err != nil {
		return fmt.Errorf("revoking the session: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := c.client.Do(req)
	if err != nil {
		return fmt.Errorf("revoking the session: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // only the status matters
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: %s", errNotRevoked, resp.Status)
	}
	return nil
}
