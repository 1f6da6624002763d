package identity_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/identity"
)

func TestOrdersForKeysAreCheckedWhole(t *testing.T) {
	t.Parallel()

	v := newVault(t)
	inactive := v.person()
	v.house.setActive(t, v.ann, false)

	_, _, err := v.keys.Mint(t.Context(), identity.Minting{
		Application: "other", Owner: inactive, Life: 366 * 24 * time.Hour, Networks: make([]netip.Prefix, 1),
	})
	for _, want := range []error{identity.ErrKeyDeclared, identity.ErrKeyOwner, identity.ErrKeyLife, identity.ErrKeyNetworks} {
		if !errors.Is(err, want) {
			t.Errorf("%v is not told by: %v", want, err)
		}
	}

	if _, _, err := v.keys.Mint(t.Context(), identity.Minting{Application: legacy, Owner: v.team(), Life: -1}); !errors.Is(err, identity.ErrKeyLife) {
		t.Errorf("negative life: %v", err)
	}
}

func TestAThirdLiveKeyIsRefused(t *testing.T) {
	t.Parallel()

	v := newVault(t)
	order := identity.Minting{Application: legacy, Owner: v.team()}

	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		made []identity.Key
	)

	for range 8 {
		keys, err := identity.NewKeys(v.config) // a gate of its own
		if err != nil {
			t.Fatal(err)
		}

		wg.Go(func() {
			key, _, err := keys.Mint(context.Background(), order)
			if err == nil {
				mu.Lock()
				defer mu.Unlock()

				made = append(made, key)
			} else if !errors.Is(err, identity.ErrKeyLimit) {
				t.Error(err)
			}
		})
	}

	wg.Wait()

	if len(made) != 2 {
		t.Fatalf("%d keys were made", len(made))
	}

	if _, err := v.keys.Revoke(t.Context(), made[0].ID, ""); err != nil {
		t.Fatal(err)
	}

	v.mint(t, identity.Minting{Owner: v.team()})
	v.mint(t, identity.Minting{Application: "second"}) // another application's are its own
}

func TestAtMost64KeysAreTried(t *testing.T) {
	t.Parallel()

	v := newVault(t)
	for i := range 33 {
		v.declared = append(v.declared, identity.Application{Name: "app-" + string(rune('a'+i%26)) + strings.Repeat("x", i), VirtualKeys: true})
	}

	made := 0

	for i := range v.declared {
		for range 2 {
			if !v.declared[i].VirtualKeys {
				continue
			}

			_, _, err := v.keys.Mint(t.Context(), identity.Minting{Application: v.declared[i].Name, Owner: v.person()})
			if err == nil {
				made++
			} else if !errors.Is(err, identity.ErrKeyLimit) {
				t.Fatal(err)
			}
		}
	}

	if made != identity.MaxTriedKeys {
		t.Errorf("%d keys live", made)
	}
}

func TestRotationOverlaps(t *testing.T) {
	t.Parallel()

	v := newVault(t)
	old, oldSecret := v.mint(t, identity.Minting{Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})

	next, nextSecret, err := v.keys.Rotate(t.Context(), old.ID, time.Hour, 0, "operator")
	if err != nil {
		t.Fatal(err)
	}

	if next.Application != legacy || next.Owner != old.Owner || !slices.Equal(next.Networks, old.Networks) {
		t.Errorf("got %+v", next)
	}

	if _, _, err := v.keys.Rotate(t.Context(), next.ID, time.Hour, 0, ""); !errors.Is(err, identity.ErrKeyLimit) {
		t.Errorf("a third key: %v", err)
	}

	for i, want := range []any{"accepted", 5006} {
		_, err := v.present(t, signed(t, oldSecret, itemLink, v.clock.read()))
		if diff := cmp.Diff(want, verdictOf(t, err)); diff != "" {
			t.Errorf("old key, time %d (-want +got):\n%s", i, diff)
		}

		if _, err := v.present(t, signed(t, nextSecret, itemLink, v.clock.read())); err != nil {
			t.Errorf("new key, time %d: %v", i, err)
		}

		v.clock.move(2 * time.Hour)
	}

	if _, _, err := v.keys.Rotate(t.Context(), old.ID, 0, 0, ""); !errors.Is(err, identity.ErrKeyDead) {
		t.Errorf("rotating an ended key: %v", err)
	}

	if _, _, err := v.keys.Rotate(t.Context(), "nothing", 0, 0, ""); !errors.Is(err, identity.ErrNoKey) {
		t.Errorf("rotating no key: %v", err)
	}
}

