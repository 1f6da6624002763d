package directory

import (
	"iter"
	"sync/atomic"
)

// table is an index for one writer and any number of readers, which take no
// lock. It stores no keys: a hit is confirmed on the value's current record,
// so an entry that has just become wrong is a miss, never a wrong answer.
type table[K, V any] struct {
	hash    func(K) uint64
	match   func(*V, K) bool
	buckets atomic.Pointer[buckets[V]]
	count   uint64 // writer only
	// private means that nobody reads yet, so that growing may move entries
	// instead of copying them.
	private bool
}

// buckets are the heads of a power of two of chains.
type buckets[V any] struct {
	mask  uint64
	heads []atomic.Pointer[node[V]]
}

func newBuckets[V any](size uint64) *buckets[V] {
	return &buckets[V]{mask: size - 1, heads: make([]atomic.Pointer[node[V]], size)}
}

// of returns the chain of a hash.
func (b *buckets[V]) of(hash uint64) *atomic.Pointer[node[V]] { return &b.heads[hash&b.mask] }

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
	t.buckets.Store(newBuckets[V](smallestTable))
	return t
}

// get returns the value with key k, or nil.
func (t *table[K, V]) get(k K) *V {
	h := t.hash(k)
	for n := t.buckets.Load().of(h).Load(); n != nil; n = n.next {
		if n.hash == h && t.match(n.value, k) {
			return n.value
		}
	}
	return nil
}

// values yields every value once, as of the beginning of the walk or later.
func (t *table[K, V]) values() iter.Seq[*V] {
	return func(yield func(*V) bool) {
		current := t.buckets.Load()
		for i := range current.heads {
			for n := current.heads[i].Load(); n != nil; n = n.next {
				if !yield(n.value) {
					return
				}
			}
		}
	}
}

// put adds an entry. Only the writer may call it.
func (t *table[K, V]) put(k K, value *V) {
	if t.count > t.buckets.Load().mask {
		t.grow()
	}
	h := t.hash(k)
	bucket := t.buckets.Load().of(h)
	bucket.Store(&node[V]{hash: h, value: value, next: bucket.Load()})
	t.count++
}

// remove drops the entry of value under k. Only the writer may call it.
func (t *table[K, V]) remove(k K, value *V) {
	h := t.hash(k)
	bucket := t.buckets.Load().of(h)
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
func (t *table[K, V]) grow() {
	old := t.buckets.Load()
	bigger := newBuckets[V](2 * (old.mask + 1))
	for i := range old.heads {
		for n := old.heads[i].Load(); n != nil; {
			next, bucket := n.next, bigger.of(n.hash)
			if t.private {
				n.next = bucket.Load()
			} else {
				n = &node[V]{hash: n.hash, value: n.value, next: bucket.Load()}
			}
			bucket.Store(n)
			n = next
		}
	}
	t.buckets.Store(bigger)
}
