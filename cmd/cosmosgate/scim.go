package main

import "github.com/spf13/cobra"

func newSCIM() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "scim",
		Short: "Connections to identity providers: tokens and health",
		Long: `Looks after the connections over which identity providers push people and groups, in the running gate. Connections
are named in the configuration file; docs/operations.md tells how to connect Entra ID, Okta and others.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newSCIMStatus(), newSCIMToken())
	return cmd
}
