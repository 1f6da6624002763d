package emulator

import (
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/cosmosgate/cosmosgate/internal/emulator/document"
)

// items serves /dbs/{db}/colls/{container}/docs and one item below it.
func (x *exchange) items() (*response, error) {
	if err := x.triggers(); err != nil {
		return nil, err
	}
	if !x.address.feed {
		return x.item()
	}
	header := x.request.Header
	switch {
	case x.request.Method == http.MethodGet && header.Get("A-Im") != "":
		return x.changeFeed()
	case x.request.Method == http.MethodGet:
		return x.readFeed()
	case x.request.Method != http.MethodPost:
		return nil, methodNotAllowed()
	case header.Get("A-Im") != "":
		return nil, badRequest("This stand-in does not run queries over the change feed.")
	case is(header, headerIsPlan):
		return x.queryPlan()
	case x.isQuery():
		return x.query()
	case is(header, headerIsBatch):
		return x.batch()
	case is(header, headerIsUpsert):
		return x.upsert()
	default:
		return x.create()
	}
}

// item serves one item.
func (x *exchange) item() (*response, error) {
	switch x.request.Method {
	case http.MethodGet, http.MethodHead:
		return x.readItem()
	case http.MethodPut:
		return x.replace()
	case http.MethodPatch:
		return x.patch()
	case http.MethodDelete:
		return x.remove()
	default:
		return nil, methodNotAllowed()
	}
}

// triggers refuses writes that name triggers, because nothing here would run them.
func (x *exchange) triggers() error {
	for _, name := range []string{headerTriggerPre, headerTriggerPost} {
		if x.request.Header.Get(name) != "" {
			return badRequest("This stand-in does not run triggers.")
		}
	}
	return nil
}

func (x *exchange) conditions() conditions {
	return conditions{ifMatch: x.request.Header.Get("If-Match"), ifNoneMatch: x.request.Header.Get("If-None-Match")}
}

// itemKey reads the key of an operation on one item: all of its components must be there.
func (x *exchange) itemKey(c *container) (partitionKey, error) {
	key, present, err := requestKey(x.request.Header)
	if err != nil {
		return nil, err
	}
	if !present {
		if x.request.Header.Get(headerPartitionKey) == "" {
			return nil, badRequest("PartitionKey value must be supplied for this operation.")
		}
		return make(partitionKey, len(c.paths)), nil
	}
	if len(key) != len(c.paths) {
		return nil, badRequest("Partition key provided either doesn't correspond to definition in the collection or doesn't match partition key field values specified in the document.").with(substatusPartitionKeyMismatch)
	}
	return key, nil
}

// target finds the container and, for an address of ids, the id of the item by its resource id.
func (x *exchange) target() (*container, string, error) {
	s := x.emulator.store
	found, ok := s.container(&x.address)
	if !ok {
		return nil, "", notFound()
	}
	if !x.address.rids || x.address.feed {
		return found, x.address.id, nil
	}
	now := s.clock()
	for _, place := range found.order {
		if one, ok := place.live(now); ok {
			if rid, _ := one.value.Get("_rid").Text(); rid == x.address.leaf {
				return found, one.id, nil
			}
		}
	}
	return nil, "", notFound()
}

const kilobyte = 1024

// readCharge grows with the size of what is read: 1 unit for the first kilobyte.
func readCharge(size int) float64 {
	const perKilobyte = 0.16
	return 1 + perKilobyte*math.Max(0, math.Ceil(float64(size)/kilobyte)-1)
}

// writeCharge grows with the size of what is written.
func writeCharge(size int) float64 {
	const base, perKilobyte = 5.52, 1.3
	return base + perKilobyte*math.Max(0, math.Ceil(float64(size)/kilobyte)-1)
}

// itemAnswer is an answer about one version of an item; body says to include it.
func (x *exchange) itemAnswer(status int, c *container, one *item, body bool) *response {
	var content []byte
	if body {
		content = one.body
	}
	answer := newResponse(status, content)
	if status != http.StatusNoContent {
		answer.header.Set("Etag", one.etag)
	}
	x.containerHeaders(answer, c)
	answer.header.Set("X-Ms-Item-Lsn", strconv.FormatUint(one.lsn, 10))
	return answer
}

