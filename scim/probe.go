package scim

import (
	"iter"

	"github.com/cosmosgate/cosmosgate/directory"
)

// candidates returns the rows that may match a filter, and whether an index
// found them. The filter is still to be evaluated on each.
func (c *connection) candidates(kind *resourceType, f *filter) (iter.Seq[*row], bool) {
	for _, term := range conjuncts(f, nil) {
		if rows, ok := c.probe(kind, term); ok {
			return func(yield func(*row) bool) {
				for _, r := range rows {
					if !yield(r) {
						return
					}
				}
			}, true
		}
	}
	return c.scan(kind, ""), false
}

// scan yields the rows of a kind created after an id, in order of creation.
func (c *connection) scan(kind *resourceType, after directory.ID) iter.Seq[*row] {
	return func(yield func(*row) bool) {
		if kind == c.kinds.user {
			for u := range c.directory.Users(c.Name, after) {
				if !yield(&row{c: c, kind: kind, user: u}) {
					return
				}
			}
			return
		}
		for g := range c.directory.Groups(c.Name, after) {
			if !yield(&row{c: c, kind: kind, group: g}) {
				return
			}
		}
	}
}

// conjuncts appends the terms that must all hold.
func conjuncts(f *filter, terms []*filter) []*filter {
	if f == nil {
		return terms
	}
	if f.op == opAnd {
		return conjuncts(f.right, conjuncts(f.left, terms))
	}
	return append(terms, f)
}

// probe looks a term up in an index, if there is one for it.
func (c *connection) probe(kind *resourceType, term *filter) ([]*row, bool) {
	name, value, ok := equality(term)
	if !ok {
		return nil, false
	}
	if kind == c.kinds.user {
		return c.probeUsers(kind, name, value)
	}
	return c.probeGroups(kind, name, value)
}

// equality recognises attribute eq "text", also as an element's value.
func equality(term *filter) (string, string, bool) {
	if term.op == opElement {
		for _, inner := range conjuncts(term.left, nil) {
			value, ok := inner.value.asText()
			if ok && inner.op == opEqual && inner.path.attribute.Name == "value" {
				return term.path.attribute.Name, value, term.path.extension == nil
			}
		}
		return "", "", false
	}
	value, ok := term.value.asText()
	if !ok || term.op != opEqual || term.path.extension != nil {
		return "", "", false
	}
	if term.path.sub != nil && term.path.sub.Name != "value" {
		return "", "", false
	}
	return term.path.attribute.Name, value, true
}

func (c *connection) probeUsers(kind *resourceType, name, value string) ([]*row, bool) {
	found := func(u directory.User, ok bool) ([]*row, bool) {
		if !ok {
			return nil, true
		}
		return []*row{{c: c, kind: kind, user: u}}, true
	}
	switch name {
	case "id":
		return found(c.directory.User(c.Name, directory.ID(value)))
	case "userName":
		return found(c.directory.UserByName(c.Name, value))
	case "externalId":
		return found(c.directory.UserByExternalID(c.Name, value))
	case "emails":
		var rows []*row
		for _, u := range c.directory.UsersByEmail(c.Name, value) {
			rows = append(rows, &row{c: c, kind: kind, user: u})
		}
		return rows, true
	default:
		return nil, false
	}
}

func (c *connection) probeGroups(kind *resourceType, name, value string) ([]*row, bool) {
	found := func(g directory.GroupRecord, ok bool) ([]*row, bool) {
		if !ok {
			return nil, true
		}
		return []*row{{c: c, kind: kind, group: g}}, true
	}
	switch name {
	case "id":
		return found(c.directory.Group(c.Name, directory.ID(value)))
	case "displayName":
		return found(c.directory.GroupByName(c.Name, value))
	case "externalId":
		return found(c.directory.GroupByExternalID(c.Name, value))
	case "members":
		var rows []*row
		for _, view := range c.directory.DirectGroups(directory.ID(value)) {
			if g, ok := c.directory.Group(c.Name, view.ID); ok {
				rows = append(rows, &row{c: c, kind: kind, group: g})
			}
		}
		return rows, true
	default:
		return nil, false
	}
}
