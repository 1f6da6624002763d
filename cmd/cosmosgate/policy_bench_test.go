package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cosmosgate/cosmosgate/policy"
)

// company is a policy over 100 containers, and an export of 10,000 people in 200 groups, 20 groups each.
func company(b *testing.B) (*policy.Set, string) {
	b.Helper()
	const containers, groups, persons, memberships = 100, 200, 10_000, 20
	var text strings.Builder
	for i := range containers {
		fmt.Fprintf(&text, `
kind: Role
name: reader-%d
identity: mi-ro
rules:
- {dataActions: [items/read, executeQuery], resources: [prod/shop/c%d], partitionKey: {equals: ["${user.department}"]}}
---
{kind: RoleBinding, name: readers-%d, role: reader-%d, subjects: [{group: g%d}, {group: g%d}]}
---
`, i, i, i, i, i, i+containers)
	}
	text.WriteString(`{kind: Guardrail, name: agents, effect: deny, dataActions: [items/create], resources: ["*/*/*"], when: context.isAgent, reason: r}`)
	set, err := policy.Parse("p.yaml", []byte(text.String()), policy.Options{})
	if err != nil {
		b.Fatal(err)
	}
	var lines strings.Builder
	for i := range persons {
		fmt.Fprintf(&lines, `{"kind":"user","id":"u%d","userName":"u%d@corp.example","active":true,"attributes":{"department":"d%d"}}`+"\n", i, i, i%7)
	}
	for i := range groups {
		fmt.Fprintf(&lines, `{"kind":"group","id":"id%d","externalId":"g%d"}`+"\n", i, i)
	}
	for i := range groups {
		var members []string
		for p := range persons {
			if (p*31+i*17)%groups < memberships {
				members = append(members, fmt.Sprintf(`"u%d"`, p))
			}
		}
		fmt.Fprintf(&lines, `{"kind":"members","id":"id%d","members":[%s]}`+"\n", i, strings.Join(members, ","))
	}
	name := filepath.Join(b.TempDir(), "people.jsonl")
	if err := os.WriteFile(name, []byte(lines.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	return set, name
}

// BenchmarkWho answers who can access 100 containers among 10,000 people, from reading the export to the written table.
func BenchmarkWho(b *testing.B) {
	set, export := company(b)
	for b.Loop() {
		all, err := readPeople(export, time.Now())
		if err != nil {
			b.Fatal(err)
		}
		cells, err := policy.Cells(set)
		if err != nil {
			b.Fatal(err)
		}
		entries := who(set, all, cells, policy.AllActions&^policy.ReadMetadata, time.Now())
		if err := printAccess(io.Discard, outputTable, entries); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(entries)), "rows")
		b.ReportMetric(float64(len(cells)*len(all.principals)), "pairs")
	}
}

// BenchmarkReplay decides records of 800 bytes, as the gate writes them, of 5,000 people who each use one container.
func BenchmarkReplay(b *testing.B) {
	set, export := company(b)
	const records, callers = 200_000, 5000
	var log bytes.Buffer
	for i := range records {
		fmt.Fprintf(&log, `{"v":1,"ts":"2026-11-24T08:00:00.123456Z","decision_id":"0192f0c1-2345-4abc-8def-%012d","activity_id":"0192f0c1-2345-4abc-8def-0123456789ab","principal":{"kind":"person","issuer":"corp","subject":"0192f0c1-2345-7abc-8def-0123456789ab","record":"u%d","user_name":"u%d@corp.example"},"credential":{"method":"oidc","token_id":"0192f0c123457abc8def0123456789ab"},"client":"cosmosgate-cli","source":"10.1.2.3","user_agent":"azsdk-go-azcosmos/v1.5.0 (go1.26; linux)","method":"GET","operation":"items/read","actions":["items/read"],"account":"prod","database":"shop","container":"c%d","partition_keys":["sha256:3f0ad1f1f3f7f5d5a6c7a2d1e0f9b8c7"],"item":"sha256:ffffffffffffffffffffffffffffffff","decision":"deny","reason":"noRole","policy_hash":"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","status":403,"bytes_in":0,"bytes_out":912,"outcome":"refused","duration_us":123,"gate_us":45}`+"\n",
			i, i%callers, i%callers, i%callers%97)
	}
	b.SetBytes(int64(log.Len()))
	for b.Loop() {
		r, err := newReplay(set, &replayFlags{people: export})
		if err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		if err := r.read(bytes.NewReader(log.Bytes())); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(records)/time.Since(start).Seconds(), "records/s")
		if r.total.records != records {
			b.Fatalf("%d records", r.total.records)
		}
	}
}
