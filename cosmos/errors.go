package cosmos

import (
	"net/http"
	"time"
)

// Error is an answer in the service's native form, which SDKs parse.
type Error struct {
	// Status is the HTTP status, Substatus the value of x-ms-substatus.
	Status, Substatus int
	// Code and Message make the body. Message must hold nothing about the upstream or about why a token failed.
	Code, Message string
	// Reason is for the record and the log; it is never sent.
	Reason string
	// RetryAfter is sent with 429 and, where set, with 503.
	RetryAfter time.Duration
}

// Error returns the status and the reason, for the log.
func (e *Error) Error() string { return e.Code }

// Write sends the error as JSON with every header that the SDKs rely on. The caller must not have written anything.
func (e *Error) Write(w http.ResponseWriter, activityID string) {}

// MissingCredential is 401/5000: the request has no Authorization header.
func MissingCredential() *Error { return &Error{} }

// MalformedCredential is 401/5001: the Authorization header cannot be read, or not in one way only.
func MalformedCredential(reason string) *Error { return &Error{} }

// The substatus of a 401 that [InvalidCredential] takes.
const (
	SubstatusSignature = 5004
	SubstatusExpired   = 5006
	SubstatusIssuer    = 5007
	SubstatusAudience  = 5008
	SubstatusScope     = 5009
	SubstatusRevoked   = 5013
)

// InvalidCredential is 401 with one of the substatus above. The text is constant per substatus.
func InvalidCredential(substatus int, reason string) *Error { return &Error{} }

// KeysDisabled is 401/5202: the account takes no keys.
func KeysDisabled() *Error { return &Error{} }

// Denial is what a caller may know about a refusal by policy.
type Denial struct {
	// Account is the published account name and Principal the caller's own id.
	Account, Principal string
	// Missing are the actions no role granted; all of the operation's if empty.
	Missing Actions
	// Hint says how to get the grant, in one or two sentences; it is appended as it is.
	Hint string
}

// Denied is 403/5301 for metadata, 403/5302 for data by name and 403/5303 for data by RID, in the words that tools match.
func Denied(op *Operation, d Denial) *Error { return &Error{} }

// Unresolvable is 403/5304: the RIDs of the request name nothing the gate knows.
func Unresolvable(op *Operation) *Error { return &Error{} }

// Impossible is 403/5300: no Entra identity can do this in the data plane.
func Impossible(method, path string) *Error { return &Error{} }

// DirectMode is the 403 for /addresses, which tells users of .NET and Java to switch to gateway mode.
func DirectMode() *Error { return &Error{} }

// Unsupported is the 403/5302 for an operation that the gate never forwards although the service has it.
func Unsupported(operation string) *Error { return &Error{} }

// Malformed is 400: the request cannot be read, or not in one way only. The reason is sent: it must not quote the caller.
func Malformed(reason string) *Error { return &Error{Code: reason} }

// KeyMismatch is 400/1001: the partition key of the header is not that of the document or of the operation.
func KeyMismatch() *Error { return &Error{} }

// ContainerRecreated is 400/1024: the container is not the one that the caller meant.
func ContainerRecreated() *Error { return &Error{} }

// NotFound is 404 for what the gate does not have.
func NotFound() *Error { return &Error{} }

// OutcomeUnknown is 408: a write was sent and its answer was lost.
func OutcomeUnknown(reason string) *Error { return &Error{} }

// TooLarge is 413: the body is larger than limit bytes.
func TooLarge(limit int64) *Error { return &Error{} }

// HeadersTooLarge is 431 in the native form.
func HeadersTooLarge() *Error { return &Error{} }

// Throttled is 429/3200: the caller's budget or rate is used up. A retryAfter below one millisecond becomes one.
func Throttled(retryAfter time.Duration, reason string) *Error { return &Error{} }

// Unavailable is 503: the fault is the gate's or the upstream's, not the caller's.
func Unavailable(reason string) *Error { return &Error{} }

// Busy is 503 with a time to come back: the gate has as many requests in flight as it takes.
func Busy(retryAfter time.Duration) *Error { return &Error{} }

// Internal is 500: the gate failed in a way it did not foresee.
func Internal(reason string) *Error { return &Error{} }

// CheckResponse returns nil if an upstream response may go to the caller, else the error to send in its place: a refusal
// of the gate's own identity (401, 403/53xx) or a wrong region (403/3, 403/1008) is 503, a redirect or a reply that is
// not JSON is 502-free native JSON too.
func CheckResponse(status int, h http.Header) *Error { return nil }
