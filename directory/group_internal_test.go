package directory

import (
	"reflect"
	"testing"
)

func TestAGroupHasOneViewAsLongAsItLooksTheSame(t *testing.T) {
	t.Parallel()
	s := newState()
	for _, name := range []string{"first", "corp"} {
		if _, err := s.settle(name); err != nil {
			t.Fatal(err)
		}
	}
	first := &group{
		ancestors: []uint32{1}, names: "ext-1Admins", key: recordKey{1}, linked: 5, connection: 1, parents: []uint32{2},
		revision: 3, written: 4, created: 5, modified: 6,
	}
	view := s.viewOf(first)
	if want := (Group{ID: recordKey{1}.id(), Connection: "corp", ExternalID: "ext-1", DisplayName: "Admins"}); *view != want {
		t.Fatalf("got %+v, want %+v", *view, want)
	}
	next := first.clone()
	if s.viewOf(next) != view {
		t.Error("a copy has another view")
	}
	if next.view.Store(nil); !reflect.DeepEqual(next, &group{
		ancestors: first.ancestors, names: first.names, key: first.key, linked: first.linked, connection: first.connection,
		parents: first.parents, revision: first.revision, written: first.written, created: first.created, modified: first.modified,
	}) {
		t.Errorf("a copy of %+v is %+v", first, next)
	}
	for _, other := range []*group{
		{names: "ext-1Owners", linked: 5, connection: 1}, {names: "ext-1Admins", linked: 4, connection: 1}, {names: "ext-1Admins", linked: 5},
	} {
		if first.alike(other) {
			t.Errorf("%+v looks like %+v", other, first)
		}
	}
}

func TestKeptTextsStayWhatTheyWere(t *testing.T) {
	t.Parallel()
	var s textSlab
	var given, kept []string
	for i := range 5000 {
		text := string(make([]byte, i%37)) + string(rune('a'+i%26))
		if i == 2500 {
			text = string(make([]byte, 3*textSlabSize))
		}
		given, kept = append(given, text), append(kept, s.keep(text))
	}
	for i := range given {
		if kept[i] != given[i] {
			t.Fatalf("text %d is %q, want %q", i, kept[i], given[i])
		}
	}
}

func TestValuesOfASlabShareNothing(t *testing.T) {
	t.Parallel()
	s := slab[uint32]{chunk: 64}
	var all [][]uint32
	for i := range uint32(500) {
		values := s.some(int(i % 40))
		for at := range values {
			if values[at] != 0 {
				t.Fatalf("values %d are not new", i)
			}
			values[at] = i
		}
		all = append(all, append(values, i+1)) // what is appended is not the next one's
	}
	for i, values := range all {
		for _, v := range values[:len(values)-1] {
			if int(v) != i {
				t.Fatalf("values %d hold %d", i, v)
			}
		}
	}
}
