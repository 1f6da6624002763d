package scim

import (
	"net/http"
	"strings"
)

// advice says what an administrator can do about a refusal.
func advice(e *Error) string {
	switch e.Status {
	case http.StatusTooManyRequests:
		if strings.Contains(e.Detail, "under way") || strings.Contains(e.Detail, "memory") {
			return "have the provider send fewer, or smaller, requests at once"
		}
		return "slow the provider down, or raise rate of the connection in the configuration file"
	case http.StatusServiceUnavailable:
		if strings.HasPrefix(e.Detail, hungUp) {
			return "the provider, or a proxy before the gate, did not wait for the answer: raise its timeout"
		}
		return "the gate's directory takes no writes: see the gate's log and /readyz"
	case http.StatusRequestEntityTooLarge:
		return "have the provider send less at once"
	case http.StatusNotFound:
		if strings.HasPrefix(e.Detail, wrongBase) {
			return "correct the base URL that the provider was given: it is scim.public_url, scim/v2/ and the connection's name, with nothing behind it"
		}
		return "the provider addresses a record that this connection does not own: have it look for its records anew (restart provisioning)"
	case http.StatusPreconditionFailed:
		return "somebody changed the record in between: the provider reads it again by itself"
	case http.StatusUnsupportedMediaType:
		return "have the provider send application/scim+json or application/json"
	case http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return "the provider asks for something that this server does not offer: check the URL it was given"
	}
	return adviceByKind(e)
}

func adviceByKind(e *Error) string {
	switch e.Kind {
	case KindUniqueness:
		return "two records would share a userName, externalId or displayName: remove or rename one in the provider; " +
			"externalId must be the immutable id (objectId for Entra ID)"
	case KindInvalidSyntax:
		if strings.Contains(e.Detail, "unknown attribute") {
			return "take the attribute out of the provider's mapping, or declare it in scim.schemas of the configuration file"
		}
		if strings.Contains(e.Detail, "not accepted") || strings.Contains(e.Detail, "needs a path") {
			return "this connection is strict and the provider is not: set strict to false"
		}
		return "the body is not SCIM as RFC 7644 writes it: see the shape"
	case KindInvalidValue:
		if strings.HasPrefix(e.Detail, "member ") {
			return "the member is not in this connection: assign the person or group in the provider first"
		}
		return "correct the value's type in the provider's mapping"
	case KindInvalidFilter:
		return "the filter names an attribute that does not exist, or compares it with a value of another type: correct the matching attribute in the provider"
	case KindTooMany:
		return "have the provider match people by userName, externalId or emails, and groups by displayName or externalId, which are indexed"
	case KindMutability:
		return "the attribute cannot be written: take it out of the provider's mapping"
	case KindNoTarget, KindInvalidPath:
		return "the path names nothing that can be changed: correct the target attribute in the provider's mapping"
	case KindSensitive:
		return "passwords are neither kept nor searched: take password out of the provider's mapping"
	case KindInvalidCursor, KindExpiredCursor, KindInvalidCount:
		return "the provider starts the list again by itself"
	default:
		return "see the detail and the shape"
	}
}
