package directory

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
)

// A directory of a shared log keeps its own copy in a file, so that it starts
// with what it knew and reads only the rest. The file is named after the log's
// origin: that of another history is never taken for this one's.

// openTimeout bounds how long a shared log may take to bring a copy up to date.
const (
	openTimeout = 15 * time.Minute
	// openPatience is how long it may be out of reach meanwhile.
	openPatience = 30 * time.Second
)

// readCopy opens the copy, made anew if there is none or the log no longer
// holds what comes after it, and obeys all that the log holds beyond it.
func (d *Directory) readCopy() error {
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	path := copyPath(d.config.Path, d.shared.Origin())
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := d.makeCopy(ctx, path); err != nil {
			return err
		}
	}
	err := d.resume(ctx, path)
	if !errors.Is(err, ErrOutdated) {
		return err
	}
	d.config.Logger.Warn("the copy of the directory is too old to be continued: loading it anew", "path", path)
	if err := d.log.Close(); err != nil {
		return fmt.Errorf("closing the outdated copy: %w", err)
	}
	d.log = nil
	if err := d.makeCopy(ctx, path); err != nil {
		return err
	}
	return d.resume(ctx, path)
}

// copyPath puts a part of the origin before the extension of a file.
func copyPath(path, origin string) string {
	const shown = 8
	extension := filepath.Ext(path)
	return strings.TrimSuffix(path, extension) + "-" + origin[:min(shown, len(origin))] + extension
}

// makeCopy writes the state that the shared log holds to a new file. The file
// gets its name once it is whole.
func (d *Directory) makeCopy(ctx context.Context, path string) error {
	temporary := path + ".new"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing an unfinished copy: %w", err)
	}
	defer func() { _ = os.Remove(temporary + ".lock") }() // it guarded nothing else
	if err := buildBolt(temporary, func(each func(Delta) error) (uint64, error) {
		return d.shared.Load(ctx, each)
	}); err != nil {
		return fmt.Errorf("copying the directory: %w", err)
	}
	if err := removeBolt(path); err != nil {
		return fmt.Errorf("removing the copy before: %w", err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return fmt.Errorf("copying the directory: %w", err)
	}
	return folder(filepath.Dir(path)).sync()
}

// removeBolt removes the file of a log, and then its journal, which is of no
// use without it.
func removeBolt(path string) error {
	d, base := folder(filepath.Dir(path)), filepath.Base(path)
	if err := d.remove(base); err != nil {
		return err
	}
	names, err := d.names(base + journalSuffix)
	for _, name := range names {
		err = errors.Join(err, d.remove(name))
	}
	return errors.Join(err, d.sync()) // before another file gets the name
}

// resume reads the copy and what the shared log holds beyond it.
func (d *Directory) resume(ctx context.Context, path string) error {
	log, err := OpenBolt(path)
	if err != nil {
		return err
	}
	d.log, d.state = log, newState()
	if err := load(d.state, log, d.config.Clock()); err != nil {
		return err
	}
	d.seen.Store(d.state.version)
	if err := d.catchUpPatiently(ctx); err != nil {
		return fmt.Errorf("reading the shared log: %w", err)
	}
	return nil
}

// catchUpPatiently obeys all that the shared log holds. While the log can't be
// reached it asks again, until that has lasted for too long.
func (d *Directory) catchUpPatiently(ctx context.Context) error {
	reached := d.config.Clock()
	for {
		version, started := d.state.version, d.config.Clock()
		err := d.catchUp(ctx)
		if err == nil {
			d.proven(started)
			return nil
		}
		if d.state.version > version {
			reached = d.config.Clock()
		}
		if !errors.Is(err, ErrUnavailable) || d.config.Clock().Sub(reached) > openPatience {
			return err
		}
		select {
		case <-time.After(d.config.Poll):
		case <-ctx.Done():
			return err
		}
	}
}

// Replay calls each for deltas that lead from nothing to the directory as it is
// on disk, and returns their version. It may run beside everything else. A
// payload is valid until each returns.
func (d *Directory) Replay(each func(Delta) error) (version uint64, err error) {
	log, ok := d.log.(*BoltLog)
	if !ok {
		return 0, fmt.Errorf("%w: only an embedded log can be replayed beside writes", errPlan)
	}
	_, version, err = log.replay(0, each)
	return version, err
}

// buildBolt makes a new file that holds the state which deltas lead to.
func buildBolt(path string, replay func(each func(Delta) error) (uint64, error)) error {
	log, err := OpenBolt(path)
	if err != nil {
		return err
	}
	log.db.NoSync = true // until it is whole, the file is worth nothing
	builder := &builder{log: log}
	version, err := replay(builder.take)
	if err == nil {
		err = builder.finish(version)
	}
	if err == nil {
		err = log.db.Sync()
	}
	builder.abandon()
	if err := errors.Join(err, log.Close()); err != nil {
		return fmt.Errorf("building %s: %w", path, err)
	}
	return nil
}

// builder folds deltas into a file in transactions of bounded size.
type builder struct {
	log  *BoltLog
	tx   *bolt.Tx
	keys int
}

// buildChunk is how many keys one transaction of a builder writes, see closeChunk.
const buildChunk = 1 << 12

func (b *builder) take(d Delta) error {
	if b.tx == nil {
		tx, err := b.log.db.Begin(true)
		if err != nil {
			return fmt.Errorf("beginning a transaction: %w", err)
		}
		b.tx, b.keys = tx, 0
	}
	// The file keeps what it is given until the transaction ends, longer than the
	// payload is valid.
	d.Payload = append([]byte(nil), d.Payload...)
	state := b.tx.Bucket([]byte(bucketState))
	state.FillPercent = stateFill
	if err := foldDelta(state, d); err != nil {
		return err
	}
	if b.keys += d.keys(); b.keys < buildChunk {
		return nil
	}
	return b.commit()
}

func (b *builder) commit() error {
	if b.tx == nil {
		return nil
	}
	err := b.tx.Commit()
	if b.tx = nil; err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	return nil
}

// abandon ends a transaction that an error left open.
func (b *builder) abandon() {
	if b.tx != nil {
		_ = b.tx.Rollback() // the file is worth nothing
	}
}

// finish writes the version that was reached.
func (b *builder) finish(version uint64) error {
	if err := b.commit(); err != nil {
		return err
	}
	err := b.log.db.Update(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte(bucketMeta)).Put([]byte(keyFolded), versionKey(version))
	})
	if err != nil {
		return fmt.Errorf("noting the version: %w", err)
	}
	return nil
}
