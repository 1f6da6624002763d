package directory

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
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

// noting is a folder that notes what is kept and removed.
type noting struct {
	folder
	done *[]string
}

func (d noting) keep(name string) error {
	*d.done = append(*d.done, "keep "+name)
	return d.folder.keep(name)
}

func (d noting) remove(name string) error {
	if _, err := os.Stat(d.path(name)); err == nil {
		*d.done = append(*d.done, "remove "+name)
	}
	return d.folder.remove(name)
}

// TestNothingIsRemovedOnTheWordOfAStateThatIsNotOnDisk starts after a process
// that may have been killed between writing the state and syncing it.
func TestNothingIsRemovedOnTheWordOfAStateThatIsNotOnDisk(t *testing.T) {
	t.Parallel()
	path, segments := written(t)
	early := contents(t, path)
	delete(early, path)
	l, err := OpenBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	if left, err := l.Fold(5); left != 1 || err != nil {
		t.Fatal(left, err)
	}
	ready := filepath.Join(filepath.Dir(path), l.journal.ready.name)
	killed(t, l)
	if err := os.Remove(ready); err != nil {
		t.Fatal(err)
	}
	replace(t, early)
	var done []string
	l, err = openBolt(path, noting{folder(filepath.Dir(path)), &done})
	if err != nil {
		t.Fatal(err)
	}
	killed(t, l)
	want := []string{"keep log.db", "remove " + filepath.Base(segments[0]), "remove " + filepath.Base(segments[1])}
	if !slices.Equal(done, want) {
		t.Errorf("done %q, want %q", done, want)
	}
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
