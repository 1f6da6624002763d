package directory

import (
	"encoding/binary"
	"hash/maphash"
	"sync/atomic"
)

// attributeNames packs attributes: their names are few and become numbers, and
// so do values of which an attribute has few. One writer packs, any number of
// readers unpack.
type attributeNames struct {
	names growing[*attributeName]
	// recent are maps for the packed forms that were unpacked last: people of
	// one department and title share one.
	recent [recentAttributes]atomic.Pointer[attributeSet]
	seed   maphash.Seed

	numbers map[string]uint64 // writer only
}

// attributeName is an attribute that somebody has.
type attributeName struct {
	name   string
	values growing[string]

	numbers map[string]uint64 // writer only
}

// attributeSet is an unpacked form. The map is shared: never written to.
type attributeSet struct {
	packed string
	values map[string]string
}

const (
	recentAttributes = 1 << 10
	// numberedValues is how many values of one attribute get a number; those
	// that come later are packed as they are.
	numberedValues = 1 << 10
)

// pack appends an attribute. Equal attributes that are packed in one order have
// one form.
func (a *attributeNames) pack(b, name, value []byte) []byte {
	number, known := a.numbers[string(name)]
	if !known {
		if number = uint64(len(a.numbers)); number == 0 {
			a.numbers = map[string]uint64{}
		}
		a.numbers[string(name)] = number
		a.names.add(&attributeName{name: string(name), numbers: map[string]uint64{}})
	}
	n := a.names.load()[number]
	b = binary.AppendUvarint(b, number)
	number, known = n.numbers[string(value)]
	if !known {
		if len(n.numbers) == numberedValues {
			b = binary.AppendUvarint(b, uint64(len(value))<<1)
			return append(b, value...)
		}
		number = uint64(len(n.numbers))
		n.numbers[string(value)] = number
		n.values.add(string(value))
	}
	return binary.AppendUvarint(b, number<<1|1)
}

// unpack reverses pack for all attributes of somebody, nil for none.
func (a *attributeNames) unpack(packed []byte) map[string]string {
	if len(packed) == 0 {
		return nil
	}
	names := a.names.load()
	values := map[string]string{}
	for r := (reader{rest: packed}); len(r.rest) > 0; {
		n := names[r.uvarint()]
		if v := r.uvarint(); v&1 != 0 {
			values[n.name] = n.values.load()[v>>1]
		} else {
			values[n.name] = string(r.take(v >> 1))
		}
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
