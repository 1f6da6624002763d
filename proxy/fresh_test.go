package proxy_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/policy"
	"github.com/cosmosgate/cosmosgate/proxy"
)

func TestAStaleDirectoryDecidesOnlyWhatTheRoleLetsIt(t *testing.T) {
	t.Parallel()
	const staleAfter, serveAtMost = 2 * time.Second, time.Minute
	deny := func(policy.Request) policy.Decision { return policy.Decision{Reason: policy.ReasonNoRole} }
	strict, patient := obliged(policy.Obligations{Staleness: policy.StalenessStrict}), obliged(policy.Obligations{Staleness: policy.StalenessBestEffort})
	type told struct {
		Status   int
		Decision audit.Decision
		Reason   string
	}
	served, unavailable := told{http.StatusOK, audit.Allow, ""}, told{http.StatusServiceUnavailable, audit.Error, "directory_stale"}
	for name, row := range map[string]struct {
		age    time.Duration
		decide decide
		want   told
	}{
		"current, strict":                  {staleAfter, strict, served},
		"stale, strict":                    {staleAfter + 1, strict, unavailable},
		"stale, a role that says nothing":  {staleAfter + 1, allow, unavailable},
		"stale, best effort":               {serveAtMost, patient, served},
		"too old even for best effort":     {serveAtMost + 1, patient, unavailable},
		"never known to be current":        {1 << 62, patient, unavailable},
		"a denial, however old it is":      {1 << 62, deny, told{http.StatusForbidden, audit.Deny, policy.ReasonNoRole.String()}},
		"a denial of a current directory":  {0, deny, told{http.StatusForbidden, audit.Deny, policy.ReasonNoRole.String()}},
		"a directory that is never behind": {0, allow, served},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t, setup{decide: row.decide, edit: func(c *proxy.Config) {
				c.Freshness = proxy.Freshness{
					Age: func(time.Time) time.Duration { return row.age }, StaleAfter: staleAfter, ServeAtMost: serveAtMost,
				}
			}})
			got := g.get()
			r := g.ledger.next(t)
			if diff := cmp.Diff(row.want, told{got.Status, r.Decision, r.Reason}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if stale := strings.Contains(r.Detail, "last known to be current"); stale != (row.age > staleAfter && got.Status != http.StatusForbidden) {
				t.Errorf("detail %q", r.Detail)
			}
			if got.Status == http.StatusServiceUnavailable && (forwarded(g) || got.Header.Get("X-Ms-Retry-After-Ms") == "") {
				t.Errorf("forwarded, or without a time to come back: %v", got.Header)
			}
		})
	}
}

// forwarded reports whether the service got anything but the gate's own questions.
func forwarded(g *gate) bool {
	for _, r := range g.service.seen() {
		if strings.Contains(r.URI, "/docs") {
			return true
		}
	}
	return false
}

func TestFreshnessNeedsItsBounds(t *testing.T) {
	t.Parallel()
	age := func(time.Time) time.Duration { return 0 }
	for name, f := range map[string]proxy.Freshness{
		"no bounds":              {Age: age},
		"serves less than stale": {Age: age, StaleAfter: time.Minute, ServeAtMost: time.Second},
	} {
		c := config(&gate{ledger: newLedger(), upstream: &http.Transport{}}, setup{})
		c.Freshness = f
		if _, err := proxy.New(c); err == nil || !strings.Contains(err.Error(), "freshness") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
