package policy_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cosmosgate/cosmosgate/policy"
)

// thousand is a policy of 1,000 rules, each bound to one of 100 groups on one
// of 100 containers, under a partition key, with guardrails on top.
func thousand() []byte {
	const rules, groups, containers = 1000, 100, 100
	var b strings.Builder
	for i := range rules {
		fmt.Fprintf(&b, `---
kind: Role
name: role-%[1]d
identity: identity-%[1]d
rules:
- dataActions: [items/read, executeQuery]
  resources: [prod/shop/container-%[2]d]
  partitionKey: {equals: ["${user.department}"]}
---
kind: RoleBinding
name: binding-%[1]d
role: role-%[1]d
subjects: [{group: group-%[3]d}]
expires: 2099-01-01
`, i, i%containers, i%groups+i/containers)
	}
	b.WriteString(`---
kind: Guardrail
name: agents
effect: deny
dataActions: [items/create, items/replace, items/upsert, items/delete]
resources: ["*/*/*"]
when: context.isAgent
reason: agents only read
---
kind: Guardrail
name: pages
effect: obligations
dataActions: [executeQuery, items/read]
resources: ["prod/shop/*"]
obligations: {maxItems: 500}
`)
	return []byte(b.String())
}

// person41 is a person in 41 groups, all of which the policy names.
func person41(generation uint64) policy.Principal {
	p := policy.Principal{
		ID: "0192f0c1-2345-7abc-8def-0123456789ab", Kind: policy.KindPerson,
		Attributes: map[string]string{"department": "emea", "title": "engineer", "costCenter": "42"},
		Generation: [2]uint64{generation, generation},
	}
	for i := range 41 {
		p.Groups = append(p.Groups, policy.Group{
			ID: fmt.Sprintf("0192f0c1-2345-7abc-8def-%012d", i), Connection: "corp", ExternalID: fmt.Sprintf("group-%d", i), Name: fmt.Sprintf("Group %d", i),
		})
	}
	return p
}

func BenchmarkLoad1000Roles(b *testing.B) {
	text := thousand()
	for b.Loop() {
		if _, err := policy.Parse("p.yaml", text, policy.Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	set, err := policy.Parse("p.yaml", thousand(), policy.Options{})
	if err != nil {
		b.Fatal(err)
	}
	request := policy.Request{
		Actions:       policy.ReadItem,
		Resource:      policy.Resource{Account: "prod", Database: "shop", Container: "container-7"},
		PartitionKeys: [][]string{{`"emea"`}},
		Context:       policy.Context{Time: time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC), SourceIP: netip.MustParseAddr("10.0.0.1")},
	}
	denied := request
	denied.Resource.Container = "elsewhere"
	cases := []struct {
		name       string
		request    policy.Request
		generation uint64
		allow      bool
	}{
		{"allowed cold", request, 0, true},
		{"allowed cached", request, 1, true},
		{"denied cold", denied, 0, false},
		{"denied cached", denied, 1, false},
	}
	for _, c := range cases {
		b.Run(c.name, func(b *testing.B) {
			engine := policy.NewEngine(set)
			q := c.request
			q.Principal = person41(c.generation)
			b.ReportAllocs()
			for b.Loop() {
				if engine.Decide(q).Allow != c.allow {
					b.Fatal(engine.Decide(q))
				}
			}
		})
	}
}
