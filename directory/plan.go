package directory

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// errPlan marks a change that makes no sense, whoever's fault that is.
var errPlan = errors.New("invalid change")

// planner turns one call's changes into deltas on a batch.
type planner struct {
	*batch

	connection string
	newID      func() (ID, error)
	created    ID
	// relinked are users whose external id changed or went away.
	relinked []ID
}

// plan validates and applies one change.
func (p *planner) plan(change Change) (Result, error) {
	switch c := change.(type) {
	case CreateUser:
		return p.createUser(c)
	case EditUser:
		return p.editUser(c)
	case DeleteUser:
		return p.removeUser(c)
	case CreateGroup:
		return p.createGroup(c)
	case EditGroup:
		return p.editGroup(c)
	case DeleteGroup:
		return p.removeGroup(c)
	case AddMembers:
		return p.addMembers(c.Group, c.Members)
	case RemoveMembers:
		return p.removeMembers(c.Group, c.Members)
	case SetMembers:
		return p.setMembers(c)
	default:
		return Result{}, fmt.Errorf("%w: %T", errPlan, change)
	}
}

func (p *planner) createUser(c CreateUser) (Result, error) {
	u := c.User
	u.Connection, u.Revision, u.Created = p.connection, 1, p.now
	if err := p.free(u, ""); err != nil {
		return Result{}, err
	}
	id, err := p.newID()
	if err != nil {
		return Result{}, err
	}
	u.ID, p.created = id, id
	return Result{ID: id, Revision: 1, Changed: true}, p.emit(userDelta(u))
}

func (p *planner) editUser(c EditUser) (Result, error) {
	current, err := p.ownUser(c.ID, c.IfRevision)
	if err != nil {
		return Result{}, err
	}
	old := current.export(c.ID)
	next, err := c.Edit(old)
	if err != nil {
		return Result{}, err
	}
	next.ID, next.Connection, next.Created, next.Modified = old.ID, old.Connection, old.Created, old.Modified
	next.Revision, next.Emails = old.Revision, foldAll(next.Emails)
	if sameUser(old, next) {
		return Result{ID: c.ID, Revision: old.Revision}, nil
	}
	if err := p.free(next, c.ID); err != nil {
		return Result{}, err
	}
	if old.ExternalID != "" && old.ExternalID != next.ExternalID {
		p.relinked = append(p.relinked, c.ID)
	}
	next.Revision++
	return Result{ID: c.ID, Revision: next.Revision, Changed: true}, p.emit(userDelta(next))
}

func (p *planner) removeUser(c DeleteUser) (Result, error) {
	u, err := p.ownUser(c.ID, c.IfRevision)
	if err != nil {
		return Result{}, err
	}
	if err := p.leaveAll(c.ID, u.direct); err != nil {
		return Result{}, err
	}
	d := Delta{Kind: KindDeleteUser, Connection: p.connection, Subject: string(c.ID), Revision: u.revision + 1}
	return Result{ID: c.ID, Revision: d.Revision, Changed: true}, p.emit(d)
}

func (p *planner) createGroup(c CreateGroup) (Result, error) {
	g := c.Group
	g.Connection, g.Revision, g.Created = p.connection, 1, p.now
	if err := p.freeGroup(g, ""); err != nil {
		return Result{}, err
	}
	id, err := p.newID()
	if err != nil {
		return Result{}, err
	}
	g.ID, p.created = id, id
	return Result{ID: id, Revision: 1, Changed: true}, p.emit(groupDelta(g))
}

