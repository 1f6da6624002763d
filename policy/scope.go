package policy

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// wildcard stands for every name of a segment.
const wildcard = "*"

// maxSegment is the longest name of an account, database or container that
// Cosmos DB accepts, in bytes.
const maxSegment = 255

// scope is a set of resources: three segments, each a name or the wildcard. For
// what lies above containers, container (and database) is empty.
type scope struct {
	account, database, container string
}

var errThreeSegments = errors.New("a resource is account/database/container")

// parseScope parses `account/database/container`, `*` allowed per segment.
func parseScope(text string) (scope, error) {
	parts := strings.Split(text, "/")
	if len(parts) != 3 {
		return scope{}, fmt.Errorf("%w: %q has %d part(s) (%s)", errThreeSegments, text, len(parts), completeScope(parts))
	}
	for _, p := range parts {
		if p == wildcard {
			continue
		}
		if err := checkSegment(p); err != nil {
			return scope{}, fmt.Errorf("resource %q: %w", text, err)
		}
	}
	return scope{parts[0], parts[1], parts[2]}, nil
}

// completeScope suggests what somebody meant who wrote too few or many parts.
func completeScope(parts []string) string {
	switch len(parts) {
	case 1:
		return fmt.Sprintf("write %q for every container of the account", parts[0]+"/*/*")
	case 2:
		return fmt.Sprintf("write %q for every container of the database", parts[0]+"/"+parts[1]+"/*")
	default:
		return "names have no slash"
	}
}

var (
	errEmptySegment   = errors.New("a part is empty (write * for every name)")
	errPartialSegment = errors.New("* must stand for a whole part")
	errLongSegment    = errors.New("a part is longer than 255 bytes")
	errBadSegment     = errors.New("a part holds a character that Cosmos DB does not allow in names")
)

func checkSegment(s string) error {
	switch {
	case s == "":
		return errEmptySegment
	case strings.Contains(s, wildcard):
		return errPartialSegment
	case len(s) > maxSegment:
		return errLongSegment
	case !plainText(s) || strings.ContainsAny(s, `/\?#`):
		return errBadSegment
	default:
		return nil
	}
}

// plainText reports whether s is valid UTF-8 without control characters.
func plainText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// reaches reports whether the scope holds containers at or below r, so that r
// is worth listing to somebody who may use the scope.
func (s scope) reaches(r Resource) bool {
	return matches(s.account, r.Account) &&
		(r.Database == "" || matches(s.database, r.Database)) &&
		(r.Container == "" || matches(s.container, r.Container))
}

// swallows reports whether the scope holds every container at or below r.
func (s scope) swallows(r Resource) bool {
	return s.reaches(r) &&
		(r.Database != "" || s.database == wildcard) &&
		(r.Container != "" || s.container == wildcard)
}

func matches(segment, name string) bool {
	return segment == wildcard || segment == name
}

// breadth grows with how much the scope covers: 0 for one container, 7 for all.
func (s scope) breadth() int {
	const container, database, account = 1, 2, 4
	breadth := 0
	if s.container == wildcard {
		breadth += container
	}
	if s.database == wildcard {
		breadth += database
	}
	if s.account == wildcard {
		breadth += account
	}
	return breadth
}

func (s scope) String() string {
	return Resource{Account: s.account, Database: s.database, Container: s.container}.String()
}
