package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cosmosgate/cosmosgate/policy"
)

// replayed is what policy replay says.
type replayed struct {
	Records   int            `json:"records"`
	Same      int            `json:"same"`
	Allowed   int            `json:"newlyAllowed"`
	Denied    int            `json:"newlyDenied"`
	Uncertain int            `json:"uncertain"`
	Skipped   map[string]int `json:"notReplayable"`
	// Differences are grouped: one entry for all requests that are alike.
	Differences []difference `json:"differences"`
}

// difference is a group of requests that the candidate would decide otherwise, or about which the records say too little.
type difference struct {
	Outcome  string `json:"outcome"`
	Who      string `json:"who"`
	Resource string `json:"resource"`
	Actions  string `json:"actions"`
	Recorded string `json:"recorded"`
	Reason   string `json:"candidate"`
	Count    int    `json:"count"`
	// First is the decision id of the first such record, to find it by.
	First string `json:"first"`
}

const (
	newlyAllowed = "newly allowed"
	newlyDenied  = "newly denied"
	uncertain    = "uncertain"
)

// replayFlags are the flags of policy replay.
type replayFlags struct {
	candidate, people, hashKey string
	audits                     []string
}

var errReplay = errors.New("the candidate decides otherwise")

func newPolicyReplay() *cobra.Command {
	var source policySource
	var f replayFlags
	var output string
	cmd := &cobra.Command{
		Use:   "replay --audit FILE --candidate DIR",
		Short: "Say what recorded traffic would have got under another policy",
		Long: `Decides every request of an audit file under a candidate policy and reports those that come out otherwise.

What cannot be known is said, not guessed. Records hold hashes of partition keys: a hash tells whether a request carried
exactly the key that the policy names, not whether it carried a longer one under it or another one; such requests are
"uncertain". Under hashes that are keyed (audit.hash_key), give the key with --hash-key, or all of them are. Records do
not hold groups and attributes: those of --people are used, as they are now. Nor do they hold the sign-in's strength and
the role asked for. Requests that the policy had no say in (no valid credential, a malformed request, the account
document) are counted and left out.

Exit code 1: some requests are newly allowed or newly denied.`,
		Example: "  cosmosgate policy replay --audit audit.jsonl --candidate candidate/ --people people.jsonl\n" +
			"  cosmosgate policy replay --audit audit.jsonl --candidate candidate/ --people people.jsonl --hash-key key.txt -o json",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			set, err := source.load(cmd, f.candidate)
			if err != nil {
				return err
			}
			r, err := newReplay(set, &f)
			if err != nil {
				return err
			}
			for _, name := range f.audits {
				if err := r.file(name); err != nil {
					return failed(err, "")
				}
			}
			return r.report(cmd.OutOrStdout(), output)
		},
	}
	source.flags(cmd)
	cmd.Flags().StringSliceVar(&f.audits, "audit", nil, "audit file (repeatable)")
	cmd.Flags().StringVar(&f.candidate, "candidate", "", "policy file or folder to decide by")
	cmd.Flags().StringVar(&f.people, "people", "", "directory export with the people of the records")
	cmd.Flags().StringVar(&f.hashKey, "hash-key", "", "file with audit.hash_key, if the hashes are keyed")
	for _, name := range []string{"audit", "candidate"} {
		_ = cmd.MarkFlagRequired(name) // fails for unknown flags only
	}
	outputFlag(cmd, &output, outputTable, outputJSON)
	return cmd
}

// newReplay prepares the decisions.
func newReplay(set *policy.Set, f *replayFlags) (*replay, error) {
	all, err := readPeople(f.people, time.Now())
	if err != nil {
		return nil, err
	}
	all.addApplications(set)
	all.addAgents(set)
	r := &replay{engine: policy.NewEngine(set), people: all, total: newTally()}
	if f.hashKey != "" {
		if r.key, err = readHashKey(f.hashKey); err != nil {
			return nil, failed(err, "")
		}
	}
	return r, nil
}

func (r *replay) report(w io.Writer, output string) error {
	t := r.total
	result := replayed{
		Records: t.records, Same: t.same, Allowed: t.outcomes[newlyAllowed], Denied: t.outcomes[newlyDenied],
		Uncertain: t.outcomes[uncertain], Skipped: t.skipped, Differences: []difference{},
	}
	for key, group := range t.differences {
		d := key
		d.Count, d.First = group.count, group.first
		result.Differences = append(result.Differences, d)
	}
	slices.SortFunc(result.Differences, func(a, b difference) int {
		return cmp.Or(
			strings.Compare(a.Outcome, b.Outcome), cmp.Compare(b.Count, a.Count), strings.Compare(a.Who, b.Who),
			strings.Compare(a.Resource, b.Resource), strings.Compare(a.Actions, b.Actions), strings.Compare(a.Reason, b.Reason),
		)
	})
	var err error
	if output == outputJSON {
		err = printJSON(w, result)
	} else {
		err = result.print(w)
	}
	if n := result.Allowed + result.Denied; err == nil && n > 0 {
		err = failed(fmt.Errorf("%w: %d of %d requests", errReplay, n, result.Records), "")
	}
	return err
}

func (r *replayed) print(w io.Writer) error {
	out := &printer{w: w}
	out.line("%d records: %d the same, %d newly allowed, %d newly denied, %d uncertain", r.Records, r.Same, r.Allowed, r.Denied, r.Uncertain)
	reasons := make([]string, 0, len(r.Skipped))
	for reason := range r.Skipped {
		reasons = append(reasons, reason)
	}
	slices.Sort(reasons)
	for _, reason := range reasons {
		out.line("not replayed: %d, %s", r.Skipped[reason], reason)
	}
	if err := out.done(); err != nil || len(r.Differences) == 0 {
		return err
	}
	out.line("")
	t := table{titles: []string{"OUTCOME", "COUNT", "WHO", "RESOURCE", "ACTIONS", "RECORDED", "CANDIDATE", "FIRST DECISION"}}
	for _, d := range r.Differences {
		t.add(d.Outcome, strconv.Itoa(d.Count), d.Who, d.Resource, d.Actions, d.Recorded, d.Reason, d.First)
	}
	return t.write(w)
}
