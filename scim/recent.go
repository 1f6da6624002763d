package scim

import (
	"slices"
	"time"
)

// maxRecent is how many durations are remembered.
const maxRecent = 512

// recent remembers the last durations of something.
type recent struct {
	last []time.Duration
	next int // where the next one goes, once there are maxRecent
}

func (r *recent) note(d time.Duration) {
	if len(r.last) < maxRecent {
		r.last = append(r.last, d)
		return
	}
	r.last[r.next] = d
	r.next = (r.next + 1) % maxRecent
}

// Latency is how long something took of late.
type Latency struct {
	// Of is how many times it is about; the other fields are zero without any.
	Of int `json:"of"`
	// P50 and P99 are in seconds.
	P50 float64 `json:"p50_seconds"`
	P99 float64 `json:"p99_seconds"`
}

// LatencyOf sums up durations.
func LatencyOf(durations []time.Duration) Latency {
	const half, most = 50, 99
	sorted := slices.Sorted(slices.Values(durations))
	at := func(percent int) float64 {
		if len(sorted) == 0 {
			return 0
		}
		return sorted[(len(sorted)-1)*percent/100].Seconds()
	}
	return Latency{Of: len(sorted), P50: at(half), P99: at(most)}
}
