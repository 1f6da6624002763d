package journal

import "github.com/prometheus/client_golang/prometheus"

// metrics are what a journal counts.
type metrics struct {
	charges   prometheus.Counter
	commits   *prometheus.CounterVec
	snapshots *prometheus.CounterVec
	offset    prometheus.Gauge
}

func newMetrics() *metrics {
	m := &metrics{
		charges: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "cosmosgate_directory_request_units_total", Help: "Request units that the shared directory log has cost this gate.",
		}),
		commits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cosmosgate_directory_commits_total",
			Help: "Commits to the shared log by result: written, behind (another gate was first) or unknown (no answer in time).",
		}, []string{"result"}),
		snapshots: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cosmosgate_directory_snapshots_total", Help: "Snapshots of the directory by this gate, by result: written or failed.",
		}, []string{"result"}),
		offset: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "cosmosgate_directory_clock_offset_seconds",
			Help: "By how much this gate's clock is surely ahead of the shared directory's account, negative if behind.",
		}),
	}
	for _, result := range []string{resultWritten, resultBehind, resultUnknown} {
		m.commits.WithLabelValues(result)
	}
	for _, result := range []string{resultWritten, resultFailed} {
		m.snapshots.WithLabelValues(result)
	}
	return m
}

const (
	resultWritten = "written"
	resultBehind  = "behind"
	resultUnknown = "unknown"
	resultFailed  = "failed"
)

func (m *metrics) charge(units float64) { m.charges.Add(max(0, units)) }

func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.charges, m.commits, m.snapshots, m.offset}
}
