package journal

import (
	"compress/flate"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"github.com/cosmosgate/cosmosgate/directory"
)

const (
	// upkeepEvery is how often a gate looks whether a snapshot is due.
	upkeepEvery = time.Minute
	// leaseTime is how long a lease holds without being renewed, renewEvery the
	// number of chunks after which it is.
	leaseTime  = 5 * time.Minute
	renewEvery = 16
	// retireBatch is how many documents get their expiry in one transaction.
	retireBatch = 100
)

// errCopy means that this gate's own copy is not what others should start with,
// such as that of a directory that has stopped.
var errCopy = errors.New("this gate's copy of the directory makes no snapshot")

// Load implements [directory.Shared]: it reads the newest snapshot.
func (j *Journal) Load(ctx context.Context, each func(directory.Delta) error) (uint64, error) {
	var s snapshot
	err := j.patiently(ctx, func() (err error) {
		s, err = j.readSnapshot(ctx)
		return err
	})
	if err != nil {
		return 0, err
	}
	pieces := &chunks{count: s.Chunks, read: func(n int) ([]byte, error) {
		var c chunk
		err := j.patiently(ctx, func() error {
			_, err := j.read(ctx, s.Name, chunkID(n), &c)
			return err
		})
		return c.Data, err
	}}
	if s.Chunks > 0 {
		if err := directory.ReadDeltas(flate.NewReader(pieces), each); err != nil {
			return 0, fmt.Errorf("reading the snapshot of version %d: %w", s.Version, err)
		}
	}
	return s.Version, nil
}

// readSnapshot returns the newest snapshot, the zero one if there is none yet.
func (j *Journal) readSnapshot(ctx context.Context) (snapshot, error) {
	var s snapshot
	_, err := j.read(ctx, partition, idSnapshot, &s)
	if absent(err) {
		return snapshot{}, nil
	}
	return s, err
}

// Run writes snapshots when they are due, until ctx ends. Replay gives the state
// of this gate's own copy.
func (j *Journal) Run(ctx context.Context, replay func(each func(directory.Delta) error) (uint64, error)) error {
	tick := time.NewTicker(upkeepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := j.Upkeep(ctx, replay); err != nil && ctx.Err() == nil {
			j.metrics.snapshots.WithLabelValues(resultFailed).Inc()
			j.config.Logger.Warn("snapshot of the directory failed; another attempt follows", "error", err)
		}
	}
}

// Upkeep writes a snapshot if one is due and no other gate is at it, and lets
// expire what it replaces.
func (j *Journal) Upkeep(ctx context.Context, replay func(each func(directory.Delta) error) (uint64, error)) error {
	if w, err := j.work(ctx); err != nil || !w.due && !w.retire {
		return err
	}
	k, err := j.acquire(ctx)
	if err != nil || k == nil {
		return err
	}
	if err := j.tend(ctx, k, replay); err != nil {
		j.giveUp(ctx, k)
		return err
	}
	return nil
}

// tend does what is due, under the lease.
func (j *Journal) tend(ctx context.Context, k *held, replay func(each func(directory.Delta) error) (uint64, error)) error {
	w, err := j.work(ctx) // another gate may have done some before the lease was free
	if err != nil {
		return err
	}
	if k.Building != "" && k.Building != w.snapshot.Name {
		if err := j.expire(ctx, k.Building, everything); err != nil {
			return err
		}
	}
	if w.retire {
		if err := j.retire(ctx, w.snapshot); err != nil {
			return err
		}
	}
	if !w.due {
		return j.release(ctx, k)
	}
	s, err := j.build(ctx, k, w, replay)
	if err != nil {
		return err
	}
	j.metrics.snapshots.WithLabelValues(resultWritten).Inc()
	return j.retire(ctx, s)
}

// work is what there is to do.
type work struct {
	head     head
	snapshot snapshot
	// due: a snapshot is to be written. retire: what the last one replaced still
	// has no expiry.
	due, retire bool
}

func (j *Journal) work(ctx context.Context) (work, error) {
	var w work
	var err error
	if w.head, err = j.readHead(ctx); err != nil {
		return w, err
	}
	if w.snapshot, err = j.readSnapshot(ctx); err != nil {
		return w, err
	}
	if w.head.Origin != j.origin {
		return w, fmt.Errorf("%w: the container holds another history", directory.ErrOutdated)
	}
	commits, bytes := w.head.Commits-w.snapshot.AtCommits, w.head.Bytes-w.snapshot.AtBytes
	w.due = commits >= j.config.SnapshotCommits || bytes >= max(j.config.SnapshotBytes, w.snapshot.Bytes)
	w.retire = w.snapshot.Version > 0 && !w.snapshot.Retired
	if w.due || w.retire {
		return w, errors.Join(j.account.fault(), j.meter.fault())
	}
	return w, nil
}

