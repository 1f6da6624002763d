package directory_test

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/directory/logtest"
)

// TestADocumentIsAlwaysThatOfItsRevision reads a user and a group whole while
// they are written to and the journal is folded.
func TestADocumentIsAlwaysThatOfItsRevision(t *testing.T) {
	t.Parallel()
	h := fresh(t)
	document := func(revision uint64) []byte { return fmt.Appendf(nil, `{"revision":%d}`, revision) }
	ann := h.do(t, directory.CreateUser{User: directory.User{UserName: "ann", Document: document(1)}})[0]
	bob := h.user(t, "bob")
	g := h.do(t, directory.CreateGroup{Group: directory.GroupRecord{DisplayName: "g", Document: document(1)}})[0]
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				u, err := h.ReadUser(corp, ann)
				if err != nil || string(u.Document) != string(document(u.Revision)) {
					t.Errorf("user of revision %d has %s, %v", u.Revision, u.Document, err)
					return
				}
				if _, err := h.ReadGroup(corp, g); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 80 {
		h.do(t, edit(ann, func(u *directory.User) { u.Document = document(u.Revision + 1) }))
		change := directory.Change(directory.AddMembers{Group: g, Members: []directory.ID{bob}})
		if i%2 == 1 {
			change = directory.RemoveMembers{Group: g, Members: []directory.ID{bob}}
		}
		h.do(t, change) // moves the group's revision and leaves its document alone
		if i%20 == 0 {
			time.Sleep(20 * time.Millisecond) // lets some of the journal be folded
		}
	}
	close(stop)
	readers.Wait()
	if read, err := h.ReadGroup(corp, g); err != nil || read.Revision != 81 || string(read.Document) != string(document(1)) {
		t.Errorf("group %+v, %v", read, err)
	}
}

func TestWithoutItsDocumentARecordIsReadAsAnErrorAndNotEdited(t *testing.T) {
	t.Parallel()
	log := &logtest.Faulty{Log: &logtest.Memory{}}
	h := withLog(t, log)
	ann := h.user(t, "ann")
	log.FailReads(true)
	if _, err := h.ReadUser(corp, ann); !errors.Is(err, logtest.ErrDisk) {
		t.Errorf("reading: %v", err)
	}
	change := edit(ann, func(u *directory.User) { u.Active = false })
	if _, err := h.Apply(t.Context(), corp, change); !errors.Is(err, logtest.ErrDisk) {
		t.Errorf("editing: %v", err)
	}
	if err := h.Export(io.Discard); !errors.Is(err, logtest.ErrDisk) {
		t.Errorf("exporting: %v", err)
	}
	if view, ok := h.Lookup(directory.LinkKey{Connection: corp, ExternalID: "ext-ann"}); !ok || !view.Active {
		t.Errorf("the look-up needs no document, and nothing was changed: %v %+v", ok, view)
	}
	log.FailReads(false)
	h.do(t, change) // nothing was written in vain, so writing goes on
	if _, err := h.ReadUser(corp, "019aa000-0000-7000-8000-000000000000"); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("a stranger: %v", err)
	}
	if _, err := h.ReadGroup(corp, ann); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("a user read as a group: %v", err)
	}
}

// TestARecordThatTheLogHasAheadOfMemoryIsAnErrorAfterAFailedWrite keeps a read
// from waiting for a publication that never comes.
func TestARecordThatTheLogHasAheadOfMemoryIsAnErrorAfterAFailedWrite(t *testing.T) {
	t.Parallel()
	log := &logtest.Faulty{Log: &logtest.Memory{}}
	h := withLog(t, log)
	ann := h.user(t, "ann")
	log.Fail(logtest.After)
	if _, err := h.Apply(t.Context(), corp, edit(ann, func(u *directory.User) { u.Active = false })); !errors.Is(err, directory.ErrStopped) {
		t.Fatal(err)
	}
	if u, err := h.ReadUser(corp, ann); err == nil || errors.Is(err, directory.ErrNotFound) {
		t.Errorf("read %+v, %v", u, err)
	}
}
