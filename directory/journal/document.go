package journal

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"

	"github.com/cosmosgate/cosmosgate/directory"
)

// The logical partition of the log, and the documents with fixed ids in it.
const (
	partition  = "journal"
	idHead     = "head"
	idSnapshot = "snapshot"
	idLease    = "lease"

	kindCommit = "commit"
	kindPart   = "part"
	kindChunk  = "chunk"

	// formatVersion is that of the documents; a gate refuses a newer one.
	formatVersion = 1
	// maxData is the most compressed data of one document, in bytes. In base64,
	// with the rest, that stays well under the service's 2 MB.
	maxData = 1_000_000
	// maxParts bounds the documents of one commit.
	maxParts = 256
	// maxInflated bounds what a commit may unpack to, and maxDelta one delta of it.
	maxInflated = maxParts * 4 * maxData
	maxDelta    = 60 << 20
)

// head says where the log ends. Bytes and Commits only grow.
type head struct {
	ID        string `json:"id"`
	Partition string `json:"pk"`
	Format    int    `json:"format"`
	// Origin names the history; it never changes.
	Origin  string `json:"origin"`
	Version uint64 `json:"version"`
	Bytes   int64  `json:"bytes"`
	Commits int64  `json:"commits"`
}

// commit is one batch, or one part of a batch that is too large for a document.
// Parts are written first; they count once their commit is there.
type commit struct {
	ID        string `json:"id"`
	Partition string `json:"pk"`
	Kind      string `json:"kind"`
	Origin    string `json:"origin"`
	// Version is that of the first delta, Last that of the last.
	Version uint64 `json:"version"`
	Last    uint64 `json:"last"`
	// Batch is unique to one attempt of one writer to commit.
	Batch string `json:"batch"`
	// Parts is how many documents hold the data; with none it is here.
	Parts int    `json:"parts,omitempty"`
	Data  []byte `json:"data,omitempty"`
}

// snapshot points to the chunks of a state.
type snapshot struct {
	ID        string `json:"id"`
	Partition string `json:"pk"`
	Version   uint64 `json:"version"`
	// Name is the logical partition of the chunks, Previous that of the snapshot
	// before, which expires.
	Name     string `json:"name"`
	Previous string `json:"previous,omitempty"`
	Chunks   int    `json:"chunks"`
	Bytes    int64  `json:"bytes"`
	// AtBytes and AtCommits are the head's when the snapshot was begun.
	AtBytes   int64 `json:"atBytes"`
	AtCommits int64 `json:"atCommits"`
	// Retired is true once all that the snapshot replaces has an expiry.
	Retired bool `json:"retired"`
}

// chunk is a piece of a snapshot, which is one compressed stream of deltas.
type chunk struct {
	ID        string `json:"id"`
	Partition string `json:"pk"`
	Kind      string `json:"kind"`
	Data      []byte `json:"data"`
}

// lease says who may write a snapshot. Clocks only decide who tries; what a
// former holder does fails on the lease's ETag.
type lease struct {
	ID        string `json:"id"`
	Partition string `json:"pk"`
	Holder    string `json:"holder"`
	// Until is in Unix milliseconds.
	Until int64 `json:"until"`
	// Building is the partition of an unfinished snapshot.
	Building string `json:"building,omitempty"`
}

// commitID makes ids that sort as versions do.
func commitID(version uint64) string { return fmt.Sprintf("%020d", version) }

func partID(batch string, part int) string { return fmt.Sprintf("part-%s-%04d", batch, part) }

func chunkID(n int) string { return fmt.Sprintf("%06d", n) }

// packBatch returns the compressed form of a batch. What no gate could read again
// must not get into the log: it would stop them all.
func packBatch(batch []directory.Delta) ([]byte, error) {
	var packed bytes.Buffer
	w, err := flate.NewWriter(&packed, flate.BestSpeed)
	if err != nil {
		return nil, fmt.Errorf("compressing a batch: %w", err)
	}
	var raw []byte
	total := 0
	for _, d := range batch {
		raw = directory.AppendDelta(raw[:0], d)
		if total += len(raw); len(raw) > maxDelta || total > maxInflated {
			return nil, fmt.Errorf("%w: a commit of %d bytes, one change of %d", directory.ErrLimit, total, len(raw))
		}
		if _, err := w.Write(raw); err != nil {
			return nil, fmt.Errorf("compressing a batch: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("compressing a batch: %w", err)
	}
	return packed.Bytes(), nil
}

// unpackBatch reverses packBatch and checks that the batch is the one at its
// place.
func unpackBatch(c *commit, packed []byte) ([]directory.Delta, error) {
	var batch []directory.Delta
	inflated := io.LimitReader(flate.NewReader(bytes.NewReader(packed)), maxInflated)
	err := directory.ReadDeltas(inflated, func(d directory.Delta) error {
		if d.Version != c.Version+uint64(len(batch)) {
			return fmt.Errorf("%w: commit %s holds version %d", directory.ErrCorrupt, c.ID, d.Version)
		}
		d.Payload = bytes.Clone(d.Payload)
		batch = append(batch, d)
		return nil
	})
	if err == nil && (len(batch) == 0 || batch[len(batch)-1].Version != c.Last) {
		err = fmt.Errorf("%w: commit %s does not end with version %d", directory.ErrCorrupt, c.ID, c.Last)
	}
	if err != nil {
		return nil, fmt.Errorf("unpacking a batch: %w", err)
	}
	return batch, nil
}
