package policy

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxCells bounds how many resources a survey tells apart.
const maxCells = 50_000

// ErrTooManyResources means that policies tell more resources apart than can
// be listed.
var ErrTooManyResources = errors.New("the policies tell too many resources apart")

// Cells returns the containers that the sets tell apart, sorted: every
// container that they name, and with `*` in a segment, every other. Whatever
// one of the sets says holds for all containers of a cell alike, except for
// conditions that compare names.
func Cells(sets ...*Set) ([]Resource, error) {
	known := map[scope]bool{}
	var cells []scope
	add := func(s scope) {
		if s.container != "" && !known[s] {
			known[s] = true
			cells = append(cells, s)
		}
	}
	for _, set := range sets {
		if set == nil {
			continue
		}
		for _, s := range set.docs.scopes {
			add(s.scope)
		}
	}
	// Which scopes cover a container is decided by the narrowest of their
	// intersections that does.
	for i := 0; i < len(cells); i++ { //nolint:intrange // cells grow on the way
		for j := range i {
			if both, ok := cells[i].intersect(cells[j]); ok {
				add(both)
			}
		}
		if len(cells) > maxCells {
			return nil, fmt.Errorf("%w: more than %d", ErrTooManyResources, maxCells)
		}
	}
	resources := make([]Resource, len(cells))
	for i, c := range cells {
		resources[i] = Resource{c.account, c.database, c.container}
	}
	slices.SortFunc(resources, func(a, b Resource) int {
		return cmp.Or(
			compareSegments(a.Account, b.Account), compareSegments(a.Database, b.Database), compareSegments(a.Container, b.Container),
		)
	})
	return resources, nil
}

// compareSegments sorts names by themselves and what stands for the others last.
func compareSegments(a, b string) int {
	if (a == wildcard) != (b == wildcard) {
		if a == wildcard {
			return 1
		}
		return -1
	}
	return strings.Compare(a, b)
}

// intersect returns the scope of what both cover; false if that is nothing.
func (s scope) intersect(t scope) (scope, bool) {
	account, a := meet(s.account, t.account)
	database, d := meet(s.database, t.database)
	container, c := meet(s.container, t.container)
	return scope{account, database, container}, a && d && c
}

func meet(a, b string) (string, bool) {
	switch {
	case a == b || b == wildcard:
		return a, true
	case a == wildcard:
		return b, true
	default:
		return "", false
	}
}

// Within returns the cells that lie in a resource: `prod/shop` holds every
// container of the database. A container that no cell names is taken for
// itself.
func Within(cells []Resource, r Resource) []Resource {
	if r.Container != "" {
		return []Resource{r}
	}
	var found []Resource
	inside := scope{cmp.Or(r.Account, wildcard), cmp.Or(r.Database, wildcard), wildcard}
	for _, c := range cells {
		if both, ok := inside.intersect(scope{c.Account, c.Database, c.Container}); ok {
			found = append(found, Resource{both.account, both.database, both.container})
		}
	}
	slices.SortFunc(found, func(a, b Resource) int { return strings.Compare(a.String(), b.String()) })
	return slices.Compact(found)
}
