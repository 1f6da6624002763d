package logtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cosmosgate/cosmosgate/directory"
)

// Run tests the contract of [directory.Log]. Start makes an empty place for a
// log and returns what opens the log there, which is called again after the
// log was closed.
func Run(t *testing.T, start func(t *testing.T) (open func() directory.Log)) {
	t.Helper()
	tests := map[string]func(*testing.T, func() directory.Log){
		"an empty log has no version":                    testEmpty,
		"what was appended is replayed in order":         testOrder,
		"a replay stops at the first error":              testStop,
		"replays equal a model of records and members":   testModel,
		"a record is the newest put, or not found":       testRecord,
		"records are read while others are appended":     testConcurrentRecords,
		"folding goes on beside everything":              testConcurrentFolds,
		"an emptied log keeps counting where it was":     testCounting,
		"what is given to each stays the log's to reuse": testOwnership,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, start(t))
		})
	}
}

// errStop ends a replay.
var errStop = errors.New("enough")

func testEmpty(t *testing.T, open func() directory.Log) {
	t.Helper()
	l := open()
	defer closing(t, l)
	deltas, last := tail(t, l, 0)
	if len(deltas) != 0 || last != 0 {
		t.Errorf("%d deltas, version %d", len(deltas), last)
	}
	if _, err := l.Record(directory.KindPutUser, id(1)); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("a record of an empty log: %v", err)
	}
}

func testOrder(t *testing.T, open func() directory.Log) {
	t.Helper()
	l := open()
	tail(t, l, 0)
	var want []directory.Delta
	for version := uint64(1); version <= 9; {
		var batch []directory.Delta
		for range 3 {
			batch = append(batch, put(version, id(int(version))))
			version++
		}
		appending(t, l, batch)
		want = append(want, batch...)
	}
	for _, from := range []uint64{1, 4, 9, 10} {
		got, last := tail(t, l, from)
		if i := slices.IndexFunc(got, func(d directory.Delta) bool { return d.Version >= from }); i >= 0 {
			got = got[i:]
		}
		if last != 9 || !slices.EqualFunc(want[min(len(want), int(from)-1):], got, equal) { //nolint:gosec // from is small
			t.Errorf("from %d: last %d, deltas %v", from, last, got)
		}
	}
	closing(t, l)
	l = open()
	defer closing(t, l)
	if got, last := tail(t, l, 0); last != 9 || len(got) != len(want) {
		t.Errorf("opened again: last %d, deltas %v", last, got)
	}
}

func testStop(t *testing.T, open func() directory.Log) {
	t.Helper()
	l := open()
	defer closing(t, l)
	tail(t, l, 0)
	appending(t, l, []directory.Delta{put(1, id(1)), put(2, id(2))})
	calls := 0
	_, err := l.Tail(t.Context(), 0, func(directory.Delta) error { calls++; return errStop })
	if !errors.Is(err, errStop) || calls != 1 {
		t.Errorf("%d calls, error %v", calls, err)
	}
}

func testModel(t *testing.T, open func() directory.Log) {
	t.Helper()
	random := rand.New(rand.NewPCG(3, 5)) //nolint:gosec // a test's choices
	l := open()
	tail(t, l, 0)
	version := uint64(0)
	want := model{}
	for round := range 12 {
		for range 8 {
			batch := make([]directory.Delta, 0, 4)
			for range 1 + random.IntN(4) {
				version++
				batch = append(batch, anyDelta(random, version))
			}
			appending(t, l, batch)
			for _, d := range batch {
				want.apply(d)
			}
		}
		fold(t, l, round*7)
		if round%3 == 2 {
			closing(t, l)
			l = open()
		}
		got := model{}
		deltas, last := tail(t, l, 0)
		for _, d := range deltas {
			got.apply(d)
		}
		if last != version || !maps.Equal(want, got) {
			t.Fatalf("round %d, version %d, last %d:\n want %v\n got  %v", round, version, last, want, got)
		}
	}
	closing(t, l)
}

