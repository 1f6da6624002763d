package directory

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	bolt "go.etcd.io/bbolt"
)

// putting is a batch of one lock, which no log has trouble with.
func putting(version uint64) []Delta {
	return []Delta{{
		Version: version, Time: time.Unix(1, 0), Kind: KindPutLock, Subject: fmt.Sprintf("\x01%d", version), Revision: 1,
		Payload: bytes.Repeat([]byte{7}, 3000),
	}}
}

// written returns a folder with a log of six commits in three segments that
// nobody closed.
func written(t *testing.T) (path string, segments []string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "log.db")
	l, err := OpenBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	l.journal.firstSize, l.journal.size = 3*pageBytes, 3*pageBytes
	for version := range uint64(6) {
		if err := l.Append(t.Context(), putting(version+1)); err != nil {
			t.Fatal(err)
		}
	}
	killed(t, l)
	segments, err = filepath.Glob(path + ".journal-*")
	if err != nil || len(segments) != 3 {
		t.Fatal(segments, err)
	}
	return path, segments
}

// killed closes a log's files as the end of its process does.
func killed(t *testing.T, l *BoltLog) {
	t.Helper()
	l.broken.Store(&errBroken)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// versions opens a log and returns what it holds.
func versions(t *testing.T, path string) (held []uint64, err error) {
	t.Helper()
	l, err := OpenBolt(path)
	if err != nil {
		return nil, err
	}
	defer killed(t, l)
	last, err := l.Tail(t.Context(), 0, func(d Delta) error { held = append(held, d.Version); return nil })
	if err == nil && len(held) > 0 && held[len(held)-1] != last {
		t.Errorf("held %v, last %d", held, last)
	}
	return held, err
}

func TestAJournalIsRefusedIfAnythingButItsEndIsDamaged(t *testing.T) {
	t.Parallel()
	spoil := func(at int64) func(t *testing.T, name string) {
		return func(t *testing.T, name string) {
			t.Helper()
			f, err := os.OpenFile(name, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = f.Close() }()
			if _, err := f.WriteAt([]byte{99}, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	remove := func(t *testing.T, name string) {
		t.Helper()
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	resize := func(size int64) func(t *testing.T, name string) {
		return func(t *testing.T, name string) {
			t.Helper()
			if err := os.Truncate(name, size); err != nil {
				t.Fatal(err)
			}
		}
	}
	const first, second = pageBytes, 2 * pageBytes
	for name, test := range map[string]struct {
		segment int
		damage  func(t *testing.T, name string)
		held    int // zero: refused
	}{
		"nothing":                         {0, func(*testing.T, string) {}, 6},
		"a commit at the beginning":       {0, spoil(first + 500), 0},
		"the last commit of a segment":    {0, spoil(second + 500), 0},
		"the length of a commit":          {1, spoil(first), 0},
		"a commit before the last":        {2, spoil(first + 9), 0},
		"the last commit, as by a crash":  {2, spoil(second + 500), 5},
		"its length":                      {2, spoil(second), 5},
		"a header":                        {1, spoil(30), 0},
		"the size in a header":            {2, spoil(70), 0},
		"the last segment is cut off":     {2, resize(second), 0},
		"it is cut off in its header":     {2, resize(60), 0},
		"it is empty":                     {2, resize(0), 0},
		"it is longer than it was":        {2, resize(4 * pageBytes), 0},
		"the number in a header":          {2, spoil(60), 0},
		"the first segment is missing":    {0, remove, 0},
		"one in the middle is missing":    {1, remove, 0},
		"behind a commit, which is empty": {1, spoil(second + 4000), 6},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, segments := written(t)
			test.damage(t, segments[test.segment])
			held, err := versions(t, path)
			if len(held) != test.held || (test.held == 0) != errors.Is(err, ErrCorrupt) {
				t.Errorf("holds %v, error %v", held, err)
			}
		})
	}
}

// TestAJournalIsRefusedIfItEndsBeforeWhatTheStateHasSeenOfIt damages the end, as
// a crash may, of what was there when something was folded last.
func TestAJournalIsRefusedIfItEndsBeforeWhatTheStateHasSeenOfIt(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(segment string) error{
		"its last commit": func(segment string) error {
			f, err := os.OpenFile(segment, os.O_RDWR, 0)
			if err == nil {
				_, err = f.WriteAt(make([]byte, pageBytes), 2*pageBytes)
			}
			return errors.Join(err, f.Close())
		},
		"its last part": os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, _ := written(t)
			l, err := OpenBolt(path)
			if err != nil {
				t.Fatal(err)
			}
			l.journal.size = 3 * pageBytes
			if left, err := l.Fold(5); left != 1 || err != nil {
				t.Fatal(left, err)
			}
			for version := uint64(7); version <= 100; version++ { // what the state has not seen can't be missed
				if err := l.Append(t.Context(), putting(version)); err != nil {
					t.Fatal(err)
				}
				if len(l.journal.used) == 3 && l.journal.current().end == 3*pageBytes {
					break
				}
			}
			if _, err := l.Fold(1); err != nil {
				t.Fatal(err)
			}
			segment := filepath.Join(filepath.Dir(path), l.journal.current().name)
			killed(t, l)
			if err := damage(segment); err != nil {
				t.Fatal(err)
			}
			if held, err := versions(t, path); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "had come to") {
				t.Errorf("opened with %v, error %v", held, err)
			}
		})
	}
}

