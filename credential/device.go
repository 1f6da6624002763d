package credential

import (
	"context"
	"fmt"
)

// askDevice is the device authorization grant (RFC 8628): the person signs in on any other device.
func (c *Credential) askDevice(ctx context.Context, m *metadata, s *SignIn) (*session, error) {
	if m.DeviceAuth == "" || m.Token == "" {
		return nil, errUnsupported
	}
	ctx, cancel := context.WithTimeoutCause(ctx, 2*signInPatience, fmt.Errorf("%w: nobody signed in", ErrSignInFailed))
	defer cancel()
	o := m.oauth(s)
	pending, err := o.DeviceAuth(c.oauthContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("asking for a device code: %w", clean(err))
	}
	p := Prompt{URL: printable(pending.VerificationURI), Code: printable(pending.UserCode), Issuer: s.Issuer, Audience: s.Audience}
	c.invite(ctx, p)
	token, err := o.DeviceAccessToken(c.oauthContext(ctx), pending)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, fmt.Errorf("waiting for the sign-in: %w", clean(err))
	}
	next := c.newSession(token)
	next.Name, err = c.verifyIDToken(ctx, m, s, token, "")
	return next, err
}
