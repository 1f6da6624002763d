package policy_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/tools/txtar"

	"github.com/cosmosgate/cosmosgate/policy"
)

func TestFormatWritesTheCanonicalForm(t *testing.T) {
	t.Parallel()
	archive, err := txtar.ParseFile("testdata/format.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(archive.Files); i += 2 {
		from, want := archive.Files[i], archive.Files[i+1]
		t.Run(from.Name, func(t *testing.T) {
			t.Parallel()
			got, err := policy.Format(from.Name, from.Data)
			if err != nil {
				got = []byte(err.Error() + "\n")
			}
			if diff := cmp.Diff(string(want.Data), string(got)); diff != "" {
				t.Error("(-want +got):", diff)
			}
		})
	}
}

func TestFormattingTwiceIsFormattingOnceAndKeepsTheMeaning(t *testing.T) {
	t.Parallel()
	for name, text := range policyTexts(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkFormat(t, text)
		})
	}
}

// policyTexts returns every policy that other tests use.
func policyTexts(t testing.TB) map[string][]byte {
	t.Helper()
	texts := map[string][]byte{}
	files, err := policy.Starter{Account: "prod", Checkout: policy.Application{Issuer: "corp", Claims: map[string]string{"azp": "6f1c"}}}.Files()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		texts["starter "+name] = text
	}
	document, err := os.ReadFile("../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	for title, blocks := range fences(string(document)) {
		texts["example "+title] = []byte(blocks[0].text)
	}
	for _, pattern := range []string{"testdata/faults/*.txtar", "testdata/decide/*.txtar"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			t.Fatalf("no %s: %v", pattern, err)
		}
		for _, name := range names {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range archive.Files {
				texts[name+" "+f.Name] = f.Data
			}
		}
	}
	return texts
}

func checkFormat(t *testing.T, text []byte) {
	t.Helper()
	once, err := policy.Format("p.yaml", text)
	if err != nil {
		_, notYAML := errors.AsType[policy.Faults](err)
		if !notYAML && !errors.Is(err, policy.ErrUnformattable) {
			t.Errorf("want faults or ErrUnformattable, got %v", err)
		}
		return
	}
	twice, err := policy.Format("p.yaml", once)
	if err != nil {
		t.Fatalf("formatting again: %v\n%s", err, once)
	}
	if diff := cmp.Diff(string(once), string(twice)); diff != "" {
		t.Error("formatting again changed the text (-once +twice):", diff)
	}
	before, errBefore := policy.Parse("p.yaml", text, policy.Options{})
	after, errAfter := policy.Parse("p.yaml", once, policy.Options{})
	if (errBefore == nil) != (errAfter == nil) {
		t.Fatalf("before: %v, after: %v\n%s", errBefore, errAfter, once)
	}
	if diff := cmp.Diff(before.Statements(), after.Statements()); diff != "" {
		t.Error("statements (-before +after):", diff)
	}
	if diff := cmp.Diff(before.Test(noon()), after.Test(noon()), cmpopts.IgnoreFields(policy.TestResult{}, "Position")); diff != "" {
		t.Error("tests (-before +after):", diff)
	}
}

func FuzzFormat(f *testing.F) {
	for _, text := range policyTexts(f) {
		f.Add(text)
	}
	f.Add([]byte("# a\n---\n# b\nkind: Role # c\n# d\n\n# e\nname: x\n# f\n"))
	f.Add([]byte("{a: |\n  # no\n}\n"))
	f.Fuzz(func(t *testing.T, text []byte) { checkFormat(t, text) })
}