func TestAStateThatKnowsOfAJournalIsRefusedWithoutIt(t *testing.T) {
	t.Parallel()
	path, segments := written(t)
	for _, name := range segments {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := versions(t, path); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "journal-") {
		t.Errorf("opened with %v", err)
	}
}

func TestAJournalIsRefusedBesideAnotherState(t *testing.T) {
	t.Parallel()
	for name, other := range map[string]func(t *testing.T, l *BoltLog){
		"that has a journal": func(t *testing.T, l *BoltLog) {
			t.Helper()
			if err := l.Append(t.Context(), putting(1)); err != nil {
				t.Fatal(err)
			}
			killed(t, l)
		},
		"that has none": func(t *testing.T, l *BoltLog) {
			t.Helper()
			if err := l.Append(t.Context(), putting(1)); err != nil {
				t.Fatal(err)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, _ := written(t)
			l, err := OpenBolt(filepath.Join(t.TempDir(), "other.db"))
			if err != nil {
				t.Fatal(err)
			}
			other(t, l)
			if err := os.Rename(l.path, path); err != nil {
				t.Fatal(err)
			}
			if _, err := versions(t, path); !errors.Is(err, ErrCorrupt) {
				t.Errorf("opened with %v", err)
			}
		})
	}
}

func TestAClosedLogIsOneFileThatOnlyItsUserReads(t *testing.T) {
	t.Parallel()
	path, segments := written(t)
	for _, name := range append(segments, path) {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != fileMode {
			t.Errorf("%s: %v %v", name, info.Mode(), err)
		}
	}
	l, err := OpenBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(path + ".*"); len(left) != 1 || left[0] != path+".lock" {
		t.Errorf("beside it: %v", left)
	}
	if held, err := versions(t, path); len(held) != 6 || err != nil {
		t.Errorf("holds %v, %v", held, err)
	}
}

