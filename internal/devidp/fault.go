package devidp

import (
	"net/http"
	"sync"
	"time"
)

// Endpoint names a place where a [Fault] can be injected.
type Endpoint string

// The endpoints that can be made to fail.
const (
	// EndpointKeys is the JWK set.
	EndpointKeys Endpoint = "keys"
	// EndpointToken is the token endpoint of all grants.
	EndpointToken Endpoint = "token"
	// EndpointManagedIdentity is the pretended host's identity endpoint.
	EndpointManagedIdentity Endpoint = "managed-identity"
)

// Fault is a misbehaviour. The zero Fault is none.
type Fault struct {
	// Delay is waited before the answer, or until the caller gives up.
	Delay time.Duration
	// Status, if not zero, replaces the answer by an error with this status.
	Status int
	// Malformed replaces the body by something that is not JSON.
	Malformed bool
	// Expired issues tokens that expired an hour ago (token and managed identity endpoints).
	Expired bool
	// Times is the number of requests the fault applies to; zero means until it is replaced.
	Times int
}

// faults holds what is injected where.
type faults struct {
	mu       sync.Mutex
	injected map[Endpoint]Fault
}

// Inject makes e misbehave from the next request on; the zero Fault heals it.
func (p *Provider) Inject(e Endpoint, f Fault) {
	p.faults.mu.Lock()
	defer p.faults.mu.Unlock()

	p.faults.injected[e] = f
}

// take returns the fault of the present request to e, and counts it.
func (f *faults) take(e Endpoint) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()

	fault := f.injected[e]

	switch fault.Times {
	case 0:
	case 1:
		delete(f.injected, e)
	default:
		remaining := fault
		remaining.Times--
		f.injected[e] = remaining
	}

	return fault
}

// misbehave acts out what is injected at e. It reports whether the request has been answered, and whether tokens are to be
// expired.
func (p *Provider) misbehave(w http.ResponseWriter, r *http.Request, e Endpoint) (bool, bool) {
	fault := p.faults.take(e)

	if fault.Delay > 0 {
		timer := time.NewTimer(fault.Delay)
		defer timer.Stop()

		select {
		case <-timer.C:
		case <-r.Context().Done():
			return true, false
		}
	}

	switch {
	case fault.Status != 0:
		http.Error(w, "injected fault", fault.Status)
	case fault.Malformed:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"access_token": `)) // nothing to tell a caller who has gone
	default:
		return false, fault.Expired
	}

	return true, false
}
