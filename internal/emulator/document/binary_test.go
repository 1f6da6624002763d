package document_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/cosmosgate/cosmosgate/internal/emulator/document"
)

func TestBinaryValuesAreReadAsTheirText(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 300)
	for _, row := range []struct{ name, encoded, want string }{
		{"a small number", "80 1F", "31"},
		{"numbers of every width", "80 E2 25 C8FF C9FEFF CAFEFFFFFF CBFEFFFFFFFFFFFFFF CC000000000000F83F C7FFFFFFFFFFFFFFFF", "[255,-2,-2,-2,1.5,18446744073709552000]"},
		{"words", "80 E1 D0", "[null]"},
		{"an empty array and object", "80 E2 02 E0 E8", "[[],{}]"},
		{"an object with counts", "80 ED 06 02 2C 81 31 81 6E 02", `{"id":"1","n":2}`},
		{"an object of one member", "80 E9 35 D2", `{"name":true}`},
		{"the last of two members", "80 EA 06 81 61 01 81 61 02", `{"a":2}`},
		{"strings with lengths", "80 E2 08 C0 01 78 C1 01 00 79 80", `["x","y",""]`},
		{"a long string", "80 C1 2C 01" + strings.Repeat("78", 300), `"` + long + `"`},
		{"counts of two and four bytes", "80 E6 0A00 0100 E7 01000000 01000000 05", "[[5]]"},
	} {
		encoded, err := hex.DecodeString(strings.ReplaceAll(row.encoded, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		value, err := document.ParseBinary(encoded)
		if err != nil || value.String() != row.want {
			t.Errorf("%s: %v, %v, want %s", row.name, value, err, row.want)
		}
	}
}

func TestWhatIsNoBinaryValueIsRefused(t *testing.T) {
	t.Parallel()
	for name, encoded := range map[string]string{
		"nothing": "", "no mark": "01", "only a mark": "80", "a string that ends early": "80 82 61", "no UTF-8": "80 81 FF", "trailing data": "80 01 01",
		"an array that ends early": "80 E2 05 01", "an element beyond the end of its array": "80 E2 01 C8 01", "a name that is no string": "80 E9 01 01",
		"a string by reference": "80 C3 01", "a packed string": "80 7B 02 21", "not a number": "80 CC 000000000000F87F", "a marker of nothing": "80 FF",
		"too deep": "80" + strings.Repeat("E1", 200) + "01", "a length of 4 GiB": "80 C2 FFFFFFFF",
	} {
		raw, err := hex.DecodeString(strings.ReplaceAll(encoded, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if value, err := document.ParseBinary(raw); err == nil {
			t.Errorf("%s: %v", name, value)
		}
	}
}

func FuzzParseBinary(f *testing.F) {
	f.Add([]byte{0x80, 0xED, 7, 2, 0x2C, 0x81, '1', 0x81, 'n', 2})
	f.Add([]byte{0x80, 0xE2, 2, 0xE0, 0xE8})
	f.Fuzz(func(t *testing.T, encoded []byte) {
		value, err := document.ParseBinary(encoded)
		if err != nil {
			return
		}
		again, err := document.Parse(value.Append(nil))
		if err != nil || again.String() != value.String() {
			t.Fatalf("%s reads as %s: %v", value, again, err)
		}
	})
}
