package policy_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/policy"
)

func TestNeedsAreWhatRolesAllowAndNoMore(t *testing.T) {
	t.Parallel()
	const bound = "---\n{kind: RoleBinding, name: b, role: r, subjects: [{group: g}]}\n---\n"
	rule := func(rules string) string {
		return "{kind: Role, name: r, identity: mi, rules: [" + rules + "]}\n" + bound
	}
	metadata := policy.Need{Identity: "mi", Account: "prod", Actions: policy.ReadMetadata}
	at := func(database, container string, actions policy.Actions) policy.Need {
		return policy.Need{Identity: "mi", Account: "prod", Database: database, Container: container, Actions: actions}
	}
	cases := map[string]struct {
		text string
		want []policy.Need
	}{
		"a container": {
			rule("{dataActions: [items/read], resources: [prod/shop/orders]}"),
			[]policy.Need{metadata, at("shop", "orders", policy.ReadItem)},
		},
		"queries need the change feed upstream": {
			rule("{dataActions: [executeQuery], resources: [prod/shop/orders]}"),
			[]policy.Need{metadata, at("shop", "orders", policy.ExecuteQuery|policy.ReadChangeFeed)},
		},
		"what the database has is not needed again": {
			rule(`{dataActions: [items/read], resources: ["prod/shop/*"]}, {dataActions: [items/read, items/delete], resources: [prod/shop/orders]}`),
			[]policy.Need{metadata, at("shop", "", policy.ReadItem), at("shop", "orders", policy.DeleteItem)},
		},
		"every account, every database": {
			rule(`{dataActions: [items/read], resources: ["*/*/*"]}`),
			[]policy.Need{{Identity: "mi", Account: "prod", Actions: policy.ReadMetadata | policy.ReadItem}},
		},
		"no scope of its own": {
			rule(`{dataActions: [items/read], resources: ["prod/*/orders"]}`),
			[]policy.Need{{Identity: "mi", Account: "prod", Actions: policy.ReadMetadata | policy.ReadItem, Widened: true}},
		},
		"another account":         {rule("{dataActions: [items/read], resources: [test/shop/orders]}"), nil},
		"a role that nobody has":  {"{kind: Role, name: r, identity: mi, rules: [{dataActions: [items/read], resources: [prod/shop/orders]}]}", nil},
		"a procedure, no writing": {rule("{dataActions: [executeStoredProcedure], resources: [prod/shop/orders]}"), []policy.Need{metadata}},
		"what a guardrail denies to everybody": {
			rule("{dataActions: [items/read, items/delete], resources: [prod/shop/orders]}") +
				`{kind: Guardrail, name: g, effect: deny, dataActions: [items/delete], resources: ["prod/*/*"], reason: r}`,
			[]policy.Need{metadata, at("shop", "orders", policy.ReadItem)},
		},
		"what a guardrail denies to some": {
			rule("{dataActions: [items/delete], resources: [prod/shop/orders]}") +
				`{kind: Guardrail, name: g, effect: deny, subjects: [{group: x}], dataActions: [items/delete], resources: ["prod/*/*"], reason: r}`,
			[]policy.Need{metadata, at("shop", "orders", policy.DeleteItem)},
		},
		"what a guardrail denies in a part": {
			rule(`{dataActions: [items/delete], resources: ["prod/shop/*"]}`) +
				`{kind: Guardrail, name: g, effect: deny, dataActions: [items/delete], resources: ["prod/shop/orders"], reason: r}`,
			[]policy.Need{metadata, at("shop", "", policy.DeleteItem)},
		},
		"procedures of which a part is denied": {
			rule(`{dataActions: [executeStoredProcedure, items/*], resources: ["prod/shop/orders"]}`) +
				`{kind: Guardrail, name: g, effect: deny, dataActions: [items/delete], resources: ["*/*/*"], reason: r}`,
			[]policy.Need{metadata, at("shop", "orders", policy.AllItemActions&^policy.DeleteItem)},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set, err := policy.Parse("p.yaml", []byte(c.text), policy.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, set.Needs([]string{"prod"}, noon())); diff != "" {
				t.Error("(-want +got):", diff)
			}
		})
	}
}

func TestResourcesAndGroupsAreReadAsPoliciesWriteThem(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]policy.Resource{
		"prod":             {Account: "prod"},
		"prod/shop":        {Account: "prod", Database: "shop"},
		"prod/shop/orders": {Account: "prod", Database: "shop", Container: "orders"},
		"prod/shop/*":      {Account: "prod", Database: "shop", Container: "*"},
	} {
		got, err := policy.ParseResource(text)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got): %s", text, err, diff)
		}
	}
	for _, text := range []string{"", "a//c", "a/b/c/d", "a/b*/c", "a/b/c?"} {
		if r, err := policy.ParseResource(text); err == nil {
			t.Errorf("%q is read as %+v", text, r)
		}
	}
	const id = "0192f0c1-2345-7abc-8def-0123456789ab"
	if diff := cmp.Diff([]policy.Group{{ID: id}, {ExternalID: "staff"}}, []policy.Group{policy.GroupNamed(id), policy.GroupNamed("staff")}); diff != "" {
		t.Error("groups (-want +got):", diff)
	}
}
