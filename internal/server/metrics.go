package server

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	open    prometheus.Gauge
	refused prometheus.Counter
	cut     prometheus.Counter

	handshakes prometheus.Counter
}

func newMetrics(listener string) *metrics {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{
			Namespace: "cosmosgate", Subsystem: "listener", Name: name, Help: help, ConstLabels: prometheus.Labels{"listener": listener},
		}
	}
	return &metrics{
		open: prometheus.NewGauge(prometheus.GaugeOpts(opts("open_connections", "Connections that are open."))),
		refused: prometheus.NewCounter(prometheus.CounterOpts(opts("refused_connections_total",
			"Connections closed at once because too many were open."))),
		cut: prometheus.NewCounter(prometheus.CounterOpts(opts("cut_connections_total",
			"Connections that were still open at the end of the drain time."))),
		handshakes: prometheus.NewCounter(prometheus.CounterOpts(opts("failed_handshakes_total", "TLS handshakes that failed."))),
	}
}

func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.open, m.refused, m.cut, m.handshakes}
}
