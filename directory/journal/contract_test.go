package journal_test

import (
	"context"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/cosmosgate/cosmosgate/directory"
	"github.com/cosmosgate/cosmosgate/directory/logtest"
	"github.com/cosmosgate/cosmosgate/internal/emulator"
)

func TestAJournalKeepsTheContractOfASharedLog(t *testing.T) {
	t.Parallel()
	logtest.RunShared(t, func(t *testing.T) func() directory.Shared {
		t.Helper()
		s := newStand(t, proper)
		return func() directory.Shared { return s.open(t) }
	})
}

// TestSeveralDirectoriesAreOneOverAFailingAccount has the account fail in every
// way at random while directories work.
func TestSeveralDirectoriesAreOneOverAFailingAccount(t *testing.T) {
	t.Parallel()
	s := newStand(t, proper)
	faults := []emulator.Fault{
		{Status: http.StatusTooManyRequests, RetryAfter: 3 * time.Millisecond, Times: 3},
		{Status: http.StatusServiceUnavailable},
		{Status: 449, RetryAfter: time.Millisecond},
		{Status: http.StatusRequestTimeout},
		{ResetAfter: 1},
		{ResetAfter: 1, Method: http.MethodPost, Times: 2},
		{Delay: 20 * time.Millisecond, Times: 3},
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for range 100 {
			if ctx.Err() != nil {
				return
			}
			fault := faults[rand.IntN(len(faults))]
			fault.PathPrefix, fault.Skip = documents, rand.IntN(20)
			s.Inject(fault)
			time.Sleep(30 * time.Millisecond)
		}
	}()
	logtest.Several(t, func() directory.Shared { return s.open(t) })
}
