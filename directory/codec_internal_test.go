package directory

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// FuzzDelta applies any bytes as the payload of every kind of delta: they are
// applied or called corrupt. What a checksum would have refused is tried too,
// since another writer may be wrong.
func FuzzDelta(f *testing.F) {
	const id = "019aa000-0000-7000-8000-000000000001"
	f.Add(encodeUser(User{UserName: "ann", ExternalID: "x", Emails: []string{"a@b.example"}, Attributes: map[string]string{"k": "v"}}))
	f.Add(encodeGroup(GroupRecord{DisplayName: "g", Document: []byte("{}")}))
	f.Add(encodeMembers([]ID{id, id}))
	f.Add(encodeLock(&Lock{Message: "m", Expires: time.Unix(1, 0)}))
	f.Add(encodeToken(&tokenRecord{}))
	f.Fuzz(func(t *testing.T, payload []byte) {
		s := newState()
		for kind := KindPutUser; kind <= KindDeleteToken+1; kind++ {
			b := newBatch(s, time.Unix(1, 0))
			err := b.apply(Delta{Version: 1, Kind: kind, Connection: "c", Subject: id, Payload: payload})
			if err != nil && !errors.Is(err, ErrCorrupt) {
				t.Errorf("kind %d: %v", kind, err)
			}
			if err == nil {
				s.publish(b)
			}
		}
	})
}

func TestADeltaReadsBackAsItWasWritten(t *testing.T) {
	t.Parallel()
	want := Delta{
		Time: time.UnixMilli(1_700_000_000_123).UTC(), Kind: KindPutGroup, Connection: "c",
		Subject: "s", Revision: 7, Payload: []byte("payload"),
	}
	key := versionKey(9)
	got, err := decodeDelta(key, want.encode(key))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if _, err := decodeDelta(versionKey(8), want.encode(key)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("under another key: %v", err)
	}
}
