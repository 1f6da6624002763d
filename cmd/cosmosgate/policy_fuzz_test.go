package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cosmosgate/cosmosgate/policy"
)

// FuzzReplay feeds arbitrary audit files to replay: every line is counted once, whatever it holds.
func FuzzReplay(f *testing.F) {
	set, err := policy.Parse("p.yaml", []byte(`
{kind: Role, name: r, identity: mi, rules: [{dataActions: [items/read], resources: [prod/shop/orders], partitionKey: {equals: ["${user.department}"]}}]}
---
{kind: RoleBinding, name: b, role: r, subjects: [{user: ann}]}
`), policy.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"ts":"2026-11-24T08:00:00Z","principal":{"kind":"person","record":"ann"},"actions":["items/read"],"account":"prod","database":"shop","container":"orders","partition_keys":["hmac:x"],"decision":"deny","reason":"partitionKey"}`))
	f.Add([]byte("{}\n\n[]\n{\"principal\":null}\n\x00"))
	f.Fuzz(func(t *testing.T, text []byte) {
		all := &people{byID: map[string]int{}}
		all.add(policy.Principal{ID: "ann", Kind: policy.KindPerson}, "ann")
		r := &replay{engine: policy.NewEngine(set), people: all, total: newTally()}
		if err := r.read(bytes.NewReader(text)); err != nil {
			t.Fatal(err)
		}
		lines, counted := 0, r.total.same
		for line := range bytes.Lines(text) {
			if len(bytes.TrimSpace(line)) > 0 {
				lines++
			}
		}
		for _, counts := range []map[string]int{r.total.outcomes, r.total.skipped} {
			for _, n := range counts {
				counted += n
			}
		}
		if lines != r.total.records || counted != lines {
			t.Errorf("%d lines, %d records, %d outcomes", lines, r.total.records, counted)
		}
	})
}

// FuzzPeople feeds arbitrary exports to the reader of people.
func FuzzPeople(f *testing.F) {
	f.Add([]byte(`{"kind":"user","id":"a","active":true}{"kind":"members","id":"g","members":["a","g"]}{"kind":"group","id":"g"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		name := filepath.Join(t.TempDir(), "people.jsonl")
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		all, err := readPeople(name, time.Unix(0, 0))
		if err == nil && len(all.names) != len(all.principals) {
			t.Errorf("%d names of %d people", len(all.names), len(all.principals))
		}
	})
}
