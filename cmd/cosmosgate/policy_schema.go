package main

import (
	"github.com/spf13/cobra"

	"github.com/cosmosgate/cosmosgate/policy"
)

func newPolicySchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of policy files, for editors",
		Long: `Prints a JSON Schema (draft 7) of one policy document. Editors with the YAML language server use it after a first line of

  # yaml-language-server: $schema=policy.schema.json`,
		Example: "  cosmosgate policy schema > policy.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(policy.JSONSchema())
			return wrapOutput(err)
		},
	}
}
