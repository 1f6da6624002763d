package policy_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/cosmosgate/cosmosgate/policy"
)

const design = `
kind: Role
name: orders-reader
identity: mi-orders-ro
rules:
- dataActions: [items/read, executeQuery]
  resources: [prod/shop/orders]
  partitionKey: {equals: ["${user.department}"], mode: require}
  when: context.network.inRange("10.0.0.0/8")
obligations: {maxItems: 1000}
---
kind: RoleBinding
name: support-reads-orders
role: orders-reader
subjects: [{group: 0b6e}]
expires: 2027-03-31
---
kind: Application
name: checkout
match: {issuer: corp, claims: {azp: 6f1c}}
attributes: {department: emea}
---
kind: AgentGrant
name: triage-bot
subjects: [{agent: triage-bot}]
role: orders-reader
onBehalfOf: {groups: [0b6e]}
---
kind: Guardrail
name: no-agent-writes
effect: deny
dataActions: [items/create, items/upsert, items/replace, items/delete]
resources: ["*/*/*"]
when: context.isAgent
reason: agents are read-only
---
kind: PolicyTest
name: orders
cases:
- {user: {id: alice, groups: [0b6e], department: emea}, from: 10.1.1.1, action: items/read, resource: prod/shop/orders, partitionKey: [emea], expect: allow, role: orders-reader}
- {user: {id: alice, groups: [0b6e], department: emea}, from: 10.1.1.1, action: executeQuery, resource: prod/shop/orders, expect: deny, because: partitionKey}
- {user: {id: alice, groups: [0b6e], department: emea}, from: 10.1.1.1, action: readMetadata, resource: prod/shop/orders, expect: allow}
- {user: {id: alice, groups: [0b6e], department: emea}, from: 10.1.1.1, action: readMetadata, resource: prod/shop, expect: allow}
- {user: {id: alice, groups: [0b6e], department: emea}, from: 10.1.1.1, action: readMetadata, resource: prod, expect: allow}
- {user: {id: alice, groups: [0b6e]}, from: 10.1.1.1, action: items/read, partitionKey: [x], resource: prod/shop/orders, expect: deny, because: missingAttribute}
- {user: {id: alice, groups: [0b6e], department: emea}, from: 11.1.1.1, action: items/read, resource: prod/shop/orders, partitionKey: [emea], expect: deny, because: noRole}
- {user: {id: alice, groups: [0b6e], department: emea}, action: items/read, resource: prod/shop/orders, partitionKey: [emea], expect: deny, because: evaluation}
- {user: {id: alice, groups: [0b6e], department: emea}, isAgent: true, action: items/create, resource: prod/shop/x, partitionKey: [emea], expect: deny, because: guardrail, policy: no-agent-writes}
- {user: {id: alice, groups: [0b6e], department: emea}, at: 2028-01-01, from: 10.1.1.1, action: items/read, resource: prod/shop/orders, partitionKey: [emea], expect: deny, because: noRole}
- {agent: triage-bot, from: 10.1.1.1, action: items/read, resource: prod/shop/orders, partitionKey: [emea], expect: deny, because: agent}
- {application: checkout, from: 10.1.1.1, action: items/read, resource: prod/shop/orders, partitionKey: [emea], expect: deny, because: noRole}
`

func TestSmoke(t *testing.T) {
	t.Parallel()
	set, err := policy.Parse("p.yaml", []byte(design), policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(set.Hash(), set.Warnings())
	for _, r := range set.Test(time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)) {
		if !r.Passed {
			t.Error(r.Position, r.Failure)
		}
	}
}
