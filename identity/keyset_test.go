package identity_test

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/cosmosgate/cosmosgate/identity"
)

var errDown = errors.New("connection refused")

func down(*http.Request) (*http.Response, error) { return nil, errDown }

// onKeys misbehaves on key requests only.
func onKeys(f func(*http.Request) (*http.Response, error)) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		if strings.HasSuffix(r.URL.Path, "/keys") {
			return f(r)
		}

		return nil, nil
	}
}

// onDiscovery misbehaves on discovery requests only.
func onDiscovery(f func(*http.Request) (*http.Response, error)) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		if strings.HasSuffix(r.URL.Path, "/.well-known/openid-configuration") {
			return f(r)
		}

		return nil, nil
	}
}

func (w *world) expect(t *testing.T, step, raw string, want any) {
	t.Helper()

	_, err := w.authenticate(t, raw)
	if diff := cmp.Diff(want, verdictOf(t, err)); diff != "" {
		t.Errorf("%s (-want +got):\n%s\n%v", step, diff, err)
	}
}

func (w *world) expectFetches(t *testing.T, step string, want int) {
	t.Helper()

	if diff := cmp.Diff(want, w.provider.keyFetches()); diff != "" {
		t.Errorf("%s: key fetches (-want +got):\n%s", step, diff)
	}
}

func TestAThousandUnknownKidsCauseOneFetch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t).start(t)
		w.expectFetches(t, "at start", 1)

		var callers sync.WaitGroup

		for i := range 1000 {
			raw := w.signer.sign(t, object{"kid": "bogus-" + strconv.Itoa(i)}, w.person())

			callers.Go(func() { w.expect(t, "bogus kid", raw, 5004) })

			if i%250 == 249 { // no more wait at once
				callers.Wait()
			}
		}
		w.expectFetches(t, "after 1,000 kids at once", 2)

		for i := range 250 {
			w.expect(t, "bogus kid", w.signer.sign(t, object{"kid": "more-" + strconv.Itoa(i)}, w.person()), 5004)
		}

		w.expectFetches(t, "after 250 more, one by one", 2)
		time.Sleep(31 * time.Second)
		w.expect(t, "remembered kid", w.signer.sign(t, object{"kid": "bogus-0"}, w.person()), 5004)
		w.expect(t, "fresh kid", w.signer.sign(t, object{"kid": "fresh"}, w.person()), 5004)
		w.expect(t, "fresh kid", w.signer.sign(t, object{"kid": "fresh too"}, w.person()), 5004)
		w.expectFetches(t, "half a minute later", 3)
		w.expect(t, "the honest", w.signer.sign(t, nil, w.person()), "accepted")
	})
}

func TestTheSameUnknownKidIsNotAskedForAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t).start(t)

		for range 4 { // 4 × 29 s: within the two minutes
			w.expect(t, "bogus kid", w.signer.sign(t, object{"kid": "bogus"}, w.person()), 5004)
			time.Sleep(29 * time.Second)
		}

		w.expectFetches(t, "in two minutes", 2)
	})
}

func TestAKidThatTheIssuerWasNotAskedForIsNotForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t).start(t)
		w.expect(t, "bogus kid", w.signer.sign(t, object{"kid": "bogus"}, w.person()), 5004)

		fresh := newSigner(t, "k2")
		w.provider.publish(w.signer, fresh)
		w.expect(t, "new key, too soon to ask", fresh.sign(t, nil, w.person()), 5004)
		time.Sleep(30 * time.Second)
		w.expect(t, "new key, half a minute later", fresh.sign(t, nil, w.person()), "accepted")
	})
}

func TestABadSignatureNeverFetches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t).start(t)

		for i := range 200 {
			thief := newSigner(t, "k1")
			w.expect(t, "bad signature", thief.sign(t, nil, w.person().with(object{"jti": strconv.Itoa(i)})), 5004)
		}

		w.expectFetches(t, "after 200 bad signatures", 1)
	})
}

func TestARotatedKeyIsFoundAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t).start(t)
		fresh := newSigner(t, "k2")
		w.provider.publish(w.signer, fresh)

		w.expect(t, "new key", fresh.sign(t, nil, w.person()), "accepted")
		w.expect(t, "old key", w.signer.sign(t, nil, w.person()), "accepted")
		w.expectFetches(t, "one on demand", 2)
	})
}

func TestADemandedRefreshOutlivesItsCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t).start(t)
		fresh := newSigner(t, "k2")
		w.provider.publish(w.signer, fresh)
		w.provider.misbehave(onKeys(func(*http.Request) (*http.Response, error) {
			time.Sleep(2 * time.Second)

			return nil, nil //nolint:nilnil // Slow, then as usual.
		}))

		raw := fresh.sign(t, nil, w.person())

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()

		_, err := w.gate.Authenticate(ctx, credential(raw))
		if diff := cmp.Diff(any("unavailable"), verdictOf(t, err)); diff != "" {
			t.Errorf("impatient caller (-want +got):\n%s", diff)
		}

		time.Sleep(2 * time.Second)
		w.expect(t, "the next caller", raw, "accepted")
		w.expectFetches(t, "one on demand", 2)
	})
}

