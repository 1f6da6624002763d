package scim

import (
	"context"
	"net/http"
	"strings"

	"github.com/cosmosgate/cosmosgate/directory"
)

// handle finds what a call is for. It is the same for requests and for the
// operations of a Bulk request.
func (c *connection) handle(ctx context.Context, k call) (answer, error) {
	if len(k.path) == 0 {
		return answer{}, noEndpoint()
	}
	if k.body == nil && needsBody(k.method) && !discovery(k.path) {
		return answer{}, refusal(KindInvalidSyntax, "body is empty")
	}
	for _, kind := range []*resourceType{c.kinds.user, c.kinds.group} {
		if strings.EqualFold("/"+k.path[0], kind.endpoint) { // some clients write /users
			return c.handleKind(ctx, k, kind)
		}
	}
	switch k.path[0] {
	case "ServiceProviderConfig", referenceConfig, "ResourceTypes", "Schemas":
		return c.discover(k)
	case ".search":
		if len(k.path) > 1 {
			return answer{}, notFound()
		}
		return c.handleSearch(k, c.kinds.user, c.kinds.group)
	case "Bulk":
		return c.handleBulk(ctx, k)
	case "Me":
		return answer{}, &Error{Status: http.StatusNotImplemented, Detail: "/Me is not supported"}
	default:
		return answer{}, noEndpoint()
	}
}

func needsBody(method string) bool {
	return method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch
}

// handleKind serves /Users or /Groups and what is below.
func (c *connection) handleKind(ctx context.Context, k call, kind *resourceType) (answer, error) {
	switch {
	case len(k.path) == 1 && k.method == http.MethodGet:
		return c.list(k.query, kind)
	case len(k.path) == 1 && k.method == http.MethodPost:
		return c.create(ctx, k, kind)
	case len(k.path) == 2 && k.path[1] == ".search":
		return c.handleSearch(k, kind)
	case len(k.path) != 2:
		return answer{}, pathOrMethod(len(k.path) == 1)
	}
	id := directory.ID(k.path[1])
	switch k.method {
	case http.MethodGet:
		return c.read(k, kind, id)
	case http.MethodPut:
		return c.replace(ctx, k, kind, id)
	case http.MethodPatch:
		return c.patch(ctx, k, kind, id)
	case http.MethodDelete:
		return c.remove(ctx, k, kind, id)
	default:
		return answer{}, pathOrMethod(true)
	}
}

// pathOrMethod is 405 for a path that exists and 404 for any other.
func pathOrMethod(exists bool) *Error {
	if exists {
		return &Error{Status: http.StatusMethodNotAllowed, Detail: "method not allowed here"}
	}
	return noEndpoint()
}

// handleSearch serves .search: a list whose query is the body.
func (c *connection) handleSearch(k call, of ...*resourceType) (answer, error) {
	if k.method != http.MethodPost {
		return answer{}, pathOrMethod(true)
	}
	q, err := parseSearch(k.body, c.strict)
	if err != nil {
		return answer{}, err
	}
	q.spent = k.query.spent
	return c.list(q, of...)
}

// create serves POST.
func (c *connection) create(ctx context.Context, k call, kind *resourceType) (answer, error) {
	document, err := c.document(kind, k.body)
	if err != nil {
		return answer{}, err
	}
	var changes []directory.Change
	if kind == c.kinds.user {
		if _, ok := document["active"]; !ok {
			document["active"] = true
		}
		create := directory.CreateUser{}
		if err := fillUser(&create.User, kind, document); err != nil {
			return answer{}, err
		}
		changes = append(changes, create)
	} else {
		members, err := takeMembers(document)
		if err != nil {
			return answer{}, err
		}
		create := directory.CreateGroup{}
		if err := fillGroup(&create.Group, document); err != nil {
			return answer{}, err
		}
		changes = append(changes, create)
		if len(members) > 0 {
			changes = append(changes, directory.AddMembers{Members: members})
		}
	}
	results, err := c.commit(ctx, k.query.spent, changes...)
	if err != nil {
		return answer{}, err
	}
	if kind == c.kinds.user {
		return c.showUser(results[0].User, document, http.StatusCreated, k.query)
	}
	return c.show(kind, results[0].ID, http.StatusCreated, k.query)
}

// takeMembers removes the members from a normalised group and returns their ids.
func takeMembers(document map[string]any) ([]directory.ID, error) {
	ids, err := memberIDs(document["members"])
	delete(document, "members")
	return ids, err
}

// show answers with a resource as it is now.
func (c *connection) show(kind *resourceType, id directory.ID, status int, q query) (answer, error) {
	version, body, err := c.rendered(kind, id, q.projection(kind))
	if err != nil {
		return answer{}, err
	}
	return answer{status: status, location: c.location(kind, id), version: version, body: body}, nil
}

