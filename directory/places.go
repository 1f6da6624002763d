package directory

import (
	"slices"
	"sync/atomic"
)

// places are what belongs to each ordinal, in pages, so that they grow without
// being copied. There is one writer and any number of readers.
type places struct {
	pages growing[*page]
	// remembered counts the views, hand is the page whose views go next.
	remembered, hand atomic.Int64
}

// page holds some ordinals' cells, each a [ref] or the place of a group, and
// the views remembered of those users who were looked up.
type page struct {
	cells [pageSize]atomic.Uint64
	// views are made when the first of them is remembered.
	views atomic.Pointer[[pageSize]atomic.Pointer[UserView]]
}

const (
	pageSize = 1 << 10
	// maxRemembered bounds the views: of those who were looked up before the last
	// hundred thousand others, some are made anew.
	maxRemembered = 3 << 15
)

// cell returns an ordinal's cell, nil for one that was never given.
func (p *places) cell(ordinal uint32) *atomic.Uint64 {
	if pages := p.pages.load(); int(ordinal/pageSize) < len(pages) {
		return &pages[ordinal/pageSize].cells[ordinal%pageSize]
	}
	return nil
}

// view returns the view remembered for an ordinal, or nil. The ordinal must
// have a cell.
func (p *places) view(ordinal uint32) *UserView {
	if views := p.pages.load()[ordinal/pageSize].views.Load(); views != nil {
		return views[ordinal%pageSize].Load()
	}
	return nil
}

// remember keeps a view, nil for none, and forgets a page of others if there
// are too many. Anybody may call it.
func (p *places) remember(ordinal uint32, view *UserView) {
	pages := p.pages.load()
	count := func(was, is *UserView) {
		switch {
		case was == nil && is != nil:
			p.remembered.Add(1)
		case was != nil && is == nil:
			p.remembered.Add(-1)
		}
	}
	views := &pages[ordinal/pageSize].views
	if views.Load() == nil {
		if view == nil {
			return
		}
		views.CompareAndSwap(nil, new([pageSize]atomic.Pointer[UserView]))
	}
	count(views.Load()[ordinal%pageSize].Swap(view), view)
	if p.remembered.Load() <= maxRemembered {
		return
	}
	if old := pages[int(p.hand.Add(1))%len(pages)].views.Load(); old != nil {
		for i := range old {
			count(old[i].Swap(nil), nil)
		}
	}
}

// ensure makes an ordinal's cell. Only the writer may call it.
func (p *places) ensure(ordinal uint32) {
	for len(p.pages.load()) <= int(ordinal/pageSize) {
		p.pages.add(&page{})
	}
}

// growing is a list for one writer and any number of readers. Elements below a
// published length are never written, so a reader's copy of the slice header
// stays valid while the writer appends.
type growing[T any] struct{ list atomic.Pointer[[]T] }

func (g *growing[T]) load() []T {
	if list := g.list.Load(); list != nil {
		return *list
	}
	return nil
}

// add appends an element. Only the writer may call it.
func (g *growing[T]) add(element T) {
	list := append(g.load(), element)
	g.list.Store(&list)
}

// roster lists a connection's users or groups in the order of their creation.
type roster struct {
	growing[uint32]

	// For the writer only: ordinals whose record is gone or another connection's,
	// and those of adopted records that are still to be put in their place.
	holes int
	late  []uint32
}

// insert adds an ordinal; one that is not the last of all is there after settle.
func (r *roster) insert(ordinal uint32) {
	if list := r.load(); len(list) == 0 || list[len(list)-1] < ordinal {
		r.add(ordinal)
		return
	}
	r.late = append(r.late, ordinal)
}

// settle puts late ordinals in their place.
func (r *roster) settle() {
	if len(r.late) == 0 {
		return
	}
	slices.Sort(r.late)
	list := r.load()
	all := make([]uint32, 0, len(list)+len(r.late))
	for _, ordinal := range r.late {
		at, back := slices.BinarySearch(list, ordinal)
		all = append(append(all, list[:at]...), ordinal)
		if list = list[at:]; back { // adopted, and adopted back: it was a hole
			list = list[1:]
			r.holes--
		}
	}
	all = append(all, list...)
	r.list.Store(&all)
	r.late = nil
}

// smallestCompaction is the number of holes below which none are swept.
const smallestCompaction = 1024

// dropped notes that a record is gone and sweeps once half of the roster is
// holes. Only the writer may call it.
func (r *roster) dropped(live func(ordinal uint32) bool) {
	r.holes++
	ordinals := r.load()
	if r.holes < smallestCompaction || 2*r.holes < len(ordinals) {
		return
	}
	kept := make([]uint32, 0, len(ordinals)-r.holes)
	for _, o := range ordinals {
		if live(o) {
			kept = append(kept, o)
		}
	}
	r.list.Store(&kept)
	r.holes = 0
}
