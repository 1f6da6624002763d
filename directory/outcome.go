package directory

import (
	"crypto/sha256"
	"fmt"
	"sync"
)

// UnknownOutcomeError means that a change was sent to a log and no answer came,
// or a failure: it may be there or not. Of a shared log it is an
// [ErrUnavailable], and the directory learns the truth when it reads what has the
// change's place in the log. Of the directory's own log it is an [ErrStopped],
// and only the next start reads what the disk holds.
type UnknownOutcomeError struct {
	kind, cause error
	attempt     *attempt
}

// Error implements error.
func (e *UnknownOutcomeError) Error() string {
	return "it is not known whether the change was made: " + e.cause.Error()
}

// Unwrap returns [ErrUnavailable] or [ErrStopped], and what happened.
func (e *UnknownOutcomeError) Unwrap() []error { return []error{e.kind, e.cause} }

// OnSettled has f told once whether the change took effect after all, perhaps
// at once; never if the directory ends before it knows. It runs in the
// directory's writer and must not wait.
func (e *UnknownOutcomeError) OnSettled(f func(done bool)) {
	e.attempt.mu.Lock()
	defer e.attempt.mu.Unlock()
	if e.attempt.settled {
		f(e.attempt.done)
		return
	}
	e.attempt.waiting = append(e.attempt.waiting, f)
}

// maxAttempts bounds the batches whose outcome is open.
const maxAttempts = 64

// attempt is a batch whose outcome is open. It wants the next place in the log,
// as all open ones do.
type attempt struct {
	sum [sha256.Size]byte

	mu            sync.Mutex
	settled, done bool
	waiting       []func(done bool)
}

// settle tells everybody who asked.
func (a *attempt) settle(done bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.settled, a.done = true, done
	for _, f := range a.waiting {
		f(done)
	}
	a.waiting = nil
}

func sumOf(batch []Delta) [sha256.Size]byte {
	var text []byte
	for _, d := range batch {
		text = AppendDelta(text, d)
	}
	return sha256.Sum256(text)
}

// unknown remembers a batch that the log may hold.
func (d *Directory) unknown(batch []Delta, cause error) error {
	a := &attempt{sum: sumOf(batch)}
	d.attempts = append(d.attempts, a)
	return &UnknownOutcomeError{kind: ErrUnavailable, cause: cause, attempt: a}
}

// unwritten is what follows a failed write to the directory's own log. If there
// is a shared one as well, the change has its place there.
func (d *Directory) unwritten() error {
	known := d.shared != nil
	return &UnknownOutcomeError{kind: ErrStopped, cause: d.Healthy(), attempt: &attempt{settled: known, done: known}}
}

// settleAttempts is told what has the next place in the log: all that wanted it
// took effect, or never will.
func (d *Directory) settleAttempts(batch []Delta) {
	if len(d.attempts) == 0 {
		return
	}
	sum := sumOf(batch)
	for _, a := range d.attempts {
		a.settle(a.sum == sum)
	}
	d.attempts = nil
}

// overruled is what one caller is told of a failed commit. Who had no part in
// it, because the change was refused, is told so: nothing of it is anywhere.
func overruled(failure, refusal error) error {
	open, _ := failure.(*UnknownOutcomeError) //nolint:errorlint // as order or store returned it
	switch {
	case open == nil || refusal == nil:
	case open.kind == ErrStopped: //nolint:errorlint // as above
		return open.cause
	default:
		return fmt.Errorf("%w: the state that refused the change could not be proven current", ErrUnavailable)
	}
	return failure
}