// TestANewLogThatIsClosedLeavesNoJournal also makes sure that the journal is
// noted in the state once, not with every commit.
func TestANewLogThatIsClosedLeavesNoJournal(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log.db")
	l, err := OpenBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	var states [3][]byte
	for i := range states {
		if err := l.Append(t.Context(), putting(uint64(i)+1)); err != nil {
			t.Fatal(err)
		}
		states[i] = readFile(t, path)
	}
	if !bytes.Equal(states[0], states[2]) {
		t.Error("a commit writes to the state")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(path + ".journal-*"); len(left) > 0 {
		t.Errorf("beside it: %v", left)
	}
}

// unsynced counts the bytes that are written between two syncs.
type unsynced struct {
	*forgetful
	now, most *int
}

func (u unsynced) create(name string) (diskFile, error) {
	f, err := u.forgetful.create(name)
	return unsyncedFile{f, u}, err
}

type unsyncedFile struct {
	diskFile
	unsynced
}

func (f unsyncedFile) WriteAt(b []byte, at int64) (int, error) {
	*f.now += len(b)
	*f.most = max(*f.most, *f.now)
	return f.diskFile.WriteAt(b, at)
}

func (f unsyncedFile) sync() error {
	*f.now = 0
	return f.diskFile.sync()
}

// TestSegmentsThatAreFoldedAreUsedAgain commits and folds more than a run's
// worth: the files of the first run serve the second, and no more are kept than
// a bound.
func TestSegmentsThatAreFoldedAreUsedAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log.db")
	l, err := OpenBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	l.journal.firstSize, l.journal.size = 3*pageBytes, 3*pageBytes
	version := uint64(0)
	run := func(segments int) (files int) {
		t.Helper()
		for range 2 * segments {
			version++
			if err := l.Append(t.Context(), putting(version)); err != nil {
				t.Fatal(err)
			}
		}
		for left := 1; left > 0; {
			if left, err = l.Fold(8); err != nil {
				t.Fatal(err)
			}
		}
		names, err := filepath.Glob(path + ".journal-*")
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	first := run(10)
	if again := run(10); first < 10 || again > first+1 { // one may be ready
		t.Errorf("%d files after a run, %d after another", first, again)
	}
	if most := run(3 * maxSpent); most > maxSpent+3 {
		t.Errorf("%d files are kept", most)
	}
	version++
	large := putting(version) // more than one of those that are kept has room for
	large[0].Payload = bytes.Repeat([]byte{7}, 5*pageBytes)
	if err := l.Append(t.Context(), large); err != nil {
		t.Fatal(err)
	}
	killed(t, l)
	if held, err := versions(t, path); err != nil || len(held) != int(version) {
		t.Errorf("%d of %d versions, %v", len(held), version, err)
	}
}

// TestANewSegmentIsWrittenALittleAtATime, since commits wait for the same disk.
func TestANewSegmentIsWrittenALittleAtATime(t *testing.T) {
	t.Parallel()
	u := unsynced{newForgetful(), new(int), new(int)}
	l, err := openBolt(filepath.Join(t.TempDir(), "log.db"), u)
	if err != nil {
		t.Fatal(err)
	}
	defer killed(t, l)
	if s, err := l.journal.make(segmentBytes, true); err != nil || s.size != segmentBytes {
		t.Fatal(s, err)
	}
	if *u.most == 0 || *u.most > zeroBytes+pageBytes {
		t.Errorf("%d bytes were written at once", *u.most)
	}
}

// TestAFileOfAnEarlierVersionIsTakenOver writes a file whose journal is a bucket
// of its own.
func TestAFileOfAnEarlierVersionIsTakenOver(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log.db")
	db, err := bolt.Open(path, fileMode, nil)
	if err != nil {
		t.Fatal(err)
	}
	const folded, last = 5, closeChunk + 100
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range []string{oldJournal, bucketState, bucketMeta} {
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		for version := uint64(1); version <= last; version++ {
			d := putting(version)[0]
			if version <= folded {
				if err := foldDelta(tx.Bucket([]byte(bucketState)), d); err != nil {
					return err
				}
				continue
			}
			key := versionKey(version)
			if err := tx.Bucket([]byte(oldJournal)).Put(key, d.encode(key)); err != nil {
				return err
			}
		}
		return tx.Bucket([]byte(bucketMeta)).Put([]byte(keyFolded), versionKey(folded))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if held, err := versions(t, path); err != nil || len(held) != last || held[0] != last {
			t.Fatalf("%d deltas, error %v", len(held), err)
		}
	}
	l, err := OpenBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Append(context.Background(), putting(last+1)); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestTheFolderOfALogIsMadeForItsUserAlone(t *testing.T) {
	t.Parallel()
	above := filepath.Join(t.TempDir(), "a")
	l, err := OpenBolt(filepath.Join(above, "b", "log.db"))
	if err != nil {
		t.Fatal(err)
	}
	killed(t, l)
	for _, name := range []string{above, filepath.Join(above, "b")} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v %v", name, info, err)
		}
	}
}

func TestABatchOutOfOrderIsRefused(t *testing.T) {
	t.Parallel()
	for name, batch := range map[string][]Delta{
		"a gap before it": putting(2),
		"a gap within":    {putting(1)[0], putting(3)[0]},
	} {
		l, err := OpenBolt(filepath.Join(t.TempDir(), "log.db"))
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Append(t.Context(), batch); !errors.Is(err, errPlan) {
			t.Errorf("%s: %v", name, err)
		}
		killed(t, l)
	}
}