// containerHeaders adds what every answer from inside a container carries.
func (x *exchange) containerHeaders(answer *response, c *container) {
	answer.header.Set("Lsn", strconv.FormatUint(c.lsn, 10))
	answer.header.Set(headerSession, sessionToken(c.lsn))
	answer.header.Set(headerAltContentPath, c.altPath())
	answer.header.Set(headerContentPath, encodeRID(c.rid))
	answer.header.Set("X-Ms-Last-State-Change-Utc", c.database.properties.Get("_ts").String())
	answer.header.Set("X-Ms-Documentdb-Partitionkeyrangeid", onlyRange)
	if is(x.request.Header, headerPopulateQuota) {
		answer.header.Set("X-Ms-Resource-Quota", "documentSize=10240;documentsSize=10485760;documentsCount=-1;collectionSize=10485760;")
		answer.header.Set("X-Ms-Resource-Usage", "documentSize=0;documentsSize=0;documentsCount="+strconv.Itoa(len(c.items))+";collectionSize=0;")
	}
}

// wantsBody reports whether a write is to return the item.
func (x *exchange) wantsBody() bool {
	if strings.EqualFold(x.request.Header.Get("Prefer"), "return=minimal") {
		return false
	}
	return !strings.EqualFold(x.request.Header.Get(headerContentResponse), "false")
}

func (x *exchange) readItem() (*response, error) {
	if err := x.require(actionRead); err != nil {
		return nil, err
	}
	s := x.emulator.store
	s.mu.RLock()
	defer s.mu.RUnlock()
	c, id, err := x.target()
	if err != nil {
		return nil, err
	}
	key, err := x.itemKey(c)
	if err != nil {
		return nil, err
	}
	one, ok := c.find(key, id, x.now())
	if !ok {
		return nil, notFound()
	}
	if unless := x.request.Header.Get("If-None-Match"); unless != "" && (unless == "*" || unless == one.etag) {
		return x.itemAnswer(http.StatusNotModified, c, one, false).charged(1), nil
	}
	return x.itemAnswer(http.StatusOK, c, one, true).charged(readCharge(len(one.body))), nil
}

// write runs a change of one item under the lock and answers with the version it returns.
func (x *exchange) write(do func(*writer, partitionKey, string) (*item, int, error)) (*response, error) {
	if len(x.body) > maxItem {
		return nil, tooLarge()
	}
	s := x.emulator.store
	s.mu.Lock()
	defer s.mu.Unlock()
	c, id, err := x.target()
	if err != nil {
		return nil, err
	}
	key, err := x.itemKey(c)
	if err != nil {
		return nil, err
	}
	w := s.writer(c)
	one, status, err := do(w, key, id)
	if err != nil {
		return nil, err
	}
	w.done()
	return x.itemAnswer(status, c, one, x.wantsBody() && status != http.StatusNoContent).charged(writeCharge(len(one.body))), nil
}

func (x *exchange) create() (*response, error) {
	if err := x.require(actionCreate); err != nil {
		return nil, err
	}
	value, err := x.parseBody()
	if err != nil {
		return nil, err
	}
	return x.write(func(w *writer, key partitionKey, _ string) (*item, int, error) {
		one, err := w.create(value, key, true)
		return one, http.StatusCreated, err
	})
}

func (x *exchange) upsert() (*response, error) {
	if err := x.require(actionUpsert); err != nil {
		return nil, err
	}
	value, err := x.parseBody()
	if err != nil {
		return nil, err
	}
	return x.write(func(w *writer, key partitionKey, _ string) (*item, int, error) {
		one, created, err := w.upsert(value, key, true, x.conditions())
		return one, upsertStatus(created), err
	})
}

func upsertStatus(created bool) int {
	if created {
		return http.StatusCreated
	}
	return http.StatusOK
}

