package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// adoptChunk is how many records one commit of an adoption takes over.
const adoptChunk = 256

// AdoptConnection takes over all users and groups of one connection into
// another, beside everything else. Ids, memberships and locks stay. Before
// anything is changed it makes sure that no names would clash; the error then
// joins a [ClashError] for each that would, up to a hundred. It is made of many
// commits: after an error some records have moved, and calling it again moves
// the rest. Until it is over, a group may have members of either connection.
func (d *Directory) AdoptConnection(ctx context.Context, from, to string) (Adopted, error) {
	var done Adopted
	if from == "" || to == "" || from == to {
		return done, fmt.Errorf("adopting: %w: two connections are required", errPlan)
	}
	if err := d.Barrier(ctx); err != nil {
		return done, err
	}
	if err := d.clashes(from, to); err != nil {
		return done, err
	}
	var users, groups []Change
	for u := range d.Users(from, "") {
		users = append(users, AdoptUser{ID: u.ID, From: from})
	}
	for g := range d.Groups(from, "") {
		groups = append(groups, AdoptGroup{ID: g.ID, From: from})
	}
	var err error
	if done.Users, err = d.adoptAll(ctx, to, users); err == nil {
		done.Groups, err = d.adoptAll(ctx, to, groups)
	}
	if err == nil {
		err = d.adoptLocks(ctx, from, to)
	}
	if err == nil {
		d.config.Logger.Warn("records were adopted", "from", from, "to", to, "users", done.Users, "groups", done.Groups)
	}
	return done, err
}

func (d *Directory) adoptAll(ctx context.Context, to string, changes []Change) (moved int, err error) {
	for some := range slices.Chunk(changes, adoptChunk) {
		results, err := d.Apply(ctx, to, some...)
		if err != nil {
			return moved, fmt.Errorf("adopting: %w", err)
		}
		for _, r := range results {
			if r.Changed {
				moved++
			}
		}
	}
	return moved, nil
}

// adoptLocks takes over the locks that wait for who comes back, see [linkSubject].
func (d *Directory) adoptLocks(ctx context.Context, from, to string) error {
	for _, l := range d.Locks() {
		connection, externalID, waits := l.Subject.waits()
		if !waits || connection != from {
			continue
		}
		if err := d.submit(ctx, func(b *batch) error { return (&planner{batch: b, connection: to}).adoptLock(l.Subject, externalID) }); err != nil {
			return fmt.Errorf("adopting the lock of %s: %w", l.Subject.Name, err)
		}
	}
	return nil
}

func (p *planner) adoptLock(old Subject, externalID string) error {
	waiting, link := p.lock(old), linkSubject(p.connection, externalID)
	if waiting == nil {
		return nil
	}
	if l := p.lock(link); l == nil || waiting.outlasts(l) {
		if err := p.emit(Delta{Kind: KindPutLock, Subject: link.encode(), Payload: encodeLock(waiting)}); err != nil {
			return err
		}
	}
	if err := p.emit(Delta{Kind: KindDeleteLock, Subject: old.encode()}); err != nil {
		return err
	}
	return p.takeWaiting(externalID)
}

// ClashError says that two connections have a name that only one record of a
// connection may have.
type ClashError struct {
	// Kind is user or group.
	Kind, Attribute, Value string
	// ID is the record that would move, Holder the one that is in its way.
	ID, Holder ID
}

// Error implements error.
func (e *ClashError) Error() string {
	return fmt.Sprintf("%s %s: %s %q is that of %s already", e.Kind, e.ID, e.Attribute, e.Value, e.Holder)
}

// maxClashes bounds those that are told.
const maxClashes = 100

// clashes returns why the records of a connection can't all be another's.
func (d *Directory) clashes(from, to string) error {
	var all []error
	clash := func(kind, attribute, value string, id, holder ID, there bool) {
		if there && value != "" && len(all) < maxClashes {
			all = append(all, &ClashError{Kind: kind, Attribute: attribute, Value: value, ID: id, Holder: holder})
		}
	}
	for u := range d.Users(from, "") {
		named, there := d.UserByName(to, u.UserName)
		clash("user", "userName", u.UserName, u.ID, named.ID, there)
		linked, there := d.UserByExternalID(to, u.ExternalID)
		clash("user", "externalId", u.ExternalID, u.ID, linked.ID, there)
	}
	for g := range d.Groups(from, "") {
		named, there := d.GroupByName(to, g.DisplayName)
		clash("group", "displayName", g.DisplayName, g.ID, named.ID, there)
		linked, there := d.GroupByExternalID(to, g.ExternalID)
		clash("group", "externalId", g.ExternalID, g.ID, linked.ID, there)
	}
	return errors.Join(all...)
}

func (p *planner) adoptUser(c AdoptUser) (Result, error) {
	ordinal, found := p.findID(c.ID)
	u := p.user(ordinal)
	if !found || u == nil || p.state.numbered(u.connection()).name != c.From {
		return Result{ID: c.ID}, nil
	}
	next := p.state.exportUser(u)
	var err error
	if next.Document, err = p.documentOf(KindPutUser, ordinal, c.ID, next.Revision); err != nil {
		return Result{}, err
	}
	next.Connection, next.Revision, next.Modified = p.connection, next.Revision+1, p.now
	if err := p.free(next, c.ID); err != nil {
		return Result{}, err
	}
	if err := p.emit(userDelta(next)); err != nil {
		return Result{}, err
	}
	return Result{ID: c.ID, Revision: next.Revision, Changed: true}, p.takeLock(next)
}

func (p *planner) adoptGroup(c AdoptGroup) (Result, error) {
	ordinal, found := p.findID(c.ID)
	g := p.group(ordinal)
	if !found || g == nil || p.state.numbered(g.connection).name != c.From {
		return Result{ID: c.ID}, nil
	}
	next := p.state.exportGroup(g)
	var err error
	if next.Document, err = p.documentOf(KindPutGroup, ordinal, c.ID, g.written); err != nil {
		return Result{}, err
	}
	next.Connection, next.Revision, next.Modified = p.connection, next.Revision+1, p.now
	if err := p.freeGroup(next, c.ID); err != nil {
		return Result{}, err
	}
	return Result{ID: c.ID, Revision: next.Revision, Changed: true}, p.emit(groupDelta(next))
}
