package policy_test

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/policy"
)

const readers = `
kind: Role
name: reader
identity: mi-ro
rules:
- {dataActions: [items/read], resources: [prod/shop/orders], partitionKey: {equals: ["${user.department}"]}}
---
kind: RoleBinding
name: readers
role: reader
subjects: [{user: ann}, {group: staff}, {application: checkout}]
---
{kind: Application, name: checkout, match: {issuer: corp, claims: {azp: a}}}
`

func load(t *testing.T, text string) *policy.Set {
	t.Helper()
	set, err := policy.Parse("policy.yaml", []byte(text), policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// annReads is a request that readers allows and that is remembered.
func annReads() policy.Request {
	return policy.Request{
		Principal: policy.Principal{
			ID: "ann", Kind: policy.KindPerson, Generation: [2]uint64{1, 1},
			Attributes: map[string]string{"department": "emea"},
		},
		Actions:       policy.ReadItem,
		Resource:      policy.Resource{Account: "prod", Database: "shop", Container: "orders"},
		PartitionKeys: [][]string{{`"emea"`}},
		Context:       policy.Context{Time: noon(), SourceIP: netip.MustParseAddr("10.0.0.1")},
	}
}

func TestNothingIsAllowedWithoutAPolicy(t *testing.T) {
	t.Parallel()
	var none *policy.Set
	engines := map[string]*policy.Engine{
		"the zero engine":         {},
		"an engine without a set": policy.NewEngine(none),
	}
	for name, engine := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := policy.Decision{Reason: policy.ReasonNoPolicy, Missing: policy.ReadItem, Detail: "no policy is loaded"}
			if diff := cmp.Diff(want, engine.Decide(annReads())); diff != "" {
				t.Error("decision (-want +got):", diff)
			}
			if diff := cmp.Diff(policy.Explanation{Decision: want}, engine.Explain(annReads())); diff != "" {
				t.Error("explanation (-want +got):", diff)
			}
			if engine.Set() != nil {
				t.Error("want no set")
			}
		})
	}
	if none.Hash() != "" || none.Warnings() != nil || none.Roles() != nil || none.Applications() != nil || none.Test(noon()) != nil {
		t.Error("want a nil set to be empty")
	}
}

func TestIncompleteRequestsAreRefused(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		spoil func(*policy.Request)
		want  string
	}{
		"the zero request":            {func(q *policy.Request) { *q = policy.Request{} }, "the principal has no kind"},
		"an unknown kind":             {func(q *policy.Request) { q.Principal.Kind = 9 }, "the principal has no kind"},
		"no id":                       {func(q *policy.Request) { q.Principal.ID = "" }, "the principal has no id"},
		"no action":                   {func(q *policy.Request) { q.Actions = 0 }, "the request names no action"},
		"an action nobody knows":      {func(q *policy.Request) { q.Actions |= 1 << 12 }, "the request names an unknown action"},
		"no time":                     {func(q *policy.Request) { q.Context.Time = time.Time{} }, "the request has no time"},
		"no account":                  {func(q *policy.Request) { q.Resource.Account = "" }, "the request names no account"},
		"a container and no database": {func(q *policy.Request) { q.Resource.Database = "" }, "the request names a container without a database"},
		"an account with a slash":     {func(q *policy.Request) { q.Resource.Account = "prod/shop" }, "the request names a resource with a slash"},
		"a database with a slash":     {func(q *policy.Request) { q.Resource.Database = "shop/orders" }, "the request names a resource with a slash"},
		"a container with a slash":    {func(q *policy.Request) { q.Resource.Container = "orders/x" }, "the request names a resource with a slash"},
		"data of a database":          {func(q *policy.Request) { q.Resource.Container = "" }, "the request names no container"},
		"metadata and data of an account": {func(q *policy.Request) {
			q.Resource = policy.Resource{Account: "prod"}
			q.Actions |= policy.ReadMetadata
		}, "the request names no container"},
	}
	engine := policy.NewEngine(load(t, readers))
	if d := engine.Decide(annReads()); !d.Allow { // and is remembered
		t.Fatal("want the request as it should be allowed, got", d)
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := annReads()
			c.spoil(&q)
			want := policy.Decision{Reason: policy.ReasonMalformed, Missing: q.Actions, Detail: c.want}
			if diff := cmp.Diff(want, engine.Decide(q)); diff != "" {
				t.Error("decision (-want +got):", diff)
			}
		})
	}
}

func TestPoliciesForCedarCanBeLeftEarly(t *testing.T) {
	t.Parallel()
	if !policy.StopsWhenAskedTo() {
		t.Error("want the loop to end")
	}
}

func TestTheZeroDecisionDenies(t *testing.T) {
	t.Parallel()
	var d policy.Decision
	if d.Allow || d.Reason == policy.ReasonAllowed {
		t.Error("want the zero decision to deny, got", d)
	}
}

