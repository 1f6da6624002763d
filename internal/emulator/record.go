package emulator

import (
	"net/http"
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
	Status    int
	Substatus int
	Charge    float64 // request units
	Activity  string
}

type recorder struct {
	mu       sync.Mutex
	requests []Request
}

// Requests returns a copy of what was received since the start or the last ResetRequests, oldest
// first; the newest 10,000 are kept.
func (e *Emulator) Requests() []Request { return nil }

// ResetRequests forgets the recorded requests.
func (e *Emulator) ResetRequests() {}
