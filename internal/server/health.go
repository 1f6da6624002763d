package server

import (
	"encoding/json"
	"net/http"
	"sync/atomic"
)

// Check is one condition for taking traffic. Probe returns nil while it holds, and must neither block nor do I/O.
type Check struct {
	Name  string
	Probe func() error
	// Advisory checks are shown, but a gate that fails them stays in traffic.
	Advisory bool
}

// Health answers three different questions: is the process alive, has it finished starting, and may it be given traffic now.
type Health struct {
	checks   []Check
	started  atomic.Bool
	draining atomic.Bool
}

// NewHealth returns a Health that has not started. Checks decide readiness only: a process that waits for its surroundings must not
// be restarted for it.
func NewHealth(checks ...Check) *Health { return &Health{checks: checks} }

// Started says that the process has finished starting.
func (h *Health) Started() { h.started.Store(true) }

// Drain says that the process is about to stop: from now on it is not ready, whatever its checks say.
func (h *Health) Drain() { h.draining.Store(true) }

// The answers of the probes.
const (
	statusAlive    = "alive"
	statusStarting = "starting"
	statusStarted  = "started"
	statusReady    = "ready"
	statusNotReady = "not ready"
	statusDraining = "draining"
)

// report is the body of a probe's answer.
type report struct {
	Status string            `json:"status"`
	Checks map[string]string `json:"checks,omitempty"`
}

// live answers /healthz: the process can answer, which is all that a restart could mend.
func (*Health) live(w http.ResponseWriter, _ *http.Request) {
	writeReport(w, http.StatusOK, report{Status: statusAlive})
}

// startup answers /startupz: until it is 200, the other probes are not worth asking.
func (h *Health) startup(w http.ResponseWriter, _ *http.Request) {
	if h.started.Load() {
		writeReport(w, http.StatusOK, report{Status: statusStarted})
		return
	}
	writeReport(w, http.StatusServiceUnavailable, report{Status: statusStarting})
}

// ready answers /readyz, with the state of each check.
func (h *Health) ready(w http.ResponseWriter, _ *http.Request) {
	code, status := http.StatusServiceUnavailable, statusReady
	checks := make(map[string]string, len(h.checks))
	for _, c := range h.checks {
		checks[c.Name] = "ok"
		if err := c.Probe(); err != nil {
			checks[c.Name] = err.Error()
			if !c.Advisory {
				status = statusNotReady
			}
		}
	}
	switch {
	case h.draining.Load():
		status = statusDraining
	case !h.started.Load():
		status = statusStarting
	case status == statusReady:
		code = http.StatusOK
	}
	writeReport(w, code, report{Status: status, Checks: checks})
}

func writeReport(w http.ResponseWriter, code int, r report) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(r) //nolint:errchkjson // A prober that left needs no answer.
}
