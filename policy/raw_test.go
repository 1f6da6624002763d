package policy_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/cosmosgate/cosmosgate/policy"
)

// TestWhatCedarAndRulesReadIsNotRememberedBeyondItsMeaning gives a permit and the rule of its role one condition each.
func TestWhatCedarAndRulesReadIsNotRememberedBeyondItsMeaning(t *testing.T) {
	t.Parallel()
	const never, clock, network = `1 == 1`, `context.time < datetime("2026-11-24T12:30:00Z")`, `context.network.inRange("10.0.0.0/8")`
	for name, row := range map[string]struct{ permit, rule string }{
		"the permit reads the clock":   {clock, never},
		"the rule reads the clock":     {never, clock},
		"the permit reads the network": {network, never},
		"the rule reads the network":   {never, network},
		"only the permit asks":         {clock, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set := cedar(t, row.permit, row.rule)
			engine := policy.NewEngine(set)
			q := annReads()
			for range 2 {
				if d := engine.Decide(q); !d.Allow {
					t.Fatalf("before: got %+v", d)
				}
			}
			q.Context.Time = q.Context.Time.Add(time.Hour)
			q.Context.SourceIP = netip.MustParseAddr("192.0.2.1")
			if d := engine.Decide(q); d.Allow {
				t.Errorf("after: got %+v", d)
			}
			survey := policy.NewSurvey(set, []policy.Principal{{ID: "ann", Kind: policy.KindPerson}}, policy.ReadItem, noon())
			if ways := survey.Container(q.Resource)(0); len(ways) != 1 || len(ways[0].When) != 1 {
				t.Errorf("surveyed as %+v, want what depends on the request told", ways)
			}
		})
	}
}

// cedar is a policy with one permit.
func cedar(t *testing.T, permit, rule string) *policy.Set {
	t.Helper()
	when := ""
	if rule != "" {
		when = ", when: '" + rule + "'"
	}
	set, err := policy.ParseAll([]policy.Source{
		{Name: "p.yaml", Text: []byte("{kind: Role, name: r, identity: mi, rules: [{dataActions: [items/read], resources: [prod/shop/orders]" + when + "}]}")},
		{Name: "p.cedar", Text: []byte(`@id("p") @role("r") permit(principal == User::"ann", action, resource) when { ` + permit + ` };`)},
	}, policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestDecisionsByCedarAreExplained(t *testing.T) {
	t.Parallel()
	engine := policy.NewEngine(cedar(t, "context.isAgent", ""))
	x := engine.Explain(annReads())
	if len(x.Considered) != 1 {
		t.Fatalf("considered %+v", x.Considered)
	}
	c := x.Considered[0]
	if c.Policy != "Cedar/p" || c.Role != "r" || c.Matched || len(c.Failed) != 1 || c.Failed[0] != "when does not hold: Cedar/p" {
		t.Errorf("explained as %+v", c)
	}
	q := annReads()
	q.Principal.ID, q.Actions = "bob", policy.CreateItem
	if c := engine.Explain(q).Considered[0]; len(c.Failed) != 3 {
		t.Errorf("explained as %+v, want subject, condition and action", c)
	}
}
