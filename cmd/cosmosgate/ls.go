package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"github.com/spf13/cobra"

	"github.com/cosmosgate/cosmosgate/credential"
	"github.com/cosmosgate/cosmosgate/internal/terminal"
)

// place is one container.
type place struct {
	Database     string   `json:"database"`
	Container    string   `json:"container,omitempty"`
	PartitionKey []string `json:"partition_key,omitempty"`
}

func newLs() *cobra.Command {
	var e engineer
	var account, output string
	cmd := &cobra.Command{
		Use:   "ls [DATABASE]",
		Short: "List the databases and containers that you may see",
		Long: `Lists databases and their containers with their partition keys, as the gate shows them to you: what you may not reach is
not there.`,
		Example: "  cosmosgate ls\n  cosmosgate ls shop -o json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			c, err := e.signedIn(ctx)
			if err != nil {
				return err
			}
			client, err := e.cosmosClient(ctx, c, account)
			if err != nil {
				return err
			}
			databases := args
			if len(databases) == 0 {
				if databases, err = databasesFor(ctx, c, client); err != nil {
					return err
				}
			}
			places, err := listContainers(ctx, client, databases)
			if err != nil {
				return refusedList(ctx, c, err)
			}
			return printPlaces(cmd, output, places)
		},
	}
	e.flags(cmd)
	cmd.Flags().StringVar(&account, "account", "", "account of the gate, if it has several")
	outputFlag(cmd, &output, outputTable, outputJSON, string(terminal.Lines), outputCSV)
	return cmd
}

// databasesFor lists the databases that the gate shows, or, if the role's identity may not list those of the account, those that the
// engineer's roles name.
func databasesFor(ctx context.Context, c *credential.Credential, client *azcosmos.Client) ([]string, error) {
	names, err := listDatabases(ctx, client)
	answer, ok := errors.AsType[*azcore.ResponseError](err)
	if err == nil || !ok || answer.StatusCode != http.StatusForbidden && answer.StatusCode != http.StatusServiceUnavailable {
		return names, refusedList(ctx, c, err)
	}
	who, whoErr := c.WhoAmI(ctx)
	if whoErr != nil || notLetIn(who) != nil {
		return nil, withHint(shortened(err))
	}
	for i := range who.Access {
		if name := who.Access[i].Database; name != "*" && name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, withHint(shortened(err))
	}
	return names, nil
}

// refusedList explains an answer that is no list. It may be none.
func refusedList(ctx context.Context, c *credential.Credential, err error) error {
	short := withHint(shortened(err))
	answer, ok := errors.AsType[*azcore.ResponseError](err)
	var known *failure
	if ok && answer.StatusCode == http.StatusUnauthorized && errors.As(short, &known) {
		return whyNot(ctx, c, known)
	}
	return short
}

func listDatabases(ctx context.Context, client *azcosmos.Client) ([]string, error) {
	var names []string
	for pages := client.NewQueryDatabasesPager("SELECT * FROM c", nil); pages.More(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err //nolint:wrapcheck // explained by the caller
		}
		for i := range page.Databases {
			names = append(names, page.Databases[i].ID)
		}
	}
	return names, nil
}

func listContainers(ctx context.Context, client *azcosmos.Client, databases []string) ([]place, error) {
	places := []place{}
	for _, name := range databases {
		database, err := client.NewDatabase(name)
		if err != nil {
			return nil, err //nolint:wrapcheck // explained by the caller
		}
		before := len(places)
		for pages := database.NewQueryContainersPager("SELECT * FROM c", nil); pages.More(); {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, err //nolint:wrapcheck // explained by the caller
			}
			for i := range page.Containers {
				places = append(places, place{name, page.Containers[i].ID, page.Containers[i].PartitionKeyDefinition.Paths})
			}
		}
		if len(places) == before {
			places = append(places, place{Database: name})
		}
	}
	return places, nil
}

func printPlaces(cmd *cobra.Command, output string, places []place) error {
	if len(places) == 0 {
		_, err := fmt.Fprintln(cmd.ErrOrStderr(), "nothing is shown to you\nhint: run cosmosgate whoami to see what you may reach")
		if err != nil {
			return wrapOutput(err)
		}
	}
	key := "partition_key"
	if output == outputTable {
		key = "partition key"
	}
	d, err := terminal.NewDocuments(cmd.OutOrStdout(), terminal.Options{
		Format: terminal.Format(output), Columns: []string{"database", "container", key},
	})
	if err != nil {
		return failed(err, "")
	}
	for i := range places {
		var shown any = &places[i]
		if output == outputTable || output == outputCSV {
			shown = map[string]string{
				"database": places[i].Database, "container": places[i].Container, key: strings.Join(places[i].PartitionKey, ", "),
			}
		}
		text, err := json.Marshal(shown)
		if err != nil {
			return failed(err, "")
		}
		if err := d.Add([][]byte{text}); err != nil {
			return failed(err, "")
		}
	}
	return failedOutput(d.Close())
}
