package scim

import (
	"context"
	"net/http"

	"github.com/cosmosgate/cosmosgate/directory"
)

// groupPlan turns a group's PATCH into changes in the order of its operations.
// Membership travels as deltas, so that two clients that add one member each
// both succeed.
type groupPlan struct {
	editor

	id      directory.ID
	current func() []directory.Member
	size    func() int
	spent   *spending
	scans   int // operations that look at every member
	edits   []operation
	changes []directory.Change
}

// maxMemberScans bounds the operations of one PATCH that look at every member.
const maxMemberScans = 8

// patchGroup serves the PATCH of a group.
func (c *connection) patchGroup(ctx context.Context, k call, id directory.ID, revision uint64, operations []operation) (answer, error) {
	plan := groupPlan{
		editor: editor{kind: c.kinds.group, normalizer: c.normalizer, work: new(int)},
		id:     id, current: c.members(id), spent: k.query.spent,
	}
	plan.size = func() int { return c.directory.MemberCount(id) }
	if revision != 0 {
		plan.changes = append(plan.changes, directory.EditGroup{ID: id, IfRevision: revision, Edit: sameGroup})
	}
	for _, op := range operations {
		if err := plan.plan(op); err != nil {
			return answer{}, err
		}
	}
	plan.flush()
	if k.query.hasAttributes && k.query.projection(c.kinds.group).wants("members") && plan.after() > c.account.mostShown {
		return answer{}, c.account.tooMany("members")
	}
	results, err := c.commit(ctx, k.query.spent, plan.changes...)
	if err != nil {
		return answer{}, err
	}
	if k.query.hasAttributes {
		return c.show(c.kinds.group, id, http.StatusOK, k.query)
	}
	if len(results) == 0 { // nothing but what is ignored, such as the id
		version, err := c.revision(c.kinds.group, id)
		return answer{status: http.StatusNoContent, version: version}, err
	}
	return answer{status: http.StatusNoContent, version: results[len(results)-1].Revision}, nil
}

func sameGroup(g directory.GroupRecord) (directory.GroupRecord, error) { return g, nil }

// members reads a group's members when a filter asks for them.
func (c *connection) members(id directory.ID) func() []directory.Member {
	return func() []directory.Member {
		var members []directory.Member
		for m := range c.directory.Members(c.Name, id) {
			members = append(members, m)
		}
		return members
	}
}

// after is how many members the group has at most after the changes.
func (p *groupPlan) after() int {
	size := p.size()
	for _, change := range p.changes {
		switch x := change.(type) {
		case directory.AddMembers:
			size += len(x.Members)
		case directory.SetMembers:
			size = len(x.Members)
		}
	}
	return size
}

// plan adds one operation.
func (p *groupPlan) plan(op operation) error {
	a := op.target.path.attribute
	if a == nil || a.Name != "members" {
		p.edits = append(p.edits, op)
		return nil
	}
	switch {
	case op.target.path.sub != nil:
		return refusal(KindMutability, "a member's attributes can't be changed")
	case op.target.element != nil:
		return p.planFiltered(op)
	case op.verb == verbRemove:
		return p.planRemove(op)
	}
	ids, err := p.ids(op.value)
	if err != nil {
		return err
	}
	if op.verb == verbReplace {
		return p.set(ids)
	}
	p.changes = append(p.changes, directory.AddMembers{Group: p.id, Members: ids})
	return p.spent.compare(len(ids))
}

// planRemove removes exactly the members that a value names; only an operation
// without any value removes all.
func (p *groupPlan) planRemove(op operation) error {
	if !op.given {
		return p.set(nil)
	}
	if op.value == nil {
		return refusal(KindInvalidValue, "removing members needs a list of them, or no value at all")
	}
	ids, err := p.ids(op.value)
	if err != nil {
		return err
	}
	p.changes = append(p.changes, directory.RemoveMembers{Group: p.id, Members: ids})
	return p.spent.compare(len(ids))
}

// set makes ids the members.
func (p *groupPlan) set(ids []directory.ID) error {
	p.changes = append(p.changes, directory.SetMembers{Group: p.id, Members: ids})
	return p.scan(1)
}

// scan counts an operation that looks at every member so often.
func (p *groupPlan) scan(times int) error {
	if err := p.spent.compare(p.size() * times); err != nil {
		return err
	}
	if p.scans++; p.scans > maxMemberScans {
		return &Error{
			Status: http.StatusRequestEntityTooLarge,
			Detail: "too many operations that replace, remove or filter all members: name members by value",
		}
	}
	return nil
}

// planFiltered handles members[…].
func (p *groupPlan) planFiltered(op operation) error {
	if op.verb != verbRemove {
		return refusal(KindInvalidPath, "members are added or replaced by value, not by filter")
	}
	ids, ok := valueAlternatives(op.target.element)
	if !ok {
		if err := p.scan(op.target.element.terms()); err != nil {
			return err
		}
		for _, m := range p.current() {
			if op.target.element.matchesElement(memberValue(m)) {
				ids = append(ids, m.ID)
			}
		}
	}
	p.changes = append(p.changes, directory.RemoveMembers{Group: p.id, Members: ids})
	return p.spent.compare(len(ids))
}

// valueAlternatives reads the ids out of value eq "a" or value eq "b" ….
func valueAlternatives(f *filter) ([]directory.ID, bool) {
	switch f.op {
	case opOr:
		left, okLeft := valueAlternatives(f.left)
		right, okRight := valueAlternatives(f.right)
		return append(left, right...), okLeft && okRight
	case opEqual:
		id, ok := f.value.asText()
		return []directory.ID{directory.ID(id)}, ok && f.path.attribute.Name == "value"
	default:
		return nil, false
	}
}

// ids reads members in any accepted form.
func (p *groupPlan) ids(value any) ([]directory.ID, error) {
	normalized, err := p.value(find(groupSchema.Attributes, "members"), value)
	if err != nil {
		return nil, err
	}
	return memberIDs(normalized)
}

// flush turns the attribute operations into one change, so that the writer
// writes the group once, however operations on members lie between them.
func (p *groupPlan) flush() {
	if len(p.edits) == 0 {
		return
	}
	edits, e := p.edits, p.editor
	p.edits = nil
	p.changes = append(p.changes, directory.EditGroup{
		ID: p.id,
		Edit: func(g directory.GroupRecord) (directory.GroupRecord, error) {
			*e.work = 0 // the writer may run this again
			document, err := decodeDocument(g.Document)
			if err != nil {
				return g, err
			}
			for _, op := range edits {
				if err := e.apply(document, op); err != nil {
					return g, err
				}
			}
			err = fillGroup(&g, document)
			return g, err // after what filled it
		},
	})
}

// memberValue is a member as a filter sees it.
func memberValue(m directory.Member) map[string]any {
	kind := "User"
	if m.Group {
		kind = "Group"
	}
	return map[string]any{"value": string(m.ID), "type": kind, "display": m.Display}
}
