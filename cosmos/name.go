package cosmos

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// The limits of the service on names, in bytes.
const (
	maxNameLength   = 255
	maxItemIDLength = 1023
)

// decodeSegment decodes a segment once and refuses what no name can be.
func decodeSegment(segment string, limit int) (string, *Error) {
	value := segment

	if strings.IndexByte(segment, '%') >= 0 {
		var ok bool
		if value, ok = unescapeOnce(segment); !ok {
			return "", Malformed("the path is badly percent-encoded")
		}
	}

	if len(value) > limit {
		return "", Malformed("a name in the path is too long")
	}

	ascii := true

	for i := range len(value) {
		c := value[i]
		if c < ' ' || c == 0x7f {
			return "", Malformed("the path holds a control character")
		}

		ascii = ascii && c < utf8.RuneSelf
	}

	if !ascii && !utf8.ValidString(value) {
		return "", Malformed("the path is not valid UTF-8")
	}

	return value, nil
}

// decodeName decodes the name of a database, container or script. The service unescapes a path as a whole, so a name
// must not hold what could end it, before or after another decoding; nor white space or dots that a server may trim.
func decodeName(segment string) (string, *Error) {
	name, err := decodeSegment(segment, maxNameLength)
	if err != nil {
		return "", err
	}

	for i := range len(name) {
		switch name[i] {
		case '/', '\\', '?', '#':
			return "", Malformed("a name in the path holds a character that names cannot have")
		case '%':
			if _, escaped := percentByte(name[i:]); escaped {
				return "", Malformed("a name in the path is encoded twice")
			}
		}
	}

	if strings.HasSuffix(name, ".") || strings.TrimFunc(name, unicode.IsSpace) != name {
		return "", Malformed("a name in the path begins or ends with white space or ends with a dot")
	}

	return name, nil
}

// decodeItemID decodes the id of an item, which may hold any printable character, but must not look like a relative path,
// before or after another decoding.
func decodeItemID(segment string) (string, *Error) {
	id, err := decodeSegment(segment, maxItemIDLength)
	if err != nil {
		return "", err
	}

	if hasDotSegment(id, true) {
		return "", errDotSegments()
	}

	if strings.IndexByte(id, '%') < 0 {
		return id, nil
	}

	again, ok := unescapeOnce(id)
	if ok && hasDotSegment(again, false) {
		return "", errDotSegments()
	}

	return id, nil
}

// hasDotSegment says whether a part of the id between slashes or backslashes is "." or "..", or empty where that counts.
func hasDotSegment(id string, refuseEmpty bool) bool {
	for rest, more := id, true; more; {
		end := strings.IndexAny(rest, `/\`)
		part := rest

		if more = end >= 0; more {
			part, rest = rest[:end], rest[end+1:]
		}

		if part == "." || part == ".." || part == "" && refuseEmpty {
			return true
		}
	}

	return false
}
