package server

import (
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
)

// Check is one condition for taking traffic. Probe returns nil while it holds, and must neither block nor do I/O.
type Check struct {
	Name  string
	Probe func() error
}

// Health answers three different questions: has the process finished starting, may it be given traffic now, and is it alive.
type Health struct{}

// NewHealth returns a Health that is not started yet. Checks decide readiness only: a process that waits for its surroundings must
// not be restarted for it.
func NewHealth(checks ...Check) *Health { return &Health{} }

// Started says that the process has finished starting.
func (*Health) Started() {}

// Drain says that the process is about to stop: it is not ready from now on, whatever its checks say.
func (*Health) Drain() {}

// AdminConfig configures the admin listener's handler.
type AdminConfig struct {
	Gatherer prometheus.Gatherer // required
	Health   *Health             // required
	Level    *slog.LevelVar      // nil: the level cannot be read or changed here
}

// Admin returns the handler of the admin listener: /metrics, /healthz, /readyz, /startupz, and /loglevel (GET; PUT with a level as text).
func Admin(AdminConfig) (http.Handler, error) { return nil, errNotReady }
