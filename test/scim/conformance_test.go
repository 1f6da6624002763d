// Package conformance_test runs other people's SCIM test suites against the
// server on loopback. Each is skipped by name if its program is not on the
// path; run.sh installs them into a temporary folder first.
package conformance_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/scim"
)

// service is a SCIM server under test.
type service struct{ url, token string }

func serve(t *testing.T) service {
	t.Helper()
	d, err := directory.Open(directory.Config{
		Path: filepath.Join(t.TempDir(), "directory.db"), Clock: time.Now, Random: rand.Reader,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	_, token, err := d.CreateToken(t.Context(), "corp", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewUnstartedServer(nil)
	base := &url.URL{Scheme: "http", Host: web.Listener.Addr().String()}
	web.Config.Handler, err = scim.New(scim.Config{
		Directory: d, Tokens: d, PublicURL: base, Clock: time.Now, Logger: slog.New(slog.DiscardHandler),
		Connections: []scim.Connection{{Name: "corp", Rate: 1e6, Burst: 1e6}},
	})
	if err != nil {
		t.Fatal(err)
	}
	web.Start()
	t.Cleanup(func() {
		web.Close()
		cancel()
		if err := errors.Join(<-done, d.Close()); err != nil {
			t.Error(err)
		}
	})
	return service{url: base.String() + "/scim/v2/corp", token: token}
}

// earlier makes the user that a collection expects to find and returns its id.
func (s service) earlier(t *testing.T, collection string) string {
	t.Helper()
	if !strings.Contains(collection, "inbound") {
		return ""
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/Users", strings.NewReader(`{"userName":"earlier"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	r.Header.Set("Content-Type", "application/scim+json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	var made struct{ ID string }
	if err := json.NewDecoder(answer.Body).Decode(&made); err != nil {
		t.Fatal(err)
	}
	return made.ID
}

// missing skips a test whose program is not installed, where that is allowed.
func missing(t *testing.T, name string) {
	t.Helper()
	if os.Getenv("REQUIRE_ALL") != "" {
		t.Fatalf("%s is not installed, and REQUIRE_ALL is set", name)
	}
	t.Skipf("SKIPPED: %s is not installed", name)
}

// program runs an installed program and returns what it printed, whatever its
// exit code.
func program(t *testing.T, name string, arguments ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, name)
	}
	out, err := exec.CommandContext(t.Context(), path, arguments...).Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out)
}

func TestSCIM2CLIFindsNoError(t *testing.T) {
	t.Parallel()
	s := serve(t)
	out := program(t, "scim2", "--url", s.url, "--header", "Authorization: Bearer "+s.token, "test")
	if n := strings.Count(out, "SUCCESS"); n < 100 || strings.Contains(out, "ERROR") {
		t.Errorf("%d successes in\n%s", n, out)
	} else {
		t.Logf("scim2-cli: %d checks succeeded", n)
	}
}

func TestSCIMSanityDisagreesOnlyWhereDocumented(t *testing.T) {
	t.Parallel()
	groups := []string{"PATCH /Groups/{id}", "PATCH /Groups/{id} add member", "PATCH /Groups/{id} remove members"}
	for name, row := range map[string]struct {
		arguments, failed []string
	}{
		"the RFC":         {nil, groups},
		"Entra's profile": {[]string{"--profile", "entra"}, []string{"POST /Users", "POST /Groups"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sanity(t, row.arguments, row.failed)
		})
	}
}

// sanity probes a server of its own and compares what failed.
func sanity(t *testing.T, arguments, want []string) {
	t.Helper()
	s := serve(t)
	out := program(t, "scim-sanity", append([]string{
		"probe", s.url, "--token", s.token,
		"--strict", "--json-output", "--i-accept-side-effects",
	}, arguments...)...)
	var report struct {
		Summary struct{ Total, Passed int }
		Results []struct{ Name, Status string }
	}
	if err := json.Unmarshal([]byte(out[max(0, strings.IndexByte(out, '{')):]), &report); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	failed := []string{}
	for _, r := range report.Results {
		if r.Status == "fail" {
			failed = append(failed, r.Name)
		}
	}
	if diff := cmp.Diff(want, failed); diff != "" {
		t.Errorf("failed (-want +got)\n%s", diff)
	}
	t.Logf("scim-sanity: %d of %d passed", report.Summary.Passed, report.Summary.Total)
}

// newmanRun is what newman writes about a run.
type newmanRun struct {
	Run struct {
		Stats      struct{ Requests, Assertions struct{ Total, Failed int } }
		Executions []struct {
			Item       struct{ Name string }
			Assertions []struct {
				Assertion string
				Error     *struct{ Message string }
			}
		}
	}
}

// TestMicrosoftCollectionsDisagreeOnlyWhereDocumented runs the two request
// collections named by SCIM_SUITES. The server's address replaces theirs, the
// token request is left out, the user that the second expects from an earlier
// run is made (id1), and every externalId is made unique: the
// collections send one text for several users, which a link must not share.
func TestMicrosoftCollectionsDisagreeOnlyWhereDocumented(t *testing.T) {
	t.Parallel()
	folder := os.Getenv("SCIM_SUITES")
	if folder == "" {
		t.Skip("SKIPPED: SCIM_SUITES names no folder with the collections")
	}
	rows := map[string][]string{
		"microsoft-scim-tests.postman_collection.json": {
			"Get group by id",
			"Group patch add member", "Group patch add member2", "Patch user omalley new username",
			"Put a user misspelled attribute", "filter eq and (val or val)", "filter greater than",
			"filter starts with", "patch user omalley active with boolean",
		},
		"microsoft-scim-inbound.postman_collection.json": {},
	}
	for name, want := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t)
			text, err := os.ReadFile(filepath.Join(folder, name))
			if err != nil {
				t.Fatal(err)
			}
			collection := filepath.Join(t.TempDir(), "collection.json")
			if err := os.WriteFile(collection, adapt(t, text, s), 0o600); err != nil {
				t.Fatal(err)
			}
			report := filepath.Join(t.TempDir(), "report.json")
			program(t, "newman", "run", collection, "--env-var", "id1="+s.earlier(t, name),
				"--reporters", "json", "--reporter-json-export", report)
			var r newmanRun
			out, err := os.ReadFile(report)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(out, &r); err != nil {
				t.Fatal(err)
			}
			failed := []string{}
			for _, e := range r.Run.Executions {
				for _, a := range e.Assertions {
					if a.Error != nil {
						failed = append(failed, e.Item.Name)
					}
				}
			}
			slices.Sort(failed)
			if diff := cmp.Diff(want, failed); diff != "" {
				t.Errorf("failed (-want +got)\n%s", diff)
			}
			stats := r.Run.Stats
			t.Logf("%s: %d requests, %d of %d assertions hold", name, stats.Requests.Total,
				stats.Assertions.Total-stats.Assertions.Failed, stats.Assertions.Total)
		})
	}
}

