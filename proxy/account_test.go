package proxy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/policy"
	"github.com/cosmosgate/cosmosgate/proxy"
)

func TestAccountDocumentPublishesOnlyTheGate(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{decide: func(policy.Request) policy.Decision { return policy.Decision{} }})

	got := g.do(request(t, http.MethodGet, "/", ""))

	if got.Status != http.StatusOK {
		t.Fatalf("status %d: %s", got.Status, got.Body)
	}
	var document struct {
		ID       string
		Writable []map[string]string `json:"writableLocations"`
		Readable []map[string]string `json:"readableLocations"`
		Multi    bool                `json:"enableMultipleWriteLocations"`
	}
	if err := json.Unmarshal([]byte(got.Body), &document); err != nil {
		t.Fatal(err)
	}
	location := []map[string]string{{"name": "Gate", "databaseAccountEndpoint": publicURL}}
	if diff := cmp.Diff([]any{"prod", location, location, false},
		[]any{document.ID, document.Writable, document.Readable, document.Multi}); diff != "" {
		t.Errorf("document (-want +got):\n%s", diff)
	}
	if strings.Contains(got.Body, "thinClient") {
		t.Errorf("thin client locations are published: %s", got.Body)
	}
	if diff := cmp.Diff(verdict{audit.Allow, audit.Answered, 200, 0}, ended(g.ledger.next(t))); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
}

func TestAccountDocumentIsReadOnceForAllCallers(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{})
	for range 20 {
		if got := g.do(request(t, http.MethodGet, "/", "")); got.Status != http.StatusOK {
			t.Fatalf("status %d", got.Status)
		}
	}
	g.service.mu.Lock()
	defer g.service.mu.Unlock()
	if diff := cmp.Diff(1, g.service.account); diff != "" {
		t.Errorf("reads of the account document (-want +got):\n%s", diff)
	}
}

func TestAccountDocumentSurvivesAnOutage(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{limits: proxy.Limits{AccountRefresh: time.Millisecond}})
	g.service.breakDown()
	g.service.mu.Lock()
	before := g.service.account
	g.service.mu.Unlock()
	for failed := false; !failed; time.Sleep(time.Millisecond) {
		g.service.mu.Lock()
		failed = g.service.account > before+1
		g.service.mu.Unlock()
	}
	if got := g.do(request(t, http.MethodGet, "/", "")); got.Status != http.StatusOK {
		t.Errorf("status %d: %s", got.Status, got.Body)
	}
	if err := g.proxy.Ready(); err != nil {
		t.Errorf("an outage made the gate unready: %v", err)
	}
}

func TestBeforeTheFirstAccountDocumentCallersComeBack(t *testing.T) {
	t.Parallel()
	g := newGate(t, setup{serviceDown: true, notReady: true})
	got := g.do(request(t, http.MethodGet, "/", ""))
	checkNative(t, got, http.StatusServiceUnavailable)
	if got.Header.Get("Retry-After") == "" {
		t.Error("no time to come back")
	}
	if err := g.proxy.Ready(); !errors.Is(err, proxy.ErrNotReady) {
		t.Errorf("ready without an account document: %v", err)
	}
	if diff := cmp.Diff(verdict{audit.Error, audit.UpstreamFailure, 503, 0}, ended(g.ledger.next(t))); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
}

func TestTheEndOfALongOutageIsNoticedWithinHalfAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		down.Store(true)
		p, stop := startBubble(t, bubble(func(r *http.Request) (*http.Response, error) {
			if down.Load() {
				return nil, errors.New("connection refused")
			}
			return accountResponse(r), nil
		}))
		time.Sleep(time.Hour)
		down.Store(false)
		time.Sleep(31 * time.Second)
		if err := p.Ready(); err != nil {
			t.Errorf("still not ready: %v", err)
		}
		stop()
	})
}

func TestAccountDocumentIsRefreshedAtIntervals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var reads atomic.Int32
		cfg := bubble(func(r *http.Request) (*http.Response, error) {
			reads.Add(1)
			return accountResponse(r), nil
		})
		cfg.Limits.AccountRefresh = time.Minute
		_, stop := startBubble(t, cfg)
		time.Sleep(5*time.Minute + time.Second)
		if diff := cmp.Diff(int32(6), reads.Load()); diff != "" {
			t.Errorf("reads in five minutes (-want +got):\n%s", diff)
		}
		stop()
	})
}

func TestHostNameSelectsTheAccount(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 1)
	g := newGate(t, setup{
		decide: func(r policy.Request) policy.Decision {
			asked <- r.Resource.Account
			return allow(r)
		},
		edit: func(cfg *proxy.Config) {
			second := cfg.Accounts[0]
			second.Name, second.PublicURL, second.Hosts = "test", "https://test.gate.example:8443/", []string{"alias.example"}
			cfg.Accounts = append(cfg.Accounts, second)
		},
	})
	for host, want := range map[string]string{
		"gate.example": "prod", "gate.example:443": "prod", "GATE.example": "prod",
		"test.gate.example:8443": "test", "alias.example": "test", "alias.example:9999": "test",
	} {
		r := request(t, http.MethodGet, "/dbs/shop/colls/orders", "")
		r.Host = host
		if got := g.do(r); got.Status != http.StatusOK {
			t.Fatalf("%s: status %d", host, got.Status)
		}
		if diff := cmp.Diff(want, <-asked); diff != "" {
			t.Errorf("account of %s (-want +got):\n%s", host, diff)
		}
	}
	r := request(t, http.MethodGet, "/dbs/shop/colls/orders", "")
	r.Host = "test.gate.example:1"
	checkNative(t, g.do(r), http.StatusBadRequest)
}

func TestEveryFaultOfTheConfigurationIsReported(t *testing.T) {
	t.Parallel()
	_, err := proxy.New(proxy.Config{
		Accounts: []proxy.Account{
			{Name: "a", PublicURL: "https://a.example/base", Upstream: &url.URL{Scheme: "http", Host: "a.test"}, Reader: "nobody"},
			{Name: "a", PublicURL: "https://a.example/"},
		},
		Limits: proxy.Limits{UpstreamTimeout: time.Second, MaxInFlight: -1},
	})
	if !errors.Is(err, proxy.ErrConfig) {
		t.Fatalf("error: %v", err)
	}
	for _, want := range []string{
		"authenticator", "authorizer", "policy hash", "audit log", "logger", "clock", "id source", "region", "transport",
		"must be https", "public URL", "reader", "used twice", "upstream must be", "upstream timeout", "limit is negative",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not reported in:\n%v", want, err)
		}
	}
	if _, err := proxy.New(proxy.Config{}); err == nil {
		t.Error("the zero configuration is accepted")
	}
}

func TestOneHostCannotSelectTwoAccounts(t *testing.T) {
	t.Parallel()
	cfg := bubble(nil)
	second := cfg.Accounts[0]
	second.Name = "test"
	cfg.Accounts = append(cfg.Accounts, second)
	if _, err := proxy.New(cfg); !errors.Is(err, proxy.ErrConfig) {
		t.Errorf("error: %v", err)
	}
}

// accountResponse answers the account document.
func accountResponse(r *http.Request) *http.Response {
	return jsonResponse(r, http.StatusOK, accountJSON)
}

func jsonResponse(r *http.Request, status int, body string, headers ...string) *http.Response {
	h := http.Header{"Content-Type": {jsonMedia}}
	for i := 0; i < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return &http.Response{
		StatusCode: status, Header: h, Request: r, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(bytes.NewReader([]byte(body))), ContentLength: int64(len(body)),
	}
}
