package identity_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/identity"
)

func newRevocations(tb testing.TB, entries identity.Entries) *identity.Revocations {
	tb.Helper()

	r, err := identity.NewRevocations(identity.RevocationConfig{Entries: entries, Clock: time.Now})
	if err != nil {
		tb.Fatal(err)
	}

	return r
}

func revoke(tb testing.TB, r *identity.Revocations, v identity.Revocation) {
	tb.Helper()

	if err := r.Revoke(tb.Context(), v); err != nil {
		tb.Fatal(err)
	}
}

func TestARevocationCutsTheNextRequestOfACachedToken(t *testing.T) {
	t.Parallel()

	for _, row := range []struct {
		name string
		what identity.Revocation
		want any
	}{
		{"the subject", identity.Revocation{Kind: identity.RevokeSubject, Issuer: corpURL, Name: annSubject}, 5013},
		{"the session", identity.Revocation{Kind: identity.RevokeSession, Issuer: corpURL, Name: "session-1"}, 5013},
		{"the client", identity.Revocation{Kind: identity.RevokeClient, Issuer: corpURL, Name: corpClient}, 5013},
		{"the signing key", identity.Revocation{Kind: identity.RevokeKey, Issuer: corpURL, Name: "k1"}, 5013},
		{"the token", identity.Revocation{Kind: identity.RevokeToken, Issuer: corpURL, Name: "token-1"}, 5013},
		{"another subject", identity.Revocation{Kind: identity.RevokeSubject, Issuer: corpURL, Name: "00u-bob"}, "accepted"},
		{"the same subject of another issuer", identity.Revocation{Kind: identity.RevokeSubject, Issuer: "https://other.example", Name: annSubject}, "accepted"},
		{"a session of the subject's name", identity.Revocation{Kind: identity.RevokeSession, Issuer: corpURL, Name: annSubject}, "accepted"},
		{"an agent of the client's name", identity.Revocation{Kind: identity.RevokeAgent, Name: corpClient}, "accepted"},
		{"what was issued earlier", identity.Revocation{
			Kind: identity.RevokeSubject, Issuer: corpURL, Name: annSubject, Before: time.Now().Add(-time.Hour),
		}, "accepted"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			w := newWorld(t)
			table := newRevocations(t, newHouse(t))
			w.config.Revocations = table
			w.running(t)

			raw := w.signer.sign(t, nil, w.person())
			for range 2 {
				if _, err := w.authenticate(t, raw); err != nil {
					t.Fatal(err)
				}
			}

			revoke(t, table, row.what)

			for range 2 {
				_, err := w.authenticate(t, raw)
				if diff := cmp.Diff(row.want, verdictOf(t, err)); diff != "" {
					t.Errorf("verdict (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestWhoIssuesAgainAfterTheMarkIsAccepted(t *testing.T) {
	t.Parallel()

	w := newWorld(t)
	table := newRevocations(t, newHouse(t))
	w.config.Revocations = table
	w.running(t)

	now := time.Now()
	revoke(t, table, identity.Revocation{Kind: identity.RevokeSubject, Issuer: corpURL, Name: annSubject, Before: now})

	for issued, want := range map[int64]any{now.Unix() - 1: 5013, now.Unix(): 5013, now.Unix() + 2: "accepted"} {
		_, err := w.authenticate(t, w.signer.sign(t, nil, w.person().with(object{"iat": issued})))
		if diff := cmp.Diff(want, verdictOf(t, err)); diff != "" {
			t.Errorf("issued %d s after the mark (-want +got):\n%s", issued-now.Unix(), diff)
		}
	}
}

func TestARevocationReachesTheWholeChain(t *testing.T) {
	t.Parallel()

	const sts, corp = "https://gate.example", corpURL

	issued := time.Now().Add(-time.Minute)
	chain := identity.Principal{
		Kind: identity.KindPerson, Issuer: sts, Subject: annSubject, Client: "planner", TokenID: "own", Session: "session-1", KeyID: "sts-1",
		Actors:   []identity.Actor{{Issuer: corp, Subject: "runner-7", Agent: "runner"}, {Issuer: corp, Subject: "planner-1", Agent: "planner"}},
		Origin:   identity.Origin{Issuer: corp, TokenID: "origin"},
		IssuedAt: issued,
	}
	autonomous := identity.Principal{Kind: identity.KindAgent, Issuer: sts, Application: "sweeper", IssuedAt: issued}

	for _, row := range []struct {
		name string
		who  identity.Principal
		what identity.Revocation
		want bool
	}{
		{"own token", chain, identity.Revocation{Kind: identity.RevokeToken, Issuer: sts, Name: "own"}, true},
		{"origin's token", chain, identity.Revocation{Kind: identity.RevokeToken, Issuer: corp, Name: "origin"}, true},
		{"origin's id at the wrong issuer", chain, identity.Revocation{Kind: identity.RevokeToken, Issuer: sts, Name: "origin"}, false},
		{"the person at its own issuer", chain, identity.Revocation{Kind: identity.RevokeSubject, Issuer: corp, Name: annSubject}, true},
		{"the session at its own issuer", chain, identity.Revocation{Kind: identity.RevokeSession, Issuer: corp, Name: "session-1"}, true},
		{"outer actor by name", chain, identity.Revocation{Kind: identity.RevokeAgent, Name: "runner"}, true},
		{"inner actor by name", chain, identity.Revocation{Kind: identity.RevokeAgent, Name: "planner"}, true},
		{"inner actor by subject", chain, identity.Revocation{Kind: identity.RevokeSubject, Issuer: corp, Name: "planner-1"}, true},
		{"our signing key", chain, identity.Revocation{Kind: identity.RevokeKey, Issuer: sts, Name: "sts-1"}, true},
		{"autonomous agent", autonomous, identity.Revocation{Kind: identity.RevokeAgent, Name: "sweeper"}, true},
		{"another agent", autonomous, identity.Revocation{Kind: identity.RevokeAgent, Name: "runner"}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()

			table := newRevocations(t, newHouse(t))
			if err := table.Check(&row.who); err != nil {
				t.Fatalf("before: %v", err)
			}

			revoke(t, table, row.what)

			if err := table.Check(&row.who); (err != nil) != row.want {
				t.Errorf("got %v, want a refusal: %v", err, row.want)
			}
		})
	}
}

func TestAMarkNeverMovesBack(t *testing.T) {
	t.Parallel()

	h := newHouse(t)
	table := newRevocations(t, h)
	now := time.Now().UTC().Truncate(time.Millisecond)
	what := identity.Revocation{Kind: identity.RevokeSubject, Issuer: corpURL, Name: annSubject}

	var wg sync.WaitGroup

	for i := range 20 {
		wg.Go(func() {
			v := what
			v.Before = now.Add(-time.Duration(i) * time.Minute)

			if err := newRevocations(t, h).Revoke(t.Context(), v); err != nil {
				t.Error(err)
			}
		})
	}

	wg.Wait()

	generation := h.EntryGeneration("revocation")

	what.Before = now.Add(-time.Hour)
	revoke(t, table, what)

	if got := h.EntryGeneration("revocation"); got != generation {
		t.Error("a revocation that adds nothing was written")
	}

	list := newRevocations(t, h.reopen(t)).List()
	if len(list) != 1 || !list[0].Before.Equal(now) {
		t.Errorf("got %+v, want one mark at %v", list, now)
	}
}

func TestRevocationsOutliveTheTokensAndNoMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		table := newRevocations(t, newLedger())
		who := identity.Principal{Issuer: corpURL, Subject: annSubject, TokenID: "token-1", IssuedAt: time.Now()}
		revoke(t, table, identity.Revocation{Kind: identity.RevokeSubject, Issuer: corpURL, Name: annSubject})
		time.Sleep(25*time.Hour + time.Minute)

		if table.Check(&who) == nil {
			t.Error("forgotten while a token could live")
		}

		time.Sleep(2 * time.Minute)

		if err := table.Check(&who); err != nil || len(table.List()) > 0 {
			t.Errorf("remembered for good: %v, %v", err, table.List())
		}
	})
}

func TestFaultyRevocationsAreRefused(t *testing.T) {
	t.Parallel()

	table := newRevocations(t, newLedger())

	for _, v := range []identity.Revocation{
		{}, {Kind: identity.RevokeSubject, Name: "x"}, {Kind: identity.RevokeSubject, Issuer: corpURL},
		{Kind: identity.RevokeAgent, Issuer: corpURL, Name: "x"}, {Kind: 99, Issuer: corpURL, Name: "x"},
	} {
		if table.Revoke(t.Context(), v) == nil {
			t.Errorf("accepted %+v", v)
		}
	}
}

func TestHostileNamesMakeSmallEntries(t *testing.T) {
	t.Parallel()

	l := newLedger()
	revoke(t, newRevocations(t, l), identity.Revocation{
		Kind: identity.RevokeToken, Issuer: corpURL, Name: strings.Repeat("n", 1<<20), Reason: strings.Repeat("r", 1<<20),
	})

	for _, e := range l.Entries("revoked-token") {
		if len(e.Name) > 64 || len(e.Value) > 1024 {
			t.Errorf("name of %d bytes, value of %d", len(e.Name), len(e.Value))
		}
	}
}

func TestTheTableIsBounded(t *testing.T) {
	t.Parallel()

	l := newLedger()
	for i := range 100_000 {
		l.fill("revoked-token", fmt.Sprintf("token.%d", i))
	}

	table := newRevocations(t, l)

	err := table.Revoke(t.Context(), identity.Revocation{Kind: identity.RevokeToken, Issuer: corpURL, Name: "one-more"})
	if !errors.Is(err, identity.ErrRevocationsFull) {
		t.Errorf("got %v", err)
	}
	// Tokens never crowd out marks.
	revoke(t, table, identity.Revocation{Kind: identity.RevokeSubject, Issuer: corpURL, Name: annSubject})
}

func TestARevokedTokenIsNotWrittenAgain(t *testing.T) {
	t.Parallel()

	h, now := newHouse(t), time.Now()

	table, err := identity.NewRevocations(identity.RevocationConfig{Entries: h, Clock: func() time.Time {
		now = now.Add(time.Second)

		return now
	}})
	if err != nil {
		t.Fatal(err)
	}

	v := identity.Revocation{Kind: identity.RevokeToken, Issuer: corpURL, Name: "t", Expires: now.Add(time.Minute)}

	for range 3 {
		revoke(t, table, v)
	}

	if e := h.Entries("revoked-token"); len(e) != 1 || e[0].Revision != 1 {
		t.Errorf("%+v", e)
	}
}

func TestSessionsNeverCrowdOutPeople(t *testing.T) {
	t.Parallel()

	l := newLedger()
	for i := range 75_000 {
		l.fill("revocation", fmt.Sprintf("session.%d", i))
	}

	table := newRevocations(t, l)

	err := table.Revoke(t.Context(), identity.Revocation{Kind: identity.RevokeSession, Issuer: corpURL, Name: "one-more"})
	if !errors.Is(err, identity.ErrRevocationsFull) {
		t.Errorf("got %v", err)
	}

	revoke(t, table, identity.Revocation{Kind: identity.RevokeSubject, Issuer: corpURL, Name: annSubject})
	revoke(t, table, identity.Revocation{Kind: identity.RevokeKey, Issuer: corpURL, Name: "stolen"})
}

func TestSingleUseIDs(t *testing.T) {
	t.Parallel()

	h := newHouse(t)

	once, err := identity.NewOnce(h, time.Now)
	if err != nil {
		t.Fatal(err)
	}

	soon := time.Now().Add(time.Minute)

	for _, row := range []struct {
		name   string
		use    identity.Use
		issuer string
		id     string
		until  time.Time
		want   error
	}{
		{"first", identity.UseAssertion, corpURL, "a", soon, nil},
		{"again", identity.UseAssertion, corpURL, "a", soon, identity.ErrUsed},
		{"again, said to live longer", identity.UseAssertion, corpURL, "a", soon.Add(time.Hour), identity.ErrUsed},
		{"another id", identity.UseAssertion, corpURL, "b", soon, nil},
		{"another issuer", identity.UseAssertion, "https://other.example", "a", soon, nil},
		{"another use", identity.UseProof, corpURL, "a", soon, nil},
		{"expired", identity.UseAssertion, corpURL, "c", soon.Add(-time.Hour), identity.ErrOnceExpired},
		{"good for years", identity.UseAssertion, corpURL, "d", soon.AddDate(10, 0, 0), identity.ErrOnceExpired},
	} {
		if err := once.Spend(t.Context(), row.use, row.issuer, row.id, row.until); !errors.Is(err, row.want) {
			t.Errorf("%s: got %v, want %v", row.name, err, row.want)
		}
	}

	if once.Spend(t.Context(), 0, corpURL, "e", soon) == nil || once.Spend(t.Context(), identity.UseProof, corpURL, "", soon) == nil {
		t.Error("accepted an id without a use, or no id")
	}

	// It is accepted for a minute after its end, at a gate whose clock may be a minute behind.
	for _, e := range h.Entries("once") {
		if e.Expires.Before(soon.Add(2*time.Minute - time.Second)) {
			t.Errorf("an id that ends at %v is forgotten at %v", soon, e.Expires)
		}
	}

	again, err := identity.NewOnce(h.reopen(t), time.Now)
	if err != nil {
		t.Fatal(err)
	}

	if err := again.Spend(t.Context(), identity.UseAssertion, corpURL, "a", soon); !errors.Is(err, identity.ErrUsed) {
		t.Errorf("after a restart: %v", err)
	}
}

func TestOneOfManyConcurrentUsesWins(t *testing.T) {
	t.Parallel()

	h := newHouse(t)

	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		wins int
	)

	for range 16 {
		once, err := identity.NewOnce(h, time.Now) // a gate of its own
		if err != nil {
			t.Fatal(err)
		}

		wg.Go(func() {
			if once.Spend(context.Background(), identity.UseEvent, corpURL, "jti", time.Now().Add(time.Minute)) == nil {
				mu.Lock()
				wins++
				mu.Unlock()
			}
		})
	}

	wg.Wait()

	if wins != 1 {
		t.Errorf("%d uses succeeded", wins)
	}
}

