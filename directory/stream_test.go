package directory_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/directory"
)

func someDeltas() []directory.Delta {
	at := time.UnixMilli(1_700_000_000_000).UTC()
	return []directory.Delta{
		{Version: 7, Time: at, Kind: directory.KindPutUser, Connection: corp, Subject: "u", Revision: 3, Payload: []byte("payload")},
		{Version: 8, Time: at, Kind: directory.KindDeleteLock, Subject: "\x01u", Payload: []byte{}},
		{Version: 8, Time: at, Kind: directory.KindAddMembers, Connection: corp, Subject: "g", Payload: bytes.Repeat([]byte{9}, 200_000)},
	}
}

func TestDeltasSurviveTheirPortableForm(t *testing.T) {
	t.Parallel()
	var stream []byte
	for _, d := range someDeltas() {
		stream = directory.AppendDelta(stream, d)
	}
	got, err := readAll(stream)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(someDeltas(), got); diff != "" {
		t.Errorf("deltas (-want +got):\n%s", diff)
	}
	for cut := range 200 {
		if _, err := readAll(stream[:cut]); err != nil && !errors.Is(err, directory.ErrCorrupt) {
			t.Fatalf("cut at %d: %v", cut, err)
		}
	}
	stream[20] ^= 1
	if _, err := readAll(stream); !errors.Is(err, directory.ErrCorrupt) {
		t.Errorf("a flipped bit: %v", err)
	}
}

func FuzzReadDeltas(f *testing.F) {
	for _, d := range someDeltas()[:2] {
		f.Add(directory.AppendDelta(nil, d))
	}
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x01\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		got, err := readAll(stream)
		if err != nil {
			if !errors.Is(err, directory.ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		var again []byte
		for _, d := range got {
			again = directory.AppendDelta(again, d)
		}
		reread, err := readAll(again)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(got, reread); diff != "" {
			t.Errorf("deltas (-first +second):\n%s", diff)
		}
	})
}

func readAll(stream []byte) ([]directory.Delta, error) {
	var all []directory.Delta
	err := directory.ReadDeltas(bytes.NewReader(stream), func(d directory.Delta) error {
		d.Payload = append([]byte{}, d.Payload...)
		all = append(all, d)
		return nil
	})
	return all, err //nolint:wrapcheck // the tests look at it
}
