package policy_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cosmosgate/cosmosgate/policy"
)

// TestASurveySaysWhatDecisionsAre compares the survey of random policies with
// decisions: under no key, under every key that the survey names, and under
// one that it does not.
func TestASurveySaysWhatDecisionsAre(t *testing.T) {
	t.Parallel()
	const worlds = 400
	told := 0
	for seed := range uint64(worlds) {
		g := generator{rand.New(rand.NewPCG(seed, 7))}
		w := g.world()
		set, err := policy.ParseAll(w.sources(), policy.Options{})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		var people []policy.Principal
		for range 6 {
			people = append(people, g.principal())
		}
		survey := policy.NewSurvey(set, people, policy.AllActions, noon())
		for _, r := range []policy.Resource{{Account: "a", Database: "d", Container: "c"}, {Account: "b", Database: "d", Container: "k"}} {
			container := survey.Container(r)
			for i, p := range people {
				ways := container(i)
				told += len(ways)
				for n := range len(policy.AllActions.Names()) {
					compareWithDecisions(t, policy.NewEngine(set), policy.Request{
						Principal: p, Actions: 1 << n, Resource: r, Context: policy.Context{Time: noon()},
					}, ways)
				}
			}
		}
		if t.Failed() {
			t.Fatalf("seed %d\n%s", seed, w.yaml())
		}
	}
	if told < worlds {
		t.Errorf("the surveys told %d ways only: the worlds are too tame", told)
	}
}

func compareWithDecisions(t *testing.T, engine *policy.Engine, q policy.Request, ways []policy.Access) {
	t.Helper()
	keys := [][]string{nil, {`"nobody's"`}, {`"emea"`}, {`"emea"`, "12"}, {"12", "null"}}
	for _, w := range ways {
		if w.PartitionKey != nil {
			keys = append(keys, w.PartitionKey)
		}
	}
	for _, key := range keys {
		q.PartitionKeys = nil
		if key != nil {
			q.PartitionKeys = [][]string{key}
		}
		certain, possible := false, false
		for _, w := range ways {
			fits := len(w.PartitionKey) <= len(key) && slices.Equal(w.PartitionKey, key[:len(w.PartitionKey)])
			if w.Actions&q.Actions != 0 && fits && len(w.For) == 0 {
				possible = true
				certain = certain || len(w.When) == 0 && len(w.Unless) == 0
			}
		}
		d := engine.Decide(q)
		// A condition on the context that fails to be evaluated denies whatever else allows.
		if d.Allow && !possible || certain && !d.Allow && d.Reason != policy.ReasonEvaluation {
			t.Errorf("%v on %v by %+v with key %v: decided %+v, told %+v", q.Actions, q.Resource, q.Principal, key, d, ways)
		}
	}
}

func TestCellsTellApartWhatPoliciesTellApart(t *testing.T) {
	t.Parallel()
	set, err := policy.Parse("p.yaml", []byte(`
kind: Role
name: a
identity: mi
rules:
- {dataActions: [items/read], resources: [prod/shop/orders, prod/*/audit, "prod/shop/*"]}
---
kind: RoleBinding
name: a
role: a
subjects: [{group: g}]
`), policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cells, err := policy.Cells(set, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range cells {
		got = append(got, c.String())
	}
	if diff := cmp.Diff([]string{"prod/shop/audit", "prod/shop/orders", "prod/shop/*", "prod/*/audit"}, got); diff != "" {
		t.Error("cells (-want +got):", diff)
	}
	within := policy.Within(cells, policy.Resource{Account: "prod", Database: "pay"})
	if diff := cmp.Diff([]policy.Resource{{Account: "prod", Database: "pay", Container: "audit"}}, within); diff != "" {
		t.Error("within prod/pay (-want +got):", diff)
	}
	itself := policy.Resource{Account: "prod", Database: "pay", Container: "x"}
	if diff := cmp.Diff([]policy.Resource{itself}, policy.Within(cells, itself)); diff != "" {
		t.Error("a container (-want +got):", diff)
	}
}

func TestWithoutIsWhatTheOthersDoNotCover(t *testing.T) {
	t.Parallel()
	emea, hour := []string{`"emea"`}, noon()
	cases := map[string]struct{ ways, others, want []policy.Access }{
		"the same":                   {[]policy.Access{{Actions: 3}}, []policy.Access{{Actions: 3}}, nil},
		"an action more":             {[]policy.Access{{Actions: 3}}, []policy.Access{{Actions: 1}}, []policy.Access{{Actions: 2}}},
		"one partition of all":       {[]policy.Access{{Actions: 1, PartitionKey: emea}}, []policy.Access{{Actions: 1}}, nil},
		"all partitions, had one":    {[]policy.Access{{Actions: 1}}, []policy.Access{{Actions: 1, PartitionKey: emea}}, []policy.Access{{Actions: 1}}},
		"a condition less":           {[]policy.Access{{Actions: 1}}, []policy.Access{{Actions: 1, When: []string{"x"}}}, []policy.Access{{Actions: 1}}},
		"a condition more":           {[]policy.Access{{Actions: 1, When: []string{"x"}}}, []policy.Access{{Actions: 1}}, nil},
		"a guard less":               {[]policy.Access{{Actions: 1}}, []policy.Access{{Actions: 1, Unless: []string{"x"}}}, []policy.Access{{Actions: 1}}},
		"for ever, had it for while": {[]policy.Access{{Actions: 1}}, []policy.Access{{Actions: 1, Expires: hour}}, []policy.Access{{Actions: 1}}},
		"as long":                    {[]policy.Access{{Actions: 1, Expires: hour}}, []policy.Access{{Actions: 1, Expires: hour}}, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, policy.Without(c.ways, c.others), cmpopts.EquateEmpty()); diff != "" {
				t.Error("(-want +got):", diff)
			}
		})
	}
}
