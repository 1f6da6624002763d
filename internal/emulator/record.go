package emulator

import (
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Request is one recorded request, as it arrived.
type Request struct {
	Time      time.Time
	Method    string
	Host      string
	Path      string // escaped, with the query string if there was one
	Header    http.Header
	Body      []byte // at most 4 KiB of it
	Principal string // oid of the token, "master" for the account key, "" when refused
	Status    int    // 0 when it was never answered
	Substatus int
	Charge    float64 // request units
	Activity  string
}

// Bounds of what is recorded.
const (
	keptRequests = 2_000
	keptBody     = 4 << 10
)

type recorder struct {
	mu       sync.Mutex
	requests []Request
}

func (x *exchange) recorded(started time.Time, answer *response) Request {
	substatus, err := strconv.Atoi(answer.header.Get(headerSubstatus))
	if err != nil {
		substatus = 0
	}
	return Request{
		Time: started, Method: x.request.Method, Host: x.request.Host, Path: x.request.URL.RequestURI(),
		Header: x.request.Header.Clone(), Body: slices.Clone(x.body[:min(len(x.body), keptBody)]),
		Principal: x.principal, Status: answer.status, Substatus: substatus, Charge: answer.charge, Activity: x.activity,
	}
}

func (r *recorder) add(one Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.requests) >= 2*keptRequests {
		r.requests = slices.Clone(r.requests[len(r.requests)-keptRequests:])
	}
	r.requests = append(r.requests, one)
}

// Requests returns a copy of what was received since the start or the last ResetRequests, oldest
// first; the newest 2,000 are kept.
func (e *Emulator) Requests() []Request {
	e.recorder.mu.Lock()
	defer e.recorder.mu.Unlock()
	return slices.Clone(e.recorder.requests[max(0, len(e.recorder.requests)-keptRequests):])
}

// ResetRequests forgets the recorded requests.
func (e *Emulator) ResetRequests() {
	e.recorder.mu.Lock()
	defer e.recorder.mu.Unlock()
	e.recorder.requests = nil
}
