package proxy

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/cosmosgate/cosmosgate/cosmos"
)

// CosmosScope is the scope of every upstream token, whatever the account.
const CosmosScope = "https://cosmos.azure.com/.default"

// Errors of a [TokenSource].
var (
	// ErrNoToken means that there is no token in force and none could be had.
	ErrNoToken = errors.New("no upstream token")
	// ErrNotRenewed means that asking again brought no other token.
	ErrNotRenewed = errors.New("upstream token not renewed")
)

// TokenSource yields what one upstream identity signs requests with. It is safe
// for concurrent use and answers from memory whenever it can.
type TokenSource interface {
	// Token returns the credential in force. The error is [ErrNoToken], wrapped.
	Token(ctx context.Context) (Token, error)
	// Renew returns a credential other than the refused one, or [ErrNotRenewed], wrapped.
	Renew(ctx context.Context, refused Token) (Token, error)
}

// Token is an upstream credential: an Entra token, or an emulator's key. It never
// prints. The zero Token signs nothing.
type Token struct {
	authorization string
	key           []byte
	obtained      time.Time
	expiry        time.Time
}

// NewToken returns an Entra token, got at one time and good until another.
func NewToken(jwt string, obtained, expiry time.Time) Token {
	return Token{authorization: cosmos.TokenAuthorization(jwt), obtained: obtained, expiry: expiry}
}

// String hides the credential.
func (Token) String() string { return "[redacted]" }

// GoString hides the credential.
func (Token) GoString() string { return "[redacted]" }

// Expiry is when the token ends; zero for an emulator's key.
func (t Token) Expiry() time.Time { return t.expiry }

func (t Token) equal(other Token) bool {
	return t.authorization == other.authorization && hmac.Equal(t.key, other.key)
}

// signable is a request as a key signs it.
type signable interface {
	Method() string
	// Signing returns the resource type and the resource link.
	Signing() (resourceType, resourceLink string)
}

// sign returns the Authorization header of a request. Only an emulator's key signs
// what it is given; an Entra token is the same for every request.
func (t Token) sign(of signable, date string) string {
	if t.key == nil {
		return t.authorization
	}
	resourceType, resourceLink := of.Signing()
	mac := hmac.New(sha256.New, t.key)
	mac.Write([]byte(strings.ToLower(of.Method()) + "\n" + strings.ToLower(resourceType) + "\n" + resourceLink + "\n" +
		strings.ToLower(date) + "\n\n"))
	return url.QueryEscape("type=master&ver=1.0&sig=" + base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

// masterKey is the TokenSource of an emulator's account key.
type masterKey struct{ token Token }

func newMasterKey(encoded string) (masterKey, error) {
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return masterKey{}, fmt.Errorf("decoding account key: %w", err)
	}
	return masterKey{Token{key: key}}, nil
}

// Token implements [TokenSource].
func (k masterKey) Token(context.Context) (Token, error) { return k.token, nil }

// Renew implements [TokenSource]: there is only one key.
func (masterKey) Renew(context.Context, Token) (Token, error) { return Token{}, ErrNotRenewed }
