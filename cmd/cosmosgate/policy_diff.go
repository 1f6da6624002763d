package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/cosmosgate/cosmosgate/policy"
)

var errDifferent = errors.New("the policies differ")

// comparison is two policies and who is asked about.
type comparison struct {
	before, after *policy.Set
	all           *people
	cells         []policy.Resource
	actions       policy.Actions
	at            time.Time
}

func newPolicyDiff() *cobra.Command {
	var source policySource
	var asked peopleFlags
	var resources []string
	var output string
	cmd := &cobra.Command{
		Use:   "diff OLD NEW [--people FILE]",
		Short: "Say who gains and who loses access between two policies",
		Long: `Compares what two policies (files or folders) let every person of a directory export and every declared application
and agent do, container by container and action by action. A partition key says to which partition the gain or loss is confined:
who read everything and now reads one partition loses "any" and gains nothing.

Roles, identities and obligations are not compared, only what is possible. Exit code 1: there are differences.`,
		Example: "  cosmosgate policy diff policy/ candidate/ --people people.jsonl\n" +
			"  cosmosgate policy diff policy/ candidate/ --people people.jsonl --resource prod/shop/orders -o json",
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, paths []string) error {
			var c comparison
			var err error
			if c.at, err = source.now(); err != nil {
				return err
			}
			if c.before, err = source.load(cmd, paths[0]); err != nil {
				return err
			}
			if c.after, err = source.load(cmd, paths[1]); err != nil {
				return err
			}
			if c.cells, err = chosenCells(resources, c.before, c.after); err != nil {
				return err
			}
			if c.all, c.actions, err = asked.resolve(cmd, c.at, c.before, c.after); err != nil {
				return err
			}
			return reportChanges(cmd.OutOrStdout(), output, c.changes())
		},
	}
	source.flags(cmd)
	source.timeFlag(cmd)
	asked.flags(cmd)
	cmd.Flags().StringSliceVar(&resources, "resource", nil, "account/database/container, account/database or account (repeatable)")
	outputFlag(cmd, &output, outputTable, outputJSON)
	return cmd
}

func (c *comparison) changes() []accessEntry {
	entries := []accessEntry{}
	before := policy.NewSurvey(c.before, c.all.as(c.before), c.actions, c.at)
	after := policy.NewSurvey(c.after, c.all.as(c.after), c.actions, c.at)
	for _, r := range c.cells {
		had, has := before.Container(r), after.Container(r)
		for i := range c.all.principals {
			old, now := had(i), has(i)
			entries = c.all.report(entries, "gains", i, r, policy.Without(now, old))
			entries = c.all.report(entries, "loses", i, r, policy.Without(old, now))
		}
	}
	return entries
}

// as returns the principals as a policy knows them: the attributes of an application are those it declares, and one that it does not
// declare is nobody to it.
func (p *people) as(set *policy.Set) []policy.Principal {
	declared := map[string]policy.Application{}
	for _, a := range set.Applications() {
		declared[a.Name] = a
	}
	principals := slices.Clone(p.principals)
	for i := range principals {
		if q := &principals[i]; q.Kind == policy.KindApplication {
			q.Attributes = declared[q.ID].Attributes
		}
	}
	return principals
}

// report adds changes of one principal; ways that differ only in how they come about are one change.
func (p *people) report(entries []accessEntry, change string, i int, r policy.Resource, ways []policy.Access) []accessEntry {
	for n, way := range ways {
		same := func(other policy.Access) bool {
			return slices.Equal(way.PartitionKey, other.PartitionKey) && slices.Equal(way.For, other.For) && slices.Equal(way.When, other.When) &&
				slices.Equal(way.Unless, other.Unless) && way.Expires.Equal(other.Expires)
		}
		if slices.ContainsFunc(ways[:n], same) {
			continue
		}
		for _, other := range ways[n+1:] {
			if same(other) {
				way.Actions |= other.Actions
			}
		}
		e := p.entry(i, r, &way)
		e.Change = change
		entries = append(entries, e)
	}
	return entries
}

func reportChanges(w io.Writer, output string, entries []accessEntry) error {
	var err error
	if output == outputJSON {
		err = printJSON(w, entries)
	} else {
		t := table{titles: []string{"CHANGE", "RESOURCE", "KIND", "NAME", "ACTIONS", "PARTITION KEY", "BY", "CONDITIONS"}}
		for i := range entries {
			e := &entries[i]
			actions, key, conditions := e.cells()
			t.add(e.Change, e.Resource, e.Kind, e.Name, actions, key, e.Policy, conditions)
		}
		if len(entries) > 0 {
			err = t.write(w)
		}
	}
	if err == nil && len(entries) > 0 {
		err = failed(fmt.Errorf("%w: %d gains and losses", errDifferent, len(entries)), "")
	}
	return err
}
