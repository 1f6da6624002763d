package identity

import "sync/atomic"

// maxWaiting is how many callers wait at once, unless it is set.
const maxWaiting = 256

// places bound how many callers wait for something at once, whoever they are: they take places of the gate meanwhile, and nobody knows
// yet who they are.
type places struct {
	most  int64
	taken atomic.Int64
}

// newPlaces returns so many places, [maxWaiting] if that is none.
func newPlaces(most int) *places {
	if most < 1 {
		most = maxWaiting
	}

	return &places{most: int64(most)}
}

// take takes a place; false if there is none.
func (p *places) take() bool {
	if p.taken.Add(1) > p.most {
		p.leave()

		return false
	}

	return true
}

// used is how many are taken.
func (p *places) used() int { return int(min(p.taken.Load(), p.most)) }

// leave gives a place back.
func (p *places) leave() { p.taken.Add(-1) }
