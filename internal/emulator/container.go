package emulator

import (
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/cosmosgate/cosmosgate/internal/emulator/document"
)

// container holds items by (partition key, id).
type container struct {
	name       string
	rid        []byte
	database   *database
	properties document.Value
	paths      [][]string
	uniqueKeys [][][]string
	defaultTTL ttl
	children   childSet

	items      map[itemKey]*entry
	order      []*entry
	partitions map[string]*partition
	removed    int
	untidy     []string
	lsn        uint64
	lastItem   uint64
	changes    []change
}

type itemKey struct{ partition, id string }

// entry is the place of one item in the order of creation; item is nil once it is deleted.
type entry struct {
	sequence uint64
	item     *item
}

type partition struct {
	key     partitionKey
	entries []*entry
	removed int
}

// item is one stored version. It never changes.
type item struct {
	id    string
	key   partitionKey
	value document.Value
	body  []byte
	etag  string
	lsn   uint64
	when  time.Time
	// sequence orders items by creation.
	sequence uint64
	expires  time.Time
}

// change is one step of the container's history, for the all-versions feed.
type change struct {
	operation        string
	current, earlier *item
	lsn              uint64
	when             time.Time
}

// keptChanges bounds the history; older changes are forgotten.
const keptChanges = 100_000

// ttl is a time to live in seconds; on says whether anything expires at all.
type ttl struct {
	on      bool
	seconds float64 // negative is never
}

func parseTTL(value document.Value) (ttl, error) {
	if !value.Defined() || value.Kind() == document.Null {
		return ttl{}, nil
	}
	seconds, ok := value.Number()
	if !ok || seconds == 0 || seconds < -1 || seconds != float64(int64(seconds)) {
		return ttl{}, badRequest("The time to live must be -1 or a positive integer.")
	}
	return ttl{on: true, seconds: seconds}, nil
}

// addContainer stores a new container. The caller holds the lock.
func (s *store) addContainer(parent *database, properties document.Value) (*container, error) {
	name, err := resourceName(properties)
	if err != nil {
		return nil, err
	}
	for _, one := range parent.containers {
		if one.name == name {
			return nil, conflict()
		}
	}
	const ridHighBit = 0x80000000
	parent.lastContainer++
	added := newContainer(parent, name, binary.BigEndian.AppendUint32(slices.Clone(parent.rid), ridHighBit|parent.lastContainer<<8|s.lastDatabase&0xFF))
	if err := added.define(properties); err != nil {
		return nil, err
	}
	s.describe(added)
	parent.containers = append(parent.containers, added)
	return added, nil
}

func newContainer(parent *database, name string, rid []byte) *container {
	return &container{name: name, database: parent, rid: rid, items: map[itemKey]*entry{}, partitions: map[string]*partition{}}
}

// expiry is when an item written at a time with a time to live of its own, or none, goes away.
func (c *container) expiry(own ttl, written time.Time) time.Time {
	if !c.defaultTTL.on {
		return time.Time{}
	}
	if !own.on {
		own = c.defaultTTL
	}
	if own.seconds <= 0 {
		return time.Time{}
	}
	return written.Add(time.Duration(own.seconds) * time.Second)
}

// deepestKey is how many paths a partition key has at most.
const deepestKey = 3

// define checks the properties of a new container and takes what they say about keys.
func (c *container) define(properties document.Value) error {
	definition := properties.Get("partitionKey")
	paths, _ := definition.Get("paths").Elements()
	if len(paths) == 0 || len(paths) > deepestKey {
		return badRequest("The partition key definition must have one to three paths.")
	}
	for _, path := range paths {
		text, ok := path.Text()
		if !ok || !strings.HasPrefix(text, "/") || len(text) < 2 {
			return badRequest("The partition key path '%s' is invalid.", path.String())
		}
		c.paths = append(c.paths, parsePath(text))
	}
	kind := "Hash"
	if len(paths) > 1 {
		kind = "MultiHash"
	}
	if !definition.Get("kind").Defined() {
		definition = definition.With("kind", document.StringValue(kind))
	}
	if !definition.Get("version").Defined() && len(paths) > 1 {
		const newest = 2
		definition = definition.With("version", document.NumberValue(newest))
	}
	c.properties = properties.With("partitionKey", definition)
	return c.redefine(c.properties)
}

// redefine takes the properties that a replace may change.
func (c *container) redefine(properties document.Value) error {
	defaultTTL, err := parseTTL(properties.Get("defaultTtl"))
	if err != nil {
		return err
	}
	c.defaultTTL = defaultTTL
	c.uniqueKeys = nil
	keys, _ := properties.Get("uniqueKeyPolicy").Get("uniqueKeys").Elements()
	for _, key := range keys {
		elements, _ := key.Get("paths").Elements()
		var paths [][]string
		for _, element := range elements {
			text, _ := element.Text()
			paths = append(paths, parsePath(text))
		}
		c.uniqueKeys = append(c.uniqueKeys, paths)
	}
	if !properties.Get("indexingPolicy").Defined() {
		properties = properties.With("indexingPolicy", defaultIndexing())
	}
	c.properties = properties
	return nil
}

