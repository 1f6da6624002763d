package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cosmosgate/cosmosgate/cosmos"
	"github.com/cosmosgate/cosmosgate/policy"
)

// asked is the request that policy explain is given as flags.
type asked struct {
	user, application, people string
	agents, scopes            []string
	groups, attributes        []string
	actions                   []string
	resource                  string
	keys                      []string
	ranged, noData            bool
	role, from, strength      string
}

// explained is what policy explain says.
type explained struct {
	Allow       bool              `json:"allow"`
	Role        string            `json:"role,omitempty"`
	Identity    string            `json:"identity,omitempty"`
	Obligations obligations       `json:"obligations,omitzero"`
	Reason      string            `json:"reason"`
	Detail      string            `json:"detail,omitempty"`
	Missing     []string          `json:"missing,omitempty"`
	Policies    []string          `json:"policies,omitempty"`
	Legs        []explainedLeg    `json:"legs,omitempty"`
	Considered  []consideredEntry `json:"considered"`
}

// obligations are those of a decision, as policies write them.
type obligations struct {
	Redact           []string          `json:"redact,omitempty"`
	MaxItems         int               `json:"maxItems,omitempty"`
	MaxRUPerSecond   int               `json:"maxRUPerSecond,omitempty"`
	MaxBodyBytes     int64             `json:"maxBodyBytes,omitempty"`
	Priority         string            `json:"priority,omitempty"`
	ThroughputBucket int               `json:"throughputBucket,omitempty"`
	Staleness        string            `json:"staleness,omitempty"`
	Injected         []json.RawMessage `json:"injected,omitempty"`

	words []string // for people
}

func obligationsOf(o *policy.Obligations) obligations {
	out := obligations{
		MaxItems: o.MaxItems, MaxRUPerSecond: o.MaxRUPerSecond, MaxBodyBytes: o.MaxBodyBytes,
		Priority: strings.ToLower(o.Priority.String()), ThroughputBucket: o.ThroughputBucket, Staleness: o.Staleness.String(),
		words: o.Words(),
	}
	for _, path := range o.Redact {
		out.Redact = append(out.Redact, path.String())
	}
	for _, component := range o.PartitionKey {
		out.Injected = append(out.Injected, json.RawMessage(component))
	}
	return out
}

// explainedLeg is what was decided about one party to a delegation.
type explainedLeg struct {
	Who      string   `json:"who"`
	Allow    bool     `json:"allow"`
	Reason   string   `json:"reason"`
	Role     string   `json:"role,omitempty"`
	Policies []string `json:"policies,omitempty"`
}

type consideredEntry struct {
	Leg     string   `json:"leg,omitempty"`
	Matched bool     `json:"matched"`
	Policy  string   `json:"policy"`
	Role    string   `json:"role,omitempty"`
	Place   string   `json:"place"`
	Failed  []string `json:"failed,omitempty"`
}

func newPolicyExplain() *cobra.Command {
	var source policySource
	var a asked
	var output string
	cmd := &cobra.Command{
		Use:   "explain PATH... --action ACTION --resource RESOURCE",
		Short: "Say why a request is allowed or denied",
		Long: `Decides one request and lists every rule and guardrail that was considered: those that match, then those that miss by
least, each with what did not fit and its place in the policy.

Who asks is a person by id with their groups and attributes, or somebody from a directory export (--people), or a
declared application; --agent is an agent that acts for that person, or for itself if there is none (repeatable,
outermost first), and --scope what its token was narrowed to. A partition key is text, or a JSON array for other types and
for hierarchical keys; several mean a bulk request. Exit code 1: the request is denied.`,
		Example: `  cosmosgate policy explain policy/ --user ann --group orders-readers --attribute department=emea \
      --action items/read --resource prod/shop/orders --partition-key emea
  cosmosgate policy explain policy/ --user ann@corp.example --people people.jsonl --action executeQuery --resource prod/shop/orders
  cosmosgate policy explain policy/ --user ann --group support --agent triage-bot --scope cosmos.read --action items/read --resource prod/shop/orders
  cosmosgate policy explain policy/ --application checkout --action items/create --resource prod/shop/carts --partition-key '["t1","u7"]'`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, paths []string) error {
			set, err := source.load(cmd, paths...)
			if err != nil {
				return err
			}
			q, err := a.request(&source, set)
			if err != nil {
				return err
			}
			return explain(cmd.OutOrStdout(), output, policy.NewEngine(set).Explain(q))
		},
	}
	source.flags(cmd)
	source.timeFlag(cmd)
	a.flags(cmd)
	outputFlag(cmd, &output, outputTable, outputJSON)
	return cmd
}