func TestAnUnresponsiveIssuerHoldsNobodyForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t).start(t)
		w.provider.misbehave(hang)

		begun := time.Now()
		w.expect(t, "unknown kid", w.signer.sign(t, object{"kid": "k2"}, w.person()), "unavailable")

		if diff := cmp.Diff(5*time.Second, time.Since(begun)); diff != "" {
			t.Errorf("waited (-want +got):\n%s", diff)
		}

		w.expect(t, "known kid", w.signer.sign(t, nil, w.person()), "accepted")
		time.Sleep(time.Minute)
		w.expect(t, "known kid, after the fetch gave up", w.signer.sign(t, nil, w.person()), "accepted")
	})
}

// A caller who comes while keys are on their way waits for these, and may want them anew: for both together no longer than for one.
func TestASlowIssuerHoldsNobodyTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t).start(t)
		w.provider.misbehave(func(r *http.Request) (*http.Response, error) {
			select {
			case <-time.After(4 * time.Second):
			case <-r.Context().Done():
			}

			return nil, r.Context().Err() // answers as ever
		})

		time.Sleep(defaultRefresh + time.Second) // a refresh is under way

		begun := time.Now()
		w.expect(t, "unknown kid", w.signer.sign(t, object{"kid": "k2"}, w.person()), "unavailable")

		if diff := cmp.Diff(5*time.Second, time.Since(begun)); diff != "" {
			t.Errorf("waited (-want +got):\n%s", diff)
		}
	})
}

const defaultRefresh = 10 * time.Minute

// Whoever sends made-up kids to a gate whose issuer hangs keeps a bounded number of its places, not all.
func TestAnUnresponsiveIssuerHoldsNotTooManyAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t).start(t)
		w.provider.misbehave(hang)

		var bogus []string
		for i := range 1000 {
			bogus = append(bogus, w.signer.sign(t, object{"kid": "bogus-" + strconv.Itoa(i)}, w.person()))
		}

		if held := w.heldUp(t, bogus); held != 256 {
			t.Errorf("%d were held up", held)
		}

		w.expect(t, "known kid", w.signer.sign(t, nil, w.person()), "accepted")
	})
}

// Nor do several issuers that hang at once, as all do when the gate's way out is cut.
func TestUnresponsiveIssuersTogetherHoldNotTooManyAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.config.MaxWaiting = 10

		var bogus []string

		for i := range 4 {
			other := newSigner(t, "k"+strconv.Itoa(i))
			partner := newProvider("https://login.partner"+strconv.Itoa(i)+".example", other)
			partner.misbehave(hang)

			w.config.Issuers = append(w.config.Issuers, identity.Issuer{
				Name: "partner" + strconv.Itoa(i), URL: partner.url, Audiences: []string{corpAudience}, HTTPClient: &http.Client{Transport: partner},
			})

			for range 10 {
				bogus = append(bogus, other.sign(t, nil, w.person().with(object{"iss": partner.url})))
			}
		}

		w.start(t)

		if held := w.heldUp(t, bogus); held != 10 {
			t.Errorf("%d were held up", held)
		}

		w.expect(t, "the healthy issuer", w.signer.sign(t, nil, w.person()), "accepted")
	})
}

// hang answers when it is too late.
func hang(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()

	return nil, r.Context().Err()
}

// heldUp shows tokens all at once, none of which can be checked, and counts those that are not refused at once.
func (w *world) heldUp(t *testing.T, tokens []string) int64 {
	t.Helper()

	var held atomic.Int64

	var callers sync.WaitGroup

	begun := time.Now()

	for _, raw := range tokens {
		callers.Go(func() {
			w.expect(t, "bogus", raw, "unavailable")

			if time.Since(begun) > 0 {
				held.Add(1)
			}
		})
	}

	synctest.Wait()

	waiting := w.gate.Waiting()

	callers.Wait()

	if int64(waiting) != held.Load() {
		t.Errorf("%d were said to wait, %d did", waiting, held.Load())
	}

	return held.Load()
}

func TestAnOutageKeepsTheLastGoodKeysForADay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t).start(t)
		w.provider.misbehave(down)
		time.Sleep(23 * time.Hour)

		w.expect(t, "after 23 hours", w.signer.sign(t, nil, w.person()), "accepted")
		w.expect(t, "unknown kid, which may be a new key", w.signer.sign(t, object{"kid": "k2"}, w.person()), "unavailable")

		if err := w.gate.Ready(); err != nil {
			t.Errorf("an outage with keys at hand must not end readiness: %v", err)
		}

		time.Sleep(2 * time.Hour)
		w.expect(t, "after 25 hours", w.signer.sign(t, nil, w.person()), "unavailable")

		if err := w.gate.Ready(); err == nil {
			t.Error("ready with keys that no longer serve")
		}

		w.provider.misbehave(nil)
		time.Sleep(2 * time.Minute)
		w.expect(t, "after recovery", w.signer.sign(t, nil, w.person()), "accepted")
	})
}

