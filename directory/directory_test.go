package directory_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/directory"
)

const corp = "corp"

// house is a running directory over a file that survives it.
type house struct {
	*directory.Directory

	path string
	stop func()
}

func open(tb testing.TB, path string) *house {
	tb.Helper()
	d, err := directory.Open(config(path))
	if err != nil {
		tb.Fatal(err)
	}
	return run(tb, d, path)
}

func config(path string) directory.Config {
	return directory.Config{Path: path, Clock: time.Now, Random: rand.Reader, Logger: slog.New(slog.DiscardHandler)}
}

func run(tb testing.TB, d *directory.Directory, path string) *house {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	h := &house{Directory: d, path: path}
	h.stop = sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-done, d.Close()); err != nil {
			tb.Error(err)
		}
	})
	tb.Cleanup(func() { h.stop() })
	return h
}

func fresh(tb testing.TB) *house {
	tb.Helper()
	return open(tb, filepath.Join(tb.TempDir(), "directory.db"))
}

// reopen stops the house and builds it again from its file.
func (h *house) reopen(tb testing.TB) *house {
	tb.Helper()
	h.stop()
	return open(tb, h.path)
}

func (h *house) do(tb testing.TB, changes ...directory.Change) []directory.ID {
	tb.Helper()
	results, err := h.Apply(tb.Context(), corp, changes...)
	if err != nil {
		tb.Fatal(err)
	}
	ids := make([]directory.ID, 0, len(results))
	for _, r := range results {
		ids = append(ids, r.ID)
	}
	return ids
}

func (h *house) user(tb testing.TB, name string) directory.ID {
	tb.Helper()
	return h.do(tb, directory.CreateUser{User: directory.User{
		UserName: name, ExternalID: "ext-" + name, Active: true, Document: []byte("{}"),
		Attributes: map[string]string{"department": "emea"},
	}})[0]
}

func (h *house) group(tb testing.TB, name string, members ...directory.ID) directory.ID {
	tb.Helper()
	return h.do(tb, directory.CreateGroup{Group: directory.GroupRecord{DisplayName: name}},
		directory.AddMembers{Members: members})[0]
}

// groupsOf returns the names of the effective groups that a look-up shows.
func (h *house) groupsOf(tb testing.TB, name string) []string {
	tb.Helper()
	view, ok := h.Lookup(directory.LinkKey{Connection: corp, ExternalID: "ext-" + name})
	if !ok {
		tb.Fatalf("%s isn't there", name)
	}
	names := []string{}
	for _, g := range view.Groups {
		names = append(names, g.DisplayName)
	}
	slices.Sort(names)
	return names
}

func edit(id directory.ID, change func(*directory.User)) directory.EditUser {
	return directory.EditUser{ID: id, Edit: func(u directory.User) (directory.User, error) {
		change(&u)
		return u, nil
	}}
}

func TestLookupFindsALinkedUserByTheExactPairOnly(t *testing.T) {
	t.Parallel()
	h := fresh(t)
	id := h.user(t, "ann")
	rows := map[string]struct {
		key  directory.LinkKey
		want bool
	}{
		"the pair":             {directory.LinkKey{Connection: corp, ExternalID: "ext-ann"}, true},
		"another connection":   {directory.LinkKey{Connection: "other", ExternalID: "ext-ann"}, false},
		"another case":         {directory.LinkKey{Connection: corp, ExternalID: "EXT-ANN"}, false},
		"the user name":        {directory.LinkKey{Connection: corp, ExternalID: "ann"}, false},
		"the record's own id":  {directory.LinkKey{Connection: corp, ExternalID: string(id)}, false},
		"an empty external id": {directory.LinkKey{Connection: corp}, false},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, got := h.Lookup(row.key); got != row.want {
				t.Errorf("found %v, want %v", got, row.want)
			}
		})
	}
}

func TestAnUnlinkedUserIsNeverFoundByAnEmptyClaim(t *testing.T) {
	t.Parallel()
	h := fresh(t)
	h.do(t, directory.CreateUser{User: directory.User{UserName: "nolink", Active: true}})
	if view, ok := h.Lookup(directory.LinkKey{Connection: corp}); ok {
		t.Errorf("found %v", view)
	}
}

