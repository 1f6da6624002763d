package directory

import (
	"testing"
)

func TestAGroupHasOneViewAsLongAsItLooksTheSame(t *testing.T) {
	t.Parallel()
	place := &groupPlace{}
	first := &group{names: "ext-1Admins", linked: 5}
	view := place.viewOf(first, "corp")
	if want := (Group{ID: recordKey{}.id(), Connection: "corp", ExternalID: "ext-1", DisplayName: "Admins"}); *view != want {
		t.Fatalf("got %+v, want %+v", *view, want)
	}
	touched := *first
	touched.revision = 7
	if again := place.viewOf(&touched, "corp"); again != view {
		t.Error("a change of members made another view")
	}
	for _, next := range []*group{
		{names: "ext-1Owners", linked: 5}, {names: "ext-1Admins", linked: 4}, {names: "ext-1Admins", linked: 5, connection: 1},
	} {
		if other := place.viewOf(next, "corp"); other == view || other.ExternalID != next.externalID() || other.DisplayName != next.displayName() {
			t.Errorf("%+v has the view %+v", next, other)
		}
	}
	if late := place.viewOf(first, "corp"); *late != *view {
		t.Errorf("a reader who has the record of before got %+v, want %+v", late, view)
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
