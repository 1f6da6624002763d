package scim

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the server's numbers.
type metrics struct {
	requests *prometheus.CounterVec
	errors   *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func newMetrics() *metrics {
	return &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cosmosgate_scim_requests_total", Help: "SCIM requests by connection, method and status.",
		}, []string{"connection", "method", "status"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cosmosgate_scim_errors_total", Help: "Refused SCIM requests by connection and scimType.",
		}, []string{"connection", "scim_type"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "cosmosgate_scim_request_seconds", Help: "Time to answer a SCIM request.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1, 5},
		}, []string{"connection", "method"}),
	}
}

func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.requests, m.errors, m.duration}
}

func (m *metrics) observe(connection, method string, status int, kind Kind, took time.Duration) {
	method = knownMethod(method)
	m.requests.WithLabelValues(connection, method, strconv.Itoa(status)).Inc()
	m.duration.WithLabelValues(connection, method).Observe(took.Seconds())
	if status >= http.StatusBadRequest {
		m.errors.WithLabelValues(connection, string(kind)).Inc()
	}
}

// knownMethod keeps a caller from making up label values.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		return method
	default:
		return "other"
	}
}
