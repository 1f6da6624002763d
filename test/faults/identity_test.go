package faults_test

import (
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/cosmosgate/cosmosgate/internal/devidp"
)

const (
	keyFailures   = `cosmosgate_jwks_refreshes_total{issuer="dev",result="failure"}`
	keySuccesses  = `cosmosgate_jwks_refreshes_total{issuer="dev",result="success"}`
	tokenFailures = `cosmosgate_identity_token_failures_total{account="shop",identity="orders"}`
	tokenAge      = `cosmosgate_identity_token_age_seconds{account="shop",identity="orders"}`
	documentAge   = `cosmosgate_account_document_age_seconds{account="shop"}`
	denied        = `cosmosgate_requests_total{class="4xx",decision="deny",operation="unknown"}`
)

// unauthenticated is a credential that proves nothing: the caller's side.
func unauthenticated(substatus string) seen {
	return seen{
		status: http.StatusUnauthorized, substatus: substatus, code: "Unauthorized",
		record: record{"deny", "refused", http.StatusUnauthorized, 0, "Unauthorized"},
	}
}

func playProviderDownWarm(t *testing.T, binary string) {
	t.Helper()
	w := newWorld(t, binary, options{})
	w.signIn.down.Store(true)
	w.serves("a token never seen, by a key in hand")
	w.must(w.signIn.RotateKeys())
	w.moves(keyFailures, func() {
		w.expect("a token by a key that cannot be fetched", call{key: "k"}, unavailable("refused", 0))
	})
	if w.ready().code != http.StatusOK {
		t.Error("the outage of a provider whose keys serve took the gate out of service")
	}
	w.signIn.down.Store(false)
	w.recovers(call{key: "k"})
}

func playProviderDownCold(t *testing.T, binary string) {
	t.Helper()
	w := newWorld(t, binary, options{notReady: true, before: func(w *world) { w.signIn.down.Store(true) }})
	w.eventually("the keys could not be fetched", func() bool { return w.metric(keyFailures) > 0 })
	w.expect("read", call{key: "k"}, unavailable("refused", 0))
	if got := w.ready(); got.code != http.StatusServiceUnavailable || got.checks["issuers"] == "ok" {
		t.Errorf("readiness without keys: %v", got)
	}
	w.signIn.down.Store(false)
	w.recovers(call{key: "k"})
	w.eventually("the gate is ready", func() bool { return w.ready().code == http.StatusOK })
}

func playProviderSlow(t *testing.T, binary string) {
	t.Helper()
	w := newWorld(t, binary, options{notReady: true, before: func(w *world) {
		w.signIn.Inject(devidp.EndpointKeys, devidp.Fault{Delay: time.Hour, Times: 1})
	}})
	w.expect("read", call{key: "k"}, unavailable("refused", 0))
	if got := w.ready(); got.code != http.StatusServiceUnavailable || got.checks["issuers"] == "ok" {
		t.Errorf("readiness without keys: %v", got)
	}
	w.recovers(call{key: "k"})
	if w.metric(keyFailures) == 0 {
		t.Error("the attempt that was given up is not counted")
	}
}

func playProviderGarbage(t *testing.T, binary string) {
	t.Helper()
	w := newWorld(t, binary, options{})
	old := w.token()
	w.must(w.signIn.RotateKeys())
	w.signIn.Inject(devidp.EndpointKeys, devidp.Fault{Malformed: true})
	w.moves(keyFailures, func() {
		w.expect("a token by a key that cannot be read", call{key: "k"}, unavailable("refused", 0))
	})
	w.expect("a token by a key in hand", call{key: "k", token: old}, served)
	w.signIn.Inject(devidp.EndpointKeys, devidp.Fault{})
	w.recovers(call{key: "k"})
}

func playKeysRotated(t *testing.T, binary string) {
	t.Helper()
	w := newWorld(t, binary, options{})
	old := w.token()
	w.must(w.signIn.RotateKeys())
	w.moves(keySuccesses, func() { w.expect("by the new key", call{key: "k"}, served) })
	w.expect("by the old key", call{key: "k", token: old}, served)
}

func playKeysRotatedTwice(t *testing.T, binary string) {
	t.Helper()
	w := newWorld(t, binary, options{})
	w.must(w.signIn.RotateKeys())
	w.serves("by the new key")
	w.must(w.signIn.RotateKeys())
	w.moves(denied, func() { w.expect("by the newest key, at once", call{key: "k"}, unauthenticated("5004")) })
	w.recovers(call{key: "k", token: w.token()})
}

func playKeyWithdrawn(t *testing.T, binary string) {
	t.Helper()
	w := newWorld(t, binary, options{})
	old := w.token()
	arrived, goOn := make(chan struct{}), make(chan struct{})
	w.upstream.script("flight", func(rw http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-goOn
		document(rw, r)
	})
	flight := make(chan reply, 1)
	go func() { flight <- w.do(call{key: "flight", token: old}) }()
	<-arrived
	w.must(w.signIn.RotateKeys())
	w.must(w.signIn.RotateKeys())
	w.serves("by the newest key, which makes the gate fetch")
	w.moves(denied, func() { w.expect("by the withdrawn key", call{key: "k", token: old}, unauthenticated("5004")) })
	close(goOn)
	w.compare("the request in flight", served, w.result(<-flight))
	w.serves("after the withdrawal")
}

