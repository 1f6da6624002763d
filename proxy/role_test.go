package proxy_test

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azpolicy "github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/identity"
	"github.com/cosmosgate/cosmosgate/policy"
	"github.com/cosmosgate/cosmosgate/proxy"
)

// A request that is allowed otherwise by the time it could be forwarded does not go up under the role that it came with.
func TestARequestIsNotForwardedUnderARoleThatNoLongerDecides(t *testing.T) {
	t.Parallel()
	const retried = http.StatusServiceUnavailable
	for name, row := range map[string]struct {
		becomes func(*policy.Decision)
		want    int
		hash    string // of the policy then
	}{
		"another policy, which may take the caller for somebody else": {becomes: func(*policy.Decision) {}, want: retried, hash: "sha256:1"},
		"another role":                  {becomes: func(d *policy.Decision) { d.Role = "orders-guest" }, want: retried},
		"another identity of the role":  {becomes: func(d *policy.Decision) { d.Identity = "mi-reader" }, want: retried},
		"a smaller page":                {becomes: func(d *policy.Decision) { d.Obligations.MaxItems = 10 }, want: retried},
		"another budget":                {becomes: func(d *policy.Decision) { d.Obligations.MaxRUPerSecond = 10 }, want: retried},
		"a smaller body":                {becomes: func(d *policy.Decision) { d.Obligations.MaxBodyBytes = 10 }, want: retried},
		"another priority":              {becomes: func(d *policy.Decision) { d.Obligations.Priority = policy.PriorityLow }, want: retried},
		"another bucket":                {becomes: func(d *policy.Decision) { d.Obligations.ThroughputBucket = 2 }, want: retried},
		"what puts up with less":        {becomes: func(d *policy.Decision) { d.Obligations.Staleness = policy.StalenessBestEffort }, want: http.StatusOK},
		"the same by another binding":   {becomes: func(d *policy.Decision) { d.Policies = []string{"RoleBinding/other"} }, want: http.StatusOK},
		"nothing else than what it was": {becomes: func(*policy.Decision) {}, want: http.StatusOK},
	} {
		for body, size := range map[string]int{"held": 100, "passed on": 100 << 10} {
			t.Run(name+", body "+body, func(t *testing.T) {
				t.Parallel()
				var later atomic.Int64
				decided := make(chan struct{}, 100)
				g := newGate(t, setup{
					handler: halves,
					decide: func(r policy.Request) policy.Decision {
						defer func() { decided <- struct{}{} }()
						d := allow(r)
						if later.Load() > 0 {
							row.becomes(&d)
						}
						return d
					},
					edit: func(c *proxy.Config) {
						c.Now = jumping(&later)
						c.Standing = stays
						c.PolicyHash = func() string {
							if later.Load() > 0 {
								return cmp.Or(row.hash, "sha256:0")
							}
							return "sha256:0"
						}
					},
				})
				whole := `{"id":"1","x":"` + strings.Repeat("x", size) + `"}`
				source, send := io.Pipe()
				go func() {
					_, _ = io.WriteString(send, whole[:10])
					<-decided
					later.Store(1)
					_, _ = io.WriteString(send, whole[10:])
					_ = send.Close()
				}()
				r := request(t, http.MethodPost, "/dbs/shop/colls/orders/docs", "", "X-Ms-Documentdb-Partitionkey", `["emea"]`)
				r.Body, r.ContentLength = source, int64(len(whole))
				got := g.do(r)
				if got.Status != row.want {
					t.Errorf("status %d, want %d: %s", got.Status, row.want, got.Body)
				}
				rec := g.ledger.next(t)
				if row.want != retried {
					return
				}
				checkNative(t, got, retried)
				if got.Header.Get("X-Ms-Retry-After-Ms") == "" {
					t.Error("the caller is not told when to come back")
				}
				if rec.Decision != audit.Error || !strings.Contains(rec.Detail, "changed before the request was forwarded") {
					t.Errorf("record: %s %q %q", rec.Decision, rec.Reason, rec.Detail)
				}
				for _, seen := range g.service.seen() {
					if seen.Body == whole {
						t.Error("upstream has the whole request")
					}
				}
			})
		}
	}
}

// Whoever lost access while the body came and has it again by the time that is told did not send a bad body.
func TestABodyThatWasGivenUpIsNotItsCallersFault(t *testing.T) {
	t.Parallel()
	var later, asked atomic.Int64
	there := make(chan struct{}, 100)
	g := newGate(t, setup{
		handler: halves,
		decide: func(r policy.Request) policy.Decision {
			there <- struct{}{}
			return allow(r)
		},
		edit: func(c *proxy.Config) {
			c.Now = jumping(&later)
			c.Standing = func(p *identity.Principal) (identity.Principal, error) {
				if asked.Add(1) == 1 {
					return revoked(p)
				}
				return stays(p)
			}
		},
	})
	source, send := io.Pipe()
	go func() {
		_, _ = io.WriteString(send, `{"id":"1",`)
		<-there
		later.Store(1)
		_, _ = io.WriteString(send, `"x":"`+strings.Repeat("x", 100<<10)+`"}`)
		_ = send.Close()
	}()
	r := request(t, http.MethodPost, "/dbs/shop/colls/orders/docs", "", "X-Ms-Documentdb-Partitionkey", `["emea"]`)
	r.Body, r.ContentLength = source, int64(len(`{"id":"1","x":""}`)+100<<10)
	checkNative(t, g.do(r), http.StatusServiceUnavailable)
	if rec := g.ledger.next(t); rec.Outcome == audit.RequestBroken || rec.Decision != audit.Error {
		t.Errorf("record: %v %v %q", rec.Decision, rec.Outcome, rec.Detail)
	}
}

// Getting another token may take as long as a body does. What upstream refused is not under way.
func TestARequestIsNotRepeatedUnderARoleThatNoLongerDecides(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		standing proxy.Standing
		role     string
		want     int
	}{
		"another role":    {stays, "orders-guest", http.StatusServiceUnavailable},
		"a lost access":   {revoked, "orders-reader", http.StatusUnauthorized},
		"nothing changed": {stays, "orders-reader", http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var tokens, later atomic.Int64
			g := newGate(t, setup{
				handler: func(w http.ResponseWriter, r *http.Request) {
					if strings.HasSuffix(r.Header.Get("Authorization"), "first") {
						w.Header().Set("X-Ms-Substatus", "5006")
						w.WriteHeader(http.StatusUnauthorized)
						return
					}
					item(w, `{"id":"1"}`)
				},
				token: func(context.Context, azpolicy.TokenRequestOptions) (azcore.AccessToken, error) {
					if tokens.Add(1) == 1 {
						return azcore.AccessToken{Token: "first", ExpiresOn: time.Now().Add(time.Hour)}, nil
					}
					later.Store(1)
					return azcore.AccessToken{Token: "second", ExpiresOn: time.Now().Add(time.Hour)}, nil
				},
				decide: func(r policy.Request) policy.Decision {
					d := allow(r)
					if later.Load() > 0 {
						d.Role = row.role
					}
					return d
				},
				edit: func(c *proxy.Config) {
					c.Now = jumping(&later)
					c.Standing = row.standing
				},
			})
			got := g.get()
			if got.Status != row.want {
				t.Errorf("status %d, want %d: %s", got.Status, row.want, got.Body)
			}
			g.ledger.next(t)
			if sent := len(g.service.seen()); row.want != http.StatusOK && sent != 1 {
				t.Errorf("upstream has %d requests, want 1", sent)
			}
		})
	}
}
