package scim

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cosmosgate/cosmosgate/directory"
)

// schemaClass is where the directory remembers which schemas its records were
// last read with, by connection.
const schemaClass = "scim.schemas"

// refreshChunk is how many users are brought up to date together.
const refreshChunk = 200

// refresh reads what policy may know of each user anew if the schemas are not
// those that the records were written with: an attribute that an administrator
// exposes today must be there for people who were pushed yesterday.
func (c *connection) refresh(ctx context.Context) (changed int, err error) {
	now, err := c.schemaPrint()
	if err != nil {
		return 0, err
	}
	known, _ := c.directory.Entry(schemaClass, c.Name)
	if string(known.Value) == now || known.Value == nil && len(c.kinds.user.extensions) == 1 {
		return 0, nil
	}
	var stale []directory.ID
	for u := range c.directory.Users(c.Name, "") {
		if ctx.Err() != nil {
			return 0, fmt.Errorf("reading attributes anew: %w", context.Cause(ctx))
		}
		whole, err := c.directory.ReadUser(c.Name, u.ID)
		if err == nil {
			whole, err = c.reread(whole)
		}
		if err != nil || maps.Equal(whole.Attributes, u.Attributes) {
			continue // a document that cannot be read is answered as one; it is no reason to leave the others
		}
		stale = append(stale, u.ID)
	}
	for some := range slices.Chunk(stale, refreshChunk) {
		if err := c.rereadAll(ctx, some); err != nil {
			return changed, err
		}
		changed += len(some)
	}
	entry := directory.Entry{Class: schemaClass, Name: c.Name, Value: []byte(now)}
	if _, err := c.directory.PutEntry(ctx, entry, directory.AnyRevision); err != nil {
		return changed, fmt.Errorf("remembering the schemas of %s: %w", c.Name, err)
	}
	return changed, nil
}

// rereadAll edits some users together, or one by one if a provider deletes one
// of them meanwhile.
func (c *connection) rereadAll(ctx context.Context, ids []directory.ID) error {
	changes := make([]directory.Change, 0, len(ids))
	for _, id := range ids {
		changes = append(changes, directory.EditUser{ID: id, Edit: c.reread})
	}
	_, err := c.directory.Apply(ctx, c.Name, changes...)
	switch {
	case errors.Is(err, directory.ErrNotFound) && len(ids) == 1:
		return nil
	case errors.Is(err, directory.ErrNotFound):
		for i := range ids {
			if err := c.rereadAll(ctx, ids[i:i+1]); err != nil {
				return err
			}
		}
		return nil
	case err != nil:
		return fmt.Errorf("reading attributes anew: %w", err)
	default:
		return nil
	}
}

// reread returns a user with the policy attributes of its document.
func (c *connection) reread(u directory.User) (directory.User, error) {
	document, err := decodeDocument(u.Document)
	if err != nil {
		return u, err
	}
	u.Attributes = policyValues(c.kinds.user, document)
	return u, nil
}

// schemaPrint changes with anything that decides what policy knows of a user.
func (c *connection) schemaPrint() (string, error) {
	var exposed [][3]string
	for _, schema := range c.kinds.user.extensions {
		for _, a := range schema.Attributes {
			exposed = append(exposed, [3]string{schema.ID, a.Name, a.Policy})
		}
	}
	text, err := json.Marshal(exposed)
	if err != nil {
		return "", fmt.Errorf("describing schemas: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}
