package emulator

import (
	"net/http"
	"strconv"

	"github.com/cosmosgate/cosmosgate/internal/emulator/document"
)

// metadataCharge is what the service asks for most requests about databases and containers.
const metadataCharge = 2

// databases serves /dbs and /dbs/{db}.
func (x *exchange) databases() (*response, error) {
	switch {
	case x.address.feed && x.request.Method == http.MethodGet:
		return x.listDatabases()
	case x.address.feed && x.request.Method == http.MethodPost && x.isQuery():
		return x.queryDatabases()
	case x.address.feed && x.request.Method == http.MethodPost:
		return x.createDatabase()
	case !x.address.feed && x.request.Method == http.MethodGet:
		return x.readDatabase()
	case !x.address.feed && x.request.Method == http.MethodDelete:
		return x.deleteDatabase()
	default:
		return nil, methodNotAllowed()
	}
}

func (x *exchange) listDatabases() (*response, error) {
	if err := x.require(actionReadMetadata); err != nil {
		return nil, err
	}
	return feed("", "Databases", x.databaseValues()).charged(metadataCharge), nil
}

func (x *exchange) databaseValues() []document.Value {
	s := x.emulator.store
	s.mu.RLock()
	defer s.mu.RUnlock()
	values := make([]document.Value, len(s.databases))
	for i, one := range s.databases {
		values[i] = one.properties
	}
	return values
}

func (x *exchange) queryDatabases() (*response, error) {
	if err := x.require(actionReadMetadata); err != nil {
		return nil, err
	}
	return x.queryValues("", "Databases", x.databaseValues())
}

func (x *exchange) createDatabase() (*response, error) {
	if err := x.keyOnly(); err != nil {
		return nil, err
	}
	properties, err := x.parseBody()
	if err != nil {
		return nil, err
	}
	s := x.emulator.store
	s.mu.Lock()
	defer s.mu.Unlock()
	added, err := s.addDatabase(properties)
	if err != nil {
		return nil, err
	}
	if err := s.offerFromHeaders(x.request.Header, encodeRID(added.rid), "dbs/"+encodeRID(added.rid)+"/", false); err != nil {
		s.removeDatabase(added)
		return nil, err
	}
	return described(http.StatusCreated, added.properties), nil
}

// described is an answer that is one resource with its entity tag.
func described(status int, properties document.Value) *response {
	answer := valueResponse(status, properties).charged(metadataCharge)
	if etag, ok := properties.Get("_etag").Text(); ok {
		answer.header.Set("Etag", etag)
	}
	answer.header.Set(headerSession, sessionToken(1))
	return answer
}

// sessionToken writes a sequence number the way the one physical partition's tokens look.
func sessionToken(lsn uint64) string { return "0:-1#" + strconv.FormatUint(lsn, 10) }

func (x *exchange) readDatabase() (*response, error) {
	if err := x.require(actionReadMetadata); err != nil {
		return nil, err
	}
	s := x.emulator.store
	s.mu.RLock()
	defer s.mu.RUnlock()
	found, ok := s.database(&x.address)
	if !ok {
		return nil, notFound()
	}
	return described(http.StatusOK, found.properties), nil
}

func (x *exchange) deleteDatabase() (*response, error) {
	if err := x.keyOnly(); err != nil {
		return nil, err
	}
	s := x.emulator.store
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.database(&x.address)
	if !ok {
		return nil, notFound()
	}
	s.removeDatabase(found)
	return newResponse(http.StatusNoContent, nil).charged(metadataCharge), nil
}
