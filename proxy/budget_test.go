package proxy_test

import (
	"testing"
	"time"

	"github.com/cosmosgate/cosmosgate/proxy"
)

func TestRequestsAtOneTimeDoNotEachSeeAFullBudget(t *testing.T) {
	t.Parallel()
	var b proxy.Budgets
	now := time.Now()
	first := b.Take("ann", 10, now)
	b.Settle(first, 80, true, now) // what is usual is now about 11
	now = now.Add(time.Minute)
	taken := 0
	for range 50 {
		if b.Take("ann", 10, now) != nil {
			taken++
		}
	}
	if taken != 1 {
		t.Errorf("%d requests were let through at once, want 1: one uses the second up", taken)
	}
}

func TestARequestThatNeverWentUpstreamCostsNothing(t *testing.T) {
	t.Parallel()
	var b proxy.Budgets
	now := time.Now()
	for range 100 {
		lease := b.Take("ann", 1, now)
		if lease == nil {
			t.Fatal("the budget is used up")
		}
		b.Settle(lease, 0, false, now)
	}
}

func TestACostThatNobodyToldIsAShareOfTheBudgetAtLeast(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		usual float64 // cost of the request before
		want  int
	}{
		"a caller whose requests are cheap": {0, 10},  // of a budget of 100, a tenth each
		"a caller whose requests are dear":  {319, 3}, // about 40 each
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b proxy.Budgets
			now := time.Now()
			b.Settle(b.Take("ann", 100, now), row.usual, true, now)
			now = now.Add(time.Minute)
			taken := 0
			for range 50 {
				lease := b.Take("ann", 100, now)
				if lease == nil {
					break
				}
				b.Settle(lease, proxy.Untold, true, now)
				taken++
			}
			if taken != row.want {
				t.Errorf("%d requests were let through, want %d", taken, row.want)
			}
		})
	}
}

func TestBudgetsAreForgottenOnlyWhenTheyAreFull(t *testing.T) {
	t.Parallel()
	var b proxy.Budgets
	now := time.Now()
	name := func(i int) string { return string(rune('a'+i%26)) + string(rune(0x4e00+i/26)) }
	for i := range proxy.MaxSpenders {
		b.Settle(b.Take(name(i), 1, now), 100, true, now)
	}
	if b.Take("one more", 1, now) != nil {
		t.Error("a debt was forgotten to make room")
	}
	now = now.Add(time.Hour)
	if b.Take("one more", 1, now) == nil {
		t.Error("full budgets are not forgotten")
	}
	if n := b.Len(); n != 1 {
		t.Errorf("%d budgets are kept, want 1", n)
	}
}