func (x *exchange) replace() (*response, error) {
	if err := x.require(actionReplace); err != nil {
		return nil, err
	}
	value, err := x.parseBody()
	if err != nil {
		return nil, err
	}
	return x.write(func(w *writer, key partitionKey, id string) (*item, int, error) {
		one, err := w.replace(id, value, key, x.conditions())
		return one, http.StatusOK, err
	})
}

func (x *exchange) remove() (*response, error) {
	if err := x.require(actionDelete); err != nil {
		return nil, err
	}
	return x.write(func(w *writer, key partitionKey, id string) (*item, int, error) {
		one, err := w.remove(id, key, x.conditions())
		return one, http.StatusNoContent, err
	})
}

// patch changes parts of an item. The service asks for the read action as well when the answer or
// a condition would tell what is in it.
func (x *exchange) patch() (*response, error) {
	if err := x.require(actionReplace); err != nil {
		return nil, err
	}
	body, err := x.parseBody()
	if err != nil {
		return nil, err
	}
	plan, err := x.emulator.patchPlan(body)
	if err != nil {
		return nil, err
	}
	return x.write(func(w *writer, key partitionKey, id string) (*item, int, error) {
		one, err := w.patch(x.request.Context(), id, key, plan, x.conditions())
		return one, http.StatusOK, err
	})
}

// readFeed lists the items of a scope, page by page, in the order of creation.
func (x *exchange) readFeed() (*response, error) {
	if err := x.require(actionChangeFeed); err != nil {
		return nil, err
	}
	s := x.emulator.store
	s.mu.RLock()
	c, _, err := x.target()
	if err != nil {
		s.mu.RUnlock()
		return nil, err
	}
	over, _, err := x.scope(c)
	if err != nil {
		s.mu.RUnlock()
		return nil, err
	}
	items := c.within(over, x.now())
	s.mu.RUnlock()
	page, err := x.newPage("feed " + encodeRID(c.rid))
	if err != nil {
		return nil, err
	}
	for _, one := range items {
		if !page.given(one.sequence, 0) && !page.add(one.value, len(one.body), one.sequence, 0) {
			break
		}
	}
	answer := feed(encodeRID(c.rid), "Documents", page.values)
	page.finish(answer)
	x.emulator.store.mu.RLock()
	defer x.emulator.store.mu.RUnlock()
	x.containerHeaders(answer, c)
	return answer.charged(metadataCharge + readCharge(page.size)), nil
}

// scope reads which items a request ranges over: a partition key, the one physical partition, a
// span of the hash space, or, when scoped is false, everything without saying so.
func (x *exchange) scope(c *container) (over scope, scoped bool, err error) {
	header := x.request.Header
	key, present, err := requestKey(header)
	if err != nil {
		return scope{}, false, err
	}
	if present {
		if len(key) > len(c.paths) {
			return scope{}, false, badRequest("Partition key provided doesn't correspond to definition in the collection.").with(substatusPartitionKeyMismatch)
		}
		over.scoped, over.key, scoped = true, key, true
	}
	if id := header.Get(headerRangeID); id != "" {
		_, own, found := strings.Cut(id, ",")
		if !found {
			own = id
		}
		if own != onlyRange {
			return scope{}, false, refuse(http.StatusGone, "Partition key range %s is gone.", id).with(substatusRangeGone)
		}
		scoped = true
	}
	low, high := header.Get(headerStartEPK), header.Get(headerEndEPK)
	if low == "" && high == "" {
		return over, scoped, nil
	}
	if header.Get(headerReadKeyType) != valueEffectivePartitionKeyType {
		return scope{}, false, badRequest("A span of effective partition keys needs x-ms-read-key-type: EffectivePartitionKeyRange.")
	}
	over.ranged, over.low, over.high = true, strings.ToUpper(low), strings.ToUpper(high)
	return over, true, nil
}

// valuesOf returns the values of items.
func valuesOf(items []*item) func(yield func(document.Value) bool) {
	return func(yield func(document.Value) bool) {
		for _, one := range items {
			if !yield(one.value) {
				return
			}
		}
	}
}
