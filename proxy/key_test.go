package proxy_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/proxy"
)

// accountKey is random and belongs to nothing.
const accountKey = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldC1zZWNyZXQh"

func TestEmulatorKeySignsEachRequest(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{edit: func(cfg *proxy.Config) {
		cfg.Accounts[0].InsecureMasterKey = accountKey
		cfg.Accounts[0].Identities = nil
	}})
	for _, row := range []struct{ method, path, body, kind, link string }{
		{http.MethodGet, "/dbs/shop/colls/orders/docs/a%20b", "", "docs", "dbs/shop/colls/orders/docs/a b"},
		{http.MethodPost, "/dbs/shop/colls/orders/docs", `{"id":"1"}`, "docs", "dbs/shop/colls/orders"},
		{http.MethodGet, "/dbs/shop/colls/orders/pkranges", "", "pkranges", "dbs/shop/colls/orders"},
	} {
		if got := g.do(request(t, row.method, row.path, row.body)); got.Status != http.StatusOK {
			t.Fatalf("status %d: %s", got.Status, got.Body)
		}
		seen := g.service.seen()
		sent := seen[len(seen)-1].Header
		key, err := base64.StdEncoding.DecodeString(accountKey)
		if err != nil {
			t.Fatal(err)
		}
		mac := hmac.New(sha256.New, key)
		fmt.Fprintf(mac, "%s\n%s\n%s\n%s\n\n", strings.ToLower(row.method), row.kind, row.link, strings.ToLower(sent.Get("X-Ms-Date")))
		want := url.QueryEscape("type=master&ver=1.0&sig=" + base64.StdEncoding.EncodeToString(mac.Sum(nil)))
		if diff := cmp.Diff(want, sent.Get("Authorization")); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", row.method, row.path, diff)
		}
	}
}

func TestBrokenEmulatorKeyIsRefused(t *testing.T) {
	t.Parallel()
	cfg := bubble(nil)
	cfg.Accounts[0].InsecureMasterKey = "not base64!"
	if _, err := proxy.New(cfg); err == nil || strings.Contains(err.Error(), "not base64!") {
		t.Errorf("error: %v", err)
	}
}

func TestUpstreamTokensDoNotPrint(t *testing.T) {
	t.Parallel()
	token := proxy.NewToken(upstreamToken, time.Now(), time.Now())
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(format, token); strings.Contains(got, upstreamToken) {
			t.Errorf("%s prints %s", format, got)
		}
	}
}

func TestRefusedIdentityRaisesTheAlertMetric(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{handler: func(w http.ResponseWriter, _ *http.Request) { native(w, 403, "5302", "Forbidden") }})
	g.get()
	g.ledger.next(t)
	found := false
	for _, c := range g.proxy.Collectors() {
		problems, err := testutil.CollectAndLint(c)
		if err != nil || len(problems) > 0 {
			t.Errorf("metrics: %v %v", err, problems)
		}
		const want = `
			# HELP cosmosgate_upstream_identity_rejections_total Answers in which upstream refused the gate's own identity. Alert on any: the role's identity lacks a right or is disabled.
			# TYPE cosmosgate_upstream_identity_rejections_total counter
			cosmosgate_upstream_identity_rejections_total{account="prod",identity="mi-orders"} 1
			cosmosgate_upstream_identity_rejections_total{account="prod",identity="mi-reader"} 0
		`
		if testutil.CollectAndCount(c, "cosmosgate_upstream_identity_rejections_total") > 0 {
			found = true
			if err := testutil.CollectAndCompare(c, strings.NewReader(want)); err != nil {
				t.Error(err)
			}
		}
	}
	if !found {
		t.Error("there is no alert metric")
	}
}

func TestRequestsAreCountedByOperationDecisionAndClass(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{})
	g.get()
	g.ledger.next(t)
	for _, c := range g.proxy.Collectors() {
		if testutil.CollectAndCount(c, "cosmosgate_requests_total") == 0 {
			continue
		}
		const want = `
			# HELP cosmosgate_requests_total Requests by operation, decision and class of the status sent.
			# TYPE cosmosgate_requests_total counter
			cosmosgate_requests_total{class="2xx",decision="allow",operation="items/read"} 1
		`
		if err := testutil.CollectAndCompare(c, strings.NewReader(want)); err != nil {
			t.Error(err)
		}
	}
	if rec := g.ledger.records[0]; rec.Decision != audit.Allow {
		t.Errorf("decision %s", rec.Decision)
	}
}
