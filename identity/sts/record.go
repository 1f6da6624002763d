package sts

import (
	"time"

	"github.com/cosmosgate/cosmosgate/identity"
)

// Recorder takes down every issuance, revocation and refusal. Nothing is issued that can't be recorded.
type Recorder interface {
	// Reserve makes room for one event, and returns what commits it. An error means that there is none.
	Reserve() (func(Event), error)
}

// Event is what happened at an endpoint.
type Event struct {
	// Time is when the request arrived, ID names the record.
	Time time.Time
	ID   string
	// Operation is "issueToken", "revokeToken" or "inspectToken".
	Operation string
	// Grant is the grant type.
	Grant string
	// Client is who proved itself, Method how: private_key_jwt, workload, mtls, secret; empty if nobody did.
	Client identity.Client
	Method string
	// Subject is whose token was shown, or who was refused; its zero value if nobody is known.
	Subject identity.Principal
	// Actors act for them with the token that was issued, outermost first.
	Actors []identity.Actor
	// Issued describes the token that was issued, revoked or inspected.
	Issued Issued
	// Status is what was answered; Code and Reason say why it was refused, empty if it was not. Unavailable says that the gate is at fault.
	Status       int
	Code, Reason string
	Unavailable  bool
	// Source is the caller's address, UserAgent what it calls itself.
	Source, UserAgent string
	// Duration is how long it took.
	Duration time.Duration
}

// Issued describes a token; it holds nothing that could be used again.
type Issued struct {
	// TokenID is its jti, KeyID the kid that signed it.
	TokenID, KeyID string
	// Audience and Scope are what it is for.
	Audience, Scope string
	// Expires is its exp.
	Expires time.Time
	// Confirm is the key that it is bound to.
	Confirm identity.Confirmation
}
