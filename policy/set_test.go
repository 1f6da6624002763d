package policy_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/policy"
)

func TestHashDependsOnTextAlone(t *testing.T) {
	t.Parallel()
	a := policy.Source{Name: "a.yaml", Text: []byte(readers)}
	b := policy.Source{Name: "b.yaml", Text: []byte("{kind: Role, name: x, identity: y, rules: [{dataActions: [items/read], resources: [a/b/c]}]}")}
	hash := func(sources ...policy.Source) string {
		set, err := policy.ParseAll(sources, policy.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return set.Hash()
	}
	renamed := policy.Source{Name: "z.yaml", Text: a.Text}
	if hash(a, b) != hash(b, renamed) {
		t.Error("want the same hash for the same texts")
	}
	if hash(a, b) == hash(a) {
		t.Error("want another hash for another text")
	}
	if !strings.HasPrefix(hash(), "sha256:") {
		t.Error("want the hash to name its algorithm, got", hash())
	}
}

func TestSetListsRolesAndApplications(t *testing.T) {
	t.Parallel()
	set := load(t, readers+`
---
{kind: Role, name: auditor, identity: y, rules: [{dataActions: [items/read], resources: [a/b/c]}]}
---
{kind: Application, name: batch, match: {issuer: corp, claims: {azp: b}}, attributes: {department: apac}}
`)
	if diff := cmp.Diff([]string{"auditor", "reader"}, set.Roles()); diff != "" {
		t.Error("roles (-want +got):", diff)
	}
	want := []policy.Application{
		{Name: "batch", Issuer: "corp", Claims: map[string]string{"azp": "b"}, Attributes: map[string]string{"department": "apac"}},
		{Name: "checkout", Issuer: "corp", Claims: map[string]string{"azp": "a"}},
	}
	if diff := cmp.Diff(want, set.Applications()); diff != "" {
		t.Error("applications (-want +got):", diff)
	}
}

func TestLoadReadsFilesAndFolders(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	role := func(name string) string {
		return "{kind: Role, name: " + name + ", identity: y, rules: [{dataActions: [items/read], resources: [a/b/c]}]}"
	}
	write("policy/one.yaml", role("one"))
	write("policy/deeper/two.yml", role("two"))
	write("policy/README.md", "not a policy")
	write("policy/.hidden.yaml", role("hidden"))
	write("policy/..data/three.yaml", role("three"))
	alone := write("alone.policy", role("four"))
	// As Kubernetes mounts a config map.
	if err := os.Symlink("..data/three.yaml", filepath.Join(folder, "policy/linked.yaml")); err != nil {
		t.Fatal(err)
	}
	set, err := policy.Load([]string{filepath.Join(folder, "policy"), alone}, policy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"four", "one", "three", "two"}, set.Roles()); diff != "" {
		t.Error("roles (-want +got):", diff)
	}

	cedar := write("policy/raw.cedar", "forbid(principal, action, resource);")
	_, err = policy.Load([]string{filepath.Join(folder, "policy")}, policy.Options{})
	want := policy.Faults{
		{Position: policy.Position{File: cedar, Line: 1, Column: 1}, What: `a forbid needs @id("…")`},
		{Position: policy.Position{File: cedar, Line: 1, Column: 1}, What: `a forbid needs @reason("…")`},
	}
	faults, ok := errors.AsType[policy.Faults](err)
	if !ok {
		t.Fatal("want faults, got", err)
	}
	if diff := cmp.Diff(want, faults); diff != "" {
		t.Error("faults (-want +got):", diff)
	}
}

