package emulator

import (
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/cosmosgate/cosmosgate/internal/emulator/document"
)

// maxItem is the service's bound on an item and on a batch, in bytes.
const maxItem = 2 << 20

// writer changes one container. The caller holds the store's lock. It can take back what it did.
type writer struct {
	store *store
	into  *container
	now   time.Time
	undo  []func()
}

func (s *store) writer(into *container) *writer {
	return &writer{store: s, into: into, now: s.clock()}
}

// rollback takes back everything this writer changed, last first.
func (w *writer) rollback() {
	for _, step := range slices.Backward(w.undo) {
		step()
	}
	w.undo = nil
}

// done ends the work: there is no taking back after it.
func (w *writer) done() {
	w.undo = nil
	w.into.tidy()
}

// conditions are the preconditions of a write to what exists; "" is none.
type conditions struct{ ifMatch, ifNoneMatch string }

func (c conditions) check(current *item) error {
	if c.ifMatch != "" && c.ifMatch != "*" && c.ifMatch != current.etag {
		return preconditionFailed()
	}
	if c.ifNoneMatch != "" && (c.ifNoneMatch == "*" || c.ifNoneMatch == current.etag) {
		return preconditionFailed()
	}
	return nil
}

// create stores a new item.
func (w *writer) create(value document.Value, key partitionKey, given bool) (*item, error) {
	id, key, err := w.identify(value, key, given)
	if err != nil {
		return nil, err
	}
	if _, exists := w.into.find(key, id, w.now); exists {
		return nil, conflict()
	}
	return w.keep(value, id, key, nil)
}

// upsert stores an item whether or not there is one; created says there was none.
func (w *writer) upsert(value document.Value, key partitionKey, given bool, when conditions) (stored *item, created bool, err error) {
	id, key, err := w.identify(value, key, given)
	if err != nil {
		return nil, false, err
	}
	current, exists := w.into.find(key, id, w.now)
	if exists {
		if err := when.check(current); err != nil {
			return nil, false, err
		}
	}
	stored, err = w.keep(value, id, key, current)
	return stored, !exists, err
}

// replace stores a new version of an item. Its id must stay what it is.
func (w *writer) replace(target string, value document.Value, key partitionKey, when conditions) (*item, error) {
	current, exists := w.into.find(key, target, w.now)
	if !exists {
		return nil, notFound()
	}
	id, key, err := w.identify(value, key, true)
	if err != nil {
		return nil, err
	}
	if err := when.check(current); err != nil {
		return nil, err
	}
	if id != target {
		return nil, badRequest("Replacing the id of an item is not allowed.")
	}
	return w.keep(value, id, key, current)
}

// remove deletes an item and returns its last version.
func (w *writer) remove(target string, key partitionKey, when conditions) (*item, error) {
	current, exists := w.into.find(key, target, w.now)
	if !exists {
		return nil, notFound()
	}
	if err := when.check(current); err != nil {
		return nil, err
	}
	c := w.into
	name := itemKey{key.String(), target}
	place, beforeLSN, beforeChanges := c.items[name], c.lsn, c.changes
	c.lsn++
	c.drop(name)
	c.remember(change{operation: "delete", earlier: current, lsn: c.lsn, when: w.now})
	w.undo = append(w.undo, func() {
		c.restore(name, place, current)
		c.lsn, c.changes = beforeLSN, beforeChanges
	})
	return current, nil
}

// longestID is the service's bound on an item's id, in bytes.
const longestID = 1023

// identify checks an item's id and that its partition key is the one given.
func (w *writer) identify(value document.Value, key partitionKey, given bool) (string, partitionKey, error) {
	if value.Kind() != document.Object {
		return "", nil, badRequest(`Message: {"Errors":["The input content is invalid because it is not a JSON object."]}`)
	}
	id, ok := value.Get("id").Text()
	if !ok || id == "" {
		return "", nil, badRequest(`Message: {"Errors":["The input content is invalid because the required properties - 'id; ' - are missing"]}`)
	}
	if len(id) > longestID {
		return "", nil, badRequest(`Message: {"Errors":["The id of an item must not be longer than 1023 bytes."]}`)
	}
	own, err := w.into.keyOf(value)
	if err != nil {
		return "", nil, err
	}
	if !given {
		return id, own, nil
	}
	if own.String() != key.String() {
		return "", nil, badRequest("PartitionKey extracted from document doesn't match the one specified in the header. Learn more: https://aka.ms/CosmosDB/sql/errors/wrong-pk-value").with(substatusPartitionKeyMismatch)
	}
	return id, own, nil
}

// keep gives a value its system properties and makes it the current version.
func (w *writer) keep(value document.Value, id string, key partitionKey, current *item) (*item, error) {
	c := w.into
	lives, err := parseTTL(value.Get("ttl"))
	if err != nil {
		return nil, err
	}
	if err := w.unique(value, id, key); err != nil {
		return nil, err
	}
	rid := c.itemRID(current)
	version := &item{id: id, key: key, lsn: c.lsn + 1, when: w.now}
	// The service writes its own properties, last, whatever the caller sent under their names.
	for _, name := range systemProperties() {
		value = value.With(name, document.Value{})
	}
	version.value = w.store.system(value, rid, c.self()+"docs/"+encodeRID(rid)+"/").
		With("_attachments", document.StringValue("attachments/"))
	version.etag, _ = version.value.Get("_etag").Text()
	version.body = version.value.Append(nil)
	if len(version.body) > maxItem {
		return nil, tooLarge()
	}
	version.expires = c.expiry(lives, w.now)
	w.commit(version, current)
	return version, nil
}

func systemProperties() []string { return []string{"_rid", "_self", "_etag", "_ts", "_attachments"} }

// itemRID keeps the resource id of an existing item and makes one for a new one.
func (c *container) itemRID(current *item) []byte {
	if current != nil {
		if text, ok := current.value.Get("_rid").Text(); ok {
			rid, _ := decodeRID(text)
			return rid
		}
	}
	return binary.LittleEndian.AppendUint64(slices.Clone(c.rid), c.lastItem+1)
}

// commit makes the version current and notes how to take it back.
func (w *writer) commit(version, current *item) {
	c := w.into
	name := itemKey{version.key.String(), version.id}
	if stale, ok := c.items[name]; ok && current == nil && stale.item != nil {
		c.drop(name) // it had expired
	}
	beforeLSN, beforeChanges := c.lsn, c.changes
	c.lsn++
	c.put(version)
	operation := "create"
	if current != nil {
		operation = "replace"
	}
	c.remember(change{operation: operation, current: version, earlier: current, lsn: c.lsn, when: w.now})
	w.undo = append(w.undo, func() {
		if current != nil {
			c.items[name].item = current
		} else {
			c.drop(name)
		}
		c.lsn, c.changes = beforeLSN, beforeChanges
	})
}

// unique refuses a value that another item of the partition has under a unique key.
func (w *writer) unique(value document.Value, id string, key partitionKey) error {
	for _, paths := range w.into.uniqueKeys {
		mine := uniqueValue(value, paths)
		for _, other := range w.into.within(scope{scoped: true, key: key}, w.now) {
			if other.id != id && uniqueValue(other.value, paths) == mine {
				return conflict()
			}
		}
	}
	return nil
}

func uniqueValue(value document.Value, paths [][]string) string {
	var text strings.Builder
	for _, path := range paths {
		at := value
		for _, step := range path {
			at = at.Get(step)
		}
		text.WriteString(at.Key())
		text.WriteByte('\n')
	}
	return text.String()
}
