package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"github.com/cosmosgate/cosmosgate/directory"
)

const (
	// appendTimeout bounds one Append.
	appendTimeout = 10 * time.Second
	// firstPause is the pause before a request is repeated; it doubles up to
	// longestPause, unless the service says how long to wait.
	firstPause   = 20 * time.Millisecond
	longestPause = time.Second
)

// errPlace means that the place in the log is taken.
var errPlace = errors.New("the place is taken")

// pending is a commit whose fate is open. Whoever reads its place in the log
// knows the fate, and says so.
type pending struct {
	version uint64
	batch   string
	fate    chan error // buffered; nil: it is in the log
}

// Append implements [directory.Shared]. What can't be answered in time is
// repeated with the very same document, so that repeating it changes nothing;
// when its place turns out to be taken, reading it tells by whom.
func (j *Journal) Append(ctx context.Context, batch []directory.Delta) error {
	if err := errors.Join(j.account.fault(), j.meter.fault()); err != nil {
		return err
	}
	c, packed, err := j.newCommit(batch)
	if err != nil {
		return err
	}
	p := &pending{version: c.Version, batch: c.Batch, fate: make(chan error, 1)}
	j.setPending(p)
	defer j.setPending(nil)
	ctx, cancel := context.WithTimeout(ctx, appendTimeout)
	defer cancel()
	err = j.settle(ctx, c, packed, p)
	switch {
	case err == nil:
		j.proven()
		j.metrics.commits.WithLabelValues(resultWritten).Inc()
	case errors.Is(err, directory.ErrBehind):
		j.metrics.commits.WithLabelValues(resultBehind).Inc()
	default:
		j.metrics.commits.WithLabelValues(resultUnknown).Inc()
	}
	return err
}

// newCommit returns a batch as the document that will hold it, or as one that
// its parts will follow.
func (j *Journal) newCommit(batch []directory.Delta) (*commit, []byte, error) {
	packed, err := packBatch(batch)
	if err != nil {
		return nil, nil, err
	}
	name, err := j.random()
	if err != nil {
		return nil, nil, err
	}
	c := &commit{
		ID: commitID(batch[0].Version), Partition: partition, Kind: kindCommit, Origin: j.origin,
		Version: batch[0].Version, Last: batch[len(batch)-1].Version, Batch: name,
	}
	if len(packed) <= maxData {
		c.Data = packed
		return c, packed, nil
	}
	c.Parts = (len(packed) + maxData - 1) / maxData
	if c.Parts > maxParts {
		return nil, nil, fmt.Errorf("%w: a commit of %d bytes", directory.ErrLimit, len(packed))
	}
	return c, packed, nil
}

func (j *Journal) setPending(p *pending) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.pending = p
}

// settle tries until the commit's fate is known or the context ends.
func (j *Journal) settle(ctx context.Context, c *commit, packed []byte, p *pending) error {
	for n := range c.Parts {
		part := *c
		part.ID, part.Kind, part.Parts = partID(c.Batch, n), kindPart, 0
		part.Data = packed[n*maxData : min(len(packed), (n+1)*maxData)]
		if err := j.insist(ctx, func() error { return j.create(ctx, partition, part) }); err != nil {
			return fmt.Errorf("writing a part of a commit: %w", err)
		}
	}
	pause := firstPause
	for {
		err := j.commit(ctx, c, int64(len(packed)))
		if errors.Is(err, errPlace) {
			err = j.whose(ctx, c)
		}
		if err == nil || errors.Is(err, directory.ErrBehind) || !passing(err) {
			return err
		}
		select {
		case fate := <-p.fate:
			return fate
		case <-time.After(wait(err, &pause)):
		case <-ctx.Done():
			return fmt.Errorf("committing: %w: %w", context.Cause(ctx), err)
		}
	}
}

// commit makes one attempt: the head's step forward and the document, both or
// neither.
func (j *Journal) commit(ctx context.Context, c *commit, size int64) error {
	body, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encoding a commit: %w", err)
	}
	var step azcosmos.PatchOperations
	// The origin too: a container that was made anew meanwhile may be just as far.
	step.SetCondition(fmt.Sprintf("FROM c WHERE c.version = %d AND c.origin = '%s'", c.Version-1, j.origin))
	step.AppendSet("/version", c.Last)
	step.AppendIncrement("/bytes", size)
	step.AppendIncrement("/commits", 1)
	batch := j.container.NewTransactionalBatch(azcosmos.NewPartitionKeyString(partition))
	batch.PatchItem(idHead, step, nil)
	batch.CreateItem(body, nil)
	ctx, cancel := context.WithTimeout(ctx, questionTimeout)
	defer cancel()
	answer, err := j.container.ExecuteTransactionalBatch(ctx, batch, nil)
	if err != nil {
		return fmt.Errorf("writing a commit: %w", err)
	}
	if answer.Success {
		return nil
	}
	for _, result := range answer.OperationResults {
		switch result.StatusCode {
		case http.StatusFailedDependency:
		case http.StatusPreconditionFailed, http.StatusConflict:
			return errPlace
		default:
			return refusedError(result.StatusCode)
		}
	}
	return errPlace
}

// whose reads a place that is taken: nil means that this very commit has it.
func (j *Journal) whose(ctx context.Context, c *commit) error {
	var found commit
	_, err := j.read(ctx, partition, c.ID, &found)
	switch {
	case err == nil && found.Batch == c.Batch:
		return nil
	case err == nil:
		j.mu.Lock()
		j.ahead[c.Version-1] = &found // whoever lost asks for it next
		j.mu.Unlock()
		return directory.ErrBehind
	case absent(err):
		// It has expired, and a snapshot has what it did; or the replica that was
		// asked doesn't have it yet.
		j.doubt()
		if s, err := j.readSnapshot(ctx); err == nil && s.Version >= c.Version {
			return directory.ErrBehind
		}
		return errLagging
	default:
		return err
	}
}

// insist repeats a request that changes nothing when repeated.
func (j *Journal) insist(ctx context.Context, request func() error) error {
	pause := firstPause
	for {
		err := request()
		if err == nil || status(err) == http.StatusConflict {
			return nil
		}
		if !passing(err) {
			return err
		}
		select {
		case <-time.After(wait(err, &pause)):
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
}

// passing reports whether it is worth repeating what failed.
func passing(err error) bool {
	if errors.Is(err, errConfig) {
		return false
	}
	switch status(err) {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusRequestEntityTooLarge:
		return false
	default:
		return true
	}
}

// wait returns how long to wait after an error, and makes the next pause longer.
func wait(err error, pause *time.Duration) time.Duration {
	now := *pause
	*pause = min(2*now, longestPause)
	if refusal, ok := errors.AsType[*azcore.ResponseError](err); ok && refusal.RawResponse != nil {
		if ms, err := strconv.Atoi(refusal.RawResponse.Header.Get("x-ms-retry-after-ms")); err == nil && ms > 0 {
			return min(time.Duration(ms)*time.Millisecond, appendTimeout)
		}
	}
	return now
}
