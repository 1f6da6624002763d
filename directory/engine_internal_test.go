package directory

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	bolt "go.etcd.io/bbolt"
)

// arenaRecord is a record that says whose it is and that it is whole.
func arenaRecord(ordinal, turn uint32, size int) []byte {
	b := binary.LittleEndian.AppendUint32(nil, ordinal)
	return append(b, bytes.Repeat([]byte{byte(turn)}, size)...)
}

func wholeRecord(ordinal uint32, b []byte) bool {
	return len(b) > 4 && binary.LittleEndian.Uint32(b) == ordinal && bytes.Count(b[4:], b[4:5]) == len(b)-4
}

// TestTheArenaHoldsWhatWasPutLast replaces records of all sizes at random, so
// that chunks empty, move and are dropped, compares with a map, and reads
// beside it.
func TestTheArenaHoldsWhatWasPutLast(t *testing.T) {
	t.Parallel()
	const ordinals = 400
	random := rand.New(rand.NewPCG(1, 2))
	var p places
	p.ensure(ordinals)
	a := newArena(p.cell)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for reader := range uint32(2) {
		readers.Go(func() {
			for o := reader; ; o = (o + 7) % ordinals {
				select {
				case <-stop:
					return
				default:
				}
				if b := a.load(p.cell(o)); b != nil && !wholeRecord(o, b) {
					t.Errorf("ordinal %d: a torn record of %d bytes", o, len(b))
					return
				}
			}
		})
	}
	model := map[uint32][]byte{}
	for turn := range uint32(6000) {
		o := random.Uint32N(ordinals)
		size := 1 + random.IntN(9000)
		if random.IntN(300) == 0 {
			size = chunkSize - 4 + random.IntN(3) // about the size of a chunk
		}
		model[o] = arenaRecord(o, turn, size)
		cell := p.cell(o)
		old := ref(cell.Load())
		cell.Store(uint64(a.put(o, model[o])))
		if old != 0 {
			a.drop(old)
		}
		if check := random.Uint32N(ordinals); !bytes.Equal(a.load(p.cell(check)), model[check]) {
			t.Fatalf("turn %d: ordinal %d is wrong", turn, check)
		}
	}
	close(stop)
	readers.Wait()
	live, held := 0, 0
	for o, b := range model {
		if !bytes.Equal(a.load(p.cell(o)), b) {
			t.Errorf("ordinal %d is wrong", o)
		}
		live += len(b)
	}
	for _, chunk := range *a.chunks.Load() {
		held += len(chunk)
	}
	if held > 2*live+3*chunkSize {
		t.Errorf("%d bytes are held for %d", held, live)
	}
}

// TestTheIndexFindsWhatIsThereAndNothingElse compares with a map, with hashes
// that collide in the half that is kept.
func TestTheIndexFindsWhatIsThereAndNothingElse(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	x := newIndex()
	hash := func(key uint32) uint64 { return uint64(key%97)<<32*0x9e3779b9 | uint64(key) }
	model := map[uint32]bool{}
	found := func(key uint32) bool {
		p := x.probe(hash(key))
		for ordinal, ok := p.next(); ok; ordinal, ok = p.next() {
			if ordinal == key {
				return true
			}
		}
		return false
	}
	var reading atomic.Bool
	reading.Store(true)
	x.put(hash(1<<20), 1<<20)
	var reader sync.WaitGroup
	reader.Go(func() {
		for reading.Load() {
			if !found(1 << 20) {
				t.Error("an entry that stays is missed while others come and go")
				return
			}
		}
	})
	for range 40_000 {
		key := random.Uint32N(500)
		if model[key] {
			x.remove(hash(key), key)
		} else {
			x.put(hash(key), key)
		}
		model[key] = !model[key]
		if check := random.Uint32N(500); found(check) != model[check] {
			t.Fatalf("key %d: found %v, want %v", check, found(check), model[check])
		}
	}
	reading.Store(false)
	reader.Wait()
	if size := len(*x.slots.Load()); size > 4096 {
		t.Errorf("%d slots for at most 500 entries: removed ones pile up", size)
	}
}

