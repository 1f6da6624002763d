package proxy_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azpolicy "github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/cosmosgate/cosmosgate/audit"
	"github.com/cosmosgate/cosmosgate/proxy"
)

// bubble configures a proxy without any network, for tests in fake time. Reads of
// the account document are answered unless the transport is nil.
func bubble(transport roundTrip) proxy.Config {
	if transport == nil {
		transport = func(r *http.Request) (*http.Response, error) { return accountResponse(r), nil }
	}
	return proxy.Config{
		Accounts: []proxy.Account{{
			Name: "prod", PublicURL: publicURL, Region: "Gate",
			Upstream: &url.URL{Scheme: "https", Host: upstreamHost}, Transport: transport,
			Identities: map[string]azcore.TokenCredential{"mi-orders": getToken(token)}, Reader: "mi-orders",
		}},
		Authenticator: authenticate(ann), Authorizer: decide(allow),
		PolicyHash: func() string { return "sha256:0" },
		Reserve:    newLedger().reserve,
		Logger:     slog.New(slog.DiscardHandler), Now: time.Now, NewID: uuid.NewString,
	}
}

// startBubble builds and runs a proxy until stop.
func startBubble(t *testing.T, cfg proxy.Config) (p *proxy.Proxy, stop func()) {
	t.Helper()
	p, err := proxy.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = p.Run(ctx)
	}()
	synctest.Wait()
	return p, func() {
		cancel()
		<-done
	}
}

// serve sends one request through a proxy without a network, and says whether the
// proxy broke the connection.
func serve(t *testing.T, p *proxy.Proxy, r *http.Request) (got reply, broken bool) {
	t.Helper()
	r.RemoteAddr = "192.0.2.1:1234"
	r.Host = publicHost
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	defer func() {
		if cause := recover(); cause != nil && cause != http.ErrAbortHandler { //nolint:errorlint // a panic value.
			panic(cause)
		} else if cause != nil {
			broken = true
		}
		got = reply{Status: w.Code, Header: w.Header(), Body: w.Body.String()}
	}()
	p.ServeHTTP(w, r)
	return reply{}, false
}

// silence is a body that says nothing until its request is given up.
type silence struct{ ctx context.Context } //nolint:containedctx // the request's.

func (s silence) Read([]byte) (int, error) {
	<-s.ctx.Done()
	return 0, context.Cause(s.ctx)
}
func (silence) Close() error { return nil }

// politeness is a body that ends when its request is given up, as if it had been whole.
type politeness struct{ ctx context.Context } //nolint:containedctx // the request's.

func (p politeness) Read([]byte) (int, error) {
	<-p.ctx.Done()
	return 0, io.EOF
}
func (politeness) Close() error { return nil }

// trickle is a body that says one byte a minute.
type trickle struct{}

func (trickle) Read(b []byte) (int, error) {
	time.Sleep(time.Minute)
	return copy(b, " "), nil
}
func (trickle) Close() error { return nil }

