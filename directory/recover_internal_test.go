package directory

import (
	"bytes"
	crand "crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

// contents reads all files of a log by their names.
func contents(t *testing.T, path string) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob(path + "*")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, name := range names {
		files[name] = readFile(t, name)
	}
	return files
}

// replace writes files.
func replace(t *testing.T, files map[string][]byte) {
	t.Helper()
	for name, content := range files {
		if err := os.WriteFile(name, content, fileMode); err != nil {
			t.Fatal(err)
		}
	}
}

// TestACopyOfAPartOfTheJournalIsNotTakenForIt copies the only segment as an
// operator may, before more is written to it.
func TestACopyOfAPartOfTheJournalIsNotTakenForIt(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log.db")
	l, err := OpenBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	var segment string
	for version := uint64(1); version <= 3; version++ {
		if err := l.Append(t.Context(), putting(version)); err != nil {
			t.Fatal(err)
		}
		if segment = filepath.Join(filepath.Dir(path), l.journal.used[0].name); version == 1 {
			replace(t, map[string][]byte{segment + ".bak": readFile(t, segment)})
		}
	}
	killed(t, l)
	if held, err := versions(t, path); !errors.Is(err, ErrCorrupt) {
		t.Errorf("opened with %v, error %v", held, err)
	}
	if err := os.Remove(segment + ".bak"); err != nil {
		t.Fatal(err)
	}
	if held, err := versions(t, path); len(held) != 3 || err != nil {
		t.Errorf("without the copy it holds %v, error %v", held, err)
	}
}

// TestAJournalThatIsRefusedIsLeftAsItWas has the operator put back what was
// wrong.
func TestAJournalThatIsRefusedIsLeftAsItWas(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(t *testing.T, path string, segments []string){
		"beside a later state": func(t *testing.T, path string, _ []string) {
			t.Helper()
			early := contents(t, path)
			l, err := OpenBolt(path)
			if err != nil {
				t.Fatal(err)
			}
			err = l.Append(t.Context(), putting(7))
			for left := 1; left > 0 && err == nil; {
				left, err = l.Fold(100)
			}
			if err != nil {
				t.Fatal(err)
			}
			killed(t, l)
			parts, _ := filepath.Glob(path + ".journal-*")
			for _, name := range parts {
				if err := os.Remove(name); err != nil {
					t.Fatal(err)
				}
			}
			delete(early, path)
			replace(t, early)
		},
		"with a damaged part": func(t *testing.T, _ string, segments []string) {
			t.Helper()
			content := readFile(t, segments[1])
			clear(content[pageBytes:])
			replace(t, map[string][]byte{segments[1]: content})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, segments := written(t)
			whole := contents(t, path)
			spoil(t, path, segments)
			before := contents(t, path)
			if held, err := versions(t, path); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("opened with %v, error %v", held, err)
			}
			after := contents(t, path)
			for name := range before {
				if _, there := after[name]; !there {
					t.Errorf("%s was removed", filepath.Base(name))
				}
			}
			replace(t, map[string][]byte{path: whole[path], segments[1]: whole[segments[1]]})
			if held, err := versions(t, path); len(held) < 6 || err != nil {
				t.Errorf("put back, it holds %v, error %v", held, err)
			}
		})
	}
}

// TestAPartOfAnEarlierTimeIsNotTakenForTheNewest puts the first part of a journal
// behind the others, as a copy that a start made of what is not folded would be.
func TestAPartOfAnEarlierTimeIsNotTakenForTheNewest(t *testing.T) {
	t.Parallel()
	path, segments := written(t)
	content := readFile(t, segments[0])
	binary.BigEndian.PutUint64(content[numberAt:], 99)
	binary.BigEndian.PutUint32(content[sumAt:], crc32.Checksum(content[:sumAt], castagnoli()))
	replace(t, map[string][]byte{segmentName(path+journalSuffix, 99): content})
	if held, err := versions(t, path); !errors.Is(err, ErrCorrupt) {
		t.Errorf("opened with %v, error %v", held, err)
	}
}

func TestACopyOfAPartBesideTheOthersIsRefused(t *testing.T) {
	t.Parallel()
	path, segments := written(t)
	replace(t, map[string][]byte{segmentName(path+journalSuffix, 99): readFile(t, segments[2])})
	if held, err := versions(t, path); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "under another name") {
		t.Errorf("opened with %v, error %v", held, err)
	}
}

