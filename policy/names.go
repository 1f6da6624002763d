package policy

import (
	"fmt"
	"strings"
)

// GroupNamed returns the group that `group: text` in a policy means: by its
// directory id if text is shaped like a UUIDv7, else by its external id.
func GroupNamed(text string) Group {
	if ref := groupReference(text); ref.kind == groupIDReference {
		return Group{ID: ref.text}
	}
	return Group{ExternalID: text}
}

// ParseResource reads `account`, `account/database` or
// `account/database/container`. A `*` is taken for a name.
func ParseResource(text string) (Resource, error) {
	parts := strings.Split(text, "/")
	const most = 3
	if len(parts) > most {
		return Resource{}, fmt.Errorf("%w: %q has %d parts", errThreeSegments, text, len(parts))
	}
	for _, p := range parts {
		if p == wildcard {
			continue
		}
		if err := checkSegment(p); err != nil {
			return Resource{}, fmt.Errorf("resource %q: %w", text, err)
		}
	}
	parts = append(parts, "", "")
	return Resource{Account: parts[0], Database: parts[1], Container: parts[2]}, nil
}

// Files lists the files that [Load] reads of a path.
func Files(path string) ([]string, error) { return filesUnder(path) }
