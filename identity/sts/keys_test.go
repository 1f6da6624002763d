package sts_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/identity"
	"github.com/cosmosgate/cosmosgate/identity/seal"
	"github.com/cosmosgate/cosmosgate/identity/sts"
)

func newKeys(tb testing.TB, entries identity.Entries, sealer seal.Sealer) *sts.Keys {
	tb.Helper()

	keys, err := sts.NewKeys(sts.KeysConfig{
		Entries: entries, Sealer: sealer, Random: rand.Reader, Clock: time.Now, Logger: slog.New(slog.DiscardHandler),
	})
	check(tb, err)

	return keys
}

// states are the states of all keys, in the order in which they sign.
func states(keys *sts.Keys) []string {
	var list []string
	for _, key := range keys.List() {
		list = append(list, key.State)
	}

	return list
}

func sign(tb testing.TB, keys *sts.Keys) string {
	tb.Helper()

	raw, kid, err := keys.Sign(context.Background(), "at+jwt", object{"iat": time.Now().Unix()})
	check(tb, err)

	public, found := keys.PublicKey(kid)
	if !found {
		tb.Fatalf("%s signs and is not published", kid)
	}

	jws, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.ES256})
	check(tb, err)

	if _, err := jws.Verify(public.Key); err != nil {
		tb.Fatal(err)
	}

	return kid
}

func TestKeysArePublishedLongBeforeTheySign(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const day = 24 * time.Hour

		keys := newKeys(t, newShelf(), newRing(t))
		check(t, keys.Tend(t.Context()))

		published := map[string]time.Time{}
		begun := time.Now()
		signs := ""
		changes := 0

		for time.Since(begun) < 100*day {
			check(t, keys.Tend(t.Context()))

			for _, key := range keys.Published().Keys {
				if _, seen := published[key.KeyID]; !seen {
					published[key.KeyID] = time.Now()
				}

				if got := thumbprint(t, key); got != key.KeyID || !key.IsPublic() {
					t.Fatalf("key %s is not named by its thumbprint %s, or not public", key.KeyID, got)
				}
			}

			if kid := sign(t, keys); kid != signs {
				if changes++; changes > 1 && time.Since(published[kid]) < day {
					t.Errorf("%s signs %s after it was published", kid, time.Since(published[kid]))
				}

				signs = kid
			}

			time.Sleep(10 * time.Minute)
		}

		if changes != 4 {
			t.Errorf("%d keys signed in 100 days, want 4", changes)
		}
	})
}

func TestAKeyIsPublishedUntilTheLastOfItsTokensHasEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		keys := newKeys(t, newShelf(), newRing(t))
		check(t, keys.Tend(t.Context()))

		if diff := cmp.Diff([]string{"active", "next"}, states(keys)); diff != "" {
			t.Errorf("at first (-want +got):\n%s", diff)
		}

		old := sign(t, keys)

		// Asked for at once: the next key waits until it has been published for a day.
		info, err := keys.Rotate(t.Context())
		check(t, err)

		if want := time.Now().Add(24 * time.Hour).UTC(); !info.Signs.Equal(want) {
			t.Errorf("the next signs at %s, want %s", info.Signs, want)
		}

		time.Sleep(24 * time.Hour)
		check(t, keys.Tend(t.Context()))

		if kid := sign(t, keys); kid != info.ID {
			t.Errorf("%s signs, want %s", kid, info.ID)
		}

		if diff := cmp.Diff([]string{"previous", "active", "next"}, states(keys)); diff != "" {
			t.Errorf("after the change (-want +got):\n%s", diff)
		}

		time.Sleep(identity.MaxOwnLifetime + time.Minute)

		if _, found := keys.PublicKey(old); !found {
			t.Error("the old key is gone before its last token")
		}

		time.Sleep(2 * time.Minute)

		if _, found := keys.PublicKey(old); found {
			t.Error("the old key is published without end")
		}

		check(t, keys.Tend(t.Context()))

		if diff := cmp.Diff([]string{"active", "next"}, states(keys)); diff != "" {
			t.Errorf("at last (-want +got):\n%s", diff)
		}
	})
}