func TestAMemberSetEqualsAMap(t *testing.T) {
	t.Parallel()
	for _, stride := range []uint32{1, 7, 1024, 1 << 16} {
		t.Run(fmt.Sprint("stride ", stride), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(5, 6))
			var m memberSet
			model := map[uint32]struct{}{}
			for turn := range 20_000 {
				ordinal := random.Uint32N(1000) * stride
				if _, in := model[ordinal]; in {
					delete(model, ordinal)
					m.remove(ordinal)
				} else {
					model[ordinal] = struct{}{}
					m.add(ordinal)
				}
				if m.size() != len(model) {
					t.Fatalf("turn %d: %d members, want %d", turn, m.size(), len(model))
				}
				if turn%997 == 0 && !slices.Equal(m.sorted(), slices.Sorted(maps.Keys(model))) {
					t.Fatalf("turn %d: other members", turn)
				}
			}
			m.remove(999_999_999) // was never there
			var again memberSet
			again.fill(m.sorted(), func(n int) []uint32 { return make([]uint32, n) })
			if diff := cmp.Diff(m.sorted(), again.sorted()); diff != "" {
				t.Errorf("filled (-want +got)\n%s", diff)
			}
		})
	}
}

func TestTheGroupsOfAUserEqualASortedSlice(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(7, 8))
	s := newState()
	r, err := s.pack(userDelta(User{ID: worldKey(1).id(), Connection: "corp", UserName: "ann"}))
	if err != nil {
		t.Fatal(err)
	}
	model := []uint32{}
	for i := range uint64(5000) {
		ordinal, add, own := random.Uint32N(60), random.IntN(2) == 0, random.IntN(2) == 0
		at, found := slices.BinarySearch(model, ordinal)
		before := slices.Clone(r)
		next, changed := r.changed(ordinal, add, i, own)
		if changed != (found != add) {
			t.Fatalf("adding %v: changed %v though found %v", add, changed, found)
		}
		if !own && !slices.Equal(r, before) {
			t.Fatal("somebody else's record was changed")
		}
		if changed && next.generation() != i {
			t.Fatalf("generation %d, want %d", next.generation(), i)
		}
		if r = next; changed && add {
			model = slices.Insert(model, at, ordinal)
		} else if changed {
			model = slices.Delete(model, at, at+1)
		}
		if !slices.Equal(r.direct().ordinals(), model) || r.fields().userName != "ann" {
			t.Fatalf("%v, want %v", r.direct().ordinals(), model)
		}
	}
}

func TestAPackedUserUnpacksToItself(t *testing.T) {
	t.Parallel()
	const id = "019aa000-0000-7000-8000-000000000001"
	moment := time.UnixMilli(1_700_000_000_123).UTC()
	rows := map[string]User{
		"everything": {
			ExternalID: "ext", UserName: "Ann", Active: true, Emails: []string{"a@b.example", "ann"}, Revision: 7,
			Attributes: map[string]string{"department": "emea", "urn:x:y": "ü"}, Created: moment, Modified: moment.Add(time.Hour),
		},
		"nothing":              {UserName: "x", Created: moment, Modified: moment},
		"an address like name": {UserName: "Ann@Corp.Example", Emails: []string{"ann@corp.example"}, Created: moment, Modified: moment},
		"long values": {
			UserName: strings.Repeat("n", 300), ExternalID: strings.Repeat("e", 70_000), Revision: 1 << 60, Created: moment, Modified: moment,
		},
	}
	for name, want := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newState()
			want.ID, want.Connection = id, "corp"
			key, _ := want.ID.key()
			delta := userDelta(want)
			delta.Time = want.Modified
			r, err := s.pack(delta)
			if err != nil {
				t.Fatal(err)
			}
			r = r.with(packEdges([]uint32{3, 9}), 5)
			if diff := cmp.Diff(want, s.exportUser(r)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if r.generation() != 5 || !slices.Equal(r.direct().ordinals(), []uint32{3, 9}) || r.revision() != want.Revision {
				t.Errorf("generation %d, groups %v, revision %d", r.generation(), r.direct().ordinals(), r.revision())
			}
			if gone := r.tombstone(); !gone.deleted() || gone.key() != key {
				t.Errorf("tombstone %x", gone)
			}
		})
	}
}

