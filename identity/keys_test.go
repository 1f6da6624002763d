package identity_test

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/identity"
	"github.com/cosmosgate/cosmosgate/identity/seal"
)

const legacy = "legacy-erp"

// change makes changes of the connection corp and returns the ids.
func (h *house) change(tb testing.TB, changes ...directory.Change) []directory.ID {
	tb.Helper()

	results, err := h.Apply(tb.Context(), "corp", changes...)
	if err != nil {
		tb.Fatal(err)
	}

	ids := make([]directory.ID, len(results))
	for i, result := range results {
		ids[i] = result.ID
	}

	return ids
}

func (h *house) hire(tb testing.TB, name string) directory.ID {
	tb.Helper()

	return h.change(tb, directory.CreateUser{User: directory.User{UserName: name, ExternalID: "00u-" + name, Active: true}})[0]
}

func (h *house) team(tb testing.TB, name string, members ...directory.ID) directory.ID {
	tb.Helper()

	return h.change(tb,
		directory.CreateGroup{Group: directory.GroupRecord{DisplayName: name}}, directory.AddMembers{Members: members})[0]
}

func (h *house) setActive(tb testing.TB, id directory.ID, active bool) {
	tb.Helper()
	h.change(tb, directory.EditUser{ID: id, Edit: func(u directory.User) (directory.User, error) {
		u.Active = active

		return u, nil
	}})
}

// manualClock is a clock that tests move.
type manualClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *manualClock) read() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()

	return c.now
}

func (c *manualClock) move(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()

	c.now = c.now.Add(by)
}

// vault is a gate with virtual keys for the application legacy-erp, owned by ann or by the group finance.
type vault struct {
	house    *house
	clock    *manualClock
	sealer   identity.Sealer
	config   identity.KeysConfig
	keys     *identity.Keys
	gate     *identity.Authenticator
	table    *identity.Revocations
	declared []identity.Application
	secret   string
	ann, bob directory.ID
	group    directory.ID
}

func newRing(tb testing.TB) *seal.Ring {
	tb.Helper()

	key := make([]byte, seal.KeyBytes)
	_, _ = rand.Read(key)

	ring, err := seal.NewRing(base64.StdEncoding.EncodeToString(key), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}

	return ring
}

func newVault(tb testing.TB, adjust ...func(*identity.KeysConfig)) *vault {
	tb.Helper()

	v := &vault{
		house: newHouse(tb), clock: &manualClock{now: time.Now().UTC().Truncate(time.Second)}, sealer: newRing(tb),
		declared: []identity.Application{
			{Name: "other", Issuer: "corp", Claims: map[string]string{"client_id": "x"}},
			{Name: legacy, VirtualKeys: true, Attributes: map[string]string{"team": "erp"}},
			{Name: "second", VirtualKeys: true},
		},
	}
	v.ann, v.bob = v.house.hire(tb, "ann"), v.house.hire(tb, "bob")
	v.group = v.house.team(tb, "finance", v.house.team(tb, "clerks", v.bob))
	v.config = identity.KeysConfig{
		Entries: v.house, Owners: v.house, Sealer: v.sealer, Applications: func() []identity.Application { return v.declared },
		Clock: v.clock.read, Random: rand.Reader, Logger: slog.New(slog.DiscardHandler),
	}

	for _, change := range adjust {
		change(&v.config)
	}

	v.build(tb)

	return v
}

// build makes the parts that read the directory, as a start of the gate does.
func (v *vault) build(tb testing.TB) {
	tb.Helper()

	v.config.Entries, v.config.Owners = v.house, v.house

	var err error

	if v.keys, err = identity.NewKeys(v.config); err != nil {
		tb.Fatal(err)
	}

	v.table = newRevocations(tb, v.house)
	w := newWorld(tb)
	w.config.Directory, w.config.Keys, w.config.Revocations, w.config.Clock = v.house, v.keys, v.table, v.clock.read
	w.config.Applications = v.config.Applications

	if v.gate, err = identity.New(w.config); err != nil {
		tb.Fatal(err)
	}
}

func (v *vault) person() identity.KeyOwner {
	return identity.KeyOwner{Kind: identity.OwnerUser, Connection: "corp", ID: v.ann, ExternalID: "00u-ann", Name: "ann"}
}