func (p *planner) editGroup(c EditGroup) (Result, error) {
	current, err := p.ownGroup(c.ID, c.IfRevision)
	if err != nil {
		return Result{}, err
	}
	old := current.export()
	next, err := c.Edit(old)
	if err != nil {
		return Result{}, err
	}
	next.ID, next.Connection, next.Created, next.Modified = old.ID, old.Connection, old.Created, old.Modified
	next.Revision = old.Revision
	if next.ExternalID == old.ExternalID && next.DisplayName == old.DisplayName &&
		bytes.Equal(next.Document, old.Document) {
		return Result{ID: c.ID, Revision: old.Revision}, nil
	}
	if err := p.freeGroup(next, c.ID); err != nil {
		return Result{}, err
	}
	next.Revision++
	return Result{ID: c.ID, Revision: next.Revision, Changed: true}, p.emit(groupDelta(next))
}

func (p *planner) removeGroup(c DeleteGroup) (Result, error) {
	g, err := p.ownGroup(c.ID, c.IfRevision)
	if err != nil {
		return Result{}, err
	}
	if err := p.leaveAll(c.ID, g.parents); err != nil {
		return Result{}, err
	}
	d := Delta{Kind: KindDeleteGroup, Connection: p.connection, Subject: string(c.ID), Revision: g.revision + 1}
	return Result{ID: c.ID, Revision: d.Revision, Changed: true}, p.emit(d)
}

// leaveAll removes a record from the groups that hold it.
func (p *planner) leaveAll(member ID, groups []uint32) error {
	for _, id := range p.ids(groups) {
		if p.group(id) == nil {
			continue
		}
		if _, err := p.removeMembers(id, []ID{member}); err != nil {
			return err
		}
	}
	return nil
}

func (p *planner) addMembers(group ID, members []ID) (Result, error) {
	place, g, err := p.target(group)
	if err != nil {
		return Result{}, err
	}
	missing := make([]ID, 0, len(members))
	for _, id := range members {
		direct, known := p.edgesOf(id)
		if !known {
			return Result{}, &UnknownMemberError{Member: string(id)}
		}
		if _, found := slices.BinarySearch(direct, place.ordinal); !found {
			missing = append(missing, id)
		}
	}
	return p.changeEdges(KindAddMembers, g, missing)
}

func (p *planner) removeMembers(group ID, members []ID) (Result, error) {
	place, g, err := p.target(group)
	if err != nil {
		return Result{}, err
	}
	present := make([]ID, 0, len(members))
	for _, id := range members {
		direct, _ := p.edgesOf(id)
		if _, found := slices.BinarySearch(direct, place.ordinal); found {
			present = append(present, id)
		}
	}
	return p.changeEdges(KindRemoveMembers, g, present)
}

func (p *planner) setMembers(c SetMembers) (Result, error) {
	place, _, err := p.target(c.Group)
	if err != nil {
		return Result{}, err
	}
	wanted := make(map[ID]struct{}, len(c.Members))
	for _, id := range c.Members {
		wanted[id] = struct{}{}
	}
	surplus := slices.DeleteFunc(p.ids(p.members(place)), func(id ID) bool {
		_, keep := wanted[id]
		return keep
	})
	added, err := p.addMembers(c.Group, c.Members)
	if err != nil {
		return Result{}, err
	}
	removed, err := p.removeMembers(c.Group, surplus)
	removed.Changed = removed.Changed || added.Changed
	return removed, err
}

// changeEdges emits one delta for all members, or none for no members.
func (p *planner) changeEdges(kind Kind, g *group, members []ID) (Result, error) {
	slices.Sort(members)
	members = slices.Compact(members)
	if len(members) == 0 {
		return Result{ID: g.view.ID, Revision: g.revision}, nil
	}
	d := Delta{
		Kind: kind, Connection: p.connection, Subject: string(g.view.ID),
		Revision: g.revision + 1, Payload: encodeMembers(members),
	}
	return Result{ID: g.view.ID, Revision: d.Revision, Changed: true}, p.emit(d)
}

// target resolves the group of a membership change.
func (p *planner) target(id ID) (*slot, *group, error) {
	if id == "" {
		id = p.created
	}
	g, err := p.ownGroup(id, 0)
	if err != nil {
		return nil, nil, err
	}
	return p.place(id), g, nil
}

