package policy_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/cosmosgate/cosmosgate/policy"
)

var update = flag.Bool("update", false, "write what the policy says into testdata")

// strict are options that check everything.
func strict() policy.Options {
	return policy.Options{
		Identities:  []string{"mi-ro", "mi-rw"},
		Accounts:    []string{"prod"},
		Connections: []string{"corp", "partner"},
		Now:         noon(),
	}
}

// TestEveryFaultIsReportedWithItsPlace loads the .yaml files of each archive
// and compares faults and warnings with the sections of those names.
func TestEveryFaultIsReportedWithItsPlace(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("testdata/faults/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatal("no archives", err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			var sources []policy.Source
			want := map[string]string{}
			for _, f := range archive.Files {
				if isPolicy(f.Name) {
					sources = append(sources, policy.Source{Name: f.Name, Text: f.Data})
				} else {
					want[f.Name] = string(f.Data)
				}
			}
			set, err := policy.ParseAll(sources, strict())
			got := map[string]string{}
			if faults, ok := errors.AsType[policy.Faults](err); ok {
				got["faults"] = faults.Error() + "\n"
			} else if err != nil {
				t.Fatal(err)
			}
			var warnings strings.Builder
			for _, w := range set.Warnings() {
				fmt.Fprintln(&warnings, w)
			}
			if warnings.Len() > 0 {
				got["warnings"] = warnings.String()
			}
			if *update {
				rewrite(t, name, archive, got)
				return
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("faults and warnings (-want +got):\n%s", diff)
			}
		})
	}
}

func isPolicy(name string) bool {
	return filepath.Ext(name) == ".yaml" || filepath.Ext(name) == ".cedar"
}

// rewrite replaces every section that is not a policy with what was found.
func rewrite(t *testing.T, name string, archive *txtar.Archive, found map[string]string) {
	t.Helper()
	var files []txtar.File
	for _, f := range archive.Files {
		if isPolicy(f.Name) {
			files = append(files, f)
		}
	}
	for _, section := range []string{"faults", "warnings"} {
		if text := found[section]; text != "" {
			files = append(files, txtar.File{Name: section, Data: []byte(text)})
		}
	}
	archive.Files = files
	if err := os.WriteFile(name, txtar.Format(archive), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestPoliciesDecideAsTheirTestsSay loads each archive and runs its PolicyTest
// documents; every case must pass.
func TestPoliciesDecideAsTheirTestsSay(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("testdata/decide/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatal("no archives", err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			var sources []policy.Source
			for _, f := range archive.Files {
				sources = append(sources, policy.Source{Name: f.Name, Text: f.Data})
			}
			set, err := policy.ParseAll(sources, policy.Options{})
			if err != nil {
				t.Fatal(err)
			}
			results := set.Test(noon())
			if len(results) == 0 {
				t.Error("the archive has no PolicyTest")
			}
			for _, r := range results {
				if !r.Passed {
					t.Errorf("%s: %s", r.Position, r.Failure)
				}
			}
		})
	}
}

func TestAPartOfAResourceMayBeAsLongAsTheServiceAllows(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("c", 255)
	set := load(t, "{kind: Role, name: r, identity: mi, rules: [{dataActions: [items/read], resources: [prod/shop/"+long+"]}]}\n")
	if len(set.Roles()) != 1 {
		t.Error("the role is not there")
	}
}
