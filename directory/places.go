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
// what is remembered of those users who were looked up.
type page struct {
	cells [pageSize]atomic.Uint64
	// seen are made when one of them is first looked up.
	seen atomic.Pointer[[pageSize]slot]
}

// slot holds what is remembered of a user, nil for nothing yet. No value is in it
// twice, and after every change the writer puts in another. So who read a user
// after a value, and puts a view in its place, knows that it is no older than
// a change that was reported.
type slot = atomic.Pointer[seen]

// seen is the view of a user and whom it is of, or empty: small, since it stays in
// the slot of everybody who changed.
type seen struct {
	link       string // the external id
	connection uint16
	view       *UserView
}

// is reports whether it is the view of a user by an external id while the
// closure has a version.
func (s *seen) is(connection uint16, link string, closure uint64) bool {
	return s != nil && s.link == link && s.connection == connection && s.view.Generation[1] == closure
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

// slot returns an ordinal's slot. The ordinal must have a cell. Anybody may call
// it, before what is to be remembered is read.
func (p *places) slot(ordinal uint32) *slot {
	page := p.pages.load()[ordinal/pageSize]
	if page.seen.Load() == nil {
		page.seen.CompareAndSwap(nil, new([pageSize]slot))
	}
	return &page.seen.Load()[ordinal%pageSize]
}

// remember puts a view into a slot and reports whether there was still in it what
// was before the user was read. It forgets a page of others if there are too many.
func (p *places) remember(in *slot, was, is *seen) bool {
	if !in.CompareAndSwap(was, is) {
		return false
	}
	if was == nil || was.link == "" {
		p.remembered.Add(1)
	}
	if p.remembered.Load() > maxRemembered {
		p.forgetSome()
	}
	return true
}

// forgetSome empties the slots of one page.
func (p *places) forgetSome() {
	pages := p.pages.load()
	if slots := pages[int(p.hand.Add(1))%len(pages)].seen.Load(); slots != nil {
		empty := &seen{}
		for i := range slots {
			if old := slots[i].Load(); old != nil && old.link != "" && slots[i].CompareAndSwap(old, empty) {
				p.remembered.Add(-1)
			}
		}
	}
}

// forget empties the slot of a user who changed. Only the writer may call it,
// after the change is in the cell.
func (p *places) forget(ordinal uint32) {
	slots := p.pages.load()[ordinal/pageSize].seen.Load()
	if slots == nil {
		return
	}
	if old := slots[ordinal%pageSize].Swap(&seen{}); old != nil && old.link != "" {
		p.remembered.Add(-1)
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
	for i, ordinal := range r.late {
		if i > 0 && ordinal == r.late[i-1] { // adopted twice, and away between: that left a hole
			r.holes--
			continue
		}
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
	if r.holes < smallestCompaction || 2*r.holes < len(r.load())+len(r.late) {
		return
	}
	r.settle() // some of the holes may be among the late
	ordinals := r.load()
	kept := make([]uint32, 0, len(ordinals)/2)
	for _, o := range ordinals {
		if live(o) {
			kept = append(kept, o)
		}
	}
	r.list.Store(&kept)
	r.holes = 0
}
