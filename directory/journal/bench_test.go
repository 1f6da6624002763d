package journal_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cosmosgate/cosmosgate/directory/journal"
	"github.com/cosmosgate/cosmosgate/internal/emulator"
)

// charge is what a journal has paid so far, in the stand-in's request units.
func charge(b *testing.B, j *journal.Journal) float64 {
	b.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(j.Collectors()...)
	families, err := registry.Gather()
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "cosmosgate_directory_request_units_total" {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	b.Fatal("no charge")
	return 0
}

// measured reports request units beside the time.
func measured(b *testing.B, j *journal.Journal, one func(i int) error) {
	b.Helper()
	before := charge(b, j)
	for i := 0; b.Loop(); i++ {
		if err := one(i); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric((charge(b, j)-before)/float64(b.N), "RU/op")
}

// BenchmarkCommit appends batches, each on the one before: what one gate alone can write, one commit after the other.
func BenchmarkCommit(b *testing.B) {
	for _, changes := range []int{1, 100, 512} {
		b.Run(fmt.Sprint(changes, " changes"), func(b *testing.B) {
			j := newStand(b, proper).open(b)
			subjects := make([]string, changes)
			for i := range subjects {
				subjects[i] = fmt.Sprint(i)
			}
			version := uint64(0)
			measured(b, j, func(int) error {
				err := j.Append(b.Context(), batchAfter(version, subjects...))
				version += uint64(changes) //nolint:gosec // a row of the table
				return err
			})
		})
	}
}

// BenchmarkPoll asks for what is not there yet, as each gate does ten times a second.
func BenchmarkPoll(b *testing.B) {
	j := newStand(b, proper).open(b)
	fill(b, j, 0, 1)
	measured(b, j, func(int) error {
		_, err := j.Next(b.Context(), 1)
		return err
	})
}

// BenchmarkAdoption reads what another gate has written, commit by commit, as a gate does that was away.
func BenchmarkAdoption(b *testing.B) {
	const commits = 2000
	s := newStand(b, proper)
	fill(b, s.open(b), 0, commits)
	j := s.open(b)
	measured(b, j, func(i int) error {
		_, err := j.Next(b.Context(), uint64(i%commits)) //nolint:gosec // an index
		return err
	})
}

// BenchmarkLostAnswer commits while the answer to every first attempt is lost: the time until the writer knows what became of it.
func BenchmarkLostAnswer(b *testing.B) {
	s := newStand(b, proper)
	j := s.open(b)
	measured(b, j, func(i int) error {
		s.Inject(emulator.Fault{Method: http.MethodPost, PathPrefix: documents, ResetAfter: 1})
		return j.Append(b.Context(), batchAfter(uint64(i), "x")) //nolint:gosec // an index
	})
}

// BenchmarkLostPlace commits at a place that is taken, and reads by whom.
func BenchmarkLostPlace(b *testing.B) {
	s := newStand(b, proper)
	fill(b, s.open(b), 0, 1)
	j := s.open(b)
	measured(b, j, func(int) error {
		if err := j.Append(b.Context(), batchAfter(0, "x")); err == nil {
			b.Fatal("won a place that is taken")
		}
		batch, err := j.Next(b.Context(), 0)
		if err == nil && len(batch) == 0 {
			b.Fatal("nothing there")
		}
		return err
	})
}
