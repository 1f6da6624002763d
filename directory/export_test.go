package directory_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/directory"
)

func TestAnExportImportedElsewhereIsTheSameDirectory(t *testing.T) {
	t.Parallel()
	h := fresh(t)
	ann, bob := h.user(t, "ann"), h.user(t, "bob")
	inner := h.group(t, "inner", ann, bob)
	h.group(t, "outer", inner)
	h.do(t, directory.RemoveMembers{Group: inner, Members: []directory.ID{bob}}, directory.DeleteUser{ID: bob})
	subject := directory.Subject{Kind: directory.SubjectUser, Name: string(ann)}
	if err := h.PutLock(t.Context(), directory.Lock{Subject: subject, Message: "m", By: "olga"}); err != nil {
		t.Fatal(err)
	}
	_, secret, err := h.CreateToken(t.Context(), corp, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	var first, second bytes.Buffer
	if err := h.Export(&first); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(first.String(), secret) {
		t.Error("the export holds a secret")
	}
	if err := directory.CheckImport(bytes.NewReader(first.Bytes())); err != nil {
		t.Errorf("the export is said to be faulty: %v", err)
	}
	other := fresh(t)
	if err := other.Import(t.Context(), bytes.NewReader(first.Bytes())); err != nil {
		t.Fatal(err)
	}
	other = other.reopen(t)
	if err := other.Export(&second); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first.String(), second.String()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]string{"inner", "outer"}, other.groupsOf(t, "ann")); diff != "" {
		t.Errorf("groups (-want +got)\n%s", diff)
	}
	if !other.VerifyToken(corp, secret) {
		t.Error("the token doesn't work there")
	}
	if err := other.Import(t.Context(), &first); !errors.Is(err, directory.ErrNotEmpty) {
		t.Errorf("a second import: %v", err)
	}
}

func TestAFaultyImportIsRefused(t *testing.T) {
	t.Parallel()
	const user = `{"kind":"user","id":"019aa000-0000-7000-8000-000000000001","connection":"c","userName":"a"}`
	rows := map[string]string{
		"not JSON":          `{"kind"`,
		"an unknown kind":   `{"kind":"robot","id":"019aa000-0000-7000-8000-000000000001"}`,
		"no id":             `{"kind":"user","connection":"c","userName":"a"}`,
		"a name twice":      user + "\n" + strings.Replace(user, "0001\"", "0002\"", 1),
		"an unknown member": user + "\n" + `{"kind":"members","id":"019aa000-0000-7000-8000-000000000009","connection":"c","members":["x"]}`,
		"a short hash":      `{"kind":"token","id":"t","connection":"c","hash":"00"}`,
		"an unknown lock":   `{"kind":"lock","id":"x","subject":"ghost"}`,
	}
	for name, lines := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := directory.CheckImport(strings.NewReader(lines)); err == nil {
				t.Error("the check found nothing")
			}
			h := fresh(t)
			if err := h.Import(t.Context(), strings.NewReader(lines)); err == nil {
				t.Error("accepted")
			}
			if users := slices.Collect(h.Users("c", "")); len(users) != 0 {
				t.Errorf("kept %v", users)
			}
		})
	}
}

func TestEveryFaultOfAnImportIsToldWithItsLine(t *testing.T) {
	t.Parallel()
	const lines = `{"kind":"user","id":"019aa000-0000-7000-8000-000000000001","connection":"c","userName":"Ann","externalId":"x"}
{"kind":"user","id":"019aa000-0000-7000-8000-000000000002","connection":"c","userName":"ann","externalId":"x"}
{"kind":"user","id":"019aa000-0000-7000-8000-000000000001","connection":"d","userName":"ann","externalId":"x"}
not JSON

{"kind":"group","id":"019aa000-0000-7000-8000-000000000003","connection":"c"}
{"kind":"members","id":"019aa000-0000-7000-8000-000000000003","connection":"c","members":["019aa000-0000-7000-8000-000000000009"]}
{"kind":"lock","subject":"user","id":"019aa000-0000-7000-8000-000000000009"}
{"kind":"token","id":"t","connection":"c","hash":"00"}`
	want := `line 2: user externalId "x" is there already, further up
line 2: user userName "ann" is there already, further up
line 3: user id "019aa000-0000-7000-8000-000000000001" is there already, further up
line 4: is no JSON of an export: invalid character 'o' in literal null (expecting 'u')
line 6: invalid change: group without displayName
line 7: member "019aa000-0000-7000-8000-000000000009" is not further up in this connection
line 8: locked user "019aa000-0000-7000-8000-000000000009" is not further up in this connection
line 9: invalid change: token t has no valid hash`
	err := directory.CheckImport(strings.NewReader(lines))
	if err == nil {
		t.Fatal("nothing was found")
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}

// A file is older than the directory that it is imported into: what lets somebody in stays behind, and what shuts somebody out there stays.
func TestAnOldExportBringsNothingBackThatWasWithdrawn(t *testing.T) {
	t.Parallel()
	old := fresh(t)
	old.user(t, "ana")
	if _, _, err := old.CreateToken(t.Context(), corp, time.Hour); err != nil {
		t.Fatal(err)
	}
	put := func(h *house, class, name, value string) {
		t.Helper()
		if _, err := h.PutEntry(t.Context(), directory.Entry{Class: class, Name: name, Value: []byte(value)}, directory.AnyRevision); err != nil {
			t.Fatal(err)
		}
	}
	put(old, "keys", "ring", "dropped")
	put(old, "marks", "bob", "until noon")
	var file, sparse bytes.Buffer
	if err := errors.Join(old.Export(&file), old.Export(&sparse, directory.Tokens, "keys")); err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{`"kind":"token"`, "ring"} {
		if strings.Contains(sparse.String(), word) || !strings.Contains(file.String(), word) {
			t.Errorf("%s is in the wrong export", word)
		}
	}

	next := fresh(t)
	put(next, "keys", "ring", "new")
	put(next, "marks", "bob", "until evening")
	var sifted bytes.Buffer
	done, err := directory.Adopt(&sifted, bytes.NewReader(file.Bytes()), nil, directory.Tokens, "keys")
	if err != nil || done.Left != 2 {
		t.Fatalf("left %d lines out: %v", done.Left, err)
	}
	if err := errors.Join(directory.CheckImport(bytes.NewReader(sifted.Bytes())), next.Import(t.Context(), &sifted)); err != nil {
		t.Fatal(err)
	}
	value := func(class, name string) string { e, _ := next.Entry(class, name); return string(e.Value) }
	if _, ok := next.UserByName(corp, "ana"); !ok || len(next.Tokens(corp)) != 0 || value("keys", "ring") != "new" || value("marks", "bob") != "until evening" {
		t.Errorf("user %t, tokens %d, key %q, mark %q", ok, len(next.Tokens(corp)), value("keys", "ring"), value("marks", "bob"))
	}

	moved := fresh(t)
	put(moved, "keys", "ring", "new")
	if err := moved.Import(t.Context(), &file, "keys"); err != nil {
		t.Fatal(err)
	}
	if e, _ := moved.Entry("keys", "ring"); string(e.Value) != "dropped" || len(moved.Tokens(corp)) != 1 {
		t.Errorf("a move brings key %q and %d tokens", e.Value, len(moved.Tokens(corp)))
	}
}
