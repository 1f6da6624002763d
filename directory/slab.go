package directory

import "strings"

// slab makes values of one type in chunks. The collector marks a chunk at once,
// where a hundred thousand values of their own cost it milliseconds in every
// cycle. A chunk stays as long as one of its values is used, so a slab is for
// what stays: places of groups, and what was there at the start.
type slab[T any] struct {
	free []T
	// chunk is the number of values in one.
	chunk int
}

// one returns a new value.
func (s *slab[T]) one() *T { return &s.some(1)[0] }

// some returns new values beside each other.
func (s *slab[T]) some(n int) []T {
	if 4*n > s.chunk {
		return make([]T, n)
	}
	if len(s.free) < n {
		s.free = make([]T, s.chunk)
	}
	values := s.free[:n:n]
	s.free = s.free[n:]
	return values
}

// textSlab keeps texts beside each other, for the same reason.
type textSlab struct{ chunk *strings.Builder }

// textSlabSize is the size of a chunk in bytes.
const textSlabSize = 16 << 10

// keep returns a text of the same value.
func (s *textSlab) keep(text string) string {
	if s.chunk == nil || s.chunk.Cap()-s.chunk.Len() < len(text) {
		s.chunk = &strings.Builder{}
		s.chunk.Grow(max(textSlabSize, len(text)))
	}
	at := s.chunk.Len()
	s.chunk.WriteString(text) // never grows, so that earlier texts keep their place
	return s.chunk.String()[at:]
}

// keepGroups moves all groups into chunks.
func (s *state) keepGroups() {
	groups, texts := slab[group]{chunk: groupChunk}, textSlab{}
	for i := range s.groups.count {
		place := s.groups.at(i)
		if g := place.group.Load(); g != nil {
			kept := g.copyTo(groups.one())
			kept.names = texts.keep(g.names)
			place.group.Store(kept)
		}
	}
}
