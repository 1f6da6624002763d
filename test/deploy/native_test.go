package deploy_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cosmosgate/cosmosgate/test/deploy"
)

func TestTheStackRunsWithoutContainers(t *testing.T) { //nolint:tparallel // one story, told in order
	t.Parallel()
	s := newStack(t)

	out, err := s.command(t.Context(), "check", "--config", s.config).CombinedOutput()
	if err != nil {
		t.Fatalf("cosmosgate check: %v\n%s", err, out)
	}
	stop := s.serve(t)
	admin := "http://" + s.addr["admin"]
	s.poll(t, admin+"/startupz", func(status int, _ string) bool { return status == http.StatusOK })
	s.poll(t, admin+"/readyz", func(status int, _ string) bool { return status == http.StatusOK })

	for where, line := range map[string][]string{
		"Dockerfile": append(s.d.Image.Health[1:], "--admin", "http://127.0.0.1:9090"), "compose": s.d.Compose.Services["gate"].HealthCheck.Test[1:],
	} {
		args := strings.Split(strings.ReplaceAll(strings.Join(line[1:], "\x00"), "http://127.0.0.1:9090", admin), "\x00")
		if out, err := s.command(t.Context(), args...).CombinedOutput(); err != nil {
			t.Errorf("the health check of %s: %v\n%s", where, err, out)
		}
	}

	s.seed(t)
	s.seed(t) // a second time changes nothing
	for _, c := range []struct {
		what, person, path, partition string
		want                          int
	}{
		{"an analyst reads her own department", "ann", "/dbs/shop/colls/orders/docs/1001", "emea", http.StatusOK},
		{"an analyst reads another department", "ann", "/dbs/shop/colls/orders/docs/2001", "amer", http.StatusForbidden},
		{"a developer reads products", "bob", "/dbs/shop/colls/products/docs/1", "shoes", http.StatusOK},
		{"somebody who has left signs in", "dan", "/dbs/shop/colls/orders/docs/1001", "emea", http.StatusUnauthorized},
	} {
		if got := s.read(t, c.person, c.path, c.partition); got != c.want {
			t.Errorf("%s: %d, want %d", c.what, got, c.want)
		}
	}

	exposed := s.traffic(t)
	dev := startDevelopment(t, s.binary)
	dev.traffic(t)
	dev.administer(t, s.binary)
	scrape(t, dev.ready.Gate.Admin+"metrics", exposed)
	t.Run("queries name what gates expose", func(t *testing.T) {
		if f := s.d.CheckQueries(exposed); len(f) > 0 {
			t.Error(f.String())
		}
	})
	t.Run("queries that name anything else are found", func(t *testing.T) { brokenQueries(t, exposed) })
	t.Run("the token script signs in", dev.signIn)

	stop()
	if out, err := s.command(t.Context(), "healthcheck", "--admin", admin).CombinedOutput(); err == nil {
		t.Errorf("the health check of a gate that is not there passes: %s", out)
	}
}

// seed runs the script of the service seed against the gate and the stand-in.
func (s *stack) seed(t *testing.T) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", filepath.Join(s.d.Root, "deploy", "compose", "seed.sh"))
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "COSMOS_URL=" + local(s.upstream.URL), "COSMOS_EMULATOR_KEY=" + s.environment("seed", "COSMOS_EMULATOR_KEY"),
		"SCIM_URL=https://localhost:" + strings.TrimPrefix(s.addr["scim"], "127.0.0.1:") + "/scim/v2/keycloak", "SEED_FOLDER=" + filepath.Join(s.made, "seed"),
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("seed.sh: %v\n%s", err, out)
	}
}

// traffic makes what ordinary days lack, a broken policy and an upstream that is away, and returns what the gate then exposes.
func (s *stack) traffic(t *testing.T) deploy.Exposed {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.policy, "broken.yaml"), []byte("kind: Nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	metrics := "http://" + s.addr["admin"] + "/metrics"
	s.poll(t, metrics, func(_ int, body string) bool {
		return strings.Contains(body, `cosmosgate_policy_reloads_total{result="failure"}`)
	})
	s.upstream.CloseClientConnections()
	s.upstream.Close()
	if got := s.read(t, "ann", "/dbs/shop/colls/orders/docs/1001", "emea"); got < http.StatusInternalServerError {
		t.Errorf("with upstream away: %d", got)
	}
	exposed := deploy.Exposed{}
	scrape(t, metrics, exposed)
	return exposed
}