// edgesOf returns the direct groups of a user or group of this connection.
func (p *planner) edgesOf(id ID) ([]uint32, bool) {
	if u := p.user(id); u != nil {
		return u.direct, u.connection == p.connection
	}
	if g := p.group(id); g != nil {
		return g.parents, g.view.Connection == p.connection
	}
	return nil, false
}

// ids returns the ids of ordinals, those without a place left out.
func (p *planner) ids(ordinals []uint32) []ID {
	byOrdinal := map[uint32]ID{}
	for id, s := range p.slots {
		byOrdinal[s.ordinal] = id
	}
	ids := make([]ID, 0, len(ordinals))
	for _, o := range ordinals {
		if s := p.state.at(o); s != nil {
			ids = append(ids, s.id)
		} else if id, ok := byOrdinal[o]; ok {
			ids = append(ids, id)
		}
	}
	return ids
}

func (p *planner) ownUser(id ID, revision uint64) (*user, error) {
	u := p.user(id)
	if u == nil || u.connection != p.connection {
		return nil, fmt.Errorf("user %s: %w", id, ErrNotFound)
	}
	if revision != 0 && u.revision != revision {
		return nil, fmt.Errorf("user %s: %w", id, ErrRevision)
	}
	return u, nil
}

func (p *planner) ownGroup(id ID, revision uint64) (*group, error) {
	g := p.group(id)
	if g == nil || g.view.Connection != p.connection {
		return nil, fmt.Errorf("group %s: %w", id, ErrNotFound)
	}
	if revision != 0 && g.revision != revision {
		return nil, fmt.Errorf("group %s: %w", id, ErrRevision)
	}
	return g, nil
}

// free refuses a user whose names are another's.
func (p *planner) free(u User, self ID) error {
	if u.UserName == "" {
		return fmt.Errorf("%w: user without userName", errPlan)
	}
	if h := p.holder(spaceUserName, nameKey{u.Connection, Fold(u.UserName)}); h != "" && h != self {
		return &ConflictError{Attribute: "userName", Holder: h}
	}
	if h := p.holder(spaceUserLink, nameKey{u.Connection, u.ExternalID}); u.ExternalID != "" && h != "" && h != self {
		return &ConflictError{Attribute: "externalId", Holder: h}
	}
	return nil
}

// freeGroup refuses a group whose names are another's.
func (p *planner) freeGroup(g GroupRecord, self ID) error {
	if g.DisplayName == "" {
		return fmt.Errorf("%w: group without displayName", errPlan)
	}
	if h := p.holder(spaceGroupName, nameKey{g.Connection, Fold(g.DisplayName)}); h != "" && h != self {
		return &ConflictError{Attribute: "displayName", Holder: h}
	}
	if h := p.holder(spaceGroupLink, nameKey{g.Connection, g.ExternalID}); g.ExternalID != "" && h != "" && h != self {
		return &ConflictError{Attribute: "externalId", Holder: h}
	}
	return nil
}

// foldAll returns the distinct folded forms of values, in order.
func foldAll(values []string) []string {
	var folded []string
	for _, v := range values {
		if f := Fold(v); !slices.Contains(folded, f) {
			folded = append(folded, f)
		}
	}
	return folded
}

func userDelta(u User) Delta {
	return Delta{
		Kind: KindPutUser, Connection: u.Connection, Subject: string(u.ID),
		Revision: u.Revision, Payload: encodeUser(u),
	}
}

func groupDelta(g GroupRecord) Delta {
	return Delta{
		Kind: KindPutGroup, Connection: g.Connection, Subject: string(g.ID),
		Revision: g.Revision, Payload: encodeGroup(g),
	}
}

func sameUser(a, b User) bool {
	return a.ExternalID == b.ExternalID && a.UserName == b.UserName && a.Active == b.Active &&
		slices.Equal(a.Emails, b.Emails) && maps.Equal(a.Attributes, b.Attributes) && bytes.Equal(a.Document, b.Document)
}