// TestABatchLongerThanASegmentHasOneOfItsOwn also makes sure that what was
// prepared is not in the way.
func TestABatchLongerThanASegmentHasOneOfItsOwn(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log.db")
	l, err := OpenBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	l.journal.firstSize, l.journal.size = 3*pageBytes, 3*pageBytes
	for version := uint64(1); version <= 9; version++ {
		batch := putting(version)
		if version%3 == 0 {
			batch[0].Payload = make([]byte, 5*pageBytes)
		}
		if err := l.Append(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		if err := l.journal.prepare(); err != nil {
			t.Fatal(err)
		}
	}
	killed(t, l)
	if held, err := versions(t, path); len(held) != 9 || err != nil {
		t.Errorf("holds %v, %v", held, err)
	}
}

// TestFoldedSegmentsAreUsedAgain bounds the disk that a busy journal takes.
func TestFoldedSegmentsAreUsedAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log.db")
	l, err := OpenBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	l.journal.firstSize, l.journal.size = 3*pageBytes, 3*pageBytes
	for version := uint64(1); version <= 60; version++ {
		if err := l.Append(t.Context(), putting(version)); err != nil {
			t.Fatal(err)
		}
		if left, err := l.Fold(10); left != 0 || err != nil {
			t.Fatal(left, err)
		}
		if files, _ := filepath.Glob(path + ".journal-*"); len(files) > 3 {
			t.Fatalf("after version %d: %v", version, files)
		}
	}
	if backlog := l.Backlog(); backlog != 0 {
		t.Errorf("backlog %d", backlog)
	}
}

// FuzzOpeningASegment gives a header and two frames, each on a page of its own.
func FuzzOpeningASegment(f *testing.F) {
	d := newForgetful()
	l, err := openBolt(filepath.Join(f.TempDir(), "log.db"), d)
	if err != nil {
		f.Fatal(err)
	}
	for version := range uint64(2) {
		if err := l.Append(f.Context(), []Delta{
			{Version: 2*version + 1, Kind: KindPutLock, Subject: "\x01x", Payload: []byte("why")},
			{Version: 2*version + 2, Kind: KindDeleteUser, Subject: "019aa000-0000-7000-8000-000000000009"},
		}); err != nil {
			f.Fatal(err)
		}
	}
	id, name := l.journal.id, l.journal.used[0].name
	content := bytes.Clone(d.shown[name].shown)
	if err := l.Close(); err != nil {
		f.Fatal(err)
	}
	const most = 200
	header, first, second := content[:sumAt+crc32.Size], content[pageBytes:][:most], content[2*pageBytes:][:most]
	for _, sealed := range []bool{false, true} {
		f.Add(header, first, second, sealed)
		f.Add(header, second, first, sealed)
		f.Add(header, first, first, sealed)
		f.Add(header[:30], first, second, sealed)
	}
	f.Fuzz(func(t *testing.T, header, first, second []byte, sealed bool) {
		d, content := newForgetful(), make([]byte, 4*pageBytes)
		copy(content, header)
		copy(content[pageBytes:], first)
		copy(content[2*pageBytes:], second)
		if sealed {
			seal(content)
		}
		d.shown[name] = &inode{shown: content, dirty: map[int]bool{}}
		j, err := openSegments(d, "log.db.journal-", known{journal: id})
		if err != nil {
			return
		}
		last := j.last
		if err := j.renew(0); err != nil || j.last != last {
			t.Fatalf("what was accepted up to %d is copied up to %d, error %v", last, j.last, err)
		}
		count := uint64(0)
		if _, err := j.replay(0, func(Delta) error { count++; return nil }); err != nil || count != last {
			t.Errorf("of %d deltas that were accepted %d can be read: %v", last, count, err)
		}
	})
}

