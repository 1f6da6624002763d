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
	// read are records that were read before the writer's turn.
	read map[ID]Delta
	// relinked are users whose external id changed or went away.
	relinked []ID
	// walked is how many groups were looked at to find those below others.
	walked int
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
	case AdoptUser:
		return p.adoptUser(c)
	case AdoptGroup:
		return p.adoptGroup(c)
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
	u.ID, u.Modified, p.created = id, p.now, id
	if err := p.emit(userDelta(u)); err != nil {
		return Result{}, err
	}
	return Result{ID: id, Revision: 1, Changed: true, User: &u}, p.takeLock(u)
}

func (p *planner) editUser(c EditUser) (Result, error) {
	ordinal, current, err := p.ownUser(c.ID, c.IfRevision)
	if err != nil {
		return Result{}, err
	}
	old := p.state.exportUser(current)
	if old.Document, err = p.documentOf(KindPutUser, ordinal, c.ID, old.Revision); err != nil {
		return Result{}, err
	}
	next, err := c.Edit(old)
	if err != nil {
		return Result{}, err
	}
	next.ID, next.Connection, next.Created, next.Modified = old.ID, old.Connection, old.Created, old.Modified
	next.Revision, next.Emails = old.Revision, foldAll(next.Emails)
	if sameUser(old, next) {
		return Result{ID: c.ID, Revision: old.Revision, User: &old}, nil
	}
	if err := p.free(next, c.ID); err != nil {
		return Result{}, err
	}
	if old.ExternalID != "" && old.ExternalID != next.ExternalID {
		p.relinked = append(p.relinked, c.ID)
		waits, err := p.keepLock(c.ID, p.connection, old.ExternalID)
		if waits && err == nil {
			err = p.boundWaiting()
		}
		if err != nil {
			return Result{}, err
		}
	}
	next.Revision, next.Modified = next.Revision+1, p.now
	if err := p.emit(userDelta(next)); err != nil {
		return Result{}, err
	}
	return Result{ID: c.ID, Revision: next.Revision, Changed: true, User: &next}, p.takeLock(next)
}

// maxReadAhead bounds the records that a call reads ahead.
const maxReadAhead = 16

// readAhead reads the records that changes will edit. It runs in the caller, so
// that the one writer needn't wait for a disk; what changes until its turn, or
// can't be read, is read there.
func (d *Directory) readAhead(changes []Change) map[ID]Delta {
	read := map[ID]Delta{}
	for _, change := range changes[:min(len(changes), maxReadAhead)] {
		kind, id := KindPutUser, ID("")
		switch c := change.(type) {
		case EditUser:
			id = c.ID
		case EditGroup:
			kind, id = KindPutGroup, c.ID
		}
		if id == "" {
			continue
		}
		if delta, err := d.state.log.Record(kind, string(id)); err == nil {
			read[id] = delta
		}
	}
	return read
}

// documentOf is [batch.document], from what was read ahead if that is current.
func (p *planner) documentOf(kind Kind, ordinal uint32, id ID, revision uint64) ([]byte, error) {
	_, changed := p.documents[ordinal]
	if delta, ok := p.read[id]; ok && !changed && delta.Kind == kind && delta.Revision == revision {
		return delta.document()
	}
	return p.document(kind, ordinal, id, revision)
}

