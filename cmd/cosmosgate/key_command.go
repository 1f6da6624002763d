package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cosmosgate/cosmosgate/identity"
)

func newKey() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Virtual keys, for clients that speak nothing but connection strings",
		Long: `Makes, rotates, revokes and lists account keys that this gate alone accepts. Policy declares the application
(kind: Application, virtualKeys: true) and binds it to roles as any other; a person or group of the directory owns each key, and the key
dies with its owner. The Cosmos DB account itself keeps its own keys disabled.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newKeyMint(), newKeyRotate(), newKeyRevoke(), newKeyList())
	return cmd
}

func newKeyMint() *cobra.Command {
	var o operator
	var order keyOrder
	ttl := span(identity.DefaultKeyLife)
	cmd := &cobra.Command{
		Use:   "mint APPLICATION",
		Short: "Make a key and show its connection string once",
		Long: `Makes a key for an application and prints a ready connection string for each account behind the gate, or the one that
--account names. The gate keeps the secret sealed and cannot show it again.`,
		Example: "  cosmosgate key mint legacy-erp --owner ann@corp.example --account prod\n" +
			"  cosmosgate key mint nightly-etl --owner-group data-platform --ttl 30d --network 10.20.0.0/16",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			order.Application, order.TTL = args[0], time.Duration(ttl)
			return makeKeyCommand(cmd, &o, actKeyMint, order)
		},
	}
	o.flags(cmd, outputTable, outputJSON)
	cmd.Flags().StringVar(&order.Owner.Person, "owner", "", "the person who answers for it: id, userName or externalId")
	cmd.Flags().StringVar(&order.Owner.Group, "owner-group", "", "the group that answers for it: id, displayName or externalId")
	cmd.Flags().StringVar(&order.Owner.Connection, "connection", "", "look for the owner in this SCIM connection only")
	cmd.Flags().Var(&ttl, "ttl", "how long it lives, such as 30d; at most 365d")
	cmd.Flags().StringArrayVar(&order.Networks, "network", nil, "accept it from this network only, such as 10.20.0.0/16 (may be repeated)")
	cmd.Flags().StringVar(&order.Account, "account", "", "print the connection string of this account only")
	cmd.MarkFlagsMutuallyExclusive("owner", "owner-group")
	cmd.MarkFlagsOneRequired("owner", "owner-group")
	return cmd
}

func newKeyRotate() *cobra.Command {
	const oneDay = lifetime(24 * time.Hour)
	var o operator
	var order keyOrder
	ttl, overlap := span(identity.DefaultKeyLife), oneDay
	cmd := &cobra.Command{
		Use:   "rotate ID",
		Short: "Make a key that replaces another",
		Long: `Makes a new key for the same application, owner and networks, and has the old one end after --overlap: put the new
connection string in place by then. "cosmosgate key ls" tells when each was last used.`,
		Example: "  cosmosgate key rotate mnxw2y3poi7dqmba --overlap 48h",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			order.ID, order.TTL, order.Overlap = args[0], time.Duration(ttl), time.Duration(overlap)
			return makeKeyCommand(cmd, &o, actKeyRotate, order)
		},
	}
	o.flags(cmd, outputTable, outputJSON)
	cmd.Flags().Var(&ttl, "ttl", "how long the new one lives, such as 30d; at most 365d")
	cmd.Flags().Var(&overlap, "overlap", "how long the old one still works; 0s ends it at once")
	cmd.Flags().StringVar(&order.Account, "account", "", "print the connection string of this account only")
	return cmd
}

// makeKeyCommand prints connection strings alone on standard output, and everything about the key beside.
func makeKeyCommand(cmd *cobra.Command, o *operator, act string, order keyOrder) error {
	e, err := ask[keyEntry](cmd.Context(), o, act, order)
	if err != nil {
		return err
	}
	if o.output == outputJSON {
		return printJSON(cmd.OutOrStdout(), e)
	}
	for _, account := range slices.Sorted(maps.Keys(e.Connections)) {
		if _, err := fmt.Fprintln(cmd.OutOrStdout(), e.Connections[account]); err != nil {
			return wrapOutput(err)
		}
	}
	return hint(cmd, fmt.Sprintf("this is shown once; key %s of %s works until %s, and is revoked with cosmosgate key revoke %s",
		e.ID, e.Application, when(e.Expires), e.ID))
}

func newKeyRevoke() *cobra.Command {
	var o operator
	cmd := &cobra.Command{
		Use:     "revoke ID",
		Short:   "End a key at once and for good",
		Long:    `Ends a key with the next request. To suspend it instead, use "cosmosgate lock --key ID".`,
		Example: "  cosmosgate key revoke mnxw2y3poi7dqmba",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := ask[keyEntry](cmd.Context(), &o, actKeyRevoke, args[0])
			if err != nil {
				return err
			}
			return showKeys(cmd, &o, e, []keyEntry{e})
		},
	}
	o.flags(cmd, outputTable, outputJSON)
	return cmd
}

func newKeyList() *cobra.Command {
	return listing(&cobra.Command{
		Use:   "ls",
		Short: "List the keys, dead ones too",
		Long: `Lists keys without their secrets. STATE is live, or says why a key opens nothing; a live key that ends soon is marked.
The last use is what this gate saw since it started.`,
		Example: "  cosmosgate key ls -o json",
	}, actKeys, func(cmd *cobra.Command, o *operator, all []keyEntry) error { return showKeys(cmd, o, all, all) })
}

func showKeys(cmd *cobra.Command, o *operator, v any, entries []keyEntry) error {
	if o.output == outputJSON {
		return printJSON(cmd.OutOrStdout(), v)
	}
	t := table{titles: []string{"ID", "APPLICATION", "OWNER", "FINGERPRINT", "CREATED", "EXPIRES", "LAST USED", "NETWORKS", "STATE"}}
	for i := range entries {
		e := &entries[i]
		state := e.State
		if e.EndsSoon {
			state += ", ends soon"
		}
		t.add(e.ID, e.Application, e.Owner, e.Fingerprint, when(e.Created), when(e.Expires), when(e.LastUsed), strings.Join(e.Networks, " "), state)
	}
	return t.write(cmd.OutOrStdout())
}
