package server_test

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/cosmosgate/cosmosgate/internal/server"
)

func admin(t *testing.T, config server.AdminConfig) http.Handler {
	t.Helper()
	config.Gatherer = prometheus.NewRegistry()
	handler, err := server.Admin(config)
	if err != nil {
		t.Fatal(err)
	}
	return handler
}

func ask(t *testing.T, handler http.Handler, method, path, body string) (int, string) {
	t.Helper()
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body)))
	return recorder.Code, recorder.Body.String()
}

func TestProbesAnswerDifferentQuestions(t *testing.T) {
	t.Parallel()
	type answers struct{ Live, Startup, Ready int }
	tests := map[string]struct {
		started, draining bool
		fault             error
		want              answers
		wantReady         string
	}{
		"starting: alive, not to be given traffic": {
			false, false, nil, answers{200, 503, 503}, `{"status":"starting","checks":{"audit":"ok","policy":"ok"}}`,
		},
		"running": {
			true, false, nil, answers{200, 200, 200}, `{"status":"ready","checks":{"audit":"ok","policy":"ok"}}`,
		},
		"a check fails: not to be given traffic, not to be restarted either": {
			true, false, errors.New("disk full"), answers{200, 200, 503}, `{"status":"not ready","checks":{"audit":"disk full","policy":"ok"}}`,
		},
		"draining": {
			true, true, nil, answers{200, 200, 503}, `{"status":"draining","checks":{"audit":"ok","policy":"ok"}}`,
		},
		"draining while a check fails": {
			true, true, errors.New("disk full"), answers{200, 200, 503},
			`{"status":"draining","checks":{"audit":"disk full","policy":"ok"}}`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			health := server.NewHealth(
				server.Check{Name: "audit", Probe: func() error { return test.fault }},
				server.Check{Name: "policy", Probe: func() error { return nil }},
			)
			if test.started {
				health.Started()
			}
			if test.draining {
				health.Drain()
			}
			handler := admin(t, server.AdminConfig{Health: health})
			var got answers
			var ready string
			got.Live, _ = ask(t, handler, http.MethodGet, "/healthz", "")
			got.Startup, _ = ask(t, handler, http.MethodGet, "/startupz", "")
			got.Ready, ready = ask(t, handler, http.MethodGet, "/readyz", "")
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("answers (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.wantReady+"\n", ready); diff != "" || !json.Valid([]byte(ready)) {
				t.Errorf("readiness (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMetricsComeFromTheInjectedRegistry(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "injected", Help: "Injected."}))
	handler, err := server.Admin(server.AdminConfig{Gatherer: registry, Health: server.NewHealth()})
	if err != nil {
		t.Fatal(err)
	}
	code, body := ask(t, handler, http.MethodGet, "/metrics", "")
	if want := "# HELP injected Injected.\n# TYPE injected gauge\ninjected 0\n"; code != http.StatusOK || body != want {
		t.Errorf("%d\n%s", code, cmp.Diff(want, body))
	}
}

func TestLogLevelCanBeReadAndChanged(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		body string
		code int
		want string
	}{
		"a level":                 {"debug\n", http.StatusOK, "debug\n"},
		"a level with an offset":  {"WARN+1", http.StatusOK, "warn+1\n"},
		"no level":                {"loud", http.StatusBadRequest, "info\n"},
		"nothing":                 {"", http.StatusBadRequest, "info\n"},
		"more than any level has": {strings.Repeat("debug", 100), http.StatusBadRequest, "info\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			handler := admin(t, server.AdminConfig{Health: server.NewHealth(), Level: new(slog.LevelVar)})
			if code, body := ask(t, handler, http.MethodPut, "/loglevel", test.body); code != test.code {
				t.Errorf("%d %s", code, body)
			}
			if _, body := ask(t, handler, http.MethodGet, "/loglevel", ""); body != test.want {
				t.Errorf("level = %q", body)
			}
		})
	}
}

func TestAdminAnswersNothingElse(t *testing.T) {
	t.Parallel()
	handler := admin(t, server.AdminConfig{Health: server.NewHealth()})
	for request, want := range map[string]int{"GET /": 404, "GET /loglevel": 404, "POST /metrics": 405, "GET /debug/pprof/": 404} {
		method, path, _ := strings.Cut(request, " ")
		if code, _ := ask(t, handler, method, path, ""); code != want {
			t.Errorf("%s: %d, want %d", request, code, want)
		}
	}
	if _, err := server.Admin(server.AdminConfig{}); err == nil {
		t.Error("a handler without a registry and a health was made")
	}
}