func playIssuerClockAhead(t *testing.T, binary string) {
	t.Helper()
	w := newWorld(t, binary, options{clock: func() time.Time { return time.Now().Add(15 * time.Second) }})
	w.serves("seconds ahead")
	far := newWorld(t, binary, options{clock: func() time.Time { return time.Now().Add(time.Hour) }})
	far.moves(denied, func() { far.expect("an hour ahead", call{key: "k"}, unauthenticated("5006")) })
}

func playIssuerClockBehind(t *testing.T, binary string) {
	t.Helper()
	w := newWorld(t, binary, options{clock: func() time.Time { return time.Now().Add(-2 * time.Hour) }})
	w.moves(denied, func() { w.expect("a token that has ended", call{key: "k"}, unauthenticated("5006")) })
}

// playEndpoint plays a fault of the identity endpoint that is there from the beginning.
func playEndpoint(fault devidp.Fault) func(*testing.T, string) {
	return func(t *testing.T, binary string) {
		t.Helper()
		w := newWorld(t, binary, options{notReady: true, identityDown: fault})
		w.expect("read", call{key: "k"}, unavailable("refused", 0))
		if got := w.ready(); got.code != http.StatusServiceUnavailable || got.checks["accounts"] == "ok" {
			t.Errorf("readiness without an upstream token: %v", got)
		}
		w.eventually("a failure is counted", func() bool { return w.metric(tokenFailures) > 0 })
		w.managed.Inject(devidp.EndpointManagedIdentity, devidp.Fault{})
		w.recovers(call{key: "k"})
		w.eventually("the gate is ready", func() bool { return w.ready().code == http.StatusOK })
	}
}

func playEndpointSlow(t *testing.T, binary string) {
	t.Helper()
	w := newWorld(t, binary, options{notReady: true, identityDown: devidp.Fault{Delay: 20 * time.Second, Times: 1}})
	w.expect("read", call{key: "k"}, unavailable("refused", 0))
	if got := w.ready(); got.code != http.StatusServiceUnavailable || got.checks["accounts"] == "ok" || !math.IsInf(w.metric(tokenAge), 1) {
		t.Errorf("readiness without an upstream token: %v", got)
	}
	w.recovers(call{key: "k"})
	w.eventually("the gate is ready", func() bool { return w.ready().code == http.StatusOK })
}

func playEndpointFailsLater(t *testing.T, binary string) {
	t.Helper()
	const life = 20 * time.Second // of the tokens, which are made for a day
	w := newWorld(t, binary, options{managedClock: func() time.Time { return time.Now().Add(life - 24*time.Hour) }})
	w.managed.Inject(devidp.EndpointManagedIdentity, devidp.Fault{Status: http.StatusBadRequest})
	w.moves(tokenFailures, func() { w.serves("with a token in force") })
	w.eventually("the token ends", func() bool { return w.do(call{key: "k"}).status != http.StatusOK })
	w.expect("without a token", call{key: "k"}, unavailable("refused", 0))
	if w.ready().code != http.StatusOK {
		t.Error("the outage of the identity endpoint took the gate out of service")
	}
	w.managed.Inject(devidp.EndpointManagedIdentity, devidp.Fault{})
	w.recovers(call{key: "k"})
}

func playTokenRefusedOnce(t *testing.T, binary string) {
	t.Helper()
	w := newWorld(t, binary, options{})
	refused := ""
	w.upstream.script("old", func(rw http.ResponseWriter, r *http.Request) {
		if refused == "" || refused == r.Header.Get("Authorization") {
			refused = r.Header.Get("Authorization")
			native(http.StatusUnauthorized, 5006)(rw, r)
			return
		}
		document(rw, r)
	})
	w.expect("read", call{key: "old"}, served)
	if n := w.upstream.requests("old"); n != 2 {
		t.Errorf("sent %d times", n)
	}
}

func playNoDocumentAtStart(t *testing.T, binary string) {
	t.Helper()
	w := newWorld(t, binary, options{notReady: true, before: func(w *world) { w.upstream.down.Store(true) }})
	want := unavailable(failure, 0)
	want.record.Decision = "error"
	got := w.expect("account", call{path: "/"}, want)
	if got.header.Get("Retry-After") == "" {
		t.Error("no time to come back")
	}
	if got := w.ready(); got.code != http.StatusServiceUnavailable || got.checks["accounts"] == "ok" {
		t.Errorf("readiness without an account document: %v", got)
	}
	w.serves("what does not need the document")
	w.upstream.down.Store(false)
	w.recovers(call{path: "/"})
	w.eventually("the gate is ready", func() bool { return w.ready().code == http.StatusOK })
}

func playNoDocumentLater(t *testing.T, binary string) {
	t.Helper()
	w := newWorld(t, binary, options{edit: []string{"account_refresh: 5m", "account_refresh: 1s"}})
	w.upstream.down.Store(true)
	w.eventually("the document ages", func() bool { return w.metric(documentAge) > 3 })
	answered := served
	answered.record.Outcome, answered.record.Upstream = "answered", 0
	w.expect("account", call{path: "/"}, answered)
	if w.ready().code != http.StatusOK {
		t.Error("a document that serves took the gate out of service")
	}
	w.upstream.down.Store(false)
	w.eventually("the document is fresh", func() bool { return w.metric(documentAge) < 3 })
	w.expect("account", call{path: "/"}, answered)
}
