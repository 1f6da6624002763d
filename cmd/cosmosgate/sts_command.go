package main

import (
	"github.com/spf13/cobra"
)

func newSTS() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sts",
		Short: "The token service's signing keys",
		Long: `Lists and rotates the keys that sign the tokens by which agents act for people. A key signs for 30 days
(token_service.rotate_every), is published a day before, and 17 minutes after.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newSTSKeys(), newSTSRotate())
	return cmd
}

func newSTSKeys() *cobra.Command {
	return listing(&cobra.Command{
		Use:     "keys",
		Short:   "List the signing keys",
		Long:    "Lists the key that signs, the next one, and the last one for as long as tokens of it live.",
		Example: "  cosmosgate sts keys\n  cosmosgate sts keys -o json",
	}, actSTSKeys, showSTSKeys)
}

func newSTSRotate() *cobra.Command {
	var o operator
	var order stsRotation
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Have the next key sign early, or end one that others know",
		Long: `Without --compromised, the next key signs as soon as it has been published for a day; nothing is interrupted.

With --compromised, a key is taken away: nothing that it signed is accepted from the next request on, at every gate of the directory, and the
next key signs at once. Agents ask for new tokens; resources other than this gate that remember the key set may refuse them until they read
it again.`,
		Example: "  cosmosgate sts rotate\n  cosmosgate sts rotate --compromised VuX2…",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			keys, err := ask[[]stsKey](cmd.Context(), &o, actSTSRotate, order)
			if err != nil {
				return err
			}
			return showSTSKeys(cmd, &o, keys)
		},
	}
	o.flags(cmd, outputTable, outputJSON)
	cmd.Flags().StringVar(&order.Compromised, "compromised", "", "id (kid) of a key that has become known to others")
	return cmd
}

func showSTSKeys(cmd *cobra.Command, o *operator, keys []stsKey) error {
	if o.output == outputJSON {
		return printJSON(cmd.OutOrStdout(), keys)
	}
	t := table{titles: []string{"KID", "STATE", "MADE", "SIGNS FROM", "PUBLISHED UNTIL"}}
	for _, k := range keys {
		t.add(k.ID, k.State, when(k.Created), when(k.Signs), when(k.Retires))
	}
	return t.write(cmd.OutOrStdout())
}