func (v *vault) team() identity.KeyOwner {
	return identity.KeyOwner{Kind: identity.OwnerGroup, Connection: "corp", ID: v.group, Name: "finance"}
}

func (v *vault) mint(tb testing.TB, m identity.Minting) (identity.Key, string) {
	tb.Helper()

	if m.Application == "" {
		m.Application = legacy
	}

	if m.Owner == (identity.KeyOwner{}) {
		m.Owner = v.person()
	}

	key, secret, err := v.keys.Mint(tb.Context(), m)
	if err != nil {
		tb.Fatal(err)
	}

	return key, secret
}

// signed is a request for an item as an SDK signs it.
func signed(tb testing.TB, secret, link string, when time.Time) identity.SignedRequest {
	tb.Helper()

	key, err := base64.StdEncoding.DecodeString(secret)
	if err != nil {
		tb.Fatal(err)
	}

	date := when.UTC().Format(http.TimeFormat)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("get\ndocs\n" + link + "\n" + strings.ToLower(date) + "\n\n"))

	return identity.SignedRequest{
		Signature: base64.StdEncoding.EncodeToString(mac.Sum(nil)), Verb: "GET", ResourceType: "docs",
		Links: []string{link}, Date: date, Source: netip.MustParseAddr("192.0.2.7"),
	}
}

const itemLink = "dbs/d/colls/c/docs/A b"

func (v *vault) present(tb testing.TB, s identity.SignedRequest) (identity.Principal, error) {
	tb.Helper()

	return v.gate.Authenticate(tb.Context(), identity.Credential{Scheme: identity.SchemeMasterKey, Signed: s})
}

