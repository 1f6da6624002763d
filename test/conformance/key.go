package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The sides that a case is taken on.
const (
	sideDirect   = "direct"    // against the stand-in, with its key
	sideGate     = "gate"      // through the gate, with a token
	sideKey      = "key"       // through the gate, with a virtual key
	sideWrongKey = "wrong-key" // through the gate, with a key that nobody made
)

// keyPolicy lets an application do what the operator may, and sign with virtual keys.
const keyPolicy = `kind: Application
name: conformance
virtualKeys: true
---
kind: RoleBinding
name: conformance-runs-shop
role: shop-operator
subjects: [{application: conformance}]
`

// mint has the running gate make a virtual key.
func (t *target) mint(ctx context.Context) error {
	if err := os.WriteFile(filepath.Join(t.Policy, "conformance-key.yaml"), []byte(keyPolicy), 0o600); err != nil {
		return fmt.Errorf("writing the key's policy: %w", err)
	}
	var err error
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); time.Sleep(pollInterval) {
		command := exec.CommandContext(ctx, t.TokenCommand[0], "key", "mint", "conformance", "--owner", operator+"@shop.example", "--ttl", "1h",
			"--config", t.Config, "-o", "json")
		var out []byte
		if out, err = command.Output(); err != nil {
			continue // the gate has not read the policy yet
		}
		var made struct {
			Connections map[string]string `json:"connection_strings"`
		}
		if err := json.Unmarshal(out, &made); err != nil {
			return fmt.Errorf("reading a key: %w", err)
		}
		for _, connection := range made.Connections {
			_, key, _ := strings.Cut(connection, "AccountKey=")
			t.key = strings.TrimSuffix(key, ";")
		}
		return nil
	}
	return fmt.Errorf("making a virtual key: %w", err)
}

// credentials puts what a side signs with into a plan.
func (t *target) credentials(ctx context.Context, p *plan, cases []testCase, side string) error {
	if side == sideDirect {
		return nil
	}
	p.Endpoint, p.Key = t.Gate.Endpoint, ""
	switch side {
	case sideKey:
		p.Key = t.key
		return nil
	case sideWrongKey:
		random := make([]byte, 64)
		_, _ = rand.Read(random)
		p.Key = base64.StdEncoding.EncodeToString(random)
		return nil
	}
	var err error
	p.Tokens, err = t.tokens(ctx, cases)
	return err
}

// withKey are the cases that a key can take: those of the one operator, that are no denials.
func withKey(cases []testCase) []testCase {
	return slices.DeleteFunc(slices.Clone(cases), func(c testCase) bool { return !c.byKey() })
}

func (c testCase) byKey() bool {
	others := slices.ContainsFunc(c.Steps, func(step map[string]any) bool { return step["as"] != nil })
	return !c.GateOnly && !c.WrongKey && c.As == operator && !others && c.TokenLifetime == ""
}

// keyCell judges one case with a virtual key against the same case directly.
func (c Column) keyCell(test testCase) Cell {
	if c.Skipped != "" {
		return Cell{Verdict: Skipped, Reason: c.Skipped}
	}
	cell := Cell{Direct: c.direct[test.Name], Gate: c.key[test.Name]}
	for _, steps := range [][]any{cell.Direct, cell.Gate} {
		if reason := unsupported(steps); reason != "" {
			return Cell{Verdict: Unsupported, Reason: reason}
		}
	}
	if reason := against(test, family(c.Name), cell.Gate); reason != "" {
		return Cell{Verdict: Unexpected, Reason: "with a virtual key: " + reason}
	}
	direct, gate := comparable(test, family(c.Name), cell.Direct), comparable(test, family(c.Name), cell.Gate)
	if diff := cmp.Diff(direct, gate); diff != "" {
		return Cell{Verdict: Differs, Reason: "with a virtual key:\n" + diff}
	}
	return Cell{Verdict: Equal}
}

// keys prints one line per SDK: the same cases once more, signed with a virtual key.
func (r *Report) keys(b *strings.Builder) {
	b.WriteString("\n## With a virtual key\n\nThe operator's cases once more, through the gate with an account key of its own.\n\n")
	for _, c := range r.Columns {
		count := map[Verdict]int{}
		for _, row := range r.Rows {
			if cell, ran := row.Keys[c.Name]; ran {
				count[cell.Verdict]++
			}
		}
		fmt.Fprintf(b, "- %s: %d equal, %d unsupported, %d failed\n", c.Version, count[Equal], count[Unsupported], count[Differs]+count[Unexpected])
	}
	for _, row := range r.Rows {
		for _, c := range r.Columns {
			if cell := row.Keys[c.Name]; cell.Verdict == Differs || cell.Verdict == Unexpected {
				fmt.Fprintf(b, "- %s, %s: %s\n", c.Name, row.Case, cell.Reason)
			}
		}
	}
}
