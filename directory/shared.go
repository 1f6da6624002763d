package directory

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Shared is a log that several directories append to, each of which obeys all
// of it: one order of batches, the same for everybody. Its methods are called
// by several goroutines at once.
type Shared interface {
	// Origin names the history that the log holds; another history, such as that
	// of a container made anew, has another name.
	Origin() string
	// Append returns nil once the batch is durable and whole, the successor of
	// the version before its first. [ErrBehind] means that another batch is and
	// this one never will be; after [ErrUnsent] and [ErrLimit] it never will be
	// either. After any other error either may be so: [Shared.Next] tells.
	Append(ctx context.Context, batch []Delta) error
	// Next returns the batch after a version, none if there is none yet, which
	// proves that whoever knows that version knew everything when the call was
	// made. [ErrOutdated] means that the log begins later.
	Next(ctx context.Context, after uint64) ([]Delta, error)
	// Load calls each for deltas that lead from nothing to the state at the
	// version it returns. A payload is valid until each returns.
	Load(ctx context.Context, each func(Delta) error) (version uint64, err error)
	// Close releases what the log holds.
	Close() error
}

// Errors of a shared log.
var (
	// ErrBehind means that another directory wrote first; nothing was written.
	ErrBehind = errors.New("another directory wrote first")
	// ErrOutdated means that the log no longer holds what comes next, because the
	// reader was away for too long or the log was taken back to an earlier state:
	// only a restart, which loads the state anew, helps.
	ErrOutdated = errors.New("the shared log has moved on")
	// ErrUnsent means that a batch was not even sent, because something must be
	// put in order first.
	ErrUnsent = errors.New("nothing is written to the shared log")
	// ErrUnavailable means that the shared log could not be reached: nothing has
	// changed, unless the error is an [UnknownOutcomeError].
	ErrUnavailable = errors.New("shared log unavailable")
)

const (
	// defaultPoll is how often the shared log is asked for more.
	defaultPoll = 100 * time.Millisecond
	// pollTimeout bounds one question, settleTimeout a whole commit with all the
	// batches of others that come before it.
	pollTimeout   = 5 * time.Second
	settleTimeout = 20 * time.Second
)

// foreign is a batch of another directory on its way to the writer.
type foreign struct {
	batch []Delta
	done  chan struct{}
}

// Barrier returns once every read sees what any directory of the same log had
// acknowledged before the call. For an embedded log that is always so.
func (d *Directory) Barrier(ctx context.Context) error {
	if d.shared == nil {
		return nil
	}
	// A change of nothing: like every call, it is answered only on a state that
	// was proven current after it was made.
	return d.submit(ctx, func(*batch) error { return nil })
}