func testRecord(t *testing.T, open func() directory.Log) {
	t.Helper()
	l := open()
	tail(t, l, 0)
	check := func(when string) {
		t.Helper()
		d, err := l.Record(directory.KindPutUser, id(1))
		if err != nil || d.Revision != 2 || !equal(d, put(2, id(1))) {
			t.Errorf("%s: record %v, error %v", when, d, err)
		}
		d.Payload[0]++ // it is the caller's
		for kind, subject := range map[directory.Kind]string{
			directory.KindPutGroup: id(1), directory.KindPutUser: id(2),
		} {
			if _, err := l.Record(kind, subject); !errors.Is(err, directory.ErrNotFound) {
				t.Errorf("%s: %s of kind %d: %v", when, subject, kind, err)
			}
		}
	}
	appending(t, l, []directory.Delta{put(1, id(1)), put(2, id(1)), put(3, id(2))})
	appending(t, l, []directory.Delta{{Version: 4, Kind: directory.KindDeleteUser, Connection: "c", Subject: id(2), Revision: 4}})
	check("fresh")
	fold(t, l, 2)
	check("partly folded")
	closing(t, l)
	l = open()
	defer func() { closing(t, l) }()
	tail(t, l, 0)
	check("opened again")
	fold(t, l, 100)
	check("folded")
}

func testConcurrentRecords(t *testing.T, open func() directory.Log) {
	t.Helper()
	l := open()
	defer closing(t, l)
	tail(t, l, 0)
	appending(t, l, []directory.Delta{put(1, id(1))})
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			newest := uint64(0)
			for {
				select {
				case <-stop:
					return
				default:
				}
				d, err := l.Record(directory.KindPutUser, id(1))
				if err != nil || d.Revision < newest || !bytes.Equal(d.Payload, put(d.Revision, id(1)).Payload) {
					t.Errorf("record %v after revision %d, error %v", d, newest, err)
					return
				}
				newest = d.Revision
			}
		})
	}
	for version := uint64(2); version < 80; version++ {
		appending(t, l, []directory.Delta{put(version, id(1))})
		if d, err := l.Record(directory.KindPutUser, id(1)); err != nil || d.Revision != version {
			t.Errorf("after version %d: record %v, error %v", version, d, err)
		}
		if version%5 == 0 {
			fold(t, l, 3)
		}
	}
	close(stop)
	readers.Wait()
}

func testConcurrentFolds(t *testing.T, open func() directory.Log) {
	t.Helper()
	l := open()
	tail(t, l, 0)
	stop := make(chan struct{})
	var folding sync.WaitGroup
	folding.Go(func() {
		for limit := 0; ; limit++ {
			select {
			case <-stop:
				return
			default:
				fold(t, l, limit%5)
			}
		}
	})
	const count = 200
	for version := uint64(1); version <= count; version++ {
		appending(t, l, []directory.Delta{put(version, id(int(version%7)))})
		if d, err := l.Record(directory.KindPutUser, id(int(version%7))); err != nil || d.Revision != version {
			t.Errorf("after version %d: record %v, error %v", version, d, err)
		}
	}
	close(stop)
	folding.Wait()
	closing(t, l)
	l = open()
	defer func() { closing(t, l) }()
	revisions := map[string]uint64{}
	deltas, last := tail(t, l, 0)
	for _, d := range deltas {
		revisions[d.Subject] = d.Revision
	}
	for n := range 7 {
		want := uint64(count - (count-n)%7)
		if last != count || revisions[id(n)] != want {
			t.Errorf("last %d, revision of %d is %d, want %d", last, n, revisions[id(n)], want)
		}
	}
}

func testCounting(t *testing.T, open func() directory.Log) {
	t.Helper()
	l := open()
	tail(t, l, 0)
	appending(t, l, []directory.Delta{
		put(1, id(1)), {Version: 2, Kind: directory.KindDeleteUser, Connection: "c", Subject: id(1), Revision: 2},
	})
	fold(t, l, 100)
	closing(t, l)
	l = open()
	defer closing(t, l)
	if _, last := tail(t, l, 0); last != 2 {
		t.Errorf("version %d after everything is gone, want 2", last)
	}
}

func testOwnership(t *testing.T, open func() directory.Log) {
	t.Helper()
	l := open()
	defer closing(t, l)
	tail(t, l, 0)
	d := put(1, id(1))
	want := bytes.Clone(d.Payload)
	appending(t, l, []directory.Delta{d})
	d.Payload[0]++ // after Append it is the caller's again
	if got, err := l.Record(directory.KindPutUser, id(1)); err != nil || !bytes.Equal(got.Payload, want) {
		t.Errorf("payload %q, want %q, error %v", got.Payload, want, err)
	}
}

// model is what deltas amount to: a subject, or a group and a member, and the
// revision or payload there.
type model map[string]string

