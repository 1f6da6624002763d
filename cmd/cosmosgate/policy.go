package main

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"github.com/cosmosgate/cosmosgate/internal/config"
	"github.com/cosmosgate/cosmosgate/policy"
)

func newPolicy() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Check, test, explain and compare policies",
		Long: `Works on policy files and folders, without a gate and without a network. Exit codes: 0 fine, 1 a test failed or a
difference was found, 2 the command line was wrong, 3 the policy (or configuration) was.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newPolicyCheck(), newPolicyTest(), newPolicyExplain(), newPolicyWho(), newPolicyDiff(),
		newPolicyExport(), newPolicyReplay(), newPolicySchema(), newPolicyFormat(), newPolicyInit())
	return cmd
}

// policyHint says what to do about a policy that cannot be used.
func policyHint(err error) string {
	if errors.Is(err, fs.ErrNotExist) {
		return "name the policy's file or folder; cosmosgate policy init DIR writes one to begin with"
	}
	return "docs/policy.md explains every key"
}

// policySource is which policy a command reads, and what it may refer to.
type policySource struct {
	config string
	at     string
}

// flags adds --config: without it, identities, accounts and connections are not checked.
func (s *policySource) flags(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&s.config, "config", "c", "", "configuration file: also check identities, accounts and connections against it")
}

// timeFlag adds --at.
func (s *policySource) timeFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.at, "at", "", "decide as at this time, such as 2026-11-24 or 2026-11-24T08:00:00Z (default now)")
}

var errTime = errors.New("--at must be a date such as 2026-11-24 or a time such as 2026-11-24T08:00:00Z")

// now is the time of --at, else the clock's.
func (s *policySource) now() (time.Time, error) {
	if s.at == "" {
		return time.Now(), nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, s.at); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%w, not %q", errTime, s.at)
}

// options say what the policy may refer to.
func (s *policySource) options() (policy.Options, error) {
	if s.config == "" {
		return policy.Options{Now: time.Now()}, nil
	}
	cfg, err := config.Load(s.config)
	if err != nil {
		return policy.Options{}, badConfig(err, configHint(err))
	}
	return policyOptions(&cfg), nil
}

// load reads the policy, and writes its warnings to stderr.
func (s *policySource) load(cmd *cobra.Command, paths ...string) (*policy.Set, error) {
	options, err := s.options()
	if err != nil {
		return nil, err
	}
	set, err := policy.Load(paths, options)
	if err != nil {
		return nil, badConfig(err, policyHint(err))
	}
	out := &printer{w: cmd.ErrOrStderr()}
	for _, w := range set.Warnings() {
		out.line("warning: %s", w.Error())
	}
	return set, out.done()
}
