package identity_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
)

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

func TestOptedInAlgorithmsServe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, edwards, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}

		w := newWorld(t)
		pss, eddsa := newRSASigner("pss"), signer{kid: "ed", alg: jose.EdDSA, key: edwards}
		pss.alg = jose.PS256
		w.provider.publish(w.signer, pss, eddsa)
		w.config.Issuers[0].Algorithms = []string{"PS256", "EdDSA"}
		w.start(t)
		w.expect(t, "PS256", pss.sign(t, nil, w.person()), "accepted")
		w.expect(t, "EdDSA", eddsa.sign(t, nil, w.person()), "accepted")
		w.expect(t, "ES256, which is no longer on the list", w.signer.sign(t, nil, w.person()), 5004)
	})
}

func TestAnErrorPageOfTheIssuerDoesNotFillTheRecord(t *testing.T) {
	t.Parallel()

	for name, override := range map[string]func(*http.Request) (*http.Response, error){
		"discovery": onDiscovery(answerBytes(http.StatusBadGateway, strings.Repeat("x", 1<<19))),
		"keys":      onKeys(answerBytes(http.StatusOK, `{"keys":[],"`+strings.Repeat("x", 1<<19)+`":1,"`+strings.Repeat("x", 1<<19)+`":2}`)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.provider.misbehave(override)
				w.start(t)

				_, err := w.authenticate(t, w.signer.sign(t, nil, w.person()))
				if err == nil || len(err.Error()) > 500 {
					t.Errorf("error of %d bytes", len(err.Error()))
				}
			})
		})
	}
}
