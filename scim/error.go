package scim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/cosmosgate/cosmosgate/directory"
)

// Kind is a scimType of RFC 7644 §3.12 and RFC 9865 §2.1.
type Kind string

// The error kinds that this server answers.
const (
	KindInvalidFilter Kind = "invalidFilter"
	KindTooMany       Kind = "tooMany"
	KindUniqueness    Kind = "uniqueness"
	KindMutability    Kind = "mutability"
	KindInvalidSyntax Kind = "invalidSyntax"
	KindInvalidPath   Kind = "invalidPath"
	KindNoTarget      Kind = "noTarget"
	KindInvalidValue  Kind = "invalidValue"
	KindSensitive     Kind = "sensitive"
	KindInvalidCursor Kind = "invalidCursor"
	KindExpiredCursor Kind = "expiredCursor"
	KindInvalidCount  Kind = "invalidCount"
)

// Error is a refusal in the words of RFC 7644 §3.12.
type Error struct {
	// Status is the HTTP status.
	Status int
	// Kind is the scimType, empty where the RFC names none.
	Kind Kind
	// Detail is for the person who runs the identity provider; it repeats
	// nothing that the request didn't hold.
	Detail string

	wait          time.Duration // until it may be sent again, zero for never
	unknownMember bool
}

// Error implements error.
func (e *Error) Error() string {
	if e.Kind == "" {
		return e.Detail
	}
	return string(e.Kind) + ": " + e.Detail
}

// refusal makes a 400 of a kind.
func refusal(kind Kind, format string, arguments ...any) *Error {
	return &Error{Status: http.StatusBadRequest, Kind: kind, Detail: fmt.Sprintf(format, arguments...)}
}

func notFound() *Error {
	return &Error{Status: http.StatusNotFound, Detail: "resource not found"}
}

// noEndpoint is the 404 of a path below which nothing ever is: whoever configured the provider mistyped its base URL.
func noEndpoint() *Error {
	return &Error{Status: http.StatusNotFound, Detail: wrongBase + ": records are at /scim/v2/CONNECTION/Users and …/Groups"}
}

const wrongBase = "no such connection or endpoint"

// hungUp begins what is noted of a request whose client did not wait; it is there for the status, and nobody reads it as an answer.
const hungUp = "the request ended before"

// errorBody is the resource of RFC 7644 §3.12; status is a string there.
type errorBody struct {
	Schemas []string `json:"schemas"`
	Status  string   `json:"status"`
	Kind    Kind     `json:"scimType,omitempty"`
	Detail  string   `json:"detail,omitempty"`
}

// body returns the error as a resource.
func (e *Error) body() errorBody {
	return errorBody{Schemas: []string{urnError}, Status: strconv.Itoa(e.Status), Kind: e.Kind, Detail: e.Detail}
}

// write sends the error.
func (e *Error) write(w http.ResponseWriter) {
	body, err := json.Marshal(e.body())
	if err != nil {
		body = []byte(`{"schemas":["` + urnError + `"],"status":"500"}`)
	}
	w.Header().Set("Content-Type", mediaType)
	if e.wait > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(int64(math.Ceil(e.wait.Seconds())), 10))
	}
	w.WriteHeader(e.Status)
	_, _ = w.Write(body) // a client that went away needs no answer
}

// explain is the only translation of the directory's errors into SCIM's.
func explain(err error) *Error {
	var (
		given    *Error
		conflict *directory.ConflictError
		unknown  *directory.UnknownMemberError
	)
	switch {
	case errors.As(err, &given):
		return given
	case errors.As(err, &conflict):
		return &Error{
			Status: http.StatusConflict, Kind: KindUniqueness,
			Detail: fmt.Sprintf("another resource has this %s", conflict.Attribute),
		}
	case errors.As(err, &unknown):
		e := refusal(KindInvalidValue, "member %q does not exist", clip(unknown.Member))
		e.unknownMember = true
		return e
	case errors.Is(err, context.Canceled):
		return &Error{Status: http.StatusServiceUnavailable, Detail: hungUp + " it was answered"}
	case errors.Is(err, directory.ErrNotFound):
		return notFound()
	case errors.Is(err, directory.ErrLimit):
		return &Error{Status: http.StatusRequestEntityTooLarge, Detail: "the change is larger than the directory can log at once; make it in parts"}
	case errors.Is(err, directory.ErrNesting):
		return refusal(KindInvalidValue, "groups are nested too much: more than 500 would be above one")
	case errors.Is(err, directory.ErrLocked):
		return refusal(KindMutability, "externalId of somebody who is locked can't be changed: too many locks wait already (cosmosgate locks)")
	case errors.Is(err, directory.ErrRevision):
		return &Error{Status: http.StatusPreconditionFailed, Detail: "resource has changed"}
	default:
		return &Error{Status: http.StatusServiceUnavailable, Detail: "directory can't write; try again later"}
	}
}