func TestUpstreamThatDoesNotGoOnIsGivenUp(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		answer  func(r *http.Request) (*http.Response, error)
		write   bool
		want    verdict
		elapsed time.Duration
		broken  bool
	}{
		{
			"it never begins to answer a read", hang, false,
			verdict{audit.Allow, audit.UpstreamTimeout, 503, 0}, 70 * time.Second, false,
		},
		{
			"it never begins to answer a write", hang, true,
			verdict{audit.Allow, audit.UpstreamTimeout, 408, 0}, 70 * time.Second, false,
		},
		{
			"it stops after its headers", func(r *http.Request) (*http.Response, error) {
				response := jsonResponse(r, http.StatusOK, "")
				response.Body, response.ContentLength = silence{r.Context()}, -1
				return response, nil
			}, false,
			verdict{audit.Allow, audit.UpstreamTimeout, 503, 200}, 70 * time.Second, false,
		},
		{
			"it stops midway", func(r *http.Request) (*http.Response, error) {
				response := jsonResponse(r, http.StatusOK, "")
				response.Body, response.ContentLength = bodyOf("[", silence{r.Context()}), -1
				return response, nil
			}, false,
			verdict{audit.Allow, audit.Partial, 200, 200}, 70 * time.Second, true,
		},
		{
			"it ends in due form only when it is given up", func(r *http.Request) (*http.Response, error) {
				response := jsonResponse(r, http.StatusOK, "")
				response.Body, response.ContentLength = bodyOf("[", politeness{r.Context()}), -1
				return response, nil
			}, false,
			verdict{audit.Allow, audit.Partial, 200, 200}, 70 * time.Second, true,
		},
		{
			"it ends an error in due form only when it is given up", func(r *http.Request) (*http.Response, error) {
				response := jsonResponse(r, http.StatusConflict, "")
				response.Body, response.ContentLength = bodyOf("{", politeness{r.Context()}), -1
				return response, nil
			}, false,
			verdict{audit.Allow, audit.UpstreamFailure, 409, 409}, 70 * time.Second, false,
		},
		{
			"it trickles for ever", func(r *http.Request) (*http.Response, error) {
				response := jsonResponse(r, http.StatusOK, "")
				response.Body, response.ContentLength = trickle{}, -1
				return response, nil
			}, false,
			verdict{audit.Allow, audit.Partial, 200, 200}, 7 * time.Minute, true,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				cfg := bubble(func(r *http.Request) (*http.Response, error) {
					if r.URL.Path == "/" {
						return accountResponse(r), nil
					}
					return row.answer(r)
				})
				book := newLedger()
				cfg.Reserve = book.reserve
				p, stop := startBubble(t, cfg)
				began := time.Now()
				r := request(t, http.MethodGet, "/dbs/shop/colls/orders/docs/1", "")
				if row.write {
					r = request(t, http.MethodPost, createPath, `{"id":"1"}`)
				}

				_, broken := serve(t, p, r)

				if diff := cmp.Diff([]any{row.elapsed, row.broken}, []any{time.Since(began), broken}); diff != "" {
					t.Errorf("time until given up, connection broken (-want +got):\n%s", diff)
				}
				rec := book.next(t)
				if diff := cmp.Diff(row.want, ended(rec)); diff != "" {
					t.Errorf("record (-want +got):\n%s", diff)
				}
				if rec.UpstreamDuration < row.elapsed-time.Second || rec.GateDuration > time.Second {
					t.Errorf("the wait is not upstream's: gate %v, upstream %v", rec.GateDuration, rec.UpstreamDuration)
				}
				stop()
			})
		})
	}
}

// hang answers nothing until the request is given up.
func hang(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, context.Cause(r.Context())
}

// bodyOf reads a text and then another body.
func bodyOf(text string, then io.ReadCloser) io.ReadCloser {
	return struct {
		io.Reader
		io.Closer
	}{&pieces{text, then}, then}
}

type pieces struct {
	text string
	then io.Reader
}

func (p *pieces) Read(b []byte) (int, error) {
	if p.text == "" {
		return p.then.Read(b) //nolint:wrapcheck // the contract of io.Reader.
	}
	n := copy(b, p.text)
	p.text = p.text[n:]
	return n, nil
}

func TestCallerThatStopsStreamingIsNotTakenForASlowUpstream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := bubble(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path == "/" {
				return accountResponse(r), nil
			}
			go func() { _, _ = io.Copy(io.Discard, r.Body) }()
			return hang(r)
		})
		book := newLedger()
		cfg.Reserve = book.reserve
		p, stop := startBubble(t, cfg)
		ctx, cancel := context.WithCancel(context.Background())
		r := request(t, http.MethodPost, createPath, "{}")
		r.Body, r.ContentLength = bodyOf("{", silence{ctx}), -1

		got, _ := serve(t, p, r)

		checkNative(t, reply{Status: got.Status, Header: got.Header, Body: got.Body}, http.StatusRequestTimeout)
		if diff := cmp.Diff(verdict{audit.Allow, audit.RequestBroken, 408, 0}, ended(book.next(t))); diff != "" {
			t.Errorf("record (-want +got):\n%s", diff)
		}
		cancel()
		stop()
	})
}

