package emulator

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Fault is a scripted misbehaviour. Faults are tried in the order they were injected; the first
// that matches a request and still has a turn left is spent on it, before authentication.
type Fault struct {
	// Method limits the fault to one HTTP method; empty matches all.
	Method string
	// PathPrefix limits the fault to escaped paths that start so; empty matches all.
	PathPrefix string
	// Host limits the fault to requests for one Host, such as one region's; empty matches all.
	Host string
	// Skip lets this many matching requests pass first.
	Skip int
	// Times is how many requests are hit; zero means one, negative means all.
	Times int
	// Delay holds the request back before anything else happens (slow).
	Delay time.Duration
	// Hang never answers: the request is held until the client gives up.
	Hang bool
	// Status, when not zero, answers with a native error of this status, such as 429, 503, 410,
	// 449, 408, 401 or 403, instead of doing the work.
	Status int
	// Substatus is the x-ms-substatus of that answer.
	Substatus int
	// RetryAfter is sent as x-ms-retry-after-ms with a 429 or 449.
	RetryAfter time.Duration
	// Reset breaks the connection before anything else happens, as a region does that is down.
	Reset bool
	// ResetAfter, when positive, does the work, sends at most this many bytes of the answer's body
	// and then breaks the connection.
	ResetAfter int
}

// Throttled is the fault of too many request units: 429/3200 for so many requests, each told when to come back.
func Throttled(times int, after time.Duration) Fault {
	const substatus = 3200
	return Fault{Status: http.StatusTooManyRequests, Substatus: substatus, RetryAfter: after, Times: times}
}

// TokenExpired is the fault of a token that has ended before its time: 401/5006 for so many requests.
func TokenExpired(times int) Fault {
	const substatus = 5006
	return Fault{Status: http.StatusUnauthorized, Substatus: substatus, Times: times}
}

// RegionDown is the fault of a location, named by its host[:port], whose connections all break until [Emulator.ClearFaults].
func RegionDown(host string) Fault { return Fault{Host: host, Reset: true, Times: -1} }

// JumpClock moves the account's clock, by less than zero to move it back: tokens end or are not valid yet, items reach the end of their lives.
func (e *Emulator) JumpClock(by time.Duration) { e.jump.Add(int64(by)) }

// clock is the configured clock and what it was moved by.
func (e *Emulator) clock() time.Time { return e.config.Clock().Add(time.Duration(e.jump.Load())) }

type faultQueue struct {
	mu     sync.Mutex
	queued []*Fault
}

// Inject queues a fault.
func (e *Emulator) Inject(fault Fault) {
	if fault.Times == 0 {
		fault.Times = 1
	}
	e.faults.mu.Lock()
	defer e.faults.mu.Unlock()
	e.faults.queued = append(e.faults.queued, &fault)
}

// ClearFaults forgets every queued fault.
func (e *Emulator) ClearFaults() {
	e.faults.mu.Lock()
	defer e.faults.mu.Unlock()
	e.faults.queued = nil
}

// take spends a turn of the first fault that matches.
func (q *faultQueue) take(r *http.Request) (Fault, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, one := range q.queued {
		if one.Times == 0 || !one.matches(r) {
			continue
		}
		if one.Skip > 0 {
			one.Skip--
			continue
		}
		if one.Times > 0 {
			one.Times--
		}
		return *one, true
	}
	return Fault{}, false
}

func (f *Fault) matches(r *http.Request) bool {
	return (f.Method == "" || f.Method == r.Method) && (f.Host == "" || f.Host == r.Host) &&
		strings.HasPrefix(r.URL.EscapedPath(), f.PathPrefix)
}

// wait holds the request as long as the fault says and reports whether it is to be answered.
func (f *Fault) wait(ctx context.Context) bool {
	if f.Reset {
		return false
	}
	if f.Hang {
		<-ctx.Done()
		return false
	}
	if f.Delay <= 0 {
		return true
	}
	timer := time.NewTimer(f.Delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// failure is the native error of a fault that has a status.
func (f *Fault) failure() *failure {
	message := "The request failed because a fault was injected."
	if f.Status == http.StatusTooManyRequests {
		message = `Message: {"Errors":["Request rate is large. More Request Units may be needed, so no changes were made. Please retry this request later. Learn more: http://aka.ms/cosmosdb-error-429"]}`
	}
	return &failure{status: f.Status, substatus: f.Substatus, message: message, retryAfter: f.RetryAfter}
}
