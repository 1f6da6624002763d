package certs

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	notAfter *prometheus.GaugeVec
	current  *prometheus.GaugeVec
	loads    *prometheus.CounterVec
}

func newMetrics() *metrics {
	labels := []string{"kind", "name"}
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "cosmosgate", Subsystem: "tls", Name: name, Help: help}
	}
	return &metrics{
		notAfter: prometheus.NewGaugeVec(prometheus.GaugeOpts(opts("not_after_timestamp_seconds",
			"When the first certificate of the material in use expires, in Unix time.")), labels),
		current: prometheus.NewGaugeVec(prometheus.GaugeOpts(opts("reload_success",
			"1 if the files' newest contents are in use, 0 if they could not be loaded and older ones are.")), labels),
		loads: prometheus.NewCounterVec(prometheus.CounterOpts(opts("loads_total",
			"Attempts to load TLS material, by result.")), append(labels, "result")),
	}
}

func (m *metrics) loaded(w *watched, expiry time.Time, err error) {
	if err != nil {
		m.current.WithLabelValues(string(w.kind), w.name).Set(0)
		m.loads.WithLabelValues(string(w.kind), w.name, "failure").Inc()
		return
	}
	m.current.WithLabelValues(string(w.kind), w.name).Set(1)
	m.loads.WithLabelValues(string(w.kind), w.name, "success").Inc()
	m.notAfter.WithLabelValues(string(w.kind), w.name).Set(float64(expiry.Unix()))
}

func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.notAfter, m.current, m.loads}
}