// FuzzID compares the reading of ids with a library's: only the canonical form
// is one.
func FuzzID(f *testing.F) {
	f.Add("019aa000-0000-7000-8000-000000000001")
	f.Add("019AA000-0000-7000-8000-000000000001")
	f.Add("019aa000-0000-7000-8000-00000000000-")
	f.Add("{19aa000-0000-7000-8000-00000000000}")
	f.Fuzz(func(t *testing.T, text string) {
		key, ok := ID(text).key()
		parsed, err := uuid.Parse(text)
		want := err == nil && parsed.String() == text
		if ok != want || ok && (recordKey(parsed) != key || string(key.id()) != text) {
			t.Errorf("%q: key %x, %v; want %v", text, key, ok, want)
		}
	})
}

// TestChunksOfMembersEqualASet folds random additions and removals into a
// file, single ones and many at once, and compares what a replay yields.
func TestChunksOfMembersEqualASet(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(9, 10))
	l, err := OpenBolt(filepath.Join(t.TempDir(), "log.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	group := func(g int) string { return fmt.Sprintf("019aa000-0000-7000-8000-00000000000%d", g) }
	model := map[string]bool{}
	for turn := range uint64(80) {
		g := random.IntN(3)
		d := Delta{Version: turn + 1, Time: time.Unix(1, 0), Kind: KindAddMembers, Subject: group(g), Revision: turn}
		if random.IntN(5) < 2 {
			d.Kind = KindRemoveMembers
		}
		for range 1 + random.IntN(1+random.IntN(600)) {
			member := make([]byte, idSize)
			binary.BigEndian.PutUint64(member, random.Uint64N(900))
			d.Payload = append(d.Payload, member...)
			model[group(g)+string(member)] = d.Kind == KindAddMembers
		}
		if err := l.Append(t.Context(), []Delta{d}); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Fold(10_000); err != nil {
			t.Fatal(err)
		}
	}
	got := map[string]bool{}
	last := ""
	if _, _, err := l.replay(0, func(d Delta) error {
		if d.Kind == KindAddMembers {
			for member := range slices.Chunk(d.Payload, idSize) {
				if key := d.Subject + string(member); key <= last {
					t.Errorf("%x after %x", key, last)
				} else {
					last, got[key] = key, true
				}
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(model, func(_ string, in bool) bool { return !in })
	if !maps.Equal(model, got) {
		t.Errorf("%d members, want %d", len(got), len(model))
	}
}

// TestAFileWithAKeyForEachMembershipIsRead writes memberships as earlier
// versions did, and then changes them.
func TestAFileWithAKeyForEachMembershipIsRead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log.db")
	l, err := OpenBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	const group = "019aa000-0000-7000-8000-000000000009"
	member := func(n byte) []byte { return bytes.Repeat([]byte{n}, idSize) }
	if err := l.db.Update(func(tx *bolt.Tx) error {
		for n := range byte(5) {
			key := append(stateKey(prefixMember, binaryID(group)), member(2*n)...)
			if err := tx.Bucket([]byte(bucketState)).Put(key, binary.BigEndian.AppendUint32(nil, checksum(key, nil))); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for version, d := range []Delta{
		{Kind: KindAddMembers, Payload: slices.Concat(member(3), member(5), member(9), member(0))},
		{Kind: KindRemoveMembers, Payload: slices.Concat(member(0), member(4), member(7))},
	} {
		d.Version, d.Time, d.Subject = uint64(version+1), time.Unix(1, 0), group
		if err := l.Append(t.Context(), []Delta{d}); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Fold(100); err != nil {
			t.Fatal(err)
		}
	}
	var got []byte
	if _, _, err := l.replay(0, func(d Delta) error {
		if d.Kind == KindAddMembers {
			got = append(got, d.Payload...)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	want := slices.Concat(member(2), member(3), member(5), member(6), member(8), member(9))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
