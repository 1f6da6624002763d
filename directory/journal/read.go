package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"github.com/cosmosgate/cosmosgate/directory"
)

const (
	// headEvery is how often the head itself is asked for. In between, a commit
	// that isn't there proves that there is none: what is there expires much later
	// than that.
	headEvery = 30 * time.Second
	// aheadAfter is how many questions in a row must find something before many
	// commits are read at once, aheadPage how many those are.
	aheadAfter = 3
	aheadPage  = 100
	// tolerated is how often the head may seem to be behind before that is
	// believed: a replica of the service may lag.
	tolerated = 50
)

// errLagging means that the service shows two states that don't fit together,
// as replicas do that are not equally far.
var errLagging = errors.New("a replica of the account lags")

// Next implements [directory.Shared]: one point read.
func (j *Journal) Next(ctx context.Context, after uint64) ([]directory.Delta, error) {
	c, err := j.next(ctx, after)
	if err != nil || c == nil {
		return nil, err
	}
	if c.Origin != j.origin || c.Version != after+1 {
		return nil, fmt.Errorf("%w: commit %s belongs to another history", directory.ErrOutdated, c.ID)
	}
	j.decide(c)
	packed, err := j.gather(ctx, c)
	if err != nil {
		return nil, err
	}
	return unpackBatch(c, packed)
}

// begun is what was read of a commit's parts.
type begun struct {
	batch string
	parts [][]byte
}

// gather returns the data of a commit and of its parts. What was read is kept if
// the rest can't be: who began anew each time would never get to the end while the
// container is throttled.
func (j *Journal) gather(ctx context.Context, c *commit) ([]byte, error) {
	if c.Parts == 0 {
		return c.Data, nil
	}
	j.mu.Lock()
	b := j.begun
	j.mu.Unlock()
	if b.batch != c.Batch {
		b = begun{batch: c.Batch}
	}
	for len(b.parts) < c.Parts {
		var part commit
		if _, err := j.read(ctx, partition, partID(c.Batch, len(b.parts)), &part); err != nil {
			j.mu.Lock()
			j.begun = b
			j.mu.Unlock()
			return nil, fmt.Errorf("reading a part of commit %s: %w", c.ID, err)
		}
		b.parts = append(slices.Clip(b.parts), part.Data) // never into room that another reader has too
	}
	j.mu.Lock()
	j.begun = begun{}
	j.mu.Unlock()
	return slices.Concat(b.parts...), nil
}

// next returns the commit after a version, nil if there is none.
func (j *Journal) next(ctx context.Context, after uint64) (*commit, error) {
	j.mu.Lock()
	c, streak := j.ahead[after], j.streak
	maps.DeleteFunc(j.ahead, func(before uint64, _ *commit) bool { return before <= after }) // also what was read in another way
	j.mu.Unlock()
	if c != nil {
		return c, nil
	}
	if streak >= aheadAfter {
		return j.readAhead(ctx, after)
	}
	c = new(commit)
	switch _, err := j.read(ctx, partition, commitID(after+1), c); {
	case err == nil:
		j.mu.Lock()
		j.streak++
		j.mu.Unlock()
		return c, nil
	case absent(err):
		j.mu.Lock()
		j.streak = 0
		j.mu.Unlock()
		return nil, j.confirm(ctx, after)
	default:
		return nil, err
	}
}

// readAhead reads many commits at once. An index may be behind, so that finding
// none proves nothing: the next question is a point read again.
func (j *Journal) readAhead(ctx context.Context, after uint64) (*commit, error) {
	j.mu.Lock()
	j.streak = 0
	clear(j.ahead)
	j.mu.Unlock()
	const query = "SELECT TOP 100 * FROM c WHERE c.kind = 'commit' AND c.version > @after ORDER BY c.version"
	found, err := ask[commit](ctx, j, partition, query, azcosmos.QueryParameter{Name: "@after", Value: after})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 || found[0].Version != after+1 {
		return j.next(ctx, after)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(found) == aheadPage {
		j.streak = aheadAfter
	}
	before := found[0].Last
	for i := 1; i < len(found) && found[i].Version == before+1; i++ {
		j.ahead[before] = &found[i]
		before = found[i].Last
	}
	return &found[0], nil
}

// decide tells Append what became of its commit, if this is its place.
func (j *Journal) decide(c *commit) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.pending == nil || j.pending.version != c.Version {
		return
	}
	var fate error
	if j.pending.batch != c.Batch {
		fate = directory.ErrBehind
	}
	select {
	case j.pending.fate <- fate:
	default: // it was told before
	}
}

// confirm returns nil if a commit that isn't there proves that there is none:
// always, if the head was looked at lately, for commits stay readable for much
// longer than that. Otherwise the head must say so.
func (j *Journal) confirm(ctx context.Context, after uint64) error {
	j.mu.Lock()
	since := age(j.config.Clock(), j.checked)
	j.mu.Unlock()
	if since < headEvery {
		return nil
	}
	h, err := j.readHead(ctx)
	switch {
	case absent(err):
		return fmt.Errorf("%w: the log is gone", directory.ErrOutdated)
	case err != nil:
		return err
	case h.Origin != j.origin:
		return fmt.Errorf("%w: the log has been begun anew", directory.ErrOutdated)
	case h.Version == after:
		j.proven()
		return nil
	case h.Version > after:
		s, err := j.readSnapshot(ctx)
		if err == nil && s.Version > after {
			return fmt.Errorf("%w: versions up to %d are in a snapshot only", directory.ErrOutdated, s.Version)
		}
		return errors.Join(errLagging, err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.backward++; j.backward > tolerated {
		return fmt.Errorf("%w: it ends with version %d, before %d", directory.ErrOutdated, h.Version, after)
	}
	return errLagging
}

// proven notes that head and ids agree.
func (j *Journal) proven() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.checked, j.backward = j.config.Clock(), 0
}

// doubt makes the next question ask for the head as well.
func (j *Journal) doubt() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.checked = time.Time{}
}

// age is how long ago an instant was by the clock that says more: a monotonic
// one stands still while a machine is suspended, a wall clock may be set back.
func age(now, then time.Time) time.Duration {
	return max(now.Sub(then), now.Round(0).Sub(then.Round(0)))
}

// ask runs a query in one logical partition and returns all that it finds.
func ask[T any](ctx context.Context, j *Journal, pk, query string, parameters ...azcosmos.QueryParameter) ([]T, error) {
	ctx, cancel := context.WithTimeout(ctx, chunkTimeout)
	defer cancel()
	pages := j.container.NewQueryItemsPager(query, azcosmos.NewPartitionKeyString(pk), &azcosmos.QueryOptions{QueryParameters: parameters})
	var all []T
	for pages.More() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("asking for documents: %w", err)
		}
		for _, item := range page.Items {
			var one T
			if err := json.Unmarshal(item, &one); err != nil {
				return nil, fmt.Errorf("%w: a document that was asked for: %w", directory.ErrCorrupt, err)
			}
			all = append(all, one)
		}
	}
	return all, nil
}