func TestADroppedKeyIsRefusedByTheNextRequest(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		t.Helper()

		token := w.delegated(t, "scout", nil)
		if _, err := w.authenticate(t, token); err != nil {
			t.Fatal(err)
		}

		list := w.keys.List()
		check(t, w.keys.Drop(t.Context(), list[0].ID))

		if _, err := w.authenticate(t, token); err == nil {
			t.Error("a token of the dropped key is still good")
		}

		// The next one signs at once, and another is ready behind it.
		if kid := sign(t, w.keys); kid != list[1].ID {
			t.Errorf("%s signs, want %s", kid, list[1].ID)
		}

		if diff := cmp.Diff([]string{"active", "next"}, states(w.keys)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}

		if _, err := w.authenticate(t, w.delegated(t, "scout", nil)); err != nil {
			t.Errorf("a token of the next key: %v", err)
		}

		if err := w.keys.Drop(t.Context(), "nobody's"); err == nil {
			t.Error("a key that is not there was dropped")
		}
	})
}

func TestACompromisedKeyTakesWhatWasExchangedForItsTokens(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, w *world) {
		t.Helper()

		next, err := w.keys.Rotate(t.Context())
		check(t, err)
		time.Sleep(time.Until(next.Signs) - time.Minute)

		first := w.delegated(t, "scout", nil)

		time.Sleep(2 * time.Minute)

		second := w.post("/oauth2/token", w.exchange(t, "chef", first)).token()

		p, err := w.authenticate(t, second)
		check(t, err)

		old := w.keys.List()[0].ID
		if p.KeyID != next.ID || old == next.ID {
			t.Fatalf("signed under %s, after %s", p.KeyID, old)
		}

		check(t, w.config.Revoke(t.Context(), identity.Revocation{Kind: identity.RevokeKey, Issuer: ownURL, Name: old}))

		if _, err := w.authenticate(t, second); err == nil {
			t.Error("what was exchanged for a token of the compromised key is still good")
		}
	})
}

func TestGatesOfOneDirectoryShareTheirKeys(t *testing.T) {
	t.Parallel()

	d, err := directory.Open(directory.Config{
		Path: filepath.Join(t.TempDir(), "directory.db"), Clock: time.Now, Random: rand.Reader, Logger: slog.New(slog.DiscardHandler),
	})
	check(t, err)

	ctx, cancel := context.WithCancel(context.Background())

	var running sync.WaitGroup

	running.Go(func() { _ = d.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
		_ = d.Close()
	})

	ring := newRing(t)
	gates := make([]*sts.Keys, 8)

	var starting sync.WaitGroup

	for i := range gates {
		gates[i] = newKeys(t, d, ring)
		starting.Go(func() {
			if err := gates[i].Tend(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}

	starting.Wait()

	want := gates[0].List()
	if len(want) != 2 {
		t.Fatalf("%d keys, want 2", len(want))
	}

	for _, gate := range gates {
		if diff := cmp.Diff(want, gate.List()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}

		if kid := sign(t, gate); kid != want[0].ID {
			t.Errorf("%s signs, want %s", kid, want[0].ID)
		}
	}

	// What lies in the directory opens for none but its holders.
	entry, found := d.Entry("sts-key", "ring")
	if !found {
		t.Fatal("no entry")
	}

	if bytes.Contains(entry.Value, []byte(`"d":`)) {
		t.Error("a private key lies there in the clear")
	}

	stranger := newKeys(t, d, newRing(t))

	looking, stop := context.WithCancel(ctx)
	stop() // one look

	if err := stranger.Run(looking); err != nil || stranger.Healthy() == nil {
		t.Errorf("a gate with another key-encryption key says that it is well: %v", err)
	}

	if _, _, err := stranger.Sign(t.Context(), "at+jwt", object{}); err == nil {
		t.Error("a gate with another key-encryption key signs")
	}
}

func TestKeysThatWereAlteredDoNotSign(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shelf, ring := newShelf(), newRing(t)
		check(t, newKeys(t, shelf, ring).Tend(t.Context()))

		entry, _ := shelf.Entry("sts-key", "ring")

		var value map[string][]map[string]any

		check(t, json.Unmarshal(entry.Value, &value))

		// The second key's private part under the first one's name.
		value["keys"][0]["private"] = value["keys"][1]["private"]
		altered, err := json.Marshal(value)
		check(t, err)

		entry.Value = altered
		_, err = shelf.PutEntry(t.Context(), entry, directory.AnyRevision)
		check(t, err)

		if _, _, err := newKeys(t, shelf, ring).Sign(t.Context(), "at+jwt", object{}); err == nil {
			t.Error("signs")
		}
	})
}
