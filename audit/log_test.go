package audit_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/cosmosgate/cosmosgate/audit"
)

func configIn(t *testing.T) audit.Config {
	t.Helper()
	return audit.Config{
		Path: filepath.Join(t.TempDir(), "log", "audit.jsonl"), Clock: time.Now, Logger: slog.New(slog.DiscardHandler), Drain: 10 * time.Second,
	}
}

// running opens a log and runs it until the returned function is called, which returns what Run returned.
func running(t *testing.T, config audit.Config) (*audit.Log, func() error) {
	t.Helper()
	log, err := audit.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- log.Run(ctx) }()
	stop := sync.OnceValue(func() error { cancel(); return <-result })
	t.Cleanup(func() { _ = stop() })
	return log, stop
}

func commit(t *testing.T, log *audit.Log, id string) {
	t.Helper()
	r, err := log.Reserve()
	if err != nil {
		t.Fatal(err)
	}
	r.Commit(audit.Record{DecisionID: id, Outcome: audit.Complete})
}

// entry is what the tests look at in a line.
type entry struct {
	ID      string `json:"decision_id"`
	Outcome string `json:"outcome"`
	Reason  string `json:"reason"`
}

// read returns the records of files, and the lines that are not records.
func read(t *testing.T, paths ...string) ([]entry, []string) {
	t.Helper()
	var entries []entry
	var fragments []string
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(content) > 0 && !bytes.HasSuffix(content, []byte("\n")) {
			t.Errorf("%s does not end a line", path)
		}
		for scanner := bufio.NewScanner(bytes.NewReader(content)); scanner.Scan(); {
			var e entry
			if json.Unmarshal(scanner.Bytes(), &e) != nil {
				fragments = append(fragments, scanner.Text())
				continue
			}
			entries = append(entries, e)
		}
	}
	return entries, fragments
}

func ids(entries []entry) []string {
	var list []string
	for _, e := range entries {
		list = append(list, e.ID)
	}
	return list
}

// metric reads one sample by name and, if there are labels, by the value of any.
func metric(t *testing.T, log *audit.Log, name, label string) float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(log.Collectors()...)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == "cosmosgate_audit_"+name && (label == "" || m.GetLabel()[0].GetValue() == label) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("no metric %s %s", name, label)
	return 0
}

// eventually waits for something that another goroutine is about to do.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestCommittedRecordsAreInTheFileWhenRunReturns(t *testing.T) {
	t.Parallel()
	config := configIn(t)
	log, stop := running(t, config)
	for i := range 5 {
		commit(t, log, strconv.Itoa(i))
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	entries, fragments := read(t, config.Path)
	if diff := cmp.Diff([]string{"0", "1", "2", "3", "4"}, ids(entries)); diff != "" || len(fragments) > 0 {
		t.Errorf("records (-want +got):\n%s\nfragments: %q", diff, fragments)
	}
	if got := metric(t, log, "records_written_total", ""); got != 5 {
		t.Errorf("written = %v", got)
	}
}

func TestCloseWritesWhatWasCommittedAlsoWithoutRun(t *testing.T) {
	t.Parallel()
	config := configIn(t)
	log, err := audit.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	commit(t, log, "1")
	if err := errors.Join(log.Close(), log.Close()); err != nil {
		t.Fatal(err)
	}
	entries, _ := read(t, config.Path)
	if diff := cmp.Diff([]string{"1"}, ids(entries)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if err := log.Run(t.Context()); err == nil {
		t.Error("a closed log runs")
	}
}

func TestRecordsReachTheFileWithoutWaitingForTheEnd(t *testing.T) {
	t.Parallel()
	for name, every := range map[string]time.Duration{"synced by batch": 0, "synced by the clock": time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := configIn(t)
			config.SyncEvery = every
			log, _ := running(t, config)
			commit(t, log, "1")
			eventually(t, "the record is in the file", func() bool {
				entries, _ := read(t, config.Path)
				return len(entries) == 1
			})
		})
	}
}

