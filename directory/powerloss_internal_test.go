package directory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestNoPowerFailureLosesWhatWasAcknowledged cuts the power before writes, syncs
// and changes of names of the journal, and during folds: of the file
// with the state, any part of the changed sectors under the old meta pages, or
// all of them under torn new ones. Whatever is left must open and hold
// everything that was acknowledged; the batch under way may be there or not, but
// not in part. What is opened then goes on and is cut off again. That data is
// synced before the meta page is bbolt's promise; a test can't cut the power of
// a real disk.
func TestNoPowerFailureLosesWhatWasAcknowledged(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			p := newOutage(t, seed)
			for step := range 40 {
				switch {
				case step%4 == 3:
					p.fold(p.random.IntN(3000))
				case step == 26:
					p.restart()
				default:
					p.append()
				}
			}
			p.cutting("close", p.acknowledged, p.log.Close)
			if left, _ := p.disk.names(""); len(left) > 0 {
				t.Errorf("a closed log leaves %v", left)
			}
			p.check("closed", readFile(t, p.path), newForgetful(), p.acknowledged)
		})
	}
}

// TestNoPowerFailureSpoilsSegmentsThatAreUsedAgain commits and folds few small
// changes at a time, so that segments often take the places of others.
func TestNoPowerFailureSpoilsSegmentsThatAreUsedAgain(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			p := newOutage(t, seed)
			p.small = true
			for range 12 {
				for range p.random.IntN(8) {
					p.append()
				}
				p.fold(100)
			}
		})
	}
}

// TestASegmentStaysUntilAllOfItIsFolded folds one delta at a time.
func TestASegmentStaysUntilAllOfItIsFolded(t *testing.T) {
	t.Parallel()
	p := newOutage(t, 1)
	p.small = true
	p.log.journal.firstSize, p.log.journal.size = 3*pageBytes, 3*pageBytes
	for range 8 {
		batch := p.batch(3)
		if err := p.log.Append(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		p.acknowledged = after(p.acknowledged, batch)
	}
	for left := 1; left > 0; {
		var err error
		if left, err = p.log.Fold(1); err != nil {
			t.Fatal(err)
		}
		p.check(fmt.Sprint("left ", left), readFile(t, p.path), p.disk.after(p.random), p.acknowledged)
	}
}

// TestNoFailedSyncLosesWhatWasAcknowledged fails one sync of the journal in
// eight, those of starts too. Then the log is started again on what the system
// shows, which the disk may not have; what that start reads counts as well, since
// people were told of it. The power fails after every step.
func TestNoFailedSyncLosesWhatWasAcknowledged(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			p := newOutage(t, seed)
			failures := 0
			p.disk.luck = p.random
			p.disk.fails = func() bool {
				if p.random.IntN(8) == 0 {
					failures++
					return true
				}
				return false
			}
			for range 60 {
				var batch []Delta
				var err error
				if p.random.IntN(4) == 0 {
					_, err = p.log.Fold(p.random.IntN(3000))
				} else {
					batch = p.batch(1 + p.random.IntN(3))
					err = p.log.Append(p.Context(), batch)
				}
				next := after(p.acknowledged, batch)
				if err == nil {
					p.acknowledged = next
				} else {
					p.startAfter(err, next)
				}
				p.check("step", readFile(t, p.path), p.disk.after(p.random), p.acknowledged)
			}
			if failures < 3 {
				t.Errorf("only %d syncs failed", failures)
			}
		})
	}
}

// FuzzOutages makes of each byte a commit, a fold, a restart or a sync that
// fails, and cuts the power after each.
func FuzzOutages(f *testing.F) {
	f.Add(uint64(1), []byte("\x00\x10\x20\x01\x03\x04\x00\x81\x02\x00\x00"))
	f.Add(uint64(2), []byte("\x04\x00\x02\x04\x01\x00\x04\x03\x00"))
	f.Fuzz(func(t *testing.T, seed uint64, steps []byte) {
		p := newOutage(t, seed)
		p.disk.luck, p.small = p.random, true
		failing := 0
		p.disk.fails = func() bool { failing--; return failing == 0 }
		for _, step := range steps[:min(len(steps), 24)] {
			var batch []Delta
			var err error
			switch most := int(step >> 3); step & 7 {
			case 0, 1, 2:
				batch = p.batch(1 + most)
				err = p.log.Append(t.Context(), batch)
			case 3, 4:
				_, err = p.log.Fold(most)
			case 5:
				p.restart()
			default:
				failing = 1 + most
			}
			if next := after(p.acknowledged, batch); err != nil {
				p.startAfter(err, next)
			} else {
				p.acknowledged = next
			}
			p.check("step", readFile(t, p.path), p.disk.after(p.random), p.acknowledged)
		}
	})
}

