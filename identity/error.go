package identity

import (
	"errors"
	"strconv"
	"strings"
)

// The substatus codes an [Error] carries beside status 401 (cosmos-wire.md §8).
const (
	// SubstatusMissing: no credential.
	SubstatusMissing = 5000
	// SubstatusMalformed: not a compact signed token.
	SubstatusMalformed = 5001
	// SubstatusSignature: anything that failed before the signature was proven.
	SubstatusSignature = 5004
	// SubstatusExpired: outside its validity, or valid for longer than the issuer may grant.
	SubstatusExpired = 5006
	// SubstatusAudience: meant for another resource.
	SubstatusAudience = 5008
	// SubstatusScope: a genuine token of a kind, client or caller that is not accepted here.
	SubstatusScope = 5009
	// SubstatusRevoked: the caller is unknown to the directory, inactive or locked.
	SubstatusRevoked = 5013
	// SubstatusKeysDisabled: account keys are not accepted.
	SubstatusKeysDisabled = 5202
)

// ReasonNoRecord is the reason of a refusal of somebody whose token is genuine and whom the directory does not know.
const ReasonNoRecord = "no directory record is linked to the subject"

// Error is a refusal.
type Error struct {
	// Substatus is the native code for a 401; zero if Unavailable.
	Substatus int
	// Unavailable says that the gate could not decide (503): it has no keys of the issuer to check with.
	Unavailable bool
	// Hint is text made for the caller, constant and free of the token's content. Almost always empty.
	Hint string
	// Nonce is a server nonce that the next DPoP proof must carry (RFC 9449 section 8), if that was what was wrong.
	Nonce string
	// Reason says what was wrong, for the record and the log; never for the caller.
	Reason string
	// Refused is who the credential proved to be, where it was genuine and its owner is not let in. For the record only.
	Refused *Principal
	// Err is the cause, if there is one.
	Err error
	// passing refusals may be answered otherwise in a moment, so that they are not remembered.
	passing bool
}

// Error returns the reason and its cause.
func (e *Error) Error() string {
	text := "unavailable"
	if !e.Unavailable {
		text = "refused 401/" + strconv.Itoa(e.Substatus)
	}
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// refuse returns a refusal of the caller's credential.
func refuse(substatus int, reason string) *Error {
	return &Error{Substatus: substatus, Reason: reason}
}

// refuseBecause returns a refusal with its cause, which may quote the token and is clipped.
func refuseBecause(substatus int, reason string, err error) *Error {
	return &Error{Substatus: substatus, Reason: reason, Err: clip(err)}
}

// clip bounds the text of an error that may quote what somebody else sent: a record is no place for a megabyte of error page.
func clip(err error) error {
	const enough = 200

	text := err.Error()
	if len(text) <= enough {
		return err
	}

	return errors.New(strings.ToValidUTF8(text[:enough], "") + "…")
}

// refuseForNow returns a refusal that keys on their way, or a changed declaration, may lift at any moment.
func refuseForNow(substatus int, reason string) *Error {
	return &Error{Substatus: substatus, Reason: reason, passing: true}
}

// unavailable is the gate's own trouble: it can't check tokens of an issuer.
func unavailable(err error) *Error {
	return &Error{Unavailable: true, Reason: "issuer's keys are not available", Err: err, passing: true}
}

// CouldNotDecide reports whether the refusal is the gate's own trouble: nothing was found wrong.
func (e *Error) CouldNotDecide() bool { return e.Unavailable }
