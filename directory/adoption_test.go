package directory_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/directory/logtest"
)

const next = "corp-next"

// all are the people and groups that a connection lists, by name.
func (h *house) all(connection string) (names []string) {
	var ids []directory.ID
	for u := range h.Users(connection, "") {
		names, ids = append(names, u.UserName), append(ids, u.ID)
	}
	if !slices.IsSorted(ids) {
		names = append(names, "people are out of order")
	}
	ids = nil
	for g := range h.Groups(connection, "") {
		names, ids = append(names, g.DisplayName), append(ids, g.ID)
	}
	if !slices.IsSorted(ids) {
		names = append(names, "groups are out of order")
	}
	return names
}

func (h *house) adopt(tb testing.TB, from, to string) directory.Adopted {
	tb.Helper()
	done, err := h.AdoptConnection(tb.Context(), from, to)
	if err != nil {
		tb.Fatal(err)
	}
	return done
}

// TestAConnectionIsAdoptedWhileTheDirectoryRuns gives everything to a connection that has some records of its own, older and newer ones, and back.
func TestAConnectionIsAdoptedWhileTheDirectoryRuns(t *testing.T) {
	t.Parallel()
	h := fresh(t)
	hire := func(connection, name string) directory.ID {
		u := user(name)
		u.Emails, u.Document = []string{name + "@corp.example"}, []byte(`{"n":"`+name+`"}`)
		results, err := h.Apply(t.Context(), connection, directory.CreateUser{User: u})
		if err != nil {
			t.Fatal(err)
		}
		return results[0].ID
	}
	hire(next, "old")
	ann, bob := hire(corp, "ann"), hire(corp, "bob")
	deactivate(t, h, bob)
	inner := h.group(t, "inner", ann, bob)
	h.group(t, "outer", inner)
	hire(next, "new")
	lock := directory.Lock{Subject: directory.Subject{Kind: directory.SubjectUser, Name: string(ann)}, Message: "m"}
	if err := h.PutLock(t.Context(), lock); err != nil {
		t.Fatal(err)
	}
	check := func(when, owner, other string, list, rest []string) {
		t.Helper()
		view, found := h.Lookup(directory.LinkKey{Connection: owner, ExternalID: "ext-ann"})
		if !found || view.ID != ann || view.Connection != owner || view.Lock == nil || len(view.Groups) != 2 || view.Groups[0].Connection != owner {
			t.Errorf("%s: ann is %v %+v", when, found, view)
		}
		if _, found := h.Lookup(directory.LinkKey{Connection: other, ExternalID: "ext-ann"}); found {
			t.Errorf("%s: the other issuer names ann", when)
		}
		if u, found := h.UserByName(owner, "ANN"); !found || u.ID != ann {
			t.Errorf("%s: by name: %v %+v", when, found, u)
		}
		if users := h.UsersByEmail(owner, "ann@corp.example"); len(users) != 1 || len(h.UsersByEmail(other, "ann@corp.example")) != 0 {
			t.Errorf("%s: by e-mail: %+v", when, users)
		}
		if u, err := h.ReadUser(owner, bob); err != nil || u.Active || string(u.Document) != `{"n":"bob"}` {
			t.Errorf("%s: bob is %+v, %v", when, u, err)
		}
		if diff := cmp.Diff(list, h.all(owner)); diff != "" {
			t.Errorf("%s: the owner lists (-want +got):\n%s", when, diff)
		}
		if diff := cmp.Diff(rest, h.all(other)); diff != "" {
			t.Errorf("%s: the other lists (-want +got):\n%s", when, diff)
		}
		counts := directory.Counts{Users: len(list) - 2, Active: len(list) - 3, Linked: len(list) - 2, Groups: 2}
		left := directory.Counts{Users: len(rest), Active: len(rest), Linked: len(rest)}
		if diff := cmp.Diff([]directory.Counts{counts, left}, []directory.Counts{h.Counts(owner), h.Counts(other)}); diff != "" {
			t.Errorf("%s: counts (-want +got):\n%s", when, diff)
		}
	}
	everybody, before := []string{"old", "ann", "bob", "new", "inner", "outer"}, []string{"ann", "bob", "inner", "outer"}
	check("before", corp, next, before, []string{"old", "new"})
	if done := h.adopt(t, corp, next); done != (directory.Adopted{Users: 2, Groups: 2}) {
		t.Errorf("adopted %+v", done)
	}
	check("afterwards", next, corp, everybody, nil)
	live := h.dump(t)
	h = h.reopen(t)
	check("after a restart", next, corp, everybody, nil)
	if diff := cmp.Diff(live, h.dump(t)); diff != "" {
		t.Errorf("a restart reads something else (-live +read):\n%s", diff)
	}
	if done := h.adopt(t, corp, next); done != (directory.Adopted{}) {
		t.Errorf("adopted once more: %+v", done)
	}
	if _, err := h.Apply(t.Context(), next, directory.AddMembers{Group: inner, Members: []directory.ID{hire(next, "last")}}); err != nil {
		t.Errorf("the new provider adds a member: %v", err)
	}
	h.adopt(t, next, corp)
	check("and back", corp, next, []string{"old", "ann", "bob", "new", "last", "inner", "outer"}, nil)
}

