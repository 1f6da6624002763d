package proxy

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what one proxy measures.
type metrics struct {
	requests      *prometheus.CounterVec
	gate          prometheus.Observer
	upstream      prometheus.Observer
	durations     *prometheus.HistogramVec
	inFlight      prometheus.GaugeFunc
	stripped      prometheus.Counter
	unrecorded    prometheus.Counter
	rejections    *prometheus.CounterVec
	tokenFailures *prometheus.CounterVec
	stale         *prometheus.CounterVec
	ages          []prometheus.Collector
}

func newMetrics(inFlight func() float64) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cosmosgate_requests_total", Help: "Requests by operation, decision and class of the status sent.",
		}, []string{"operation", "decision", "class"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "cosmosgate_request_seconds", Help: "Time spent by the gate itself, and waiting for upstream.",
			Buckets: []float64{25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, .1, .25, .5, 1, 5, 30, 70},
		}, []string{"part"}),
		inFlight: prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "cosmosgate_requests_in_flight", Help: "Requests being served.",
		}, inFlight),
		stripped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "cosmosgate_stripped_headers_total", Help: "Request headers dropped because they are not on the allow-list.",
		}),
		unrecorded: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "cosmosgate_unrecorded_requests_total", Help: "Requests refused with 503 because the audit log had no place for them.",
		}),
		rejections: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cosmosgate_upstream_identity_rejections_total",
			Help: "Answers in which upstream refused the gate's own identity. Alert on any: the role's identity lacks a right or is disabled.",
		}, []string{"account", "identity"}),
		tokenFailures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cosmosgate_identity_token_failures_total", Help: "Failed attempts to get an upstream token.",
		}, []string{"account", "identity"}),
	}
	m.stale = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "cosmosgate_stale_directory_requests_total",
		Help: "Allowed requests while the shared directory was stale, by what became of them: served (best_effort) or refused (503).",
	}, []string{"result"})
	m.gate = m.durations.WithLabelValues("gate")
	m.upstream = m.durations.WithLabelValues("upstream")
	return m
}

// watch adds the ages of what an account keeps. An age is +Inf while there is nothing.
func (m *metrics) watch(a *account) {
	age := func(name, help string, labels prometheus.Labels, born func() time.Time) {
		m.ages = append(m.ages, prometheus.NewGaugeFunc(
			prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels},
			func() float64 {
				at := born()
				if at.IsZero() {
					return math.Inf(1)
				}
				return a.now().Sub(at).Seconds()
			}))
	}
	age("cosmosgate_account_document_age_seconds", "Time since the account document was last read.",
		prometheus.Labels{"account": a.name}, func() time.Time {
			if document := a.document.Load(); document != nil {
				return document.read
			}
			return time.Time{}
		})
	for _, source := range a.kept {
		m.rejections.WithLabelValues(a.name, source.identity)
		age("cosmosgate_identity_token_age_seconds", "Time since the upstream token was obtained.",
			prometheus.Labels{"account": a.name, "identity": source.identity}, func() time.Time {
				if token := source.current.Load(); token != nil {
					return token.obtained
				}
				return time.Time{}
			})
	}
}

func (m *metrics) collectors() []prometheus.Collector {
	return append([]prometheus.Collector{
		m.requests, m.durations, m.inFlight, m.stripped, m.unrecorded, m.rejections, m.tokenFailures, m.stale,
	}, m.ages...)
}