func scrape(t *testing.T, url string, into deploy.Exposed) {
	t.Helper()
	answer, err := http.Get(url) //nolint:gosec,noctx // a gate that this test started
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if err := into.Add(answer.Body); err != nil {
		t.Fatal(err)
	}
}

func brokenQueries(t *testing.T, exposed deploy.Exposed) {
	t.Helper()
	const board, alerts = "deploy/grafana/dashboards/cosmosgate.json", "deploy/prometheus/alerts.yml"
	for _, c := range []struct{ name, file, old, new, want string }{
		{"a series that nobody exposes", board, "cosmosgate_requests_total", "cosmosgate_request_total", "no gate exposes cosmosgate_request_total"},
		{"a label that the series lacks", board, `part=\"gate\"`, `stage=\"gate\"`, "has no label stage"},
		{"a value that never occurs", board, `part=\"gate\"`, `part=\"proxy\"`, `never has part="proxy"`},
		{"a grouping by nothing", board, "sum by (decision)", "sum by (verdict)", "groups by verdict"},
		{"a legend of a label that was summed away", board, `"legendFormat": "{{class}}"`, `"legendFormat": "{{operation}}"`, "shows label operation"},
		{"a query that does not parse", board, "topk(10, ", "topk(10 ", "panel Operations: "},
		{"a rate of a gauge", board, "sum(cosmosgate_requests_in_flight{instance=~\\\"$instance\\\"})", "sum(rate(cosmosgate_requests_in_flight[5m]))", "not a counter"},
		{"a quantile without buckets", board, "sum by (le) (rate(cosmosgate_request_seconds_bucket", "sum by (part) (rate(cosmosgate_request_seconds_bucket", "a quantile without le"},
		{"a variable over nothing", board, `"definition": "label_values(cosmosgate_requests_in_flight`, `"definition": "label_values(cosmosgate_in_flight`, "variable instance: no gate exposes"},
		{"an alert on nothing", alerts, "cosmosgate_audit_available", "cosmosgate_audit_up", "alert AuditUnavailable: no gate exposes"},
		{"an alert on another job", alerts, `up{job="cosmosgate"}`, `up{job="gate"}`, `up never has job="gate"`},
		{"an alert on a result that no feed has", alerts, `result="temporarily_unavailable"`, `result="unavailable"`, `never has result="unavailable"`},
		{"an alert that names a lost label", alerts, "$labels.issuer", "$labels.provider", "shows label provider"},
		{"an alert with a field that Prometheus does not know", alerts, "    for: 1m", "    after: 1m", "alerts: "},
		{"a rule file without rules", alerts, "  rules:\n", "  rules: []\n  ignored:\n", "alerts: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := load(t, breakTree(t, c.file, c.old, c.new)).CheckQueries(exposed)
			if !strings.Contains(f.String(), c.want) {
				t.Errorf("want a fault with %q, got:\n%s", c.want, f.String())
			}
		})
	}
}

func TestACheckOfABrokenConfigurationFails(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	broken := strings.Replace(string(text), "reader: gate", "reader: nobody", 1)
	if err := os.WriteFile(s.config, []byte(broken), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := s.command(t.Context(), "check", "--config", s.config).CombinedOutput(); err == nil || !strings.Contains(string(out), "reader") {
		t.Errorf("cosmosgate check: %v\n%s", err, out)
	}
}

// The image of Keycloak has no HTTP client, so its health check speaks HTTP through bash.
func TestTheHealthCheckOfKeycloakGoesByTheStatus(t *testing.T) {
	t.Parallel()
	line := load(t, root).Compose.Services["keycloak"].HealthCheck.Test
	for _, c := range []struct {
		name   string
		status int
		want   bool
	}{{"up", http.StatusOK, true}, {"down", http.StatusServiceUnavailable, false}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/health/ready" {
					t.Errorf("asked %s", r.URL)
				}
				w.WriteHeader(c.status)
			}))
			defer server.Close()
			args := slices.Clone([]string(line[1:]))
			script := &args[len(args)-1]
			*script = strings.Replace(*script, "127.0.0.1/9000", strings.Replace(server.Listener.Addr().String(), ":", "/", 1), 1)
			if err := exec.CommandContext(t.Context(), args[0], args[1:]...).Run(); (err == nil) != c.want {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestScriptsParse(t *testing.T) {
	t.Parallel()
	for name := range load(t, root).Scripts {
		if out, err := exec.CommandContext(t.Context(), "sh", "-n", filepath.Join(root, "deploy", "compose", name)).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

func decodeFile(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}