// TestALogThatCannotBeFoldedAtItsEndKeepsItsJournal takes the state away before the
// log is closed.
func TestALogThatCannotBeFoldedAtItsEndKeepsItsJournal(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log.db")
	l, err := OpenBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	for version := range uint64(3) {
		if err := l.Append(t.Context(), putting(version+1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err == nil {
		t.Error("nothing is said")
	}
	if held, err := versions(t, path); err != nil || len(held) != 3 {
		t.Errorf("held %v, error %v", held, err)
	}
}

// TestAStartKnowsWhatIsNotFolded reads records and the backlog.
func TestAStartKnowsWhatIsNotFolded(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log.db")
	l, err := OpenBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	id := func(version uint64) string { return fmt.Sprintf("019aa000-0000-7000-8000-%012d", version) }
	const large = 25 * pageBytes
	for version := uint64(1); version <= 4; version++ {
		d := Delta{Version: version, Time: time.Unix(1, 0), Kind: KindPutUser, Subject: id(version), Revision: version, Payload: make([]byte, large)}
		if version == 4 {
			d.Kind, d.Subject, d.Payload = KindDeleteUser, id(1), nil
		}
		if err := l.Append(t.Context(), []Delta{d}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Fold(1); err != nil {
		t.Fatal(err)
	}
	killed(t, l)
	if l, err = OpenBolt(path); err != nil {
		t.Fatal(err)
	}
	defer killed(t, l)
	for version := uint64(2); version <= 3; version++ {
		if d, err := l.Record(KindPutUser, id(version)); err != nil || d.Revision != version || len(d.Payload) != large {
			t.Errorf("of user %d it holds revision %d, %d bytes: %v", version, d.Revision, len(d.Payload), err)
		}
	}
	if _, err := l.Record(KindPutUser, id(1)); !errors.Is(err, ErrNotFound) {
		t.Errorf("who was deleted is there: %v", err)
	}
	if waiting := l.Backlog(); waiting < 50 || waiting > 60 {
		t.Errorf("backlog %d", waiting)
	}
}

// TestADirectoryThatIsRefusedLeavesItsJournal damages a record of the state, which
// only the reader of all of it notices.
func TestADirectoryThatIsRefusedLeavesItsJournal(t *testing.T) {
	t.Parallel()
	path, _ := written(t)
	l, err := OpenBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Fold(2); err != nil {
		t.Fatal(err)
	}
	whole := readFile(t, path)
	if err := l.db.Update(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte(bucketState)).Put(stateKey(prefixLock, []byte("\x011")), []byte("damaged"))
	}); err != nil {
		t.Fatal(err)
	}
	killed(t, l)
	c := Config{Path: path, Clock: time.Now, Random: crand.Reader, Logger: slog.New(slog.DiscardHandler)}
	if _, err := Open(c); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("opened with %v", err)
	}
	replace(t, map[string][]byte{path: whole})
	d, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	if held := len(d.Locks()); held != 6 {
		t.Errorf("put back, it holds %d of 6", held)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// TestAnUnknownJournalIsSearchedBehindItsDamage damages the first commit of each
// segment that is left of another state.
func TestAnUnknownJournalIsSearchedBehindItsDamage(t *testing.T) {
	t.Parallel()
	path, segments := written(t)
	for _, name := range segments {
		content := readFile(t, name)
		content[pageBytes+9] ^= 1
		replace(t, map[string][]byte{name: content})
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if held, err := versions(t, path); !errors.Is(err, ErrCorrupt) {
		t.Errorf("opened with %v, error %v", held, err)
	}
	if left, _ := filepath.Glob(path + ".journal-*"); len(left) != len(segments) {
		t.Errorf("left: %v", left)
	}
}

// TestAStateThatIsOnlyInMemoryIsWrittenBeforeAnythingGoes fails the last sync of
// a fold: the system shows the page that names the new state, and the disk keeps
// the old one. Then another process starts, and the power fails at each of its
// steps.
func TestAStateThatIsOnlyInMemoryIsWrittenBeforeAnythingGoes(t *testing.T) {
	t.Parallel()
	for name, fold := range map[string]func(l *BoltLog) error{
		"a fold":  func(l *BoltLog) error { _, err := l.Fold(30_000); return err },
		"the end": (*BoltLog).finish,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newOutage(t, 7)
			for range 12 {
				p.append()
			}
			var old []byte
			for range 2 { // it names the next state where the state before last is named
				old = readFile(t, p.path)
				p.fold(1)
			}
			left := p.disk.after(p.random)
			if err := fold(p.log); err != nil {
				t.Fatal(err)
			}
			killed(t, p.log)
			shown := readFile(t, p.path)
			s := &stale{forgetful: left, T: t, path: p.path, shown: shown, content: withoutRoot(t, p.path, shown, old)}
			steps := 0
			left.before = func() {
				steps++
				p.check(fmt.Sprint("step ", steps), s.now(), left.after(p.random), p.acknowledged)
			}
			left.before()
			l, err := openBolt(p.path, s)
			if err != nil {
				t.Fatal(err)
			}
			left.before()
			killed(t, l)
			if left.before = func() {}; steps < 4 {
				t.Errorf("only %d steps", steps)
			}
		})
	}
}

// stale is a disk beside a file of which the system shows what is not on it.
type stale struct {
	*forgetful
	*testing.T

	path           string
	shown, content []byte
}

func (s *stale) rewrite(_ string, at, length int64) error {
	s.before()
	copy(s.content[at:at+length], s.shown[at:at+length])
	return nil
}

// now is what is on the disk.
func (s *stale) now() []byte {
	after := readFile(s.T, s.path)
	s.content = append(s.content, make([]byte, max(0, len(after)-len(s.content)))...)
	for at := 0; at+sector <= len(after); at += sector { // what was written since
		if at+sector > len(s.shown) || !bytes.Equal(after[at:at+sector], s.shown[at:at+sector]) {
			copy(s.content[at:at+sector], after[at:at+sector])
		}
	}
	return bytes.Clone(s.content)
}

// withoutRoot returns a file in which the page that names the newest state is as
// it was before.
func withoutRoot(t *testing.T, path string, shown, old []byte) []byte {
	t.Helper()
	db, err := bolt.Open(path, fileMode, nil)
	if err != nil {
		t.Fatal(err)
	}
	size, newest := db.Info().PageSize, 0
	err = db.View(func(tx *bolt.Tx) error { newest = tx.ID() % 2; return nil })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	content := bytes.Clone(shown)
	copy(content[newest*size:(newest+1)*size], old[newest*size:])
	return content
}

// TestWhatWasReadIsThereAfterAPowerFailure opens what a process wrote that died
// before it was synced, and cuts the power.
func TestWhatWasReadIsThereAfterAPowerFailure(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 10 {
		d, path, left := newForgetful(), filepath.Join(t.TempDir(), "log.db"), 1000
		l, err := openBolt(path, broken{d, &left})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Append(t.Context(), putting(1)); err != nil {
			t.Fatal(err)
		}
		left = 1 // the write, not its sync
		if err := l.Append(t.Context(), putting(2)); !errors.Is(err, errBurning) {
			t.Fatal(err)
		}
		killed(t, l)
		if _, last := held(t, path, d, nil); last != 2 {
			t.Fatalf("version %d", last)
		}
		if _, last := held(t, path, d.after(random), nil); last != 2 {
			t.Errorf("version %d after the power failure, 2 was read before", last)
		}
	}
}

// TestADamagedCommitBetweenOthersIsNoEnd damages the second of three commits of
// the last segment.
func TestADamagedCommitBetweenOthersIsNoEnd(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log.db")
	l, err := OpenBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	for version := uint64(1); version <= 3; version++ {
		if err := l.Append(t.Context(), putting(version)); err != nil {
			t.Fatal(err)
		}
	}
	segment := filepath.Join(filepath.Dir(path), l.journal.used[0].name)
	killed(t, l)
	content := readFile(t, segment)
	content[2*pageBytes+100] ^= 1
	replace(t, map[string][]byte{segment: content})
	if held, err := versions(t, path); !errors.Is(err, ErrCorrupt) {
		t.Errorf("opened with %v, error %v", held, err)
	}
}