// seal makes what is damaged look whole, so that what reads it is tested and not
// only its checksums.
func seal(content []byte) {
	binary.BigEndian.PutUint64(content[sizeAt:], uint64(len(content)))
	binary.BigEndian.PutUint32(content[sumAt:], crc32.Checksum(content[:sumAt], castagnoli()))
	var s segment
	s.takeHeader(content)
	for at := pageBytes; at < len(content); at += pageBytes {
		if length := binary.BigEndian.Uint32(content[at:]); length >= frameHead && int64(at)+int64(length) <= int64(len(content)) {
			binary.BigEndian.PutUint32(content[at+4:], s.sum(length, content[at+8:at+int(length)]))
		}
	}
}

// counting is a disk that counts what is read and made.
type counting struct {
	disk
	read, made *int
}

func (c counting) create(name string) (diskFile, error) {
	*c.made++
	return c.disk.create(name)
}

func (c counting) open(name string) (diskFile, error) {
	f, err := c.disk.open(name)
	return countingFile{f, c.read}, err
}

type countingFile struct {
	diskFile
	read *int
}

func (f countingFile) ReadAt(b []byte, at int64) (int, error) {
	*f.read += len(b)
	return f.diskFile.ReadAt(b, at)
}

func TestALargeFrameIsReadOnceHoweverOftenSomeOfItIsFolded(t *testing.T) {
	t.Parallel()
	read, made := 0, 0
	j, err := newSegments(counting{newForgetful(), &read, &made}, "log"+journalSuffix, known{journal: uuid.New()})
	if err != nil {
		t.Fatal(err)
	}
	batch := make([]Delta, 1000)
	for i := range batch {
		batch[i] = putting(uint64(i + 1))[0]
	}
	for range 2 {
		if err := j.append(batch); err != nil {
			t.Fatal(err)
		}
		for i := range batch {
			batch[i].Version += uint64(len(batch))
		}
	}
	read = 0
	for folded := uint64(0); folded < j.end(); {
		deltas, err := j.foldable(folded, 16)
		if err != nil || len(deltas) == 0 || len(deltas) > 16 || deltas[0].Version != folded+1 {
			t.Fatalf("%d deltas after version %d: %v", len(deltas), folded, err)
		}
		folded += uint64(len(deltas))
		if err := j.drop(deltas); err != nil {
			t.Fatal(err)
		}
	}
	if whole := int(j.used[0].end); len(j.used) > 1 || read > 3*whole {
		t.Errorf("%d bytes were read of %d segments", read, len(j.used))
	}
	if left := j.waiting.Load(); left != 0 {
		t.Errorf("%d bytes still wait", left)
	}
}

func TestALogThatIsClosedMakesNoFiles(t *testing.T) {
	t.Parallel()
	read, made := 0, 0
	l, err := openBolt(filepath.Join(t.TempDir(), "log.db"), counting{newForgetful(), &read, &made})
	if err != nil {
		t.Fatal(err)
	}
	l.journal.firstSize, l.journal.size = 3*pageBytes, 3*pageBytes
	for version := range uint64(2) {
		if err := l.Append(t.Context(), putting(version+1)); err != nil {
			t.Fatal(err)
		}
	}
	made = 0
	if err := l.Close(); err != nil || made > 0 {
		t.Errorf("%d files are made, error %v", made, err)
	}
}

// TestAReplayBesideFoldingMissesNothing reads state and journal while what is read
// moves from one to the other, and its parts are used again.
func TestAReplayBesideFoldingMissesNothing(t *testing.T) {
	t.Parallel()
	l, err := OpenBolt(filepath.Join(t.TempDir(), "log.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer killed(t, l)
	l.journal.firstSize, l.journal.size = 3*pageBytes, 3*pageBytes
	stop := make(chan struct{})
	var readers sync.WaitGroup
	defer readers.Wait()
	defer close(stop)
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				held := map[string]struct{}{}
				_, last, err := l.replay(0, func(d Delta) error {
					if held[d.Subject] = struct{}{}; len(held)%16 == 0 {
						runtime.Gosched()
					}
					return nil
				})
				if err != nil || len(held) != int(last) {
					t.Errorf("%d of %d versions, error %v", len(held), last, err)
					return
				}
			}
		})
	}
	for version := uint64(1); version <= 400 && !t.Failed(); version++ {
		if err := l.Append(t.Context(), putting(version)); err != nil {
			t.Fatal(err)
		}
		if version%4 != 0 {
			continue
		}
		if _, err := l.Fold(5); err != nil {
			t.Fatal(err)
		}
	}
}
