package policy_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/cosmosgate/cosmosgate/policy"
)

// FuzzParse feeds arbitrary text to the loader. Whatever loads must also decide
// without failing, and whatever does not must say where.
func FuzzParse(f *testing.F) {
	f.Add([]byte(readers))
	f.Add([]byte("kind: Role\nname: &a [*a]\n---\n? {}\n"))
	f.Add([]byte("{kind: PolicyTest, name: t, cases: [{user: {id: a}, action: items/read, resource: a/b/c, expect: deny}]}"))
	f.Add([]byte("{kind: Guardrail, name: g, effect: deny, reason: r, dataActions: [\"*\"], resources: [\"*/*/*\"], when: 'context.network.inRange(\"10.0.0.0/8\")'}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		set, err := policy.Parse("p.yaml", text, policy.Options{Now: noon()})
		if err != nil {
			faults, ok := errors.AsType[policy.Faults](err)
			if !ok || set != nil {
				t.Fatalf("want faults and no set, got %v", err)
			}
			for _, fault := range faults {
				if fault.Position.Line < 1 || fault.Position.Column < 1 || fault.What == "" {
					t.Errorf("want a place and words, got %+v", fault)
				}
			}
			return
		}
		set.Test(noon())
		engine := policy.NewEngine(set)
		if explained, decided := engine.Explain(annReads()).Decision, engine.Decide(annReads()); explained.Allow != decided.Allow {
			t.Errorf("explained %+v, decided %+v", explained, decided)
		}
	})
}

// FuzzCondition feeds arbitrary expressions to the condition checker: none may
// do more than be a condition.
func FuzzCondition(f *testing.F) {
	for _, when := range conditionsOf() {
		f.Add(when)
	}
	f.Add(`true } unless { false`)
	f.Add(`true }; permit(principal, action, resource`)
	f.Add(`{"Var": context}.Var.time < datetime("2026-01-01")`)
	f.Fuzz(func(t *testing.T, when string) {
		text := fmt.Sprintf(`
{kind: Role, name: r, identity: mi, rules: [{dataActions: [items/read], resources: [prod/shop/orders], when: %q}]}
---
{kind: RoleBinding, name: b, role: r, subjects: [{user: bob}]}
`, when)
		set, err := policy.Parse("p.yaml", []byte(text), policy.Options{})
		if err != nil {
			return
		}
		// Ann is bound to nothing: no condition can help her.
		if d := policy.NewEngine(set).Decide(annReads()); d.Allow {
			t.Errorf("condition %q let somebody in who is not bound: %+v", when, d)
		}
	})
}

// FuzzPartitionKeyOfAttribute compares the key that an attribute stands for with
// what encoding/json makes of it, as the cosmos package does.
func FuzzPartitionKeyOfAttribute(f *testing.F) {
	for _, text := range []string{"emea", "a b", `"`, `\`, "\x1f", " ", "~", "\x7f", "é", "<&>", "\u2028", "𝄞", "a\nb", "\xff", ""} {
		f.Add(text)
	}
	set, err := policy.Parse("p.yaml", []byte(readers), policy.Options{})
	if err != nil {
		f.Fatal(err)
	}
	engine := policy.NewEngine(set)
	f.Fuzz(func(t *testing.T, department string) {
		var canonical strings.Builder
		encoder := json.NewEncoder(&canonical)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(department); err != nil {
			t.Fatal(err)
		}
		q := annReads()
		q.Principal.Attributes = map[string]string{"department": department}
		q.Principal.Generation = [2]uint64{}
		q.PartitionKeys = [][]string{{strings.TrimSuffix(canonical.String(), "\n")}}
		want := department != "" && utf8.ValidString(department)
		if d := engine.Decide(q); d.Allow != want {
			t.Errorf("department %q: want %v, got %+v", department, want, d)
		}
	})
}

func TestHugeAndDeepTextIsRefusedQuickly(t *testing.T) {
	t.Parallel()
	var laughs strings.Builder
	laughs.WriteString("a0: &a0 [x, x]\n")
	for i := range 30 {
		fmt.Fprintf(&laughs, "a%d: &a%d [*a%d, *a%d]\n", i+1, i+1, i, i)
	}
	cases := map[string]struct{ text, want string }{
		"aliases of aliases":     {laughs.String(), "p.yaml:1:5: anchors and aliases are not allowed (write the value out)"},
		"a file of five MiB":     {strings.Repeat("#", 5<<20), "p.yaml:1:1: the file is larger than 4 MiB (split it)"},
		"a hundred thousand [":   {"kind: " + strings.Repeat("[", 100_000), "p.yaml:1:1: not YAML: exceeded max depth of 10000"},
		"a hundred thousand - ":  {strings.Repeat("- ", 100_000), "p.yaml:1:1: not YAML: exceeded max depth of 10000"},
		"five thousand levels":   {"kind: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000), "p.yaml:1:23: nested deeper than 16 levels"},
		"a million empty values": {"[" + strings.Repeat(",x", 600_000)[1:] + "]", "p.yaml:1:1000000: the policy has more than 500000 values"},
		"guardrails for everybody": {
			"{kind: Guardrail, name: r, effect: deny, reason: r, dataActions: [items/read], resources: [" + numbered("a/b/c%d, ", 400) + "a/b/c], subjects: [" +
				numbered("{user: u%d}, ", 400) + "{user: u}]}",
			"compiling policy: the policy has more than 100000 combinations of rule, resource and subject: bind groups instead of people, or use *",
		},
		"grants to everybody": {
			"{kind: Role, name: r, identity: i, rules: [{dataActions: [items/read], resources: [" + numbered("a/b/c%d, ", 1000) + "a/b/c]}]}\n---\n" +
				numbered("{kind: Agent, name: u%[1]d, match: {issuer: i, claims: {azp: u%[1]d}}}\n---\n", 110) +
				"{kind: AgentGrant, name: b, role: r, onBehalfOf: none, subjects: [" + numbered("{agent: u%d}, ", 109) + "{agent: u109}]}",
			"compiling policy: the policy has more than 100000 combinations of rule, resource and subject: bind groups instead of people, or use *",
		},
		"a condition of five thousand bytes": {
			"{kind: Role, name: r, identity: i, rules: [{dataActions: [items/read], resources: [a/b/c], when: '" + strings.Repeat("!", 5000) + "context.isAgent'}]}",
			"p.yaml:1:98: when: the condition is longer than 4096 bytes",
		},
		"a name of three hundred bytes": {
			"{kind: Role, name: r, identity: i, rules: [{dataActions: [items/read], resources: [a/b/" + strings.Repeat("c", 300) + "]}]}",
			"p.yaml:1:84: resource \"a/b/" + strings.Repeat("c", 300) + "\": a part is longer than 255 bytes",
		},
		"more than Cedar can hold": {
			"{kind: Role, name: r, identity: i, rules: [{dataActions: [items/read], resources: [" + numbered("a/b/c%d, ", 700) + "a/b/c]}]}\n---\n" +
				"{kind: RoleBinding, name: b, role: r, subjects: [" + numbered("{user: u%d}, ", 700) + "{user: u}]}",
			"compiling policy: the policy has more than 100000 combinations of rule, resource and subject: bind groups instead of people, or use *",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := policy.Parse("p.yaml", []byte(c.text), policy.Options{})
			first, _, _ := strings.Cut(errorText(err), "\n")
			if first != c.want {
				t.Errorf("want %q, got %q", c.want, first)
			}
		})
	}
}

func numbered(format string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}