func TestRememberedDecisionsNeverOutliveTheirMeaning(t *testing.T) {
	t.Parallel()
	later := noon().Add(time.Hour)
	cases := map[string]struct {
		text   string
		before bool
		change func(*policy.Request)
		after  bool
	}{
		"a binding ends": {
			readers + "---\n" + `{kind: RoleBinding, name: b, role: reader, subjects: [{user: bob}], expires: 2026-11-24T13:00:00Z}`,
			true, func(q *policy.Request) { q.Context.Time = later }, false,
		},
		"a binding has ended": {
			readers + "---\n" + `{kind: RoleBinding, name: b, role: reader, subjects: [{user: bob}], expires: 2026-11-24T13:00:00Z}`,
			true, func(q *policy.Request) { q.Context.Time = later.Add(time.Hour) }, false,
		},
		"a binding begins": {
			readers + "---\n" + `{kind: RoleBinding, name: b, role: reader, subjects: [{user: bob}], starts: 2026-11-24T13:00:00Z}`,
			false, func(q *policy.Request) { q.Context.Time = later }, true,
		},
		"the clock goes back": {
			readers + "---\n" + `{kind: RoleBinding, name: b, role: reader, subjects: [{user: bob}], starts: 2026-11-24T12:00:00Z, expires: 2026-11-24T13:00:00Z}`,
			true, func(q *policy.Request) { q.Context.Time = noon().Add(-time.Second) }, false,
		},
		"the first of two bindings ends": {
			readers + "---\n" + `{kind: Role, name: other, identity: mi, rules: [{dataActions: [items/read], resources: [prod/shop/orders], partitionKey: {equals: [x]}}]}` +
				"\n---\n" + `{kind: RoleBinding, name: b, role: reader, subjects: [{user: bob}], expires: 2026-11-24T13:00:00Z}` +
				"\n---\n" + `{kind: RoleBinding, name: c, role: other, subjects: [{user: bob}], expires: 2026-11-24T14:00:00Z}`,
			true, func(q *policy.Request) { q.Context.Time = later }, false,
		},
		"the second of two bindings has begun when the clock goes back": {
			readers + "---\n" + `{kind: Role, name: other, identity: mi, rules: [{dataActions: [items/read], resources: [prod/shop/orders], partitionKey: {equals: [x]}}]}` +
				"\n---\n" + `{kind: RoleBinding, name: b, role: reader, subjects: [{user: bob}], starts: 2026-11-24T11:00:00Z}` +
				"\n---\n" + `{kind: RoleBinding, name: c, role: other, subjects: [{user: bob}], starts: 2026-11-24T10:00:00Z}`,
			true, func(q *policy.Request) { q.Context.Time = noon().Add(-90 * time.Minute) }, false,
		},
		"a condition reads the time": {
			readers + "---\n" + `{kind: Role, name: h, identity: mi, rules: [{dataActions: [items/read], resources: [prod/shop/orders], when: 'context.time < datetime("2026-11-24T12:30:00Z")'}]}` +
				"\n---\n" + `{kind: RoleBinding, name: b, role: h, subjects: [{user: bob}]}`,
			true, func(q *policy.Request) { q.Context.Time = later }, false,
		},
		"a condition reads the time through a record": {
			readers + "---\n" + `{kind: Role, name: h, identity: mi, rules: [{dataActions: [items/read], resources: [prod/shop/orders], when: '{a: context.time}.a < datetime("2026-11-24T12:30:00Z")'}]}` +
				"\n---\n" + `{kind: RoleBinding, name: b, role: h, subjects: [{user: bob}]}`,
			true, func(q *policy.Request) { q.Context.Time = later }, false,
		},
		"a condition reads the whole context": {
			readers + "---\n" + `{kind: Role, name: h, identity: mi, rules: [{dataActions: [items/read], resources: [prod/shop/orders], when: '{Var: context} == {Var: context} && context.time < datetime("2026-11-24T12:30:00Z")'}]}` +
				"\n---\n" + `{kind: RoleBinding, name: b, role: h, subjects: [{user: bob}]}`,
			true, func(q *policy.Request) { q.Context.Time = later }, false,
		},
		"a condition reads the address": {
			readers + "---\n" + `{kind: Role, name: h, identity: mi, rules: [{dataActions: [items/read], resources: [prod/shop/orders], when: 'context.network.inRange("10.0.0.0/8")'}]}` +
				"\n---\n" + `{kind: RoleBinding, name: b, role: h, subjects: [{user: bob}]}`,
			true, func(q *policy.Request) { q.Context.SourceIP = netip.MustParseAddr("192.0.2.1") }, false,
		},
		"the person's groups change, and so the generation": {
			readers, false, func(q *policy.Request) {
				q.Principal.Groups = []policy.Group{{ExternalID: "staff"}}
				q.Principal.Generation[1]++
			}, true,
		},
		"the partition key changes": {
			readers + "---\n" + `{kind: RoleBinding, name: b, role: reader, subjects: [{user: bob}]}`,
			true, func(q *policy.Request) { q.PartitionKeys = [][]string{{`"apac"`}} }, false,
		},
		"a second partition key comes": {
			readers + "---\n" + `{kind: RoleBinding, name: b, role: reader, subjects: [{user: bob}]}`,
			true, func(q *policy.Request) { q.PartitionKeys = [][]string{{`"emea"`}, {`"apac"`}} }, false,
		},
		"a key of too many parts": {
			readers + "---\n" + `{kind: RoleBinding, name: b, role: reader, subjects: [{user: bob}]}`,
			true, func(q *policy.Request) { q.PartitionKeys = [][]string{{`"apac"`, "1", "2", "3"}} }, false,
		},
		"the key goes": {
			readers + "---\n" + `{kind: RoleBinding, name: b, role: reader, subjects: [{user: bob}]}`,
			true, func(q *policy.Request) { q.PartitionKeys = nil }, false,
		},
		"a range comes": {
			readers + "---\n" + `{kind: RoleBinding, name: b, role: reader, subjects: [{user: bob}]}`,
			true, func(q *policy.Request) { q.Ranged = true }, false,
		},
		"another container": {
			readers + "---\n" + `{kind: RoleBinding, name: b, role: reader, subjects: [{user: bob}]}`,
			true, func(q *policy.Request) { q.Resource.Container = "carts" }, false,
		},
		"the kind changes": {
			readers + "---\n" + `{kind: RoleBinding, name: b, role: reader, subjects: [{user: bob}]}`,
			true, func(q *policy.Request) { q.Principal.Kind = policy.KindApplication }, false,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			engine := policy.NewEngine(load(t, c.text))
			q := annReads()
			q.Principal.ID = "bob"
			for range 2 {
				if got := engine.Decide(q); got.Allow != c.before {
					t.Fatalf("before: want %v, got %+v", c.before, got)
				}
			}
			c.change(&q)
			for range 2 {
				if got := engine.Decide(q); got.Allow != c.after {
					t.Errorf("after: want %v, got %+v", c.after, got)
				}
			}
		})
	}
}