func TestEverythingSurvivesARestart(t *testing.T) {
	t.Parallel()
	h := fresh(t)
	ann, bob := h.user(t, "ann"), h.user(t, "bob")
	inner := h.group(t, "inner", ann, bob)
	h.group(t, "outer", inner)
	gone := h.user(t, "gone")
	h.do(t, directory.DeleteUser{ID: gone})
	h.do(t, directory.RemoveMembers{Group: inner, Members: []directory.ID{bob}})
	h.do(t, edit(ann, func(u *directory.User) { u.Active = false }))
	if err := h.PutLock(t.Context(), directory.Lock{
		Subject: directory.Subject{Kind: directory.SubjectUser, Name: string(ann)}, Message: "lost laptop",
	}); err != nil {
		t.Fatal(err)
	}
	_, secret, err := h.CreateToken(t.Context(), corp, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	before, _ := h.User(corp, ann)
	group, _ := h.Group(corp, inner)
	for pass := range 3 { // from the journal, partly folded, folded
		h = h.reopen(t)
		after, _ := h.User(corp, ann)
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("pass %d: user (-want +got)\n%s", pass, diff)
		}
		groupAfter, _ := h.Group(corp, inner)
		if diff := cmp.Diff(group, groupAfter); diff != "" {
			t.Errorf("pass %d: group (-want +got)\n%s", pass, diff)
		}
		if diff := cmp.Diff([]string{"inner", "outer"}, h.groupsOf(t, "ann")); diff != "" {
			t.Errorf("pass %d: groups (-want +got)\n%s", pass, diff)
		}
		if diff := cmp.Diff([]string{}, h.groupsOf(t, "bob")); diff != "" {
			t.Errorf("pass %d: removed member (-want +got)\n%s", pass, diff)
		}
		view, _ := h.Lookup(directory.LinkKey{Connection: corp, ExternalID: "ext-ann"})
		if view.Lock == nil || view.Lock.Message != "lost laptop" {
			t.Errorf("pass %d: lock is %v", pass, view.Lock)
		}
		if !h.VerifyToken(corp, secret) {
			t.Errorf("pass %d: token is refused", pass)
		}
		if _, ok := h.User(corp, gone); ok {
			t.Errorf("pass %d: deleted user is back", pass)
		}
		time.Sleep(30 * time.Millisecond) // lets the journal be folded
	}
}

func TestADirectoryThatWasEmptiedKeepsCountingWhereItWas(t *testing.T) {
	t.Parallel()
	h := fresh(t)
	h.do(t, directory.DeleteUser{ID: h.user(t, "ann")})
	time.Sleep(50 * time.Millisecond) // lets the journal be folded
	h = h.reopen(t)
	h.user(t, "bob")
	h = h.reopen(t)
	if _, ok := h.UserByName(corp, "bob"); !ok {
		t.Error("a write after the directory was emptied is lost")
	}
}

func TestEffectiveGroupsFollowEveryChangeOfTheGraph(t *testing.T) {
	t.Parallel()
	h := fresh(t)
	ann := h.user(t, "ann")
	a := h.group(t, "a", ann)
	b := h.group(t, "b", a)
	c := h.group(t, "c", b)
	step := func(what string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(append([]string{}, want...), h.groupsOf(t, "ann")); diff != "" {
			t.Errorf("%s (-want +got)\n%s", what, diff)
		}
	}
	step("a chain of three", "a", "b", "c")
	h.do(t, directory.AddMembers{Group: a, Members: []directory.ID{c}})
	step("closed to a cycle", "a", "b", "c")
	h.do(t, directory.RemoveMembers{Group: c, Members: []directory.ID{b}})
	step("cut in the middle", "a", "b")
	h.do(t, directory.EditGroup{ID: b, Edit: func(g directory.GroupRecord) (directory.GroupRecord, error) {
		g.DisplayName = "b2"
		return g, nil
	}})
	step("renamed above", "a", "b2")
	h.do(t, directory.DeleteGroup{ID: b})
	step("deleted above", "a")
	h.do(t, directory.RemoveMembers{Group: a, Members: []directory.ID{ann}})
	step("left")
}

