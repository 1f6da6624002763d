package control

import (
	"errors"
	"net/http"
)

// Error is why an act was not done. It travels from the gate to the command, which shows Message and, as the next step, Hint.
type Error struct {
	// Status is the HTTP status; 0 if no gate answered.
	Status int `json:"status"`
	// Reason is for programs and the record: lower case with underscores.
	Reason string `json:"reason"`
	// Message says what is wrong, for a person.
	Message string `json:"message"`
	// Hint says what to do next.
	Hint string `json:"hint,omitempty"`
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Invalid refuses what was asked because it makes no sense as it stands.
func Invalid(message, hint string) error {
	return &Error{Status: http.StatusBadRequest, Reason: "invalid", Message: message, Hint: hint}
}

// NotFound refuses an act on something that does not exist.
func NotFound(message, hint string) error {
	return &Error{Status: http.StatusNotFound, Reason: "not_found", Message: message, Hint: hint}
}

// Conflict refuses an act that the present state does not admit.
func Conflict(message, hint string) error {
	return &Error{Status: http.StatusConflict, Reason: "conflict", Message: message, Hint: hint}
}

// Unavailable says that the gate could not act, through no fault of the operator.
func Unavailable(message, hint string) error {
	return &Error{Status: http.StatusServiceUnavailable, Reason: "unavailable", Message: message, Hint: hint}
}

// Undecided is an error of an act that may have been done all the same.
type Undecided interface {
	error
	// OnSettled has f told once what came of it, or never. It must not wait.
	OnSettled(f func(done bool))
}

// The reasons in such an act's records: nobody knows yet, and it was not done.
const (
	ReasonUnknown  = "unknown_outcome"
	ReasonNoEffect = "no_effect"
)

// asError finds the *Error in err; anything else is a fault of the gate's own. The operator may read it: the socket is theirs.
func asError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if _, open := errors.AsType[Undecided](err); open {
		return &Error{
			Status: http.StatusServiceUnavailable, Reason: ReasonUnknown, Message: err.Error(),
			Hint: "look whether it was done; the audit record tells as soon as the gate knows",
		}
	}
	return &Error{Status: http.StatusInternalServerError, Reason: "internal", Message: err.Error(), Hint: "see the gate's log"}
}
