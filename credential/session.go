package credential

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// session is a token and what it takes to renew it. It prints without its secrets.
type session struct {
	AccessToken  string    `json:"access_token"`
	RefreshToken string    `json:"refresh_token,omitempty"`
	Obtained     time.Time `json:"obtained"`
	Expires      time.Time `json:"expires"`
	Name         string    `json:"name,omitempty"`
}

// String names the owner and the end, never a token.
func (s *session) String() string {
	return "session of " + s.Name + " until " + s.Expires.Format(time.RFC3339)
}

// GoString does as String, for %#v.
func (s *session) GoString() string { return s.String() }

// lives says whether the token may still be handed out. There may be none.
func (s *session) lives(now time.Time) bool {
	if s == nil || s.AccessToken == "" {
		return false
	}
	const quarter = 4
	return now.Add(min(margin, s.Expires.Sub(s.Obtained)/quarter)).Before(s.Expires)
}

// refreshOn is half-way through the token's life.
func (s *session) refreshOn() time.Time {
	const half = 2
	return s.Obtained.Add(s.Expires.Sub(s.Obtained) / half)
}

// defaultLife is how long a token is taken to live whose issuer does not say.
const defaultLife = 5 * time.Minute

func (c *Credential) newSession(t *oauth2.Token) *session {
	now := c.clock()
	s := &session{AccessToken: t.AccessToken, RefreshToken: t.RefreshToken, Obtained: now, Expires: now.Add(defaultLife)}
	switch end := expiryOf(t.AccessToken); {
	case lifeOf(t) > 0:
		s.Expires = now.Add(lifeOf(t))
	case !end.IsZero():
		s.Expires = end
	}
	return s
}

// lifeOf is expires_in of a token response, counted from now by this machine's clock: the issuer's may differ.
func lifeOf(t *oauth2.Token) time.Duration {
	seconds, _ := t.Extra("expires_in").(float64)
	const longest = 1 << 30
	if seconds <= 0 || seconds > longest {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// expiryOf reads exp of a token that is a JWT, to know when to ask for another; nothing is decided by it.
func expiryOf(token string) time.Time {
	var claims struct {
		Expires float64 `json:"exp"`
	}
	if parts := strings.Split(token, "."); len(parts) == 3 { //nolint:mnd // header, claims, signature
		if text, err := base64.RawURLEncoding.DecodeString(parts[1]); err == nil && json.Unmarshal(text, &claims) == nil && claims.Expires > 0 {
			return time.Unix(int64(claims.Expires), 0)
		}
	}
	return time.Time{}
}
