package policy_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/policy"
)

func TestAPathOverlapsWhatHoldsItAndWhatItHolds(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		path, names []string
		want        bool
	}{
		"itself":                       {[]string{"a", "b"}, []string{"a", "b"}, true},
		"what holds it":                {[]string{"a", "b"}, []string{"a"}, true},
		"what it holds":                {[]string{"a", "b"}, []string{"a", "b", "c"}, true},
		"the whole document":           {[]string{"a", "b"}, nil, true},
		"another":                      {[]string{"a", "b"}, []string{"b"}, false},
		"another beside it":            {[]string{"a", "b"}, []string{"a", "c"}, false},
		"a longer name":                {[]string{"a"}, []string{"ab"}, false},
		"an element on the way":        {[]string{"a", "b"}, []string{"a", "0", "b"}, true},
		"elements of elements":         {[]string{"a", "b"}, []string{"a", "0", "17", "b"}, true},
		"an element that may hold it":  {[]string{"a", "b"}, []string{"a", "3"}, true},
		"the end of an array":          {[]string{"a", "b"}, []string{"a", "-"}, true},
		"an element of another":        {[]string{"a", "b"}, []string{"a", "0", "c"}, false},
		"a name that is no position":   {[]string{"a", "b"}, []string{"a", "0x", "b"}, false},
		"an empty name":                {[]string{"a", "b"}, []string{"a", "", "b"}, false},
		"a name that looks like a sum": {[]string{"a", "b"}, []string{"a", "+1", "b"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := policy.Path(row.path).Overlaps(row.names); got != row.want {
				t.Errorf("%v and %v: got %v", row.path, row.names, got)
			}
		})
	}
}

func TestObligationsAreToldInTheWordsOfPolicies(t *testing.T) {
	t.Parallel()
	o := policy.Obligations{
		Redact: []policy.Path{{"a/b", "~"}, {"card"}}, MaxItems: 1, MaxRUPerSecond: 2, MaxBodyBytes: 3, Priority: policy.PriorityHigh,
		ThroughputBucket: 4, Staleness: policy.StalenessStrict, PartitionKey: []string{`"a"`, "7"},
	}
	want := []string{
		"redact: [/a~1b/~0, /card]", "maxItems: 1", "maxRUPerSecond: 2", "maxBodyBytes: 3", "priority: high",
		"throughputBucket: 4", "staleness: strict", `injected: ["a", 7]`,
	}
	if diff := cmp.Diff(want, o.Words()); diff != "" {
		t.Error("words (-want +got):", diff)
	}
	if got := (&policy.Obligations{}).Words(); got != nil {
		t.Errorf("no obligations are told as %q", got)
	}
	o = policy.Obligations{Priority: policy.PriorityLow, Staleness: policy.StalenessBestEffort}
	if diff := cmp.Diff([]string{"priority: low", "staleness: best_effort"}, o.Words()); diff != "" {
		t.Error("words (-want +got):", diff)
	}
}

// TestLegsAgreeOnTheStricterStaleness goes through every pair.
func TestLegsAgreeOnTheStricterStaleness(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ user, agent, want string }{
		{"", "", ""},
		{"", "best_effort", ""},
		{"best_effort", "", ""},
		{"best_effort", "best_effort", "best_effort"},
		{"strict", "", "strict"},
		{"", "strict", "strict"},
		{"strict", "best_effort", "strict"},
		{"best_effort", "strict", "strict"},
	} {
		role := func(name, staleness string) string {
			text := "{kind: Role, name: " + name + ", identity: mi-" + name + ", rules: [{dataActions: [items/read], resources: [prod/shop/orders]}]"
			if staleness != "" {
				text += ", staleness: " + staleness
			}
			return text + "}\n---\n"
		}
		set := load(t, role("user", row.user)+role("agent", row.agent)+`
{kind: RoleBinding, name: b, role: user, subjects: [{user: ann}]}
---
{kind: Agent, name: bot, match: {issuer: corp, claims: {azp: bot}}}
---
{kind: AgentGrant, name: g, role: agent, subjects: [{agent: bot}], onBehalfOf: {users: [ann]}}
`)
		q := annReads()
		q.Actors = []policy.Principal{{ID: "bot", Kind: policy.KindAgent}}
		d := policy.NewEngine(set).Decide(q)
		if !d.Allow || d.Obligations.Staleness.String() != row.want {
			t.Errorf("%q and %q: got %q of %+v", row.user, row.agent, d.Obligations.Staleness, d)
		}
	}
}

