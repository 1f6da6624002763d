package proxy_test

import (
	"net/http"
	"testing"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/policy"
)

func TestADecisionThatCouldNotBeMadeIsTheGatesFault(t *testing.T) {
	t.Parallel()
	for _, reason := range []policy.Reason{policy.ReasonNoPolicy, policy.ReasonMalformed, policy.ReasonEvaluation} {
		t.Run(reason.String(), func(t *testing.T) {
			t.Parallel()
			g := newGate(t, setup{decide: func(policy.Request) policy.Decision { return policy.Decision{Reason: reason} }})
			if got := g.get(); got.Status != http.StatusServiceUnavailable {
				t.Errorf("status = %d, want 503: a 403 would send the caller to ask for a role", got.Status)
			}
			if r := g.ledger.next(t); r.Decision != audit.Error {
				t.Errorf("decision = %q, want %q", r.Decision, audit.Error)
			}
			if requests := g.service.seen(); len(requests) != 0 {
				t.Errorf("upstream received %d requests, want none", len(requests))
			}
		})
	}
}
