package emulator

import (
	"encoding/binary"
	"net/http"
	"slices"

	"github.com/cosmosgate/cosmosgate/internal/emulator/document"
)

// childSet holds the scripts of a container and the users and keys of a database as they were
// written. Nothing is ever run.
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
	if x.address.kind == resourcePermission {
		return nil, refuse(http.StatusBadRequest, "This stand-in has no permissions: resource tokens are not supported.")
	}
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
	set, rid, self, ok := s.childSet(&x.address)
	if !ok {
		return nil, notFound()
	}
	if x.address.feed {
		return x.childFeed(set, rid, self)
	}
	return x.child(set)
}

// childSet finds where the children an address names are kept.
func (s *store) childSet(a *address) (set *childSet, rid []byte, self string, ok bool) {
	if a.kind == resourceUser || a.kind == resourceKey {
		parent, ok := s.database(a)
		if !ok {
			return nil, nil, "", false
		}
		return &parent.children, parent.rid, "dbs/" + encodeRID(parent.rid) + "/", true
	}
	parent, ok := s.container(a)
	if !ok {
		return nil, nil, "", false
	}
	return &parent.children, parent.rid, parent.self(), true
}

func (x *exchange) childFeed(set *childSet, rid []byte, self string) (*response, error) {
	kind := x.address.kind
	switch {
	case x.request.Method == http.MethodGet:
		return feed(encodeRID(rid), childFeed(kind), (*set)[kind]).charged(metadataCharge), nil
	case x.request.Method != http.MethodPost:
		return nil, methodNotAllowed()
	case x.isQuery():
		return x.queryValues(encodeRID(rid), childFeed(kind), (*set)[kind])
	}
	properties, err := x.parseBody()
	if err != nil {
		return nil, err
	}
	name, err := resourceName(properties)
	if err != nil {
		return nil, err
	}
	if childIndex((*set)[kind], name) >= 0 {
		return nil, conflict()
	}
	s := x.emulator.store
	if *set == nil {
		*set = childSet{}
	}
	s.lastChild++
	own := binary.BigEndian.AppendUint64(slices.Clone(rid), s.lastChild)
	added := s.system(properties, own, self+string(kind)+"/"+encodeRID(own)+"/")
	(*set)[kind] = append((*set)[kind], added)
	return described(http.StatusCreated, added), nil
}

func childIndex(list []document.Value, name string) int {
	return slices.IndexFunc(list, func(one document.Value) bool {
		id, _ := one.Get("id").Text()
		rid, _ := one.Get("_rid").Text()
		return id == name || rid == name
	})
}

func (x *exchange) child(set *childSet) (*response, error) {
	list := (*set)[x.address.kind]
	at := childIndex(list, x.address.id)
	if at < 0 {
		return nil, notFound()
	}
	switch x.request.Method {
	case http.MethodGet:
		return described(http.StatusOK, list[at]), nil
	case http.MethodDelete:
		(*set)[x.address.kind] = slices.Delete(slices.Clone(list), at, at+1)
		return newResponse(http.StatusNoContent, nil).charged(metadataCharge), nil
	case http.MethodPut:
		properties, err := x.parseBody()
		if err != nil {
			return nil, err
		}
		for _, kept := range []string{"_rid", "_self", "_ts"} {
			properties = properties.With(kept, list[at].Get(kept))
		}
		changed := slices.Clone(list)
		changed[at] = properties.With("_etag", text(x.emulator.store.etag()))
		(*set)[x.address.kind] = changed
		return described(http.StatusOK, changed[at]), nil
	default:
		return nil, methodNotAllowed()
	}
}