func TestAChangedExternalIDCutsTheOldLinkAtOnce(t *testing.T) {
	t.Parallel()
	h := fresh(t)
	ann := h.user(t, "ann")
	h.do(t, edit(ann, func(u *directory.User) { u.ExternalID = "ext-new" }))
	if _, ok := h.Lookup(directory.LinkKey{Connection: corp, ExternalID: "ext-ann"}); ok {
		t.Error("old link still works")
	}
	if view, ok := h.Lookup(directory.LinkKey{Connection: corp, ExternalID: "ext-new"}); !ok || view.ID != ann {
		t.Error("new link doesn't work")
	}
}

func TestNamesAreUniqueWithinAConnectionAndFreeAfterDeletion(t *testing.T) {
	t.Parallel()
	h := fresh(t)
	ann := h.user(t, "Ann")
	h.group(t, "Admins")
	taken := func(attribute string, change directory.Change) {
		t.Helper()
		_, err := h.Apply(t.Context(), corp, change)
		var conflict *directory.ConflictError
		if !errors.As(err, &conflict) || conflict.Attribute != attribute {
			t.Errorf("error %v, want a conflict of %s", err, attribute)
		}
	}
	taken("userName", directory.CreateUser{User: directory.User{UserName: "aNN"}})
	taken("externalId", directory.CreateUser{User: directory.User{UserName: "x", ExternalID: "ext-Ann"}})
	taken("displayName", directory.CreateGroup{Group: directory.GroupRecord{DisplayName: "ADMINS"}})
	if _, err := h.Apply(t.Context(), "other", directory.CreateUser{User: directory.User{UserName: "ann"}}); err != nil {
		t.Errorf("the same name in another connection: %v", err)
	}
	h.do(t, directory.DeleteUser{ID: ann})
	h.user(t, "Ann")
}

func TestAFailedCallChangesNothing(t *testing.T) {
	t.Parallel()
	h := fresh(t)
	ann := h.user(t, "ann")
	g := h.group(t, "g")
	rows := map[string][]directory.Change{
		"unknown member last": {
			directory.AddMembers{Group: g, Members: []directory.ID{ann}},
			directory.CreateUser{User: directory.User{UserName: "new"}},
			directory.AddMembers{Group: g, Members: []directory.ID{"019aafff-0000-7000-8000-000000000000"}},
		},
		"edit that panics": {
			directory.AddMembers{Group: g, Members: []directory.ID{ann}},
			edit(ann, func(*directory.User) { panic("no") }),
		},
		"edit that refuses": {
			directory.CreateUser{User: directory.User{UserName: "new"}},
			directory.EditUser{ID: ann, Edit: func(u directory.User) (directory.User, error) { return u, io.EOF }},
		},
	}
	for name, changes := range rows {
		if _, err := h.Apply(t.Context(), corp, changes...); err == nil {
			t.Errorf("%s: no error", name)
		}
		if diff := cmp.Diff([]string{}, h.groupsOf(t, "ann")); diff != "" {
			t.Errorf("%s: groups (-want +got)\n%s", name, diff)
		}
		if _, ok := h.UserByName(corp, "new"); ok {
			t.Errorf("%s: half of it was done", name)
		}
	}
	h = h.reopen(t)
	if diff := cmp.Diff(directory.Counts{Users: 1, Active: 1, Linked: 1, Groups: 1}, h.Counts(corp)); diff != "" {
		t.Errorf("after a restart (-want +got)\n%s", diff)
	}
}

func TestWritesWithoutEffectLeaveRevisionsAlone(t *testing.T) {
	t.Parallel()
	h := fresh(t)
	ann := h.user(t, "ann")
	g := h.group(t, "g", ann)
	for name, change := range map[string]directory.Change{
		"adding a member":     directory.AddMembers{Group: g, Members: []directory.ID{ann}},
		"removing a stranger": directory.RemoveMembers{Group: g, Members: []directory.ID{g, "nobody"}},
		"setting the same":    directory.SetMembers{Group: g, Members: []directory.ID{ann, ann}},
		"editing nothing":     edit(ann, func(*directory.User) {}),
	} {
		results, err := h.Apply(t.Context(), corp, change)
		if err != nil || results[0].Changed {
			t.Errorf("%s: %v, %v", name, results, err)
		}
	}
}

