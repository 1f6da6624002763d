package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/cosmosgate/cosmosgate/certs"
	"github.com/cosmosgate/cosmosgate/internal/devidp"
)

const (
	person   = "5a0e8a54-30f5-4a9a-8f7e-6c1b7f0c0001"
	clientID = "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3d0001"
	header   = "identity-header"
	secret   = "scim-token-of-a-measurement"
)

// world is a gate with what it needs around it.
type world struct {
	dir             string
	pool            *x509.CertPool
	client          *http.Client
	servers         []*http.Server
	gate            *exec.Cmd
	gateAddress     string
	upstreamAddress string
	token           string
}

func newWorld(ctx context.Context, gate string) (_ *world, err error) {
	w := new(world)
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if w.dir, err = os.MkdirTemp("", "cosmosgate-load-"); err != nil {
		return nil, fmt.Errorf("making a folder: %w", err)
	}
	authority, err := certs.DevelopmentAuthority(filepath.Join(w.dir, "tls"), nil, time.Now)
	if err != nil {
		return nil, fmt.Errorf("making certificates: %w", err)
	}
	pem, err := os.ReadFile(authority.CAFile)
	if err != nil {
		return nil, fmt.Errorf("making certificates: %w", err)
	}
	w.pool = x509.NewCertPool()
	w.pool.AppendCertsFromPEM(pem)
	w.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: w.pool, MinVersion: tls.VersionTLS12}}, Timeout: 10 * time.Second}
	pair, err := tls.LoadX509KeyPair(authority.CertFile, authority.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("loading certificates: %w", err)
	}

	upstream, err := w.serve(&pair, http.HandlerFunc(answer))
	if err != nil {
		return nil, err
	}
	w.upstreamAddress = upstream
	provider, endpoint, err := w.signIn(&pair)
	if err != nil {
		return nil, err
	}
	data, scim, admin, err := freeAddresses()
	if err != nil {
		return nil, err
	}
	w.gateAddress = data
	config := strings.NewReplacer("DIR", w.dir, "DATA", data, "SCIM", scim, "ADMIN", admin,
		"CERT", authority.CertFile, "KEY", authority.KeyFile, "CA", authority.CAFile,
		"ISSUER", provider.Issuer(), "UPSTREAM", "https://localhost"+port(upstream), "PUBLIC", "https://localhost"+port(data),
		"PUSH", "https://localhost"+port(scim)).Replace(configuration)
	for name, text := range map[string]string{"cosmosgate.yaml": config, "policy.yaml": policyText, "scim-token": secret} {
		if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
			return nil, fmt.Errorf("writing configuration: %w", err)
		}
	}
	w.gate = exec.CommandContext(ctx, gate, "serve", "--config", filepath.Join(w.dir, "cosmosgate.yaml"))
	w.gate.Env = append(os.Environ(), "IDENTITY_ENDPOINT="+endpoint, "IDENTITY_HEADER="+header)
	w.gate.Stderr = os.Stderr
	if err := w.gate.Start(); err != nil {
		return nil, fmt.Errorf("starting the gate: %w", err)
	}
	if err := w.await(ctx, "http://"+admin+"/readyz"); err != nil {
		return nil, err
	}
	if err := w.hire(ctx, "https://localhost"+port(scim)+"/scim/v2/dev"); err != nil {
		return nil, err
	}
	w.token, err = w.obtain(ctx, provider.Issuer())
	return w, err
}

func (w *world) gatePID() int { return w.gate.Process.Pid }

func (w *world) close() {
	if w.gate != nil && w.gate.Process != nil {
		_ = w.gate.Process.Signal(os.Interrupt)
		_ = w.gate.Wait()
	}
	for _, s := range w.servers {
		_ = s.Close()
	}
	_ = os.RemoveAll(w.dir)
}

// serve runs a handler on a free port.
func (w *world) serve(pair *tls.Certificate, h http.Handler) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("listening: %w", err)
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	if pair != nil {
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{*pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}})
	}
	w.servers = append(w.servers, s)
	go func() { _ = s.Serve(l) }()
	return l.Addr().String(), nil
}

func (w *world) signIn(pair *tls.Certificate) (*devidp.Provider, string, error) {
	var provider *devidp.Provider
	late := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { provider.ServeHTTP(rw, r) })
	secure, err := w.serve(pair, late)
	if err != nil {
		return nil, "", err
	}
	plain, err := w.serve(nil, late)
	if err != nil {
		return nil, "", err
	}
	provider, err = devidp.New(devidp.Config{
		Issuer: "https://localhost" + port(secure) + "/dev", Audience: "api://cosmosgate-dev",
		People:     []devidp.Person{{Name: "ann", ID: person, DisplayName: "Ann"}},
		Clients:    []devidp.Client{{ID: "checkout", Secret: "s"}},
		Identities: []devidp.ManagedIdentity{{ClientID: clientID, ObjectID: "e7a0f1c2-0000-4000-8000-000000000001"}}, IdentityHeader: header,
		Clock: time.Now, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, "", fmt.Errorf("starting the identity provider: %w", err)
	}
	at, err := url.Parse(provider.IdentityEndpoint())
	if err != nil {
		return nil, "", fmt.Errorf("starting the identity provider: %w", err)
	}
	return provider, "http://localhost" + port(plain) + at.Path, nil
}