// Await waits for the next proof that the directory knows everything, at no
// further cost, and reports whether there was one: what was not found before may
// be there now. For an embedded log there is nothing to wait for.
func (d *Directory) Await(ctx context.Context) bool {
	if d.shared == nil {
		return false
	}
	const parts = 4 // of a poll
	for asked := d.config.Clock(); !d.proof.Load().After(asked); {
		select {
		case <-time.After(d.config.Poll / parts):
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// Age is how long ago it was last proven that the directory knows everything:
// zero for an embedded log, which is never behind.
func (d *Directory) Age(now time.Time) time.Duration {
	if d.shared == nil {
		return 0
	}
	proof := d.proof.Load()
	// A monotonic clock stands still while a machine is suspended, a wall clock
	// may be set back; the worse of the two counts.
	return max(0, now.Sub(*proof), now.Round(0).Sub(proof.Round(0)))
}

// proven notes that everything was known at an instant.
func (d *Directory) proven(at time.Time) {
	for {
		old := d.proof.Load()
		if !at.After(*old) || d.proof.CompareAndSwap(old, &at) {
			return
		}
	}
}

// follow hands the batches of others to the writer until ctx ends or the log
// can't be followed any more.
func (d *Directory) follow(ctx context.Context) error {
	tick := time.NewTicker(d.config.Poll)
	defer tick.Stop()
	failing := false
	for {
		err := d.pull(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, ErrOutdated):
			d.stop(err)
			return err
		case errors.Is(err, ErrStopped):
			<-ctx.Done() // what is known is still served, for as long as roles allow
			return nil
		case err != nil && !failing:
			d.config.Logger.Warn("shared directory log can't be read", "error", err)
		case err == nil && failing:
			d.config.Logger.Info("shared directory log is read again")
		}
		if failing = err != nil; failing {
			d.metrics.pollFailures.Inc()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// pull takes over all there is.
func (d *Directory) pull(ctx context.Context) error {
	for {
		started := d.config.Clock()
		batch, err := d.next(ctx, d.seen.Load())
		if err != nil {
			return err
		}
		if len(batch) == 0 {
			d.proven(started)
			return nil
		}
		f := foreign{batch: batch, done: make(chan struct{})}
		select {
		case d.foreign <- f:
		case <-ctx.Done():
			return nil
		}
		<-f.done
		if err := d.Healthy(); err != nil {
			return err
		}
	}
}

// next asks the shared log for the batch after a version.
func (d *Directory) next(ctx context.Context, after uint64) ([]Delta, error) {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	batch, err := d.shared.Next(ctx, after)
	switch {
	case errors.Is(err, ErrOutdated):
		return nil, fmt.Errorf("following from version %d: %w", after, err)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return batch, nil
}

// adopt obeys a batch of another directory, unless it is known already.
func (d *Directory) adopt(ctx context.Context, deltas []Delta) {
	if deltas[0].Version <= d.state.version || d.Healthy() != nil {
		return
	}
	if deltas[0].Version != d.state.version+1 {
		d.stop(fmt.Errorf("%w: version %d follows %d", ErrCorrupt, deltas[0].Version, d.state.version))
		return
	}
	b := newBatch(d.state, d.config.Clock())
	for _, delta := range deltas {
		if err := b.apply(delta); err != nil {
			d.stop(fmt.Errorf("obeying version %d: %w", delta.Version, err))
			return
		}
	}
	b.deltas = deltas
	if d.store(ctx, b) != nil {
		return // the directory has stopped, and says why
	}
	d.settleAttempts(deltas)
	d.turn.wins, d.turn.rival = 0, d.config.Clock()
	d.metrics.adopted.Inc()
	if d.running.Load() { // else nobody is let in yet
		// What is imported keeps the times of its records. But all that was acknowledged before the last proof was known here.
		now := d.config.Clock()
		took := min(max(0, now.Sub(deltas[0].Time)), d.Age(now))
		d.metrics.adoption.Observe(took.Seconds())
		d.metrics.recent.add(took)
	}
	d.makeRoom()
}

// makeRoom keeps what waits to be folded within bounds, however much others
// wrote during an absence.
func (d *Directory) makeRoom() {
	if d.tidy != nil {
		d.tidy.wait()
		return
	}
	log, ok := d.log.(Folder) // nobody else folds before Run
	for ok && log.Backlog() > maxBacklog {
		if _, err := log.Fold(closeChunk); err != nil {
			d.stop(err)
			return
		}
	}
}

// catchUp obeys all that others have appended.
func (d *Directory) catchUp(ctx context.Context) error {
	for {
		if more, err := d.obeyNext(ctx); err != nil || !more {
			return err
		}
	}
}

// obeyNext obeys the next batch that another has appended, if there is one.
func (d *Directory) obeyNext(ctx context.Context) (bool, error) {
	batch, err := d.next(ctx, d.state.version)
	if err != nil || len(batch) == 0 {
		return false, err
	}
	d.adopt(ctx, batch)
	return true, d.Healthy()
}

// turn is what the writer of a shared log knows about who writes. A directory
// that lost a place has to read what took it before it can try again, and would
// lose the next one too, to whoever has nothing to read.
type turn struct {
	wins  int           // how many batches in a row are this directory's, others having had no time
	rival time.Time     // when another's was last obeyed
	trip  time.Duration // how long the log took for the last batch
}

const (
	// rivalry is how long after another's batch more are to be expected. Who wants
	// a place and never gets one is not heard of, so that now and then, after
	// winsInARow, time is left to whoever there may be.
	rivalry    = time.Second
	winsInARow = 8
	// shortestYield and longestYield bound the time that is left to others: they
	// may be busy, and somebody waits here too.
	shortestYield = 10 * time.Millisecond
	longestYield  = 100 * time.Millisecond
)

// yield leaves the next place in the log to another directory that wants one
// too, if this one had the last; it reports whether it did.
func (d *Directory) yield(ctx context.Context) bool {
	if d.turn.wins == 0 || d.turn.wins < winsInARow && d.config.Clock().Sub(d.turn.rival) > rivalry {
		return false
	}
	d.turn.wins = 0
	const trips = 3 // of one who lost: to learn of it, to see by whom, and to try again
	wait := time.NewTimer(max(shortestYield, min(trips*d.turn.trip, longestYield)))
	defer wait.Stop()
	select {
	case f := <-d.foreign:
		d.adopt(ctx, f.batch)
		close(f.done)
	case <-wait.C:
	case <-ctx.Done():
	}
	return true
}

// order gives a batch its place in the shared log. A batch without effect has
// none, but it too was planned on a state that must be proven current: whoever
// is told that somebody is no member any more must be able to rely on it.
func (d *Directory) order(ctx context.Context, b *batch) error {
	started := d.config.Clock()
	if len(b.deltas) == 0 || len(d.attempts) > 0 {
		// While an outcome is open nothing is sent into the dark as well.
		batch, err := d.next(ctx, d.state.version)
		if err != nil {
			return err
		}
		if len(batch) > 0 {
			d.adopt(ctx, batch)
			return ErrBehind
		}
		d.proven(started)
	}
	switch {
	case len(b.deltas) == 0:
		return nil
	case len(d.attempts) >= maxAttempts:
		return fmt.Errorf("%w: the outcome of %d changes is open", ErrUnavailable, maxAttempts)
	}
	sent := d.config.Clock()
	switch err := d.shared.Append(ctx, b.deltas); {
	case errors.Is(err, ErrBehind):
		d.metrics.conflicts.Inc()
		return ErrBehind
	case errors.Is(err, ErrUnsent):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	case errors.Is(err, ErrLimit):
		return err //nolint:wrapcheck // nothing was sent; it says itself how large the change is
	case err != nil:
		return d.unknown(b.deltas, err)
	}
	d.settleAttempts(b.deltas)
	d.proven(started)
	d.turn.wins, d.turn.trip = d.turn.wins+1, max(0, d.config.Clock().Sub(sent))
	return nil
}