// TestManyAreAdoptedInOrder moves more than rosters compact at, there and back, by halves.
func TestManyAreAdoptedInOrder(t *testing.T) {
	t.Parallel()
	h := fresh(t)
	const count = 3000
	changes := make([]directory.Change, count)
	for i := range changes {
		changes[i] = directory.CreateUser{User: user(fmt.Sprint("u", i))}
	}
	ids := h.do(t, changes...)
	move := func(from, to string, some []directory.ID) {
		t.Helper()
		var moves []directory.Change
		for _, id := range some {
			moves = append(moves, directory.AdoptUser{ID: id, From: from})
		}
		if _, err := h.Apply(t.Context(), to, moves...); err != nil {
			t.Fatal(err)
		}
	}
	var odd, even []directory.ID
	for i, id := range ids {
		if i%2 == 0 {
			even = append(even, id)
		} else {
			odd = append(odd, id)
		}
	}
	move(corp, next, odd)
	move(corp, next, even[:count/4])
	move(next, corp, odd[:count/4])
	for range 2 {
		total := map[string]int{corp: count / 2, next: count / 2}
		for connection, want := range total {
			if got := h.all(connection); len(got) != want || h.Counts(connection).Users != want {
				t.Fatalf("%s lists %d, counts %d, want %d; the last is %s", connection, len(got), h.Counts(connection).Users, want, got[len(got)-1])
			}
		}
		h = h.reopen(t)
	}
	h.adopt(t, next, corp)
	if got := h.all(corp); len(got) != count || len(h.all(next)) != 0 {
		t.Errorf("%d are listed, the last is %s", len(got), got[len(got)-1])
	}
}

