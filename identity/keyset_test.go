package identity_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
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
		}

		callers.Wait()
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
		w.provider.misbehave(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()

			return nil, r.Context().Err()
		})

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

func TestKeyDocumentsAreNotTrustedBlindly(t *testing.T) {
	t.Parallel()

	for _, row := range []struct {
		name     string
		override func(*http.Request) (*http.Response, error)
		want     any
	}{
		{"as it should be", nil, "accepted"},
		{"keys: 2 MB", onKeys(answerBytes(http.StatusOK, `{"keys":[],"padding":"`+strings.Repeat("x", 2<<20)+`"}`)), "unavailable"},
		{"keys: endless", onKeys(endless), "unavailable"},
		{"keys: slower than ten seconds", onKeys(slow), "unavailable"},
		{"keys: error page", onKeys(answerBytes(http.StatusInternalServerError, "<html>")), "unavailable"},
		{"keys: HTML", onKeys(answerBytes(http.StatusOK, "<html>")), "unavailable"},
		{"keys: no array", onKeys(answerBytes(http.StatusOK, `{}`)), "unavailable"},
		{"keys: null", onKeys(answerBytes(http.StatusOK, `{"keys":null}`)), "unavailable"},
		{"keys: array twice", onKeys(answerBytes(http.StatusOK, `{"keys":[],"keys":[]}`)), "unavailable"},
		{"keys: 101", onKeys(answerBytes(http.StatusOK, `{"keys":[`+strings.Repeat(`{},`, 100)+`{}]}`)), "unavailable"},
		{"keys: redirect", onKeys(redirect), "unavailable"},
		{"keys: withdrawn, all of them", onKeys(answerBytes(http.StatusOK, `{"keys":[]}`)), 5004},
		{"discovery: redirect", onDiscovery(redirect), "unavailable"},
		{"discovery: 2 MB", onDiscovery(answerBytes(http.StatusOK, `{"padding":"`+strings.Repeat("x", 2<<20)+`"}`)), "unavailable"},
		{"discovery: other issuer", onDiscovery(discovery("https://evil.example", corpURL+"/keys")), "unavailable"},
		{"discovery: issuer with a slash more", onDiscovery(discovery(corpURL+"/", corpURL+"/keys")), "unavailable"},
		{"discovery: keys over http", onDiscovery(discovery(corpURL, "http://login.corp.example/keys")), "unavailable"},
		{"discovery: keys on this machine", onDiscovery(discovery(corpURL, "https://127.0.0.1/keys")), "unavailable"},
		{"discovery: keys in a file", onDiscovery(discovery(corpURL, "file:///etc/passwd")), "unavailable"},
		{"discovery: no keys", onDiscovery(discovery(corpURL, "")), "unavailable"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.provider.misbehave(row.override)
				w.start(t)
				time.Sleep(20 * time.Second)
				w.expect(t, "first fetch", w.signer.sign(t, nil, w.person()), row.want)
			})
		})
	}
}

func answerBytes(status int, document string) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) {
		return respondBytes(status, http.Header{"Content-Type": {"application/json"}}, []byte(document)), nil
	}
}

func redirect(*http.Request) (*http.Response, error) {
	return respondBytes(http.StatusFound, http.Header{"Location": {corpURL + "/keys"}}, nil), nil
}

func discovery(issuer, keys string) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) {
		return respond(http.StatusOK, http.Header{"Content-Type": {"application/json"}}, object{"issuer": issuer, "jwks_uri": keys})
	}
}

func slow(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()

	return nil, r.Context().Err()
}

// spaces is a body without an end.
type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}

	return len(p), nil
}

func endless(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(spaces{}), ContentLength: -1}, nil
}

func TestKeysThatMustNotVerifyAreSkippedAndOthersServe(t *testing.T) {
	t.Parallel()

	for _, row := range []struct {
		name string
		key  func(s signer) jose.JSONWebKey
	}{
		{"for encryption", func(s signer) jose.JSONWebKey { return jose.JSONWebKey{Key: s.key.Public(), KeyID: s.kid, Use: "enc"} }},
		{"for another algorithm", func(s signer) jose.JSONWebKey {
			return jose.JSONWebKey{Key: s.key.Public(), KeyID: s.kid, Algorithm: "RS256"}
		}},
		{"private", func(s signer) jose.JSONWebKey { return jose.JSONWebKey{Key: s.key, KeyID: s.kid} }},
		{"without kid", func(s signer) jose.JSONWebKey { return jose.JSONWebKey{Key: s.key.Public()} }},
		{"symmetric", func(s signer) jose.JSONWebKey { return jose.JSONWebKey{Key: []byte("secret"), KeyID: s.kid} }},
		{"another key under its kid", func(s signer) jose.JSONWebKey {
			other := newRSASigner(s.kid)

			return other.public()
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				bad := newSigner(t, "k2")
				w.provider.keys = append(w.provider.keys, row.key(bad))
				w.start(t)
				w.expect(t, "bad key", bad.sign(t, nil, w.person()), 5004)
				w.expect(t, "good key", w.signer.sign(t, nil, w.person()), "accepted")
			})
		})
	}
}

func TestAWeakKeyDoesNotServe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const bits = 1024

		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}

		w := newWorld(t)
		weak := signer{kid: "weak", alg: jose.RS256, key: key}
		w.provider.publish(w.signer, weak)
		w.start(t)
		w.expect(t, "weak key", weak.sign(t, nil, w.person()), 5004)
	})
}

func TestTwoKeysUnderOneKidBothServe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		twin, cousin := newSigner(t, "k1"), newRSASigner("k1")
		w.provider.publish(w.signer, twin, cousin)
		w.start(t)

		for _, s := range []signer{w.signer, twin, cousin} {
			w.expect(t, string(s.alg), s.sign(t, nil, w.person()), "accepted")
		}
	})
}

func TestManyKeysUnderOneKidAreRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.provider.publish(w.signer, newSigner(t, "k1"), newSigner(t, "k1"), newSigner(t, "k1"), newSigner(t, "k1"))
		w.start(t)
		w.expect(t, "five keys", w.signer.sign(t, nil, w.person()), "unavailable")
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