func TestTheLongerOfTwoSetKeysHolds(t *testing.T) {
	t.Parallel()
	set := load(t, `
{kind: Role, name: r, identity: mi, rules: [{dataActions: [executeQuery], resources: [prod/shop/orders]}]}
---
{kind: RoleBinding, name: b, role: r, subjects: [{user: ann}]}
---
{kind: Guardrail, name: short, effect: obligations, dataActions: [executeQuery], resources: [prod/shop/orders], partitionKey: {equals: [a], mode: inject}}
---
{kind: Guardrail, name: long, effect: obligations, dataActions: [executeQuery], resources: [prod/shop/orders], partitionKey: {equals: [a, b], mode: inject}}
`)
	q := annReads()
	q.Actions, q.PartitionKeys, q.Injectable = policy.ExecuteQuery, nil, true
	if diff := cmp.Diff([]string{`"a"`, `"b"`}, policy.NewEngine(set).Decide(q).Obligations.PartitionKey); diff != "" {
		t.Error("key (-want +got):", diff)
	}
}

// TestDelegationsThatNoPolicyCanAllow holds the door against callers of Decide that put parties together wrongly.
func TestDelegationsThatNoPolicyCanAllow(t *testing.T) {
	t.Parallel()
	set := load(t, `
{kind: Role, name: r, identity: mi, rules: [{dataActions: [items/read], resources: [prod/shop/orders]}]}
---
{kind: Application, name: app, match: {issuer: corp, claims: {azp: app}}}
---
{kind: Agent, name: bot, match: {issuer: corp, claims: {azp: bot}}}
---
{kind: RoleBinding, name: b, role: r, subjects: [{user: ann}, {application: app}]}
---
{kind: AgentGrant, name: g, role: r, subjects: [{agent: bot}], onBehalfOf: {users: [ann]}}
---
{kind: AgentGrant, name: h, role: r, subjects: [{agent: bot}], onBehalfOf: none}
`)
	bot := policy.Principal{ID: "bot", Kind: policy.KindAgent}
	for name, row := range map[string]struct {
		principal policy.Principal
		actors    []policy.Principal
		want      policy.Reason
	}{
		"an agent for a person":                 {policy.Principal{ID: "ann", Kind: policy.KindPerson}, []policy.Principal{bot}, policy.ReasonAllowed},
		"an actor that is a person":             {policy.Principal{ID: "ann", Kind: policy.KindPerson}, []policy.Principal{{ID: "ann", Kind: policy.KindPerson}}, policy.ReasonMalformed},
		"an actor without a name":               {policy.Principal{ID: "ann", Kind: policy.KindPerson}, []policy.Principal{bot, {Kind: policy.KindAgent}}, policy.ReasonMalformed},
		"an agent for an application":           {policy.Principal{ID: "app", Kind: policy.KindApplication}, []policy.Principal{bot}, policy.ReasonAgent},
		"an agent for an agent":                 {bot, []policy.Principal{bot}, policy.ReasonAgent},
		"an agent that the policy does not say": {policy.Principal{ID: "ann", Kind: policy.KindPerson}, []policy.Principal{bot, {ID: "ghost", Kind: policy.KindAgent}}, policy.ReasonAgent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := annReads()
			q.Principal, q.Actors = row.principal, row.actors
			q.Person = &policy.Principal{ID: "ann", Kind: policy.KindPerson} // what a caller says of it is ignored
			d := policy.NewEngine(set).Decide(q)
			if d.Reason != row.want || d.Allow != (row.want == policy.ReasonAllowed) {
				t.Errorf("got %+v", d)
			}
		})
	}
}

func TestEveryLegIsToldAlsoWhenOneDenies(t *testing.T) {
	t.Parallel()
	set := load(t, readers+`---
{kind: Agent, name: bot, match: {issuer: corp, claims: {azp: bot}}}
`)
	q := annReads()
	q.Actors = []policy.Principal{{ID: "bot", Kind: policy.KindAgent}}
	q.Token = &policy.Token{Details: []policy.Detail{{Actions: []string{"no such"}, Resources: []string{"prod/shop/orders"}}}}
	want := []policy.Leg{
		{Kind: "user", Name: "ann", Allow: true, Role: "reader", Policies: []string{"RoleBinding/readers"}, Reason: policy.ReasonAllowed},
		{Kind: "agent", Name: "bot", Reason: policy.ReasonAgent},
		{Kind: "scope", Reason: policy.ReasonScope},
	}
	d := policy.NewEngine(set).Decide(q)
	if diff := cmp.Diff(want, d.Legs); diff != "" || d.Reason != policy.ReasonAgent {
		t.Errorf("legs of %s (-want +got): %s", d.Reason, diff)
	}
}

