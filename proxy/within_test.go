package proxy_test

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/identity"
	"github.com/cosmosgate/cosmosgate/policy"
	"github.com/cosmosgate/cosmosgate/proxy"
)

// delegating lets support write orders, and a bot of theirs read them.
const delegating = `kind: Role
name: orders-writer
identity: mi-orders
rules:
- dataActions: [readMetadata, "items/*"]
  resources: [prod/shop/*]
---
kind: Role
name: orders-reader
identity: mi-orders
rules:
- dataActions: [readMetadata, items/read]
  resources: [prod/shop/*]
---
kind: RoleBinding
name: support
role: orders-writer
subjects: [{group: support}]
---
kind: RoleBinding
name: support-reads
role: orders-reader
subjects: [{group: support}]
---
kind: Agent
name: bot
match: {issuer: corp, claims: {client_id: bot}}
---
kind: AgentGrant
name: bot
subjects: [{agent: bot}]
role: orders-reader
onBehalfOf: {groups: [support]}
`

func TestWhoAmIListsNoMoreThanTheTokenLeaves(t *testing.T) {
	t.Parallel()
	set, err := policy.Parse("p.yaml", []byte(delegating), policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	all := []string{"items/create", "items/delete", "items/read", "readMetadata"}
	reach := func(role, container string, actions ...string) proxy.Reach {
		return proxy.Reach{Account: "prod", Database: "shop", Container: container, Actions: actions, Role: role}
	}
	perhaps := func(r proxy.Reach) proxy.Reach {
		r.Conditional = true
		return r
	}
	wide := []proxy.Reach{reach("orders-writer", "orders", all...), reach("orders-writer", "*", all...)}
	reading := []string{"items/read", "readMetadata"}
	for name, row := range map[string]struct {
		edit func(*identity.Principal)
		want []proxy.Reach
	}{
		"a provider's own scopes narrow nothing": {func(p *identity.Principal) { p.Scopes = []string{"openid"} }, wide},
		"a scope": {func(p *identity.Principal) {
			p.Method, p.Scopes = identity.MethodSTS, []string{"cosmos.read"}
		}, []proxy.Reach{reach("orders-writer", "orders", reading...), reach("orders-writer", "*", reading...)}},
		"no scope":     {func(p *identity.Principal) { p.Method = identity.MethodSTS }, nil},
		"another role": {func(p *identity.Principal) { p.Scopes = []string{"role:orders-reader"} }, []proxy.Reach{}},
		"an agent": {func(p *identity.Principal) {
			p.Actors, p.Scopes = []identity.Actor{{Agent: "bot"}}, []string{"cosmos.read", "cosmos.write"}
		}, []proxy.Reach{reach("orders-writer", "orders", reading...), reach("orders-writer", "*", reading...)}},
		"an agent who was granted nothing": {func(p *identity.Principal) {
			p.Actors, p.Scopes = []identity.Actor{{Agent: "stranger"}}, []string{"cosmos.read"}
		}, nil},
		"details": {func(p *identity.Principal) {
			p.Details = []identity.CosmosDetail{{Actions: []string{"items/read"}, Resources: []string{"prod/shop/orders"}}}
		}, []proxy.Reach{reach("orders-writer", "orders", reading...), perhaps(reach("orders-writer", "*", reading...))}},
		"details of one partition": {func(p *identity.Principal) {
			p.Details = []identity.CosmosDetail{{
				Actions: []string{"items/read"}, Resources: []string{"prod/shop/orders"}, PartitionKeys: [][]string{{`"emea"`}},
			}}
		}, []proxy.Reach{
			reach("orders-writer", "orders", "readMetadata"), perhaps(reach("orders-writer", "orders", "items/read")),
			perhaps(reach("orders-writer", "*", reading...)),
		}},
		"details of another container": {func(p *identity.Principal) {
			p.Details = []identity.CosmosDetail{{Actions: []string{"items/read"}, Resources: []string{"prod/shop/carts"}}}
		}, []proxy.Reach{perhaps(reach("orders-writer", "*", reading...))}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t, setup{
				authenticate: func(context.Context, identity.Credential) (identity.Principal, error) {
					who := identity.Principal{
						Kind: identity.KindPerson, Issuer: "https://idp.example", Subject: "ann", Record: "0199-ann", Method: identity.MethodOIDC,
						User: directory.UserView{ID: "0199-ann", Active: true, Generation: [2]uint64{1, 1}, Groups: []*directory.Group{{ID: "g1", Connection: "corp", ExternalID: "support"}}},
					}
					row.edit(&who)
					return who, nil
				},
				edit: func(c *proxy.Config) {
					c.Guide, c.Authorizer = []byte(guideDocument), policy.NewEngine(set)
					c.Survey = func(policy.Principal, time.Time) ([]proxy.Reach, bool, error) {
						return append([]proxy.Reach{}, wide...), false, nil
					}
				},
			})
			var answer proxy.WhoAmI
			got := g.do(request(t, http.MethodGet, proxy.WhoAmIPath, ""))
			if err := json.Unmarshal([]byte(got.Body), &answer); err != nil {
				t.Fatalf("%v: %s", err, got.Body)
			}
			if diff := cmp.Diff(len(row.want), len(answer.Access)); diff != "" || len(row.want) > 0 {
				if diff := cmp.Diff(row.want, answer.Access); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			}
		})
	}
}