func TestConcurrentWritersLoseNothing(t *testing.T) {
	t.Parallel()
	h := fresh(t)
	const people = 64
	g := h.group(t, "g")
	var group sync.WaitGroup
	for i := range people {
		group.Go(func() {
			id := h.user(t, fmt.Sprintf("u%d", i))
			h.do(t, directory.AddMembers{Group: g, Members: []directory.ID{id}})
		})
	}
	group.Wait()
	h = h.reopen(t)
	if got := len(slices.Collect(h.Members(corp, g))); got != people {
		t.Errorf("%d members, want %d", got, people)
	}
}

func TestALockHoldsUntilItExpiresOrIsLifted(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var mu sync.Mutex
	c := config(filepath.Join(t.TempDir(), "d.db"))
	c.Clock = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	d, err := directory.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	h := run(t, d, c.Path)
	ann := h.user(t, "ann")
	subject := directory.Subject{Kind: directory.SubjectUser, Name: string(ann)}
	key := directory.LinkKey{Connection: corp, ExternalID: "ext-ann"}
	if err := h.PutLock(t.Context(), directory.Lock{Subject: subject, Expires: now.Add(time.Minute)}); err != nil {
		t.Fatal(err)
	}
	h.do(t, edit(ann, func(u *directory.User) { u.UserName = "ann2" }))
	if view, _ := h.Lookup(key); view.Lock == nil {
		t.Error("a provisioning write lifted the lock")
	}
	mu.Lock()
	now = now.Add(time.Minute)
	mu.Unlock()
	if view, _ := h.Lookup(key); view.Lock != nil {
		t.Error("the lock outlived its expiry")
	}
	app := directory.Subject{Kind: directory.SubjectApplication, Name: "checkout"}
	if err := h.PutLock(t.Context(), directory.Lock{Subject: app}); err != nil {
		t.Fatal(err)
	}
	if _, ok := h.Locked(app); !ok {
		t.Error("application isn't locked")
	}
	if err := h.DeleteLock(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	if _, ok := h.Locked(app); ok {
		t.Error("lifted lock still holds")
	}
}

// TestNothingThatAProviderDoesLiftsALock makes a provider try everything that gives
// somebody another record.
func TestNothingThatAProviderDoesLiftsALock(t *testing.T) {
	t.Parallel()
	key := directory.LinkKey{Connection: corp, ExternalID: "ext-ann"}
	again := directory.CreateUser{User: directory.User{UserName: "again", ExternalID: "ext-ann"}}
	for name, test := range map[string]func(t *testing.T, h *house, ann directory.ID) *house{
		"deleted and made anew": func(t *testing.T, h *house, ann directory.ID) *house {
			t.Helper()
			h.do(t, directory.DeleteUser{ID: ann})
			h.do(t, again)
			return h
		},
		"in one call": func(t *testing.T, h *house, ann directory.ID) *house {
			t.Helper()
			h.do(t, directory.DeleteUser{ID: ann}, again)
			return h
		},
		"over a restart": func(t *testing.T, h *house, ann directory.ID) *house {
			t.Helper()
			h.do(t, directory.DeleteUser{ID: ann})
			h = h.reopen(t)
			h.do(t, again)
			return h.reopen(t)
		},
		"linked to another record": func(t *testing.T, h *house, ann directory.ID) *house {
			t.Helper()
			h.do(t, edit(ann, func(u *directory.User) { u.ExternalID = "other" }))
			h.do(t, again)
			if view, _ := h.Lookup(directory.LinkKey{Connection: corp, ExternalID: "other"}); view.Lock == nil {
				t.Error("the record is locked no more")
			}
			return h
		},
		"linked to a record that was there": func(t *testing.T, h *house, ann directory.ID) *house {
			t.Helper()
			bob := h.user(t, "bob")
			h.do(t, directory.DeleteUser{ID: ann})
			h.do(t, edit(bob, func(u *directory.User) { u.ExternalID = "ext-ann" }))
			return h
		},
		"twice": func(t *testing.T, h *house, ann directory.ID) *house {
			t.Helper()
			h.do(t, directory.DeleteUser{ID: ann})
			h.do(t, directory.DeleteUser{ID: h.do(t, again)[0]})
			h.do(t, again)
			return h
		},
		"adopted": func(t *testing.T, h *house, ann directory.ID) *house {
			t.Helper()
			h.do(t, directory.DeleteUser{ID: ann})
			results, err := h.Apply(t.Context(), "other", again)
			if err != nil {
				t.Fatal(err)
			}
			h.do(t, directory.AdoptUser{ID: results[0].ID, From: "other"})
			return h
		},
		"imported": func(t *testing.T, h *house, ann directory.ID) *house {
			t.Helper()
			var file bytes.Buffer
			if err := h.Export(&file); err != nil {
				t.Fatal(err)
			}
			h.do(t, directory.DeleteUser{ID: ann})
			if err := h.Import(t.Context(), bytes.NewReader(bytes.Split(file.Bytes(), []byte("\n"))[0])); err != nil {
				t.Fatal(err)
			}
			return h
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := fresh(t)
			ann := h.user(t, "ann")
			subject := directory.Subject{Kind: directory.SubjectUser, Name: string(ann)}
			if err := h.PutLock(t.Context(), directory.Lock{Subject: subject, Message: "incident", By: "op"}); err != nil {
				t.Fatal(err)
			}
			h = test(t, h, ann)
			view, ok := h.Lookup(key)
			if !ok || view.Lock == nil || view.Lock.Message != "incident" || view.Lock.By != "op" {
				t.Errorf("found %t, lock %+v", ok, view.Lock)
			}
			var file bytes.Buffer
			if err := h.Export(&file); err != nil {
				t.Fatal(err)
			}
			if err := directory.CheckImport(&file); err != nil {
				t.Error(err)
			}
			if err := h.DeleteLock(t.Context(), directory.Subject{Kind: directory.SubjectUser, Name: string(view.ID)}); err != nil {
				t.Fatal(err)
			}
			h.do(t, directory.DeleteUser{ID: view.ID})
			h.do(t, again)
			if view, _ := h.Lookup(key); view.Lock != nil {
				t.Error("a lock that was lifted has come back")
			}
		})
	}
}

