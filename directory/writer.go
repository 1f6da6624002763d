package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"
)

// call is one caller's change on its way through the writer.
type call struct {
	change func(*batch) error
	err    error
	done   chan struct{}
}

const (
	// maxCommit bounds the calls of one group commit.
	maxCommit = 512
	// maxBatch is the size of payloads, in bytes, beyond which a group commit
	// takes in no more calls.
	maxBatch = 1 << 20
)

// Apply makes all changes, in order, or none of them. When it returns without
// an error they are durable and every later read sees them. If the context
// ends while the changes are being written, it is open whether they were made.
//
// Errors: [ConflictError], [UnknownMemberError], [ErrNotFound], [ErrRevision],
// [ErrStopped], what an Edit function returned, and of a shared log
// [ErrUnavailable]. With an [UnknownOutcomeError] come the results that the
// changes have if they are made.
func (d *Directory) Apply(ctx context.Context, connection string, changes ...Change) ([]Result, error) {
	if connection == "" {
		return nil, fmt.Errorf("%w: no connection", errPlan)
	}
	var results []Result
	var p planner
	read := d.readAhead(changes)
	err := d.submit(ctx, func(b *batch) error {
		p = planner{batch: b, connection: connection, newID: d.newID, read: read}
		results = make([]Result, 0, len(changes))
		for _, change := range changes {
			result, err := p.plan(change)
			if err != nil {
				return err
			}
			results = append(results, result)
		}
		return nil
	})
	if _, open := errors.AsType[*UnknownOutcomeError](err); open {
		return results, err
	}
	if err != nil {
		return nil, err
	}
	for _, id := range p.relinked {
		d.config.Logger.Warn("link of a user was cut", "connection", connection, "user", id)
	}
	return results, nil
}

// submit hands a change to the writer and waits for its fate.
func (d *Directory) submit(ctx context.Context, change func(*batch) error) error {
	if err := d.Healthy(); err != nil {
		return err
	}
	c := &call{change: change, done: make(chan struct{})}
	select {
	case <-d.ending:
		return fmt.Errorf("%w: shutting down", ErrStopped)
	default:
	}
	select {
	case d.queue <- c:
	case <-d.ending:
		return fmt.Errorf("%w: shutting down", ErrStopped)
	case <-ctx.Done():
		return fmt.Errorf("waiting for the directory's writer: %w", context.Cause(ctx))
	}
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return fmt.Errorf("waiting for the directory's commit: %w", context.Cause(ctx))
	case <-d.ended:
	}
	select {
	case <-c.done:
		return c.err
	default:
		return fmt.Errorf("%w: shutting down", ErrStopped)
	}
}

// Run serves writes, and obeys those of others, until the context ends; what
// was queued by then is still committed and answered. It may be called once.
func (d *Directory) Run(ctx context.Context) error {
	if d.running.Swap(true) {
		return fmt.Errorf("%w: the directory runs already", errPlan)
	}
	defer close(d.ended)
	following, stop := context.WithCancel(ctx)
	defer stop()
	lost := make(chan error, 1)
	if d.shared != nil {
		go func() { lost <- d.follow(following) }()
	}
	if f, ok := d.log.(Folder); ok {
		tidy := newTidy(d, f)
		d.tidy = tidy
		defer tidy.stop()
	}
	for {
		select {
		case c := <-d.queue:
			d.commit(ctx, c)
		case f := <-d.foreign:
			d.adopt(context.WithoutCancel(ctx), f.batch)
			close(f.done)
		case err := <-lost:
			close(d.ending)
			d.drain(ctx)
			return err
		case <-ctx.Done():
			close(d.ending)
			d.drain(ctx)
			if d.shared != nil {
				return <-lost // nil: it ended because the context did
			}
			return nil
		}
	}
}

// drain answers what is queued at the end.
func (d *Directory) drain(ctx context.Context) {
	for {
		select {
		case c := <-d.queue:
			d.commit(ctx, c)
		default:
			return
		}
	}
}