func TestKeysOutliveARestartAndTheirSecretsLieSealed(t *testing.T) {
	t.Parallel()

	v := newVault(t)
	key, secret := v.mint(t, identity.Minting{})

	raw, err := base64.StdEncoding.DecodeString(secret)
	if err != nil || len(raw) != 64 {
		t.Fatalf("secret of %d bytes, %v", len(raw), err)
	}

	for _, e := range v.house.Entries("key") {
		if bytes.Contains(e.Value, raw) || bytes.Contains(e.Value, []byte(secret)) {
			t.Error("the secret can be read in the directory")
		}
	}

	v.house = v.house.reopen(t)
	v.build(t)

	if _, err := v.present(t, signed(t, secret, itemLink, v.clock.read())); err != nil {
		t.Errorf("after a restart: %v", err)
	}

	// A sealed secret moved to another application's key opens nothing.
	e := v.house.Entries("key")[0]
	e.Value = bytes.ReplaceAll(e.Value, []byte(legacy), []byte("second"))

	if _, err := v.house.PutEntry(t.Context(), e, directory.AnyRevision); err != nil {
		t.Fatal(err)
	}

	if _, err := v.present(t, signed(t, secret, itemLink, v.clock.read())); verdictOf(t, err) != 5004 {
		t.Errorf("moved to another application: %v", err)
	}

	if got := v.keys.List(t.Context()); len(got) != 1 || got[0].State != identity.KeyUnreadable || got[0].ID != key.ID {
		t.Errorf("got %+v", got)
	}
}

func TestListingsTellTheState(t *testing.T) {
	t.Parallel()

	v := newVault(t)
	live, secret := v.mint(t, identity.Minting{Owner: v.team()})
	revoked, _ := v.mint(t, identity.Minting{})
	dead, _ := v.mint(t, identity.Minting{Application: "second"})
	locked, _ := v.mint(t, identity.Minting{Application: "second", Owner: v.team()})

	if _, err := v.keys.Revoke(t.Context(), revoked.ID, "bob"); err != nil {
		t.Fatal(err)
	}

	v.house.setActive(t, v.ann, false)
	v.lock(t, directory.SubjectKey, locked.ID)

	if _, err := v.present(t, signed(t, secret, itemLink, v.clock.read())); err != nil {
		t.Fatal(err)
	}

	got := map[string]identity.KeyState{}

	for _, key := range v.keys.List(t.Context()) {
		got[key.ID] = key.State

		if used := !key.LastUsed.IsZero(); used != (key.ID == live.ID) {
			t.Errorf("%s used: %v", key.ID, used)
		}
	}

	want := map[string]identity.KeyState{
		live.ID: identity.KeyLive, revoked.ID: identity.KeyRevoked, dead.ID: identity.KeyOwnerless, locked.ID: identity.KeyLocked,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestKeysAreWarnedOfBeforeTheyEnd(t *testing.T) {
	t.Parallel()

	var log bytes.Buffer

	v := newVault(t, func(c *identity.KeysConfig) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	key, _ := v.mint(t, identity.Minting{Life: 20 * 24 * time.Hour})

	run := func() string {
		log.Reset()

		ctx, cancel := context.WithCancel(t.Context())
		cancel()

		if err := v.keys.Run(ctx); err != nil {
			t.Error(err)
		}

		return log.String()
	}

	if text := run(); text != "" {
		t.Errorf("warned 20 days ahead: %s", text)
	}

	v.clock.move(7 * 24 * time.Hour)

	if text := run(); !strings.Contains(text, key.ID) || !strings.Contains(text, legacy) {
		t.Errorf("no warning: %q", text)
	}
}