func TestLoadSaysWhichFileItCannotRead(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if err := os.Symlink("nowhere.yaml", filepath.Join(folder, "dangling.yaml")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{folder, filepath.Join(folder, "absent.yaml")} {
		_, err := policy.Load([]string{path}, policy.Options{})
		if !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(errorText(err), "reading policy: ") {
			t.Errorf("%s: want that it does not exist, got %v", path, err)
		}
	}
}

func TestFailingTestsSayWhatDiffered(t *testing.T) {
	t.Parallel()
	set := load(t, readers+`
---
kind: PolicyTest
name: wrong
cases:
- {user: {id: ann, department: emea}, action: items/read, resource: prod/shop/orders, partitionKey: [emea], expect: deny}
- {user: {id: ann, department: emea}, action: items/read, resource: prod/shop/orders, partitionKey: [apac], expect: allow}
- {user: {id: ann, department: emea}, action: items/read, resource: prod/shop/orders, partitionKey: [emea], expect: allow, role: reader, identity: other, maxItems: 7, policy: nobody}
- {user: {id: ann, department: emea}, action: items/read, resource: prod/shop/orders, expect: deny, because: noRole}
- {user: {id: ann, department: emea}, action: items/read, resource: prod/shop/orders, expect: deny, because: partitionKey}
`)
	want := []string{
		"want deny, got allowed by role reader",
		`want allow, got denied because partitionKey: role reader needs partition key [${user.department}], the request carries another`,
		"want identity other, got mi-ro; want policy nobody, got RoleBinding/readers; want maxItems 7, got none",
		`want because noRole, got partitionKey: role reader needs partition key [${user.department}], the request carries none`,
		"",
	}
	var got []string
	for _, r := range set.Test(noon()) {
		got = append(got, r.Failure)
		if r.Passed != (r.Failure == "") || r.Test != "wrong" || r.Case != len(got) || r.Position.File != "policy.yaml" {
			t.Errorf("result %+v", r)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("failures (-want +got):", diff)
	}
}

func TestActionsAreNamedAndParsed(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		names []string
		want  policy.Actions
		err   string
	}{
		"nothing":          {nil, 0, ""},
		"one":              {[]string{"items/read"}, policy.ReadItem, ""},
		"items":            {[]string{"items/*"}, policy.AllItemActions, ""},
		"everything":       {[]string{"*"}, policy.AllActions, ""},
		"a typo":           {[]string{"executequery"}, 0, `unknown action "executequery" (did you mean "executeQuery"?)`},
		"Azure's own name": {[]string{"Microsoft.DocumentDB/databaseAccounts/readMetadata"}, 0, `unknown action "Microsoft.DocumentDB/databaseAccounts/readMetadata" (write "readMetadata")`},
		"something else":   {[]string{"fly"}, 0, `unknown action "fly" (known: readMetadata, items/create, items/read, items/replace, items/upsert, items/delete, executeQuery, readChangeFeed, executeStoredProcedure, manageConflicts, items/*, *)`},
		"a very long name": {[]string{strings.Repeat("items/read", 10)}, 0, `unknown action "` + strings.Repeat("items/read", 10) + `" (known: readMetadata, items/create, items/read, items/replace, items/upsert, items/delete, executeQuery, readChangeFeed, executeStoredProcedure, manageConflicts, items/*, *)`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := policy.ParseActions(c.names...)
			if diff := cmp.Diff(c.err, errorText(err)); diff != "" {
				t.Error("error (-want +got):", diff)
			}
			if got != c.want {
				t.Errorf("want %s, got %s", c.want, got)
			}
		})
	}
	all, err := policy.ParseActions(policy.AllActions.Names()...)
	if err != nil || all != policy.AllActions {
		t.Error("want names and parsing to be inverse, got", all, err)
	}
	if !policy.AllActions.Has(policy.ReadItem) || policy.ReadItem.Has(policy.ReadItem|policy.CreateItem) {
		t.Error("want Has to mean every action")
	}
}

func TestWordsForPeople(t *testing.T) {
	t.Parallel()
	got := []string{
		policy.Kind(0).String(), policy.KindPerson.String(), policy.KindApplication.String(), policy.KindAgent.String(),
		policy.ReasonNoPolicy.String(), policy.ReasonAgent.String(), policy.Reason(200).String(),
		policy.Resource{Account: "a"}.String(), policy.Resource{Account: "a", Database: "b"}.String(),
		policy.Resource{Account: "a", Database: "b", Container: "c"}.String(),
		(policy.ReadItem | policy.CreateItem).String(),
	}
	want := []string{"unknown", "user", "application", "agent", "noPolicy", "agent", "unknown", "a", "a/b", "a/b/c", "items/create, items/read"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("words (-want +got):", diff)
	}
}
