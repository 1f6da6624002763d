package scim

import (
	"net/http"
	"slices"
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

// begin has a connection's refusals counted from 0, so that the first is a rise.
func (m *metrics) begin(connection string) {
	for _, kind := range []Kind{
		"", KindInvalidFilter, KindTooMany, KindUniqueness, KindMutability, KindInvalidSyntax, KindInvalidPath, KindNoTarget, KindInvalidValue,
	} {
		m.errors.WithLabelValues(connection, string(kind))
	}
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

// census reads what the directory holds when somebody scrapes.
type census struct {
	server                            *Server
	users, active, linked, groups     *prometheus.Desc
	lastContact, lastWrite, heartbeat *prometheus.Desc
	silent, risk, warnings            *prometheus.Desc
}

func newCensus(s *Server) *census {
	describe := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, []string{"connection"}, nil)
	}
	return &census{
		server: s,
		users:  describe("cosmosgate_directory_users", "Users by connection, inactive ones too."),
		active: describe("cosmosgate_directory_active_users", "Active users by connection."),
		linked: describe("cosmosgate_directory_linked_users", "Users with an external id by connection."),
		groups: describe("cosmosgate_directory_groups", "Groups by connection."),
		lastContact: describe("cosmosgate_scim_last_contact_timestamp_seconds",
			"Last request with a valid token since the start, Unix time, 0 for never."),
		lastWrite: describe("cosmosgate_scim_last_write_timestamp_seconds",
			"Last change since the start, Unix time, 0 for never."),
		silent: describe("cosmosgate_scim_silent",
			"1 if the provider has not been heard of for twice its interval."),
		risk: describe("cosmosgate_scim_quarantine_risk",
			"How near the provider is to giving up, from refusals of its last requests: 0 none, 1 elevated, 2 high."),
		warnings: prometheus.NewDesc("cosmosgate_scim_warnings",
			"Records that a warning is about, or 1 if it is not about records, by connection and kind of warning; 0 without warning.", []string{"connection", "kind"}, nil),
		heartbeat: prometheus.NewDesc("cosmosgate_directory_healthy",
			"1 while the directory can be written to.", nil, nil),
	}
}

// Describe implements [prometheus.Collector].
func (c *census) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.users, c.active, c.linked, c.groups, c.lastContact, c.lastWrite, c.heartbeat, c.silent, c.risk, c.warnings} {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (c *census) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	for name, connection := range c.server.connections {
		counts := connection.directory.Counts(name)
		gauge(c.users, float64(counts.Users), name)
		gauge(c.active, float64(counts.Active), name)
		gauge(c.linked, float64(counts.Linked), name)
		gauge(c.groups, float64(counts.Groups), name)
		contact, write := connection.contact.times()
		gauge(c.lastContact, unixSeconds(contact), name)
		gauge(c.lastWrite, unixSeconds(write), name)
		status := connection.status(c.server.config.Clock())
		gauge(c.silent, float64(rank(status.Silent)), name)
		gauge(c.risk, float64(slices.Index([]string{riskNone, riskElevated, riskHigh}, status.Risk.Level)), name)
		for _, kind := range warningKinds {
			gauge(c.warnings, float64(status.warned(kind)), name, kind)
		}
	}
	healthy := 1.0
	if c.server.config.Directory.Healthy() != nil {
		healthy = 0
	}
	gauge(c.heartbeat, healthy)
}

func unixSeconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.Unix())
}
