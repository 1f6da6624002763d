package journal_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/directory/journal"
	"github.com/cosmosgate/cosmosgate/internal/emulator"
)

func TestWhatOneAppendsAnotherReads(t *testing.T) {
	t.Parallel()
	s := newStand(t, proper)
	one, other := s.open(t), s.open(t)
	if one.Origin() == "" || one.Origin() != other.Origin() {
		t.Errorf("origins %q and %q", one.Origin(), other.Origin())
	}
	first, second := batchAfter(0, "a", "b"), batchAfter(2, "c")
	for _, batch := range [][]directory.Delta{first, second} {
		if err := one.Append(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	for after, want := range map[uint64][]directory.Delta{0: first, 2: second, 3: nil} {
		got, err := other.Next(t.Context(), after)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("after %d (-want +got):\n%s", after, diff)
		}
	}
}

func TestAPlaceIsTakenOnce(t *testing.T) {
	t.Parallel()
	s := newStand(t, proper)
	one, other := s.open(t), s.open(t)
	if err := one.Append(t.Context(), batchAfter(0, "a", "b")); err != nil {
		t.Fatal(err)
	}
	if err := other.Append(t.Context(), batchAfter(0, "x")); !errors.Is(err, directory.ErrBehind) {
		t.Errorf("want ErrBehind, got %v", err)
	}
	if got, err := other.Next(t.Context(), 2); err != nil || got != nil {
		t.Errorf("after the end: %v %v", got, err)
	}
}

// TestOutcomesThatNobodyTold lets the answer to a commit get lost in every way.
func TestOutcomesThatNobodyTold(t *testing.T) {
	t.Parallel()
	faults := map[string]emulator.Fault{
		"throttled":                {Status: http.StatusTooManyRequests, RetryAfter: 5 * time.Millisecond},
		"throttled twice":          {Status: http.StatusTooManyRequests, RetryAfter: 5 * time.Millisecond, Times: 2},
		"unavailable":              {Status: http.StatusServiceUnavailable},
		"retry with":               {Status: 449, RetryAfter: 5 * time.Millisecond},
		"timed out":                {Status: http.StatusRequestTimeout},
		"gone":                     {Status: http.StatusGone},
		"done, and the line cut":   {ResetAfter: 1},
		"done, and cut many times": {ResetAfter: 1, Times: 5},
		"never answered":           {Hang: true},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStand(t, proper)
			j := s.open(t)
			fault.Method, fault.PathPrefix = http.MethodPost, documents
			s.Inject(fault)
			batch := batchAfter(0, "a")
			if err := j.Append(t.Context(), batch); err != nil {
				t.Fatalf("append: %v", err)
			}
			got, err := s.open(t).Next(t.Context(), 0)
			if diff := cmp.Diff(batch, got); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
			if got, err := j.Next(t.Context(), 1); err != nil || got != nil {
				t.Errorf("the batch was repeated: %v %v", got, err)
			}
		})
	}
}