func (m model) apply(d directory.Delta) {
	key := fmt.Sprint(d.Kind, " ", d.Subject)
	switch d.Kind {
	case directory.KindPutUser, directory.KindPutGroup, directory.KindPutLock, directory.KindPutToken, directory.KindPutEntry:
		m[key] = fmt.Sprint(d.Connection, d.Time.UnixMilli(), string(d.Payload))
	case directory.KindDeleteUser, directory.KindDeleteLock, directory.KindDeleteToken, directory.KindDeleteEntry:
		delete(m, fmt.Sprint(d.Kind-1, " ", d.Subject))
	case directory.KindDeleteGroup:
		delete(m, fmt.Sprint(d.Kind-1, " ", d.Subject))
		maps.DeleteFunc(m, func(k, _ string) bool { return len(k) > 2 && k[:2] == "m " && k[2:2+len(d.Subject)] == d.Subject })
	case directory.KindAddMembers, directory.KindRemoveMembers:
		for member := range slices.Chunk(d.Payload, idBytes) {
			if d.Kind == directory.KindAddMembers {
				m[fmt.Sprintf("m %s %x", d.Subject, member)] = ""
			} else {
				delete(m, fmt.Sprintf("m %s %x", d.Subject, member))
			}
		}
	case directory.KindTouchGroup: // a counter, which puts and member changes carry too
	}
}

// idBytes is the length of a member's id in a payload.
const idBytes = 16

// anyDelta returns one change of a small world, always a possible one: a group
// that is put again keeps its members.
func anyDelta(random *rand.Rand, version uint64) directory.Delta {
	d := directory.Delta{
		Version: version, Time: time.UnixMilli(int64(version)).UTC(), Connection: "c", //nolint:gosec // it is small
		Subject: id(random.IntN(5)), Revision: version, Payload: fmt.Appendf(nil, "payload %d", version),
	}
	switch random.IntN(9) {
	case 0, 1:
		d.Kind = directory.KindPutUser
	case 2:
		d.Kind = directory.KindPutGroup
	case 3:
		d.Kind, d.Payload = directory.KindDeleteUser, nil
	case 4:
		d.Kind, d.Payload = directory.KindDeleteGroup, nil
	case 5:
		d.Kind, d.Payload = directory.KindAddMembers, members(random)
	case 6:
		d.Kind, d.Payload = directory.KindRemoveMembers, members(random)
	case 7:
		d.Kind, d.Subject = directory.KindPutLock, "\x02app"
	default:
		d.Kind, d.Subject, d.Payload = directory.KindDeleteLock, "\x02app", nil
	}
	return d
}

func members(random *rand.Rand) []byte {
	var payload []byte
	for range 1 + random.IntN(3) {
		payload = append(payload, bytes.Repeat([]byte{"abcdef"[random.IntN(6)]}, idBytes)...)
	}
	return payload
}

func id(n int) string { return fmt.Sprintf("019aa000-0000-7000-8000-%012d", n) }

func put(version uint64, subject string) directory.Delta {
	return directory.Delta{
		Version: version, Time: time.UnixMilli(int64(version)).UTC(), Kind: directory.KindPutUser, //nolint:gosec // it is small
		Connection: "c", Subject: subject, Revision: version, Payload: fmt.Appendf(nil, "payload %d", version),
	}
}

// equal compares what a log must keep of a delta; versions of state are its own.
func equal(a, b directory.Delta) bool {
	return a.Kind == b.Kind && a.Time.Equal(b.Time) && a.Connection == b.Connection && a.Subject == b.Subject &&
		a.Revision == b.Revision && bytes.Equal(a.Payload, b.Payload)
}

func tail(t *testing.T, l directory.Log, from uint64) ([]directory.Delta, uint64) {
	t.Helper()
	var deltas []directory.Delta
	last, err := l.Tail(t.Context(), from, func(d directory.Delta) error {
		d.Payload = bytes.Clone(d.Payload)
		deltas = append(deltas, d)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return deltas, last
}

func appending(t *testing.T, l directory.Log, batch []directory.Delta) {
	t.Helper()
	if err := l.Append(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
}

// fold tidies a log that does such a thing.
func fold(t *testing.T, l directory.Log, limit int) {
	t.Helper()
	if f, ok := l.(directory.Folder); ok {
		if _, err := f.Fold(limit); err != nil {
			t.Fatal(err)
		}
	}
}

func closing(t *testing.T, l io.Closer) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
