package emulator

import (
	"net/http"
	"strconv"

	"github.com/cosmosgate/cosmosgate/internal/emulator/document"
)

// containers serves /dbs/{db}/colls and /dbs/{db}/colls/{container}.
func (x *exchange) containers() (*response, error) {
	switch {
	case x.address.feed && x.request.Method == http.MethodGet:
		return x.listContainers(false)
	case x.address.feed && x.request.Method == http.MethodPost && x.isQuery():
		return x.listContainers(true)
	case x.address.feed && x.request.Method == http.MethodPost:
		return x.createContainer()
	case !x.address.feed && x.request.Method == http.MethodGet:
		return x.readContainer()
	case !x.address.feed && x.request.Method == http.MethodPut:
		return x.replaceContainer()
	case !x.address.feed && x.request.Method == http.MethodDelete:
		return x.deleteContainer()
	default:
		return nil, methodNotAllowed()
	}
}

func (x *exchange) listContainers(byQuery bool) (*response, error) {
	if err := x.require(actionReadMetadata); err != nil {
		return nil, err
	}
	s := x.emulator.store
	s.mu.RLock()
	parent, ok := s.database(&x.address)
	if !ok {
		s.mu.RUnlock()
		return nil, notFound()
	}
	values := make([]document.Value, len(parent.containers))
	for i, one := range parent.containers {
		values[i] = one.properties
	}
	s.mu.RUnlock()
	if byQuery {
		return x.queryValues(encodeRID(parent.rid), "DocumentCollections", values)
	}
	return feed(encodeRID(parent.rid), "DocumentCollections", values).charged(metadataCharge), nil
}

func (x *exchange) createContainer() (*response, error) {
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
	parent, ok := s.database(&x.address)
	if !ok {
		return nil, notFound()
	}
	added, err := s.addContainer(parent, properties)
	if err != nil {
		return nil, err
	}
	shared := s.hasOffer(encodeRID(parent.rid))
	if err := s.offerFromHeaders(x.request.Header, encodeRID(added.rid), added.self(), !shared); err != nil {
		parent.removeContainer(added)
		return nil, err
	}
	return x.containerAnswer(http.StatusCreated, added), nil
}

func (x *exchange) containerAnswer(status int, c *container) *response {
	answer := described(status, c.properties)
	answer.header.Set(headerSession, sessionToken(max(c.lsn, 1)))
	answer.header.Set(headerAltContentPath, "dbs/"+c.database.name)
	answer.header.Set(headerContentPath, encodeRID(c.rid))
	if is(x.request.Header, headerPopulateQuota) {
		answer.header.Set("X-Ms-Resource-Quota", "documentSize=10240;documentsSize=10485760;documentsCount=-1;collectionSize=10485760;")
		answer.header.Set("X-Ms-Resource-Usage", "documentSize=0;documentsSize=0;documentsCount="+strconv.Itoa(len(c.items))+";collectionSize=0;")
	}
	return answer
}

func (x *exchange) readContainer() (*response, error) {
	if err := x.require(actionReadMetadata); err != nil {
		return nil, err
	}
	s := x.emulator.store
	s.mu.RLock()
	defer s.mu.RUnlock()
	found, ok := s.container(&x.address)
	if !ok {
		return nil, notFound()
	}
	return x.containerAnswer(http.StatusOK, found), nil
}

// replaceContainer takes new policies; the partition key and the id stay what they are.
func (x *exchange) replaceContainer() (*response, error) {
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
	found, ok := s.container(&x.address)
	if !ok {
		return nil, notFound()
	}
	if name, ok := properties.Get("id").Text(); !ok || name != found.name {
		return nil, badRequest("Replacing the id of a container is not allowed.")
	}
	old := found.properties.Get("partitionKey")
	if !document.Equal(properties.Get("partitionKey").Get("paths"), old.Get("paths")) {
		return nil, badRequest("Document collection partition key cannot be changed.")
	}
	if err := found.redefine(properties.With("partitionKey", old)); err != nil {
		return nil, err
	}
	s.describe(found)
	return x.containerAnswer(http.StatusOK, found), nil
}

func (x *exchange) deleteContainer() (*response, error) {
	if err := x.keyOnly(); err != nil {
		return nil, err
	}
	s := x.emulator.store
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.container(&x.address)
	if !ok {
		return nil, notFound()
	}
	s.removeOffer(encodeRID(found.rid))
	found.database.removeContainer(found)
	return newResponse(http.StatusNoContent, nil).charged(metadataCharge), nil
}
