package directory_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/cosmosgate/cosmosgate/directory"
)

func TestAdoptedRecordsKeepEverythingButTheirOwner(t *testing.T) {
	t.Parallel()
	const next = "corp-new"
	h := fresh(t)
	ann, bob := h.user(t, "ann"), h.user(t, "bob")
	inner := h.group(t, "inner", ann, bob)
	h.group(t, "outer", inner)
	subject := directory.Subject{Kind: directory.SubjectUser, Name: string(ann)}
	if err := h.PutLock(t.Context(), directory.Lock{Subject: subject, Message: "m"}); err != nil {
		t.Fatal(err)
	}
	_, secret, err := h.CreateToken(t.Context(), corp, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	var before, adopted, after bytes.Buffer
	if err := h.Export(&before); err != nil {
		t.Fatal(err)
	}
	done, err := directory.Adopt(&adopted, bytes.NewReader(before.Bytes()), map[string]string{corp: next})
	if err != nil || done != (directory.Adopted{Users: 2, Groups: 2}) {
		t.Fatalf("Adopt() = %+v, %v", done, err)
	}
	if err := directory.CheckImport(bytes.NewReader(adopted.Bytes())); err != nil {
		t.Fatal(err)
	}
	other := fresh(t)
	if err := other.Import(t.Context(), &adopted); err != nil {
		t.Fatal(err)
	}
	user, _ := h.User(corp, ann)
	if _, found := other.Lookup(directory.LinkKey{Connection: corp, ExternalID: user.ExternalID}); found {
		t.Error("the old issuer still names ann")
	}
	view, found := other.Lookup(directory.LinkKey{Connection: next, ExternalID: user.ExternalID})
	if !found || view.ID != ann || view.Lock == nil || len(view.Groups) != 2 {
		t.Errorf("the new issuer's ann = %+v, %v; want her id, locked and in two groups", view, found)
	}
	if other.VerifyToken(next, secret) {
		t.Error("a token of the old connection opens the new one")
	}
	if err := other.Export(&after); err != nil {
		t.Fatal(err)
	}
	if got, lines := strings.Count(after.String(), "\n"), strings.Count(before.String(), "\n"); got != lines {
		t.Errorf("%d lines, want %d", got, lines)
	}
}

func TestAnAdoptionThatWouldMixPeopleUpIsFoundByTheCheck(t *testing.T) {
	t.Parallel()
	const lines = `{"kind":"user","id":"019aa000-0000-7000-8000-000000000001","connection":"old","userName":"ann"}
not JSON
{"kind":"user","id":"019aa000-0000-7000-8000-000000000002","connection":"new","userName":"ANN"}`
	var adopted bytes.Buffer
	if _, err := directory.Adopt(&adopted, strings.NewReader(lines), map[string]string{"old": "new"}); err != nil {
		t.Fatal(err)
	}
	err := directory.CheckImport(&adopted)
	if err == nil || !strings.Contains(err.Error(), "line 2: is no JSON of an export: invalid character") || !strings.Contains(err.Error(), `line 3: user userName "ann" is there already`) {
		t.Errorf("CheckImport() = %v", err)
	}
}