// commit makes one batch of all that is queued: log, publish, answer. If
// another directory was first, everything is planned anew on what it left.
func (d *Directory) commit(ctx context.Context, first *call) {
	// The caller's cancellation must not cut a commit in two.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	b, calls := d.gather([]*call{first})
	if len(b.deltas) > 0 && d.yield(ctx) {
		b, calls = d.gather(calls) // on what others may have written, with what came meanwhile
	}
	err := d.insist(ctx, b, calls)
	if errors.Is(err, ErrLimit) && len(calls) > 1 {
		d.commitEach(ctx, calls)
		return
	}
	for _, c := range calls {
		if err != nil {
			c.err = overruled(err, c.err)
		}
		close(c.done)
	}
	d.tidy.wait()
}

// commitEach commits calls of which one is too large for the log: the others had no part in that.
func (d *Directory) commitEach(ctx context.Context, calls []*call) {
	for _, c := range calls {
		alone := []*call{c}
		if err := d.insist(ctx, d.plan(alone), alone); err != nil {
			c.err = overruled(err, c.err)
		}
		close(c.done)
	}
}

// insist keeps a batch, planned anew on what others appended first. That is one
// batch as a rule, and trying at once tells whether there is more; who lost again
// reads to the end.
func (d *Directory) insist(ctx context.Context, b *batch, calls []*call) error {
	err := d.keep(ctx, b)
	for far := false; errors.Is(err, ErrBehind); far = !far {
		if far {
			err = d.catchUp(ctx)
		} else {
			_, err = d.obeyNext(ctx)
		}
		if err == nil {
			err = d.keep(ctx, d.plan(calls))
		}
	}
	return err
}

// gather plans calls and all that are queued behind them, within bounds.
func (d *Directory) gather(calls []*call) (*batch, []*call) {
	calls = slices.Grow(calls, len(d.queue))
	b := d.plan(calls)
	for c := d.nextCall(b, len(calls)); c != nil; c = d.nextCall(b, len(calls)) {
		calls = append(calls, c)
		d.try(b, c)
	}
	return b, calls
}

// plan plans calls anew.
func (d *Directory) plan(calls []*call) *batch {
	b := d.newBatch()
	for _, c := range calls {
		d.try(b, c)
	}
	return b
}

func (d *Directory) newBatch() *batch {
	return newBatch(d.state, d.config.Clock().UTC().Truncate(time.Millisecond))
}

func (d *Directory) try(b *batch, c *call) {
	if c.err = d.Healthy(); c.err == nil {
		c.err = b.try(c.change)
	}
}

// keep makes a batch durable and visible.
func (d *Directory) keep(ctx context.Context, b *batch) error {
	if d.shared != nil {
		if err := d.order(ctx, b); err != nil {
			return err
		}
	}
	if len(b.deltas) == 0 {
		return nil
	}
	return d.store(ctx, b)
}

// store writes a batch to the directory's own log and publishes it.
func (d *Directory) store(ctx context.Context, b *batch) error {
	if err := d.log.Append(ctx, b.deltas); err != nil {
		d.stop(err)
		return d.unwritten()
	}
	d.state.publish(b)
	d.seen.Store(d.state.version)
	d.tidy.wake()
	return nil
}

// nextCall returns another queued call for the batch, or nil.
func (d *Directory) nextCall(b *batch, taken int) *call {
	if taken >= maxCommit || b.size > maxBatch {
		return nil
	}
	select {
	case c := <-d.queue:
		return c
	default:
		return nil
	}
}

// stop makes the directory refuse writes for good: after a failed write or
// sync nobody knows what the disk holds, and only a restart reads it again. The
// first reason stays.
func (d *Directory) stop(err error) {
	failure := fmt.Errorf("%w: %w: %s", ErrStopped, err, remedy(err))
	if d.failure.CompareAndSwap(nil, &failure) {
		d.config.Logger.Error("directory stopped", "error", err, "remedy", remedy(err))
	}
}

// remedy says what an operator should do about what stopped a directory.
func remedy(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "nothing that was acknowledged is lost; make room on the directory's disk and restart the gate"
	case errors.Is(err, ErrOutdated):
		return "restart the gate: it then loads the state anew"
	case errors.Is(err, ErrCorrupt):
		return "restart the gate: it then says whether what is on its disk is whole"
	default:
		return "nothing that was acknowledged is lost; look after the directory's disk and restart the gate"
	}
}