// obtain gets an application's token.
func (w *world) obtain(ctx context.Context, issuer string) (string, error) {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"checkout"}, "client_secret": {"s"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, issuer+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		return "", fmt.Errorf("signing in: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := w.call(req, &answer); err != nil {
		return "", err
	}
	return answer.AccessToken, nil
}

// hire pushes a person, so that the directory is not empty.
func (w *world) hire(ctx context.Context, base string) error {
	body := `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"ann","externalId":"` + person + `","active":true}`
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/Users", strings.NewReader(body))
	if err != nil {
		return fmt.Errorf("pushing a person: %w", err)
	}
	req.Header.Set("Content-Type", "application/scim+json")
	req.Header.Set("Authorization", "Bearer "+secret)
	return w.call(req, new(map[string]any))
}

func (w *world) call(req *http.Request, into any) error {
	resp, err := w.client.Do(req)
	if err != nil {
		return fmt.Errorf("calling %s: %w", req.URL, err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%w: %s: %s: %s", errAnswer, req.URL, resp.Status, bytes.TrimSpace(b))
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("reading the answer of %s: %w", req.URL, err)
	}
	return nil
}

func (w *world) await(ctx context.Context, url string) error {
	for tries := 0; ; tries++ {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return fmt.Errorf("waiting for the gate: %w", err)
		}
		err = w.call(req, new(any))
		if err == nil {
			return nil
		}
		const most = 200
		if tries == most {
			return fmt.Errorf("waiting for the gate: %w", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// answer is the upstream: an account, one document, key ranges.
func answer(rw http.ResponseWriter, r *http.Request) {
	h := rw.Header()
	h.Set("Content-Type", "application/json")
	if r.URL.Path == "/" {
		_, _ = io.WriteString(rw, `{"_self":"","id":"load","_rid":"load.documents.azure.com","media":"//media/","addresses":"//addresses/","_dbs":"//dbs/",`+
			`"writableLocations":[{"name":"Local","databaseAccountEndpoint":"https://upstream/"}],"readableLocations":[{"name":"Local","databaseAccountEndpoint":"https://upstream/"}],`+
			`"enableMultipleWriteLocations":false,"userReplicationPolicy":{"asyncReplication":false,"minReplicaSetSize":3,"maxReplicasetSize":4},`+
			`"userConsistencyPolicy":{"defaultConsistencyLevel":"Session"},"systemReplicationPolicy":{"minReplicaSetSize":3,"maxReplicasetSize":4},`+
			`"readPolicy":{"primaryReadCoefficient":1,"secondaryReadCoefficient":1},"queryEngineConfiguration":"{}"}`)
		return
	}
	h.Set("x-ms-request-charge", "1")
	h.Set("x-ms-session-token", "0:-1#42")
	h.Set("lsn", "42")
	h.Set("ETag", `"00000000-0000-0000-5e1f-3a5f3cf701dc"`)
	h.Set("x-ms-activity-id", r.Header.Get("x-ms-activity-id"))
	_, _ = io.WriteString(rw, document)
}

func freeAddresses() (a, b, c string, err error) {
	var got [3]string
	for i := range got {
		l, e := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
		if e != nil {
			return "", "", "", fmt.Errorf("finding free ports: %w", e)
		}
		got[i] = l.Addr().String()
		err = errors.Join(err, l.Close())
	}
	return got[0], got[1], got[2], err
}

func port(address string) string { return address[strings.LastIndexByte(address, ':'):] }

const configuration = `listen:
  data:  {address: "DATA", tls: {certificate: "CERT", key: "KEY"}}
  scim:  {address: "SCIM", tls: {certificate: "CERT", key: "KEY"}}
  admin: {address: "ADMIN"}
trust: {upstream: "CA", issuers: "CA"}
accounts:
- name: load
  public_url: PUBLIC/
  upstream: UPSTREAM/
  region: Local
  reader: reader
  identities: {reader: {managed_identity: {client_id: ` + clientID + `}}}
issuers:
- {name: dev, url: ISSUER, audiences: ["api://cosmosgate-dev"], connection: dev, claim: oid, token_type: at+jwt, front_end_clients: [cli], insecure_loopback: true}
connections:
- {name: dev, issuer: dev, tokens: [{value: {file: "DIR/scim-token"}, expires: 2099-01-01T00:00:00Z}]}
scim:      {public_url: "PUSH/"}
directory: {path: "DIR/directory.db"}
policy:    {path: "DIR/policy.yaml"}
audit:     {path: "DIR/audit.jsonl", max_bytes: 1073741824}
log:       {level: error, format: text}
`

const policyText = `kind: Application
name: checkout
match: {issuer: dev, claims: {client_id: checkout}}
---
kind: Role
name: reader
identity: reader
rules: [{dataActions: [items/read], resources: [load/shop/orders]}]
---
kind: RoleBinding
name: reader
role: reader
subjects: [{application: checkout}]
`
