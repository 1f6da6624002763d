package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/oauth2"
)

const (
	devAgent    = "order-helper"
	devAgentMay = "agent: acts for readers and writers, never beyond them; a guardrail keeps agents from writing"
)

// readyAgent is an agent that policy declares, and the file with the key that it proves itself with.
type readyAgent struct {
	Name    string `json:"name"`
	KeyFile string `json:"key_file"`
	May     string `json:"may"`
}

// devAgentPolicy declares the agent. What it is granted is more than readers may do: it acts for nobody beyond their own rights.
const devAgentPolicy = `# An AI agent. It proves itself with the key in %s, exchanges a person's token for one of its own at
# the token service, and does what the person may do, what it was granted here, and what its token was narrowed to. docs/agents.md

kind: Agent
name: ` + devAgent + `
jwks:
  keys:
  - %s
---
kind: AgentGrant
name: ` + devAgent + `-for-shop-people
role: shop-writer
subjects: [{agent: ` + devAgent + `}]
onBehalfOf: {groups: [` + groupReaders + `, ` + groupWriters + `]}
---
kind: PolicyTest
name: ` + devAgent + `
cases:
- user: {id: ann, groups: [` + groupReaders + `], department: emea}
  agent: ` + devAgent + `
  action: items/read
  resource: ` + devAccount + `/shop/orders
  partitionKey: [emea]
  expect: allow
- user: {id: ann, groups: [` + groupReaders + `], department: emea}
  agent: ` + devAgent + `
  action: items/read
  resource: ` + devAccount + `/shop/orders
  partitionKey: [amer]
  expect: deny
  because: partitionKey
- user: {id: bob, groups: [` + groupWriters + `]}
  agent: ` + devAgent + `
  action: items/create
  resource: ` + devAccount + `/shop/orders
  partitionKey: [emea]
  expect: deny
  because: guardrail
- user: {id: olga, groups: [` + groupOperators + `]}
  agent: ` + devAgent + `
  action: items/read
  resource: ` + devAccount + `/shop/orders
  partitionKey: [emea]
  expect: deny
  because: agent
`

// agentPolicy returns the text that declares the development agent, whose key is in a file beside the policy folder.
func agentPolicy(keyFile string) (string, error) {
	key, err := agentKey(keyFile)
	if err != nil {
		return "", err
	}
	public, err := key.Public().MarshalJSON()
	if err != nil {
		return "", fmt.Errorf("writing the agent's public key: %w", err)
	}
	return fmt.Sprintf(devAgentPolicy, keyFile, public), nil
}

// agentKey reads the agent's private key, a JWK, made on first use.
func agentKey(file string) (jose.JSONWebKey, error) {
	var key jose.JSONWebKey
	text, err := os.ReadFile(file)
	if err == nil {
		if err := json.Unmarshal(text, &key); err != nil {
			return key, fmt.Errorf("reading %s: %w", file, err)
		}
		return key, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return key, fmt.Errorf("reading the agent's key: %w", err)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return key, fmt.Errorf("making the agent's key: %w", err)
	}
	key = jose.JSONWebKey{Key: private, Algorithm: string(jose.ES256), Use: "sig"}
	sum, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return key, fmt.Errorf("naming the agent's key: %w", err)
	}
	key.KeyID = base64.RawURLEncoding.EncodeToString(sum)
	if text, err = json.Marshal(key); err != nil {
		return key, fmt.Errorf("writing the agent's key: %w", err)
	}
	if err := os.WriteFile(file, append(text, '\n'), ownerOnly); err != nil {
		return key, fmt.Errorf("keeping the agent's key: %w", err)
	}
	return key, nil
}

func agentKeyFile(state string) string { return filepath.Join(state, "agent-key.json") }

var errExchange = errors.New("the token service refused")

// delegate does what an agent does: it proves itself with its key, and exchanges a person's token for one by which it acts for them.
func delegate(ctx context.Context, client *http.Client, r *ready, subject, scope string) (*oauth2.Token, error) {
	if r.Agent == nil {
		return nil, fmt.Errorf("%w: this world has no agent", errExchange)
	}
	key, err := agentKey(r.Agent.KeyFile)
	if err != nil {
		return nil, err
	}
	assertion, err := clientAssertion(key, r.Agent.Name, r.TokenService)
	if err != nil {
		return nil, err
	}
	form := url.Values{
		"grant_type":         {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"subject_token":      {subject},
		"subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"},

		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {assertion},
	}
	if scope != "" {
		form.Set("scope", scope)
	}
	return postToken(ctx, client, r.TokenService+"/oauth2/token", form)
}

// clientAssertion is private_key_jwt (RFC 7523).
func clientAssertion(key jose.JSONWebKey, name, audience string) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", fmt.Errorf("proving who the agent is: %w", err)
	}
	now := time.Now()
	assertion, err := jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: name, Subject: name, Audience: jwt.Audience{audience}, ID: rand.Text(),
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(time.Minute)),
	}).Serialize()
	if err != nil {
		return "", fmt.Errorf("proving who the agent is: %w", err)
	}
	return assertion, nil
}

func postToken(ctx context.Context, client *http.Client, endpoint string, form url.Values) (*oauth2.Token, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, fmt.Errorf("asking for a token: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking for a token: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	var answer struct {
		oauth2.Token

		ExpiresIn   int64  `json:"expires_in"`
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	const largest = 1 << 20
	if err := json.NewDecoder(io.LimitReader(resp.Body, largest)).Decode(&answer); err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if answer.AccessToken == "" {
		return nil, fmt.Errorf("%w: %s: %s", errExchange, answer.Error, answer.Description)
	}
	answer.Expiry = time.Now().Add(time.Duration(answer.ExpiresIn) * time.Second)
	return &answer.Token, nil
}
