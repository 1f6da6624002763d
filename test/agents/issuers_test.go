package agents_test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// zitadelStorage is the library's example storage, whose clients get JWTs that are meant for the gate, too.
type zitadelStorage struct{ *storage.Storage }

func (s zitadelStorage) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	found, err := s.Storage.GetClientByClientID(ctx, id)
	return jwtClient{found}, err
}

func (s zitadelStorage) AuthRequestByCode(ctx context.Context, code string) (op.AuthRequest, error) {
	found, err := s.Storage.AuthRequestByCode(ctx, code)
	return forTheGate{found}, err
}

type jwtClient struct{ op.Client }

func (jwtClient) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeJWT }

type forTheGate struct{ op.AuthRequest }

func (r forTheGate) GetAudience() []string {
	return append(slices.Clone(r.AuthRequest.GetAudience()), audience)
}

// zitadel starts a provider of zitadel/oidc in this process.
func zitadel(t *testing.T, state string) *provider {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(certificate(state))
	must(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	_, port, err := net.SplitHostPort(listener.Addr().String())
	must(t, err)
	issuer := "https://localhost:" + port
	clients := map[string]*storage.Client{"zitadel-cli": storage.NativeClient("zitadel-cli", "http://127.0.0.1/callback")}
	store := zitadelStorage{storage.NewStorageWithClients(storage.NewUserStore(issuer), clients)}
	server := httptest.NewUnstartedServer(exampleop.SetupServer(issuer, store, slog.New(slog.DiscardHandler), false))
	server.Listener.Close()
	server.Listener = listener
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return &provider{name: "zitadel", issuer: issuer, clientID: "zitadel-cli", signIn: func(t *testing.T, c *http.Client, page *http.Response) *http.Response {
		t.Helper()
		page.Body.Close()
		answer, err := c.PostForm(page.Request.URL.String(), url.Values{
			"username": {"test-user@localhost"}, "password": {"verysecure"}, "id": {page.Request.URL.Query().Get("authRequestID")},
		})
		must(t, err)
		return answer
	}}
}

// oidcProvider starts the npm module of that name.
func oidcProvider(t *testing.T, state string) *provider {
	t.Helper()
	modules, port := node(t), freePort(t)
	cert, key := certificate(state)
	run(t, []string{"PORT=" + port, "CERT=" + cert, "KEY=" + key, "AUDIENCE=" + audience, "MODULES=" + modules}, "node", "provider.mjs")
	issuer := "https://localhost:" + port
	c := client(t, filepath.Join(state, "tls", "ca.pem"))
	eventually(t, "the provider answers", func() bool {
		resp, err := c.Get(issuer + "/.well-known/openid-configuration")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return &provider{name: "node", issuer: issuer, clientID: "node-cli"}
}

func certificate(state string) (string, string) {
	found, _ := filepath.Glob(filepath.Join(state, "tls", "*.pem"))
	var cert, key string
	for _, file := range found {
		switch base := filepath.Base(file); {
		case strings.Contains(base, "ca"):
		case strings.Contains(base, "key"):
			key = file
		default:
			cert = file
		}
	}
	return cert, key
}

// gate is a gate that trusts one independent provider, run as an operator would.
type gate struct {
	endpoint, service, scim string
	client                  *http.Client
}

const config = `
listen:
  data:  {address: "127.0.0.1:%[1]s", tls: {certificate: %[4]q, key: %[5]q}}
  scim:  {address: "127.0.0.1:%[2]s", tls: {certificate: %[4]q, key: %[5]q}}
  admin: {address: "127.0.0.1:%[3]s"}
trust: {upstream: %[6]q, issuers: %[6]q}
accounts:
- {name: dev, public_url: "https://localhost:%[1]s/", upstream: %[7]q, region: Local, reader: gate, identities: {%[8]s}}
issuers:
- name: %[9]s
  url: %[10]q
  audiences: ["` + audience + `"]
  connection: people
  claim: sub
  token_type: %[11]s
  front_end_clients: [%[12]s]
  exchange: {id_token_clients: [%[12]s]}
  insecure_loopback: true
connections: [{name: people, issuer: %[9]s, tokens: [{value: {file: %[13]q}, expires: 2099-01-01T00:00:00Z}]}]
scim: {public_url: "https://localhost:%[2]s/"}
directory: {path: %[14]q}
policy: {path: %[15]q}
audit: {path: %[16]q}
secrets: {keys: {file: %[17]q}}
token_service: {issuer: "https://localhost:%[2]s"}
limits: {account_refresh: 5s, drain: 1s}
`

const policyText = `
{kind: Role, name: reader, identity: reader, rules: [{dataActions: [items/read], resources: [dev/shop/orders]}]}
---
{kind: RoleBinding, name: readers, role: reader, subjects: [{group: readers}]}
---
{kind: Agent, name: helper, jwks: {keys: [%s]}}
---
{kind: AgentGrant, name: helper, role: reader, subjects: [{agent: helper}], onBehalfOf: {groups: [readers]}}
`

func serve(t *testing.T, r ready, state string, p *provider, tokenType, agent string) *gate {
	t.Helper()
	dir := folder(t)
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	var identities []string
	for _, i := range r.HostIdentity.Identities {
		identities = append(identities, fmt.Sprintf("%s: {managed_identity: {client_id: %s}}", i.Name, i.ClientID))
	}
	cert, key := certificate(state)
	data, services, admin := freePort(t), freePort(t), freePort(t)
	file := write("cosmosgate.yaml", fmt.Sprintf(config, data, services, admin, cert, key, r.CA, r.Emulator.Endpoint, strings.Join(identities, ", "),
		p.name, p.issuer, tokenType, p.clientID, write("scim-token", "a token of a test\n"), filepath.Join(dir, "directory.db"),
		write("policy.yaml", fmt.Sprintf(policyText, agent)), filepath.Join(dir, "audit.jsonl"),
		write("keys", base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32)))+"\n")))
	run(t, []string{"IDENTITY_ENDPOINT=" + r.HostIdentity.Endpoint, "IDENTITY_HEADER=" + r.HostIdentity.Header}, binary(t), "serve", "--config", file)
	g := &gate{
		endpoint: "https://localhost:" + data + "/", service: "https://localhost:" + services,
		scim: "https://localhost:" + services + "/scim/v2/people", client: client(t, r.CA),
	}
	eventually(t, "the gate is ready", func() bool {
		resp, err := http.Get("http://127.0.0.1:" + admin + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return g
}

// push sends one SCIM request, and returns the id of the record.
func (g *gate) push(t *testing.T, method, path, body string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, g.scim+path, strings.NewReader(body))
	must(t, err)
	r.Header.Set("Authorization", "Bearer a token of a test")
	r.Header.Set("Content-Type", "application/scim+json")
	resp, err := g.client.Do(r)
	must(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(t, err)
	if resp.StatusCode >= http.StatusMultipleChoices {
		t.Fatalf("%s %s: %s: %s", method, path, resp.Status, text)
	}
	var record struct {
		ID string `json:"id"`
	}
	_ = json.Unmarshal(text, &record)
	return record.ID
}

// hire puts somebody into the directory, in the group of readers.
func (g *gate) hire(t *testing.T, subject string) string {
	t.Helper()
	id := g.push(t, http.MethodPost, "/Users", fmt.Sprintf(
		`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"somebody","externalId":%q,"active":true}`, subject))
	g.push(t, http.MethodPost, "/Groups", fmt.Sprintf(
		`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"readers","externalId":"readers","members":[{"value":%q}]}`, id))
	return id
}

func TestPeopleSignInAtIndependentProvidersAndAgentsActForThem(t *testing.T) {
	t.Parallel()
	r, state := develop(t, "--only-emulator")
	for _, row := range []struct {
		name, tokenType string
		start           func(*testing.T, string) *provider
		hint            string
		idToken         string // what the data plane says to one
	}{
		{"zitadel oidc", "jwt", zitadel, "test-user@localhost", "401/5009"}, // meant for the gate, too
		{"npm oidc-provider", "at+jwt", oidcProvider, "node-ann", "401/5008"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			p := row.start(t, state)
			key, public := agentKey(t)
			g := serve(t, r, state, p, row.tokenType, public)
			token := p.token(t, r.CA, row.hint)
			id, _ := token.Extra("id_token").(string)
			subject := subjectOf(t, id)

			expect := func(when, want, raw string) {
				t.Helper()
				if diff := cmp.Diff(want, read(t, g.client, g.endpoint, raw)); diff != "" {
					t.Errorf("%s (-want +got):\n%s", when, diff)
				}
			}
			expect("before the directory knows them", "401/5013", token.AccessToken)
			person := g.hire(t, subject)
			expect("the person", "200", token.AccessToken)
			expect("their ID token", row.idToken, id)

			own, fault := exchange(t, g.client, g.service, "helper", key, token.AccessToken, "access_token")
			if fault != "" {
				t.Fatalf("exchanging the access token: %s", fault)
			}
			expect("an agent, for the person", "200", own)
			byID, fault := exchange(t, g.client, g.service, "helper", key, id, "id_token")
			if fault != "" {
				t.Fatalf("exchanging the ID token: %s", fault)
			}
			expect("an agent, by the person's ID token", "200", byID)
			if _, fault := exchange(t, g.client, g.service, "helper", key, id, "access_token"); fault != "invalid_request" {
				t.Errorf("the ID token as an access token: %q", fault)
			}

			g.push(t, http.MethodPatch, "/Users/"+person,
				`{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","path":"active","value":false}]}`)
			expect("the person, who has left", "401/5013", token.AccessToken)
			expect("the agent of a person who has left", "401/5013", own)
			if _, fault := exchange(t, g.client, g.service, "helper", key, token.AccessToken, "access_token"); fault != "invalid_request" {
				t.Errorf("exchanging the token of a person who has left: %q", fault)
			}
		})
	}
}

func subjectOf(t *testing.T, raw string) string {
	t.Helper()
	parsed, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.RS256, jose.ES256})
	must(t, err)
	var claims struct {
		Subject string `json:"sub"`
		Expiry  int64  `json:"exp"`
	}
	must(t, json.Unmarshal(parsed.UnsafePayloadWithoutVerification(), &claims))
	if time.Until(time.Unix(claims.Expiry, 0)) <= 0 {
		t.Error("the ID token is expired")
	}
	return claims.Subject
}