// defaultIndexing is the policy of a container that was created without one.
func defaultIndexing() document.Value {
	paths := func(path string) document.Value {
		return document.ArrayValue([]document.Value{object(member("path", text(path)))})
	}
	return object(
		member("indexingMode", text("consistent")), member("automatic", document.BoolValue(true)),
		member("includedPaths", paths("/*")), member("excludedPaths", paths(`/"_etag"/?`)),
	)
}

// describe gives a container's properties their system properties anew.
func (s *store) describe(c *container) {
	c.properties = s.system(c.properties, c.rid, c.self()).
		With("_docs", document.StringValue("docs/")).
		With("_sprocs", document.StringValue("sprocs/")).
		With("_triggers", document.StringValue("triggers/")).
		With("_udfs", document.StringValue("udfs/")).
		With("_conflicts", document.StringValue("conflicts/"))
}

func (c *container) self() string {
	return "dbs/" + encodeRID(c.rid[:ridDatabase]) + "/colls/" + encodeRID(c.rid) + "/"
}

// altPath is the path by names, which responses carry in x-ms-alt-content-path.
func (c *container) altPath() string { return "dbs/" + c.database.name + "/colls/" + c.name }

// live returns the item unless it is deleted or its time is over.
func (e *entry) live(now time.Time) (*item, bool) {
	if e == nil || e.item == nil || !e.item.expires.IsZero() && !now.Before(e.item.expires) {
		return nil, false
	}
	return e.item, true
}

// find returns an item by its key and id.
func (c *container) find(key partitionKey, id string, now time.Time) (*item, bool) {
	return c.items[itemKey{key.String(), id}].live(now)
}

// scope says which items a request ranges over.
type scope struct {
	// key, when scoped, is the partition key or the first components of a hierarchical one.
	scoped bool
	key    partitionKey
	// low and high bound the hash of the key when ranged; high "" is no bound.
	ranged    bool
	low, high string
}

// within returns the live items of a scope in the order of their creation.
func (c *container) within(s scope, now time.Time) []*item {
	entries := c.order
	if s.scoped && len(s.key) == len(c.paths) {
		entries = nil
		if found, ok := c.partitions[s.key.String()]; ok {
			entries = found.entries
		}
	}
	items := make([]*item, 0, len(entries))
	for _, place := range entries {
		one, ok := place.live(now)
		if ok && s.holds(one.key) {
			items = append(items, one)
		}
	}
	return items
}

func (s scope) holds(key partitionKey) bool {
	if s.scoped && !key.startsWith(s.key) {
		return false
	}
	if !s.ranged {
		return true
	}
	hash := key.effective()
	return hash >= s.low && (s.high == "" || hash < s.high)
}

// put makes a version the current one of its item.
func (c *container) put(version *item) {
	name := itemKey{version.key.String(), version.id}
	place, exists := c.items[name]
	if exists && place.item != nil {
		version.sequence = place.sequence
		place.item = version
		return
	}
	c.lastItem++
	version.sequence = c.lastItem
	place = &entry{sequence: c.lastItem, item: version}
	c.items[name] = place
	c.order = append(c.order, place)
	home, ok := c.partitions[name.partition]
	if !ok {
		home = &partition{key: version.key}
		c.partitions[name.partition] = home
	}
	home.entries = append(home.entries, place)
}

// drop removes an item. Its place stays until tidy.
func (c *container) drop(name itemKey) {
	place, ok := c.items[name]
	if !ok {
		return
	}
	place.item = nil
	delete(c.items, name)
	c.removed++
	home := c.partitions[name.partition]
	home.removed++
	c.untidy = append(c.untidy, name.partition)
}

// restore takes back a drop.
func (c *container) restore(name itemKey, place *entry, version *item) {
	place.item = version
	c.items[name] = place
	c.removed--
	c.partitions[name.partition].removed--
}

// tidy forgets the places of deleted items where they are the greater part.
func (c *container) tidy() {
	c.order, c.removed = compact(c.order, c.removed)
	for _, name := range c.untidy {
		home, ok := c.partitions[name]
		if !ok {
			continue
		}
		home.entries, home.removed = compact(home.entries, home.removed)
		if len(home.entries) == 0 {
			delete(c.partitions, name)
		}
	}
	c.untidy = nil
}

func compact(entries []*entry, removed int) ([]*entry, int) {
	if removed*2 <= len(entries) {
		return entries, removed
	}
	return slices.DeleteFunc(entries, func(place *entry) bool { return place.item == nil }), 0
}

// remember adds to the history.
func (c *container) remember(one change) {
	c.changes = append(c.changes, one)
	if len(c.changes) > 2*keptChanges {
		c.changes = slices.Clone(c.changes[len(c.changes)-keptChanges:])
	}
}
