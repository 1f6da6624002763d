package cosmos

import (
	"net/http"
	"strconv"
	"strings"
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
	// Nonce, if set, is the server nonce that the next DPoP proof must carry (RFC 9449 section 8).
	Nonce string
}

// Error returns the status, the substatus and the reason, for the log.
func (e *Error) Error() string {
	text := strconv.Itoa(e.Status) + "/" + strconv.Itoa(e.Substatus)

	switch {
	case e.Reason != "":
		return text + ": " + e.Reason
	case e.Message != "":
		return text + ": " + e.Message
	default:
		return text
	}
}

// Write sends the error as JSON with every header that the SDKs rely on. The caller must not have written anything. The
// zero Error is sent as a 500.
func (e *Error) Write(w http.ResponseWriter, activityID string) { e.WriteWithin(w, activityID, 0) }

// WriteWithin does as Write where the body may have no more than room bytes, which must be enough for the code and a word or two: the activity
// id is then in its header only, and the message is cut. Room 0 means that there is no bound.
func (e *Error) WriteWithin(w http.ResponseWriter, activityID string, room int) {
	status := e.Status
	if status < http.StatusBadRequest {
		status = http.StatusInternalServerError
	}

	body := e.body(activityID)
	if room > 0 && len(body) > room {
		body = e.brief(room)
	}

	h := w.Header()
	h.Set("Content-Type", "application/json")
	// .NET reads an error body only if its length is announced (GatewayStoreClient.cs).
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Ms-Activity-Id", activityID)
	h.Set("X-Ms-Request-Charge", "0")
	h.Set("X-Ms-Substatus", strconv.Itoa(e.Substatus))

	if e.RetryAfter > 0 || status == http.StatusTooManyRequests {
		e.writeRetryAfter(h)
	}

	if e.Nonce != "" {
		h.Set("Dpop-Nonce", e.Nonce)
		h.Set("Www-Authenticate", `DPoP error="use_dpop_nonce"`)
	}

	w.WriteHeader(status)
	// A caller that went away is seen by whoever counts what was written.
	_, _ = w.Write(body)
}

// brief is a body of at most room bytes.
func (e *Error) brief(room int) []byte {
	frame := len(`{"code":"","message":""}`) + len(e.Code)
	message := e.Message[:min(len(e.Message), max(room-frame, 0))]

	return []byte(`{"code":"` + e.Code + `","message":"` + strings.TrimRight(message, " ,") + `"}`)
}

// writeRetryAfter never announces zero: JavaScript would come back at once, nine times.
func (e *Error) writeRetryAfter(h http.Header) {
	wait := max(e.RetryAfter, time.Millisecond)
	seconds := (wait + time.Second - 1) / time.Second

	h.Set("X-Ms-Retry-After-Ms", strconv.FormatInt(wait.Milliseconds(), 10))
	h.Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
}

// body is {"code":…,"message":…}. JavaScript throws a SyntaxError without a message, and tools look for the activity id.
func (e *Error) body(activityID string) []byte {
	code, message := e.Code, e.Message
	if code == "" {
		code = codeInternal
	}

	if message == "" {
		message = "The request could not be served."
	}

	const frame = 64

	body := make([]byte, 0, frame+len(code)+len(message)+len(activityID))
	body = append(body, `{"code":`...)
	body = appendJSONString(body, code)
	body = append(body, `,"message":`...)
	body = appendJSONString(body, strings.ToValidUTF8(message, "?")+"\r\nActivityId: "+activityID+", cosmosgate")

	return append(body, '}')
}

// The codes of error bodies.
const (
	codeBadRequest   = "BadRequest"
	codeUnauthorized = "Unauthorized"
	codeForbidden    = "Forbidden"
	codeNotFound     = "NotFound"
	codeTimeout      = "RequestTimeout"
	codeTooLarge     = "RequestEntityTooLarge"
	codeThrottled    = "TooManyRequests"
	codeInternal     = "InternalServerError"
	codeUnavailable  = "ServiceUnavailable"
)

// MissingCredential is 401/5000: the request has no Authorization header.
func MissingCredential() *Error {
	const substatus = 5000

	return &Error{
		Status: http.StatusUnauthorized, Substatus: substatus, Code: codeUnauthorized,
		Message: "Required Header authorization is missing. Ensure a valid Authorization token is passed.",
		Reason:  "no credential",
	}
}

// MalformedCredential is 401/5001: the Authorization header cannot be read, or not in one way only.
func MalformedCredential(reason string) *Error {
	const substatus = 5001

	return &Error{
		Status: http.StatusUnauthorized, Substatus: substatus, Code: codeUnauthorized,
		Message: "The authorization header is not in a form this account accepts: " +
			"expected 'type=aad&ver=1.0&sig=<token>'.",
		Reason: reason,
	}
}

