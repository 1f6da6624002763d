package main

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"text/template"
	"time"

	"github.com/cosmosgate/cosmosgate/certs"
	"github.com/cosmosgate/cosmosgate/identity/seal"
	"github.com/cosmosgate/cosmosgate/internal/config"
)

// devConfig is an ordinary configuration file: what production would have, with development parts around it.
const devConfig = `# Written anew by "cosmosgate dev" at every start; "cosmosgate serve" reads files like it. Keys: docs/config.md.
listen:
  data:  {address: "{{.Data}}", tls: {certificate: "{{.Cert}}", key: "{{.Key}}"}, client_certificates: true}
  scim:  {address: "{{.SCIM}}", tls: {certificate: "{{.Cert}}", key: "{{.Key}}"}, client_certificates: true}
  admin: {address: "{{.Admin}}"}
trust: {upstream: "{{.CA}}", issuers: "{{.CA}}"}
accounts:
- name: ` + devAccount + `
  public_url: {{.GateURL}}/
  hosts: ["{{.Data}}"]
  upstream: {{.CosmosURL}}/
  region: {{.Region}}
  reader: gate
  identities:
{{- range .Identities}}
    {{.Name}}: {managed_identity: {client_id: {{.ClientID}}}}
{{- end}}
issuers:
- name: ` + devIssuerName + `
  url: {{.Issuer}}
  audiences: ["` + devAudience + `"]
  connection: ` + devConnection + `
  claim: oid
  token_type: at+jwt
  front_end_clients: [` + devCLI + `]
  insecure_loopback: true
connections:
- name: ` + devConnection + `
  issuer: ` + devIssuerName + `
  tokens: [{value: {file: "{{.State}}/scim-token"}, expires: {{.TokenExpiry}}}]
  rate: {rps: 500, burst: 1000}
scim:      {public_url: "{{.SCIMURL}}/"}
directory: {path: "{{.State}}/directory.db"}
policy:    {path: "{{.State}}/policy"}
audit:     {path: "{{.State}}/audit.jsonl"}
secrets:   {keys: {file: "{{.State}}/sealing-keys"}}
keys:      {enabled: true}
feeds:     [{name: dev-logout, kind: backchannel_logout, issuers: [` + devIssuerName + `], audiences: [` + devCLI + `]}]
token_service: {issuer: {{.SCIMURL}}}
engineers: {certificate_authority: "{{.CA}}"}
limits:    {drain: 3s, account_refresh: 5s}
log:       {level: info, format: text}
`

// writeConfig writes the gate's configuration and reads it back as `cosmosgate serve` would.
func (w *devWorld) writeConfig(authority *certs.Authority) (config.Config, error) {
	type identity struct{ Name, ClientID string }
	var identities []identity
	for _, i := range devIdentities(w.options.managedHost()) {
		identities = append(identities, identity{i.name, i.clientID})
	}
	var text bytes.Buffer
	err := template.Must(template.New("config").Parse(devConfig)).Execute(&text, map[string]any{
		"Data": w.ports[portData].Addr(), "SCIM": w.ports[portSCIM].Addr(), "Admin": w.ports[portAdmin].Addr(),
		"Cert": authority.CertFile, "Key": authority.KeyFile, "CA": authority.CAFile, "State": w.options.state,
		"GateURL": w.url("https", portData), "SCIMURL": w.url("https", portSCIM), "CosmosURL": w.url("https", portCosmos),
		"Region": w.options.region, "Issuer": w.provider.Issuer(), "Identities": identities,
		"TokenExpiry": time.Now().AddDate(1, 0, 0).UTC().Format(time.RFC3339),
	})
	if err != nil {
		return config.Config{}, fmt.Errorf("writing the configuration: %w", err)
	}
	if err := os.WriteFile(w.ready.Config, text.Bytes(), ownerOnly); err != nil {
		return config.Config{}, fmt.Errorf("writing the configuration: %w", err)
	}
	return config.Load(w.ready.Config) //nolint:wrapcheck // each line begins with the file
}

// ownerOnly is the mode of every file with a secret in it, or beside one.
const ownerOnly = 0o600

// sealingKeyFile makes the key that the development gate seals virtual keys under, once.
func sealingKeyFile(path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	key := make([]byte, seal.KeyBytes)
	_, _ = rand.Read(key) // never fails (crypto/rand)
	if err := os.WriteFile(path, []byte(base64.StdEncoding.EncodeToString(key)+"\n"), ownerOnly); err != nil {
		return fmt.Errorf("making the sealing key: %w", err)
	}
	return nil
}

// documentsFile keeps the stand-in's data between runs.
func (w *devWorld) documentsFile() string { return filepath.Join(w.options.state, "documents.json") }

// restore fills the stand-in with what the last run kept, or with the seed.
func (w *devWorld) restore() error {
	f, err := os.Open(w.documentsFile())
	if errors.Is(err, os.ErrNotExist) {
		return seedDocuments(w.cosmos)
	}
	if err != nil {
		return fmt.Errorf("opening the documents kept: %w", err)
	}
	defer f.Close() //nolint:errcheck // the file was only read
	if err := w.cosmos.Restore(f); err != nil {
		return fmt.Errorf("reading the documents kept in %s: %w", w.documentsFile(), err)
	}
	return nil
}

// keep writes the stand-in's data for the next run. The old file stays whole until the new one is.
func (w *devWorld) keep() error {
	next := w.documentsFile() + ".new"
	f, err := os.OpenFile(next, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, ownerOnly)
	if err != nil {
		return fmt.Errorf("keeping the documents: %w", err)
	}
	if err := errors.Join(w.cosmos.Snapshot(f), f.Close()); err != nil {
		return fmt.Errorf("keeping the documents: %w", err)
	}
	if err := os.Rename(next, w.documentsFile()); err != nil {
		return fmt.Errorf("keeping the documents: %w", err)
	}
	return nil
}

var errNoCertificate = errors.New("holds no certificate")

// trustingClient speaks to whatever the development authority vouches for.
func trustingClient(caFile string) (*http.Client, error) {
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("reading the development authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s %w", caFile, errNoCertificate)
	}
	const patience = 30 * time.Second
	return &http.Client{Transport: trustingTransport(pool), Timeout: patience}, nil
}
