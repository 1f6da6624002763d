package journal

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/directory"
)

func FuzzUnpackBatch(f *testing.F) {
	batch := []directory.Delta{
		{Version: 7, Time: time.UnixMilli(1_700_000_000_000).UTC(), Kind: directory.KindPutUser, Connection: "c", Subject: "u", Payload: []byte("p")},
		{Version: 8, Time: time.UnixMilli(1_700_000_000_000).UTC(), Kind: directory.KindDeleteUser, Connection: "c", Subject: "u", Payload: []byte{}},
	}
	packed, err := packBatch(batch)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packed, uint64(7), uint64(8))
	f.Add(packed[:len(packed)/2], uint64(7), uint64(8))
	f.Add(packed, uint64(6), uint64(7))
	f.Fuzz(func(t *testing.T, packed []byte, version, last uint64) {
		got, err := unpackBatch(&commit{ID: commitID(version), Version: version, Last: last}, packed)
		if err != nil {
			if len(got) > 0 {
				t.Errorf("%d deltas beside %v", len(got), err)
			}
			return
		}
		if got[0].Version != version || got[len(got)-1].Version != last {
			t.Errorf("versions %d to %d, want %d to %d", got[0].Version, got[len(got)-1].Version, version, last)
		}
		again, err := packBatch(got)
		if err != nil {
			t.Fatal(err)
		}
		reread, err := unpackBatch(&commit{Version: version, Last: last}, again)
		if diff := cmp.Diff(got, reread); err != nil || diff != "" {
			t.Errorf("%v (-first +second):\n%s", err, diff)
		}
	})
}

func TestABatchThatNobodyCouldReadIsNotWritten(t *testing.T) {
	t.Parallel()
	batch := []directory.Delta{{Version: 7, Kind: directory.KindPutUser, Subject: "u", Payload: make([]byte, 65<<20)}}
	if _, err := packBatch(batch); !errors.Is(err, directory.ErrLimit) {
		t.Errorf("%v", err)
	}
}

func TestABatchAtAnotherPlaceIsCorrupt(t *testing.T) {
	t.Parallel()
	packed, err := packBatch([]directory.Delta{{Version: 7, Kind: directory.KindDeleteUser, Subject: "u"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]commit{
		"earlier": {Version: 6, Last: 6}, "longer": {Version: 7, Last: 8}, "shorter": {Version: 7, Last: 6},
	} {
		if _, err := unpackBatch(&c, packed); !errors.Is(err, directory.ErrCorrupt) {
			t.Errorf("%s: want ErrCorrupt, got %v", name, err)
		}
	}
}

// A writer that lost a place reads it ahead; the follower may have it already.
func TestWhatWasReadAheadInVainIsLetGoOf(t *testing.T) {
	t.Parallel()
	wanted := &commit{Version: 6}
	j := &Journal{ahead: map[uint64]*commit{2: {Version: 3}, 4: {Version: 5}, 5: wanted, 6: {Version: 7}}}
	if c, err := j.next(t.Context(), 5); err != nil || c != wanted {
		t.Errorf("got %v, error %v", c, err)
	}
	if len(j.ahead) != 1 || j.ahead[6] == nil {
		t.Errorf("%d commits are kept", len(j.ahead))
	}
}
