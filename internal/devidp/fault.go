package devidp

import "time"

// Endpoint names a place where a [Fault] can be injected.
type Endpoint string

// The endpoints that can be made to fail.
const (
	EndpointKeys            Endpoint = "keys"
	EndpointToken           Endpoint = "token"
	EndpointManagedIdentity Endpoint = "managed-identity"
)

// Fault is a misbehaviour. The zero Fault is none.
type Fault struct {
	// Delay is waited before the answer.
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

// Inject makes e misbehave from the next request on; the zero Fault heals it.
func (p *Provider) Inject(_ Endpoint, _ Fault) {}
