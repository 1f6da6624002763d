package directory

import (
	"sync"
	"time"
)

// tidy folds a directory's log beside its writer.
type tidy struct {
	directory *Directory
	log       Folder
	ending    chan struct{}
	ended     sync.WaitGroup
	// more tells of commits, less of folded ones.
	more, less chan struct{}
}

const (
	// Folding shares the disk with commits: each of those waits for the pages that
	// folding has on the way. So it takes foldChunk keys at once, and then rests as
	// long as that took. At maxBacklog deltas, or pages of them, writers wait for
	// it, and from half of that the chunks grow, to foldMost at the end.
	foldChunk  = 16
	foldMost   = 256
	foldRest   = 10 * time.Millisecond
	maxBacklog = 1 << 16
	// While more than burst deltas a second come, all that are there wait, as far as
	// half of the backlog: a provider's run is short, and folding would take the
	// disk from it. burstRest is how often to look whether it is over.
	burst     = 500
	burstRest = 100 * time.Millisecond
)

func newTidy(d *Directory, log Folder) *tidy {
	t := &tidy{
		directory: d, log: log, ending: make(chan struct{}),
		more: make(chan struct{}, 1), less: make(chan struct{}, 1),
	}
	t.wake() // what an earlier process left
	t.ended.Go(t.run)
	return t
}

// stop ends folding. What is left is no less durable.
func (t *tidy) stop() {
	close(t.ending)
	t.ended.Wait()
}

// wake tells that there is something to fold. A directory whose log needs no
// folding has nobody to tell.
func (t *tidy) wake() {
	if t == nil {
		return
	}
	select {
	case t.more <- struct{}{}:
	default:
	}
}

// wait returns once the backlog is within bounds, or never will be.
func (t *tidy) wait() {
	for t != nil && t.log.Backlog() > maxBacklog && t.directory.Healthy() == nil {
		t.wake()
		<-t.less
	}
}

func (t *tidy) run() {
	rest := time.NewTimer(foldRest)
	defer rest.Stop()
	for {
		select {
		case <-t.more:
		case <-t.ending:
			return
		}
		t.foldAll(rest)
	}
}

// foldAll folds until nothing waits or the directory ends.
func (t *tidy) foldAll(timer *time.Timer) {
	before, rest := t.log.Backlog(), foldRest
	for left := 1; left > 0; {
		timer.Reset(rest)
		select {
		case <-timer.C:
		case <-t.ending:
			return
		}
		waiting := t.log.Backlog()
		if waiting < maxBacklog/2 && (waiting-before)*int(time.Second/rest) > burst {
			before, rest = waiting, burstRest
			left = t.fold(0) // only what commits need next
			continue
		}
		started := t.directory.config.Clock()
		left = t.fold(chunk(waiting))
		before, rest = t.log.Backlog(), max(t.directory.config.Clock().Sub(started), time.Millisecond)
		select {
		case t.less <- struct{}{}:
		default:
		}
	}
}

// chunk is how many keys are folded at once while so many deltas wait.
func chunk(waiting int) int {
	const half = maxBacklog / 2
	return foldChunk + max(0, min(waiting-half, half))*(foldMost-foldChunk)/half
}

// fold folds some and returns how many deltas are left, zero after a failure.
func (t *tidy) fold(limit int) int {
	if t.directory.Healthy() != nil {
		return 0
	}
	left, err := t.log.Fold(limit)
	if err != nil {
		t.directory.stop(err)
		return 0
	}
	return left
}