func TestAKeyIsItsApplication(t *testing.T) {
	t.Parallel()

	v := newVault(t)
	key, secret := v.mint(t, identity.Minting{Life: time.Hour, By: "operator"})

	got, err := v.present(t, signed(t, secret, itemLink, v.clock.read()))
	if err != nil {
		t.Fatal(err)
	}

	want := identity.Principal{
		Kind: identity.KindApplication, Issuer: identity.KeyIssuer, Subject: key.ID, KeyID: key.ID,
		TokenID: key.ID + ":" + key.Fingerprint, Application: legacy,
		Attributes: map[string]string{"team": "erp"}, Method: identity.MethodVirtualKey,
		IssuedAt: v.clock.read(), Expiry: v.clock.read().Add(time.Hour),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// keyAttack is one row of the attack table for keys (identity.md §9).
type keyAttack struct {
	name   string
	change func(t *testing.T, v *vault, id string, s *identity.SignedRequest)
	want   any
}

func TestAttacksOnKeys(t *testing.T) {
	t.Parallel()

	type request = *identity.SignedRequest

	for _, row := range []keyAttack{
		{"none", func(*testing.T, *vault, string, request) {}, "accepted"},
		{"date of 4 minutes ago", func(_ *testing.T, v *vault, _ string, _ request) { v.clock.move(4 * time.Minute) }, "accepted"},
		{"date in lower case", func(_ *testing.T, _ *vault, _ string, s request) { s.Date = strings.ToLower(s.Date) }, "accepted"},
		{"second spelling of the link", func(_ *testing.T, _ *vault, _ string, s request) { s.Links = []string{"x", s.Links[0]} }, "accepted"},
		{"stale date", func(_ *testing.T, v *vault, _ string, _ request) { v.clock.move(6 * time.Minute) }, 5006},
		{"date from the future", func(_ *testing.T, v *vault, _ string, _ request) { v.clock.move(-6 * time.Minute) }, 5006},
		{"no date", func(_ *testing.T, _ *vault, _ string, s request) { s.Date = "" }, 5006},
		{"malformed date", func(_ *testing.T, _ *vault, _ string, s request) { s.Date = "yesterday, GMT" }, 5006},
		{"another date", func(t *testing.T, v *vault, _ string, s request) {
			t.Helper()
			s.Date = v.clock.read().Add(time.Second).Format(http.TimeFormat)
		}, 5004},
		{"another verb", func(_ *testing.T, _ *vault, _ string, s request) { s.Verb = "DELETE" }, 5004},
		{"another type", func(_ *testing.T, _ *vault, _ string, s request) { s.ResourceType = "colls" }, 5004},
		{"another link", func(_ *testing.T, _ *vault, _ string, s request) { s.Links = []string{"dbs/d/colls/c/docs/B"} }, 5004},
		{"link in another case", func(_ *testing.T, _ *vault, _ string, s request) { s.Links = []string{strings.ToLower(s.Links[0])} }, 5004},
		{"lines moved between fields", func(_ *testing.T, _ *vault, _ string, s request) {
			s.Verb, s.ResourceType = "GET\ndocs", s.Links[0]
			s.Links = []string{strings.ToLower(s.Date)}
			s.Date = ""
		}, 5006},
		{"no link", func(_ *testing.T, _ *vault, _ string, s request) { s.Links = nil }, 5004},
		{"too many spellings", func(_ *testing.T, _ *vault, _ string, s request) { s.Links = slices.Repeat(s.Links, 9) }, 5001},
		{"empty signature", func(_ *testing.T, _ *vault, _ string, s request) { s.Signature = "" }, 5001},
		{"signature cut short", func(_ *testing.T, _ *vault, _ string, s request) { s.Signature = s.Signature[:40] }, 5001},
		{"a key of the account", func(t *testing.T, v *vault, _ string, s request) {
			t.Helper()
			foreign := make([]byte, 64)
			_, _ = rand.Read(foreign)
			*s = signed(t, base64.StdEncoding.EncodeToString(foreign), itemLink, v.clock.read())
		}, 5004},
		{"expired", func(t *testing.T, v *vault, _ string, s request) {
			t.Helper()
			secret := v.secret
			v.clock.move(2 * time.Hour)
			*s = signed(t, secret, itemLink, v.clock.read())
		}, 5006},
		{"revoked", func(t *testing.T, v *vault, id string, _ request) {
			t.Helper()

			if _, err := v.keys.Revoke(t.Context(), id, "operator"); err != nil {
				t.Fatal(err)
			}
		}, 5004},
		{"revoked by a mark", func(t *testing.T, v *vault, id string, _ request) {
			t.Helper()
			revoke(t, v.table, identity.Revocation{Kind: identity.RevokeKey, Issuer: identity.KeyIssuer, Name: id})
		}, 5013},
		{"locked", func(t *testing.T, v *vault, id string, _ request) {
			t.Helper()
			v.lock(t, directory.SubjectKey, id)
		}, 5013},
		{"application locked", func(t *testing.T, v *vault, _ string, _ request) {
			t.Helper()
			v.lock(t, directory.SubjectApplication, legacy)
		}, 5013},
		{"application gone", func(_ *testing.T, v *vault, _ string, _ request) { v.declared = v.declared[:1] }, 5013},
		{"application may not have keys any more", func(_ *testing.T, v *vault, _ string, _ request) {
			v.declared = []identity.Application{{Name: legacy}}
		}, 5013},
		{"owner deactivated", func(t *testing.T, v *vault, _ string, _ request) { t.Helper(); v.house.setActive(t, v.ann, false) }, 5013},
		{"owner deleted", func(t *testing.T, v *vault, _ string, _ request) {
			t.Helper()
			v.house.change(t, directory.DeleteUser{ID: v.ann})
		}, 5013},
		{"owner deleted and hired again", func(t *testing.T, v *vault, _ string, _ request) {
			t.Helper()
			v.house.change(t, directory.DeleteUser{ID: v.ann})
			v.house.hire(t, "ann")
		}, 5013},
		{"owner locked", func(t *testing.T, v *vault, _ string, _ request) {
			t.Helper()
			v.lock(t, directory.SubjectUser, string(v.ann))
		}, 5013},
		{"owner's successor", func(t *testing.T, v *vault, _ string, _ request) {
			t.Helper()
			v.house.change(t, directory.EditUser{ID: v.ann, Edit: func(u directory.User) (directory.User, error) {
				u.ExternalID = "00u-eve"

				return u, nil
			}})
		}, 5013},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			v := newVault(t)
			key, secret := v.mint(t, identity.Minting{Life: time.Hour})
			v.secret = secret
			s := signed(t, secret, itemLink, v.clock.read())

			// Once before, so that whatever is remembered is remembered.
			if _, err := v.present(t, s); err != nil {
				t.Fatal(err)
			}

			row.change(t, v, key.ID, &s)

			_, err := v.present(t, s)
			if diff := cmp.Diff(row.want, verdictOf(t, err)); diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func (v *vault) lock(tb testing.TB, kind directory.SubjectKind, name string) {
	tb.Helper()

	if err := v.house.PutLock(tb.Context(), directory.Lock{Subject: directory.Subject{Kind: kind, Name: name}}); err != nil {
		tb.Fatal(err)
	}
}

func TestAGroupsKeyDiesWithItsLastActiveMember(t *testing.T) {
	t.Parallel()

	v := newVault(t)
	carl := v.house.hire(t, "carl")
	_, secret := v.mint(t, identity.Minting{Owner: v.team()})

	expect := func(when string, want any) {
		t.Helper()

		_, err := v.present(t, signed(t, secret, itemLink, v.clock.read()))
		if diff := cmp.Diff(want, verdictOf(t, err)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}

		v.clock.move(2 * time.Second) // past the memory of a dead group
	}

	expect("a member of a nested group is active", "accepted")
	v.house.setActive(t, v.bob, false)
	expect("the only member is inactive", 5013)
	v.house.setActive(t, v.bob, true)
	expect("and active again", "accepted")
	v.house.change(t, directory.AddMembers{Group: v.group, Members: []directory.ID{carl}})
	v.lock(t, directory.SubjectUser, string(v.bob))
	expect("another vouches", "accepted")
	v.house.change(t, directory.RemoveMembers{Group: v.group, Members: []directory.ID{carl}})
	expect("who vouched left the group", 5013)
	v.house.change(t, directory.AddMembers{Group: v.group, Members: []directory.ID{carl}})
	expect("and came back", "accepted")
	v.house.change(t, directory.DeleteGroup{ID: v.group})
	expect("the group is gone", 5013)
}

func TestTheHostNameSaysWhichKeySigned(t *testing.T) {
	t.Parallel()

	v := newVault(t, func(c *identity.KeysConfig) { c.ByHost = true })
	first, secret := v.mint(t, identity.Minting{})
	second, _ := v.mint(t, identity.Minting{})

	for name, row := range map[string]struct {
		label string
		want  any
	}{
		"its own": {first.ID, "accepted"}, "another key's": {second.ID, 5004}, "none": {"", 5004}, "nobody's": {"abc", 5004},
		"in upper case": {strings.ToUpper(first.ID), 5004},
	} {
		s := signed(t, secret, itemLink, v.clock.read())
		s.KeyID = row.label

		_, err := v.present(t, s)
		if diff := cmp.Diff(row.want, verdictOf(t, err)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestAKeyMayBeBoundToNetworks(t *testing.T) {
	t.Parallel()

	v := newVault(t)
	_, secret := v.mint(t, identity.Minting{Networks: []netip.Prefix{
		netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8::/32"),
	}})

	for source, want := range map[netip.Addr]any{
		netip.MustParseAddr("198.51.100.9"): "accepted", netip.MustParseAddr("2001:db8::1"): "accepted",
		netip.MustParseAddr("192.0.2.7"): 5009, {}: 5009,
	} {
		s := signed(t, secret, itemLink, v.clock.read())
		s.Source = source

		_, err := v.present(t, s)
		if diff := cmp.Diff(want, verdictOf(t, err)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", source, diff)
		}
	}
}

func TestWithoutKeysEveryAccountKeyIsRefused(t *testing.T) {
	t.Parallel()

	v := newVault(t)
	_, secret := v.mint(t, identity.Minting{})
	w := newWorld(t).running(t)

	_, err := w.gate.Authenticate(t.Context(), identity.Credential{
		Scheme: identity.SchemeMasterKey, Signed: signed(t, secret, itemLink, v.clock.read()),
	})
	if verdictOf(t, err) != identity.SubstatusKeysDisabled {
		t.Errorf("got %v", err)
	}
}
