package scim

import (
	"encoding/json"
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
		switch {
		case len(groups) == 0:
		case p.parts("groups"):
			resource["groups"] = groups.objects()
		default:
			if resource["groups"], err = groups.json(); err != nil {
				return nil, err
			}
		}
	}
	return p.apply(resource), nil
}

// groupsOf lists a user's effective groups.
func (c *connection) groupsOf(id directory.ID, spent *spending) (groupEntries, error) {
	effective := c.directory.EffectiveGroups(id)
	if err := spent.show(len(effective), "groups"); err != nil {
		return nil, err
	}
	direct := c.directory.DirectGroups(id) // in the same order
	groups := make(groupEntries, 0, len(effective))
	for _, g := range effective {
		kind := "indirect"
		if len(direct) > 0 && direct[0].ID == g.ID {
			kind, direct = "direct", direct[1:]
		}
		groups = append(groups, groupEntry{c.location(c.kinds.group, g.ID), g.DisplayName, kind, string(g.ID)})
	}
	return groups, nil
}

// groupEntry is a group in a user's list.
type groupEntry struct{ ref, display, kind, value string }

type groupEntries []groupEntry

// roomPerGroup is what a group usually takes of an answer, in bytes.
const roomPerGroup = 256

// objects returns the list as parsing JSON would.
func (l groupEntries) objects() []any {
	objects := make([]any, 0, len(l))
	for _, g := range l {
		objects = append(objects, map[string]any{"$ref": g.ref, "display": g.display, "type": g.kind, "value": g.value})
	}
	return objects
}

// json returns the list as it is sent. It is most of an answer, and needs no maps
// unless a part of each group is asked for. The list is not empty.
func (l groupEntries) json() (json.RawMessage, error) {
	b := make([]byte, 0, 2+len(l)*roomPerGroup)
	for _, g := range l {
		b = append(b, ',', '{')
		for i, field := range [...][2]string{{`"$ref":`, g.ref}, {`"display":`, g.display}, {`"type":`, g.kind}, {`"value":`, g.value}} {
			if i > 0 {
				b = append(b, ',')
			}
			var err error
			if b, err = appendText(append(b, field[0]...), field[1]); err != nil {
				return nil, err
			}
		}
		b = append(b, '}')
	}
	b[0] = '['
	return append(b, ']'), nil
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
