package policy_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cosmosgate/cosmosgate/policy"
)

// outcome of a condition.
type outcome int

const (
	no outcome = iota
	yes
	failure
)

// conditionsOf returns the conditions that random policies use.
func conditionsOf() []string {
	return []string{
		"", "", "", "",
		`context.isAgent`,
		`!context.isAgent`,
		`context.network.inRange("10.0.0.0/8")`,
		`context.time < datetime("2026-11-24T12:00:00Z")`,
		`context.authenticationStrength == "phr"`,
		`principal has department && principal.department == "emea"`,
		`principal.hasTag("urn:x") && principal.getTag("urn:x") like "t*"`,
		`resource.container like "c*"`,
		`principal in Group::"ext1"`,
		`context.onBehalfOf == "u1"`,
		`context has person && context.person in Group::"ext1"`,
		`context has person && context.person == User::"u1"`,
		`1 + 9223372036854775807 > 0`,
	}
}

// evaluate says in Go what the conditions mean.
func evaluate(when string, q policy.Request) outcome {
	truth := map[bool]outcome{true: yes, false: no}
	p, c := q.Principal, q.Context
	switch when {
	case "":
		return yes
	case `context.isAgent`:
		return truth[c.IsAgent]
	case `!context.isAgent`:
		return truth[!c.IsAgent]
	case `context.network.inRange("10.0.0.0/8")`:
		if !c.SourceIP.IsValid() {
			return failure
		}
		return truth[strings.HasPrefix(c.SourceIP.Unmap().String(), "10.")]
	case `context.time < datetime("2026-11-24T12:00:00Z")`:
		return truth[c.Time.Before(noon())]
	case `context.authenticationStrength == "phr"`:
		return truth[c.AuthenticationStrength == "phr"]
	case `principal has department && principal.department == "emea"`:
		return truth[p.Attributes["department"] == "emea"]
	case `principal.hasTag("urn:x") && principal.getTag("urn:x") like "t*"`:
		return truth[strings.HasPrefix(p.Attributes["urn:x"], "t")]
	case `resource.container like "c*"`:
		return truth[strings.HasPrefix(q.Resource.Container, "c")]
	case `principal in Group::"ext1"`:
		return truth[modelSubject{Kind: "group", Text: "ext1"}.means(p)]
	case `context has person && context.person in Group::"ext1"`:
		return truth[q.Person != nil && modelSubject{Kind: "group", Text: "ext1"}.means(*q.Person)]
	case `context has person && context.person == User::"u1"`:
		return truth[q.Person != nil && q.Person.ID == "u1"]
	case `context.onBehalfOf == "u1"`:
		return truth[c.OnBehalfOf == "u1"]
	default:
		return failure
	}
}

// generator makes random worlds and requests from few names, so that they meet.
type generator struct{ *rand.Rand }

func pick[T any](g generator, list ...T) T { return list[g.IntN(len(list))] }

func some[T any](g generator, most int, one func() T) []T {
	list := make([]T, 1+g.IntN(most))
	for i := range list {
		list[i] = one()
	}
	return list
}

func (g generator) world() world {
	var w world
	for i := range 1 + g.IntN(4) {
		w.Roles = append(w.Roles, modelRole{
			Name: fmt.Sprintf("role%d", i), Identity: fmt.Sprintf("identity%d", g.IntN(3)),
			Rules: some(g, 2, g.rule), modelObligations: g.obligations(),
		})
	}
	for i := range g.IntN(4) {
		m := modelGrant{
			Name: fmt.Sprintf("grant%d", i), Role: pick(g, w.Roles...).Name,
			Agents: some(g, 2, func() string { return pick(g, "bot", "bot", "aide") }), modelObligations: g.obligations(),
		}
		if g.IntN(4) > 0 {
			m.People = slices.DeleteFunc(some(g, 3, g.subject), func(s modelSubject) bool { return s.Kind == "application" || s.Kind == "agent" })
		}
		w.Grants = append(w.Grants, m)
	}
	for i := range g.IntN(6) {
		b := modelBinding{Name: fmt.Sprintf("binding%d", i), Role: pick(g, w.Roles...).Name, Subjects: some(g, 3, g.subject)}
		if g.IntN(4) == 0 {
			b.Starts = noon().Add(time.Duration(g.IntN(3)-1) * time.Hour)
		}
		if g.IntN(4) == 0 {
			b.Expires = noon().Add(time.Duration(g.IntN(3)+2) * time.Hour)
		}
		b.Subjects = slices.DeleteFunc(b.Subjects, func(s modelSubject) bool { return s.Kind == "agent" })
		if len(b.Subjects) == 0 {
			continue
		}
		s := b.Subjects[0]
		b.Cedar = len(b.Subjects) == 1 && b.Starts.IsZero() && b.Expires.IsZero() && s.Connection == "" && !s.ByName
		w.Bindings = append(w.Bindings, b)
	}
	for i := range g.IntN(3) {
		m := modelGuardrail{Name: fmt.Sprintf("guard%d", i), Deny: g.IntN(2) == 0, Rule: g.rule(), modelObligations: modelObligations{MaxItems: 1 + g.IntN(99)}}
		if !m.Deny {
			m.modelObligations = m.with(g.obligations())
		}
		if g.IntN(2) == 0 {
			m.Subjects = some(g, 2, g.subject)
		}
		if m.Deny {
			m.Rule.Key = nil
		}
		w.Guardrails = append(w.Guardrails, m)
	}
	return w
}

