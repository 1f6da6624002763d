package directory

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
)

// idSource makes ascending UUIDv7s (RFC 9562 §5.7), also when the clock stands
// still or was set back: ids are the order of creation. The writer uses it.
type idSource struct {
	random io.Reader
	last   ID
}

const (
	// counterBits extend the millisecond by a counter in the rand_a field.
	counterBits = 12
	counterMask = 1<<counterBits - 1
)

// newID returns an id that is greater than all before.
func (d *Directory) newID() (ID, error) {
	d.ids.last = max(d.ids.last, d.state.lastKey.id()) // an import brings ids of its own
	return d.ids.next(d.config.Clock())
}

func (s *idSource) next(now time.Time) (ID, error) {
	var id uuid.UUID
	if _, err := io.ReadFull(s.random, id[8:]); err != nil {
		return "", fmt.Errorf("drawing an id: %w", err)
	}
	tick := uint64(now.UnixMilli()) << counterBits
	if last, err := uuid.Parse(string(s.last)); err == nil {
		tick = max(tick, ticks(last)+1)
	}
	binary.BigEndian.PutUint64(id[:], tick>>counterBits<<16|7<<12|tick&counterMask)
	id[8] = id[8]&0x3f | 0x80
	s.last = ID(id.String())
	return s.last, nil
}

// ticks returns millisecond and counter of a UUIDv7 as one number.
func ticks(id uuid.UUID) uint64 {
	head := binary.BigEndian.Uint64(id[:])
	return head>>16<<counterBits | head&counterMask
}