func TestAFullMemoryOfIDsRefuses(t *testing.T) {
	t.Parallel()

	l := newLedger()
	for i := range 200_000 {
		l.fill("once", fmt.Sprintf("proof.%d", i))
	}

	once, err := identity.NewOnce(l, time.Now)
	if err != nil {
		t.Fatal(err)
	}

	if err := once.Spend(t.Context(), identity.UseProof, corpURL, "jti", time.Now()); !errors.Is(err, identity.ErrOnceFull) {
		t.Errorf("got %v", err)
	}
}

// ledger is an [identity.Entries] in memory, for tests that count hours or hundreds of thousands.
type ledger struct {
	mu         sync.Mutex
	entries    map[[2]string]directory.Entry
	generation map[string]uint64
}

func newLedger() *ledger {
	return &ledger{entries: map[[2]string]directory.Entry{}, generation: map[string]uint64{}}
}

func (l *ledger) fill(class, name string) {
	l.entries[[2]string{class, name}] = directory.Entry{Class: class, Name: name, Revision: 1, Value: []byte("{}")}
}

func (l *ledger) Entry(class, name string) (directory.Entry, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()

	e, found := l.entries[[2]string{class, name}]
	if !found || !e.Expires.IsZero() && !time.Now().Before(e.Expires) {
		return directory.Entry{}, false
	}

	return e, true
}

