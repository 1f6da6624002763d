package directory_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/directory"
)

const marks = "marks"

func (h *house) entry(tb testing.TB, e directory.Entry, ifRevision uint64) directory.Entry {
	tb.Helper()
	e.Class = marks
	put, err := h.PutEntry(tb.Context(), e, ifRevision)
	if err != nil {
		tb.Fatal(err)
	}
	return put
}

func TestAnEntryIsReadAsItWasPut(t *testing.T) {
	t.Parallel()
	h := fresh(t)
	expires := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
	h.entry(t, directory.Entry{Name: "a", Value: []byte("one"), Expires: expires}, directory.CreateOnly)
	h.entry(t, directory.Entry{Name: "b"}, directory.AnyRevision)
	h.entry(t, directory.Entry{Name: "a", Value: []byte("two"), Expires: expires}, 1)
	want := []directory.Entry{
		{Class: marks, Name: "a", Revision: 2, Value: []byte("two"), Expires: expires},
		{Class: marks, Name: "b", Revision: 1, Value: []byte{}},
	}
	for _, h := range []*house{h, h.reopen(t)} {
		if diff := cmp.Diff(want, h.Entries(marks)); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if got, ok := h.Entry(marks, "a"); !ok || got.Revision != 2 {
			t.Errorf("got %v, %v", got, ok)
		}
		if _, ok := h.Entry("other", "a"); ok {
			t.Error("found in another class")
		}
	}
}

func TestConditionsOnEntries(t *testing.T) {
	t.Parallel()
	h := fresh(t)
	h.entry(t, directory.Entry{Name: "a"}, directory.CreateOnly)
	rows := map[string]struct {
		entry      directory.Entry
		ifRevision uint64
		want       error
	}{
		"create what exists":            {directory.Entry{Class: marks, Name: "a"}, directory.CreateOnly, directory.ErrExists},
		"a revision that is not there":  {directory.Entry{Class: marks, Name: "a"}, 7, directory.ErrRevision},
		"a revision of nothing":         {directory.Entry{Class: marks, Name: "z"}, 1, directory.ErrRevision},
		"a name that is too long":       {directory.Entry{Class: marks, Name: strings.Repeat("n", 1<<11)}, 0, directory.ErrLimit},
		"a value that is too long":      {directory.Entry{Class: marks, Name: "v", Value: make([]byte, 1<<17)}, 0, directory.ErrLimit},
		"the present revision":          {directory.Entry{Class: marks, Name: "a"}, 1, nil},
		"create what exists elsewhere":  {directory.Entry{Class: "other", Name: "a"}, directory.CreateOnly, nil},
		"whatever is there, when it is": {directory.Entry{Class: "other", Name: "b"}, directory.AnyRevision, nil},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := h.PutEntry(t.Context(), row.entry, row.ifRevision); !errors.Is(err, row.want) {
				t.Errorf("got %v, want %v", err, row.want)
			}
		})
	}
}

func TestAnExpiredEntryIsAbsentAndIsSwept(t *testing.T) {
	t.Parallel()
	c := config(filepath.Join(t.TempDir(), "directory.db"))
	var late atomic.Int64
	c.Clock = func() time.Time { return time.Now().Add(time.Duration(late.Load())) }
	d, err := directory.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	h := run(t, d, c.Path)
	for i := range 10 {
		h.entry(t, directory.Entry{Name: fmt.Sprint(i), Expires: time.Now().Add(time.Hour)}, directory.CreateOnly)
	}
	late.Store(int64(2 * time.Hour))
	if _, ok := h.Entry(marks, "3"); ok || len(h.Entries(marks)) > 0 {
		t.Error("expired entries are seen")
	}
	// To be used once more after its end, an id may be created again.
	h.entry(t, directory.Entry{Name: "3"}, directory.CreateOnly)
	h.entry(t, directory.Entry{Name: "x"}, directory.CreateOnly)
	h.entry(t, directory.Entry{Name: "y"}, directory.CreateOnly)
	late.Store(0)
	var names []string
	for _, e := range h.Entries(marks) {
		names = append(names, e.Name)
	}
	if diff := cmp.Diff([]string{"3", "x", "y"}, names); diff != "" {
		t.Errorf("left (-want +got)\n%s", diff)
	}
}

func TestOfManyWhoCreateOneEntryOneSucceeds(t *testing.T) {
	t.Parallel()
	h := fresh(t)
	var made atomic.Int64
	var callers sync.WaitGroup
	for range 32 {
		callers.Go(func() {
			if _, err := h.PutEntry(t.Context(), directory.Entry{Class: marks, Name: "once"}, directory.CreateOnly); err == nil {
				made.Add(1)
			} else if !errors.Is(err, directory.ErrExists) {
				t.Error(err)
			}
		})
	}
	callers.Wait()
	if made.Load() != 1 {
		t.Errorf("%d callers made it", made.Load())
	}
}

func TestTheGenerationOfAClassMovesWithItsEntriesOnly(t *testing.T) {
	t.Parallel()
	h := fresh(t)
	h.entry(t, directory.Entry{Name: "a"}, directory.CreateOnly)
	before := h.EntryGeneration(marks)
	if _, err := h.PutEntry(t.Context(), directory.Entry{Class: "other", Name: "a"}, directory.AnyRevision); err != nil {
		t.Fatal(err)
	}
	if after := h.EntryGeneration(marks); after != before {
		t.Error("moved with another class")
	}
	if err := h.DeleteEntry(t.Context(), marks, "a", directory.AnyRevision); err != nil {
		t.Fatal(err)
	}
	if after := h.EntryGeneration(marks); after == before {
		t.Error("a deletion did not move it")
	}
	if _, ok := h.Entry(marks, "a"); ok {
		t.Error("a deleted entry is seen")
	}
}

func TestEntriesAreExportedAndImported(t *testing.T) {
	t.Parallel()
	h, other := fresh(t), fresh(t)
	h.entry(t, directory.Entry{Name: "a", Value: []byte{0, 255}, Expires: time.Now().Add(time.Hour)}, directory.CreateOnly)
	h.entry(t, directory.Entry{Name: "a", Value: []byte{1}}, 1)
	var exported bytes.Buffer
	if err := h.Export(&exported); err != nil {
		t.Fatal(err)
	}
	if err := other.Import(t.Context(), &exported); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(h.Entries(marks), other.Entries(marks)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestReadingAnEntryDoesNotAllocate(t *testing.T) {
	h := fresh(t)
	h.entry(t, directory.Entry{Name: "a"}, directory.CreateOnly)
	if n := testing.AllocsPerRun(100, func() { h.Entry(marks, "a") }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkEntry(b *testing.B) {
	h := fresh(b)
	h.entry(b, directory.Entry{Name: "a"}, directory.CreateOnly)
	b.ReportAllocs()
	for b.Loop() {
		h.Entry(marks, "b")
	}
}
