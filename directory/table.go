package directory

import "sync/atomic"

// table is an index for one writer and any number of readers, which take no
// lock. It stores no keys: a hit is confirmed on the value's current record,
// so an entry that has just become wrong is a miss, never a wrong answer.
type table[K, V any] struct {
	hash    func(K) uint64
	match   func(*V, K) bool
	buckets atomic.Pointer[[]atomic.Pointer[node[V]]]
	count   int // writer only
}

// node is immutable once published; a removal copies what stands before it.
type node[V any] struct {
	hash  uint64
	value *V
	next  *node[V]
}

// smallestTable is the number of buckets of a new table, a power of two.
const smallestTable = 64

func newTable[K, V any](hash func(K) uint64, match func(*V, K) bool) *table[K, V] {
	t := &table[K, V]{hash: hash, match: match}
	buckets := make([]atomic.Pointer[node[V]], smallestTable)
	t.buckets.Store(&buckets)
	return t
}

// get returns the value with key k, or nil.
func (t *table[K, V]) get(k K) *V {
	h := t.hash(k)
	buckets := *t.buckets.Load()
	for n := buckets[h&uint64(len(buckets)-1)].Load(); n != nil; n = n.next {
		if n.hash == h && t.match(n.value, k) {
			return n.value
		}
	}
	return nil
}

// all returns every value with key k.
func (t *table[K, V]) all(k K) []*V {
	h := t.hash(k)
	buckets := *t.buckets.Load()
	var values []*V
	for n := buckets[h&uint64(len(buckets)-1)].Load(); n != nil; n = n.next {
		if n.hash == h && t.match(n.value, k) {
			values = append(values, n.value)
		}
	}
	return values
}

// put adds an entry. Only the writer may call it.
func (t *table[K, V]) put(k K, value *V) {
	buckets := *t.buckets.Load()
	if t.count >= len(buckets) {
		buckets = t.grow(buckets)
	}
	h := t.hash(k)
	bucket := &buckets[h&uint64(len(buckets)-1)]
	bucket.Store(&node[V]{hash: h, value: value, next: bucket.Load()})
	t.count++
}

// remove drops the entry of value under k. Only the writer may call it.
func (t *table[K, V]) remove(k K, value *V) {
	h := t.hash(k)
	buckets := *t.buckets.Load()
	bucket := &buckets[h&uint64(len(buckets)-1)]
	head := bucket.Load()
	for n := head; n != nil; n = n.next {
		if n.hash != h || n.value != value {
			continue
		}
		rest := n.next
		for before := head; before != n; before = before.next {
			rest = &node[V]{hash: before.hash, value: before.value, next: rest}
		}
		bucket.Store(rest)
		t.count--
		return
	}
}

// grow doubles the table beside the old one and publishes it.
func (t *table[K, V]) grow(old []atomic.Pointer[node[V]]) []atomic.Pointer[node[V]] {
	bigger := make([]atomic.Pointer[node[V]], 2*len(old))
	for i := range old {
		for n := old[i].Load(); n != nil; n = n.next {
			bucket := &bigger[n.hash&uint64(len(bigger)-1)]
			bucket.Store(&node[V]{hash: n.hash, value: n.value, next: bucket.Load()})
		}
	}
	t.buckets.Store(&bigger)
	return bigger
}