func TestApplicationsAreRememberedByTheirAttributes(t *testing.T) {
	t.Parallel()
	engine := policy.NewEngine(load(t, readers))
	q := annReads()
	q.Principal = policy.Principal{ID: "checkout", Kind: policy.KindApplication, Attributes: map[string]string{"department": "emea"}}
	for range 2 {
		if got := engine.Decide(q); !got.Allow {
			t.Errorf("with its department: got %+v", got)
		}
	}
	q.Principal.Attributes = map[string]string{"department": "apac"}
	if got := engine.Decide(q); got.Allow {
		t.Errorf("with another department: got %+v", got)
	}
}

func TestPersonsWithoutAGenerationAreDecidedAnew(t *testing.T) {
	t.Parallel()
	engine := policy.NewEngine(load(t, readers))
	q := annReads()
	q.Principal.Generation = [2]uint64{}
	if got := engine.Decide(q); !got.Allow {
		t.Errorf("with a department: got %+v", got)
	}
	q.Principal.Attributes = nil
	want := policy.Decision{
		Reason: policy.ReasonMissingAttribute, Missing: policy.ReadItem,
		Detail: `role reader needs partition key [${user.department}], the principal has no attribute "department"`,
	}
	if diff := cmp.Diff(want, engine.Decide(q)); diff != "" {
		t.Error("without (-want +got):", diff)
	}
}

func TestSwapForgetsWhatTheOldPolicyDecided(t *testing.T) {
	t.Parallel()
	old, replacement := load(t, readers), load(t, "")
	engine := policy.NewEngine(old)
	if got := engine.Decide(annReads()); !got.Allow {
		t.Errorf("old policy: got %+v", got)
	}
	engine.Swap(replacement)
	if got := engine.Decide(annReads()); got.Allow {
		t.Errorf("new policy: got %+v", got)
	}
	if engine.Set() != replacement {
		t.Error("want the new set to be current")
	}
}

func TestDecisionsAndSwapsMayHappenTogether(t *testing.T) {
	t.Parallel()
	sets := []*policy.Set{load(t, readers), load(t, "")}
	engine := policy.NewEngine(sets[0])
	var tasks sync.WaitGroup
	for n := range 4 {
		tasks.Go(func() {
			for i := range 500 {
				if n == 0 {
					engine.Swap(sets[i%2])
				}
				q := annReads()
				q.Principal.Generation[0] = uint64(i%7) + 1
				if d := engine.Decide(q); d.Allow != (d.Role == "reader") {
					t.Errorf("want all of a decision from one policy, got %+v", d)
				}
			}
		})
	}
	tasks.Wait()
}

func TestDecidingFromMemoryAllocatesNothing(t *testing.T) {
	engine := policy.NewEngine(load(t, readers))
	person, application := annReads(), annReads()
	application.Principal = policy.Principal{ID: "checkout", Kind: policy.KindApplication, Attributes: map[string]string{"department": "emea"}}
	for _, q := range []policy.Request{person, application} {
		engine.Decide(q)
		if got := testing.AllocsPerRun(100, func() { engine.Decide(q) }); got != 0 {
			t.Errorf("%s: want no allocation, got %v", q.Principal.Kind, got)
		}
	}
}
