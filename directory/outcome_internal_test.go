package directory

import (
	"errors"
	"testing"
)

// Of a commit whose outcome is open, a caller who was refused has no part.
func TestWhoWasRefusedHasNoPartInAnOpenOutcome(t *testing.T) {
	t.Parallel()
	open := &UnknownOutcomeError{cause: ErrUnavailable, attempt: &attempt{}}
	if err := overruled(open, nil); err != error(open) { //nolint:errorlint // the very same
		t.Errorf("who was planned is told %v", err)
	}
	err := overruled(open, ErrRevision)
	if _, unknown := errors.AsType[*UnknownOutcomeError](err); unknown || !errors.Is(err, ErrUnavailable) {
		t.Errorf("who was refused is told %v", err)
	}
}
