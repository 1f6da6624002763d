package cosmos

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// FilterResponse copies from src to dst what a caller may see of an upstream response. Challenges, cookies, the names of
// the account and of its servers stay behind, and so does whatever Connection names.
func FilterResponse(dst, src http.Header) {
	named := src["Connection"]

	for name, values := range src {
		if !passes(name) || nominated(named, name) {
			continue
		}

		dst[name] = values
	}
}

// passes is the allow-list of response headers.
func passes(name string) bool {
	if strings.HasPrefix(name, "X-Ms-") {
		return true
	}

	switch name {
	case "Etag", "Lsn", "Content-Type", "Content-Length", "Content-Encoding", "Cache-Control", "Pragma", "Date", "Vary",
		"Retry-After", "Collection-Partition-Index", "Collection-Service-Index":
		return true
	default:
		return false
	}
}

func nominated(connection []string, name string) bool {
	for _, value := range connection {
		for option := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(option), name) {
				return true
			}
		}
	}

	return false
}

// The substatus that send SDKs to another region, for good: the one published location is the gate itself.
const (
	substatusWriteForbidden  = 3
	substatusAccountNotFound = 1008
)

// CheckResponse returns nil if an upstream response may go to the caller, else the error to send in its place. A refusal
// of the gate's own identity (401, 403/53xx), a wrong region (403/3, 403/1008), a redirect or a page of HTML is the
// gate's fault: 503. Other errors that are not JSON keep their status in native form. The reason says what it was.
func CheckResponse(status int, h http.Header) *Error {
	substatus := 0
	if sent := h["X-Ms-Substatus"]; len(sent) > 0 { // Atoi("") would make an error for every success
		substatus, _ = strconv.Atoi(sent[0])
	}

	switch {
	case status == http.StatusNotModified:
		return nil
	case status < http.StatusOK, status >= http.StatusMultipleChoices && status < http.StatusBadRequest:
		return Unavailable("upstream redirected or switched protocols")
	case status < http.StatusMultipleChoices:
		if strings.HasPrefix(lowerASCII(h.Get("Content-Type")), "text/html") {
			return Unavailable("upstream answered with a page of HTML")
		}

		return nil
	case status == http.StatusUnauthorized, status == http.StatusProxyAuthRequired:
		return Unavailable("upstream refused the gate's credential: " + statusText(status, substatus))
	case status == http.StatusForbidden && isIdentityRefusal(substatus):
		return Unavailable("upstream refused the gate's identity: " + statusText(status, substatus))
	case status == http.StatusForbidden && (substatus == substatusWriteForbidden || substatus == substatusAccountNotFound):
		return Unavailable("upstream region is wrong: " + statusText(status, substatus))
	case !isJSON(h), status == http.StatusTooManyRequests && h.Get("X-Ms-Retry-After-Ms") == "":
		return renative(status, substatus, h)
	default:
		return nil
	}
}

func statusText(status, substatus int) string {
	return strconv.Itoa(status) + "/" + strconv.Itoa(substatus)
}

func isIdentityRefusal(substatus int) bool {
	const first, last = 5300, 5399

	return first <= substatus && substatus <= last
}

func isJSON(h http.Header) bool {
	return parseMedia(h.Get("Content-Type")) == mediaJSON
}

// renative puts an error of upstream that SDKs cannot read into the native form.
func renative(status, substatus int, h http.Header) *Error {
	wait := time.Duration(0)
	if ms, err := strconv.ParseInt(h.Get("X-Ms-Retry-After-Ms"), 10, 32); err == nil {
		wait = time.Duration(ms) * time.Millisecond
	}

	if status == http.StatusTooManyRequests {
		e := Throttled(wait, "upstream throttled without a JSON body or a time to come back")
		e.Substatus = substatus

		return e
	}

	return &Error{
		Status: status, Substatus: substatus, Code: nativeCode(status),
		Message: "The service answered " + strconv.Itoa(status) + ".",
		Reason:  "upstream error was not JSON",
	}
}

// nativeCode is the service's word for a status.
func nativeCode(status int) string {
	switch status {
	case http.StatusBadRequest:
		return codeBadRequest
	case http.StatusForbidden:
		return codeForbidden
	case http.StatusNotFound:
		return codeNotFound
	case http.StatusRequestTimeout:
		return codeTimeout
	case http.StatusConflict:
		return "Conflict"
	case http.StatusGone:
		return "Gone"
	case http.StatusPreconditionFailed:
		return "PreconditionFailed"
	case http.StatusRequestEntityTooLarge:
		return codeTooLarge
	case http.StatusServiceUnavailable:
		return codeUnavailable
	case http.StatusInternalServerError:
		return codeInternal
	default:
		return strconv.Itoa(status)
	}
}
