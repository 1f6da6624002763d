package emulator

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/bits"
	"strings"

	"github.com/cosmosgate/cosmosgate/internal/emulator/document"
)

// effective returns the place of the key in the hash space, as upper-case hex that sorts as text:
// the 128-bit MurmurHash3 of each component, its two top bits cleared, one after the other.
// (MurmurHash3, Appleby; the component encoding is that of the SDKs' partition key version 2.)
func (k partitionKey) effective() string {
	var text strings.Builder
	for _, component := range k {
		low, high := murmur128(encodeComponent(component))
		const size = 16
		var hash [size]byte
		binary.LittleEndian.PutUint64(hash[:8], low)
		binary.LittleEndian.PutUint64(hash[8:], high)
		for i, j := 0, size-1; i < j; i, j = i+1, j-1 {
			hash[i], hash[j] = hash[j], hash[i]
		}
		const topBits = 0x3F
		hash[0] &= topBits
		text.WriteString(strings.ToUpper(hex.EncodeToString(hash[:])))
	}
	return text.String()
}

// encodeComponent writes a component as its type marker and its bytes.
func encodeComponent(component document.Value) []byte {
	const (
		markUndefined = 0x00
		markNull      = 0x01
		markFalse     = 0x02
		markTrue      = 0x03
		markNumber    = 0x05
		markString    = 0x08
		endOfString   = 0xFF
	)
	switch component.Kind() {
	case document.Null:
		return []byte{markNull}
	case document.Bool:
		if component.True() {
			return []byte{markTrue}
		}
		return []byte{markFalse}
	case document.Number:
		number, _ := component.Number()
		return binary.LittleEndian.AppendUint64([]byte{markNumber}, math.Float64bits(number))
	case document.String:
		text, _ := component.Text()
		return append(append([]byte{markString}, text...), endOfString)
	case document.Undefined, document.Array, document.Object:
		return []byte{markUndefined}
	default:
		return []byte{markUndefined}
	}
}

const (
	murmurC1 = 0x87c37b91114253d5
	murmurC2 = 0x4cf5ad432745937f
)

// murmur128 is MurmurHash3_x64_128 with seed zero.
func murmur128(data []byte) (low, high uint64) {
	const block, half = 16, 8
	rest := data
	for len(rest) >= block {
		k1 := binary.LittleEndian.Uint64(rest)
		k2 := binary.LittleEndian.Uint64(rest[half:])
		rest = rest[block:]
		low ^= bits.RotateLeft64(k1*murmurC1, 31) * murmurC2
		low = (bits.RotateLeft64(low, 27)+high)*5 + 0x52dce729
		high ^= bits.RotateLeft64(k2*murmurC2, 33) * murmurC1
		high = (bits.RotateLeft64(high, 31)+low)*5 + 0x38495ab5
	}
	var tail [block]byte
	copy(tail[:], rest)
	if len(rest) > half {
		high ^= bits.RotateLeft64(binary.LittleEndian.Uint64(tail[half:])*murmurC2, 33) * murmurC1
	}
	if len(rest) > 0 {
		low ^= bits.RotateLeft64(binary.LittleEndian.Uint64(tail[:half])*murmurC1, 31) * murmurC2
	}
	low ^= uint64(len(data))
	high ^= uint64(len(data))
	low += high
	high += low
	low, high = mix(low), mix(high)
	low += high
	high += low
	return low, high
}

func mix(k uint64) uint64 {
	const shift = 33
	k ^= k >> shift
	k *= 0xff51afd7ed558ccd
	k ^= k >> shift
	k *= 0xc4ceb9fe1a85ec53
	return k ^ k>>shift
}
