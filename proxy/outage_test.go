package proxy_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azpolicy "github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/cosmosgate/cosmosgate/policy"
	"github.com/cosmosgate/cosmosgate/proxy"
)

func TestRequestsDoNotDriveAFailingIdentityEndpoint(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := &tokens{lifetime: time.Hour}
		cfg := bubble(source.upstream())
		var exchanges atomic.Int64
		cfg.Accounts[0].Identities["mi-orders"] = getToken(func(ctx context.Context, o azpolicy.TokenRequestOptions) (azcore.AccessToken, error) {
			exchanges.Add(1)
			return source.get(ctx, o)
		})
		source.fail(true)
		p, stop := startBubble(t, cfg)
		before := exchanges.Load()
		for range 200 {
			get(t, p, http.StatusServiceUnavailable)
		}
		if asked := exchanges.Load() - before; asked > 1 {
			t.Errorf("200 requests within a moment asked the identity endpoint %d times, want at most once", asked)
		}
		source.fail(false)
		time.Sleep(time.Minute)
		get(t, p, http.StatusOK)
		stop()
	})
}

func TestTheRecordNamesThePolicyThatDecided(t *testing.T) {
	t.Parallel()
	var hash atomic.Value
	hash.Store("sha256:old")
	g := newGate(t, setup{
		handler: func(w http.ResponseWriter, _ *http.Request) {
			hash.Store("sha256:new") // the policy is replaced while upstream works
			item(w, `{"id":"1"}`)
		},
		edit: func(c *proxy.Config) { c.PolicyHash = func() string { return hash.Load().(string) } }, //nolint:forcetypeassert // only text is stored
	})
	if got := g.get(); got.Status != http.StatusOK {
		t.Fatalf("status = %d, want 200", got.Status)
	}
	if got := g.ledger.next(t).PolicyHash; got != "sha256:old" {
		t.Errorf("policy hash = %q, want that of the policy that decided", got)
	}
}

func TestADecisionBelongsToOnePolicy(t *testing.T) {
	t.Parallel()
	var hash atomic.Value
	hash.Store("sha256:old")
	var asked atomic.Int64
	g := newGate(t, setup{
		decide: func(r policy.Request) policy.Decision {
			if asked.Add(1) == 1 {
				hash.Store("sha256:new") // replaced between the question and the answer
				return policy.Decision{Reason: policy.ReasonNoRole}
			}
			return allow(r)
		},
		edit: func(c *proxy.Config) { c.PolicyHash = func() string { return hash.Load().(string) } }, //nolint:forcetypeassert // only text is stored
	})
	if got := g.get(); got.Status != http.StatusOK {
		t.Fatalf("status = %d, want what the new policy says", got.Status)
	}
	if got := g.ledger.next(t).PolicyHash; got != "sha256:new" {
		t.Errorf("policy hash = %q, want that of the policy that decided", got)
	}
}
