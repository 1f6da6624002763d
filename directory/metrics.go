package directory

import (
	"math"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what a directory counts of a shared log.
type metrics struct {
	adopted, conflicts, pollFailures prometheus.Counter
	adoption                         prometheus.Histogram
	recent                           recent
}

// recent are the last adoptions.
type recent struct {
	mu   sync.Mutex
	took []time.Duration
	next int // where in took the next one goes
}

// maxRecent is how many adoptions are remembered.
const maxRecent = 1000

func (r *recent) add(took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.took) < maxRecent {
		r.took = append(r.took, took)
		return
	}
	r.took[r.next] = took
	r.next = (r.next + 1) % maxRecent
}

// Adoption says how long it took until the directory obeyed the last changes of
// others, from when they were made, by the clocks of both.
type Adoption struct {
	// Median and P99 are of the last Of changes, at most a thousand.
	Median, P99 time.Duration
	Of          int
}

// Adoption returns how soon the directory has obeyed others lately: the zero
// Adoption if there were none, as with an embedded log.
func (d *Directory) Adoption() Adoption {
	r := &d.metrics.recent
	r.mu.Lock()
	took := slices.Clone(r.took)
	r.mu.Unlock()
	if len(took) == 0 {
		return Adoption{}
	}
	slices.Sort(took)
	const half, nearlyAll = 0.5, 0.99
	at := func(q float64) time.Duration { return took[int(math.Ceil(q*float64(len(took))))-1] }
	return Adoption{Median: at(half), P99: at(nearlyAll), Of: len(took)}
}

func newMetrics() *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "cosmosgate_directory_" + name, Help: help})
	}
	return &metrics{
		adopted:      counter("adopted_batches_total", "Batches of other gates that this one took over from the shared log."),
		conflicts:    counter("conflicts_total", "Commits that were planned anew because another gate wrote to the shared log first."),
		pollFailures: counter("poll_failures_total", "Failed questions to the shared log for what other gates wrote."),
		adoption: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "cosmosgate_directory_adoption_seconds",
			Help:    "Time from a change at another gate, by that gate's clock, until this one obeys it.",
			Buckets: []float64{.01, .025, .05, .1, .15, .2, .25, .5, 1, 5, 60},
		}),
	}
}

// Collectors returns the directory's metrics. One that doesn't share its log has
// them as well, at zero, so that an alert needs no exception for it.
func (d *Directory) Collectors() []prometheus.Collector {
	return []prometheus.Collector{
		d.metrics.adopted, d.metrics.conflicts, d.metrics.pollFailures, d.metrics.adoption,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "cosmosgate_directory_age_seconds",
			Help: "Time since it was last proven that this gate knows all that any gate has acknowledged.",
		}, func() float64 { return min(d.Age(d.config.Clock()), maxShownAge).Seconds() }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "cosmosgate_directory_version", Help: "The last version of the shared log that this gate obeys.",
		}, func() float64 { return float64(d.seen.Load()) }),
	}
}

// maxShownAge is what a directory without any proof shows as its age.
const maxShownAge = 365 * 24 * time.Hour