func TestNoKeysYetIsOurTroubleNotTheCallers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.provider.misbehave(down)
		w.start(t)

		raw := w.signer.sign(t, nil, w.person())
		w.expect(t, "while down", raw, "unavailable")
		w.expect(t, "while down, garbage", "garbage", 5001)
		w.expect(t, "while down, other issuer", w.signer.sign(t, nil, w.person().with(object{"iss": "https://evil.example"})), 5004)

		if err := w.gate.Ready(); !errors.Is(err, errDown) {
			t.Errorf("Ready says %v, want the cause", err)
		}

		w.provider.misbehave(nil)
		time.Sleep(2 * time.Minute)
		w.expect(t, "after recovery", raw, "accepted")
	})
}

func TestCallersAtStartWaitForTheFirstFetch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.provider.misbehave(onKeys(func(*http.Request) (*http.Response, error) {
			time.Sleep(time.Second)

			return nil, nil //nolint:nilnil // Slow, then as usual.
		}))
		w.start(t)
		w.expect(t, "during the first fetch", w.signer.sign(t, nil, w.person()), "accepted")
	})
}

func TestOneIssuersOutageLeavesTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		other := newSigner(t, "k9")
		partner := newProvider("https://login.partner.example", other)
		w.config.Issuers = append(w.config.Issuers, identity.Issuer{
			Name: "partner", URL: partner.url, Audiences: []string{corpAudience}, HTTPClient: &http.Client{Transport: partner},
		})
		partner.misbehave(down)
		w.start(t)
		w.expect(t, "the healthy issuer", w.signer.sign(t, nil, w.person()), "accepted")
		w.expect(t, "the other", other.sign(t, nil, w.person().with(object{"iss": partner.url})), "unavailable")

		if err := w.gate.Ready(); err != nil {
			t.Errorf("one issuer of two serves, but: %v", err)
		}
	})
}

func TestBackgroundRefreshHonoursMaxAgeWithinBounds(t *testing.T) {
	t.Parallel()

	for _, row := range []struct {
		header string
		want   int // fetches in one hour, both ends included
	}{
		{"", 7},
		{"max-age=1", 13},
		{"no-transform, Max-Age=\"600\"", 7},
		{"max-age=86400", 5},
		{"max-age=never", 7},
	} {
		t.Run(row.header, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.provider.header.Set("Cache-Control", row.header)
				w.start(t)
				time.Sleep(time.Hour)
				synctest.Wait()
				w.expectFetches(t, "in an hour", row.want)
			})
		})
	}
}

func TestMetricsTellTheStateOfCacheAndKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t).start(t)
		raw := w.signer.sign(t, nil, w.person())

		w.expect(t, "miss", raw, "accepted")
		w.expect(t, "hit", raw, "accepted")
		w.expect(t, "hit", raw, "accepted")
		w.expect(t, "miss", "garbage", 5001)
		w.expect(t, "negative", "garbage", 5001)
		w.provider.misbehave(down)
		time.Sleep(10*time.Minute + time.Second/2)
		synctest.Wait()

		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(w.gate.Collectors()...)

		err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP cosmosgate_jwks_age_seconds Time since the issuer's keys were last fetched.
# TYPE cosmosgate_jwks_age_seconds gauge
cosmosgate_jwks_age_seconds{issuer="corp"} 600.5
# HELP cosmosgate_jwks_keys Key ids that may verify tokens of the issuer.
# TYPE cosmosgate_jwks_keys gauge
cosmosgate_jwks_keys{issuer="corp"} 1
# HELP cosmosgate_jwks_refreshes_total Fetches of an issuer's keys, by result: success or failure.
# TYPE cosmosgate_jwks_refreshes_total counter
cosmosgate_jwks_refreshes_total{issuer="corp",result="failure"} 1
cosmosgate_jwks_refreshes_total{issuer="corp",result="success"} 1
# HELP cosmosgate_token_cache_lookups_total Tokens looked up in the cache of verified tokens, by result: hit, miss, or negative (refused a moment ago).
# TYPE cosmosgate_token_cache_lookups_total counter
cosmosgate_token_cache_lookups_total{result="hit"} 2
cosmosgate_token_cache_lookups_total{result="miss"} 2
cosmosgate_token_cache_lookups_total{result="negative"} 1
`))
		if err != nil {
			t.Error(err)
		}
	})
}
