package policy_test

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/cosmosgate/cosmosgate/policy"
)

const explained = `kind: Role
name: reader
identity: mi-ro
rules:
- dataActions: [items/read]
  resources: [prod/shop/orders, prod/shop/carts]
  partitionKey: {equals: ["${user.department}", 7]}
- dataActions: [executeQuery]
  resources: [prod/shop/orders]
  when: context.network.inRange("10.0.0.0/8")
---
kind: RoleBinding
name: staff
role: reader
subjects: [{group: staff}, {group: staff, connection: corp}, {user: bob}]
---
kind: RoleBinding
name: last-year
role: reader
subjects: [{application: checkout}]
expires: 2026-01-01
---
kind: RoleBinding
name: next-year
role: reader
subjects: [{user: ann}]
starts: 2027-01-01
---
kind: Guardrail
name: secrets
effect: deny
dataActions: ["*"]
resources: ["prod/secrets/*"]
reason: secrets stay secret
---
{kind: Application, name: checkout, match: {issuer: corp, claims: {azp: a}}}
---
{kind: Guardrail, name: pages, effect: obligations, dataActions: ["*"], resources: ["*/*/*"], obligations: {maxItems: 50}}
`

// explain renders an explanation as people would read it.
func explain(t *testing.T, q policy.Request) string {
	t.Helper()
	x := policy.NewEngine(load(t, explained)).Explain(q)
	lines := []string{x.Decision.Reason.String() + ": " + x.Decision.Detail}
	for _, c := range x.Considered {
		line := c.Position.String() + " " + c.Policy + ": "
		if c.Matched {
			line += "matches"
		}
		lines = append(lines, line+strings.Join(c.Failed, "; "))
	}
	return strings.Join(lines, "\n")
}

// TestExplanationsNameEveryMissInTheWordsOfTheFile compares with the sections
// of testdata/explain.txtar.
func TestExplanationsNameEveryMissInTheWordsOfTheFile(t *testing.T) {
	t.Parallel()
	staff := []policy.Group{{ExternalID: "staff"}}
	cases := []struct {
		name   string
		change func(*policy.Request)
	}{
		{"everything fits", func(q *policy.Request) {
			q.Principal.Groups, q.PartitionKeys = staff, [][]string{{`"emea"`, "7"}}
		}},
		{"another partition key", func(q *policy.Request) { q.Principal.Groups = staff }},
		{"no partition key", func(q *policy.Request) { q.Principal.Groups, q.PartitionKeys = staff, nil }},
		{"a key range", func(q *policy.Request) { q.Principal.Groups, q.Ranged = staff, true }},
		{"no department", func(q *policy.Request) { q.Principal.Groups, q.Principal.Attributes = staff, nil }},
		{"a department that is not UTF-8", func(q *policy.Request) {
			q.Principal.Groups, q.Principal.Attributes = staff, map[string]string{"department": "\xff"}
		}},
		{"a query from the office", func(q *policy.Request) { q.Principal.Groups, q.Actions = staff, policy.ExecuteQuery }},
		{"a query from outside", func(q *policy.Request) {
			q.Principal.Groups, q.Actions = staff, policy.ExecuteQuery
			q.Context.SourceIP = netip.MustParseAddr("192.0.2.1")
		}},
		{"a query from nowhere", func(q *policy.Request) {
			q.Principal.Groups, q.Actions = staff, policy.ExecuteQuery
			q.Context.SourceIP = netip.Addr{}
		}},
		{"an application", func(q *policy.Request) {
			q.Principal = policy.Principal{Kind: policy.KindApplication, ID: "checkout"}
		}},
		{"an agent", func(q *policy.Request) { q.Principal = policy.Principal{Kind: policy.KindAgent, ID: "bot"} }},
		{"a secret", func(q *policy.Request) { q.Resource.Database = "secrets" }},
		{"a list of databases", func(q *policy.Request) {
			q.Principal.Groups = staff
			q.Actions, q.Resource = policy.ReadMetadata, policy.Resource{Account: "prod"}
		}},
		{"a malformed request", func(q *policy.Request) { q.Actions = 0 }},
	}
	archive, err := txtar.ParseFile("testdata/explain.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var want, got []txtar.File
	for i, c := range cases {
		q := annReads()
		c.change(&q)
		got = append(got, txtar.File{Name: c.name, Data: []byte(explain(t, q) + "\n")})
		if i < len(archive.Files) {
			want = append(want, archive.Files[i])
		}
	}
	if *update {
		archive.Files = got
		if err := os.WriteFile("testdata/explain.txtar", txtar.Format(archive), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("explanations (-want +got):", diff)
	}
}