func TestTheLockOfSomebodyWhoIsGoneIsListedAndExportedAndCanBeLifted(t *testing.T) {
	t.Parallel()
	h := fresh(t)
	for _, name := range []string{"ann", "bob"} {
		id := h.user(t, name)
		if err := h.PutLock(t.Context(), directory.Lock{Subject: directory.Subject{Kind: directory.SubjectUser, Name: string(id)}}); err != nil {
			t.Fatal(err)
		}
		if name == "bob" { // nobody can come back as who never could come in
			h.do(t, edit(id, func(u *directory.User) { u.ExternalID = "" }))
			if err := h.DeleteLock(t.Context(), directory.Subject{Kind: directory.SubjectUser, Name: corp + "/ext-bob"}); err != nil {
				t.Fatal(err)
			}
		}
		h.do(t, directory.DeleteUser{ID: id})
	}
	var file bytes.Buffer
	if err := h.Export(&file); err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(file.Bytes(), []byte("\n")); n != 1 || !bytes.Contains(file.Bytes(), []byte(`"id":"corp/ext-ann"`)) {
		t.Errorf("exported:\n%s", file.Bytes())
	}
	if err := directory.CheckImport(bytes.NewReader(file.Bytes())); err != nil {
		t.Error(err)
	}
	other := fresh(t)
	if err := other.Import(t.Context(), bytes.NewReader(file.Bytes())); err != nil {
		t.Fatal(err)
	}
	for _, in := range []*house{h, other} {
		ann := directory.Subject{Kind: directory.SubjectUser, Name: corp + "/ext-ann"}
		if _, ok := in.Locked(ann); !ok {
			t.Error("the lock does not wait")
		}
		if err := in.DeleteLock(t.Context(), ann); err != nil {
			t.Fatal(err)
		}
		in.user(t, "ann")
		if view, ok := in.Lookup(directory.LinkKey{Connection: corp, ExternalID: "ext-ann"}); !ok || view.Lock != nil {
			t.Errorf("found %t, lock %v", ok, view.Lock)
		}
	}
}

