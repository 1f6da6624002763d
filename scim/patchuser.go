package scim

import (
	"context"
	"net/http"

	"github.com/cosmosgate/cosmosgate/directory"
)

const (
	// maxUserOperations bounds the operations of a user's PATCH, each of which the
	// writer applies to a document.
	maxUserOperations = 1000
	// untried is how many terms and values a PATCH may have that goes to the writer
	// without being tried before.
	untried = 64
)

// patch serves PATCH.
func (c *connection) patch(ctx context.Context, k call, kind *resourceType, id directory.ID) (answer, error) {
	current, err := c.revision(kind, id)
	if err != nil {
		return answer{}, err
	}
	revision, err := k.expected(current)
	if err != nil {
		return answer{}, err
	}
	operations, err := parsePatch(kind, k.body, c.normalizer)
	if err != nil {
		return answer{}, err
	}
	if kind == c.kinds.group {
		return c.patchGroup(ctx, k, id, revision, operations)
	}
	return c.patchUser(ctx, k, id, revision, operations)
}

// patchUser serves the PATCH of a user.
func (c *connection) patchUser(ctx context.Context, k call, id directory.ID, revision uint64, operations []operation) (answer, error) {
	if len(operations) > maxUserOperations {
		return answer{}, &Error{Status: http.StatusRequestEntityTooLarge, Detail: "too many operations"}
	}
	e := editor{kind: c.kinds.user, normalizer: c.normalizer, work: new(int), edited: &map[string]any{}}
	tried := weight(operations) > untried
	if tried {
		if err := c.try(k.query.spent, e, id, operations); err != nil {
			return answer{}, err
		}
	}
	results, err := c.commit(ctx, k.query.spent, directory.EditUser{ID: id, IfRevision: revision, Edit: e.user(operations)})
	if !tried {
		k.query.spent.owe(*e.work) // also what was refused has cost
	}
	if err != nil {
		return answer{}, err
	}
	return c.showUser(results[0].User, *e.edited, http.StatusOK, k.query)
}

// weight is how many terms and values operations have together.
func weight(operations []operation) int {
	sum := 0
	for _, op := range operations {
		sum += 1 + op.target.element.terms() + values(op.value)
	}
	return sum
}

// values is how many elements the lists in a value have.
func values(value any) int {
	sum := 0
	switch v := value.(type) {
	case []any:
		sum = len(v)
	case map[string]any: // of an extension
		for _, inner := range v {
			sum += values(inner)
		}
	}
	return sum
}

// try does beforehand what the writer will do, for which everybody's changes
// wait: what is dear is paid and what is refused is refused before it gets there.
func (c *connection) try(spent *spending, e editor, id directory.ID, operations []operation) error {
	u, err := c.directory.ReadUser(c.Name, id)
	if err != nil {
		return err //nolint:wrapcheck // explain translates the directory's own words
	}
	e.spent = spent
	_, err = e.user(operations)(u)
	return err
}

// user returns the edit that applies operations to whatever the user's
// document is when the writer gets to it.
func (e editor) user(operations []operation) func(directory.User) (directory.User, error) {
	return func(u directory.User) (directory.User, error) {
		document, err := decodeDocument(u.Document)
		if err != nil {
			return u, err
		}
		*e.work = 0 // the writer may run this again
		for _, op := range operations {
			if err := e.apply(document, op); err != nil {
				return u, err
			}
		}
		*e.edited = document
		err = fillUser(&u, e.kind, document)
		return u, err // after what filled it
	}
}