func TestTokenIsFetchedOnceAndRefreshedAhead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := &tokens{lifetime: time.Hour}
		cfg := bubble(source.upstream())
		cfg.Accounts[0].Identities["mi-orders"] = getToken(source.get)
		p, stop := startBubble(t, cfg)
		for range 10 {
			get(t, p, http.StatusOK)
		}
		source.check(t, 1, "for all")
		time.Sleep(54 * time.Minute)
		source.check(t, 1, "six minutes before the end")
		time.Sleep(time.Minute + time.Second)
		source.check(t, 2, "five minutes before the end")
		stop()
	})
}

func TestTokenIsServedUntilItsEndWhenTheIdentityEndpointFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := &tokens{lifetime: time.Hour}
		cfg := bubble(source.upstream())
		cfg.Accounts[0].Identities["mi-orders"] = getToken(source.get)
		p, stop := startBubble(t, cfg)
		source.fail(true)
		time.Sleep(59 * time.Minute)
		get(t, p, http.StatusOK)
		time.Sleep(2 * time.Minute)
		get(t, p, http.StatusServiceUnavailable)
		source.fail(false)
		time.Sleep(time.Minute)
		get(t, p, http.StatusOK)
		stop()
	})
}

func TestRequestsWaitTogetherForTheFirstToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := &tokens{lifetime: time.Hour, delay: 5 * time.Second}
		cfg := bubble(source.upstream())
		cfg.Accounts[0].Identities["mi-orders"] = getToken(source.get)
		p, stop := startBubble(t, cfg)
		done := make(chan struct{})
		for range 50 {
			go func() {
				defer func() { done <- struct{}{} }()
				get(t, p, http.StatusOK)
			}()
		}
		for range 50 {
			<-done
		}
		source.check(t, 1, "for all")
		stop()
	})
}

func TestSlowIdentityEndpointIsNotWaitedForForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := &tokens{lifetime: time.Hour, delay: time.Minute - time.Second}
		cfg := bubble(source.upstream())
		cfg.Accounts[0].Identities["mi-orders"] = getToken(source.get)
		p, stop := startBubble(t, cfg)
		began := time.Now()
		get(t, p, http.StatusServiceUnavailable)
		if diff := cmp.Diff(10*time.Second, time.Since(began)); diff != "" {
			t.Errorf("wait (-want +got):\n%s", diff)
		}
		stop()
	})
}

func TestTokenThatUpstreamRefusesIsReplacedOnce(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name              string
		status            int
		substatus         string
		body              string
		length            int64
		want              int
		fetched, requests int
	}{
		{"it is expired", 401, "5006", "", 0, 200, 2, 2},
		{"it is revoked", 401, "5013", "", 0, 200, 2, 2},
		{"its rights are new", 403, "5300", "", 0, 200, 2, 2},
		{"a write with a small body is repeated", 401, "5006", `{"id":"1"}`, 10, 200, 2, 2},
		{"a streamed write is not", 401, "5006", `{"id":"1"}`, -1, 503, 1, 1},
		{"its signature is wrong", 401, "5004", "", 0, 503, 1, 1},
		{"it lacks a right", 403, "5302", "", 0, 503, 1, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				source := &tokens{lifetime: time.Hour, refuse: 1, status: row.status, substatus: row.substatus}
				cfg := bubble(source.upstream())
				cfg.Accounts[0].Identities["mi-orders"] = getToken(source.get)
				p, stop := startBubble(t, cfg)
				r := request(t, http.MethodGet, "/dbs/shop/colls/orders/docs/1", "")
				if row.body != "" {
					r = request(t, http.MethodPost, createPath, row.body)
					r.ContentLength = row.length
				}
				got, _ := serve(t, p, r)
				fetched, requests := source.counts()
				if diff := cmp.Diff([]int{row.want, row.fetched, row.requests}, []int{got.Status, fetched, requests}); diff != "" {
					t.Errorf("status, tokens, requests (-want +got):\n%s\n%s", diff, got.Body)
				}
				stop()
			})
		})
	}
}

func TestStormOfRefusalsAsksForOneNewToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := &tokens{lifetime: time.Hour, refuse: 1 << 30, status: 401, substatus: "5006"}
		cfg := bubble(source.upstream())
		cfg.Accounts[0].Identities["mi-orders"] = getToken(source.get)
		p, stop := startBubble(t, cfg)
		for range 20 {
			get(t, p, http.StatusServiceUnavailable)
		}
		source.check(t, 2, "for all")
		stop()
	})
}

// Upstream's refusal of an old token may come when another request has renewed it already.
func TestATokenThatWasRenewedServesWhoeverWasRefusedTheOldOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := &tokens{lifetime: time.Hour}
		var refused atomic.Int64
		cfg := bubble(func(r *http.Request) (*http.Response, error) {
			switch {
			case r.URL.Path == "/":
				return accountResponse(r), nil
			case strings.Contains(r.Header.Get("Authorization"), "renewed"):
				return jsonResponse(r, http.StatusOK, `{}`), nil
			}
			time.Sleep(time.Duration(refused.Add(1)) * time.Second)
			return jsonResponse(r, http.StatusUnauthorized, `{"code":"Unauthorized","message":"m"}`, "X-Ms-Substatus", "5006"), nil
		})
		cfg.Accounts[0].Identities["mi-orders"] = getToken(source.get)
		p, stop := startBubble(t, cfg)
		var group sync.WaitGroup
		for range 3 {
			group.Go(func() { get(t, p, http.StatusOK) })
		}
		group.Wait()
		source.check(t, 2, "for all")
		stop()
	})
}

func get(t *testing.T, p *proxy.Proxy, status int) {
	t.Helper()
	got, _ := serve(t, p, request(t, http.MethodGet, "/dbs/shop/colls/orders/docs/1", ""))
	if got.Status != status {
		t.Errorf("status %d, want %d: %s", got.Status, status, got.Body)
	}
}

// tokens is a credential and an upstream that may refuse what it gave.
type tokens struct {
	lifetime, delay time.Duration
	status          int
	substatus       string

	mu       sync.Mutex
	failing  bool
	fetched  int
	requests int
	refuse   int // how many requests upstream refuses
}

func (s *tokens) fail(is bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing = is
}

func (s *tokens) counts() (fetched, requests int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fetched, s.requests
}

func (s *tokens) check(t *testing.T, want int, when string) {
	t.Helper()
	if got, _ := s.counts(); got != want {
		t.Errorf("%d tokens fetched %s, want %d", got, when, want)
	}
}

func (s *tokens) get(_ context.Context, o azpolicy.TokenRequestOptions) (azcore.AccessToken, error) {
	time.Sleep(s.delay)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failing {
		return azcore.AccessToken{}, io.ErrUnexpectedEOF
	}
	s.fetched++
	name := upstreamToken
	if o.Claims != "" {
		name += "-renewed"
	}
	return azcore.AccessToken{Token: name + time.Now().Format("150405"), ExpiresOn: time.Now().Add(s.lifetime)}, nil
}

func (s *tokens) upstream() roundTrip {
	return func(r *http.Request) (*http.Response, error) {
		if r.URL.Path == "/" {
			return accountResponse(r), nil
		}
		if r.Body != nil {
			_, _ = io.Copy(io.Discard, r.Body)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.requests++
		if s.refuse > 0 {
			s.refuse--
			return jsonResponse(r, s.status, `{"code":"Unauthorized","message":"m"}`, "X-Ms-Substatus", s.substatus), nil
		}
		return jsonResponse(r, http.StatusOK, `{}`), nil
	}
}