func TestAnAdoptionThatWouldMixPeopleUpChangesNothing(t *testing.T) {
	t.Parallel()
	h := fresh(t)
	h.user(t, "ann")
	h.user(t, "bob")
	h.group(t, "admins")
	if _, err := h.Apply(t.Context(), next, directory.CreateUser{User: directory.User{UserName: "BOB", ExternalID: "ext-ann", Active: true}},
		directory.CreateGroup{Group: directory.GroupRecord{DisplayName: "Admins"}}); err != nil {
		t.Fatal(err)
	}
	before := h.dump(t)
	_, err := h.AdoptConnection(t.Context(), corp, next)
	for _, want := range []string{`externalId "ext-ann"`, `userName "bob"`, `displayName "admins"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %s among the clashes, got %v", want, err)
		}
	}
	if _, ok := errors.AsType[*directory.ClashError](err); !ok {
		t.Errorf("%T", err)
	}
	if diff := cmp.Diff(before, h.dump(t)); diff != "" {
		t.Errorf("it changed something (-before +after):\n%s", diff)
	}
}

func TestAnAdoptionIsObeyedByTheOtherGates(t *testing.T) {
	t.Parallel()
	l := newCommonLog()
	g := gates(t, l, 2)
	for i := range 600 {
		g[0].user(t, fmt.Sprint("u", i))
	}
	id, _ := g[0].UserByName(corp, "u7")
	g[0].group(t, "readers", id.ID)
	if done := g[1].adopt(t, corp, next); done != (directory.Adopted{Users: 600, Groups: 1}) {
		t.Errorf("adopted %+v", done)
	}
	g[0].current(t)
	if diff := cmp.Diff(g[1].dump(t), g[0].dump(t)); diff != "" {
		t.Errorf("the gates differ:\n%s", diff)
	}
	if view, ok := g[0].Lookup(directory.LinkKey{Connection: next, ExternalID: "ext-u7"}); !ok || len(view.Groups) != 1 {
		t.Errorf("at the other gate: %v %+v", ok, view)
	}
	var text bytes.Buffer
	if err := g[0].Export(&text); err != nil || strings.Contains(text.String(), `"`+corp+`"`) {
		t.Errorf("somebody was left behind: %v", err)
	}
}

// TestAnAdoptionIsReadFromTheLogAsItWasMade starts on every change that was ever made, as after a crash before any was folded.
func TestAnAdoptionIsReadFromTheLogAsItWasMade(t *testing.T) {
	t.Parallel()
	log := &logtest.Memory{}
	start := func() *house {
		c := config("")
		c.Log = log
		d, err := directory.Open(c)
		if err != nil {
			t.Fatal(err)
		}
		return run(t, d, "")
	}
	h := start()
	h.group(t, "readers", h.user(t, "ann"), h.user(t, "bob"))
	h.adopt(t, corp, next)
	h.user(t, "ann")
	h.adopt(t, next, "third")
	h.adopt(t, "third", next)
	live, listed := h.dump(t), h.all(next)
	h.stop()
	h = start()
	if diff := cmp.Diff(live, h.dump(t)); diff != "" {
		t.Errorf("read (-live +read):\n%s", diff)
	}
	if diff := cmp.Diff([][]string{listed, {"ann"}, nil}, [][]string{h.all(next), h.all(corp), h.all("third")}); diff != "" {
		t.Errorf("lists (-want +got):\n%s", diff)
	}
	if view, ok := h.Lookup(directory.LinkKey{Connection: next, ExternalID: "ext-bob"}); !ok || len(view.Groups) != 1 {
		t.Errorf("bob is %v %+v", ok, view)
	}
}

// TestWhoIsBetweenTwoConnectionsCanBeDeleted has each provider delete what is its own while groups are still, or already, the other's.
func TestWhoIsBetweenTwoConnectionsCanBeDeleted(t *testing.T) {
	t.Parallel()
	h := fresh(t)
	ann, bob := h.user(t, "ann"), h.user(t, "bob")
	inner := h.group(t, "inner", ann, bob)
	outer := h.group(t, "outer", inner, bob)
	take := func(changes ...directory.Change) {
		t.Helper()
		if _, err := h.Apply(t.Context(), next, changes...); err != nil {
			t.Fatal(err)
		}
	}
	take(directory.AdoptUser{ID: ann, From: corp})
	take(directory.DeleteUser{ID: ann}) // whose group is the other's still
	if _, found := h.Lookup(directory.LinkKey{Connection: next, ExternalID: "ext-ann"}); found || h.MemberCount(inner) != 1 {
		t.Error("ann is still there")
	}
	take(directory.AdoptGroup{ID: outer, From: corp})
	h.do(t, directory.DeleteUser{ID: bob}) // one of whose groups is the other's already
	h.do(t, directory.DeleteGroup{ID: inner})
	if _, found := h.Lookup(directory.LinkKey{Connection: corp, ExternalID: "ext-bob"}); found || h.MemberCount(outer) != 0 {
		t.Error("bob is still there")
	}
}

func TestAWaitingLockIsAdopted(t *testing.T) {
	t.Parallel()
	again := directory.CreateUser{User: directory.User{UserName: "again", ExternalID: "ext/ann"}}
	locked := func(t *testing.T, h *house) {
		t.Helper()
		view, found := h.Lookup(directory.LinkKey{Connection: next, ExternalID: "ext/ann"})
		if !found || view.Lock == nil || view.Lock.Message != "incident" {
			t.Errorf("found %t, lock %+v", found, view.Lock)
		}
		if locks := h.Locks(); len(locks) != 1 || locks[0].Subject.Name != string(view.ID) {
			t.Errorf("locks %+v", locks)
		}
	}
	gone := func(t *testing.T) *house {
		t.Helper()
		h := fresh(t)
		ann := h.do(t, again)[0]
		lock := directory.Lock{Subject: directory.Subject{Kind: directory.SubjectUser, Name: string(ann)}, Message: "incident"}
		if err := h.PutLock(t.Context(), lock); err != nil {
			t.Fatal(err)
		}
		h.do(t, directory.DeleteUser{ID: ann})
		return h
	}
	back := func(t *testing.T, h *house) {
		t.Helper()
		if _, err := h.Apply(t.Context(), next, again); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("before they are back", func(t *testing.T) {
		t.Parallel()
		h := gone(t)
		h.adopt(t, corp, next)
		back(t, h)
		locked(t, h)
	})
	t.Run("when they are back", func(t *testing.T) {
		t.Parallel()
		h := gone(t)
		back(t, h)
		h.adopt(t, corp, next)
		locked(t, h)
	})
	t.Run("in an export", func(t *testing.T) {
		t.Parallel()
		var file, adopted bytes.Buffer
		if err := gone(t).Export(&file); err != nil {
			t.Fatal(err)
		}
		if _, err := directory.Adopt(&adopted, &file, map[string]string{corp: next}); err != nil {
			t.Fatal(err)
		}
		h := fresh(t)
		if err := h.Import(t.Context(), &adopted); err != nil {
			t.Fatal(err)
		}
		back(t, h)
		locked(t, h)
	})
}