func (a *asked) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&a.user, "user", "", "person who asks: directory id, or user name with --people")
	f.StringVar(&a.application, "application", "", "declared application that asks")
	f.StringArrayVar(&a.agents, "agent", nil, "declared agent that acts for the person, or for itself (repeatable, outermost first)")
	f.StringSliceVar(&a.scopes, "scope", nil, "scope that the token was narrowed to (repeatable)")
	f.StringVar(&a.people, "people", "", "directory export to take the person's groups and attributes from")
	f.StringArrayVar(&a.groups, "group", nil, "group of the person: directory id or external id (repeatable)")
	f.StringArrayVar(&a.attributes, "attribute", nil, "attribute of the person, such as department=emea (repeatable)")
	f.StringSliceVar(&a.actions, "action", nil, "data action (repeatable)")
	f.StringVar(&a.resource, "resource", "", "account/database/container")
	f.StringArrayVar(&a.keys, "partition-key", nil, "partition key of the request (repeatable)")
	f.BoolVar(&a.ranged, "ranged", false, "the request names a key range")
	f.BoolVar(&a.noData, "no-data", false, "the request returns no data, such as a query plan")
	f.StringVar(&a.role, "as-role", "", "role that the caller asks for")
	f.StringVar(&a.from, "from", "", "network address of the caller")
	f.StringVar(&a.strength, "authentication-strength", "", "acr of the sign-in")
	cmd.MarkFlagsOneRequired("user", "application", "agent")
	cmd.MarkFlagsMutuallyExclusive("application", "agent")
	cmd.MarkFlagsMutuallyExclusive("user", "application")
	for _, name := range []string{"people", "group", "attribute"} {
		cmd.MarkFlagsMutuallyExclusive("application", name)
	}
	cmd.MarkFlagsMutuallyExclusive("people", "group")
	for _, name := range []string{"action", "resource"} {
		_ = cmd.MarkFlagRequired(name) // fails for unknown flags only
	}
}

// request builds the question from the flags.
func (a *asked) request(source *policySource, set *policy.Set) (policy.Request, error) {
	q := policy.Request{Ranged: a.ranged, NoData: a.noData, Role: a.role}
	var err error
	if q.Context.Time, err = source.now(); err != nil {
		return q, err
	}
	q.Context.AuthenticationStrength = a.strength
	if a.from != "" {
		if q.Context.SourceIP, err = netip.ParseAddr(a.from); err != nil {
			return q, fmt.Errorf("--from: %w", err)
		}
	}
	if q.Actions, err = policy.ParseActions(a.actions...); err != nil {
		return q, fmt.Errorf("--action: %w", err)
	}
	if q.Resource, err = policy.ParseResource(a.resource); err != nil {
		return q, fmt.Errorf("--resource: %w", err)
	}
	for _, text := range a.keys {
		key, err := partitionKey(text)
		if err != nil {
			return q, err
		}
		q.PartitionKeys = append(q.PartitionKeys, key)
	}
	q.Injectable = q.SetsNoKey()
	if len(a.scopes) > 0 {
		q.Token = &policy.Token{Scopes: a.scopes}
	}
	if q.Principal, err = a.principal(source, set); err != nil {
		return q, err
	}
	err = a.actors(&q)
	return q, err // after what filled it
}

var errAgents = errors.New("several agents act for somebody: give --user")

// actors are the agents that act for the principal.
func (a *asked) actors(q *policy.Request) error {
	if a.user == "" {
		if len(a.agents) > 1 {
			return errAgents
		}
		return nil
	}
	for _, name := range a.agents {
		q.Actors = append(q.Actors, policy.Principal{ID: name, Kind: policy.KindAgent})
	}
	return nil
}

// partitionKey reads a key as the gate reads it from a request.
func partitionKey(text string) ([]string, error) {
	if !strings.HasPrefix(text, "[") {
		quoted, err := json.Marshal([]string{text})
		if err != nil {
			return nil, fmt.Errorf("--partition-key: %w", err)
		}
		text = string(quoted)
	}
	key, err := cosmos.ParsePartitionKey(text)
	if err != nil {
		return nil, fmt.Errorf("--partition-key %s: %w", text, err)
	}
	return key, nil
}

