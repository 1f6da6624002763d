package audit

import "github.com/prometheus/client_golang/prometheus"

// failure names what went wrong with the file, as a label.
type failure string

const (
	failWrite  failure = "write"
	failSync   failure = "sync"
	failRotate failure = "rotate"
	failTorn   failure = "torn_line"
)

const (
	namespace = "cosmosgate"
	subsystem = "audit"
)

type metrics struct {
	written   prometheus.Counter
	refused   prometheus.Counter
	abandoned prometheus.Counter
	late      prometheus.Counter
	failures  *prometheus.CounterVec
	gauges    []prometheus.Collector
}

func newMetrics(l *Log) *metrics {
	m := &metrics{
		written:   counter("records_written_total", "Records written to the audit file."),
		refused:   counter("reservations_refused_total", "Reservations refused because records could not be written."),
		abandoned: counter("records_abandoned_total", "Reservations that were never committed and were written as abandoned."),
		late:      counter("commits_ignored_total", "Commits of a reservation that had been committed or abandoned before."),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "failures_total",
			Help: "Failures of the audit file: write, sync, rotate, torn_line (found at opening).",
		}, []string{"failure"}),
	}
	for _, f := range []failure{failWrite, failSync, failRotate, failTorn} {
		m.failures.WithLabelValues(string(f))
	}
	m.gauges = []prometheus.Collector{
		gauge("backlog_records", "Records waiting to be written.", l.backlog),
		gauge("open_reservations", "Reservations that have not been committed.", func() float64 { return float64(l.openCount()) }),
		gauge("oldest_reservation_seconds", "Age of the oldest reservation that has not been committed.", l.oldestAge),
		gauge("available", "1 if reservations are given, 0 if they are refused.", l.available),
	}
	return m
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help})
}

func gauge(name, help string, read func() float64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help}, read)
}

func (m *metrics) collectors() []prometheus.Collector {
	return append([]prometheus.Collector{m.written, m.refused, m.abandoned, m.late, m.failures}, m.gauges...)
}

func (l *Log) backlog() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return float64(l.waiting)
}

func (l *Log) oldestAge() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open.oldest == nil {
		return 0
	}
	return l.config.Clock().Sub(l.open.oldest.since).Seconds()
}

func (l *Log) available() float64 {
	if l.Healthy() != nil {
		return 0
	}
	return 1
}
