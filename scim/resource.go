package scim

import (
	"time"

	"github.com/cosmosgate/cosmosgate/directory"
)

// timeFormat is RFC 3339 with milliseconds, which is what the directory keeps.
const timeFormat = "2006-01-02T15:04:05.000Z07:00"

// meta is the common attribute of RFC 7643 §3.1.
func (c *connection) meta(kind *resourceType, id directory.ID, created, modified time.Time, version uint64) map[string]any {
	return map[string]any{
		"resourceType": kind.name,
		"created":      created.Format(timeFormat),
		"lastModified": modified.Format(timeFormat),
		"location":     c.location(kind, id),
		"version":      etag(version),
	}
}

func (c *connection) location(kind *resourceType, id directory.ID) string {
	return c.base + kind.endpoint + "/" + string(id)
}

// renderUser builds the answer for a user.
func (c *connection) renderUser(u directory.User, p projection) (map[string]any, error) {
	if err := p.spent.render(len(u.Document)); err != nil {
		return nil, err
	}
	document, err := decodeDocument(u.Document)
	if err != nil {
		return nil, err
	}
	return c.completeUser(document, u, p)
}

// completeUser makes the answer for a user of its document.
func (c *connection) completeUser(resource map[string]any, u directory.User, p projection) (map[string]any, error) {
	urns := []any{urnUser}
	for _, schema := range c.kinds.user.extensions {
		if _, ok := resource[schema.ID]; ok {
			urns = append(urns, schema.ID)
		}
	}
	resource["schemas"] = urns
	resource["id"] = string(u.ID)
	resource["meta"] = c.meta(c.kinds.user, u.ID, u.Created, u.Modified, u.Revision)
	if p.wants("groups") {
		groups, err := c.groupsOf(u.ID, p.spent)
		if err != nil {
			return nil, err
		}
		if len(groups) > 0 {
			resource["groups"] = groups
		}
	}
	return p.apply(resource), nil
}

// groupsOf lists a user's effective groups.
func (c *connection) groupsOf(id directory.ID, spent *spending) ([]any, error) {
	effective := c.directory.EffectiveGroups(id)
	if err := spent.show(len(effective), "groups"); err != nil {
		return nil, err
	}
	direct := map[directory.ID]bool{}
	for _, g := range c.directory.DirectGroups(id) {
		direct[g.ID] = true
	}
	groups := make([]any, 0, len(effective))
	for _, g := range effective {
		kind := "indirect"
		if direct[g.ID] {
			kind = "direct"
		}
		groups = append(groups, map[string]any{
			"value": string(g.ID), "display": g.DisplayName, "type": kind,
			"$ref": c.location(c.kinds.group, g.ID),
		})
	}
	return groups, nil
}

// renderGroup builds the answer for a group.
func (c *connection) renderGroup(g directory.GroupRecord, p projection) (map[string]any, error) {
	if err := p.spent.render(len(g.Document)); err != nil {
		return nil, err
	}
	resource, err := decodeDocument(g.Document)
	if err != nil {
		return nil, err
	}
	resource["schemas"] = []any{urnGroup}
	resource["id"] = string(g.ID)
	resource["meta"] = c.meta(c.kinds.group, g.ID, g.Created, g.Modified, g.Revision)
	if p.wants("members") {
		members, err := c.membersOf(g.ID, p.asks("members", "display"), p.spent)
		if err != nil {
			return nil, err
		}
		if len(members) > 0 {
			resource["members"] = members
		}
	}
	return p.apply(resource), nil
}

// membersOf lists a group's direct members, with their names if asked.
func (c *connection) membersOf(id directory.ID, display bool, spent *spending) ([]any, error) {
	if err := spent.show(c.directory.MemberCount(id), "members"); err != nil {
		return nil, err
	}
	members := []any{}
	for m := range c.directory.Members(c.Name, id) {
		value := memberValue(m)
		kind := c.kinds.user
		if m.Group {
			kind = c.kinds.group
		}
		value["$ref"] = c.location(kind, m.ID)
		if !display {
			delete(value, "display")
		}
		members = append(members, value)
	}
	return members, nil
}