// TestAReadDecidesACommitThatHangs lets a follower find out what the writer
// can't.
func TestAReadDecidesACommitThatHangs(t *testing.T) {
	t.Parallel()
	s := newStand(t, proper)
	j, other := s.open(t), s.open(t)
	s.Inject(emulator.Fault{Method: http.MethodPost, PathPrefix: documents, Status: http.StatusTooManyRequests, RetryAfter: time.Minute})
	fate := make(chan error, 1)
	go func() { fate <- j.Append(t.Context(), batchAfter(0, "lost")) }()
	for len(s.Requests()) == 0 || !throttled(s.Requests()) {
		time.Sleep(time.Millisecond)
	}
	if err := other.Append(t.Context(), batchAfter(0, "won")); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Next(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if err := <-fate; !errors.Is(err, directory.ErrBehind) {
		t.Errorf("want ErrBehind, got %v", err)
	}
}

func TestALargeBatchIsWholeOrNothing(t *testing.T) {
	t.Parallel()
	s := newStand(t, proper)
	j := s.open(t)
	noise := rand.NewChaCha8([32]byte{1})
	batch := batchAfter(0, "a", "b", "c")
	for i := range batch {
		batch[i].Payload = make([]byte, 400_000)
		_, _ = noise.Read(batch[i].Payload)
	}
	// The second of its documents fails; nothing of it may be seen.
	s.Inject(emulator.Fault{Method: http.MethodPost, PathPrefix: documents, Skip: 1, Status: http.StatusForbidden})
	if err := j.Append(t.Context(), batch); err == nil || errors.Is(err, directory.ErrBehind) {
		t.Fatalf("a refused part: %v", err)
	}
	if got, err := j.Next(t.Context(), 0); err != nil || got != nil {
		t.Fatalf("half a batch is seen: %d %v", len(got), err)
	}
	if err := j.Append(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	got, err := s.open(t).Next(t.Context(), 0)
	if diff := cmp.Diff(batch, got); err != nil || diff != "" {
		t.Errorf("%v: batch differs", err)
	}
}

// TestALargeBatchIsReadThoughEveryAttemptGetsOnlyAPartOfIt throttles the reader after
// each part.
func TestALargeBatchIsReadThoughEveryAttemptGetsOnlyAPartOfIt(t *testing.T) {
	t.Parallel()
	s := newStand(t, proper)
	j := s.open(t)
	noise := rand.NewChaCha8([32]byte{1})
	batch := batchAfter(0, "a", "b", "c", "d", "e", "f")
	for i := range batch {
		batch[i].Payload = make([]byte, 500_000)
		_, _ = noise.Read(batch[i].Payload)
	}
	if err := j.Append(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	reader := s.open(t)
	failures := 0
	for {
		fault := emulator.Fault{Method: http.MethodGet, PathPrefix: documents + "/part-", Skip: 1, Status: http.StatusTooManyRequests}
		s.Inject(fault)
		got, err := reader.Next(t.Context(), 0)
		if err == nil {
			if diff := cmp.Diff(batch, got); diff != "" {
				t.Error("the batch differs")
			}
			break
		}
		if failures++; failures > 10 {
			t.Fatal(err)
		}
	}
	if failures < 2 {
		t.Errorf("it failed %d times only", failures)
	}
}

func TestManyCommitsAreReadInOrder(t *testing.T) {
	t.Parallel()
	s := newStand(t, proper)
	j := s.open(t)
	const commits = 250
	for version := range uint64(commits) {
		if err := j.Append(t.Context(), batchAfter(version, fmt.Sprint(version))); err != nil {
			t.Fatal(err)
		}
	}
	reader, before := s.open(t), len(s.Requests())
	for version := range uint64(commits) {
		got, err := reader.Next(t.Context(), version)
		if diff := cmp.Diff(batchAfter(version, fmt.Sprint(version)), got); err != nil || diff != "" {
			t.Fatalf("after %d: %v (-want +got):\n%s", version, err, diff)
		}
	}
	if got, err := reader.Next(t.Context(), commits); err != nil || got != nil {
		t.Errorf("after the last: %v %v", got, err)
	}
	if asked := len(s.Requests()) - before; asked > 30 {
		t.Errorf("%d requests for %d commits", asked, commits)
	}
}

func TestNoProofWithoutAnswer(t *testing.T) {
	t.Parallel()
	faults := map[string]emulator.Fault{
		"throttled":                {Status: http.StatusTooManyRequests},
		"container gone":           {Status: http.StatusNotFound, Substatus: 1003},
		"replica knows too little": {Status: http.StatusNotFound, Substatus: 1002},
		"cut":                      {ResetAfter: 1},
		"a range that was split":   {Status: http.StatusGone, Substatus: 1002},
		"a range that is moving":   {Status: http.StatusGone, Substatus: 1007},
		"timed out":                {Status: http.StatusRequestTimeout},
		"retry with":               {Status: 449},
		"unavailable":              {Status: http.StatusServiceUnavailable},
		"forbidden":                {Status: http.StatusForbidden},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStand(t, proper)
			j := s.open(t)
			fault.Method, fault.PathPrefix, fault.Times = http.MethodGet, documents, -1
			s.Inject(fault)
			if _, err := j.Next(t.Context(), 0); err == nil {
				t.Error("no answer was taken for an empty one")
			}
		})
	}
}

func TestAWrongContainerIsRefused(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, properties, want string }{
		{"documents never expire", `{}`, "time to live"},
		{"documents expire by themselves", `{"defaultTtl":3600}`, "time to live"},
		{"unique keys", `{"defaultTtl":-1,"uniqueKeyPolicy":{"uniqueKeys":[{"paths":["/version"]}]}}`, "unique keys"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := journal.Open(t.Context(), newStand(t, test.properties).config(t))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("want %q, got %v", test.want, err)
			}
		})
	}
}

