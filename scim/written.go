package scim

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cosmosgate/cosmosgate/directory"
)

// Written is what one request of an identity provider changed, for the record:
// whom it let in, whom it shut out, who became a member of what.
type Written struct {
	Time       time.Time
	Connection string
	// Actions are what was done: user.create, user.edit, user.delete,
	// group.create, group.edit, group.delete, members.add, members.remove or
	// members.set.
	Actions []string
	// Target is the user or group, as "user ID".
	Target string
	// Detail names the members that came and went, and the facts of a user that
	// decide about access. It holds no other values.
	Detail string
	// OnSettled is nil if this was done. Else the provider was told that it may not
	// have been, and nobody knows: the function given to it is told once what came
	// of it, or never if the gate ends before. It must not wait.
	OnSettled func(func(done bool))
}

// maxNamed bounds the members that a detail names.
const maxNamed = 20

// commit makes changes durable and visible, and has them recorded if they had
// an effect.
func (c *connection) commit(ctx context.Context, spent *spending, changes ...directory.Change) ([]directory.Result, error) {
	spent.rest()
	edits := make([]edited, len(changes))
	for i, change := range changes {
		if e, ok := change.(directory.EditUser); ok {
			changes[i] = edits[i].watch(e)
		}
	}
	// A provider that hangs up must not have changed something that is not in the
	// record: what has begun is waited for.
	results, err := c.directory.Apply(context.WithoutCancel(ctx), c.Name, changes...)
	open, unknown := errors.AsType[*directory.UnknownOutcomeError](err)
	if err != nil && !unknown {
		return nil, err //nolint:wrapcheck // explain translates the directory's own words
	}
	spent.written = true
	w, regrouped := Written{Time: c.clock(), Connection: c.Name}, 0
	for i, r := range results {
		regrouped += r.Regrouped
		if r.Changed {
			w.note(changes[i], r, &edits[i]) //nolint:gosec // there is one result for each change
		}
	}
	if unknown {
		w.OnSettled = open.OnSettled
	}
	c.wrote(w)
	spent.owe(regrouped * comparisonsPerGroup)
	return results, err //nolint:wrapcheck // as above
}

// wrote tells everybody who wants to know of a change that had an effect, or may
// have had one.
func (c *connection) wrote(w Written) {
	if len(w.Actions) == 0 {
		return
	}
	if w.OnSettled == nil {
		c.contact.wrote(w.Time)
	} else {
		w.OnSettled(func(done bool) {
			if done {
				c.contact.wrote(c.clock())
			}
		})
	}
	if c.record != nil {
		c.record(w)
	}
}

// edited remembers what an edit found and what it made of it.
type edited struct{ before, after directory.User }

// watch returns the edit with a look at what it does. The writer may run it
// again; the last time counts.
func (e *edited) watch(change directory.EditUser) directory.EditUser {
	inner := change.Edit
	change.Edit = func(u directory.User) (directory.User, error) {
		next, err := inner(u)
		e.before, e.after = u, next
		return next, err
	}
	return change
}

// note adds one change that had an effect.
func (w *Written) note(change directory.Change, r directory.Result, e *edited) {
	switch x := change.(type) {
	case directory.CreateUser:
		w.add("user.create", "user "+string(r.ID), "active %t", x.User.Active)
	case directory.EditUser:
		w.add("user.edit", "user "+string(x.ID), "%s", e.differences())
	case directory.DeleteUser:
		w.add("user.delete", "user "+string(x.ID), "")
	case directory.CreateGroup:
		w.add("group.create", "group "+string(r.ID), "")
	case directory.EditGroup:
		w.add("group.edit", "group "+string(x.ID), "")
	case directory.DeleteGroup:
		w.add("group.delete", "group "+string(x.ID), "")
	case directory.AddMembers:
		w.add("members.add", groupTarget(x.Group), "added %s", namedMembers(x.Members))
	case directory.RemoveMembers:
		w.add("members.remove", groupTarget(x.Group), "removed %s", namedMembers(x.Members))
	case directory.SetMembers:
		w.add("members.set", groupTarget(x.Group), "set to %s", namedMembers(x.Members))
	}
}

func (w *Written) add(action, target, format string, args ...any) {
	if !slices.Contains(w.Actions, action) {
		w.Actions = append(w.Actions, action)
	}
	if w.Target == "" {
		w.Target = target
	}
	detail := format
	if len(args) > 0 {
		detail = fmt.Sprintf(format, args...)
	}
	if detail != "" && w.Detail != "" {
		detail = "; " + detail
	}
	w.Detail += detail
}

// groupTarget is empty for a group that the same request made.
func groupTarget(id directory.ID) string {
	if id == "" {
		return ""
	}
	return "group " + string(id)
}

func namedMembers(ids []directory.ID) string {
	if len(ids) == 0 {
		return "nobody"
	}
	names := make([]string, 0, maxNamed)
	for _, id := range ids[:min(len(ids), maxNamed)] {
		names = append(names, string(id))
	}
	text := strings.Join(names, " ")
	if more := len(ids) - len(names); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// differences names what an edit changed: with its value only whether the user
// is active.
func (e *edited) differences() string {
	var parts []string
	if e.before.Active != e.after.Active {
		parts = append(parts, fmt.Sprintf("active %t", e.after.Active))
	}
	if e.before.UserName != e.after.UserName {
		parts = append(parts, "userName")
	}
	if e.before.ExternalID != e.after.ExternalID {
		what := "externalId: the link is another"
		if e.before.ExternalID == "" {
			what = "externalId: linked"
		} else if e.after.ExternalID == "" {
			what = "externalId: no longer linked"
		}
		parts = append(parts, what)
	}
	all := maps.Clone(e.before.Attributes)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, e.after.Attributes)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if e.before.Attributes[name] != e.after.Attributes[name] {
			parts = append(parts, name)
		}
	}
	if len(parts) == 0 {
		return "nothing that policy reads"
	}
	return strings.Join(parts, ", ")
}
