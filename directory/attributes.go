package directory

import (
	"encoding/binary"
	"hash/maphash"
	"maps"
	"slices"
	"sync/atomic"
)

// attributeNames packs attributes: the names of attributes are few and become
// numbers. One writer packs, any number of readers unpack.
type attributeNames struct {
	names growing[string]
	// recent are maps for the packed forms that were unpacked last: people of
	// one department and title share one.
	recent [recentAttributes]atomic.Pointer[attributeSet]
	seed   maphash.Seed

	numbers map[string]uint64 // writer only
}

// attributeSet is an unpacked form. The map is shared: never written to.
type attributeSet struct {
	packed string
	values map[string]string
}

const recentAttributes = 1 << 10

// pack returns a packed form; equal attributes have equal ones.
func (a *attributeNames) pack(attributes map[string]string) []byte {
	var b []byte
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		number, known := a.numbers[name]
		if !known {
			number = uint64(len(a.numbers))
			if a.numbers == nil {
				a.numbers = map[string]uint64{}
			}
			a.numbers[name] = number
			a.names.add(name)
		}
		b = appendText(binary.AppendUvarint(b, number), attributes[name])
	}
	return b
}

// unpack reverses pack, nil for none.
func (a *attributeNames) unpack(packed []byte) map[string]string {
	if len(packed) == 0 {
		return nil
	}
	names := a.names.load()
	values := map[string]string{}
	for r := (reader{rest: packed}); len(r.rest) > 0; {
		name := names[r.uvarint()]
		values[name] = r.text()
	}
	return values
}

// shared is unpack for readers that only read.
func (a *attributeNames) shared(packed []byte) map[string]string {
	if len(packed) == 0 {
		return nil
	}
	place := &a.recent[maphash.Bytes(a.seed, packed)%recentAttributes]
	if known := place.Load(); known != nil && known.packed == string(packed) {
		return known.values
	}
	set := &attributeSet{packed: string(packed), values: a.unpack(packed)}
	place.Store(set)
	return set.values
}