func (g generator) obligations() modelObligations {
	o := modelObligations{MaxItems: pick(g, 0, 0, 0, 7, 70), Low: g.IntN(6) == 0}
	if g.IntN(5) == 0 {
		o.Redact = slices.Compact(slices.Sorted(slices.Values(some(g, 2, func() string { return pick(g, "/card", "/a~1b/c", "/x") }))))
	}
	return o
}

func (g generator) rule() modelRule {
	r := modelRule{
		Actions: some(g, 3, func() string {
			return pick(g, append(policy.AllActions.Names(), "items/*", "items/*", "*")...)
		}),
		Resources: some(g, 2, func() string {
			return pick(g, "a", "a", "b", "*") + "/" + pick(g, "d", "d", "e", "*") + "/" + pick(g, "c", "c", "k", "*")
		}),
		When: pick(g, conditionsOf()...),
	}
	if g.IntN(2) == 0 {
		r.Key = some(g, 2, func() string {
			return pick(g, `"${user.department}"`, `"${user.department}"`, `"of-${user.id}"`, `"emea"`, "12", "null", "true")
		})
		r.Inject = g.IntN(2) == 0
	}
	return r
}

const (
	group1 = "0192f0c1-0000-7000-8000-000000000001"
	group2 = "0192f0c1-0000-7000-8000-000000000002"
)

func (g generator) subject() modelSubject {
	return pick(g,
		modelSubject{Kind: "user", Text: "u1"},
		modelSubject{Kind: "user", Text: "u2"},
		modelSubject{Kind: "application", Text: "app"},
		modelSubject{Kind: "agent", Text: "bot"},
		modelSubject{Kind: "group", Text: group1},
		modelSubject{Kind: "group", Text: group2},
		modelSubject{Kind: "group", Text: "ext1"},
		modelSubject{Kind: "group", Text: "ext2"},
		modelSubject{Kind: "group", Text: "ext2", Connection: "corp"},
		modelSubject{Kind: "group", Text: "Staff", ByName: true},
		modelSubject{Kind: "group", Text: "ext2", Connection: "other"},
		modelSubject{Kind: "group", Text: "Staff", ByName: true, Connection: "corp"},
		modelSubject{Kind: "group", Text: "Staff", ByName: true, Connection: "other"},
	)
}

func (g generator) principal() policy.Principal {
	p := policy.Principal{Kind: pick(g, policy.KindPerson, policy.KindPerson, policy.KindPerson, policy.KindApplication, policy.KindAgent)}
	if p.Kind == policy.KindAgent {
		p.ID = pick(g, "bot", "aide", "ghost")
		return p
	}
	p.Attributes = map[string]string{"department": pick(g, "emea", "emea", "apac", ""), "urn:x": pick(g, "", "tx", "ux")}
	if p.Kind == policy.KindApplication {
		p.ID = pick(g, "app", "u1")
		return p
	}
	p.ID = pick(g, "u1", "u2", "app")
	for range g.IntN(4) {
		p.Groups = append(p.Groups, policy.Group{
			// An external id may look like an id of the directory; it is none.
			ID:         pick(g, group1, group2, "ext1"),
			Connection: pick(g, "corp", "other"),
			ExternalID: pick(g, "ext1", "ext2", group1),
			Name:       pick(g, "Staff", "ext1"),
		})
	}
	return p
}

func (g generator) request(p policy.Principal) policy.Request {
	q := policy.Request{
		Principal: p,
		Resource: policy.Resource{
			Account: pick(g, "a", "a", "b"), Database: pick(g, "d", "d", "e"), Container: pick(g, "c", "c", "k", "*"),
		},
		Ranged: g.IntN(8) == 0,
		NoData: g.IntN(8) == 0,
		Role:   pick(g, "", "", "role1", "nobody"),
		Context: policy.Context{
			Time:     noon().Add(time.Duration(g.IntN(13)-4) * time.Hour / 2),
			SourceIP: pick(g, netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("::ffff:10.1.2.3"), netip.MustParseAddr("192.0.2.1"), netip.Addr{}),
			IsAgent:  g.IntN(4) == 0, OnBehalfOf: pick(g, "", "u1"), AuthenticationStrength: pick(g, "", "phr"),
		},
	}
	if g.IntN(2) == 0 {
		for range g.IntN(3) {
			q.Actors = append(q.Actors, policy.Principal{ID: pick(g, "bot", "bot", "aide", "ghost"), Kind: policy.KindAgent})
		}
	}
	if g.IntN(6) == 0 {
		q.Token = g.token()
	}
	for range 1 + g.IntN(2) {
		q.Actions |= 1 << g.IntN(len(policy.AllActions.Names()))
	}
	switch g.IntN(8) {
	case 0:
		q.Resource.Container, q.Actions = "", policy.ReadMetadata
	case 1:
		q.Resource.Database, q.Resource.Container, q.Actions = "", "", policy.ReadMetadata
	}
	for range pick(g, 0, 1, 1, 1, 2) {
		q.PartitionKeys = append(q.PartitionKeys, some(g, 3, func() string {
			return pick(g, `"emea"`, `"emea"`, `"apac"`, `"of-u1"`, "12", "null", "true", `"12"`)
		}))
	}
	q.Injectable = q.SetsNoKey() || g.IntN(4) == 0
	return q
}

