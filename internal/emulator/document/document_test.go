package document_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cosmosgate/cosmosgate/internal/emulator/document"
)

func parse(t *testing.T, text string) document.Value {
	t.Helper()
	value, err := document.Parse([]byte(text))
	if err != nil {
		t.Fatalf("Parse(%s): %v", text, err)
	}
	return value
}

func TestValuesAreWrittenAsTheyWereRead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"{ \"b\" : [ 1 ,\ttrue ,\nnull ] , \"a\" : \"x\" }": `{"b":[1,true,null],"a":"x"}`,
		`"\u0041\n\"\\\/\ud83d\ude00"`:                      "\"A\\n\\\"\\\\/😀\"",
		`"\ud83d"`:                                          `"�"`,
		`"\u0001"`:                                          `"\u0001"`,
		`-0`:                                                `0`,
		`1.0`:                                               `1`,
		`1e3`:                                               `1000`,
		`1e21`:                                              `1e+21`,
		`1e-7`:                                              `1e-7`,
		`123456789012345680`:                                `123456789012345680`,
		`{"a":1,"b":2,"a":3}`:                               `{"a":3,"b":2}`,
		`[]`:                                                `[]`,
		`{}`:                                                `{}`,
	} {
		if got := parse(t, text).String(); got != want {
			t.Errorf("%s becomes %s, want %s", text, got, want)
		}
	}
}

func TestManyMembersKeepTheirOrderAndTheLastOfOneName(t *testing.T) {
	t.Parallel()
	var text, want strings.Builder
	for i := range 40 {
		name := string(rune('a' + i%26))
		text.WriteString(`,"` + name + `":` + string(rune('0'+i/26)))
		if i < 26 {
			value := "0"
			if i < 14 {
				value = "1"
			}
			want.WriteString(`,"` + name + `":` + value)
		}
	}
	got := parse(t, "{"+text.String()[1:]+"}").String()
	if diff := cmp.Diff("{"+want.String()[1:]+"}", got); diff != "" {
		t.Errorf("object (-want +got):\n%s", diff)
	}
}

func TestWhatIsNoJSONIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", " ", "{", "[", `"`, "tru", "nul", "01", "1.", "-", "1e", "+1", ".5", "NaN", "[1,]", `{"a":1,}`, `{"a"}`, `{a:1}`, "1 2",
		"\"\x01\"", "\"\xff\"", `"\x"`, `"\u12"`, "[1}", "1e999",
	} {
		if _, err := document.Parse([]byte(text)); !errors.Is(err, document.ErrSyntax) {
			t.Errorf("Parse(%q) = %v, want ErrSyntax", text, err)
		}
	}
	if _, err := document.Parse([]byte(strings.Repeat("[", 100_000))); !errors.Is(err, document.ErrDepth) {
		t.Errorf("deep nesting: %v, want ErrDepth", err)
	}
}

func TestTypesSortInTheOrderOfTheService(t *testing.T) {
	t.Parallel()
	sorted := []document.Value{
		{}, parse(t, "null"), parse(t, "false"), parse(t, "true"), parse(t, "-1"), parse(t, "2"), parse(t, `"a"`), parse(t, `"b"`),
		parse(t, "[]"), parse(t, "[1]"), parse(t, "[2]"), parse(t, `{"a":1}`), parse(t, `{"a":2}`),
	}
	for i, x := range sorted {
		for j, y := range sorted {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := document.Compare(x, y); got != want {
				t.Errorf("Compare(%s, %s) = %d, want %d", x, y, got, want)
			}
			if got := document.Equal(x, y); got != (want == 0) {
				t.Errorf("Equal(%s, %s) = %v", x, y, got)
			}
			if same := x.Key() == y.Key(); same != (want == 0) {
				t.Errorf("keys of %s and %s: same = %v", x, y, same)
			}
		}
	}
}

func TestObjectsAreEqualWhateverTheOrderOfTheirMembers(t *testing.T) {
	t.Parallel()
	x, y := parse(t, `{"a":1,"b":{"c":[1],"d":2}}`), parse(t, `{"b":{"d":2,"c":[1]},"a":1}`)
	if !document.Equal(x, y) || x.Key() != y.Key() || document.Compare(x, y) != 0 {
		t.Errorf("%s and %s differ", x, y)
	}
	if document.Equal(x, parse(t, `{"a":1,"b":{"c":[1],"e":2}}`)) {
		t.Error("objects with different names are equal")
	}
}

func TestWithChangesACopy(t *testing.T) {
	t.Parallel()
	before := parse(t, `{"a":1,"b":2}`)
	for name, row := range map[string]struct {
		got  document.Value
		want string
	}{
		"replaced":      {before.With("a", document.NumberValue(9)), `{"a":9,"b":2}`},
		"added":         {before.With("c", document.NullValue()), `{"a":1,"b":2,"c":null}`},
		"removed":       {before.With("a", document.Value{}), `{"b":2}`},
		"not an object": {document.NumberValue(1).With("a", document.NullValue()), `1`},
		"untouched":     {before, `{"a":1,"b":2}`},
	} {
		if diff := cmp.Diff(row.want, row.got.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{`{"a":[1,2.5e-3,"x\u00e9",null,true]}`, `"\ud83d\ude00"`, `[[[[]]]]`, `-0.0`, `1e400`, `{"a":1,"a":2}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		value, err := document.Parse(text)
		if err != nil {
			return
		}
		if !json.Valid(text) {
			t.Fatalf("accepted %q, which is no JSON", text)
		}
		again, err := document.Parse(value.Append(nil))
		if err != nil || !document.Equal(value, again) || value.Key() != again.Key() {
			t.Fatalf("%q became %s: %v", text, value, err)
		}
	})
}
