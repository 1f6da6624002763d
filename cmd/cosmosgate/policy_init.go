package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cosmosgate/cosmosgate/policy"
)

var (
	errNotEmptyFolder = errors.New("the folder is not empty")
	errGroupFlag      = errors.New("--group must be ROLE=GROUP")
	errClaimFlag      = errors.New("--claim and --agent-claim must be NAME=VALUE, and --claim goes with --issuer")
)

func newPolicyInit() *cobra.Command {
	var s policy.Starter
	var groups []string
	var claim, agentClaim string
	cmd := &cobra.Command{
		Use:   "init DIR",
		Short: "Write a commented policy to begin with",
		Long: `Writes roles for analysts, developers, operators and agents of a database "shop", a guardrail for agents, and tests that the
policy passes. The roles use the upstream identities reader, writer and operator. A folder that holds anything is refused.`,
		Example: `  cosmosgate policy init policy/ --account prod
  cosmosgate policy init policy/ --account prod --group orders-reader=0192f0c1-2345-7abc-8def-0123456789ab \
      --issuer corp --claim azp=6f1cbb0e-0a8f-4a53-9d4c-0d6f2f3c9a10`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s.Groups = map[string]string{}
			for _, g := range groups {
				role, group, ok := strings.Cut(g, "=")
				if !ok || group == "" {
					return fmt.Errorf("%w, not %q", errGroupFlag, g)
				}
				s.Groups[role] = group
			}
			s.Agent.Issuer = cmp.Or(s.Checkout.Issuer, "corp")
			name, value, ok := strings.Cut(agentClaim, "=")
			if !ok || name == "" || value == "" {
				return errClaimFlag
			}
			s.Agent.Claims = map[string]string{name: value}
			if name, value, ok := strings.Cut(claim, "="); ok {
				s.Checkout.Claims = map[string]string{name: value}
			}
			if (claim != "" || s.Checkout.Issuer != "") && (len(s.Checkout.Claims) == 0 || s.Checkout.Issuer == "") {
				return errClaimFlag
			}
			return writeStarter(cmd, args[0], s)
		},
	}
	cmd.Flags().StringVar(&s.Account, "account", "prod", "account of the configuration that the policy is about")
	cmd.Flags().StringArrayVar(&groups, "group", nil, "group that gets a role, as ROLE=GROUP with a directory id or external id (repeatable)")
	cmd.Flags().StringVar(&s.Checkout.Issuer, "issuer", "", "issuer of the tokens of an example application, and of the agent's (default corp)")
	cmd.Flags().StringVar(&agentClaim, "agent-claim", "azp=orders-agent", "claim that makes a token that of the example agent, as NAME=VALUE")
	cmd.Flags().StringVar(&claim, "claim", "", "claim that makes a token that application's, as NAME=VALUE")
	return cmd
}

func writeStarter(cmd *cobra.Command, folder string, s policy.Starter) error {
	files, err := s.Files()
	if err != nil {
		return fmt.Errorf("--account, --issuer or --claim: %w", err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return failed(fmt.Errorf("reading the folder: %w", err), "")
	}
	if len(entries) > 0 {
		return failed(fmt.Errorf("%w: %s", errNotEmptyFolder, folder), "name a new folder; nothing was written")
	}
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return failed(fmt.Errorf("making the folder: %w", err), "")
	}
	out := &printer{w: cmd.OutOrStdout()}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, files[name], 0o600); err != nil {
			return failed(fmt.Errorf("writing the policy: %w", err), "")
		}
		out.line("wrote %s", path)
	}
	out.line("next: edit it, then cosmosgate policy test %s", folder)
	return out.done()
}
