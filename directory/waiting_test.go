package directory_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cosmosgate/cosmosgate/directory"
)

// A provider that links somebody who is locked to another externalId again and again
// leaves a lock under each.
func TestLocksThatWaitAreBounded(t *testing.T) {
	t.Parallel()
	h := fresh(t)
	ann, bob := h.user(t, "ann"), h.user(t, "bob")
	put := func(id directory.ID, expires time.Time) {
		t.Helper()
		lock := directory.Lock{Subject: directory.Subject{Kind: directory.SubjectUser, Name: string(id)}, Expires: expires}
		if err := h.PutLock(t.Context(), lock); err != nil {
			t.Fatal(err)
		}
	}
	put(ann, time.Time{})
	link := func(id directory.ID, name string) error {
		_, err := h.Apply(t.Context(), corp, edit(id, func(u *directory.User) { u.ExternalID = name }))
		return err
	}
	var refused error
	n := 0
	for ; refused == nil && n < 3000; n++ {
		refused = link(ann, fmt.Sprintf("x%d", n))
	}
	if !errors.Is(refused, directory.ErrLocked) || len(h.Locks()) > 1001 {
		t.Fatalf("%d locks, %v", len(h.Locks()), refused)
	}
	last := fmt.Sprintf("x%d", n-2)
	if view, ok := h.Lookup(directory.LinkKey{Connection: corp, ExternalID: last}); !ok || view.Lock == nil {
		t.Errorf("found %t, lock %v", ok, view.Lock)
	}
	if err := link(bob, "free"); err != nil {
		t.Errorf("somebody who is not locked: %v", err)
	}
	h.do(t, directory.DeleteUser{ID: ann}) // is never refused
	h.do(t, directory.CreateUser{User: directory.User{UserName: "again", ExternalID: last}})
	if view, ok := h.Lookup(directory.LinkKey{Connection: corp, ExternalID: last}); !ok || view.Lock == nil {
		t.Errorf("found %t, lock %v", ok, view.Lock)
	}
}

// So does one that takes the link away before it deletes them.
func TestWhoIsDeletedWithoutALinkLeavesNoLock(t *testing.T) {
	t.Parallel()
	h := fresh(t)
	id := h.user(t, "ann")
	if err := h.PutLock(t.Context(), directory.Lock{Subject: directory.Subject{Kind: directory.SubjectUser, Name: string(id)}}); err != nil {
		t.Fatal(err)
	}
	for n := range 20 {
		h.do(t, edit(id, func(u *directory.User) { u.ExternalID = "" }))
		h.do(t, directory.DeleteUser{ID: id})
		id = h.do(t, directory.CreateUser{User: directory.User{UserName: fmt.Sprintf("ann%d", n), ExternalID: "ext-ann"}})[0]
		view, ok := h.Lookup(directory.LinkKey{Connection: corp, ExternalID: "ext-ann"})
		if !ok || view.Lock == nil || len(h.Locks()) != 1 {
			t.Fatalf("found %t, lock %v of %d", ok, view.Lock, len(h.Locks()))
		}
	}
}

// A key of the log has at most 32 KB: a larger one stopped the directory for good.
func TestALockWaitsForAnExternalIDOfAnyLength(t *testing.T) {
	t.Parallel()
	h := fresh(t)
	for n, length := range []int{1, 1024, 1025, 40 << 10, 500_000} {
		link := strings.Repeat("x", length)
		create := directory.CreateUser{User: directory.User{UserName: fmt.Sprint("u", n), ExternalID: link}}
		id := h.do(t, create)[0]
		if err := h.PutLock(t.Context(), directory.Lock{Subject: directory.Subject{Kind: directory.SubjectUser, Name: string(id)}}); err != nil {
			t.Fatal(err)
		}
		h.do(t, directory.DeleteUser{ID: id})
		h = h.reopen(t) // which folds
		var file bytes.Buffer
		if err := h.Export(&file); err != nil {
			t.Fatal(err)
		}
		if err := directory.CheckImport(&file); err != nil {
			t.Error(err)
		}
		h.do(t, create)
		if view, ok := h.Lookup(directory.LinkKey{Connection: corp, ExternalID: link}); !ok || view.Lock == nil || len(h.Locks()) != n+1 {
			t.Errorf("%d: found %t, lock %v of %d", length, ok, view.Lock, len(h.Locks()))
		}
	}
}

func TestNothingGetsAKeyThatTheLogCannotFold(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 40<<10)
	h := fresh(t)
	lock := directory.Lock{Subject: directory.Subject{Kind: directory.SubjectApplication, Name: long}}
	if err := h.PutLock(t.Context(), lock); !errors.Is(err, directory.ErrLimit) {
		t.Errorf("locking: %v", err)
	}
	for _, line := range []string{
		fmt.Sprintf(`{"kind":"lock","subject":"user","id":%q}`, corp+"/"+long),
		fmt.Sprintf(`{"kind":"entry","class":"c","id":%q}`, long),
		fmt.Sprintf(`{"kind":"token","connection":"corp","id":%q,"hash":%q}`, long, strings.Repeat("0", 64)),
	} {
		if err := directory.CheckImport(strings.NewReader(line)); err == nil {
			t.Errorf("imported: %.40s", line)
		}
		if err := h.Import(t.Context(), strings.NewReader(line)); err == nil {
			t.Errorf("imported unchecked: %.40s", line)
		}
	}
	h.user(t, "ann")
	h = h.reopen(t) // which folds
	if _, found := h.Lookup(directory.LinkKey{Connection: corp, ExternalID: "ext-ann"}); !found {
		t.Error("nobody is there")
	}
}

// An export that is adopted may hold the lock of somebody who is gone from the one
// connection and there in the other.
func TestAnImportedLockThatWaitsIsThatOfWhoIsThere(t *testing.T) {
	t.Parallel()
	from := fresh(t)
	ann := from.user(t, "ann")
	subject := directory.Subject{Kind: directory.SubjectUser, Name: string(ann)}
	if err := from.PutLock(t.Context(), directory.Lock{Subject: subject, Message: "incident"}); err != nil {
		t.Fatal(err)
	}
	from.do(t, directory.DeleteUser{ID: ann})
	if _, err := from.Apply(t.Context(), next, directory.CreateUser{User: directory.User{UserName: "ann", ExternalID: "ext-ann"}}); err != nil {
		t.Fatal(err)
	}
	var file, adopted bytes.Buffer
	if err := from.Export(&file); err != nil {
		t.Fatal(err)
	}
	if _, err := directory.Adopt(&adopted, &file, map[string]string{corp: next}); err != nil {
		t.Fatal(err)
	}
	if err := directory.CheckImport(strings.NewReader(adopted.String())); err != nil {
		t.Fatal(err)
	}
	h := fresh(t)
	if err := h.Import(t.Context(), &adopted); err != nil {
		t.Fatal(err)
	}
	view, ok := h.Lookup(directory.LinkKey{Connection: next, ExternalID: "ext-ann"})
	if !ok || view.Lock == nil || view.Lock.Message != "incident" || len(h.Locks()) != 1 {
		t.Errorf("found %t, lock %v of %d", ok, view.Lock, len(h.Locks()))
	}
}