// startAfter starts the log again after a failure. What it holds counts.
func (p *outage) startAfter(failure error, underWay map[string]uint64) {
	p.Helper()
	if !errors.Is(failure, errBurning) {
		p.Fatal(failure)
	}
	killed(p.T, p.log)
	p.open()
	got := map[string]uint64{}
	last, err := p.log.Tail(p.Context(), 0, func(d Delta) error { note(got, d); return nil })
	if err != nil {
		p.Fatal(err)
	}
	if !maps.Equal(got, p.acknowledged) && !maps.Equal(got, underWay) {
		p.Fatalf("after a failed sync: %s", difference(p.acknowledged, got))
	}
	p.acknowledged, p.version = got, last
}

// outage is a log on a disk whose power fails again and again.
type outage struct {
	*testing.T

	path   string
	disk   *forgetful
	random *rand.Rand
	log    *BoltLog
	// acknowledged is what a start must find.
	acknowledged map[string]uint64
	version      uint64
	// small changes are of one person and take one page together.
	small bool
}

func newOutage(t *testing.T, seed uint64) *outage {
	t.Helper()
	p := &outage{T: t, disk: newForgetful(), random: rand.New(rand.NewPCG(seed, 2)), acknowledged: map[string]uint64{}}
	p.path = filepath.Join(t.TempDir(), "log.db")
	p.open()
	return p
}

func (p *outage) open() {
	p.Helper()
	l, err := openBolt(p.path, p.disk)
	for errors.Is(err, errBurning) { // a start may fail as well
		l, err = openBolt(p.path, p.disk)
	}
	if err != nil {
		p.Fatal(err)
	}
	l.journal.firstSize, l.journal.size = 4*pageBytes, 8*pageBytes
	p.log = l
}

// cutting runs something and cuts the power before all that it does to the
// journal.
func (p *outage) cutting(what string, underWay map[string]uint64, run func() error) {
	p.Helper()
	p.disk.before = func() {
		if p.random.IntN(3) == 0 {
			p.check(what, readFile(p.T, p.path), p.disk.after(p.random), p.acknowledged, underWay)
		}
	}
	err := run()
	if p.disk.before = func() {}; err != nil {
		p.Fatal(err)
	}
	p.check(what+", done", readFile(p.T, p.path), p.disk.after(p.random), underWay)
}

func (p *outage) append() {
	p.Helper()
	batch := p.batch(1 + p.random.IntN(6))
	next := after(p.acknowledged, batch)
	p.cutting("append", next, func() error { return p.log.Append(p.Context(), batch) })
	p.acknowledged = next
}

func (p *outage) batch(n int) []Delta {
	batch := make([]Delta, 0, n)
	for range n {
		p.version++
		d := Delta{
			Version: p.version, Time: time.Unix(1, 0), Kind: KindPutUser, Connection: "c", Revision: p.version,
			Subject: fmt.Sprintf("019aa000-0000-7000-8000-%012d", p.random.IntN(9)),
			Payload: bytes.Repeat([]byte{byte(p.version)}, 100+p.random.IntN(5000)),
		}
		if p.small {
			d.Payload = d.Payload[:100]
		} else if p.random.IntN(2) == 0 { // up to 300 memberships, so that chunks are split and joined
			d.Kind, d.Payload = []Kind{KindAddMembers, KindAddMembers, KindRemoveMembers}[p.random.IntN(3)], nil
			for range 1 + p.random.IntN(300) {
				d.Payload = append(d.Payload, bytes.Repeat([]byte{byte(p.random.IntN(256))}, idSize)...)
			}
		}
		batch = append(batch, d)
	}
	return batch
}

func (p *outage) fold(keys int) {
	p.Helper()
	before, journal := readFile(p.T, p.path), p.disk.after(p.random)
	p.cutting("fold", p.acknowledged, func() error {
		_, err := p.log.Fold(keys)
		return err
	})
	after := readFile(p.T, p.path)
	meta := 2 * os.Getpagesize()
	for _, cut := range []int{p.random.IntN(4), 4} { // 4 is a torn meta page
		image := bytes.Clone(before)
		image = append(image, make([]byte, max(0, len(after)-len(before)))...)
		torn := cut >= 4
		for at := 0; at+sector <= len(after); at += sector {
			written := p.random.IntN(4) <= cut // of the data: a quarter, a half, three quarters, all
			if torn {
				written = at >= meta || p.random.IntN(2) == 0
			} else if at < meta {
				written = false
			}
			if written {
				copy(image[at:at+sector], after[at:at+sector])
			}
		}
		p.check(fmt.Sprint("torn fold ", cut), image, journal.after(p.random), p.acknowledged)
	}
}

