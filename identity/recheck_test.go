package identity_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/identity"
)

func TestWhoWasLetInIsLookedUpAgain(t *testing.T) {
	t.Parallel()

	for _, row := range []struct {
		name   string
		change func(w *world)
		person any
		app    any
	}{
		{"nothing", func(*world) {}, "accepted", "accepted"},
		{"person deactivated", func(w *world) {
			user := ann()
			user.Active = false
			w.people.set(annKey(), user)
		}, 5013, "accepted"},
		{"person deleted", func(w *world) { w.people.remove(annKey()) }, 5013, "accepted"},
		{"person deleted, and somebody new under the same link", func(w *world) {
			user := ann()
			user.ID = "0199-somebody-else"
			w.people.set(annKey(), user)
		}, 5013, "accepted"},
		{"person locked", func(w *world) {
			user := ann()
			user.Lock = &directory.Lock{Message: "lost laptop"}
			w.people.set(annKey(), user)
		}, 5013, "accepted"},
		{"application locked", func(w *world) {
			w.people.lock(directory.Subject{Kind: directory.SubjectApplication, Name: "checkout"})
		}, "accepted", 5013},
		{"a key of the signing key's name locked", func(w *world) {
			w.people.lock(directory.Subject{Kind: directory.SubjectKey, Name: "k1"})
		}, "accepted", "accepted"},
		{"application no longer declared", func(w *world) { w.declared = nil }, "accepted", 5013},
		{"token expired by itself", func(*world) { time.Sleep(2 * time.Hour) }, "accepted", "accepted"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t).start(t)
				person, errPerson := w.authenticate(t, w.signer.sign(t, nil, w.person()))
				app, errApp := w.authenticate(t, w.signer.sign(t, nil, w.application()))

				if errPerson != nil || errApp != nil {
					t.Fatal(errPerson, errApp)
				}

				row.change(w)

				_, errPerson = w.gate.Recheck(&person)
				_, errApp = w.gate.Recheck(&app)

				if diff := cmp.Diff([]any{row.person, row.app}, []any{verdictOf(t, errPerson), verdictOf(t, errApp)}); diff != "" {
					t.Errorf("person, application (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestARecheckKnowsWhatChanged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t).start(t)
		person, errPerson := w.authenticate(t, w.signer.sign(t, nil, w.person()))
		app, errApp := w.authenticate(t, w.signer.sign(t, nil, w.application()))

		user := ann()
		user.Groups, user.Generation = nil, [2]uint64{77, 77}
		w.people.set(annKey(), user)

		moved := w.declared[0]
		moved.Attributes = map[string]string{"department": "sales"}
		w.declared = []identity.Application{moved}

		var errs [2]error
		person, errs[0] = w.gate.Recheck(&person)
		app, errs[1] = w.gate.Recheck(&app)

		if diff := cmp.Diff([]error{nil, nil, nil, nil}, []error{errPerson, errApp, errs[0], errs[1]}); diff != "" {
			t.Fatal(diff)
		}

		if diff := cmp.Diff([]any{user, moved.Attributes}, []any{person.User, app.Attributes}); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestARevocationIsSeenByARecheck(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	table := newRevocations(t, newHouse(t))
	w.config.Revocations = table
	w.running(t)

	who, err := w.authenticate(t, w.signer.sign(t, nil, w.person()))
	if err != nil {
		t.Fatal(err)
	}

	if _, err := w.gate.Recheck(&who); err != nil {
		t.Fatalf("before: %v", err)
	}

	revoke(t, table, identity.Revocation{Kind: identity.RevokeToken, Issuer: corpURL, Name: "token-1"})

	if _, err := w.gate.Recheck(&who); verdictOf(t, err) != 5013 {
		t.Errorf("after: %v", err)
	}
}

func TestAKeyIsLookedUpAgain(t *testing.T) {
	t.Parallel()

	for _, row := range []struct {
		name   string
		change func(t *testing.T, v *vault, id string)
		want   any
	}{
		{"nothing", func(*testing.T, *vault, string) {}, "accepted"},
		{"revoked", func(t *testing.T, v *vault, id string) {
			t.Helper()

			if _, err := v.keys.Revoke(t.Context(), id, "operator"); err != nil {
				t.Fatal(err)
			}
		}, 5013},
		{"replaced at once", func(t *testing.T, v *vault, id string) {
			t.Helper()

			if _, _, err := v.keys.Rotate(t.Context(), id, 0, 0, "operator"); err != nil {
				t.Fatal(err)
			}
		}, 5013},
		{"replaced with an overlap", func(t *testing.T, v *vault, id string) {
			t.Helper()

			if _, _, err := v.keys.Rotate(t.Context(), id, time.Hour, 0, "operator"); err != nil {
				t.Fatal(err)
			}
		}, "accepted"},
		{"its place taken by another after its end", func(t *testing.T, v *vault, _ string) {
			t.Helper()
			v.clock.move(2 * time.Hour)
			v.mint(t, identity.Minting{})
			v.mint(t, identity.Minting{})
		}, 5013},
		{"locked", func(t *testing.T, v *vault, id string) { t.Helper(); v.lock(t, directory.SubjectKey, id) }, 5013},
		{"application locked", func(t *testing.T, v *vault, _ string) {
			t.Helper()
			v.lock(t, directory.SubjectApplication, legacy)
		}, 5013},
		{"application has no keys any more", func(_ *testing.T, v *vault, _ string) { v.declared = v.declared[:1] }, 5013},
		{"owner deactivated", func(t *testing.T, v *vault, _ string) { t.Helper(); v.house.setActive(t, v.ann, false) }, 5013},
		{"somebody else deactivated", func(t *testing.T, v *vault, _ string) { t.Helper(); v.house.setActive(t, v.bob, false) }, "accepted"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			v := newVault(t)
			key, secret := v.mint(t, identity.Minting{Life: time.Hour})

			who, err := v.present(t, signed(t, secret, itemLink, v.clock.read()))
			if err != nil {
				t.Fatal(err)
			}

			row.change(t, v, key.ID)

			_, err = v.gate.Recheck(&who)
			if diff := cmp.Diff(row.want, verdictOf(t, err)); diff != "" {
				t.Errorf("(-want +got):\n%s\n%v", diff, err)
			}
		})
	}
}
