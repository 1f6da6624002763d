package identity_test

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestAStormOf250BogusTokensOfEveryKindCausesOneFetch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t).start(t)
		thief := newSigner(t, "k1")
		honest := w.signer.sign(t, nil, w.person())
		rsa := newRSASigner("rsa")

		var callers sync.WaitGroup

		for i := range 250 {
			raw := [...]string{
				w.signer.sign(t, object{"kid": "bogus-" + strconv.Itoa(i)}, w.person()),
				thief.sign(t, nil, w.person().with(object{"jti": strconv.Itoa(i)})),
				rsa.sign(t, object{"kid": "k1"}, w.person().with(object{"jti": strconv.Itoa(i)})),
				w.signer.sign(t, nil, w.person().with(object{"iss": "https://evil.example/" + strconv.Itoa(i)})),
				w.signer.sign(t, object{"kid": "../" + strconv.Itoa(i), "jku": "https://evil.example"}, w.person()),
			}[i%5]

			callers.Go(func() { w.expect(t, "bogus token", raw, 5004) })
			callers.Go(func() { w.expect(t, "the honest meanwhile", honest, "accepted") })
		}

		callers.Wait()

		if fetches := w.provider.keyFetches() - 1; fetches > 1 {
			t.Errorf("%d fetches", fetches)
		}
	})
}

func TestAStormAtAColdStartIsNotTheIssuersToBear(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.provider.misbehave(func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") })
		w.start(t)

		for i := range 250 {
			w.expect(t, "no keys yet", w.signer.sign(t, object{"kid": "bogus-" + strconv.Itoa(i)}, w.person()), "unavailable")
		}

		before := w.provider.keyFetches()

		w.provider.misbehave(nil)
		time.Sleep(2 * time.Second)
		w.expect(t, "the issuer is back", w.signer.sign(t, nil, w.person()), "accepted")

		if fetches := w.provider.keyFetches() - before; fetches != 1 {
			t.Errorf("%d fetches", fetches)
		}
	})
}

func TestManyCallersDuringARotationShareOneFetch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t).start(t)
		next := newSigner(t, "k2")

		w.provider.publish(w.signer, next)
		w.provider.misbehave(func(r *http.Request) (*http.Response, error) {
			if strings.HasSuffix(r.URL.Path, "/keys") {
				time.Sleep(3 * time.Second) // in flight
			}

			return nil, nil //nolint:nilnil // as it would have been answered
		})

		var callers sync.WaitGroup

		for range 100 {
			callers.Go(func() { w.expect(t, "new key, in flight", next.sign(t, nil, w.person()), "accepted") })
			callers.Go(func() { w.expect(t, "old key, meanwhile", w.signer.sign(t, nil, w.person()), "accepted") })
		}

		callers.Wait()
		w.expectFetches(t, "one for all", 2)
	})
}

func TestAClockThatJumpsNeverAcceptsWhatHasEnded(t *testing.T) {
	t.Parallel()

	clock := &manualClock{now: time.Now()}
	w := newWorld(t)
	w.config.Clock = clock.read
	w.running(t)

	raw := w.signer.sign(t, nil, w.person())
	w.expect(t, "at first", raw, "accepted")
	clock.move(2 * time.Hour)
	w.expect(t, "two hours ahead", raw, 5006)
	clock.move(-2 * time.Hour)

	// The refusal is remembered for seconds, and then the token is good again.
	clock.move(10 * time.Second)
	w.expect(t, "back again", raw, "accepted")
	clock.move(-3 * time.Hour)
	w.expect(t, "three hours back", w.signer.sign(t, nil, w.person().with(object{"jti": "another"})), 5006)
	clock.move(3*time.Hour + 25*time.Hour)
	w.expect(t, "a day ahead: the keys are too old to be believed", w.signer.sign(t, nil, w.person().with(object{"jti": "late"})), "unavailable")
}

func TestAKeySetThatNeverEndsIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.provider.misbehave(func(r *http.Request) (*http.Response, error) {
			if !strings.HasSuffix(r.URL.Path, "/keys") {
				return nil, nil //nolint:nilnil // as it would have been answered
			}

			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: &drip{done: r.Context().Done()}}, nil
		})
		w.start(t)

		raw := w.signer.sign(t, nil, w.person())
		w.expect(t, "while it drips", raw, "unavailable")
		time.Sleep(5500 * time.Millisecond) // the caller waited for 5 s, the fetch ends after 10
		w.provider.misbehave(nil)
		time.Sleep(2 * time.Second)
		w.expect(t, "after it was given up", raw, "accepted")
	})
}

// drip is a body that yields one byte a second until its request ends.
type drip struct{ done <-chan struct{} }

func (d *drip) Read(p []byte) (int, error) {
	select {
	case <-time.After(time.Second):
		p[0] = ' '

		return 1, nil
	case <-d.done:
		return 0, errors.New("given up")
	}
}

func (*drip) Close() error { return nil }
