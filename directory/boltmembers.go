package directory

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/google/uuid"
	bolt "go.etcd.io/bbolt"
)

// The members of a group are kept in ascending order in chunks. A chunk's key
// is the group and the chunk's first member, its value a CRC-32C over key and
// rest, and the other members. So a change rewrites at most a chunk, however
// large the group is, and a start reads ten million members as fast as it reads
// their bytes.

// chunkMembers is how many members a chunk has at most.
const chunkMembers = 128

// memberChunk is a chunk that was read.
type memberChunk struct {
	key []byte
	// members are all, one after the other; end is where the next chunk of the
	// group begins, nil for none.
	members, end []byte
}

// decodeChunk returns the members of a chunk.
func decodeChunk(key, value []byte) ([]byte, error) {
	if len(key) != 1+2*idSize || len(value) < crc32.Size || len(value)%idSize != crc32.Size ||
		binary.BigEndian.Uint32(value) != checksum(key, value[crc32.Size:]) {
		return nil, fmt.Errorf("%w: checksum of key %x", ErrCorrupt, key)
	}
	return slices.Concat(key[1+idSize:], value[crc32.Size:]), nil
}

// findChunk returns the chunk that has or would have a member. If the group has
// none, the chunk is empty and has no key.
func findChunk(state *bolt.Bucket, group, member []byte) (memberChunk, error) {
	prefix := stateKey(prefixMember, group)
	cursor := state.Cursor()
	k, v := cursor.Seek(append(bytes.Clone(prefix), member...))
	var c memberChunk
	if bytes.HasPrefix(k, prefix) {
		c.end = bytes.Clone(k[len(prefix):])
	}
	if !bytes.Equal(c.end, member) {
		if k == nil {
			k, v = cursor.Last()
		} else {
			k, v = cursor.Prev()
		}
		if !bytes.HasPrefix(k, prefix) {
			return c, nil
		}
		members, err := decodeChunk(k, v)
		c.key, c.members = bytes.Clone(k), members
		return c, err
	}
	members, err := decodeChunk(k, v)
	c.key, c.members = bytes.Clone(k), members
	if c.end = nil; err != nil {
		return c, err
	}
	if k, _ = cursor.Next(); bytes.HasPrefix(k, prefix) {
		c.end = bytes.Clone(k[len(prefix):])
	}
	return c, nil
}

// store replaces a chunk by one or more with the given members, or by none.
func (c memberChunk) store(state *bolt.Bucket, group, members []byte) error {
	if c.key != nil && (len(members) == 0 || !bytes.Equal(c.key[1+idSize:], members[:idSize])) {
		if err := state.Delete(c.key); err != nil {
			return wrapPut(err)
		}
	}
	count := len(members) / idSize
	if count == 0 {
		return nil
	}
	pieces := (count + chunkMembers - 1) / chunkMembers
	size := (count + pieces - 1) / pieces
	for piece := range slices.Chunk(members, size*idSize) {
		key := append(stateKey(prefixMember, group), piece[:idSize]...)
		value := binary.BigEndian.AppendUint32(make([]byte, 0, crc32.Size+len(piece)), checksum(key, piece[idSize:]))
		if err := state.Put(key, append(value, piece[idSize:]...)); err != nil {
			return wrapPut(err)
		}
	}
	return nil
}

// foldMembers adds members to a group's chunks or removes them.
func foldMembers(state *bolt.Bucket, group []byte, d Delta) error {
	members := slices.Collect(slices.Chunk(d.Payload, idSize))
	slices.SortFunc(members, bytes.Compare)
	members = slices.CompactFunc(members, bytes.Equal)
	for len(members) > 0 {
		c, err := findChunk(state, group, members[0])
		if err != nil {
			return err
		}
		n := len(members)
		if c.end != nil {
			n, _ = slices.BinarySearchFunc(members, c.end, bytes.Compare)
		}
		n = max(n, 1)
		if err := c.store(state, group, mergeMembers(c.members, members[:n], d.Kind == KindAddMembers)); err != nil {
			return err
		}
		members = members[n:]
	}
	touch := Delta{
		Kind: KindTouchGroup, Time: d.Time, Connection: d.Connection, Subject: d.Subject, Revision: d.Revision,
	}
	return put(state, stateKey(prefixTouch, group), touch)
}

// mergeMembers returns sorted members with sorted others added or removed.
func mergeMembers(members []byte, others [][]byte, add bool) []byte {
	merged := make([]byte, 0, len(members)+len(others)*idSize)
	for len(members) > 0 || len(others) > 0 {
		order := 1
		if len(members) > 0 && len(others) > 0 {
			order = bytes.Compare(members[:idSize], others[0])
		} else if len(members) > 0 {
			order = -1
		}
		if order < 0 {
			merged = append(merged, members[:idSize]...)
		} else if add {
			merged = append(merged, others[0]...)
		}
		if order <= 0 {
			members = members[idSize:]
		}
		if order >= 0 {
			others = others[1:]
		}
	}
	return merged
}

// memberBytes is how many bytes of members one delta of a replay has at least,
// if its group has as many.
const memberBytes = 64 << 10

// members gathers the chunks of each group into few deltas. Revision zero
// leaves the group's own counter alone.
func (r stateReplay) members() error {
	cursor := r.state.Cursor()
	start := []byte{prefixMember}
	d := Delta{Kind: KindAddMembers, Version: r.version}
	var group []byte
	flush := func() error {
		if len(d.Payload) == 0 {
			return nil
		}
		err := r.each(d)
		d.Payload = d.Payload[:0]
		return err
	}
	for k, v := cursor.Seek(start); bytes.HasPrefix(k, start); k, v = cursor.Next() {
		if len(k) != 1+2*idSize || len(v) < crc32.Size || len(v)%idSize != crc32.Size ||
			binary.BigEndian.Uint32(v) != checksum(k, v[crc32.Size:]) {
			return fmt.Errorf("%w: checksum of key %x", ErrCorrupt, k)
		}
		if !bytes.Equal(group, k[1:1+idSize]) || len(d.Payload) >= memberBytes {
			if err := flush(); err != nil {
				return err
			}
			group = bytes.Clone(k[1 : 1+idSize])
			d.Subject = uuid.UUID(group).String()
		}
		d.Payload = append(append(d.Payload, k[1+idSize:]...), v[crc32.Size:]...)
	}
	return flush()
}