func (p *planner) removeUser(c DeleteUser) (Result, error) {
	_, u, err := p.ownUser(c.ID, c.IfRevision)
	if err != nil {
		return Result{}, err
	}
	if err := p.leaveAll(c.ID, u.direct().ordinals()); err != nil {
		return Result{}, err
	}
	if _, err := p.keepLock(c.ID, p.connection, string(u.externalID(nil))); err != nil {
		return Result{}, err
	}
	if own := (Subject{Kind: SubjectUser, Name: string(c.ID)}); p.lock(own) != nil { // also of who has no link
		if err := p.emit(Delta{Kind: KindDeleteLock, Subject: own.encode()}); err != nil {
			return Result{}, err
		}
	}
	d := Delta{Kind: KindDeleteUser, Connection: p.connection, Subject: string(c.ID), Revision: u.revision() + 1}
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
	ordinal, current, err := p.ownGroup(c.ID, c.IfRevision)
	if err != nil {
		return Result{}, err
	}
	old := p.state.exportGroup(current)
	if old.Document, err = p.documentOf(KindPutGroup, ordinal, c.ID, current.written); err != nil {
		return Result{}, err
	}
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
	_, g, err := p.ownGroup(c.ID, c.IfRevision)
	if err != nil {
		return Result{}, err
	}
	if err := p.leaveAll(c.ID, g.parents); err != nil {
		return Result{}, err
	}
	d := Delta{Kind: KindDeleteGroup, Connection: p.connection, Subject: string(c.ID), Revision: g.revision + 1}
	return Result{ID: c.ID, Revision: d.Revision, Changed: true}, p.emit(d)
}

// leaveAll removes a record from the groups that hold it, also from another
// connection's: an adoption that isn't over leaves such.
func (p *planner) leaveAll(member ID, groups []uint32) error {
	for _, group := range slices.Backward(groups) { // what is left needn't move
		g := p.group(group)
		if g == nil {
			continue
		}
		if _, err := p.changeEdges(KindRemoveMembers, g, []ID{member}); err != nil {
			return err
		}
	}
	return nil
}

func (p *planner) addMembers(group ID, members []ID) (Result, error) {
	ordinal, g, err := p.target(group)
	if err != nil {
		return Result{}, err
	}
	missing := make([]ID, 0, len(members))
	var children []uint32
	for _, id := range members {
		e, known := p.edge(ordinal, id)
		if !known {
			return Result{}, &UnknownMemberError{Member: string(id)}
		}
		if e.present {
			continue
		}
		if missing = append(missing, id); e.nested {
			children = append(children, e.member)
		}
	}
	settled := len(p.regroup) == 0
	result, err := p.changeEdges(KindAddMembers, g, missing)
	if err != nil || len(children) == 0 {
		return result, err
	}
	result.Regrouped, err = p.nest(ordinal, children, settled)
	return result, err
}

func (p *planner) removeMembers(group ID, members []ID) (Result, error) {
	ordinal, g, err := p.target(group)
	if err != nil {
		return Result{}, err
	}
	present := make([]ID, 0, len(members))
	var children []uint32
	for _, id := range members {
		e, _ := p.edge(ordinal, id)
		if !e.present {
			continue
		}
		if present = append(present, id); e.nested {
			children = append(children, e.member)
		}
	}
	result, err := p.changeEdges(KindRemoveMembers, g, present)
	for range p.under(children) {
		result.Regrouped++
	}
	return result, err
}

func (p *planner) setMembers(c SetMembers) (Result, error) {
	ordinal, _, err := p.target(c.Group)
	if err != nil {
		return Result{}, err
	}
	wanted := make(map[uint32]struct{}, len(c.Members))
	for _, id := range c.Members {
		if member, ok := p.findID(id); ok {
			wanted[member] = struct{}{}
		}
	}
	var surplus []ID
	for _, member := range p.members(ordinal) {
		if _, keep := wanted[member]; keep {
			continue
		}
		if id, live := p.idOf(member); live {
			surplus = append(surplus, id)
		}
	}
	added, err := p.addMembers(c.Group, c.Members)
	if err != nil {
		return Result{}, err
	}
	removed, err := p.removeMembers(c.Group, surplus)
	removed.Changed = removed.Changed || added.Changed
	removed.Regrouped += added.Regrouped
	return removed, err
}

// changeEdges emits one delta for all members, or none for no members.
func (p *planner) changeEdges(kind Kind, g *group, members []ID) (Result, error) {
	slices.Sort(members)
	members = slices.Compact(members)
	if len(members) == 0 {
		return Result{ID: g.key.id(), Revision: g.revision}, nil
	}
	d := Delta{
		Kind: kind, Connection: p.connection, Subject: string(g.key.id()),
		Revision: g.revision + 1, Payload: encodeMembers(members),
	}
	return Result{ID: g.key.id(), Revision: d.Revision, Changed: true}, p.emit(d)
}

