package identity

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
)

// keyMetrics count requests with account keys, and tell when each live key ends.
type keyMetrics struct {
	keys     *Keys
	requests *prometheus.CounterVec
	accepted prometheus.Counter
	refused  prometheus.Counter
	expires  *prometheus.Desc
}

func newKeyMetrics(k *Keys) *keyMetrics {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "cosmosgate_key_requests_total", Help: "Requests signed with an account key, by result: accepted or refused.",
	}, []string{"result"})

	return &keyMetrics{
		keys: k, requests: requests, accepted: requests.WithLabelValues("accepted"), refused: requests.WithLabelValues("refused"),
		expires: prometheus.NewDesc("cosmosgate_key_expires_timestamp_seconds",
			"When a live virtual key ends.", []string{"key", "application"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (m *keyMetrics) Describe(descriptions chan<- *prometheus.Desc) { descriptions <- m.expires }

// Collect implements prometheus.Collector. There are at most as many keys as may live at once.
func (m *keyMetrics) Collect(samples chan<- prometheus.Metric) {
	for _, key := range m.keys.List(context.Background()) {
		if key.State != KeyLive {
			continue
		}

		samples <- prometheus.MustNewConstMetric(m.expires, prometheus.GaugeValue, float64(key.Expires.Unix()), key.ID, key.Application)
	}
}
