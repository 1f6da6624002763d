package main

import (
	"context"
	"crypto"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/cosmosgate/cosmosgate/credential"
)

// TestAProgramSignsInAtTheTokenServiceWithItsKey is a program without any secret that a server knows: it proves itself with a signed
// assertion at the gate's own token service, found by the credential package. It runs alone: a development world sets the process'
// environment, as the host of a managed identity does.
func TestAProgramSignsInAtTheTokenServiceWithItsKey(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var log strings.Builder
	err := runDev(ctx, devOptions{host: "127.0.0.1", state: t.TempDir(), hostID: newHostID()}, &log, func(r *ready) error {
		defer stop()
		grantAlone(t, filepath.Join(r.Policy, "agents.yaml"))
		program := asAgent(t, r)
		who, err := program.WhoAmI(ctx)
		for ; err != nil && strings.Contains(err.Error(), "onBehalfOf: none"); who, err = program.WhoAmI(ctx) {
			time.Sleep(50 * time.Millisecond) // until the policy is read again
		}
		if err != nil {
			t.Errorf("who am I: %v", err)
			return nil
		}
		if !who.Known || who.Kind != "agent" || who.Name != devAgent {
			t.Errorf("the gate takes it for %+v", who)
		}
		return nil
	})
	if err != nil {
		t.Errorf("dev: %v\n%s", err, log.String())
	}
}

// grantAlone lets the agent act for itself, and drops the policy's own test that it may not.
func grantAlone(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var kept strings.Builder
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "- {agent: "+devAgent) {
			kept.WriteString(line)
		}
	}
	kept.WriteString("---\nkind: AgentGrant\nname: helper-alone\nrole: shop-writer\nsubjects: [{agent: " + devAgent + "}]\nonBehalfOf: none\n")
	if err := os.WriteFile(file, []byte(kept.String()), ownerOnly); err != nil {
		t.Fatal(err)
	}
}

func asAgent(t *testing.T, r *ready) *credential.Credential {
	t.Helper()
	authorities, err := os.ReadFile(r.CA)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(r.Agent.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	var key jose.JSONWebKey
	if err := key.UnmarshalJSON(text); err != nil {
		t.Fatal(err)
	}
	signer, ok := key.Key.(crypto.Signer)
	if !ok {
		t.Fatalf("the key is a %T", key.Key)
	}
	c, err := credential.New(credential.Options{
		Gate: r.Gate.Endpoint, Flow: credential.PrivateKey, Key: signer, KeyID: key.KeyID,
		Issuer: r.TokenService, ClientID: r.Agent.Name, Scopes: []string{"cosmos.read"}, Authorities: authorities,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
