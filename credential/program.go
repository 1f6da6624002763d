package credential

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/cryptosigner"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

const (
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	assertionLife = time.Minute
	largestToken  = 64 << 10
)

// clientCredentials is a program's own sign-in (RFC 6749 section 4.4) with an assertion in place of a secret (RFC 7523).
func (c *Credential) clientCredentials(ctx context.Context) (*session, error) {
	s, err := c.place(ctx)
	if err != nil {
		return nil, err
	}
	m, err := c.metadata(ctx, s)
	if err != nil {
		return nil, err
	}
	if m.Token == "" {
		return nil, errUnsupported
	}
	assertion, err := c.assertion(m, s)
	if err != nil {
		return nil, err
	}
	config := clientcredentials.Config{
		ClientID: s.ClientID, TokenURL: m.Token, Scopes: programScopes(s.Scopes), AuthStyle: oauth2.AuthStyleInParams,
		EndpointParams: url.Values{"client_assertion_type": {assertionType}, "client_assertion": {assertion}},
	}
	token, err := config.Token(c.oauthContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("asking for a token: %w", clean(err))
	}
	next := c.newSession(token)
	next.Name = s.ClientID
	return next, nil
}

// assertion proves who the program is: signed with its key, or issued by its platform.
func (c *Credential) assertion(m *metadata, s *SignIn) (string, error) {
	if c.options.Flow == Workload {
		return readToken(c.options.TokenFile)
	}
	algorithm, err := algorithmOf(c.options.Key)
	if err != nil {
		return "", err
	}
	options := (&jose.SignerOptions{}).WithType("JWT")
	key := jose.JSONWebKey{Key: cryptosigner.Opaque(c.options.Key), KeyID: c.options.KeyID, Algorithm: string(algorithm)}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, options)
	if err != nil {
		return "", fmt.Errorf("preparing the assertion: %w", err)
	}
	now := c.clock()
	claims, err := json.Marshal(map[string]any{
		"iss": s.ClientID, "sub": s.ClientID, "aud": m.Token, "jti": rand.Text(),
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(assertionLife).Unix(),
	})
	if err != nil {
		return "", fmt.Errorf("encoding the assertion: %w", err)
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		return "", fmt.Errorf("signing the assertion: %w", err)
	}
	return signed.CompactSerialize() //nolint:wrapcheck // it was just made
}

var errKeyKind = errors.New("the key is neither RSA of 2048 bits, nor ECDSA on P-256, nor Ed25519")

func algorithmOf(key crypto.Signer) (jose.SignatureAlgorithm, error) {
	const leastBits = 2048
	switch public := key.Public().(type) {
	case *rsa.PublicKey:
		if public.N.BitLen() >= leastBits {
			return jose.RS256, nil
		}
	case *ecdsa.PublicKey:
		if public.Curve == elliptic.P256() {
			return jose.ES256, nil
		}
	case ed25519.PublicKey:
		return jose.EdDSA, nil
	}
	return "", errKeyKind
}

// readTokenFile presents the platform's token as it is.
func (c *Credential) readTokenFile() (*session, error) {
	token, err := readToken(c.options.TokenFile)
	if err != nil {
		return nil, err
	}
	return c.newSession(&oauth2.Token{AccessToken: token}), nil
}

var errNoToken = errors.New("holds no token")

// readToken reads a token that somebody else keeps fresh.
func readToken(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("reading the token file: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(io.LimitReader(f, largestToken+1))
	if err != nil {
		return "", fmt.Errorf("reading the token file: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" || len(text) > largestToken || strings.ContainsAny(token, " \t\r\n") {
		return "", fmt.Errorf("the token file %s %w", path, errNoToken)
	}
	return token, nil
}

var errCommandOutput = errors.New("the command printed neither a token nor JSON with access_token")

// runCommand asks another program. It is told the gate and the audience in its environment, and nothing else of ours.
func (c *Credential) runCommand(ctx context.Context) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	command := exec.CommandContext(ctx, c.options.Command[0], c.options.Command[1:]...) //nolint:gosec // G204: the caller's own command
	command.Env = append(os.Environ(), "COSMOSGATE_GATE="+c.gate.String())
	command.WaitDelay = time.Second
	var stderr, stdout bounded
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		return nil, fmt.Errorf("%w: running %s: %w: %s", ErrSignInFailed, c.options.Command[0], err, printable(strings.TrimSpace(stderr.String())))
	}
	return c.readOutput(bytes.TrimSpace(stdout.Bytes()))
}

// bounded keeps the beginning of what is written, and takes the rest for nothing.
type bounded struct{ bytes.Buffer }

// Write implements [io.Writer].
func (b *bounded) Write(p []byte) (int, error) {
	if room := largestToken - b.Len(); room > 0 {
		_, _ = b.Buffer.Write(p[:min(room, len(p))]) // a buffer takes everything
	}
	return len(p), nil
}

func (c *Credential) readOutput(text []byte) (*session, error) {
	if len(text) > 0 && text[0] != '{' {
		if bytes.ContainsAny(text, " \t\r\n") {
			return nil, errCommandOutput
		}
		return c.newSession(&oauth2.Token{AccessToken: string(text)}), nil
	}
	var printed struct {
		AccessToken string      `json:"access_token"`
		ExpiresIn   json.Number `json:"expires_in"`
		ExpiresOn   string      `json:"expires_on"`
	}
	if err := json.Unmarshal(text, &printed); err != nil || printed.AccessToken == "" {
		return nil, errCommandOutput
	}
	s := c.newSession(&oauth2.Token{AccessToken: printed.AccessToken})
	if seconds, err := strconv.ParseInt(printed.ExpiresIn.String(), 10, 32); err == nil && seconds > 0 {
		s.Expires = s.Obtained.Add(time.Duration(seconds) * time.Second)
	} else if on, err := time.Parse(time.RFC3339, printed.ExpiresOn); err == nil {
		s.Expires = on
	}
	return s, nil
}
