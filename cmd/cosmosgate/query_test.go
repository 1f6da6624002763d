package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/credential"
	"github.com/cosmosgate/cosmosgate/internal/terminal"
)

// interrupted is a pager whose reader presses Ctrl-C after some pages.
type interrupted int

func (*interrupted) More() bool { return true }

func (i *interrupted) NextPage(context.Context) (azcosmos.QueryItemsResponse, error) {
	if *i == 0 {
		return azcosmos.QueryItemsResponse{}, context.Canceled
	}
	*i--
	return azcosmos.QueryItemsResponse{Items: [][]byte{[]byte(`{"id":"1"}`)}, Response: azcosmos.Response{RequestCharge: 2}}, nil
}

func TestAnExportThatBreaksOffSaysWhatItCostAndThatItIsNotWhole(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name     string
		pages    interrupted
		out, err string
	}{
		{"after two pages", 2, "{\"id\":\"1\"}\n{\"id\":\"1\"}\n", "2 items in 2 pages, 4.00 RU, "},
		{"before the first", 0, "", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr strings.Builder
			out, err := terminal.NewDocuments(&stdout, terminal.Options{Format: terminal.Lines})
			if err != nil {
				t.Fatal(err)
			}
			f := fetched{progress: terminal.NewProgress(&stderr, time.Now), began: time.Now()}
			if err := f.pages(t.Context(), &row.pages, 0, out); !errors.Is(err, context.Canceled) {
				t.Errorf("ended with %v", err)
			}
			f.broken(&stderr, out)
			if diff := cmp.Diff(row.out, stdout.String()); diff != "" {
				t.Errorf("documents (-want +got):\n%s", diff)
			}
			said := stderr.String()
			if !strings.HasPrefix(said, row.err) || strings.HasSuffix(said, "; there is more: the output is not whole\n") != (row.err != "") {
				t.Errorf("said %q, want %q…", said, row.err)
			}
		})
	}
}

func TestKeysAreShownAsTheyAreTyped(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		`"emea"`: "emea", `5`: "5", `"5"`: `'"5"'`, `true`: "true", `"true"`: `'"true"'`, `null`: "null", `"two words"`: `'"two words"'`, `""`: `'""'`,
		`"$HOME"`: `'"$HOME"'`,
	} {
		if diff := cmp.Diff(want, keyFlag(value)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", value, diff)
		}
	}
}

func TestAccessIsThatOfTheMostExactEntries(t *testing.T) {
	t.Parallel()
	access := []credential.Reach{
		{Account: "*", Database: "*", Container: "*", Role: "everything"},
		{Account: "prod", Database: "shop", Container: "*", Role: "shop"},
		{Account: "prod", Database: "shop", Container: "orders", Role: "orders"},
		{Account: "prod", Database: "shop", Container: "orders", Role: "also orders"},
		{Account: "test", Database: "shop", Container: "orders", Role: "elsewhere"},
	}
	for _, row := range []struct {
		account, database, container string
		want                         []string
	}{
		{"prod", "shop", "orders", []string{"orders", "also orders"}},
		{"prod", "shop", "carts", []string{"shop"}},
		{"prod", "hr", "people", []string{"everything"}},
	} {
		var got []string
		for _, r := range reachable(access, row.account, row.database, row.container) {
			got = append(got, r.Role)
		}
		if diff := cmp.Diff(row.want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", row, diff)
		}
	}
}