func TestReserveRefusesWhatCouldNotBeWritten(t *testing.T) {
	t.Parallel()
	config := configIn(t)
	config.Queue = 2
	log, err := audit.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	first, err := log.Reserve()
	if err != nil {
		t.Fatal(err)
	}
	commit(t, log, "2") // waits to be written: nobody runs the log
	if _, err := log.Reserve(); !errors.Is(err, audit.ErrUnavailable) || !errors.Is(log.Healthy(), audit.ErrUnavailable) {
		t.Errorf("third of two: %v, health: %v", err, log.Healthy())
	}
	if got := metric(t, log, "available", "") + metric(t, log, "reservations_refused_total", ""); got != 1 {
		t.Errorf("available + refused = %v", got)
	}
	go func() { _ = log.Run(t.Context()) }()
	eventually(t, "the queue drains", func() bool { return log.Healthy() == nil })
	first.Commit(audit.Record{DecisionID: "1"})
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := log.Reserve(); !errors.Is(err, audit.ErrUnavailable) || !errors.Is(err, audit.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestOnlyTheFirstCommitOfAReservationCounts(t *testing.T) {
	t.Parallel()
	config := configIn(t)
	log, stop := running(t, config)
	r, err := log.Reserve()
	if err != nil {
		t.Fatal(err)
	}
	r.Commit(audit.Record{DecisionID: "first"})
	r.Commit(audit.Record{DecisionID: "second"})
	r.Abandon()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	entries, _ := read(t, config.Path)
	if diff := cmp.Diff([]string{"first"}, ids(entries)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if got := metric(t, log, "commits_ignored_total", ""); got != 1 {
		t.Errorf("ignored commits = %v", got)
	}
}

func TestReservationsThatNobodyCommitsAreWrittenAsAbandoned(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	var elapsed atomic.Int64
	config := configIn(t)
	config.Drain = time.Millisecond
	config.Clock = func() time.Time { return now.Add(time.Duration(elapsed.Load())) }
	log, stop := running(t, config)
	var open []*audit.Reservation
	for range 4 {
		r, err := log.Reserve()
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, r)
	}
	open[0].Abandon()
	open[2].Commit(audit.Record{DecisionID: "third", Outcome: audit.Complete})
	elapsed.Store(int64(90 * time.Second))
	if n, age := metric(t, log, "open_reservations", ""), metric(t, log, "oldest_reservation_seconds", ""); n != 2 || age != 90 {
		t.Errorf("%v open, the oldest since %v s", n, age)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	entries, _ := read(t, config.Path)
	abandoned := entry{Outcome: "abandoned", Reason: "not_committed"}
	want := []entry{abandoned, {ID: "third", Outcome: "complete"}, abandoned, abandoned}
	if diff := cmp.Diff(want, entries); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if got := metric(t, log, "records_abandoned_total", ""); got != 3 {
		t.Errorf("abandoned = %v", got)
	}
}

func TestRunWaitsForReservationsThatAreCommittedInTime(t *testing.T) {
	t.Parallel()
	config := configIn(t)
	log, stop := running(t, config)
	r, err := log.Reserve()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for log.Healthy() == nil {
			time.Sleep(time.Millisecond)
		}
		r.Commit(audit.Record{DecisionID: "late, but in time"})
	}()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	entries, _ := read(t, config.Path)
	if diff := cmp.Diff([]string{"late, but in time"}, ids(entries)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

func TestOpenRefusesAConfigurationWithFaultsAndNamesThemAll(t *testing.T) {
	t.Parallel()
	_, err := audit.Open(audit.Config{Path: "audit.jsonl", Keep: -1})
	for _, want := range []string{"not absolute", "negative", "clock"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not mention %q", err, want)
		}
	}
}

func TestRaceOfManyCommitsWithRotationLosesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	const workers, each = 8, 250
	config := configIn(t)
	config.MaxBytes, config.Queue = 4096, 64
	log, stop := running(t, config)
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := range each {
				r, err := log.Reserve()
				for ; err != nil; r, err = log.Reserve() {
					time.Sleep(time.Millisecond) // the queue is smaller than the load
				}
				r.Commit(audit.Record{DecisionID: fmt.Sprintf("%d-%d", w, i)})
			}
		})
	}
	group.Wait()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	files := rotatedFiles(t, config.Path)
	if len(files) < 2 {
		t.Errorf("%d rotated files", len(files))
	}
	entries, fragments := read(t, append(files, config.Path)...)
	got := ids(entries)
	slices.Sort(got)
	if n := len(slices.Compact(got)); n != workers*each || len(entries) != n || len(fragments) > 0 {
		t.Errorf("%d lines, %d records, %d fragments, want %d records", len(entries), n, len(fragments), workers*each)
	}
	for _, path := range append(files, config.Path) {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
}

func rotatedFiles(t *testing.T, path string) []string {
	t.Helper()
	files, err := filepath.Glob(strings.TrimSuffix(path, ".jsonl") + "-*.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// BenchmarkRecord measures what a request pays: a reservation and its commit, with the writer running.
func BenchmarkRecord(b *testing.B) {
	log, err := audit.Open(audit.Config{
		Path: filepath.Join(b.TempDir(), "audit.jsonl"), Clock: time.Now, Logger: slog.New(slog.DiscardHandler), SyncEvery: time.Second,
		Queue: 1 << 20,
	})
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- log.Run(b.Context()) }()
	record := full()
	b.ReportAllocs()
	for b.Loop() {
		if r, err := log.Reserve(); err == nil {
			r.Commit(record)
		}
	}
	if err := log.Close(); err != nil {
		b.Fatal(err)
	}
	<-done
}
