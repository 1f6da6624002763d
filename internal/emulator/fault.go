package emulator

import (
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
	// ResetAfter, when positive, does the work, sends this many bytes of the answer's body and
	// then breaks the connection.
	ResetAfter int
}

type faultQueue struct {
	mu     sync.Mutex
	queued []*Fault
}

// Inject queues a fault.
func (e *Emulator) Inject(_ Fault) {}

// ClearFaults forgets every queued fault.
func (e *Emulator) ClearFaults() {}