func (g generator) token() *policy.Token {
	t := &policy.Token{}
	if g.IntN(2) == 0 {
		t.Scopes = some(g, 3, func() string { return pick(g, "cosmos.read", "cosmos.write", "cosmos.execute", "openid") })
	}
	for range g.IntN(3) {
		d := policy.Detail{Actions: g.rule().Actions, Resources: g.rule().Resources}
		if g.IntN(2) == 0 {
			d.PartitionKeys = [][]string{{`"emea"`}, {"12"}}
		}
		t.Details = append(t.Details, d)
	}
	return t
}

func TestDecisionsAreWhatTheYAMLMeans(t *testing.T) {
	t.Parallel()
	const worlds, principals, requests = 200, 4, 20
	seen := map[policy.Reason]int{}
	for seed := range uint64(worlds) {
		g := generator{rand.New(rand.NewPCG(seed, 1))}
		w := g.world()
		set, err := policy.ParseAll(w.sources(), policy.Options{})
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, w.yaml()+w.cedar())
		}
		engine := policy.NewEngine(set)
		for n := range uint64(principals) {
			p := g.principal()
			p.Generation = [2]uint64{seed, n + 1}
			for range requests {
				seen[checkRequest(t, w, engine, g.request(p))]++
				if t.Failed() {
					t.Fatalf("seed %d\n%s", seed, w.yaml()+w.cedar())
				}
			}
		}
	}
	for reason := policy.ReasonAllowed; reason <= policy.ReasonRedaction; reason++ {
		if seen[reason] == 0 && reason != policy.ReasonMalformed {
			t.Errorf("no random request came out as %s: the worlds are too tame", reason)
		}
	}
}

// checkRequest compares every way to decide a request with the oracle.
func checkRequest(t *testing.T, w world, engine *policy.Engine, q policy.Request) policy.Reason {
	t.Helper()
	want := w.decide(q)
	fresh := q
	fresh.Principal.Generation = [2]uint64{}
	for how, got := range map[string]policy.Decision{
		"by index":   engine.Decide(fresh),
		"by scan":    engine.Set().DecideByScan(fresh),
		"remembered": engine.Decide(q),
		"again":      engine.Decide(q),
		"explained":  engine.Explain(q).Decision,
	} {
		if diff := cmp.Diff(want, verdictOf(got), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got): %s\n%+v\n%s", how, diff, q, got.Detail)
		}
	}
	checkExplanation(t, w, engine.Explain(q), q)
	return want.Reason
}

// checkExplanation checks that what an explanation says matched is what
// decided. It is told for each rule, so only requests of one action are plain.
func checkExplanation(t *testing.T, w world, x policy.Explanation, q policy.Request) {
	t.Helper()
	d := x.Decision
	if len(q.Actors) > 0 || q.Token != nil || q.Principal.ID == "ghost" || len(q.Actions.Names()) != 1 || q.Actions == policy.ExecuteStoredProcedure || d.Reason == policy.ReasonEvaluation {
		return
	}
	rule, deny := false, false
	for _, c := range x.Considered {
		if !c.Matched {
			continue
		}
		rule = rule || c.Role != ""
		for _, g := range w.Guardrails {
			deny = deny || (g.Deny && c.Policy == "Guardrail/"+g.Name)
		}
	}
	if deny != (d.Reason == policy.ReasonGuardrail) {
		t.Errorf("explained that a guardrail denies: %v, decided %+v for %+v\n%+v", deny, d, q, x.Considered)
	}
	if d.Allow && !rule || (d.Reason == policy.ReasonNoRole || d.Reason == policy.ReasonAgent) && rule {
		t.Errorf("explained that a rule allows: %v, decided %+v for %+v\n%+v", rule, d, q, x.Considered)
	}
}

func FuzzIndexAndScanAgree(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, policies, requests uint64) {
		w := generator{rand.New(rand.NewPCG(policies, 2))}.world()
		set, err := policy.ParseAll(w.sources(), policy.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := set.ValidateStatements(); err != nil {
			t.Fatalf("a compiled policy does not fit the schema: %v\n%s", err, w.yaml()+w.cedar())
		}
		engine := policy.NewEngine(set)
		g := generator{rand.New(rand.NewPCG(requests, 3))}
		p := g.principal()
		for range 20 {
			checkRequest(t, w, engine, g.request(p))
		}
	})
}
