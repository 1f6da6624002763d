package proxy_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/cosmosgate/cosmosgate/policy"
	"github.com/cosmosgate/cosmosgate/proxy"
)

func TestARefusalTellsThePolicyOnlyWhereThatIsConfigured(t *testing.T) {
	t.Parallel()
	const detail = "role payroll-reader is confined"
	for name, explained := range map[string]bool{"in production": false, "for development": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t, setup{
				decide: func(policy.Request) policy.Decision {
					return policy.Decision{Reason: policy.ReasonNoRole, Missing: policy.ReadItem, Detail: detail}
				},
				edit: func(c *proxy.Config) { c.ExplainDenials = explained },
			})
			got := g.get()
			if got.Status != http.StatusForbidden || strings.Contains(got.Body, detail) != explained {
				t.Errorf("explained is %v: %d %s", explained, got.Status, got.Body)
			}
			if r := g.ledger.next(t); r.Detail != detail {
				t.Errorf("the record says %q, want %q", r.Detail, detail)
			}
		})
	}
}
