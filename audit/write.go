package audit

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// write appends what is committed to the file until ctx is done or the log is closed.
func (l *Log) write(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-l.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	var confirm <-chan time.Time
	if l.config.SyncEvery > 0 {
		ticker := time.NewTicker(l.config.SyncEvery)
		defer ticker.Stop()
		confirm = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-confirm:
			l.confirm()
		case <-l.wake:
			pause(ctx, linger)
			l.flush(ctx)
		}
	}
}

// flush writes everything that is pending. While writing fails it keeps the lines and tries again, until ctx is done.
func (l *Log) flush(ctx context.Context) {
	for {
		if len(l.batch) == 0 {
			l.take()
		}
		if len(l.batch) == 0 {
			return
		}
		err := l.attempt()
		l.setFault(err)
		if err != nil && !pause(ctx, retryEvery) {
			return
		}
	}
}

// attempt appends the batch and drops from it what is safely in the file.
func (l *Log) attempt() error {
	n, err := l.file.append(l.batch)
	if err != nil {
		l.metrics.failures.WithLabelValues(string(failWrite)).Inc()
	} else if l.config.SyncEvery == 0 {
		if err = l.file.sync(); err != nil {
			// Nobody knows what of it reached the disk, and a second fsync would not tell (it reports a failure once): all of it is
			// written again. A record that stands there twice has the same decision id.
			n = 0
			l.metrics.failures.WithLabelValues(string(failSync)).Inc()
		}
	}
	l.written(l.batch[:n])
	l.batch = l.batch[n:]
	return err
}

// confirm syncs the file where that is done by the clock.
func (l *Log) confirm() {
	err := l.file.sync()
	if err == nil {
		err = l.file.ready()
	}
	if err != nil {
		l.metrics.failures.WithLabelValues(string(failSync)).Inc()
	}
	l.setFault(err)
}

// finish ends the log: no more reservations, then everything that is open or pending within the bound.
func (l *Log) finish(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, l.config.Drain)
	defer cancel()
	l.mu.Lock()
	l.closing = true
	l.mu.Unlock()

	l.awaitCommits(ctx)
	l.abandonOpen()
	l.flush(ctx)

	l.mu.Lock()
	lost := l.waiting
	l.mu.Unlock()
	err := l.file.close()
	if lost > 0 {
		err = errors.Join(fmt.Errorf("%w: %d records lost", ErrUnavailable, lost), err)
	}
	l.result = err
	close(l.done)
	return err
}

// awaitCommits writes what comes in until no reservation is open, or ctx is done.
func (l *Log) awaitCommits(ctx context.Context) {
	for {
		l.flush(ctx)
		if l.openCount() == 0 {
			return
		}
		select {
		case <-l.wake:
		case <-ctx.Done():
			return
		}
	}
}

func (l *Log) openCount() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open.count
}

// abandonOpen writes the reservations that nobody committed in time.
func (l *Log) abandonOpen() {
	l.mu.Lock()
	left := l.open.all()
	l.mu.Unlock()
	for _, r := range left {
		r.Abandon()
	}
}

// pause waits, and returns false if ctx was done before the time had passed.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
