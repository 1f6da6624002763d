package directory

import (
	"context"
	"time"
)

// Token is a connection's SCIM bearer token without its secret.
type Token struct {
	// ID names the token in listings and revocations.
	ID         string
	Connection string
	Created    time.Time
	Expires    time.Time
	// LastUsed is when this process last saw the token, zero for never.
	LastUsed time.Time
	// hash is the SHA-256 of the secret.
	hash [32]byte
}

// CreateToken makes a bearer token for a connection and returns its secret,
// which is shown once and never stored. A connection has at most two live
// tokens.
func (d *Directory) CreateToken(ctx context.Context, connection string, lifetime time.Duration) (Token, string, error) {
	return Token{}, "", errNotYet
}

// RevokeToken ends a token at once.
func (d *Directory) RevokeToken(ctx context.Context, id string) error { return errNotYet }

// Tokens lists a connection's tokens, the expired ones too, oldest first.
func (d *Directory) Tokens(connection string) []Token { return nil }

// VerifyToken reports whether secret is a live token of the connection.
func (d *Directory) VerifyToken(connection, secret string) bool { return false }
