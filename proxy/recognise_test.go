package proxy_test

import (
	"context"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/cosmosgate/cosmosgate/identity"
	"github.com/cosmosgate/cosmosgate/proxy"
)

// TestNobodyIsRecognisedByOnePolicyAndJudgedByTheNext changes the policy in force while callers are being recognised.
func TestNobodyIsRecognisedByOnePolicyAndJudgedByTheNext(t *testing.T) {
	t.Parallel()
	person := identity.Principal{Kind: identity.KindPerson, Record: "ann"}
	application := identity.Principal{Kind: identity.KindApplication, Application: "checkout"}
	agent := identity.Principal{Kind: identity.KindPerson, Record: "ann", Actors: []identity.Actor{{Agent: "bot"}}}
	for name, row := range map[string]struct {
		who        identity.Principal
		changes    int64 // how often the policy changes, each time somebody has been recognised
		recognised int64 // how often somebody was
		status     int
	}{
		"no change":      {application, 0, 1, http.StatusOK},
		"an application": {application, 1, 2, http.StatusOK},
		"an agent":       {agent, 2, 3, http.StatusOK},
		"a person, whose client may turn out to be an agent": {person, 1, 2, http.StatusOK},
		"a policy that changes all the time":                 {application, 1000, 4, http.StatusServiceUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var hash, recognised atomic.Int64
			g := newGate(t, setup{
				edit: func(c *proxy.Config) {
					c.PolicyHash = func() string { return strconv.FormatInt(hash.Load(), 10) }
				},
				authenticate: func(context.Context, identity.Credential) (identity.Principal, error) {
					if n := recognised.Add(1); n <= row.changes {
						hash.Add(1)
					}
					return row.who, nil
				},
			})
			if got := g.get(); got.Status != row.status {
				t.Errorf("status %d, want %d: %s", got.Status, row.status, got.Body)
			}
			if recognised.Load() != row.recognised {
				t.Errorf("recognised %d times, want %d", recognised.Load(), row.recognised)
			}
			if r := g.ledger.next(t); row.status == http.StatusOK && r.PolicyHash != strconv.FormatInt(hash.Load(), 10) {
				t.Errorf("recorded policy %s, want %d", r.PolicyHash, hash.Load())
			}
		})
	}
}

// TestAProofThatWasSpentBeforeThePolicyChangedIsNotHeldAgainstItsCaller changes the policy under a proof that counts once.
func TestAProofThatWasSpentBeforeThePolicyChangedIsNotHeldAgainstItsCaller(t *testing.T) {
	t.Parallel()
	refusal := &identity.Error{Substatus: identity.SubstatusScope, Reason: "proof was used before"}
	who := identity.Principal{Kind: identity.KindPerson, Record: "ann"}
	for name, row := range map[string]struct {
		proof   []string
		refusal *identity.Error
		status  int
	}{
		"a proof":                    {[]string{"Dpop", "x"}, refusal, http.StatusServiceUnavailable},
		"a proof of who is shut out": {[]string{"Dpop", "x"}, &identity.Error{Substatus: identity.SubstatusRevoked, Refused: &who}, http.StatusUnauthorized},
		"no proof":                   {nil, refusal, http.StatusUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var recognised atomic.Int64
			g := newGate(t, setup{
				edit: func(c *proxy.Config) {
					c.PolicyHash = func() string { return strconv.FormatInt(min(recognised.Load(), 1), 10) }
				},
				authenticate: func(context.Context, identity.Credential) (identity.Principal, error) {
					if recognised.Add(1) > 1 {
						return identity.Principal{}, row.refusal
					}
					return who, nil
				},
			})
			got := g.do(request(t, http.MethodGet, "/dbs/shop/colls/orders/docs/1", "", row.proof...))
			if got.Status != row.status {
				t.Errorf("status %d, want %d: %s", got.Status, row.status, got.Body)
			}
		})
	}
}