// The substatus of a 401 that [InvalidCredential] takes.
const (
	SubstatusSignature = 5004
	SubstatusExpired   = 5006
	SubstatusIssuer    = 5007
	SubstatusAudience  = 5008
	SubstatusScope     = 5009
	SubstatusRevoked   = 5013
)

// InvalidCredential is 401 with one of the substatus above; any other becomes 5004. The text is constant per substatus:
// why a credential failed is in the reason, for the record only.
func InvalidCredential(substatus int, reason string) *Error {
	e := &Error{Status: http.StatusUnauthorized, Substatus: substatus, Code: codeUnauthorized, Reason: reason}

	switch substatus {
	case SubstatusExpired:
		e.Message = "The access token has expired."
	case SubstatusIssuer:
		e.Message = "The access token was not issued by an issuer this account trusts."
	case SubstatusAudience:
		e.Message = "The access token was issued for another audience. Request the scope of this gateway: set " +
			"AZURE_COSMOS_AAD_SCOPE_OVERRIDE (.NET, Java, Python), aadScope (JavaScript) or " +
			"Cloud.Services[azcosmos.ServiceName].Audience (Go)."
	case SubstatusScope:
		e.Message = "The access token lacks the scope that this account requires."
	case SubstatusRevoked:
		e.Message = "The access token has been revoked."
	default:
		e.Substatus = SubstatusSignature
		e.Message = "The access token is not valid."
	}

	return e
}

// KeysDisabled is 401/5202: the account takes no keys.
func KeysDisabled() *Error {
	const substatus = 5202

	return &Error{
		Status: http.StatusUnauthorized, Substatus: substatus, Code: codeUnauthorized,
		Message: "Local Authorization is disabled. Use an AAD token to authorize all requests.",
		Reason:  "key presented, keys are disabled",
	}
}

// Malformed is 400: the request cannot be read, or not in one way only. The reason is sent, so it must not quote the
// caller.
func Malformed(reason string) *Error {
	return &Error{
		Status: http.StatusBadRequest, Code: codeBadRequest,
		Message: "The request is invalid: " + reason + ".",
		Reason:  reason,
	}
}

// ContainerRecreated is 400/1024: the container is not the one that the caller meant.
func ContainerRecreated() *Error {
	const substatus = 1024

	return &Error{
		Status: http.StatusBadRequest, Substatus: substatus, Code: codeBadRequest,
		Message: "The collection resource id in the request does not match the one of the addressed collection.",
		Reason:  "intended container differs",
	}
}

// NotFound is 404 for what the gate does not have.
func NotFound() *Error {
	return &Error{
		Status: http.StatusNotFound, Code: codeNotFound,
		Message: "Message: {\"Errors\":[\"Resource Not Found.\"]}",
		Reason:  "no such resource at the gate",
	}
}

// OutcomeUnknown is 408: a write was sent and its answer was lost.
func OutcomeUnknown(reason string) *Error {
	return &Error{
		Status: http.StatusRequestTimeout, Code: codeTimeout,
		Message: "The request was sent but its outcome is unknown.",
		Reason:  reason,
	}
}

// TooLarge is 413: the body is larger than limit bytes.
func TooLarge(limit int64) *Error {
	return &Error{
		Status: http.StatusRequestEntityTooLarge, Code: codeTooLarge,
		Message: "Request size is too large: the limit is " + strconv.FormatInt(limit, 10) + " bytes.",
		Reason:  "body too large",
	}
}

// Throttled is 429/3200: the caller's budget or rate is used up. A retryAfter below one millisecond becomes one.
func Throttled(retryAfter time.Duration, reason string) *Error {
	const substatus = 3200

	return &Error{
		Status: http.StatusTooManyRequests, Substatus: substatus, Code: codeThrottled,
		Message: "The request rate is too large. Please retry after sometime.",
		Reason:  reason, RetryAfter: max(retryAfter, time.Millisecond),
	}
}

// Unavailable is 503: the fault is the gate's or the upstream's, not the caller's.
func Unavailable(reason string) *Error {
	return &Error{
		Status: http.StatusServiceUnavailable, Code: codeUnavailable,
		Message: "The service is currently unavailable, please retry after a while.",
		Reason:  reason,
	}
}

// Busy is 503 with a time to come back: the gate has as many requests in flight as it takes.
func Busy(retryAfter time.Duration) *Error {
	e := Unavailable("too many requests in flight")
	e.RetryAfter = max(retryAfter, time.Millisecond)

	return e
}

// Internal is 500: the gate failed in a way it did not foresee.
func Internal(reason string) *Error {
	return &Error{
		Status: http.StatusInternalServerError, Code: codeInternal,
		Message: "The gateway failed to serve the request.",
		Reason:  reason,
	}
}