var (
	errNobody    = errors.New("no such caller")
	errAttribute = errors.New("--attribute must be NAME=VALUE")
)

func (a *asked) principal(source *policySource, set *policy.Set) (policy.Principal, error) {
	at, err := source.now()
	if err != nil {
		return policy.Principal{}, err
	}
	if a.application != "" {
		all := &people{byID: map[string]int{}}
		all.addApplications(set)
		p, ok := all.find(a.application)
		if !ok {
			return p, failed(fmt.Errorf("%w: the policy declares no application %q", errNobody, a.application), "")
		}
		return p, nil
	}
	if a.user == "" {
		return policy.Principal{ID: a.agents[0], Kind: policy.KindAgent}, nil
	}
	p := policy.Principal{ID: a.user, Kind: policy.KindPerson}
	if a.people != "" {
		all, err := readPeople(a.people, at)
		if err != nil {
			return p, err
		}
		found, ok := all.find(a.user)
		if !ok {
			return p, failed(fmt.Errorf("%w: %s has no active person %q, or several", errNobody, a.people, a.user), "name the person by directory id")
		}
		p = found
	}
	for _, g := range a.groups {
		p.Groups = append(p.Groups, policy.GroupNamed(g))
	}
	attributes := map[string]string{}
	maps.Copy(attributes, p.Attributes)
	for _, text := range a.attributes {
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			return p, fmt.Errorf("%w, not %q", errAttribute, text)
		}
		attributes[name] = value
	}
	p.Attributes, p.Generation = attributes, [2]uint64{}
	return p, nil
}

func explain(w io.Writer, output string, x policy.Explanation) error {
	d := x.Decision
	e := explained{
		Allow: d.Allow, Role: d.Role, Identity: d.Identity, Obligations: obligationsOf(&d.Obligations),
		Reason: d.Reason.String(), Detail: d.Detail, Missing: d.Missing.Names(), Policies: d.Policies,
		Considered: []consideredEntry{},
	}
	for _, leg := range d.Legs {
		who := strings.TrimSpace(leg.Kind + " " + leg.Name)
		e.Legs = append(e.Legs, explainedLeg{who, leg.Allow, leg.Reason.String(), leg.Role, leg.Policies})
	}
	for _, c := range x.Considered {
		e.Considered = append(e.Considered, consideredEntry{c.Leg, c.Matched, c.Policy, c.Role, c.Position.String(), c.Failed})
	}
	var err error
	if output == outputJSON {
		err = printJSON(w, e)
	} else {
		err = e.print(w)
	}
	if err == nil && !e.Allow {
		err = failed(fmt.Errorf("%w: %s", errDenied, e.Reason), "")
	}
	return err
}

var errDenied = errors.New("the request is denied")

func (e *explained) print(w io.Writer) error {
	out := &printer{w: w}
	if e.Allow {
		out.line("allowed: role %s, identity %s, by %s", e.Role, e.Identity, strings.Join(e.Policies, ", "))
		for _, o := range e.Obligations.words {
			out.line("%s", o)
		}
	} else {
		out.line("denied: %s: %s", e.Reason, e.Detail)
		out.line("missing: %s", strings.Join(e.Missing, ", "))
	}
	for _, leg := range e.Legs {
		verdict := "denied: " + leg.Reason
		if leg.Allow {
			verdict = "allowed"
			if leg.Role != "" {
				verdict += ": role " + leg.Role + ", by " + strings.Join(leg.Policies, ", ")
			}
		}
		out.line("%s: %s", leg.Who, verdict)
	}
	out.line("")
	if err := out.done(); err != nil {
		return err
	}
	legs := len(e.Legs) > 0
	t := table{titles: []string{"MATCH", "POLICY", "ROLE", "PLACE", "WHAT DOES NOT FIT"}}
	for _, c := range e.Considered {
		match := "no"
		if c.Matched {
			match = "yes"
		}
		policy := c.Policy
		if legs {
			policy += " for " + c.Leg
		}
		t.add(match, policy, c.Role, c.Place, strings.Join(c.Failed, "; "))
	}
	return t.write(w)
}