// target resolves the group of a membership change.
func (p *planner) target(id ID) (uint32, *group, error) {
	if id == "" {
		id = p.created
	}
	return p.ownGroup(id, 0)
}

// edge is a membership that may be present.
type edge struct {
	member          uint32
	present, nested bool // nested: the member is a group
}

// edge returns a record's membership of a group, and whether it is a user or
// group of this connection at all.
func (p *planner) edge(group uint32, id ID) (e edge, known bool) {
	member, ok := p.findID(id)
	if !ok {
		return edge{}, false
	}
	if u := p.user(member); u != nil {
		_, e.present = u.direct().search(group)
		return e, p.state.numbered(u.connection()).name == p.connection
	}
	if g := p.group(member); g != nil {
		e.member, e.nested = member, true
		_, e.present = slices.BinarySearch(g.parents, group)
		return e, p.state.numbered(g.connection).name == p.connection
	}
	return edge{}, false
}

// idOf returns the id of a live record.
func (b *batch) idOf(ordinal uint32) (ID, bool) {
	if u := b.user(ordinal); u != nil {
		return u.key().id(), true
	}
	if g := b.group(ordinal); g != nil {
		return g.key.id(), true
	}
	return "", false
}

func (p *planner) ownUser(id ID, revision uint64) (uint32, userRecord, error) {
	ordinal, found := p.findID(id)
	if !found {
		return 0, nil, fmt.Errorf("user %s: %w", id, ErrNotFound)
	}
	u := p.user(ordinal)
	if u == nil || p.state.numbered(u.connection()).name != p.connection {
		return 0, nil, fmt.Errorf("user %s: %w", id, ErrNotFound)
	}
	if revision != 0 && u.revision() != revision {
		return 0, nil, fmt.Errorf("user %s: %w", id, ErrRevision)
	}
	return ordinal, u, nil
}

func (p *planner) ownGroup(id ID, revision uint64) (uint32, *group, error) {
	ordinal, found := p.findID(id)
	if !found {
		return 0, nil, fmt.Errorf("group %s: %w", id, ErrNotFound)
	}
	g := p.group(ordinal)
	if g == nil || p.state.numbered(g.connection).name != p.connection {
		return 0, nil, fmt.Errorf("group %s: %w", id, ErrNotFound)
	}
	if revision != 0 && g.revision != revision {
		return 0, nil, fmt.Errorf("group %s: %w", id, ErrRevision)
	}
	return ordinal, g, nil
}

// free refuses a user whose names are another's.
func (p *planner) free(u User, self ID) error {
	if u.UserName == "" {
		return fmt.Errorf("%w: user without userName", errPlan)
	}
	if err := p.unheld(spaceUserName, "userName", Fold(u.UserName), self); err != nil {
		return err
	}
	return p.unheld(spaceUserLink, "externalId", u.ExternalID, self)
}

// freeGroup refuses a group whose names are another's.
func (p *planner) freeGroup(g GroupRecord, self ID) error {
	if g.DisplayName == "" {
		return fmt.Errorf("%w: group without displayName", errPlan)
	}
	if err := p.unheld(spaceGroupName, "displayName", Fold(g.DisplayName), self); err != nil {
		return err
	}
	return p.unheld(spaceGroupLink, "externalId", g.ExternalID, self)
}

// unheld refuses a name that somebody else has.
func (p *planner) unheld(sp space, attribute, value string, self ID) error {
	holder, held := p.holder(sp, nameKey{p.state.population(p.connection), value})
	if value == "" || !held {
		return nil
	}
	if id, _ := p.idOf(holder); id != self {
		return &ConflictError{Attribute: attribute, Holder: id}
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
