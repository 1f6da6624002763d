package sts

import (
	"errors"
	"net/http"

	"github.com/cosmosgate/cosmosgate/identity"
)

// The errors of RFC 6749 section 5.2, RFC 8707, RFC 9396 and RFC 9449.
const (
	codeInvalidRequest = "invalid_request"
	codeInvalidClient  = "invalid_client"
	codeInvalidGrant   = "invalid_grant"
	codeUnauthorized   = "unauthorized_client"
	codeUnsupported    = "unsupported_grant_type"
	codeInvalidScope   = "invalid_scope"
	codeInvalidTarget  = "invalid_target"
	codeInvalidDetails = "invalid_authorization_details"
	codeInvalidProof   = "invalid_dpop_proof"
	codeUseNonce       = "use_dpop_nonce"
	codeAccessDenied   = "access_denied"
	codeSlowDown       = "slow_down"
	codeUnavailable    = "temporarily_unavailable"
)

// Error is a refusal, as the caller and the record are told.
type Error struct {
	// Status is the HTTP status, Code the OAuth error.
	Status int
	Code   string
	// Description is for the caller: constant, free of what a token said.
	Description string
	// Reason says more, for the record; never for the caller.
	Reason string

	nonce     string             // DPoP-Nonce
	challenge bool               // WWW-Authenticate
	who       identity.Principal // whose genuine token was refused
}

// Error returns code, description and reason.
func (e *Error) Error() string {
	text := e.Code + ": " + e.Description
	if e.Reason != "" {
		text += ": " + e.Reason
	}

	return text
}

func refuse(code, description string) *Error {
	return &Error{Status: http.StatusBadRequest, Code: code, Description: description}
}

func invalidClient(description string) *Error {
	return &Error{Status: http.StatusUnauthorized, Code: codeInvalidClient, Description: description}
}

func unavailable(err error) *Error {
	return &Error{
		Status: http.StatusServiceUnavailable, Code: codeUnavailable, Description: "the gate can't do this now; try again", Reason: err.Error(),
	}
}

// faultOf turns what identity says about a token into an error under a code. The gate's own trouble stays its own.
func faultOf(err error, code, what string) *Error {
	var refusal *identity.Error
	if !errors.As(err, &refusal) || refusal.Unavailable {
		return unavailable(err)
	}

	e := refuse(code, what+" is not acceptable")
	e.Reason = err.Error()

	if code == codeInvalidClient {
		e.Status = http.StatusUnauthorized
	}

	if refusal.Refused != nil {
		e.who = *refusal.Refused
	}

	switch refusal.Substatus {
	case identity.SubstatusMalformed:
		e.Description = what + " is not a signed token in compact form"
	case identity.SubstatusExpired:
		e.Description = what + " is expired, or not valid yet, or valid for too long"
	case identity.SubstatusAudience:
		e.Description = what + " is meant for another audience"
	case identity.SubstatusRevoked:
		e.Description = what + " stands for somebody who has no access (any more)"
	}

	return e
}

// asError makes every error one of ours.
func asError(err error) *Error {
	if ours, ok := errors.AsType[*Error](err); ok {
		return ours
	}

	return unavailable(err)
}
