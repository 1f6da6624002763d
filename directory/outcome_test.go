package directory_test

import (
	"errors"
	"testing"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/directory/logtest"
)

// fate has a caller told what became of a change whose outcome is open.
func fate(tb testing.TB, err error, into chan<- bool) {
	tb.Helper()
	open, ok := errors.AsType[*directory.UnknownOutcomeError](err)
	if !ok || !errors.Is(err, directory.ErrUnavailable) {
		tb.Fatalf("want an unknown outcome, got %v", err)
	}
	open.OnSettled(func(done bool) { into <- done })
}

func TestWhoseOutcomeWasOpenIsToldOnceItIsKnown(t *testing.T) {
	t.Parallel()
	l := newCommonLog()
	g := gates(t, l, 2)
	told := make(chan bool, 2)

	l.set(func(l *commonLog) { l.lost = true })
	results, err := g[0].Apply(t.Context(), corp, directory.CreateUser{User: user("ana")})
	fate(t, err, told)
	if len(results) != 1 || results[0].ID == "" {
		t.Errorf("results %+v, want those of the change if it is made", results)
	}
	g[0].current(t)
	if done := <-told; !done {
		t.Error("a change that took effect is said to have none")
	}
	fate(t, err, told) // asked later, told at once
	if done := <-told; !done {
		t.Error("the second who asks is told something else")
	}

	// Another gate takes the place that a lost request wanted.
	l.set(func(l *commonLog) { l.refuse = true })
	_, err = g[0].Apply(t.Context(), corp, directory.CreateUser{User: user("bob")})
	fate(t, err, told)
	l.set(func(l *commonLog) { l.refuse = false })
	g[1].do(t, directory.CreateUser{User: user("cyd")})
	g[0].current(t)
	if done := <-told; done {
		t.Error("a change that never arrived is said to have taken effect")
	}
}

func TestNothingIsSentIntoTheDarkWhileAnOutcomeIsOpen(t *testing.T) {
	t.Parallel()
	l := newCommonLog()
	h := gates(t, l, 1)[0]
	told := make(chan bool, 1)
	l.set(func(l *commonLog) { l.down = true })
	_, err := h.Apply(t.Context(), corp, directory.CreateUser{User: user("ana")})
	fate(t, err, told)
	for range 3 {
		_, err := h.Apply(t.Context(), corp, directory.CreateUser{User: user("bob")})
		if _, open := errors.AsType[*directory.UnknownOutcomeError](err); open || !errors.Is(err, directory.ErrUnavailable) {
			t.Fatalf("want a refusal that is certain, got %v", err)
		}
	}
	l.set(func(l *commonLog) { l.down = false })
	h.do(t, directory.CreateUser{User: user("bob")})
	if done := <-told; done {
		t.Error("a change that never arrived is said to have taken effect")
	}
}

func TestOpenOutcomesAreBounded(t *testing.T) {
	t.Parallel()
	l := newCommonLog()
	h := gates(t, l, 1)[0]
	l.set(func(l *commonLog) { l.refuse = true })
	open := 0
	for range 100 {
		_, err := h.Apply(t.Context(), corp, directory.CreateUser{User: user("ana")})
		if _, unknown := errors.AsType[*directory.UnknownOutcomeError](err); unknown {
			open++
		} else if !errors.Is(err, directory.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	if open == 0 || open == 100 {
		t.Errorf("%d outcomes are open", open)
	}
}

// What failed to be written may be on disk all the same, and is then obeyed by the
// next start.
func TestWhatFailedToBeWrittenIsAnOpenOutcomeAndWhatFollowsIsNot(t *testing.T) {
	t.Parallel()
	log := &logtest.Faulty{Log: &logtest.Memory{}}
	h := withLog(t, log)
	log.Fail(logtest.After)
	results, err := h.Apply(t.Context(), corp, directory.CreateUser{User: user("ana")})
	open, unknown := errors.AsType[*directory.UnknownOutcomeError](err)
	if !unknown || !errors.Is(err, directory.ErrStopped) || errors.Is(err, directory.ErrUnavailable) || len(results) != 1 {
		t.Fatalf("results %v, error %v", results, err)
	}
	open.OnSettled(func(done bool) { t.Errorf("nobody knows, but %t was told", done) })
	_, err = h.Apply(t.Context(), corp, directory.CreateUser{User: user("bob")})
	if _, unknown := errors.AsType[*directory.UnknownOutcomeError](err); unknown || !errors.Is(err, directory.ErrStopped) {
		t.Errorf("a later change: %v", err)
	}
}