func TestAnEmptyPartitionKeyInATokenNarrowsToNothing(t *testing.T) {
	t.Parallel()
	set := load(t, readers)
	for name, row := range map[string]struct {
		keys [][]string
		want bool
	}{
		"the request's key":       {[][]string{{`"emea"`}}, true},
		"another key":             {[][]string{{`"apac"`}}, false},
		"a key without parts":     {[][]string{{}}, false},
		"… beside another key":    {[][]string{{`"apac"`}, {}}, false},
		"… beside the request's":  {[][]string{{}, {`"emea"`}}, true},
		"no keys: any, or a feed": {nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := annReads()
			q.PartitionKeys = [][]string{{`"emea"`}}
			q.Token = &policy.Token{Details: []policy.Detail{{
				Actions: []string{"items/read"}, Resources: []string{"prod/shop/orders"}, PartitionKeys: row.keys,
			}}}
			if d := policy.NewEngine(set).Decide(q); d.Allow != row.want {
				t.Errorf("got %+v", d)
			}
		})
	}
}

func TestAgentsAreReturnedAsDeclared(t *testing.T) {
	t.Parallel()
	var none *policy.Set
	if none.Agents() != nil {
		t.Error("want no agents of no policy")
	}
	set := load(t, `
{kind: Agent, name: b, match: {issuer: corp, claims: {azp: b}}, attributes: {department: x}}
---
{kind: Agent, name: a, jwks: {keys: [{kty: EC, kid: "1", x: y, key_ops: [verify]}]}}
`)
	want := []policy.Agent{
		{Name: "a", JWKS: []byte(`{"keys":[{"key_ops":["verify"],"kid":"1","kty":"EC","x":"y"}]}`)},
		{Name: "b", Issuer: "corp", Claims: map[string]string{"azp": "b"}, Attributes: map[string]string{"department": "x"}},
	}
	if diff := cmp.Diff(want, set.Agents()); diff != "" {
		t.Error("agents (-want +got):", diff)
	}
}

func TestAnAgentsDecisionIsForgottenWithThePersonsGroups(t *testing.T) {
	t.Parallel()
	engine := policy.NewEngine(load(t, `
{kind: Role, name: r, identity: mi, rules: [{dataActions: [items/read], resources: [prod/shop/orders]}]}
---
{kind: Agent, name: bot, match: {issuer: corp, claims: {azp: bot}}}
---
{kind: RoleBinding, name: b, role: r, subjects: [{user: ann}]}
---
{kind: AgentGrant, name: g, role: r, subjects: [{agent: bot}], onBehalfOf: {groups: [staff]}}
`))
	q := annReads()
	q.Actors = []policy.Principal{{ID: "bot", Kind: policy.KindAgent}}
	for range 2 {
		if d := engine.Decide(q); d.Reason != policy.ReasonAgent {
			t.Fatalf("before: got %+v", d)
		}
	}
	q.Principal.Groups = []policy.Group{{ExternalID: "staff"}}
	q.Principal.Generation[0]++
	for range 2 {
		if d := engine.Decide(q); !d.Allow {
			t.Errorf("after: got %+v", d)
		}
	}
}

func TestAHashTellsTheKeyThatThePolicyNames(t *testing.T) {
	t.Parallel()
	engine := policy.NewEngine(load(t, readers))
	h := policy.Hashed{Request: annReads(), Keys: []string{plainHash([]string{`"emea"`})}, Hash: plainHash}
	h.PartitionKeys = nil
	if d, certain := engine.DecideHashed(h); !d.Allow || !certain {
		t.Errorf("got %+v, certain %v", d, certain)
	}
	h.Keys = append(h.Keys, plainHash([]string{`"apac"`}))
	if d, certain := engine.DecideHashed(h); d.Allow || certain {
		t.Errorf("with another key too: got %+v, certain %v", d, certain)
	}
}

