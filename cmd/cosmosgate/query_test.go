package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/credential"
)

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