// held is a lease that this gate holds.
type held struct {
	lease

	etag azcore.ETag
}

// acquire takes the lease, nil if another gate holds it.
func (j *Journal) acquire(ctx context.Context) (*held, error) {
	k := &held{}
	etag, err := j.read(ctx, partition, idLease, &k.lease)
	switch {
	case absent(err):
		first := lease{ID: idLease, Partition: partition}
		if err := j.create(ctx, partition, first); err != nil && status(err) != http.StatusConflict {
			return nil, err
		}
		return nil, nil //nolint:nilnil // the next round takes it
	case err != nil:
		return nil, err
	}
	if k.Holder != j.config.Name && j.config.Clock().UnixMilli() < k.Until {
		return nil, nil //nolint:nilnil // somebody is at it
	}
	k.etag = etag
	if err := j.renew(ctx, k); err != nil {
		if status(err) == http.StatusPreconditionFailed {
			return nil, nil //nolint:nilnil // somebody was faster
		}
		return nil, err
	}
	return k, nil
}

// renew writes the lease as it is now, with more time.
func (j *Journal) renew(ctx context.Context, k *held) error {
	k.Holder, k.Until = j.config.Name, j.config.Clock().Add(leaseTime).UnixMilli()
	return j.writeLease(ctx, k)
}

// release ends the lease.
func (j *Journal) release(ctx context.Context, k *held) error {
	k.Until, k.Building = 0, ""
	return j.writeLease(ctx, k)
}

// giveUp ends the lease of a gate that could not finish, so that others may try
// before this one does again. What it has begun is theirs to let expire.
func (j *Journal) giveUp(ctx context.Context, k *held) {
	k.Until = 0
	_ = j.writeLease(ctx, k) // it ends by itself, or has ended
}

