package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cosmosgate/cosmosgate/policy"
)

// accessEntry is one way in which somebody may act on a container.
type accessEntry struct {
	Change       string            `json:"change,omitempty"`
	Kind         string            `json:"kind"`
	ID           string            `json:"id"`
	Name         string            `json:"name"`
	Resource     string            `json:"resource"`
	Actions      []string          `json:"actions"`
	PartitionKey []json.RawMessage `json:"partitionKey,omitempty"`
	Role         string            `json:"role"`
	Identity     string            `json:"identity"`
	Policy       string            `json:"policy"`
	OnBehalfOf   []string          `json:"onBehalfOf,omitempty"`
	When         []string          `json:"when,omitempty"`
	Unless       []string          `json:"unless,omitempty"`
	Expires      time.Time         `json:"expires,omitzero"`
}

func (p *people) entry(i int, r policy.Resource, way *policy.Access) accessEntry {
	e := accessEntry{
		Kind: p.principals[i].Kind.String(), ID: p.principals[i].ID, Name: p.names[i], Resource: r.String(),
		Actions: way.Actions.Names(), Role: way.Role, Identity: way.Identity, Policy: way.Policy,
		OnBehalfOf: way.For, When: way.When, Unless: way.Unless, Expires: way.Expires,
	}
	for _, component := range way.PartitionKey {
		e.PartitionKey = append(e.PartitionKey, json.RawMessage(component))
	}
	return e
}

// cells are the columns of a table that tell what may be done, and under which conditions.
func (e *accessEntry) cells() (actions, key, conditions string) {
	key = "any"
	if len(e.PartitionKey) > 0 {
		parts := make([]string, len(e.PartitionKey))
		for i, part := range e.PartitionKey {
			parts[i] = string(part)
		}
		key = "[" + strings.Join(parts, ", ") + "]"
	}
	var all []string
	if len(e.OnBehalfOf) > 0 {
		all = append(all, "on behalf of "+strings.Join(e.OnBehalfOf, ", ")+", as far as they may")
	}
	for _, c := range e.When {
		all = append(all, "when "+oneLine(c))
	}
	for _, c := range e.Unless {
		all = append(all, "unless "+oneLine(c))
	}
	if !e.Expires.IsZero() {
		all = append(all, "until "+e.Expires.Format(time.RFC3339))
	}
	return strings.Join(e.Actions, " "), key, strings.Join(all, "; ")
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// peopleFlags are the flags of commands that ask about everybody.
type peopleFlags struct {
	people  string
	actions []string
}

func (f *peopleFlags) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.people, "people", "", "directory export, JSON lines; without it only declared applications and agents are looked at")
	cmd.Flags().StringSliceVar(&f.actions, "action", nil, "data action to look at (repeatable; default all but readMetadata, which goes with each)")
}

// resolve reads the people and actions that are asked about, and says on stderr whom it left out.
func (f *peopleFlags) resolve(cmd *cobra.Command, at time.Time, sets ...*policy.Set) (*people, policy.Actions, error) {
	actions := policy.AllActions &^ policy.ReadMetadata
	if len(f.actions) > 0 {
		var err error
		if actions, err = policy.ParseActions(f.actions...); err != nil {
			return nil, 0, fmt.Errorf("--action: %w", err)
		}
	}
	all, err := readPeople(f.people, at)
	if err != nil {
		return nil, 0, err
	}
	out := &printer{w: cmd.ErrOrStderr()}
	switch {
	case f.people == "":
		out.line("note: no --people FILE, so only declared applications and agents are looked at")
	case all.barred > 0:
		out.line("note: %d inactive or locked people left out: the gate lets none of them in", all.barred)
	}
	all.addApplications(sets...)
	all.addAgents(sets...)
	return all, actions, out.done()
}

var errContainer = errors.New("--resource is account/database/container, account/database or account")

func newPolicyWho() *cobra.Command {
	var source policySource
	var asked peopleFlags
	var resources []string
	var output string
	cmd := &cobra.Command{
		Use:   "who PATH... [--people FILE]",
		Short: "Say who can access a container, and why",
		Long: `Lists every person of a directory export and every declared application and agent that may act on a container, by which
role and binding, confined to which partition. What depends on the request is told, not decided: "when" is a condition
that must hold too, "unless" a guardrail that may deny, "until" the end of a binding, "on behalf of" whom an agent may
act for, and never further than they may themselves.

A resource may be a database or an account; without one, every container is listed that the policy tells apart, and
prod/shop/* stands for those that it does not name.`,
		Example: `  cosmosgate policy who policy/ --people people.jsonl --resource prod/shop/orders
  cosmosgate policy who policy/ --people people.jsonl --resource prod/shop --action items/delete -o csv`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, paths []string) error {
			at, err := source.now()
			if err != nil {
				return err
			}
			set, err := source.load(cmd, paths...)
			if err != nil {
				return err
			}
			cells, err := chosenCells(resources, set)
			if err != nil {
				return err
			}
			all, actions, err := asked.resolve(cmd, at, set)
			if err != nil {
				return err
			}
			return printAccess(cmd.OutOrStdout(), output, who(set, all, cells, actions, at))
		},
	}
	source.flags(cmd)
	source.timeFlag(cmd)
	asked.flags(cmd)
	cmd.Flags().StringSliceVar(&resources, "resource", nil, "account/database/container, account/database or account (repeatable)")
	outputFlag(cmd, &output, outputTable, outputJSON, outputCSV)
	return cmd
}

// chosenCells returns the containers that the flags ask about.
func chosenCells(resources []string, sets ...*policy.Set) ([]policy.Resource, error) {
	cells, err := policy.Cells(sets...)
	if err != nil {
		return nil, failed(err, "use * instead of long lists of containers")
	}
	if len(resources) == 0 {
		return cells, nil
	}
	var chosen []policy.Resource
	for _, text := range resources {
		r, err := policy.ParseResource(text)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errContainer, err)
		}
		chosen = append(chosen, policy.Within(cells, r)...)
	}
	return chosen, nil
}

func who(set *policy.Set, all *people, cells []policy.Resource, actions policy.Actions, at time.Time) []accessEntry {
	survey := policy.NewSurvey(set, all.principals, actions, at)
	entries := []accessEntry{}
	for _, r := range cells {
		container := survey.Container(r)
		for i := range all.principals {
			for _, way := range container(i) {
				entries = append(entries, all.entry(i, r, &way))
			}
		}
	}
	return entries
}

func printAccess(w io.Writer, output string, entries []accessEntry) error {
	if output == outputJSON {
		return printJSON(w, entries)
	}
	t := table{titles: []string{"RESOURCE", "KIND", "NAME", "ACTIONS", "PARTITION KEY", "ROLE", "BY", "CONDITIONS"}}
	if output == outputCSV {
		t.titles = append(t.titles, "ID", "IDENTITY")
	}
	for i := range entries {
		e := &entries[i]
		actions, key, conditions := e.cells()
		t.add(e.Resource, e.Kind, e.Name, actions, key, e.Role, e.Policy, conditions)
		if output == outputCSV {
			last := len(t.rows) - 1
			t.rows[last] = append(t.rows[last], e.ID, e.Identity)
		}
	}
	if output == outputCSV {
		return t.writeCSV(w)
	}
	return t.write(w)
}
