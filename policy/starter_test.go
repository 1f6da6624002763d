package policy_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/policy"
)

// noon is when tests happen that do not care.
func noon() time.Time { return time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC) }

func TestStarterPolicyLoadsWithoutWarningsAndPassesItsOwnTests(t *testing.T) {
	t.Parallel()
	cases := map[string]policy.Starter{
		"with nothing but an account": {Account: "prod"},
		"with group ids": {Account: "dev", Groups: map[string]string{
			"orders-reader": "0192f0c1-2345-7abc-8def-0123456789ab",
			"shop-writer":   `a "quoted" \ group`,
		}},
		"with an application": {Account: "dev", Checkout: policy.Application{
			Issuer: "corp", Claims: map[string]string{"azp": "6f1c"},
		}},
		"with an agent": {Account: "dev", Agent: policy.Agent{
			Issuer: "corp", Claims: map[string]string{"azp": "6f1d"},
		}},
	}
	for name, starter := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files, err := starter.Files()
			if err != nil {
				t.Fatal(err)
			}
			var sources []policy.Source
			for name, text := range files {
				sources = append(sources, policy.Source{Name: name, Text: text})
			}
			set, err := policy.ParseAll(sources, policy.Options{
				Identities: []string{"reader", "writer", "operator"}, Accounts: []string{starter.Account}, Now: noon(),
			})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]policy.Fault(nil), set.Warnings()); diff != "" {
				t.Error("warnings (-want +got):", diff)
			}
			results := set.Test(noon())
			if len(results) == 0 {
				t.Error("want tests, got none")
			}
			for _, r := range results {
				if !r.Passed {
					t.Errorf("%s: %s case %d: %s", r.Position, r.Test, r.Case, r.Failure)
				}
			}
		})
	}
}

func TestStarterPolicyRefusesWhatItCannotFillIn(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		starter policy.Starter
		want    string
	}{
		"no account":           {policy.Starter{}, "the account of a starter policy: a part is empty (write * for every name)"},
		"an issuer, no claims": {policy.Starter{Account: "dev", Checkout: policy.Application{Issuer: "corp"}}, "the application and the agent of a starter policy need exactly one claim"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := c.starter.Files()
			if diff := cmp.Diff(c.want, errorText(err)); diff != "" {
				t.Error("error (-want +got):", diff)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