var externalID = regexp.MustCompile(`("externalId"\s*:\s*")[^"]*`)

// adapt points a collection at the service.
func adapt(t *testing.T, text []byte, s service) []byte {
	t.Helper()
	var collection map[string]any
	if err := json.Unmarshal(text, &collection); err != nil {
		t.Fatal(err)
	}
	items, _ := collection["item"].([]any)
	collection["item"] = adaptItems(items, s)
	out, err := json.Marshal(collection)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func adaptItems(items []any, s service) []any {
	var kept []any
	for _, raw := range items {
		item, _ := raw.(map[string]any)
		if name, _ := item["name"].(string); strings.HasPrefix(strings.ToLower(name), "get token") {
			continue
		}
		if inner, ok := item["item"].([]any); ok {
			item["item"] = adaptItems(inner, s)
		}
		if request, ok := item["request"].(map[string]any); ok {
			adaptRequest(request, s)
		}
		kept = append(kept, item)
	}
	return kept
}

func adaptRequest(request map[string]any, s service) {
	address, _ := request["url"].(string)
	if object, ok := request["url"].(map[string]any); ok {
		address, _ = object["raw"].(string)
	}
	for _, base := range []string{"https://{{endpoint}}/scim", "https://{{Server}}{{Port}}/{{Api}}", "{{Protocol}}://{{Server}}{{Port}}/{{Api}}"} {
		address = strings.Replace(address, base, s.url, 1)
	}
	request["url"] = address
	request["auth"] = map[string]any{
		"type": "bearer", "bearer": []any{map[string]any{"key": "token", "value": s.token, "type": "string"}},
	}
	if headers, ok := request["header"].([]any); ok {
		request["header"] = slices.DeleteFunc(headers, func(h any) bool {
			object, _ := h.(map[string]any)
			key, _ := object["key"].(string)
			return strings.EqualFold(key, "Authorization")
		})
	}
	body, _ := request["body"].(map[string]any)
	if raw, ok := body["raw"].(string); ok {
		body["raw"] = externalID.ReplaceAllString(raw, "${1}{{$$guid}}")
	}
}
