package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/cosmosgate/cosmosgate/policy"
)

// checked is what policy check says.
type checked struct {
	Valid        bool         `json:"valid"`
	Hash         string       `json:"hash,omitempty"`
	Roles        []string     `json:"roles,omitempty"`
	Applications []string     `json:"applications,omitempty"`
	Agents       []string     `json:"agents,omitempty"`
	Faults       []placedText `json:"faults,omitempty"`
	Warnings     []placedText `json:"warnings,omitempty"`
}

// placedText is a fault or warning, as editors want it.
type placedText struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
	What   string `json:"what"`
}

func placedTexts(faults []policy.Fault) []placedText {
	out := make([]placedText, len(faults))
	for i, f := range faults {
		out[i] = placedText{f.Position.File, f.Position.Line, f.Position.Column, f.What}
	}
	return out
}

func newPolicyCheck() *cobra.Command {
	var source policySource
	var output string
	cmd := &cobra.Command{
		Use:   "check PATH...",
		Short: "Report every fault of a policy",
		Long: `Reads files and folders as the gate does and reports every fault at once as file:line:col. Warnings go to stderr.
With --config, identities, accounts and connections must be those of the configuration. Exit code 3: there are faults.`,
		Example: "  cosmosgate policy check policy/\n  cosmosgate policy check --config cosmosgate.yaml policy/ -o json",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, paths []string) error {
			if output == outputJSON {
				return source.checkAsJSON(cmd, paths)
			}
			set, err := source.load(cmd, paths...)
			if err != nil {
				return err
			}
			out := &printer{w: cmd.OutOrStdout()}
			out.line("valid: %d roles, %d applications, %d warnings, %s",
				len(set.Roles()), len(set.Applications()), len(set.Warnings()), set.Hash())
			return out.done()
		},
	}
	source.flags(cmd)
	outputFlag(cmd, &output, outputTable, outputJSON)
	return cmd
}

func (s *policySource) checkAsJSON(cmd *cobra.Command, paths []string) error {
	options, err := s.options()
	if err != nil {
		return err
	}
	set, err := policy.Load(paths, options)
	faults, isFaults := errors.AsType[policy.Faults](err)
	if err != nil && !isFaults {
		return badConfig(err, policyHint(err))
	}
	c := checked{
		Valid: err == nil, Hash: set.Hash(), Roles: set.Roles(),
		Faults: placedTexts(faults), Warnings: placedTexts(set.Warnings()),
	}
	for _, a := range set.Applications() {
		c.Applications = append(c.Applications, a.Name)
	}
	for _, a := range set.Agents() {
		c.Agents = append(c.Agents, a.Name)
	}
	if e := printJSON(cmd.OutOrStdout(), c); e != nil {
		return e
	}
	if err != nil {
		return badConfig(err, policyHint(err))
	}
	return nil
}
