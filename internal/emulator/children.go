package emulator

import (
	"encoding/binary"
	"net/http"
	"slices"

	"github.com/cosmosgate/cosmosgate/internal/emulator/document"
)

// childSet holds the scripts of a container and the users, permissions and keys of a database as they were
// written. Nothing is ever run, and no permission's token opens anything.
type childSet map[resource][]document.Value

func childFeed(kind resource) string {
	switch kind {
	case resourceSproc:
		return "StoredProcedures"
	case resourceTrigger:
		return "Triggers"
	case resourceUDF:
		return "UserDefinedFunctions"
	case resourceUser:
		return "Users"
	case resourceKey:
		return "ClientEncryptionKeys"
	default:
		return "Permissions"
	}
}

// children serves scripts, users and client encryption keys, to the account key only, except that
// a token may read keys.
func (x *exchange) children() (*response, error) {
	if x.address.kind == resourceSproc && !x.address.feed && x.request.Method == http.MethodPost {
		if err := x.require(actionProcedure); err != nil {
			return nil, err
		}
		return nil, badRequest("This stand-in does not run stored procedures.")
	}
	if x.address.kind == resourceKey && x.request.Method == http.MethodGet {
		if err := x.require(actionReadMetadata); err != nil {
			return nil, err
		}
	} else if err := x.keyOnly(); err != nil {
		return nil, err
	}
	s := x.emulator.store
	s.mu.Lock()
	defer s.mu.Unlock()
	place, ok := s.childPlace(&x.address)
	if !ok {
		return nil, notFound()
	}
	if x.address.feed {
		return x.childFeed(&place)
	}
	return x.child(&place)
}

// childPlace is where the children that an address names are kept.
type childPlace struct {
	set  *childSet
	slot resource
	rid  []byte // of their parent
	self string
}

// childPlace finds where the children an address names are kept. Permissions are kept beside the users of their database, in a slot for each
// user.
func (s *store) childPlace(a *address) (childPlace, bool) {
	switch a.kind { //nolint:exhaustive // the others are children of a container
	case resourceUser, resourceKey, resourcePermission:
		parent, ok := s.database(a)
		if !ok {
			return childPlace{}, false
		}
		place := childPlace{&parent.children, a.kind, parent.rid, "dbs/" + encodeRID(parent.rid) + "/"}
		if a.kind == resourcePermission {
			return place.of(a.parent)
		}
		return place, true
	}
	parent, ok := s.container(a)
	if !ok {
		return childPlace{}, false
	}
	return childPlace{&parent.children, a.kind, parent.rid, parent.self()}, true
}

// of is the place of a user's permissions.
func (p childPlace) of(user string) (childPlace, bool) {
	users := (*p.set)[resourceUser]
	at := childIndex(users, user)
	if at < 0 {
		return childPlace{}, false
	}
	owner, _ := users[at].Get("_rid").Text()
	p.rid, _ = decodeRID(owner)
	p.self, _ = users[at].Get("_self").Text()
	p.slot = resourcePermission + resource("/"+owner)
	return p, true
}

// withToken gives a permission the token that the service would mint. Its signature is nobody's: requests that carry it are refused.
func withToken(permission document.Value) document.Value {
	return permission.With("_token", text("type=resource&ver=1&sig=bm90IHN1cHBvcnRlZA==;"))
}

func (x *exchange) childFeed(p *childPlace) (*response, error) {
	kind, kept := x.address.kind, (*p.set)[p.slot]
	switch {
	case x.request.Method == http.MethodGet:
		return feed(encodeRID(p.rid), childFeed(kind), kept).charged(metadataCharge), nil
	case x.request.Method != http.MethodPost:
		return nil, methodNotAllowed()
	case x.isQuery():
		return x.queryValues(encodeRID(p.rid), childFeed(kind), kept)
	}
	properties, err := x.parseBody()
	if err != nil {
		return nil, err
	}
	name, err := resourceName(properties)
	if err != nil {
		return nil, err
	}
	if childIndex(kept, name) >= 0 {
		return nil, conflict()
	}
	s := x.emulator.store
	if *p.set == nil {
		*p.set = childSet{}
	}
	s.lastChild++
	own := binary.BigEndian.AppendUint64(slices.Clone(p.rid), s.lastChild)
	added := s.system(properties, own, p.self+string(kind)+"/"+encodeRID(own)+"/")
	if kind == resourcePermission {
		added = withToken(added)
	}
	(*p.set)[p.slot] = append(kept, added)
	return described(http.StatusCreated, added), nil
}

func childIndex(list []document.Value, name string) int {
	return slices.IndexFunc(list, func(one document.Value) bool {
		id, _ := one.Get("id").Text()
		rid, _ := one.Get("_rid").Text()
		return id == name || rid == name
	})
}

func (x *exchange) child(p *childPlace) (*response, error) {
	list := (*p.set)[p.slot]
	at := childIndex(list, x.address.id)
	if at < 0 {
		return nil, notFound()
	}
	switch x.request.Method {
	case http.MethodGet:
		return described(http.StatusOK, list[at]), nil
	case http.MethodDelete:
		(*p.set)[p.slot] = slices.Delete(slices.Clone(list), at, at+1)
		return newResponse(http.StatusNoContent, nil).charged(metadataCharge), nil
	case http.MethodPut:
		properties, err := x.parseBody()
		if err != nil {
			return nil, err
		}
		for _, kept := range []string{"_rid", "_self", "_ts", "_token"} {
			if value := list[at].Get(kept); value.Defined() {
				properties = properties.With(kept, value)
			}
		}
		changed := slices.Clone(list)
		changed[at] = properties.With("_etag", text(x.emulator.store.etag()))
		(*p.set)[p.slot] = changed
		return described(http.StatusOK, changed[at]), nil
	default:
		return nil, methodNotAllowed()
	}
}
