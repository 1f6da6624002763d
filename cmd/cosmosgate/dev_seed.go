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
	"net/http"
	"net/url"
	"strings"
	"time"
)

func trustingTransport(pool *x509.CertPool) *http.Transport {
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}
}

type devGroup struct{ name, id string }

func devGroups() []devGroup {
	return []devGroup{{"Orders readers", groupReaders}, {"Shop writers", groupWriters}, {"Shop operators", groupOperators}}
}

// push is a SCIM client: what an identity provider is to the gate.
type push struct {
	client *http.Client
	target *readySCIM
}

var errSCIM = errors.New("SCIM request refused")

// do sends one request and returns the resource that it was answered with.
func (p push) do(ctx context.Context, method, path string, body any) (map[string]any, error) {
	var text io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("encoding a SCIM request: %w", err)
		}
		text = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, p.target.URL+path, text)
	if err != nil {
		return nil, fmt.Errorf("making a SCIM request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+p.target.Token)
	req.Header.Set("Content-Type", "application/scim+json")
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("sending a SCIM request: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // the answer was read
	const largest = 1 << 20
	answer, err := io.ReadAll(io.LimitReader(resp.Body, largest))
	if err != nil {
		return nil, fmt.Errorf("reading a SCIM answer: %w", err)
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return nil, fmt.Errorf("%w: %s %s: %s: %s", errSCIM, method, path, resp.Status, bytes.TrimSpace(answer))
	}
	if len(answer) == 0 {
		return map[string]any{}, nil
	}
	resource := map[string]any{}
	if err := json.Unmarshal(answer, &resource); err != nil {
		return nil, fmt.Errorf("reading a SCIM answer: %w", err)
	}
	return resource, nil
}

// find returns the id of the record with an external id, or nothing.
func (p push) find(ctx context.Context, kind, externalID string) (string, error) {
	query := url.Values{"filter": {`externalId eq "` + externalID + `"`}, "attributes": {"id"}}
	list, err := p.do(ctx, http.MethodGet, "/"+kind+"?"+query.Encode(), nil)
	if err != nil {
		return "", err
	}
	found, _ := list["Resources"].([]any)
	if len(found) == 0 {
		return "", nil
	}
	record, _ := found[0].(map[string]any)
	id, _ := record["id"].(string)
	return id, nil
}

// hire creates a person's record.
func (p push) hire(ctx context.Context, d *devPerson) (string, error) {
	given, family, _ := strings.Cut(d.display, " ")
	record, err := p.do(ctx, http.MethodPost, "/Users", map[string]any{
		"schemas":    []string{"urn:ietf:params:scim:schemas:core:2.0:User", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"},
		"userName":   d.name + "@shop.example",
		"externalId": d.id, "active": d.active, "displayName": d.display,
		"name":   map[string]any{"givenName": given, "familyName": family},
		"emails": []any{map[string]any{"value": d.name + "@shop.example", "type": "work", "primary": true}},
		"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": map[string]any{"department": d.department},
	})
	if err != nil {
		return "", err
	}
	id, _ := record["id"].(string)
	return id, nil
}

// group creates a group without members.
func (p push) group(ctx context.Context, g devGroup) (string, error) {
	record, err := p.do(ctx, http.MethodPost, "/Groups", map[string]any{
		"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:Group"}, "displayName": g.name, "externalId": g.id,
	})
	if err != nil {
		return "", err
	}
	id, _ := record["id"].(string)
	return id, nil
}

// patch sends one operation in the RFC's form.
func (p push) patch(ctx context.Context, path, op, attribute string, value any) error {
	_, err := p.do(ctx, http.MethodPatch, path, map[string]any{
		"schemas":    []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"},
		"Operations": []any{map[string]any{"op": op, "path": attribute, "value": value}},
	})
	return err
}

func (p push) addMember(ctx context.Context, group, user string) error {
	return p.patch(ctx, "/Groups/"+group, "add", "members", []any{map[string]any{"value": user}})
}

func (p push) setActive(ctx context.Context, user string, active bool) error {
	return p.patch(ctx, "/Users/"+user, "replace", "active", active)
}

// seedDirectory pushes the groups and people that the directory does not have yet, and returns ids by external id.
func seedDirectory(ctx context.Context, client *http.Client, target *readySCIM) (map[string]string, error) {
	p, ids := push{client, target}, map[string]string{}
	for _, g := range devGroups() {
		id, err := p.find(ctx, "Groups", g.id)
		if err == nil && id == "" {
			id, err = p.group(ctx, g)
		}
		if err != nil {
			return nil, err
		}
		ids[g.id] = id
	}
	for _, d := range devPeople() {
		id, err := p.find(ctx, "Users", d.id)
		if err == nil && id == "" && d.joined {
			if id, err = p.hire(ctx, &d); err == nil {
				err = p.addMember(ctx, ids[d.group], id)
			}
		}
		if err != nil {
			return nil, err
		}
		ids[d.id] = id
	}
	return ids, nil
}

// awaitReady waits until the gate would be given traffic.
func awaitReady(ctx context.Context, admin string) error {
	const bound, pause = 20 * time.Second, 20 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	for {
		_, err := askHealth(ctx, admin+"readyz")
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the gate: %w", err)
		case <-time.After(pause):
		}
	}
}