// showUser answers with a user as a change left it, and its document, which
// nobody else needs any more.
func (c *connection) showUser(u *directory.User, document map[string]any, status int, q query) (answer, error) {
	p := q.projection(c.kinds.user)
	if err := p.spent.render(len(u.Document)); err != nil {
		return answer{}, err
	}
	resource, err := c.completeUser(document, *u, p)
	if err != nil {
		return answer{}, err
	}
	return answer{status: status, location: c.location(c.kinds.user, u.ID), version: u.Revision, body: resource}, nil
}

// rendered renders one resource as it is now.
func (c *connection) rendered(kind *resourceType, id directory.ID, p projection) (uint64, map[string]any, error) {
	if kind == c.kinds.user {
		u, err := c.directory.ReadUser(c.Name, id)
		if err != nil {
			return 0, nil, err //nolint:wrapcheck // explain translates the directory's own words
		}
		resource, err := c.renderUser(u, p)
		return u.Revision, resource, err
	}
	g, err := c.directory.ReadGroup(c.Name, id)
	if err != nil {
		return 0, nil, err //nolint:wrapcheck // as above
	}
	resource, err := c.renderGroup(g, p)
	return g.Revision, resource, err
}

// revision returns a resource's current version.
func (c *connection) revision(kind *resourceType, id directory.ID) (uint64, error) {
	of := directory.KindPutUser
	if kind == c.kinds.group {
		of = directory.KindPutGroup
	}
	if revision, ok := c.directory.Revision(of, c.Name, id); ok {
		return revision, nil
	}
	return 0, notFound()
}

// read serves GET of one resource.
func (c *connection) read(k call, kind *resourceType, id directory.ID) (answer, error) {
	version, err := c.revision(kind, id)
	if err != nil {
		return answer{}, err
	}
	if k.ifMatch != "" && !matchesTag(k.ifMatch, version) {
		return answer{}, &Error{Status: http.StatusPreconditionFailed, Detail: "resource has changed"}
	}
	if k.ifNoneMatch != "" && matchesTag(k.ifNoneMatch, version) {
		return answer{status: http.StatusNotModified, version: version}, nil
	}
	return c.show(kind, id, http.StatusOK, k.query)
}

// replace serves PUT: what the body doesn't hold is cleared.
func (c *connection) replace(ctx context.Context, k call, kind *resourceType, id directory.ID) (answer, error) {
	current, err := c.revision(kind, id)
	if err != nil {
		return answer{}, err
	}
	revision, err := k.expected(current)
	if err != nil {
		return answer{}, err
	}
	document, err := c.document(kind, k.body)
	if err != nil {
		return answer{}, err
	}
	var changes []directory.Change
	if kind == c.kinds.user {
		changes = append(changes, directory.EditUser{ID: id, IfRevision: revision, Edit: replaceUser(kind, document)})
	} else {
		members, err := takeMembers(document)
		if err != nil {
			return answer{}, err
		}
		var filled directory.GroupRecord
		if err := fillGroup(&filled, document); err != nil {
			return answer{}, err
		}
		if err := k.query.spent.compare(c.directory.MemberCount(id) + len(members)); err != nil {
			return answer{}, err
		}
		changes = append(changes,
			directory.EditGroup{ID: id, IfRevision: revision, Edit: replaceGroup(filled)},
			directory.SetMembers{Group: id, Members: members})
	}
	results, err := c.commit(ctx, k.query.spent, changes...)
	if err != nil {
		return answer{}, err
	}
	if kind == c.kinds.user {
		return c.showUser(results[0].User, document, http.StatusOK, k.query)
	}
	return c.show(kind, id, http.StatusOK, k.query)
}

func replaceUser(kind *resourceType, document map[string]any) func(directory.User) (directory.User, error) {
	return func(u directory.User) (directory.User, error) {
		if _, ok := document["active"]; !ok {
			document["active"] = u.Active
		}
		err := fillUser(&u, kind, document)
		return u, err // after what filled it
	}
}

func replaceGroup(filled directory.GroupRecord) func(directory.GroupRecord) (directory.GroupRecord, error) {
	return func(directory.GroupRecord) (directory.GroupRecord, error) { return filled, nil }
}

// remove serves DELETE.
func (c *connection) remove(ctx context.Context, k call, kind *resourceType, id directory.ID) (answer, error) {
	current, err := c.revision(kind, id)
	if err != nil {
		return answer{}, err
	}
	revision, err := k.expected(current)
	if err != nil {
		return answer{}, err
	}
	var change directory.Change = directory.DeleteUser{ID: id, IfRevision: revision}
	if kind == c.kinds.group {
		change = directory.DeleteGroup{ID: id, IfRevision: revision}
	}
	_, err = c.commit(ctx, k.query.spent, change)
	return answer{status: http.StatusNoContent}, err
}