// restart kills the process and starts another.
func (p *outage) restart() {
	p.Helper()
	killed(p.T, p.log)
	p.cutting("start", p.acknowledged, func() error { p.open(); return nil })
}

// check starts a log on what is left and makes sure that it holds one of some
// states; then that it can go on.
func (p *outage) check(what string, file []byte, left *forgetful, states ...map[string]uint64) {
	p.Helper()
	path := filepath.Join(p.TempDir(), "log.db") // the journal's files have its name
	if err := os.WriteFile(path, file, 0o600); err != nil {
		p.Fatal(err)
	}
	got, version := held(p.T, path, left, nil)
	if !slices.ContainsFunc(states, func(s map[string]uint64) bool { return maps.Equal(s, got) }) {
		p.Fatalf("%s: %s", what, difference(states[0], got))
	}
	more := Delta{Version: version + 1, Time: time.Unix(1, 0), Kind: KindPutUser, Revision: 9999, Subject: "019aa000-0000-7000-8000-000000000099"}
	held(p.T, path, left, []Delta{more})
	note(got, more)
	if again, _ := held(p.T, path, left.after(p.random), nil); !maps.Equal(again, got) {
		p.Fatalf("%s, and went on: %s", what, difference(got, again))
	}
}

// difference is what is held otherwise than it should be.
func difference(want, got map[string]uint64) string {
	var b strings.Builder
	for key, revision := range want {
		if got[key] != revision {
			fmt.Fprintf(&b, "%q is %d, want %d; ", key, got[key], revision)
		}
	}
	for key, revision := range got {
		if want[key] == 0 {
			fmt.Fprintf(&b, "%q is %d, want none; ", key, revision)
		}
	}
	const much = 500
	return b.String()[:min(much, b.Len())]
}

// held opens a log, reads it, perhaps adds something, and ends without closing
// anything but the file.
func held(t *testing.T, path string, d *forgetful, more []Delta) (map[string]uint64, uint64) {
	t.Helper()
	l, err := openBolt(path, d)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		l.broken.Store(&errBroken)
		_ = l.Close()
	}()
	got := map[string]uint64{}
	last, err := l.Tail(t.Context(), 0, func(d Delta) error { note(got, d); return nil })
	if err == nil {
		err = l.Append(t.Context(), more)
	}
	if err != nil {
		t.Fatal(err)
	}
	return got, last
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// after is what a state is with a batch.
func after(held map[string]uint64, batch []Delta) map[string]uint64 {
	next := maps.Clone(held)
	for _, d := range batch {
		note(next, d)
	}
	return next
}

// note writes down what a delta leads to: the revisions of users, and
// memberships.
func note(held map[string]uint64, d Delta) {
	switch d.Kind {
	case KindPutUser:
		held[d.Subject] = d.Revision
	case KindAddMembers, KindRemoveMembers:
		for member := range slices.Chunk(d.Payload, idSize) {
			if key := d.Subject + string(member); d.Kind == KindAddMembers {
				held[key] = 1
			} else {
				delete(held, key)
			}
		}
	}
}

// TestAfterAFailedWriteTheLogWritesNothing fails each write and sync of the
// journal in turn, and looks for what was acknowledged at the next start.
func TestAfterAFailedWriteTheLogWritesNothing(t *testing.T) {
	t.Parallel()
	for fails := range 40 {
		d, path := newForgetful(), filepath.Join(t.TempDir(), "log.db")
		left := fails
		l, err := openBolt(path, broken{d, &left})
		if err != nil {
			t.Fatal(err)
		}
		l.journal.firstSize, l.journal.size = 2*pageBytes, 2*pageBytes
		acknowledged := uint64(0)
		for {
			err := l.Append(context.Background(), []Delta{{Version: acknowledged + 1, Kind: KindPutLock, Subject: "\x01x"}})
			if err != nil {
				if !errors.Is(err, errBurning) {
					t.Errorf("write %d: %v", fails, err)
				}
				break
			}
			acknowledged++
			if _, err := l.Fold(1); err != nil {
				break
			}
		}
		left = 1000
		if err := l.Append(context.Background(), []Delta{{Version: acknowledged + 1, Kind: KindPutLock, Subject: "\x01x"}}); !errors.Is(err, errBroken) {
			t.Errorf("write %d: an append after the failure: %v", fails, err)
		}
		if _, err := l.Fold(1); !errors.Is(err, errBroken) {
			t.Errorf("write %d: a fold after the failure: %v", fails, err)
		}
		if err := l.Close(); err != nil {
			t.Errorf("write %d: %v", fails, err)
		}
		if _, last := held(t, path, d, nil); last != acknowledged && last != acknowledged+1 {
			t.Errorf("write %d: version %d, acknowledged %d", fails, last, acknowledged)
		}
	}
}
