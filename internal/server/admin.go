package server

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// maxLevelBytes is more than any level's name needs.
const maxLevelBytes = 64

// AdminConfig configures the admin listener's handler.
type AdminConfig struct {
	Gatherer prometheus.Gatherer // required
	Health   *Health             // required
	Level    *slog.LevelVar      // nil: the level can be neither read nor changed here
}

// Admin returns the handler of the admin listener: /metrics, /healthz, /readyz, /startupz, and /loglevel (GET, or PUT with a level
// such as "debug" as the body). It asks nobody for a credential: bind it where only operators and their probes reach it.
func Admin(config AdminConfig) (http.Handler, error) {
	if config.Gatherer == nil || config.Health == nil {
		return nil, errors.New("configuring admin handler: a gatherer and a health are required")
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(config.Gatherer, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", config.Health.live)
	mux.HandleFunc("GET /readyz", config.Health.ready)
	mux.HandleFunc("GET /startupz", config.Health.startup)
	if config.Level != nil {
		level := levelHandler{config.Level}
		mux.HandleFunc("GET /loglevel", level.get)
		mux.HandleFunc("PUT /loglevel", level.put)
	}
	return mux, nil
}

type levelHandler struct{ level *slog.LevelVar }

func (h levelHandler) get(w http.ResponseWriter, _ *http.Request) {
	_, _ = fmt.Fprintln(w, strings.ToLower(h.level.Level().String()))
}

func (h levelHandler) put(w http.ResponseWriter, r *http.Request) {
	name, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxLevelBytes))
	if err == nil {
		var level slog.Level
		if err = level.UnmarshalText([]byte(strings.TrimSpace(string(name)))); err == nil {
			h.level.Set(level)
			h.get(w, r)
			return
		}
	}
	http.Error(w, "the body must be a level: debug, info, warn or error", http.StatusBadRequest)
}