func (j *Journal) writeLease(ctx context.Context, k *held) error {
	body, err := json.Marshal(k.lease)
	if err != nil {
		return fmt.Errorf("encoding the lease: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, questionTimeout)
	defer cancel()
	answer, err := j.container.ReplaceItem(ctx, azcosmos.NewPartitionKeyString(partition), idLease, body,
		&azcosmos.ItemOptions{IfMatchEtag: &k.etag})
	if err != nil {
		return fmt.Errorf("writing the lease: %w", err)
	}
	k.etag = answer.ETag
	return nil
}

// build writes a snapshot and makes it the newest one, in the same step in which
// the lease ends: whoever has lost the lease has lost the snapshot.
func (j *Journal) build(
	ctx context.Context, k *held, w work, replay func(each func(directory.Delta) error) (uint64, error),
) (snapshot, error) {
	name, err := j.random()
	if err != nil {
		return snapshot{}, err
	}
	s := snapshot{
		ID: idSnapshot, Partition: partition, Name: "snapshot-" + name, Previous: w.snapshot.Name,
		AtBytes: w.head.Bytes, AtCommits: w.head.Commits,
	}
	spool, err := newSpool(j.config.Spool)
	if err != nil {
		return s, err
	}
	defer spool.close()
	// The replay holds back the store's tidying, so it goes to a file first: the
	// container may be slow.
	s.Version, err = replay(func(d directory.Delta) error {
		if err := ctx.Err(); err != nil {
			return err //nolint:wrapcheck // said below
		}
		return spool.add(d)
	})
	if err == nil {
		err = spool.finish()
	}
	if err != nil {
		return s, fmt.Errorf("reading the directory for a snapshot: %w", err)
	}
	if err := j.fits(ctx, s.Version, w); err != nil {
		return s, err
	}
	k.Building = s.Name
	if err := j.renew(ctx, k); err != nil {
		return s, err
	}
	s.Bytes = spool.size
	for ; ; s.Chunks++ {
		c := chunk{ID: chunkID(s.Chunks), Partition: s.Name, Kind: kindChunk}
		if c.Data, err = spool.next(); err != nil {
			return s, err
		}
		if len(c.Data) == 0 {
			break
		}
		if err := j.patiently(ctx, func() error { return j.create(ctx, s.Name, c) }); err != nil {
			return s, fmt.Errorf("writing chunk %d of a snapshot: %w", s.Chunks, err)
		}
		if s.Chunks%renewEvery == renewEvery-1 {
			if err := j.renew(ctx, k); err != nil {
				return s, err
			}
		}
	}
	return s, j.publish(ctx, k, s)
}

// fits reports why a snapshot of a version must not be the newest: it knows less
// than the one that is there, and what leads from one to the other expires, or
// more than the log, which was taken back to an earlier state. Whoever started
// with it could not go on.
func (j *Journal) fits(ctx context.Context, version uint64, w work) error {
	if version <= w.snapshot.Version {
		return fmt.Errorf("%w: it ends with version %d, the newest snapshot with %d", errCopy, version, w.snapshot.Version)
	}
	h, err := j.readHead(ctx) // it has gone on while the copy was read
	if err == nil && (h.Version < version || h.Origin != j.origin) {
		return fmt.Errorf("%w: it ends with version %d, the log with %d", errCopy, version, h.Version)
	}
	return err
}

// publish makes a finished snapshot the newest and ends the lease.
func (j *Journal) publish(ctx context.Context, k *held, s snapshot) error {
	free := k.lease
	free.Until, free.Building = 0, ""
	ended, err := json.Marshal(free)
	if err != nil {
		return fmt.Errorf("encoding the lease: %w", err)
	}
	body, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encoding a snapshot: %w", err)
	}
	batch := j.container.NewTransactionalBatch(azcosmos.NewPartitionKeyString(partition))
	batch.ReplaceItem(idLease, ended, &azcosmos.TransactionalBatchItemOptions{IfMatchETag: &k.etag})
	batch.UpsertItem(body, nil)
	return j.execute(ctx, batch)
}

// execute runs a transaction.
func (j *Journal) execute(ctx context.Context, batch azcosmos.TransactionalBatch) error {
	ctx, cancel := context.WithTimeout(ctx, chunkTimeout)
	defer cancel()
	answer, err := j.container.ExecuteTransactionalBatch(ctx, batch, nil)
	if err != nil {
		return fmt.Errorf("running a transaction: %w", err)
	}
	for _, result := range answer.OperationResults {
		if !answer.Success && result.StatusCode != http.StatusFailedDependency {
			return refusedError(result.StatusCode)
		}
	}
	return nil
}

// retire gives what a snapshot replaces an expiry, and notes that it did.
func (j *Journal) retire(ctx context.Context, s snapshot) error {
	if s.Previous != "" {
		if err := j.expire(ctx, s.Previous, everything); err != nil {
			return err
		}
	}
	if err := j.expire(ctx, partition, replaced, azcosmos.QueryParameter{Name: "@version", Value: s.Version}); err != nil {
		return err
	}
	var done azcosmos.PatchOperations
	done.SetCondition(fmt.Sprintf("FROM c WHERE c.version = %d", s.Version))
	done.AppendSet("/retired", true)
	ctx, cancel := context.WithTimeout(ctx, questionTimeout)
	defer cancel()
	_, err := j.container.PatchItem(ctx, azcosmos.NewPartitionKeyString(partition), idSnapshot, done, nil)
	if status(err) == http.StatusPreconditionFailed {
		return nil // there is a newer one already
	}
	if err != nil {
		return fmt.Errorf("noting what a snapshot replaced: %w", err)
	}
	return nil
}

// What an expiry is asked for.
const (
	everything = "SELECT TOP 100 c.id FROM c WHERE NOT IS_DEFINED(c.ttl)"
	replaced   = "SELECT TOP 100 c.id FROM c WHERE c.kind IN ('commit', 'part') AND c.version <= @version AND NOT IS_DEFINED(c.ttl)"
)

// expire sets the time to live of documents that don't have one.
func (j *Journal) expire(ctx context.Context, pk, query string, parameters ...azcosmos.QueryParameter) error {
	for {
		type found struct {
			ID string `json:"id"`
		}
		documents, err := ask[found](ctx, j, pk, query, parameters...)
		if err != nil || len(documents) == 0 {
			return err
		}
		batch := j.container.NewTransactionalBatch(azcosmos.NewPartitionKeyString(pk))
		for _, d := range documents[:min(len(documents), retireBatch)] {
			var end azcosmos.PatchOperations
			end.AppendSet("/ttl", int64(j.config.Retention.Seconds()))
			batch.PatchItem(d.ID, end, nil)
		}
		if err := j.patiently(ctx, func() error { return j.execute(ctx, batch) }); err != nil {
			return fmt.Errorf("letting documents expire: %w", err) // also if one has just expired: the next round goes on
		}
	}
}

// patiently repeats a request of the upkeep, which has time; what the service
// says about when is obeyed. A document that is there already was written by an
// attempt whose answer got lost.
func (j *Journal) patiently(ctx context.Context, request func() error) error {
	const attempts = 20
	pause := firstPause
	for n := 1; ; n++ {
		err := request()
		if err == nil || status(err) == http.StatusConflict {
			return nil
		}
		if n == attempts || !passing(err) {
			return err
		}
		select {
		case <-time.After(wait(err, &pause)):
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
}
