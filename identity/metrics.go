package identity

import (
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the authenticator's counters. Ages are computed when they are read.
type metrics struct {
	lookups   *prometheus.CounterVec
	hits      prometheus.Counter
	misses    prometheus.Counter
	negatives prometheus.Counter
	refreshes *prometheus.CounterVec
}

func newMetrics() *metrics {
	lookups := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "cosmosgate_token_cache_lookups_total",
		Help: "Tokens looked up in the cache of verified tokens, by result: hit, miss, or negative (refused a moment ago).",
	}, []string{"result"})

	return &metrics{
		lookups:   lookups,
		hits:      lookups.WithLabelValues("hit"),
		misses:    lookups.WithLabelValues("miss"),
		negatives: lookups.WithLabelValues("negative"),
		refreshes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cosmosgate_jwks_refreshes_total",
			Help: "Fetches of an issuer's keys, by result: success or failure.",
		}, []string{"issuer", "result"}),
	}
}

// issuerMetrics are one issuer's counters.
type issuerMetrics struct {
	success, failure prometheus.Counter
}

func (m *metrics) issuer(name string) issuerMetrics {
	return issuerMetrics{
		success: m.refreshes.WithLabelValues(name, "success"),
		failure: m.refreshes.WithLabelValues(name, "failure"),
	}
}

func (m issuerMetrics) refreshed(err error) {
	if err != nil {
		m.failure.Inc()

		return
	}

	m.success.Inc()
}

// keyCollector reports the state of every issuer's key set; an issuer without keys has no age.
type keyCollector struct {
	issuers []*issuer
	age     *prometheus.Desc
	count   *prometheus.Desc
}

func newKeyCollector(issuers []*issuer) *keyCollector {
	return &keyCollector{
		issuers: issuers,
		age: prometheus.NewDesc("cosmosgate_jwks_age_seconds",
			"Time since the issuer's keys were last fetched.", []string{"issuer"}, nil),
		count: prometheus.NewDesc("cosmosgate_jwks_keys",
			"Key ids that may verify tokens of the issuer.", []string{"issuer"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *keyCollector) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- c.age

	descriptions <- c.count
}

// Collect implements prometheus.Collector.
func (c *keyCollector) Collect(samples chan<- prometheus.Metric) {
	for _, is := range c.issuers {
		set := is.keys.current.Load()
		if set == nil {
			continue
		}

		age := is.keys.clock().Sub(set.fetched).Seconds()
		samples <- prometheus.MustNewConstMetric(c.age, prometheus.GaugeValue, age, is.Name)

		samples <- prometheus.MustNewConstMetric(c.count, prometheus.GaugeValue, float64(len(set.byID)), is.Name)
	}
}