func TestOfTwoLocksTheOneThatHoldsForLongerIsKept(t *testing.T) {
	t.Parallel()
	soon, later := time.Now().Add(time.Hour).Truncate(time.Millisecond).UTC(), time.Now().Add(2*time.Hour).Truncate(time.Millisecond).UTC()
	for _, test := range []struct{ waits, own, want time.Time }{
		{waits: soon, own: later, want: later}, {waits: later, own: soon, want: later},
		{waits: soon}, {own: soon}, {waits: soon, own: soon, want: soon},
	} {
		h := fresh(t)
		ids := []directory.ID{h.user(t, "ann"), h.user(t, "bob")}
		for i, expires := range []time.Time{test.waits, test.own} {
			subject := directory.Subject{Kind: directory.SubjectUser, Name: string(ids[i])}
			if err := h.PutLock(t.Context(), directory.Lock{Subject: subject, Expires: expires}); err != nil {
				t.Fatal(err)
			}
		}
		h.do(t, directory.DeleteUser{ID: ids[0]})
		h.do(t, edit(ids[1], func(u *directory.User) { u.ExternalID = "ext-ann" }))
		view, _ := h.Lookup(directory.LinkKey{Connection: corp, ExternalID: "ext-ann"})
		if view.Lock == nil || !view.Lock.Expires.Equal(test.want) {
			t.Errorf("%v: got %+v", test, view.Lock)
		}
	}
}

func TestTokensOpenOnlyTheirConnectionWhileTheyLive(t *testing.T) {
	t.Parallel()
	h := fresh(t)
	token, secret, err := h.CreateToken(t.Context(), corp, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if !h.VerifyToken(corp, secret) || h.VerifyToken("other", secret) || h.VerifyToken(corp, secret+"x") {
		t.Error("a token must open its own connection and nothing else")
	}
	if _, _, err := h.CreateToken(t.Context(), corp, time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.CreateToken(t.Context(), corp, time.Hour); !errors.Is(err, directory.ErrLimit) {
		t.Errorf("third live token: %v", err)
	}
	if err := h.RevokeToken(t.Context(), token.ID); err != nil {
		t.Fatal(err)
	}
	if h.VerifyToken(corp, secret) {
		t.Error("revoked token works")
	}
	_, short, err := h.CreateToken(t.Context(), corp, time.Nanosecond)
	if err != nil {
		t.Fatal(err)
	}
	if h.VerifyToken(corp, short) {
		t.Error("expired token works")
	}
}

func TestARotatedTokenEndsAfterTheOverlap(t *testing.T) {
	t.Parallel()
	h := fresh(t)
	old, secret, err := h.CreateToken(t.Context(), corp, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if !h.VerifyToken(corp, secret) {
		t.Fatal("the old token must work before")
	}
	next, nextSecret, err := h.RotateToken(t.Context(), corp, 24*time.Hour, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	tokens := h.Tokens(corp)
	if len(tokens) != 2 || tokens[0].ID != old.ID || !tokens[0].Expires.Before(old.Expires) || tokens[0].LastUsed.IsZero() {
		t.Errorf("tokens = %+v, want the old one to end sooner and its last use kept", tokens)
	}
	if !h.VerifyToken(corp, secret) || !h.VerifyToken(corp, nextSecret) {
		t.Error("both must work during the overlap")
	}
	if _, _, err := h.RotateToken(t.Context(), corp, time.Hour, 0); !errors.Is(err, directory.ErrLimit) {
		t.Errorf("a third live token: %v", err)
	}
	if err := h.RevokeToken(t.Context(), old.ID); err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.RotateToken(t.Context(), corp, time.Hour, 0); err != nil {
		t.Fatal(err)
	}
	if h.VerifyToken(corp, nextSecret) {
		t.Errorf("token %s must end at once without overlap", next.ID)
	}
}