func (l *ledger) Entries(class string) []directory.Entry {
	l.mu.Lock()
	defer l.mu.Unlock()

	var list []directory.Entry

	for key, e := range l.entries {
		if key[0] == class && (e.Expires.IsZero() || time.Now().Before(e.Expires)) {
			list = append(list, e)
		}
	}

	return list
}

func (l *ledger) EntryGeneration(class string) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()

	return l.generation[class]
}

func (l *ledger) PutEntry(_ context.Context, e directory.Entry, ifRevision uint64) (directory.Entry, error) {
	present, found := l.Entry(e.Class, e.Name)

	l.mu.Lock()
	defer l.mu.Unlock()

	switch {
	case ifRevision == directory.CreateOnly && found:
		return directory.Entry{}, directory.ErrExists
	case ifRevision != directory.CreateOnly && ifRevision != directory.AnyRevision && ifRevision != present.Revision:
		return directory.Entry{}, directory.ErrRevision
	}

	e.Revision = present.Revision + 1
	l.entries[[2]string{e.Class, e.Name}] = e
	l.generation[e.Class]++

	return e, nil
}

func (l *ledger) DeleteEntry(_ context.Context, class, name string, _ uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()

	delete(l.entries, [2]string{class, name})
	l.generation[class]++

	return nil
}