// TestAContainerThatWasMadeAnewIsNeitherWrittenNorFollowed plays a container that was deleted and made again under running gates, whose new log
// has come just as far.
func TestAContainerThatWasMadeAnewIsNeitherWrittenNorFollowed(t *testing.T) {
	t.Parallel()
	s := newStand(t, proper)
	j := s.open(t)
	fill(t, j, 0, 2)
	if err := s.UpsertItem(database, container, []byte(`{"id":"head","pk":"journal","format":1,"origin":"another","version":2}`)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := j.Append(ctx, batchAfter(2, "x")); err == nil || errors.Is(err, directory.ErrBehind) {
		t.Errorf("append to another history: %v", err)
	}
	if n := s.count(t, "commit"); n != 2 {
		t.Errorf("%d commits", n)
	}
	fill(t, s.open(t), 2, 1) // of the other history
	if got, err := j.Next(t.Context(), 2); !errors.Is(err, directory.ErrOutdated) {
		t.Errorf("a commit of another history: %v, %v", got, err)
	}
	s.clock.advance(time.Hour)
	if _, err := j.Next(t.Context(), 3); !errors.Is(err, directory.ErrOutdated) {
		t.Errorf("next of another history: %v", err)
	}
}

// TestAGateWithAWrongClockWritesNothing has clocks differ both ways. Reading goes on: others' revocations are obeyed.
func TestAGateWithAWrongClockWritesNothing(t *testing.T) {
	t.Parallel()
	for off, refused := range map[time.Duration]bool{
		0: false, 28 * time.Second: false, -28 * time.Second: false, 40 * time.Second: true, -40 * time.Second: true, -3 * time.Hour: true,
	} {
		t.Run(off.String(), func(t *testing.T) {
			t.Parallel()
			s := newStand(t, proper)
			fill(t, s.open(t), 0, 1)
			wrong := &clock{ahead: off}
			j := s.open(t, func(c *journal.Config) { c.Clock = wrong.Now })
			if err := j.Append(t.Context(), batchAfter(1, "x")); errors.Is(err, directory.ErrUnsent) != refused || !refused && err != nil {
				t.Errorf("append: %v", err)
			}
			if batch, err := j.Next(t.Context(), 0); err != nil || len(batch) != 1 {
				t.Errorf("next: %v %v", batch, err)
			}
			if !refused {
				return
			}
			wrong.advance(-off)
			if _, err := j.Next(t.Context(), 1); err != nil {
				t.Error(err)
			}
			if err := j.Append(t.Context(), batchAfter(1, "x")); err != nil {
				t.Errorf("append once the clock is right: %v", err)
			}
		})
	}
}

func throttled(requests []emulator.Request) bool {
	for _, r := range requests {
		if r.Status == http.StatusTooManyRequests {
			return true
		}
	}
	return false
}