func TestAHugeCedarFileIsRefusedUnread(t *testing.T) {
	t.Parallel()
	_, err := policy.ParseAll([]policy.Source{{Name: "p.cedar", Text: []byte(strings.Repeat("/", 5<<20))}}, policy.Options{})
	if got := errorText(err); got != "p.cedar:1:1: the file is larger than 4 MiB (split it)" {
		t.Errorf("got %q", got)
	}
}

// TestEveryObligationCountsWhenARoleIsChosen has a role without obligations beside one with each of them.
func TestEveryObligationCountsWhenARoleIsChosen(t *testing.T) {
	t.Parallel()
	for _, obligation := range []string{
		"redact: [/a]", "maxItems: 5", "maxRUPerSecond: 5", "maxBodyBytes: 5", "priority: low", "throughputBucket: 5",
	} {
		set := load(t, `
{kind: Role, name: a, identity: mi, rules: [{dataActions: [items/read], resources: [prod/shop/orders]}], obligations: {`+obligation+`}}
---
{kind: Role, name: z, identity: mi, rules: [{dataActions: [items/read], resources: [prod/shop/orders]}]}
---
{kind: RoleBinding, name: a, role: a, subjects: [{user: ann}]}
---
{kind: RoleBinding, name: z, role: z, subjects: [{user: ann}]}
`)
		if d := policy.NewEngine(set).Decide(annReads()); d.Role != "z" {
			t.Errorf("%s: got %+v", obligation, d)
		}
	}
}

func TestGuardrailsWhoseKeysDisagreeNameEveryAction(t *testing.T) {
	t.Parallel()
	set := load(t, `
{kind: Role, name: r, identity: mi, rules: [{dataActions: [executeQuery, readChangeFeed], resources: [prod/shop/orders]}]}
---
{kind: RoleBinding, name: b, role: r, subjects: [{user: ann}]}
---
{kind: Guardrail, name: one, effect: obligations, dataActions: [executeQuery], resources: [prod/shop/orders], partitionKey: {equals: [a], mode: inject}}
---
{kind: Guardrail, name: two, effect: obligations, dataActions: [readChangeFeed], resources: [prod/shop/orders], partitionKey: {equals: [b], mode: inject}}
`)
	q := annReads()
	q.Actions, q.PartitionKeys, q.Injectable = policy.ExecuteQuery|policy.ReadChangeFeed, nil, true
	want := policy.Decision{
		Reason: policy.ReasonPartitionKey, Missing: q.Actions, Policies: []string{"Guardrail/one", "Guardrail/two", "RoleBinding/b"},
		Detail: "guardrails set partition keys that do not agree",
	}
	if diff := cmp.Diff(want, policy.NewEngine(set).Decide(q)); diff != "" {
		t.Error("decision (-want +got):", diff)
	}
}

func TestAGroupOfOneConnectionIsFoundAlsoWhereThePolicyNamesNoOther(t *testing.T) {
	t.Parallel()
	set := load(t, `
{kind: Role, name: r, identity: mi, rules: [{dataActions: [items/read], resources: [prod/shop/orders]}]}
---
{kind: RoleBinding, name: b, role: r, subjects: [{group: staff, connection: corp}]}
`)
	q := annReads()
	q.Principal.Generation = [2]uint64{}
	for connection, want := range map[string]bool{"corp": true, "other": false, "": false} {
		q.Principal.Groups = []policy.Group{{ExternalID: "staff", Connection: connection}}
		if d := policy.NewEngine(set).Decide(q); d.Allow != want {
			t.Errorf("a group of %q: got %+v", connection, d)
		}
	}
}

func TestAConditionMayBeAsLongAsItsBound(t *testing.T) {
	t.Parallel()
	const bound, when = 4096, "context.isAgent"
	text := func(size int) string {
		return "{kind: Role, name: r, identity: mi, rules: [{dataActions: [items/read], resources: [a/b/c], when: '" +
			when + strings.Repeat(" ", size-len(when)) + "'}]}"
	}
	if _, err := policy.Parse("p.yaml", []byte(text(bound)), policy.Options{}); err != nil {
		t.Error(err)
	}
	if _, err := policy.Parse("p.yaml", []byte(text(bound+1)), policy.Options{}); err == nil {
		t.Error("one byte more is accepted")
	}
}
