package cosmos

import "strings"

// mediaType is the content of a body as far as it matters.
type mediaType uint8

const (
	mediaNone mediaType = iota
	mediaJSON
	mediaQuery
	mediaPatch
	mediaBinary
	mediaOther
)

// parseMedia reads Content-Type. A charset other than UTF-8 would make an inspected body mean something else upstream.
func parseMedia(value string) mediaType {
	if equalASCII(value, contentTypeQuery) {
		return mediaQuery
	}

	kind, parameters, _ := strings.Cut(value, ";")
	kind, parameters = strings.TrimSpace(kind), strings.TrimSpace(parameters)

	if parameters != "" && !equalASCII(parameters, "charset=utf-8") && !equalASCII(parameters, `charset="utf-8"`) {
		return mediaOther
	}

	switch lowerASCII(kind) {
	case "":
		return mediaNone
	case contentTypeJSON:
		return mediaJSON
	case contentTypePatch, "application/json-patch+json":
		return mediaPatch
	case contentTypeBinary:
		return mediaBinary
	default:
		return mediaOther
	}
}

// The content types that are sent.
const (
	contentTypeJSON   = "application/json"
	contentTypeQuery  = "application/query+json"
	contentTypePatch  = "application/json_patch+json"
	contentTypeBinary = "application/octet-stream"
)
