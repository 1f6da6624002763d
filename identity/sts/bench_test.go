package sts_test

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"github.com/cosmosgate/cosmosgate/identity"
	"github.com/cosmosgate/cosmosgate/identity/sts"
)

// newBenchWorld is a world on the real clock, as newWorld is in a bubble.
func newBenchWorld(b *testing.B) *world {
	b.Helper()

	w := newWorld(b)
	w.config.Rate, w.config.Burst = 1e9, 1e9

	var err error

	w.keys, err = sts.NewKeys(sts.KeysConfig{Entries: w.shelf, Sealer: newRing(b), Random: rand.Reader, Clock: time.Now, Logger: w.config.Logger})
	check(b, err)
	check(b, w.keys.Tend(b.Context()))

	once, err := identity.NewOnce(w.shelf, time.Now)
	check(b, err)

	revoked, err := identity.NewRevocations(identity.RevocationConfig{Entries: w.shelf, Clock: time.Now})
	check(b, err)

	w.identity.Own = &identity.OwnIssuer{Name: "gate", URL: ownURL, Audience: dataAud, Keys: w.keys}
	w.identity.Revocations = revoked
	w.gate, err = identity.New(w.identity)
	check(b, err)

	ctx, cancel := context.WithCancel(context.Background())
	b.Cleanup(cancel)

	go func() { _ = w.gate.Run(ctx) }()

	w.config.Authenticator, w.config.Keys, w.config.Revoke = w.gate, w.keys, revoked.Revoke
	w.config.Spend = once.Spend
	w.service, err = sts.New(w.config)
	check(b, err)

	return w
}

// BenchmarkExchange is a whole exchange by a workload's token: two verifications, the decision, the signature.
func BenchmarkExchange(b *testing.B) {
	w := newBenchWorld(b)
	form := object{
		"grant_type": exchange, "subject_token": w.corp.sign(b, "at+jwt", w.person()), "subject_token_type": accessToken,
		"client_assertion_type": assertion, "client_assertion": w.cluster.sign(b, "", w.pod("pod")),
	}

	for b.Loop() {
		if r := w.post("/oauth2/token", form); r.token() == "" {
			b.Fatal(r.body)
		}

		w.events = w.events[:0]
	}
}

// BenchmarkDelegatedToken is what the data plane does with a delegated token that it has seen before.
func BenchmarkDelegatedToken(b *testing.B) {
	w := newBenchWorld(b)
	credential := identity.Credential{Scheme: identity.SchemeToken, Token: w.delegated(b, "scout", nil)}

	b.ReportAllocs()

	for b.Loop() {
		if _, err := w.gate.Authenticate(b.Context(), credential); err != nil {
			b.Fatal(err)
		}
	}
}
