package identity_test

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/identity"
)

func TestPeopleAreLinkedByTheImmutableClaimOnly(t *testing.T) {
	t.Parallel()

	const mail, upn = "ann@corp.example", "ann.smith@corp.example"

	runAttacks(t, []attack{
		{"linked", claimed(func(int64) object { return object{"email": "new@corp.example"} }), "accepted"},
		{"changed UPN, same subject", claimed(func(int64) object { return object{"upn": upn, "preferred_username": upn} }), "accepted"},
		{"reused e-mail, other subject", claimed(func(int64) object { return object{"sub": "00u-new", "email": mail, "upn": mail} }), 5013},
		{"e-mail as subject", claimed(func(int64) object { return object{"sub": mail} }), 5013},
		{"record id as subject", claimed(func(int64) object { return object{"sub": string(ann().ID)} }), 5013},
		{"subject in upper case", claimed(func(int64) object { return object{"sub": strings.ToUpper(annSubject)} }), 5013},
		{"subject with a space", claimed(func(int64) object { return object{"sub": annSubject + " "} }), 5013},
		{"numeric subject", claimed(func(int64) object { return object{"sub": 1} }), 5004},
		{"subject is a list", claimed(func(int64) object { return object{"sub": []string{annSubject}} }), 5004},
		{"no subject", claimed(func(int64) object { return object{"sub": nil} }), 5009},
		{"empty subject", claimed(func(int64) object { return object{"sub": ""} }), 5009},
		{"subject with a lone surrogate", func(t *testing.T, w *world) string {
			t.Helper()

			payload, err := json.Marshal(w.person().with(object{"sub": "SUBJECT"}))
			if err != nil {
				t.Fatal(err)
			}

			return w.signer.signBytes(t, nil, []byte(strings.Replace(string(payload), "SUBJECT", `\ud800`, 1)))
		}, 5009},
		{"client's own token at a front-end client", claimed(func(int64) object { return object{"sub": corpClient} }), 5009},
	})
}

func TestStateIsReadOnEveryCallAfterTheCache(t *testing.T) {
	t.Parallel()

	for _, row := range []struct {
		name   string
		change func(t *testing.T, w *world)
		person any
		app    any
	}{
		{"nothing", func(*testing.T, *world) {}, "accepted", "accepted"},
		{"person deactivated", func(_ *testing.T, w *world) {
			user := ann()
			user.Active = false
			w.people.set(annKey(), user)
		}, 5013, "accepted"},
		{"person deleted", func(_ *testing.T, w *world) { w.people.remove(annKey()) }, 5013, "accepted"},
		{"person locked", func(_ *testing.T, w *world) {
			user := ann()
			user.Lock = &directory.Lock{Message: "lost laptop"}
			w.people.set(annKey(), user)
		}, 5013, "accepted"},
		{"application locked", func(_ *testing.T, w *world) {
			w.people.lock(directory.Subject{Kind: directory.SubjectApplication, Name: "checkout"})
		}, "accepted", 5013},
		{"application no longer declared", func(_ *testing.T, w *world) { w.declared = nil }, "accepted", 5009},
		{"second application that matches", func(_ *testing.T, w *world) {
			w.declared = append(w.declared, identity.Application{
				Name: "shadow", Issuer: "corp", Claims: map[string]string{"sub": "checkout"},
			})
		}, "accepted", 5009},
		{"token expires while cached", func(*testing.T, *world) { time.Sleep(time.Hour + time.Minute) }, 5006, 5006},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t).start(t)
				person, app := w.signer.sign(t, nil, w.person()), w.signer.sign(t, nil, w.application())

				for _, raw := range []string{person, app, person, app} {
					if _, err := w.authenticate(t, raw); err != nil {
						t.Fatalf("before the change: %v", err)
					}
				}

				row.change(t, w)

				_, err := w.authenticate(t, person)
				if diff := cmp.Diff(row.person, verdictOf(t, err)); diff != "" {
					t.Errorf("person (-want +got):\n%s\n%v", diff, err)
				}

				_, err = w.authenticate(t, app)
				if diff := cmp.Diff(row.app, verdictOf(t, err)); diff != "" {
					t.Errorf("application (-want +got):\n%s\n%v", diff, err)
				}
			})
		})
	}
}

func TestACachedTokenEndsWithItsOwnExpiry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t).start(t)
		raw := w.signer.sign(t, nil, w.person().with(object{"exp": time.Now().Add(time.Minute).Unix()}))

		for _, step := range []struct {
			wait time.Duration
			want any
		}{
			{0, "accepted"}, {119 * time.Second, "accepted"}, {time.Second, 5006},
		} {
			time.Sleep(step.wait)
			w.expect(t, step.wait.String(), raw, step.want)
		}
	})
}

func TestAWithdrawnKeyStopsCachedTokensAtTheNextRefresh(t *testing.T) {
	t.Parallel()

	for _, row := range []struct {
		name    string
		publish func(t *testing.T, w *world)
		want    any
	}{
		{"key added", func(t *testing.T, w *world) {
			t.Helper()
			w.provider.publish(w.signer, newSigner(t, "k2"))
		}, "accepted"},
		{"key withdrawn", func(t *testing.T, w *world) {
			t.Helper()
			w.provider.publish(newSigner(t, "k2"))
		}, 5004},
		{"key replaced under the same kid", func(t *testing.T, w *world) {
			t.Helper()
			w.provider.publish(newSigner(t, "k1"))
		}, 5004},
		{"everything withdrawn", func(_ *testing.T, w *world) { w.provider.publish() }, 5004},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.provider.header.Set("Cache-Control", "max-age=300")
				w.start(t)
				time.Sleep(4*time.Minute + 59*time.Second)

				raw := w.signer.sign(t, nil, w.person())
				w.expect(t, "before", raw, "accepted")
				row.publish(t, w)
				time.Sleep(2 * time.Second) // cached for almost five minutes more, were it not for the refresh
				synctest.Wait()
				w.expect(t, "after", raw, row.want)
			})
		})
	}
}
